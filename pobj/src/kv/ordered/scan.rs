//! Ranges of records: beside a guard as iterators from both ends, in a transaction with callbacks.

use std::cmp::Ordering;
use std::ops::{Bound, ControlFlow};

use super::{Bounds, Entry, Order, OrderedTable, Part, Probe, Row};
use crate::collections::btree_map;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{NodeRef, PRwLock, PRwLockReadGuard, PRwLockWriteGuard, Pair, ReadGuard, Way};

/// All keys.
pub(super) const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);

/// A part, by what leads to it.
enum Found<'a, 'r, 'p> {
    First(&'a PRwLock<'p, Part<'p>>),
    Other(&'r Entry<'p>),
}

impl<'a, 'p> Found<'a, '_, 'p> {
    fn read(&self, tx: &'a Tx<'p>) -> Result<PRwLockReadGuard<'a, 'p, Part<'p>>> {
        match self {
            Self::First(lock) => lock.read(tx),
            Self::Other(entry) => entry.part.read(tx),
        }
    }

    fn write(&self, tx: &'a Tx<'p>) -> Result<PRwLockWriteGuard<'a, 'p, Part<'p>>> {
        match self {
            Self::First(lock) => lock.write(tx),
            Self::Other(entry) => entry.part.write(tx),
        }
    }

    fn entry(&self) -> Option<&Entry<'p>> {
        match self {
            Self::First(_) => None,
            Self::Other(entry) => Some(entry),
        }
    }
}

type Records<'a, 'p> = btree_map::Range<'a, u64, Pair<'p>>;
type Entries<'a, 'p> = btree_map::Range<'a, u64, Entry<'p>>;

/// The parts that a range touches.
struct Stretch<'r, 'p> {
    /// `None` is the first part.
    front: Option<&'r Entry<'p>>,
    between: Entries<'r, 'p>,
    /// The last one, if it is another than `front`.
    back: Option<&'r Entry<'p>>,
}

fn place(result: std::result::Result<usize, usize>) -> usize {
    result.unwrap_or_else(|place| place)
}

/// The records of a part between two bounds that lie in it.
fn records<'a, 'p, O: Order>(
    part: &'a Part<'p>,
    entry: Option<&Entry<'p>>,
    (start, end): Bounds<'_>,
) -> Records<'a, 'p> {
    let skip = entry.map_or(0, Entry::skip);
    let probe = |bound: Bound<&[u8]>, node: NodeRef<'a, u64, Pair<'p>>| match bound {
        Bound::Included(key) | Bound::Excluded(key) => Probe::behind::<O>(key, skip).search::<O, _>(node),
        Bound::Unbounded => Err(0),
    };
    let front = |node| match (start, probe(start, node)) {
        (Bound::Excluded(_), Ok(place)) => Way::Before(place + 1),
        (Bound::Included(_), Ok(place)) => Way::Here(place),
        (_, Ok(place) | Err(place)) => Way::Before(place),
    };
    let back = |node: NodeRef<'a, u64, Pair<'p>>| match (end, probe(end, node)) {
        (Bound::Unbounded, _) => Way::Before(node.len()),
        (Bound::Included(_), Ok(place)) => Way::Here(place),
        (_, Ok(place) | Err(place)) => Way::Before(place),
    };
    part.range_by(front, back)
}

/// The parts of a range; `None` if its ends are in the wrong order.
fn stretch<'r, 'p, O: Order>(row: &'r Row<'p>, (start, end): Bounds<'_>) -> Option<Stretch<'r, 'p>> {
    if let (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) =
        (start, end)
        && O::compare(start, end) == Ordering::Greater
    {
        return None;
    }
    let of = |key: &[u8]| {
        let probe = Probe::new::<O>(key);
        row.floor_by(|node| probe.search::<O, _>(node)).map(|(_, entry)| entry)
    };
    let front = match start {
        Bound::Included(key) | Bound::Excluded(key) => of(key),
        Bound::Unbounded => None,
    };
    let back = match end {
        Bound::Included(key) | Bound::Excluded(key) => of(key),
        Bound::Unbounded => row.last_key_value().map(|(_, entry)| entry),
    };
    let gap = |entry: &Entry<'p>, node: NodeRef<'r, u64, Entry<'p>>| {
        Probe::new::<O>(entry.fence.key()).search::<O, _>(node)
    };
    let alone = match (front, back) {
        (Some(front), Some(back)) => std::ptr::eq(front, back),
        (_, None) => true,
        (None, Some(_)) => false,
    };
    let between = row.range_by(
        |node| match front {
            Some(front) => Way::Before(gap(front, node).map_or_else(|place| place, |place| place + 1)),
            None => Way::Before(0),
        },
        |node| match back {
            Some(back) if !alone => Way::Before(place(gap(back, node))),
            _ => Way::Before(0),
        },
    );
    // Where it is one part, both ways may lead to the same gap or into the wrong order; there is nothing between.
    let between = if alone { row.range_by(|_| Way::Before(0), |_| Way::Before(0)) } else { between };
    Some(Stretch { front, between, back: back.filter(|_| !alone) })
}

fn bytes<'a>((_, pair): (&'a u64, &'a Pair<'_>)) -> (&'a [u8], &'a [u8]) {
    (pair.key(), pair.value())
}

impl<'p, O: Order> OrderedTable<'p, O> {
    /// The records of a range, beside a guard.
    pub(super) fn range<'a, R: Persistent>(
        &'a self,
        bounds: Bounds<'_>,
        guard: &'a ReadGuard<'p, R>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'p, R, O> {
        let parts = stretch::<O>(self.row.get(guard), bounds).map(|Stretch { front, between, back }| {
            let (start, end) = bounds;
            let front_part = front.map_or_else(|| self.first.get(guard), |entry| entry.part.get(guard));
            let front_end = if back.is_some() { Bound::Unbounded } else { end };
            let front = records::<O>(front_part, front, (start, front_end));
            let between =
                between.flat_map(|(_, entry)| records::<O>(entry.part.get(guard), Some(entry), ALL));
            let back =
                back.map(|entry| records::<O>(entry.part.get(guard), Some(entry), (Bound::Unbounded, end)));
            front.chain(between).chain(back.into_iter().flatten())
        });
        parts.into_iter().flatten().map(bytes)
    }

    /// Number of records in a range, beside a guard: of whole parts, without a look at their records.
    pub(super) fn count_beside<R: Persistent>(&self, bounds: Bounds<'_>, guard: &ReadGuard<'p, R>) -> usize {
        let Some(Stretch { front, between, back }) = stretch::<O>(self.row.get(guard), bounds) else {
            return 0;
        };
        let (start, end) = bounds;
        let front_part = front.map_or_else(|| self.first.get(guard), |entry| entry.part.get(guard));
        let front_end = if back.is_some() { Bound::Unbounded } else { end };
        let whole: usize = between.map(|(_, entry)| entry.part.get(guard).len()).sum();
        let last = back.map_or(0, |entry| {
            records::<O>(entry.part.get(guard), Some(entry), (Bound::Unbounded, end)).count()
        });
        records::<O>(front_part, front, (start, front_end)).count() + whole + last
    }

    /// Shows each part of a range to `look`, locked, with the bounds that matter in it, until that breaks off.
    fn parts<'a, B>(
        &'a self,
        row: &Row<'p>,
        bounds: Bounds<'_>,
        backwards: bool,
        mut look: impl FnMut(&Found<'a, '_, 'p>, Bounds<'_>) -> Result<ControlFlow<B>>,
    ) -> Result<ControlFlow<B>> {
        let Some(Stretch { front, between, back }) = stretch::<O>(row, bounds) else {
            return Ok(ControlFlow::Continue(()));
        };
        let (start, end) = bounds;
        let front_end = if back.is_some() { Bound::Unbounded } else { end };
        let front = std::iter::once((front, (start, front_end)));
        let between = between.map(|(_, entry)| (Some(entry), ALL));
        let back = back.map(|entry| (Some(entry), (Bound::Unbounded, end)));
        let mut parts = front.chain(between).chain(back);
        loop {
            let next = if backwards { parts.next_back() } else { parts.next() };
            let Some((entry, bounds)) = next else { return Ok(ControlFlow::Continue(())) };
            let found = match entry {
                Some(entry) => Found::Other(entry),
                None => Found::First(&self.first),
            };
            let flow = look(&found, bounds)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }

    /// Shows the records of a range to `each`, under locks that stay.
    pub(super) fn scan<B>(
        &self,
        bounds: Bounds<'_>,
        backwards: bool,
        tx: &Tx<'p>,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let row = self.row.read(tx)?;
        self.parts(&row, bounds, backwards, |part, bounds| {
            let (part, entry) = (part.read(tx)?, part.entry());
            let mut records = records::<O>(&part, entry, bounds).map(bytes);
            Ok(match backwards {
                false => records.try_for_each(|(key, value)| each(key, value)),
                true => records.rev().try_for_each(|(key, value)| each(key, value)),
            })
        })
    }

    /// Number of records in a range, under locks that stay.
    pub(super) fn count_scan(&self, bounds: Bounds<'_>, tx: &Tx<'p>) -> Result<usize> {
        let row = self.row.read(tx)?;
        let mut count = 0;
        let _: ControlFlow<()> = self.parts(&row, bounds, false, |part, bounds| {
            let (part, entry) = (part.read(tx)?, part.entry());
            count += if bounds == ALL { part.len() } else { records::<O>(&part, entry, bounds).count() };
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// Takes the first record, or the last one, and shows it to `look`.
    pub(super) fn pop<T>(
        &self,
        last: bool,
        tx: &Tx<'p>,
        look: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<Option<T>> {
        let row = self.row.read(tx)?;
        let popped = self.parts(&row, ALL, last, |part, _| {
            let mut part = part.write(tx)?;
            if part.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            let popped = if last { part.pop_last(tx) } else { part.pop_first(tx) };
            Ok(popped
                .map_or(ControlFlow::Continue(()), |(_, pair)| ControlFlow::Break((pair, part.is_empty()))))
        })?;
        drop(row);
        let ControlFlow::Break((pair, emptied)) = popped else { return Ok(None) };
        if emptied {
            self.drop_part(tx, pair.key());
        }
        Ok(Some(look(pair.key(), pair.value())))
    }
}
