//! Validation of a map at open.
//!
//! Checked: the pages of items and of buckets (G1, G2); each slot lies in the bucket of its tag and slots are used
//! from the front (D1); each slot names an item and each item is named once (D2); only a small map has no index.
//! The items themselves are checked by the walk, as everything is. Not checked: that a tag is the hash of its item's
//! key, for keys are not known to be values yet; a pool that lies about that finds too little, and nothing worse.

use crate::layout::{Invalid, Persistent, View, Visit};
use crate::typed::PBuf;

use super::super::pages::{Pages, Shape};
use super::index::{Bucket, SLOTS, Slot, bucket_of, place_of, tag_of};
use super::{Item, SEARCHED_MAX};

/// Checks the bytes of a map.
pub(super) fn map<K: Persistent, V: Persistent>(
    view: View<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), Invalid> {
    let items = Pages::<Item<K, V>>::check(view.field(0, 16)?, visit, |page, visit| {
        PBuf::<Item<K, V>>::validate(page, visit)
    })?;
    let mut pages: Vec<View<'_>> = Vec::new();
    let buckets = Pages::<Bucket<'_>>::check(view.field(16, 16)?, visit, |page, visit| {
        // A bucket as plain words, so that the walk does not look at it a second time.
        pages.extend(PBuf::<[Slot; SLOTS + 2]>::claim(page, visit)?);
        Ok(())
    })?;
    if buckets.len == 0 {
        if items.len > SEARCHED_MAX as u64 {
            return Err(Invalid::new(format!("a map of {} items has no index", items.len), view.addr()));
        }
        return Ok(());
    }
    let mut seen = Seen { items, bits: Vec::new(), count: 0 };
    seen.bits.resize(seen.items.len.div_ceil(64) as usize, 0);
    let mut number = 0;
    for page in pages {
        for bucket in 0..page.len() / BUCKET_LEN {
            let bucket = page.field(bucket * BUCKET_LEN, BUCKET_LEN)?;
            check_bucket(bucket, visit, |slot| {
                if slot as u32 == 0 || bucket_of(tag_of(slot), buckets.len as usize) != number {
                    return Err(Invalid::new(
                        format!("bucket {number} of a map has a slot of another"),
                        bucket.addr(),
                    ));
                }
                seen.note(slot, bucket)
            })?;
            number += 1;
        }
    }
    if seen.count == seen.items.len {
        return Ok(());
    }
    Err(Invalid::new(
        format!("the index of a map names {} of its {} items", seen.count, seen.items.len),
        view.addr(),
    ))
}

const BUCKET_LEN: u64 = size_of::<Bucket<'_>>() as u64;

/// Claims the overflow of the bucket in `view` and gives all slots to `each`.
fn check_bucket(
    view: View<'_>,
    visit: &mut Visit<'_>,
    mut each: impl FnMut(Slot) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    let mut used = 0;
    for at in 0..SLOTS as u64 {
        let slot = view.u64(at * 8)?;
        if slot != 0 {
            each(slot)?;
            if used != at {
                return Err(Invalid::new("a bucket of a map has a gap", view.addr()));
            }
            used += 1;
        }
    }
    let Some(overflow) = PBuf::<Slot>::claim(view.field(SLOTS as u64 * 8, 16)?, visit)? else {
        return Ok(());
    };
    if used != SLOTS as u64 && !overflow.is_empty() {
        return Err(Invalid::new("a bucket of a map overflows while it has room", view.addr()));
    }
    for at in 0..overflow.len() / 8 {
        each(overflow.u64(at * 8)?)?;
    }
    Ok(())
}

/// Which items a slot has named.
struct Seen {
    items: Shape,
    bits: Vec<u64>,
    count: u64,
}

impl Seen {
    #[inline]
    fn note(&mut self, slot: Slot, bucket: View<'_>) -> Result<(), Invalid> {
        let number = self.items.number_of(place_of(slot) as u64);
        let Some((number, bits)) = number.and_then(|n| Some((n, self.bits.get_mut(n as usize / 64)?))) else {
            return Err(Invalid::new("a slot of a map names an item that is not there", bucket.addr()));
        };
        if (*bits >> (number % 64)) & 1 == 1 {
            return Err(Invalid::new("two slots of a map name the same item", bucket.addr()));
        }
        *bits |= 1 << (number % 64);
        self.count += 1;
        Ok(())
    }
}
