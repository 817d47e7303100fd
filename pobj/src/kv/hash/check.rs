//! Validation of a part at open.
//!
//! Checked: the pages of buckets; each bucket uses its places from the front (B1); each record lies in the bucket of its tag
//! (P1); the count is the number of records (P2); each record is a pair of its own. Not checked: that a tag is of the hash of
//! its key, nor that a key is there once. A pool that lies about that finds too little, and nothing worse.

use super::bucket::{Bucket, MORE, PAIRS, PLACES};
use super::part::bucket_of;
use crate::collections::pages::Pages;
use crate::layout::{Invalid, Persistent, View, Visit};
use crate::typed::{PBuf, Pair};

const BUCKET_LEN: u64 = size_of::<Bucket<'_>>() as u64;

/// Checks the bytes of a part.
pub(super) fn part(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
    let mut pages: Vec<View<'_>> = Vec::new();
    let shape = Pages::<Bucket<'_>>::check(view.field(0, 16)?, visit, |page, visit| {
        // Buckets as plain words, so that the walk does not look at them a second time.
        pages.extend(PBuf::<[u64; 16]>::claim(page, visit)?);
        Ok(())
    })?;
    let (mut number, mut found) = (0, 0);
    for page in pages {
        for bucket in 0..page.len() / BUCKET_LEN {
            let bucket = page.field(bucket * BUCKET_LEN, BUCKET_LEN)?;
            found += check_bucket(bucket, visit, |tag| bucket_of(tag, shape.len as usize) == number)?;
            number += 1;
        }
    }
    match view.u64(16)? {
        count if count == found => Ok(()),
        count => Err(Invalid::new(format!("a part counts {count} records and has {found}"), view.addr())),
    }
}

/// Claims what the bucket in `view` owns. Gives the number of its records.
fn check_bucket(
    view: View<'_>,
    visit: &mut Visit<'_>,
    belongs: impl Fn(u32) -> bool,
) -> Result<u64, Invalid> {
    let check = |pair: View<'_>, tag: u32, visit: &mut Visit<'_>| {
        if !belongs(tag) {
            return Err(Invalid::new("a bucket has a record of another one", view.addr()));
        }
        Pair::validate(pair, visit)
    };
    let mut used = 0;
    for place in 0..PLACES as u64 {
        let pair = view.field(PAIRS as u64 + place * 8, 8)?;
        if pair.is_zero() {
            continue;
        }
        check(pair, view.u32(place * 4)?, visit)?;
        if used != place {
            return Err(Invalid::new("a bucket has a gap", view.addr()));
        }
        used += 1;
    }
    let Some(more) = PBuf::<[u64; 2]>::claim(view.field(MORE as u64, 16)?, visit)? else {
        return Ok(used);
    };
    if used != PLACES as u64 && !more.is_empty() {
        return Err(Invalid::new("a bucket overflows while it has room", view.addr()));
    }
    let count = more.len() / 16;
    for at in 0..count {
        check(more.field(at * 16, 8)?, more.u32(at * 16 + 8)?, visit)?;
    }
    Ok(used + count)
}
