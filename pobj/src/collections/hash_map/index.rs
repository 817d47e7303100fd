//! The index of a map: from the hash of a key to the places where its item may be.
//!
//! **Linear hashing** (Litwin, 1980) over buckets of 14 slots. A slot is one word: 32 bits of the key's hash (the
//! *tag*) and the place of the item plus one; 0 is an empty slot. With `n` buckets a tag belongs to bucket
//! `tag mod 2^k`, where `2^k` is the next power of two, or to `tag mod 2^(k-1)` if there is no such bucket yet. So
//! adding bucket `n` splits exactly one bucket, in a fixed order that depends on nothing, and the index grows by one
//! bucket for each eight items: no insert does more. A split needs neither keys nor hashes, for the tags are in the
//! slots. The rare bucket with more than 14 items keeps the others in an overflow run, however many: keys that
//! all hash alike make the map slow, never wrong.
//!
//! - **D1** The slots of a bucket are used from the front; the overflow has items only if all are used.
//! - **D2** Each item of the map has exactly one slot, in the bucket of its tag.

use crate::ground::error::Result;
use crate::layout::{View, Visit};
use crate::tx::Tx;
use crate::typed::{PBuf, persistent_struct};

use super::super::pages::Pages;

/// Slots of a bucket: with the overflow's two words a bucket is 128 bytes, two lines.
pub(super) const SLOTS: usize = 14;
/// Items for each bucket, on average. A bucket has between half and twice as many, by its turn; few overflow.
pub(super) const LOAD: usize = 8;

/// A tag and a place plus one, or 0.
pub(super) type Slot = u64;

#[inline]
pub(super) fn slot(tag: u32, place: usize) -> Slot {
    // A place is below 2^32 - 1 by `Pages::PAGES_MAX`.
    (u64::from(tag) << 32) | (place as u64 + 1)
}

#[inline]
pub(super) fn tag_of(slot: Slot) -> u32 {
    (slot >> 32) as u32
}

/// The place in a used slot. A damaged slot without one names a place that no item has.
#[inline]
pub(super) fn place_of(slot: Slot) -> usize {
    (slot as u32).wrapping_sub(1) as usize
}

/// The bucket of `tag` among `buckets` of them.
#[inline]
pub(super) fn bucket_of(tag: u32, buckets: usize) -> usize {
    let mask = buckets.next_power_of_two() - 1;
    let bucket = tag as usize & mask;
    if bucket < buckets { bucket } else { bucket & (mask >> 1) }
}

/// Up to 14 slots in place, the others behind a pointer.
#[repr(C)]
pub(super) struct Bucket<'p> {
    slots: [Slot; SLOTS],
    overflow: PBuf<'p, Slot>,
}

static_assertions::assert_eq_size!(Bucket<'static>, [u64; 16]);

persistent_struct! {
    impl['p] Bucket['p] called "Bucket"[];
    at<'q> = Bucket<'q>;
    fields { slots: [Slot; SLOTS], overflow: PBuf<'p, Slot> }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        PBuf::<Slot>::validate(view.field(std::mem::offset_of!(Bucket<'_>, overflow) as u64, 16)?, visit)
    };
}

impl<'p> Bucket<'p> {
    fn new() -> Self {
        Self { slots: [0; SLOTS], overflow: PBuf::new() }
    }

    /// A bucket of these slots.
    fn of(tx: &Tx<'p>, slots: &[Slot]) -> Result<Self> {
        let mut bucket = Self::new();
        let (first, rest) = slots.split_at(slots.len().min(SLOTS));
        bucket.slots[..first.len()].copy_from_slice(first);
        if !rest.is_empty() {
            bucket.overflow.reserve_exact(tx, rest.len() as u64)?;
            bucket.overflow.extend_from_slice(tx, rest)?;
        }
        Ok(bucket)
    }

    /// The used slots.
    #[inline]
    pub(super) fn used(&self) -> impl Iterator<Item = Slot> {
        let overflow = self.overflow.as_slice();
        self.slots.iter().copied().take_while(|&slot| slot != 0).chain(overflow.iter().copied())
    }

    /// The first free slot in place.
    #[inline]
    fn free(&self) -> Option<usize> {
        self.slots.iter().position(|&slot| slot == 0)
    }

    /// Keeps these slots, which were among those that it had.
    fn keep(&mut self, tx: &Tx<'p>, slots: &[Slot]) {
        let (first, rest) = slots.split_at(slots.len().min(SLOTS));
        self.slots = [0; SLOTS];
        self.slots[..first.len()].copy_from_slice(first);
        if rest.is_empty() {
            self.overflow = PBuf::new();
        } else {
            self.overflow.truncate(rest.len());
            if let Some(kept) = self.overflow.range_mut(0..rest.len(), tx) {
                kept.copy_from_slice(rest);
            }
        }
    }
}

/// All buckets.
#[repr(transparent)]
#[derive(Default)]
pub(super) struct Index<'p> {
    pub(super) buckets: Pages<'p, Bucket<'p>>,
}

impl<'p> Index<'p> {
    pub(super) const fn new() -> Self {
        Self { buckets: Pages::new() }
    }

    /// True for the index of a map that is small enough to do without.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// The place of the item with this tag that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, tag: u32, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        let bucket = self.buckets.nth(bucket_of(tag, self.len()))?;
        // All slots are compared, without a branch: guessing which one it is would be wrong most of the time, and
        // would keep the processor from fetching for the next lookup meanwhile.
        let mut matches = 0;
        for (at, &slot) in bucket.slots.iter().enumerate() {
            matches |= u32::from(tag_of(slot) == tag) << at;
        }
        while matches != 0 {
            // An empty slot may match the tag 0; no item has its place.
            let place = place_of(bucket.slots[matches.trailing_zeros() as usize]);
            if is_it(place) {
                return Some(place);
            }
            matches &= matches - 1;
        }
        if bucket.overflow.len() == 0 {
            return None;
        }
        let overflow = bucket.overflow.as_slice().iter();
        overflow.filter(|&&slot| tag_of(slot) == tag).map(|&slot| place_of(slot)).find(|&place| is_it(place))
    }

    /// Adds the slot of a new item. On an error nothing has changed.
    pub(super) fn add(&mut self, tx: &Tx<'p>, slot: Slot) -> Result<()> {
        let number = bucket_of(tag_of(slot), self.len());
        let Some(bucket) = self.buckets.nth(number) else { return Ok(()) };
        if let Some(free) = bucket.free() {
            self.set(number, free, slot, tx);
            return Ok(());
        }
        match self.overflow_mut(number, tx) {
            Some(overflow) => overflow.push(tx, slot),
            None => Ok(()),
        }
    }

    /// The slot of an item: `slot`, or where its key's hash is not what it was (a mistake of the user's, which must not cost
    /// the pool), the one that names its place.
    #[inline]
    fn known(&self, slot: Slot) -> Slot {
        let bucket = self.buckets.nth(bucket_of(tag_of(slot), self.len()));
        if bucket.is_some_and(|bucket| bucket.used().any(|used| used == slot)) {
            slot
        } else {
            self.search(slot)
        }
    }

    #[cold]
    fn search(&self, slot: Slot) -> Slot {
        self.slots().find(|used| place_of(*used) == place_of(slot)).unwrap_or(slot)
    }

    /// Removes the slot of an item: the last one of its bucket closes the gap.
    pub(super) fn remove(&mut self, tx: &Tx<'p>, slot: Slot) {
        let slot = self.known(slot);
        let number = bucket_of(tag_of(slot), self.len());
        let Some(bucket) = self.buckets.nth(number) else { return };
        if !bucket.used().any(|used| used == slot) {
            return;
        }
        let last = self.take_last(number, tx);
        if last != slot {
            self.replace_in(number, slot, last, tx);
        }
    }

    /// The item of slot `old` is at `place` now.
    pub(super) fn replace(&mut self, tx: &Tx<'p>, old: Slot, place: usize) {
        let old = self.known(old);
        let tag = tag_of(old);
        self.replace_in(bucket_of(tag, self.len()), old, slot(tag, place), tx);
    }

    #[inline]
    fn set(&mut self, number: usize, at: usize, slot: Slot, tx: &Tx<'p>) {
        if let Some(place) = self.buckets.nth_part_mut(number, tx, |bucket| bucket.slots.get(at)) {
            *place = slot;
        }
    }

    fn overflow_mut(&mut self, number: usize, tx: &Tx<'p>) -> Option<&mut PBuf<'p, Slot>> {
        self.buckets.nth_part_mut(number, tx, |bucket| Some(&bucket.overflow))
    }

    /// Puts `new` in the place of `old`.
    fn replace_in(&mut self, number: usize, old: Slot, new: Slot, tx: &Tx<'p>) {
        let Some(bucket) = self.buckets.nth(number) else { return };
        if let Some(at) = bucket.slots.iter().position(|&slot| slot == old) {
            self.set(number, at, new, tx);
        } else if let Some(at) = bucket.overflow.as_slice().iter().position(|&slot| slot == old)
            && let Some(place) = self.overflow_mut(number, tx).and_then(|overflow| overflow.get_mut(at, tx))
        {
            *place = new;
        }
    }

    /// Takes the last used slot of a bucket; 0 if there is none.
    fn take_last(&mut self, number: usize, tx: &Tx<'p>) -> Slot {
        let Some(bucket) = self.buckets.nth(number) else { return 0 };
        if bucket.overflow.len() == 0 {
            let Some(at) = bucket.slots.iter().rposition(|&slot| slot != 0) else { return 0 };
            let last = bucket.slots[at];
            self.set(number, at, 0, tx);
            return last;
        }
        let Some(overflow) = self.overflow_mut(number, tx) else { return 0 };
        let last = overflow.pop().unwrap_or(0);
        if overflow.len() == 0 {
            *overflow = PBuf::new();
        }
        last
    }

    /// Adds one bucket, with its share of the bucket that has served it so far. On an error nothing has changed.
    pub(super) fn split(&mut self, tx: &Tx<'p>) -> Result<()> {
        let new = self.len();
        // Where the new bucket's tags belong while it does not exist.
        let source = bucket_of(new as u32, new.max(1));
        let Some(old) = self.buckets.nth(source).filter(|_| new != 0) else {
            return self.buckets.push(tx, Bucket::new()).map(drop);
        };
        let mut leave = Share::default();
        let mut stay = Share::default();
        for slot in old.used() {
            let share = if bucket_of(tag_of(slot), new + 1) == new { &mut leave } else { &mut stay };
            share.push(slot);
        }
        let bucket = Bucket::of(tx, leave.as_slice())?;
        self.buckets.push(tx, bucket)?;
        if !leave.as_slice().is_empty()
            && let Some(old) = self.buckets.nth_mut(source, tx)
        {
            old.keep(tx, stay.as_slice());
        }
        Ok(())
    }

    /// An index of `buckets` buckets with these slots.
    pub(super) fn build(tx: &Tx<'p>, buckets: usize, slots: impl Iterator<Item = Slot>) -> Result<Self> {
        let mut index = Self::new();
        index.buckets.reserve(tx, buckets)?;
        for _ in 0..buckets {
            index.buckets.push(tx, Bucket::new())?;
        }
        for slot in slots {
            index.add(tx, slot)?;
        }
        Ok(index)
    }

    /// All slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.buckets.pages().iter().flat_map(|page| page.as_slice()).flat_map(Bucket::used)
    }
}

/// Slots on their way from one bucket to two, on the stack unless there are many.
#[derive(Default)]
struct Share {
    few: [Slot; SLOTS],
    count: usize,
    many: Vec<Slot>,
}

impl Share {
    fn push(&mut self, slot: Slot) {
        if let Some(free) = self.few.get_mut(self.count) {
            *free = slot;
            self.count += 1;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(&self.few);
        }
        self.many.push(slot);
    }

    fn as_slice(&self) -> &[Slot] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_bucket: Bucket<'static>, "`PHashMap`" 1, [slots, overflow]);

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

    #[test]
    fn a_slot_is_never_empty_and_gives_its_parts_back() {
        for (tag, place) in [(0, 0), (u32::MAX, 5), (1, u32::MAX as usize - 1)] {
            let slot = slot(tag, place);
            assert_ne!(slot, 0);
            assert_eq!((tag_of(slot), place_of(slot)), (tag, place));
        }
    }
}
