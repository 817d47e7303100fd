//! [`PDeque`]: a queue with two ends.
//!
//! The ring of values itself is `PRing`, of the typed floor. Here are the names of `VecDeque`, and whatever moves values
//! within the ring, which is done by exchanging remembered values (see [`pair`]).
//!
//! The parts: [`iter`] (iterators, drain), [`pair`] (two slices as one), [`traits`] (comparisons and the like).

mod iter;
mod pair;
mod traits;

use std::cmp::Ordering;
use std::ops::{Range, RangeBounds};

use crate::ground::error::{Error, Result};
use crate::ground::span::span;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{PRing, persistent_struct};

pub use iter::{Drain, Iter, IterMut};
use pair::Pair;

/// A double-ended queue in the pool: `VecDeque` for persistent data.
///
/// Thirty-two bytes and one block, used as a ring; no block while it is empty and new. Appending and removing at both ends
/// takes constant time (appending: amortised, for a full ring moves to a block of twice its size), and records what was
/// appended, not what was there. Elements are looked up by their index in constant time. To change elements, ask for
/// them with `tx`: exactly the elements that you ask for are remembered.
///
/// ```
/// # use pobj::{PDeque, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Jobs<'p> {
///     waiting: PDeque<'p, u64>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Jobs>::create(dir.path().join("jobs.pobj"))?;
/// pool.write(|jobs, tx| {
///     jobs.waiting.extend(tx, [1, 2, 3])?;
///     jobs.waiting.push_front(tx, 0)
/// })?;
/// // A consumer: the job is gone if and only if what it did is committed.
/// let job = pool.write(|jobs, _tx| Ok(jobs.waiting.pop_front()))?;
/// assert_eq!(job, Some(0));
/// assert_eq!(pool.read().waiting, [1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PDeque<'p, T> {
    ring: PRing<'p, T>,
}

persistent_struct! {
    impl['p, T: Persistent] PDeque['p, T] called "PDeque"[T];
    at<'q> = PDeque<'q, T::At<'q>>;
    fields { ring: PRing<'p, T> }
    check = PRing::<'p, T>::validate;
}

impl<T> PDeque<'_, T> {
    /// An empty queue, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: PRing::new() }
    }

    /// Number of elements.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.len() == 0
    }

    /// Elements that fit before the block must be replaced.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    /// The elements: those up to the block's end, and those from its start, which may be none.
    #[must_use]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        self.ring.range(0..self.len()).unwrap_or_default()
    }

    /// The element at `index`.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.ring.range(index..index.checked_add(1)?)?.0.first()
    }

    /// The first element.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.get(0)
    }

    /// The last element.
    #[must_use]
    pub fn back(&self) -> Option<&T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Whether `value` is among the elements. Looks at all of them.
    #[must_use]
    pub fn contains(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        let (front, back) = self.as_slices();
        front.contains(value) || back.contains(value)
    }

    /// Searches a sorted queue for `value`: `Ok` with the index of an equal element, or `Err` with where it would go.
    ///
    /// # Errors
    ///
    /// The index at which `value` could be inserted, where no element equals it.
    pub fn binary_search(&self, value: &T) -> Result<usize, usize>
    where
        T: Ord,
    {
        self.binary_search_by(|element| element.cmp(value))
    }

    /// As [`binary_search`](Self::binary_search), by a key of the elements.
    ///
    /// # Errors
    ///
    /// As [`binary_search`](Self::binary_search).
    pub fn binary_search_by_key<'a, K: Ord>(
        &'a self,
        key: &K,
        mut of: impl FnMut(&'a T) -> K,
    ) -> Result<usize, usize> {
        self.binary_search_by(|element| of(element).cmp(key))
    }

    /// As [`binary_search`](Self::binary_search), by a comparison of an element with what is searched.
    ///
    /// # Errors
    ///
    /// As [`binary_search`](Self::binary_search).
    pub fn binary_search_by<'a>(
        &'a self,
        mut compare: impl FnMut(&'a T) -> Ordering,
    ) -> Result<usize, usize> {
        let (front, back) = self.as_slices();
        match back.first().map(&mut compare) {
            Some(Ordering::Equal) => Ok(front.len()),
            Some(Ordering::Less) => {
                let offset = |index| index + front.len();
                back.binary_search_by(compare).map(offset).map_err(offset)
            }
            _ => front.binary_search_by(compare),
        }
    }

    /// The index of the first element for which `is_before` is false, where all for which it is true come first.
    #[must_use]
    pub fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        let (front, back) = self.as_slices();
        match back.first().map(&mut is_before) {
            Some(true) => front.len() + back.partition_point(is_before),
            _ => front.partition_point(is_before),
        }
    }

    fn range_of(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        let range = span(range, self.len());
        if range.start > range.end || range.end > self.len() {
            return Err(self.out_of_range(range.start.max(range.end)));
        }
        Ok(range)
    }

    fn out_of_range(&self, index: usize) -> Error {
        Error::OutOfRange { index: index as u64, len: self.len() as u64 }
    }
}

impl<'p, T: Persistent<At<'p> = T>> PDeque<'p, T> {
    /// An empty queue with room for `count` elements.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](Error::PoolFull), or [`Io`](Error::Io) when the file cannot grow; so for every method that takes
    /// memory.
    pub fn with_capacity(tx: &Tx<'p>, count: usize) -> Result<Self> {
        let mut deque = Self::new();
        deque.ring.reserve_exact(tx, count as u64)?;
        Ok(deque)
    }

    /// Makes room for `more` elements, and more beyond, so that repeated calls stay cheap.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn reserve(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.ring.reserve(tx, more as u64)
    }

    /// Makes room for `more` elements and little beyond.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn reserve_exact(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.ring.reserve_exact(tx, more as u64)
    }

    /// Gives room beyond the elements back, if a much smaller block would do.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        self.ring.shrink_to_fit(tx)
    }

    /// Appends `value` at the end.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    #[inline]
    pub fn push_back(&mut self, tx: &Tx<'p>, value: T) -> Result<()> {
        self.ring.push_back(tx, value)
    }

    /// Puts `value` before the first element.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    #[inline]
    pub fn push_front(&mut self, tx: &Tx<'p>, value: T) -> Result<()> {
        self.ring.push_front(tx, value)
    }

    /// Removes the last element. Nothing is remembered: what leaves a queue just falls out of its count.
    pub fn pop_back(&mut self) -> Option<T> {
        self.ring.pop_back()
    }

    /// Removes the first element. Nothing is remembered.
    pub fn pop_front(&mut self) -> Option<T> {
        self.ring.pop_front()
    }

    /// Removes the last element if `remove` says so.
    pub fn pop_back_if(&mut self, remove: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.back().is_some_and(remove) { self.pop_back() } else { None }
    }

    /// Removes the first element if `remove` says so.
    pub fn pop_front_if(&mut self, remove: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.front().is_some_and(remove) { self.pop_front() } else { None }
    }

    /// The element at `index`, for changing. It alone is remembered.
    #[inline]
    pub fn get_mut(&mut self, index: usize, tx: &Tx<'p>) -> Option<&mut T> {
        self.ring.get_mut(index, tx)
    }

    /// The first element, for changing. It alone is remembered.
    pub fn front_mut(&mut self, tx: &Tx<'p>) -> Option<&mut T> {
        self.get_mut(0, tx)
    }

    /// The last element, for changing. It alone is remembered.
    pub fn back_mut(&mut self, tx: &Tx<'p>) -> Option<&mut T> {
        self.get_mut(self.len().checked_sub(1)?, tx)
    }

    /// The elements as two slices, for changing. All are remembered.
    pub fn as_mut_slices(&mut self, tx: &Tx<'p>) -> (&mut [T], &mut [T]) {
        self.ring.range_mut(0..self.ring.len(), tx).unwrap_or_default()
    }

    /// Moves the elements within the block so that they are one slice, and gives it for changing: for sorting. All
    /// are remembered.
    pub fn make_contiguous(&mut self, tx: &Tx<'p>) -> &mut [T] {
        self.ring.make_contiguous(tx)
    }

    /// Exchanges two elements; false, changing nothing, if one of them is beyond the end. They alone are remembered.
    pub fn swap(&mut self, a: usize, b: usize, tx: &Tx<'p>) -> bool {
        self.ring.swap(a, b, tx)
    }

    /// Puts `value` at `index`. The elements on the shorter side of it move, and are remembered.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange) if `index` is beyond the end; as [`with_capacity`](Self::with_capacity).
    pub fn insert(&mut self, tx: &Tx<'p>, index: usize, value: T) -> Result<()> {
        let len = self.len();
        if index > len {
            return Err(self.out_of_range(index));
        }
        if index < len / 2 {
            self.push_front(tx, value)?;
            self.pair(0..index + 1, tx).rotate_left(1);
        } else {
            self.push_back(tx, value)?;
            self.pair(index..len + 1, tx).rotate_right(1);
        }
        Ok(())
    }

    /// Removes the element at `index`. The elements on the shorter side of it move, and are remembered. `None` beyond
    /// the end.
    pub fn remove(&mut self, index: usize, tx: &Tx<'p>) -> Option<T> {
        let len = self.len();
        if index >= len {
            return None;
        }
        if index < len / 2 {
            self.pair(0..index + 1, tx).rotate_right(1);
            self.pop_front()
        } else {
            self.pair(index..len, tx).rotate_left(1);
            self.pop_back()
        }
    }

    /// Removes the element at `index` and puts the last one in its place. `None` beyond the end.
    pub fn swap_remove_back(&mut self, index: usize, tx: &Tx<'p>) -> Option<T> {
        let last = self.len().checked_sub(1)?;
        if index != last && !self.swap(index, last, tx) { None } else { self.pop_back() }
    }

    /// Removes the element at `index` and puts the first one in its place. `None` beyond the end.
    pub fn swap_remove_front(&mut self, index: usize, tx: &Tx<'p>) -> Option<T> {
        if index != 0 && !self.swap(index, 0, tx) { None } else { self.pop_front() }
    }

    /// Drops the elements from `count` on.
    pub fn truncate(&mut self, count: usize) {
        self.ring.truncate(count);
    }

    /// Drops all elements. The block is kept.
    pub fn clear(&mut self) {
        self.ring.truncate(0);
    }

    /// Appends what `values` yields.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity); the elements before the one that did not fit stay.
    pub fn extend(&mut self, tx: &Tx<'p>, values: impl IntoIterator<Item = T>) -> Result<()> {
        let values = values.into_iter();
        let at_least = values.size_hint().0;
        if at_least > 1 {
            self.reserve(tx, at_least)?;
        }
        for value in values {
            self.push_back(tx, value)?;
        }
        Ok(())
    }

    /// Appends copies of `values`.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn extend_from_slice(&mut self, tx: &Tx<'p>, values: &[T]) -> Result<()>
    where
        T: Copy,
    {
        self.ring.extend_from_slice(tx, values)
    }

    /// Moves all elements of `other` to the end of this queue.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity); then nothing has moved.
    pub fn append(&mut self, tx: &Tx<'p>, other: &mut Self) -> Result<()> {
        self.reserve(tx, other.len())?;
        while let Some(value) = other.pop_front() {
            self.push_back(tx, value)?;
        }
        Ok(())
    }

    /// Moves the elements from `at` on to a new queue.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange) if `at` is beyond the end; as [`with_capacity`](Self::with_capacity), and then
    /// nothing has moved.
    pub fn split_off(&mut self, tx: &Tx<'p>, at: usize) -> Result<Self> {
        let Some(count) = self.len().checked_sub(at) else { return Err(self.out_of_range(at)) };
        let mut other = Self::with_capacity(tx, count)?;
        for _ in 0..count {
            if let Some(value) = self.pop_back() {
                other.push_front(tx, value)?;
            }
        }
        Ok(other)
    }

    /// Makes the queue `count` elements long: drops those beyond, or appends what `make` gives.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity), and those of `make`; the elements before it stay.
    pub fn resize_with(
        &mut self,
        tx: &Tx<'p>,
        count: usize,
        mut make: impl FnMut() -> Result<T>,
    ) -> Result<()> {
        self.truncate(count);
        let more = count - self.len();
        if more > 1 {
            self.reserve(tx, more)?;
        }
        for _ in 0..more {
            let value = make()?;
            self.push_back(tx, value)?;
        }
        Ok(())
    }

    /// Makes the queue `count` elements long: drops those beyond, or appends copies of `value`.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn resize(&mut self, tx: &Tx<'p>, count: usize, value: T) -> Result<()>
    where
        T: Copy,
    {
        self.resize_with(tx, count, || Ok(value))
    }

    /// Keeps the elements for which `keep` says so, in their order. Remembers from the first that goes to the end.
    pub fn retain(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&T) -> bool) {
        let Some(first) = self.iter().position(|element| !keep(element)) else {
            return;
        };
        let len = self.len();
        let mut rest = self.pair(first..len, tx);
        let mut kept = 0;
        for index in 1..rest.len() {
            if rest.get(index).is_some_and(&mut keep) {
                rest.swap(kept, index);
                kept += 1;
            }
        }
        self.truncate(first + kept);
    }

    /// Keeps the elements for which `keep`, which may change them, says so. All are remembered.
    pub fn retain_mut(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&mut T) -> bool) {
        let len = self.len();
        let mut all = self.pair(0..len, tx);
        let mut kept = 0;
        for index in 0..len {
            if all.get_mut(index).is_some_and(&mut keep) {
                all.swap(kept, index);
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    /// Moves the first `count` elements to the end. All are remembered.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange) if there are fewer.
    pub fn rotate_left(&mut self, count: usize, tx: &Tx<'p>) -> Result<()> {
        let len = self.len();
        self.range_of(..count)?;
        self.pair(0..len, tx).rotate_left(count);
        Ok(())
    }

    /// Moves the last `count` elements to the front. All are remembered.
    ///
    /// # Errors
    ///
    /// As [`rotate_left`](Self::rotate_left).
    pub fn rotate_right(&mut self, count: usize, tx: &Tx<'p>) -> Result<()> {
        self.range_of(..count)?;
        self.rotate_left(self.len() - count, tx)
    }

    /// The elements in `range`, which is within the count, remembered.
    fn pair(&mut self, range: Range<usize>, tx: &Tx<'p>) -> Pair<'_, T> {
        let (front, back) = self.ring.range_mut(range, tx).unwrap_or_default();
        Pair { front, back }
    }
}
