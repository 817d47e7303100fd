//! The ordered engine: parts of the key space side by side, each a tree behind a lock of its own.
//!
//! A *part* has the keys from its *fence*, which it owns a copy of, up to the next part's. The first part has no fence and is
//! always there. The others' owners lie in the *row*, a tree by fences behind a lock. Both kinds of tree keep eight bytes of
//! a key, its *head*, beside the pointer to the rest (see [`order`]), so a search reads other blocks only where those are
//! alike. In the row, and in the first part, it is the first eight bytes. In a part between two fences it is what follows the bytes
//! that both fences begin with, as then do all keys between them (the prefix truncation of Bayer and Unterauer's prefix B-trees,
//! 1977).
//!
//! A transaction looks a key's part up in the row, takes the part's lock, and leaves the row at once ([`LockBox`]); it holds
//! the part to its end. So transactions in different parts never wait for each other, and one that waits for a part keeps
//! nobody out of the row.
//!
//! **Splits.** Who adds to a part that has become large tries to get the row alone. If that would mean to wait it leaves the
//! part as it is: parts may have any size. A split takes whole branches off the part's tree, which costs a few nodes.
//! **Drops.** Who has emptied a part takes it out of the row if it can have the row at once; its keys belong to the part before
//! it from then on.
//!
//! **Scans** hold the row beside others, so no part comes or goes, and lock what they pass, all to the end. So what a scan has
//! shown stays as it is until its transaction ends: who adds to a range, or takes from it, needs a part that the scan holds.
//!
//! - **OR1** Whoever changes the row holds it alone to the end of its transaction, and holds the part whose keys go elsewhere.
//! - **OR2** Nobody waits for the row while it holds a lock that it only waited for. So an operation on one key waits for one
//!   lock at a time, holding nothing, and never for itself.
//! - **OR3** The heads of a part leave out as many bytes as its entry says, which are no more than its fence and the next one
//!   have in common. Both change together, under the row's lock and the part's.
//!
//! What is where rests on the order. A wrong one, or a damaged file's keys in no order, make searches miss; each walk still
//! ends, for it follows trees that validation has seen.

mod bounds;
mod faces;
mod locate;
mod order;
mod scan;
mod store;
#[cfg(test)]
mod tests;
mod typed;

use std::marker::PhantomData;
use std::ops::{ControlFlow, Range};

use super::engine::{Engine, Sealed, Table};
use crate::collections::PBTreeMap;
use crate::collections::btree_map::Path;
use crate::ground::error::Result;
use crate::layout::{Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::{Label, LockBox, PRwLock, Pair, ReadGuard, Way, persistent_struct};

pub use bounds::{Bounds, KeyRange, Seek};
pub use order::{Bytewise, Order};
use order::{Keyed, Probe, head_behind};

/// Records of a part that is to be split.
const PART_MAX: usize = if cfg!(miri) {
    6
} else if cfg!(feature = "sim") {
    // More than a leaf holds, so that branches are taken apart as well.
    40
} else {
    4096
};
/// Parts that come into being earlier, so that threads soon have some each.
const EARLY_PARTS: usize = if PART_MAX < 100 { 3 } else { 64 };
/// Records of a part that is to be split while there are few.
const EARLY_MAX: usize = PART_MAX / 8 + 3;

/// The engine that keeps keys in their order: [`Bytewise`], or one of your own.
///
/// Beyond what every engine can it has ranges, prefixes and neighbours: see the methods of [`Map`](super::Map),
/// [`Store`](super::Store), [`Snapshot`](super::Snapshot), [`StoreTx`](super::StoreTx) and [`Typed`](super::Typed) for it.
///
/// A search takes time proportional to the logarithm of the size. Space on the medium: the block of a record (8 bytes, key and
/// value, rounded up to a size class) and 20 to 25 bytes in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ordered<O = Bytewise> {
    order: PhantomData<O>,
}

impl<O: Order> Sealed for Ordered<O> {}

impl<O: Order> Engine for Ordered<O> {
    type Table<'p> = OrderedTable<'p, O>;
}

/// The records of a part: the heads of their keys, and the records.
type Part<'p> = PBTreeMap<'p, u64, Pair<'p>>;
/// The parts but the first: the heads of their fences, and the rest.
type Row<'p> = PBTreeMap<'p, u64, Entry<'p>>;

/// A part in the row.
#[repr(C)]
struct Entry<'p> {
    /// Its first key, or one before that and behind all of the part before. The value is [`skip`](Self::skip).
    fence: Pair<'p>,
    part: LockBox<'p, Part<'p>>,
}

static_assertions::assert_eq_size!(Entry<'static>, [u64; 2]);

persistent_struct! {
    impl['p] Entry['p] called "KvEntry"[];
    at<'q> = Entry<'q>;
    fields { fence: Pair<'p>, part: LockBox<'p, Part<'p>> }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        Self::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
    };
}

impl<'p> Entry<'p> {
    /// How many bytes, which its keys have in common, the heads of the part's keys leave out: a fence says it in a value of
    /// four bytes, and 0 where it has none.
    #[inline]
    fn skip(&self) -> usize {
        self.fence.value().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
    }

    /// Gives the part's keys the heads that belong to another `skip`. On an error nothing has changed.
    fn set_skip<O: Order>(&mut self, tx: &Tx<'p>, part: &mut Part<'p>, skip: u32) -> Result<()> {
        self.fence.set_value(tx, &skip.to_le_bytes())?;
        give_heads::<O>(part, tx, skip);
        Ok(())
    }
}

/// Gives a part's keys their heads behind `skip` bytes.
fn give_heads<'p, O: Order>(part: &mut Part<'p>, tx: &Tx<'p>, skip: u32) {
    part.change_keys(tx, |heads, records| {
        // They lie anywhere: the waits for those of a node overlap.
        records.iter().for_each(Pair::expect);
        for (head, record) in heads.iter_mut().zip(records) {
            *head = head_behind::<O>(record.key(), skip as usize);
        }
    });
}

/// What the keys from one fence up to the next have in common. Nothing is known of those before the first fence, and behind the
/// last.
fn common_len<O: Order>(low: Option<&[u8]>, high: Option<&[u8]>) -> u32 {
    low.zip(high).map_or(0, |(low, high)| O::common_len(low, high).try_into().unwrap_or(0))
}

/// The entry before the one of this fence, and the one behind it.
fn neighbours<'r, 'p, O: Order>(row: &'r Row<'p>, fence: &[u8]) -> [Option<&'r Entry<'p>>; 2] {
    let place = |node| match Probe::new::<O>(fence).search::<O, _>(node) {
        Ok(place) => (place, place + 1),
        Err(place) => (place, place),
    };
    let mut before = row.range_by(|_| Way::Before(0), |node| Way::Before(place(node).0));
    let mut behind = row.range_by(|node| Way::Before(place(node).1), |node| Way::Before(node.len()));
    [before.next_back(), behind.next()].map(|found| found.map(|(_, entry)| entry))
}

impl Keyed for Entry<'_> {
    #[inline]
    fn key(&self) -> &[u8] {
        self.fence.key()
    }
}

/// What the engine [`Ordered`] keeps in a pool.
#[repr(C)]
pub struct OrderedTable<'p, O> {
    order: Label<O>,
    first: PRwLock<'p, Part<'p>>,
    row: PRwLock<'p, Row<'p>>,
}

static_assertions::assert_eq_size!(OrderedTable<'static, Bytewise>, [u64; 10]);

persistent_struct! {
    impl['p, O: Order] OrderedTable['p, O] called "KvOrdered"[];
    at<'q> = OrderedTable<'q, O>;
    fields { order: Label<O>, first: PRwLock<'p, Part<'p>>, row: PRwLock<'p, Row<'p>> }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        Self::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
    };
}

impl<O: Order> Default for OrderedTable<'_, O> {
    fn default() -> Self {
        Self { order: Label::default(), first: PRwLock::default(), row: PRwLock::default() }
    }
}

impl<'p, O: Order> OrderedTable<'p, O> {
    /// Puts a new record into the gap of its part that `place` names.
    #[inline]
    fn add(
        &self,
        tx: &Tx<'p>,
        held: &mut locate::Changing<'_, 'p>,
        place: Path,
        head: u64,
        pair: Pair<'p>,
    ) -> Result<()> {
        held.part.insert_at_place(tx, place, head, pair)?;
        let len_max = if held.others < EARLY_PARTS { EARLY_MAX } else { PART_MAX };
        if held.part.len() > len_max {
            self.split(tx, &mut held.part, held.skip);
        }
        Ok(())
    }

    /// Splits a large part, if that is possible at once. Whatever goes wrong, the part is as good as it was.
    #[cold]
    fn split(&self, tx: &Tx<'p>, part: &mut Part<'p>, skip: usize) {
        let Ok(Some(mut row)) = self.row.try_write(tx) else { return };
        // All that can fail comes before anything changes.
        let Ok(spares) = part.spares(tx) else { return };
        let Some((_, middle)) = part.middle() else { return };
        let middle = middle.key().to_vec();
        let probe = Probe::new::<O>(&middle);
        let [below, above] = neighbours::<O>(&row, &middle);
        let low = below.map(|entry| entry.key().to_vec());
        let upper_skip = common_len::<O>(Some(&middle), above.map(Keyed::key));
        let Ok(fence) = Pair::new(tx, &middle, &upper_skip.to_le_bytes()) else { return };
        let Ok(upper) = LockBox::new(tx, Part::new()) else { return };
        // Somebody may still wait for a part that was at this place once.
        let Ok(Some(mut records)) = upper.try_write(tx) else { return };
        let (place, known) = row.place_by(|node| probe.search::<O, _>(node));
        if known || row.insert_at_place(tx, place, probe.head, Entry { fence, part: upper }).is_err() {
            return;
        }
        let Ok(Some(half)) = part.halve(tx, spares) else { return };
        *records = half;
        if upper_skip as usize != skip {
            give_heads::<O>(&mut records, tx, upper_skip);
        }
        let lower_skip = common_len::<O>(low.as_deref(), Some(&middle));
        if lower_skip as usize != skip
            && let Some(low) = low
            && let Some(entry) = entry_mut::<O>(&mut row, &low, tx)
        {
            // Where that fails the heads say less than they could.
            let _ = entry.set_skip::<O>(tx, part, lower_skip);
        }
    }

    /// Takes the part of a key out of the row, if it is empty and that is possible at once.
    #[cold]
    fn drop_part(&self, tx: &Tx<'p>, key: &[u8]) {
        let Ok(Some(mut row)) = self.row.try_write(tx) else { return };
        let probe = Probe::new::<O>(key);
        let Some((_, entry)) = row.floor_by(|node| probe.search::<O, _>(node)) else { return };
        if !matches!(entry.part.try_write(tx), Ok(Some(part)) if part.is_empty()) {
            return;
        }
        let fence = entry.key().to_vec();
        let [below, above] = neighbours::<O>(&row, &fence);
        if let Some(below) = below {
            // The keys of the part before may have less in common from now on.
            let skip = common_len::<O>(Some(below.key()), above.map(Keyed::key));
            if skip as usize != below.skip() {
                let low = below.key().to_vec();
                let Some(below) = entry_mut::<O>(&mut row, &low, tx) else { return };
                let Ok(Some(mut part)) = below.part.try_write(tx) else { return };
                if below.set_skip::<O>(tx, &mut part, skip).is_err() {
                    return;
                }
            }
        }
        let probe = Probe::new::<O>(&fence);
        if let (place, true) = row.place_by(|node| probe.search::<O, _>(node)) {
            drop(row.remove_at_place(place, tx));
        }
    }
}

/// The entry of a fence, for changing.
fn entry_mut<'r, 'p, O: Order>(row: &'r mut Row<'p>, fence: &[u8], tx: &Tx<'p>) -> Option<&'r mut Entry<'p>> {
    let probe = Probe::new::<O>(fence);
    let (place, known) = row.place_by(|node| probe.search::<O, _>(node));
    if known { row.value_at(&place, tx) } else { None }
}

impl<'p, O: Order> Table<'p> for OrderedTable<'p, O> {
    fn new(_: &Tx<'p>) -> Result<Self> {
        Ok(Self::default())
    }

    #[inline]
    fn get<'a, R: Persistent>(&'a self, key: &[u8], guard: &'a ReadGuard<'p, R>) -> Option<&'a [u8]> {
        let probe = Probe::new::<O>(key);
        let (part, skip) = match self.row.get(guard).floor_by(|node| probe.search::<O, _>(node)) {
            Some((_, entry)) => (entry.part.get(guard), entry.skip()),
            None => (self.first.get(guard), 0),
        };
        let probe = Probe::behind::<O>(key, skip);
        part.get_by(|node| probe.search::<O, _>(node)).map(|(_, pair)| pair.value())
    }

    fn iter<'a, R: Persistent>(
        &'a self,
        guard: &'a ReadGuard<'p, R>,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'p, R, O> {
        self.range(scan::ALL, guard)
    }

    fn count<R: Persistent>(&self, guard: &ReadGuard<'p, R>) -> usize {
        let others = self.row.get(guard).values().map(|entry| entry.part.get(guard).len());
        self.first.get(guard).len() + others.sum::<usize>()
    }

    #[inline]
    fn get_with<T>(&self, key: &[u8], tx: &Tx<'p>, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let held = self.look_at(key, tx)?;
        let probe = Probe::behind::<O>(key, held.skip);
        Ok(held.part.get_by(|node| probe.search::<O, _>(node)).map(|(_, pair)| look(pair.value())))
    }

    #[inline]
    fn put(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool> {
        let mut held = self.change(key, tx)?;
        let probe = Probe::behind::<O>(key, held.skip);
        let (place, found) = held.part.place_by(|node| probe.search::<O, _>(node));
        if found {
            if let Some(pair) = held.part.value_at(&place, tx) {
                pair.set_value(tx, value)?;
            }
            return Ok(false);
        }
        let pair = Pair::new(tx, key, value)?;
        self.add(tx, &mut held, place, probe.head, pair).map(|()| true)
    }

    fn put_pair(&self, tx: &Tx<'p>, pair: Pair<'p>) -> Result<bool> {
        let mut held = self.change(pair.key(), tx)?;
        let probe = Probe::behind::<O>(pair.key(), held.skip);
        let (place, found) = held.part.place_by(|node| probe.search::<O, _>(node));
        if found {
            if let Some(known) = held.part.value_at(&place, tx) {
                *known = pair;
            }
            return Ok(false);
        }
        let head = probe.head;
        self.add(tx, &mut held, place, head, pair).map(|()| true)
    }

    fn insert_if_absent(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool> {
        let mut held = self.change(key, tx)?;
        let probe = Probe::behind::<O>(key, held.skip);
        let (place, found) = held.part.place_by(|node| probe.search::<O, _>(node));
        if found {
            return Ok(false);
        }
        let pair = Pair::new(tx, key, value)?;
        self.add(tx, &mut held, place, probe.head, pair).map(|()| true)
    }

    fn update<T>(
        &self,
        key: &[u8],
        tx: &Tx<'p>,
        range: impl FnOnce(usize) -> Result<Range<usize>>,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>> {
        let mut held = self.change(key, tx)?;
        let probe = Probe::behind::<O>(key, held.skip);
        let (place, found) = held.part.place_by(|node| probe.search::<O, _>(node));
        if !found {
            return Ok(None);
        }
        let Some(pair) = held.part.value_at(&place, tx) else { return Ok(None) };
        let range = range(pair.value_len())?;
        Ok(pair.value_mut(range, tx).map(change))
    }

    fn remove(&self, key: &[u8], tx: &Tx<'p>) -> Result<bool> {
        let mut held = self.change(key, tx)?;
        let probe = Probe::behind::<O>(key, held.skip);
        let (place, found) = held.part.place_by(|node| probe.search::<O, _>(node));
        if !found {
            return Ok(false);
        }
        drop(held.part.remove_at_place(place, tx));
        if held.part.is_empty() && held.others > 0 {
            drop(held);
            self.drop_part(tx, key);
        }
        Ok(true)
    }

    fn len(&self, tx: &Tx<'p>) -> Result<usize> {
        let row = self.row.read(tx)?;
        let first = self.first.read(tx)?.len();
        row.values().try_fold(first, |len, entry| Ok(len + entry.part.read(tx)?.len()))
    }

    fn for_each<B>(
        &self,
        tx: &Tx<'p>,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.scan(scan::ALL, false, tx, each)
    }

    fn clear(&self, tx: &Tx<'p>) -> Result<()> {
        let mut row = self.row.write(tx)?;
        // All locks first: one that is refused leaves everything as it was (E2).
        let mut first = self.first.write(tx)?;
        for entry in row.values() {
            // Nobody is in the middle of it, and whoever waits for it finds it gone.
            drop(entry.part.write(tx)?);
        }
        first.clear();
        row.clear();
        Ok(())
    }

    fn sort<T>(&self, changes: &mut [(&[u8], T)]) {
        changes.sort_by(|(a, _), (b, _)| O::head(a).cmp(&O::head(b)).then_with(|| O::compare(a, b)));
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_table: OrderedTable<'static, Bytewise>, "Key-value stores" 4, [order, first, row]);

#[cfg(test)]
crate::ground::book::layout!(book_entry: Entry<'static>, "Key-value stores" 5, [fence, part]);
