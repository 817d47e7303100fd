//! A part of the hash engine: linear hashing (Litwin, 1980) over buckets, under one lock.
//!
//! With `n` buckets a tag (the lower half of a key's hash) belongs to bucket `tag mod 2^k`, where `2^k` is the next power of
//! two, or to `tag mod 2^(k-1)` if there is no such bucket yet. So adding bucket `n` divides exactly one bucket, in a fixed
//! order that depends on nothing, and the part grows by one bucket for each seven records. A division reads no keys: the
//! tags are in the buckets. Keys that all hash alike make a part slow, never wrong.
//!
//! - **P1** A record is in the bucket of its tag.
//! - **P2** `count` is the number of records.

use std::ops::Range;

use super::bucket::{Bucket, Buckets, More, PLACES};
use super::check;
use crate::collections::PHasher;
use crate::collections::pages::Table;
use crate::ground::error::{Error, Result};
use crate::layout::prefetch::prefetch;
use crate::tx::Tx;
use crate::typed::{PBuf, Pair, persistent_struct};

/// Records for each bucket, on average. A bucket has between half and twice as many, by its turn; some overflow.
const LOAD: u64 = 7;

/// The records of a part.
#[repr(C)]
#[derive(Default)]
pub(super) struct Part<'p> {
    buckets: Buckets<'p>,
    count: u64,
    /// Of the hashes in a table of one part; random, set with the first record.
    seed: u64,
}

persistent_struct! {
    impl['p] Part['p] called "KvPart"[];
    at<'q> = Part<'q>;
    fields { buckets: Table<'p, Bucket<'p>>, count: u64, seed: u64 }
    check = check::part;
}

/// Where a record is: the bucket's number, and its place there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    bucket: usize,
    place: usize,
}

/// Bytes that nobody outside can guess, so that nobody can choose keys that fall in one place.
pub(super) fn random_seed() -> Result<u64> {
    getrandom::u64().map_err(|error| Error::io("get random bytes", std::io::Error::from(error)))
}

#[inline]
pub(super) fn hash_of(seed: u64, key: &[u8]) -> u64 {
    let mut hasher = PHasher::new(seed);
    hasher.write_bytes(key);
    hasher.finish()
}

/// The bucket of `tag` among `buckets` of them.
#[inline]
pub(super) fn bucket_of(tag: u32, buckets: usize) -> usize {
    let mask = buckets.next_power_of_two() - 1;
    let bucket = tag as usize & mask;
    if bucket < buckets { bucket } else { bucket & (mask >> 1) }
}

impl<'p> Part<'p> {
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// The tag of a key. `hash` is its hash, where the table has a seed.
    #[inline]
    pub(super) fn tag(&self, hash: Option<u64>, key: &[u8]) -> u32 {
        hash.unwrap_or_else(|| hash_of(self.seed, key)) as u32
    }

    /// All records.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &Pair<'p>> {
        let buckets = self.buckets.pages().iter().flat_map(PBuf::as_slice);
        buckets.flat_map(|bucket| {
            // Records lie anywhere: the waits for those of a bucket overlap.
            bucket.pairs().for_each(Pair::expect);
            bucket.pairs()
        })
    }

    /// The bucket of a tag.
    #[inline]
    fn bucket(&self, tag: u32) -> Option<(usize, &Bucket<'p>)> {
        let number = bucket_of(tag, self.buckets.len());
        let bucket = self.buckets.nth(number)?;
        // Its second line, while the first one is on its way.
        prefetch(std::ptr::from_ref(bucket).addr() as u64 + 64);
        Some((number, bucket))
    }

    /// The record of `key`.
    #[inline]
    pub(super) fn find(&self, tag: u32, key: &[u8]) -> Option<&Pair<'p>> {
        let (_, bucket) = self.bucket(tag)?;
        bucket.pair(bucket.find(tag, key)?)
    }

    /// Where the record of `key` is.
    #[inline]
    pub(super) fn place(&self, tag: u32, key: &[u8]) -> Option<Place> {
        let (number, bucket) = self.bucket(tag)?;
        bucket.find(tag, key).map(|place| Place { bucket: number, place })
    }

    /// The record at a place.
    pub(super) fn pair_at(&self, place: Place) -> Option<&Pair<'p>> {
        self.buckets.nth(place.bucket)?.pair(place.place)
    }

    /// Bytes of the value of the record at a place, for changing; they alone are remembered.
    pub(super) fn value_mut(&mut self, place: Place, range: Range<usize>, tx: &Tx<'p>) -> Option<&mut [u8]> {
        if place.place < PLACES {
            return self.buckets.pair_value_mut(place.bucket, range, tx, |bucket| bucket.pair(place.place));
        }
        self.buckets.nth_mut(place.bucket, tx)?.pair_mut(place.place, tx)?.value_mut(range, tx)
    }

    /// Replaces the value of the record at a place. On an error nothing has changed.
    pub(super) fn set_value(&mut self, place: Place, tx: &Tx<'p>, value: &[u8]) -> Result<()> {
        if self.pair_at(place).is_some_and(|pair| pair.value_len() == value.len())
            && let Some(bytes) = self.value_mut(place, 0..value.len(), tx)
        {
            bytes.copy_from_slice(value);
            return Ok(());
        }
        match self.pair_mut(place, tx) {
            Some(pair) => pair.set_value(tx, value),
            None => Ok(()),
        }
    }

    /// Puts `pair` into the place of another of the same key.
    pub(super) fn replace(&mut self, place: Place, tx: &Tx<'p>, pair: Pair<'p>) {
        if let Some(known) = self.pair_mut(place, tx) {
            *known = pair;
        }
    }

    fn pair_mut(&mut self, place: Place, tx: &Tx<'p>) -> Option<&mut Pair<'p>> {
        self.buckets.nth_mut(place.bucket, tx)?.pair_mut(place.place, tx)
    }

    /// Adds a record whose key is not there. On an error nothing has changed that a look could tell.
    #[inline]
    pub(super) fn add(&mut self, tx: &Tx<'p>, hash: Option<u64>, pair: Pair<'p>) -> Result<()> {
        let buckets = self.buckets.len() as u64;
        if buckets == 0 {
            let seed = if hash.is_none() { random_seed()? } else { 0 };
            self.buckets.push(tx, Bucket::default())?;
            self.seed = seed;
        } else if self.count >= buckets * LOAD {
            self.split(tx)?;
        }
        let tag = self.tag(hash, pair.key());
        let number = bucket_of(tag, self.buckets.len());
        let Some(bucket) = self.buckets.nth(number) else { return Ok(()) };
        // What changes, alone: the bucket is two lines, of which a put needs two words.
        if let Some(free) = bucket.free() {
            if let Some(known) = self.buckets.nth_part_mut(number, tx, |bucket| bucket.tags.get(free)) {
                *known = tag;
            }
            if let Some(place) = self.buckets.nth_part_mut(number, tx, |bucket| bucket.pairs.get(free)) {
                *place = Some(pair);
            }
        } else if let Some(more) = self.buckets.nth_part_mut(number, tx, |bucket| Some(&bucket.more)) {
            more.push(tx, More { pair, tag, zero: 0 })?;
        }
        self.count += 1;
        Ok(())
    }

    /// Removes the record at a place.
    pub(super) fn remove(&mut self, place: Place, tx: &Tx<'p>) {
        if let Some(bucket) = self.buckets.nth_mut(place.bucket, tx)
            && bucket.remove(place.place, tx).is_some()
        {
            self.count = self.count.saturating_sub(1);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds one bucket, with its share of the bucket that has served it so far. On an error nothing has changed.
    fn split(&mut self, tx: &Tx<'p>) -> Result<()> {
        let new = self.buckets.len();
        // Where the new bucket's tags belong while it does not exist.
        let source = bucket_of(new as u32, new);
        let leaves = |tag| bucket_of(tag, new + 1) == new;
        let Some(old) = self.buckets.nth(source) else { return Ok(()) };
        let own = old.pairs.iter().zip(old.tags).filter(|(pair, tag)| pair.is_some() && leaves(*tag)).count();
        let leaving = own + old.more.as_slice().iter().filter(|more| leaves(more.tag)).count();
        let mut bucket = Bucket::default();
        if leaving > PLACES {
            bucket.more.reserve_exact(tx, (leaving - PLACES) as u64)?;
        }
        self.buckets.push(tx, bucket)?;
        // All memory is there: nothing below can fail.
        let mut gone = Vec::with_capacity(leaving);
        if let Some(old) = self.buckets.nth_mut(source, tx) {
            old.divide(tx, leaves, |tag, pair| {
                gone.push((tag, pair));
                Ok(())
            })?;
        }
        if let Some(bucket) = self.buckets.nth_mut(new, tx) {
            gone.into_iter().try_for_each(|(tag, pair)| bucket.add(tx, tag, pair))?;
        }
        Ok(())
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_part: Part<'static>, "Key-value stores" 2, [buckets, count, seed]);

#[cfg(test)]
mod tests {
    //! Would catch a tag that a split sends elsewhere than a lookup looks.
    use super::*;

    #[test]
    fn a_split_moves_tags_of_one_bucket_only() {
        for buckets in 1..300 {
            let source = bucket_of(buckets as u32, buckets);
            for tag in (0..5000u32).map(|n| n.wrapping_mul(0x9E37_79B9)) {
                let (before, after) = (bucket_of(tag, buckets), bucket_of(tag, buckets + 1));
                assert!(before == after || (before == source && after == buckets), "{buckets} {tag}");
                assert!(before < buckets);
            }
        }
    }
}
