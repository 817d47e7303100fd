//! What changes many elements of a vector at once: lengths, copies, conditions.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::RangeBounds;

use super::PVec;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;

impl<'p, T: Persistent<At<'p> = T>> PVec<'p, T> {
    /// Makes room for `more` elements and little beyond.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn reserve_exact(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.items.reserve_exact(tx, more as u64)
    }

    /// Removes the last element if `remove` says so.
    pub fn pop_if(&mut self, remove: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.last().is_some_and(remove) { self.pop() } else { None }
    }

    /// Replaces all elements by copies of `values`. The block is kept where they fit.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity); then nothing has changed.
    pub fn assign(&mut self, tx: &Tx<'p>, values: &[T]) -> Result<()>
    where
        T: Copy,
    {
        if values.len() as u64 > self.capacity(tx) {
            *self = Self::with_capacity(tx, values.len())?;
        }
        self.clear();
        self.extend_from_slice(tx, values)
    }

    /// Puts copies of `values` at `index` and moves the rest up.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_slice(&mut self, tx: &Tx<'p>, index: usize, values: &[T]) -> Result<()>
    where
        T: Copy,
    {
        if index > self.len() {
            return Err(self.out_of_range(index));
        }
        self.extend_from_slice(tx, values)?;
        self.slice_mut(index.., tx)?.rotate_right(values.len());
        Ok(())
    }

    /// Appends copies of the elements in `range`.
    ///
    /// # Errors
    ///
    /// As [`slice_mut`](Self::slice_mut) and [`with_capacity`](Self::with_capacity).
    pub fn extend_from_within(&mut self, tx: &Tx<'p>, range: impl RangeBounds<usize>) -> Result<()>
    where
        T: Copy,
    {
        let range = self.range(range);
        let Some(values) = self.get(range.clone()) else {
            return Err(self.out_of_range(range.start.max(range.end)));
        };
        let values = values.to_vec();
        self.extend_from_slice(tx, &values)
    }

    /// Makes the vector `count` elements long: drops those beyond, or appends what `make` gives.
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
            self.push(tx, value)?;
        }
        Ok(())
    }

    /// Makes the vector `count` elements long: drops those beyond, or appends copies of `value`.
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

    /// Moves the elements from `at` on to a new vector.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::Error::OutOfRange) if `at` is beyond the end; as [`with_capacity`](Self::with_capacity), and
    /// then nothing has moved.
    pub fn split_off(&mut self, tx: &Tx<'p>, at: usize) -> Result<Self> {
        let Some(count) = self.len().checked_sub(at) else { return Err(self.out_of_range(at)) };
        let mut other = Self::with_capacity(tx, count)?;
        for value in self.drain(at.., tx)? {
            other.push(tx, value)?;
        }
        Ok(other)
    }

    /// Keeps the elements for which `keep`, which may change them, says so. All are remembered.
    pub fn retain_mut(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&mut T) -> bool) {
        let len = self.len();
        let mut kept = 0;
        if let Some(all) = self.items.range_mut(0..len, tx) {
            for index in 0..len {
                if keep(&mut all[index]) {
                    all.swap(kept, index);
                    kept += 1;
                }
            }
        }
        self.truncate(kept);
    }

    /// Drops each element that equals the one before it. Remembers from the first such pair to the end.
    pub fn dedup(&mut self, tx: &Tx<'p>)
    where
        T: PartialEq,
    {
        self.dedup_by(tx, |element, before| element == before);
    }

    /// Drops each element whose key equals that of the one before it.
    pub fn dedup_by_key<K: PartialEq>(&mut self, tx: &Tx<'p>, mut key: impl FnMut(&T) -> K) {
        self.dedup_by(tx, |element, before| key(element) == key(before));
    }

    /// Drops each element that is the same, as `same` says, as the last one before it that stays.
    pub fn dedup_by(&mut self, tx: &Tx<'p>, mut same: impl FnMut(&T, &T) -> bool) {
        let Some(first) = self.windows(2).position(|pair| same(&pair[1], &pair[0])) else {
            return;
        };
        let len = self.len();
        // The last one kept, counted within the rest. The one behind it goes: that is known.
        let mut kept = 0;
        if let Some(rest) = self.items.range_mut(first..len, tx) {
            for index in 2..rest.len() {
                if !same(&rest[index], &rest[kept]) {
                    kept += 1;
                    rest.swap(kept, index);
                }
            }
        }
        self.truncate(first + kept + 1);
    }

    /// Removes the elements in `range` for which `chosen` says so and yields them. The range and what is behind it are
    /// remembered. Those that the iterator has not come to when it is dropped stay.
    ///
    /// # Errors
    ///
    /// As [`slice_mut`](Self::slice_mut).
    pub fn extract_if<'a, F>(
        &'a mut self,
        range: impl RangeBounds<usize>,
        tx: &'a Tx<'p>,
        chosen: F,
    ) -> Result<ExtractIf<'a, 'p, T, F>>
    where
        F: FnMut(&mut T) -> bool,
    {
        let range = self.range(range);
        self.slice_mut(range.clone(), tx)?;
        Ok(ExtractIf { next: range.start, end: range.end, vec: self, tx, chosen })
    }
}

/// Removes the elements that a condition chooses; made by [`PVec::extract_if`]. Each one that is removed moves those behind
/// it, so removing many takes less time with [`PVec::retain_mut`].
pub struct ExtractIf<'a, 'p, T, F> {
    vec: &'a mut PVec<'p, T>,
    tx: &'a Tx<'p>,
    next: usize,
    end: usize,
    chosen: F,
}

impl<'p, T: Persistent<At<'p> = T>, F: FnMut(&mut T) -> bool> Iterator for ExtractIf<'_, 'p, T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while self.next < self.end {
            let element = self.vec.get_mut(self.next, self.tx)?;
            if (self.chosen)(element) {
                self.end -= 1;
                return self.vec.remove(self.next, self.tx);
            }
            self.next += 1;
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.end - self.next))
    }
}

impl<'p, T: Persistent<At<'p> = T>, F: FnMut(&mut T) -> bool> FusedIterator for ExtractIf<'_, 'p, T, F> {}

impl<T, F> fmt::Debug for ExtractIf<'_, '_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractIf").field("left", &(self.end - self.next)).finish_non_exhaustive()
    }
}
