//! [`PVec`]: values side by side. See [`bulk`] for what changes many at once.

mod bulk;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::FusedIterator;
use std::ops::{Deref, Range, RangeBounds};
use std::slice::GetDisjointMutError;

use super::hash::{PHash, PHasher};
use crate::ground::error::{Error, Result};
use crate::ground::span::span;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{PBuf, persistent_slice};

pub use bulk::ExtractIf;

/// A growable array in the pool: `Vec` for persistent data. Derefs to `[T]`.
///
/// Sixteen bytes (address and count) and one block; none while it is empty and new. Appending is amortised constant
/// time. To change elements, ask for them with `tx`: exactly the elements that you ask for are remembered, and the commit
/// records the words of them that changed.
///
/// ```
/// # use pobj::{PVec, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Scores<'p> {
///     points: PVec<'p, u32>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Scores>::create(dir.path().join("scores.pobj"))?;
/// pool.write(|scores, tx| {
///     scores.points.extend(tx, [30, 10, 20])?;
///     if let Some(first) = scores.points.get_mut(0, tx) {
///         *first += 5;
///     }
///     scores.points.slice_mut(.., tx)?.sort();
///     Ok(())
/// })?;
/// assert_eq!(*pool.read().points, [10, 20, 35]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PVec<'p, T> {
    items: PBuf<'p, T>,
}

persistent_slice! {
    impl['p, T: Persistent] PVec['p, T] called "PVec";
    at<'q> = PVec<'q, T::At<'q>>;
    of T;
}

impl<T> PVec<'_, T> {
    /// An empty vector, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: PBuf::new() }
    }

    /// The elements.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        self.items.as_slice()
    }
}

impl<'p, T: Persistent<At<'p> = T>> PVec<'p, T> {
    /// An empty vector with room for `count` elements.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](Error::PoolFull), or [`Io`](Error::Io) when the file cannot grow; so for every method that takes
    /// memory.
    pub fn with_capacity(tx: &Tx<'p>, count: usize) -> Result<Self> {
        let mut vec = Self::new();
        vec.items.reserve_exact(tx, count as u64)?;
        Ok(vec)
    }

    /// A copy of `values`.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn from_slice(tx: &Tx<'p>, values: &[T]) -> Result<Self>
    where
        T: Copy,
    {
        let mut vec = Self::with_capacity(tx, values.len())?;
        vec.extend_from_slice(tx, values)?;
        Ok(vec)
    }

    /// Elements that fit before the block must be replaced.
    #[must_use]
    pub fn capacity(&self, tx: &Tx<'p>) -> u64 {
        self.items.capacity(tx)
    }

    /// Makes room for `more` elements, and more beyond, so that repeated calls stay cheap.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn reserve(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.items.reserve(tx, more as u64)
    }

    /// Gives room beyond the elements back, if a much smaller block would do.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        self.items.shrink_to_fit(tx)
    }

    /// Appends `value`.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    #[inline]
    pub fn push(&mut self, tx: &Tx<'p>, value: T) -> Result<()> {
        self.items.push(tx, value)
    }

    /// Removes the last element. Nothing is remembered: what leaves a vector just falls behind its count.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop()
    }

    /// Puts `value` at `index` and moves the rest up.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange) if `index` is beyond the end; as [`with_capacity`](Self::with_capacity).
    pub fn insert(&mut self, tx: &Tx<'p>, index: usize, value: T) -> Result<()> {
        if index > self.len() {
            return Err(self.out_of_range(index));
        }
        self.items.insert(tx, index, value)
    }

    /// Removes the element at `index` and moves the rest down. `None` beyond the end.
    pub fn remove(&mut self, index: usize, tx: &Tx<'p>) -> Option<T> {
        self.items.remove(index, tx)
    }

    /// Removes the element at `index` and puts the last one in its place. `None` beyond the end.
    pub fn swap_remove(&mut self, index: usize, tx: &Tx<'p>) -> Option<T> {
        self.items.swap_remove(index, tx)
    }

    /// Drops the elements from `count` on.
    pub fn truncate(&mut self, count: usize) {
        self.items.truncate(count);
    }

    /// Drops all elements. The block is kept.
    pub fn clear(&mut self) {
        self.items.truncate(0);
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
            self.push(tx, value)?;
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
        self.items.extend_from_slice(tx, values)
    }

    /// Moves all elements of `other` to the end of this vector.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn append(&mut self, tx: &Tx<'p>, other: &mut Self) -> Result<()> {
        self.items.append(tx, &mut other.items)
    }

    /// The element at `index`, for changing. It alone is remembered.
    #[inline]
    pub fn get_mut(&mut self, index: usize, tx: &Tx<'p>) -> Option<&mut T> {
        self.items.get_mut(index, tx)
    }

    /// The elements at `indices`, for changing, at once. They alone are remembered. Where they lie far apart this is
    /// quicker than one after the other: all are asked from memory before the first is touched.
    ///
    /// ```
    /// # use pobj::{PVec, Persistent, Pool};
    /// # #[derive(Persistent, Default)]
    /// # #[repr(C)]
    /// # struct Scores<'p> {
    /// #     points: PVec<'p, u32>,
    /// # }
    /// # let dir = tempfile::tempdir()?;
    /// # let pool = Pool::<Scores>::create(dir.path().join("scores.pobj"))?;
    /// pool.write(|scores, tx| {
    ///     scores.points.extend(tx, [30, 10, 20])?;
    ///     if let Ok([first, last]) = scores.points.get_disjoint_mut([0, 2], tx) {
    ///         std::mem::swap(first, last);
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(*pool.read().points, [20, 10, 30]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the slice's method of this name: a place beyond the end, or one that is named twice.
    pub fn get_disjoint_mut<const N: usize>(
        &mut self,
        indices: [usize; N],
        tx: &Tx<'p>,
    ) -> Result<[&mut T; N], GetDisjointMutError> {
        self.items.disjoint_mut(indices, tx)
    }

    /// The first element, for changing.
    pub fn first_mut(&mut self, tx: &Tx<'p>) -> Option<&mut T> {
        self.get_mut(0, tx)
    }

    /// The last element, for changing.
    pub fn last_mut(&mut self, tx: &Tx<'p>) -> Option<&mut T> {
        self.get_mut(self.len().checked_sub(1)?, tx)
    }

    /// The elements in `range`, for changing: sorting, rotating, filling. Exactly they are remembered.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange) if the range reaches beyond the end or its ends are in the wrong order.
    pub fn slice_mut(&mut self, range: impl RangeBounds<usize>, tx: &Tx<'p>) -> Result<&mut [T]> {
        let range = self.range(range);
        let error = self.out_of_range(range.start.max(range.end));
        self.items.range_mut(range, tx).ok_or(error)
    }

    /// The elements one by one, for changing. All of them are remembered.
    pub fn iter_mut(&mut self, tx: &Tx<'p>) -> std::slice::IterMut<'_, T> {
        self.items.range_mut(0..self.items.len(), tx).unwrap_or_default().iter_mut()
    }

    /// Exchanges two elements; false, changing nothing, if one of them is beyond the end.
    pub fn swap(&mut self, a: usize, b: usize, tx: &Tx<'p>) -> bool {
        self.items.swap(a, b, tx)
    }

    /// Keeps the elements for which `keep` says so, in their order. Remembers from the first that goes to the end.
    pub fn retain(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&T) -> bool) {
        let Some(first) = self.iter().position(|item| !keep(item)) else {
            return;
        };
        let len = self.len();
        let mut kept = first;
        if let Some(rest) = self.items.range_mut(first..len, tx) {
            for index in 1..rest.len() {
                if keep(&rest[index]) {
                    rest.swap(kept - first, index);
                    kept += 1;
                }
            }
        }
        self.items.truncate(kept);
    }

    /// Removes the elements in `range` and yields them. What is not taken is dropped with the iterator.
    ///
    /// # Errors
    ///
    /// As [`slice_mut`](Self::slice_mut).
    pub fn drain(&mut self, range: impl RangeBounds<usize>, tx: &Tx<'p>) -> Result<Drain<'_, 'p, T>> {
        let range = self.range(range);
        let len = self.len();
        if range.start > range.end || range.end > len {
            return Err(self.out_of_range(range.start.max(range.end)));
        }
        // The elements that leave go behind those that stay, backwards, so that popping yields them in order.
        if !range.is_empty()
            && let Some(rest) = self.items.range_mut(range.start..len, tx)
        {
            rest.rotate_left(range.len());
            let stay = rest.len() - range.len();
            rest[stay..].reverse();
        }
        Ok(Drain { left: range.len(), vec: self })
    }

    fn range(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        span(range, self.len())
    }

    fn out_of_range(&self, index: usize) -> Error {
        Error::OutOfRange { index: index as u64, len: self.len() as u64 }
    }
}

/// Elements that leave a [`PVec`], in their order; made by [`PVec::drain`].
pub struct Drain<'a, 'p, T: Persistent<At<'p> = T>> {
    vec: &'a mut PVec<'p, T>,
    /// How many of the vector's last elements are still to leave, the last one first.
    left: usize,
}

impl<'p, T: Persistent<At<'p> = T>> Iterator for Drain<'_, 'p, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.vec.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'p, T: Persistent<At<'p> = T>> ExactSizeIterator for Drain<'_, 'p, T> {}
impl<'p, T: Persistent<At<'p> = T>> FusedIterator for Drain<'_, 'p, T> {}

impl<'p, T: Persistent<At<'p> = T>> Drop for Drain<'_, 'p, T> {
    fn drop(&mut self) {
        self.vec.truncate(self.vec.len().saturating_sub(self.left));
    }
}

impl<'p, T: Persistent<At<'p> = T> + fmt::Debug> fmt::Debug for Drain<'_, 'p, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<T> Default for PVec<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for PVec<'_, T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T> AsRef<[T]> for PVec<'_, T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> Borrow<[T]> for PVec<'_, T> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<'a, T> IntoIterator for &'a PVec<'_, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for PVec<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'q, T: PartialEq<U>, U> PartialEq<PVec<'q, U>> for PVec<'_, T> {
    fn eq(&self, other: &PVec<'q, U>) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for PVec<'_, T> {}

/// Comparison with the other kinds of slice.
macro_rules! equals {
    ($([$($n:tt)*] $other:ty),* $(,)?) => {$(
        impl<T: PartialEq<U>, U, $($n)*> PartialEq<$other> for PVec<'_, T> {
            fn eq(&self, other: &$other) -> bool {
                **self == other[..]
            }
        }
    )*};
}

equals!([] [U], [] &[U], [const N: usize] [U; N], [const N: usize] &[U; N], [] Vec<U>);

impl<T: PartialOrd> PartialOrd for PVec<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Ord> Ord for PVec<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: Hash> Hash for PVec<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: PHash> PHash for PVec<'_, T> {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        (**self).phash(hasher);
    }
}
