//! Iterators over a queue: its two slices, one after the other.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::RangeBounds;
use std::slice;

use super::PDeque;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;

/// Elements of a queue; made by [`PDeque::iter`] and [`PDeque::range`].
pub struct Iter<'a, T> {
    front: slice::Iter<'a, T>,
    back: slice::Iter<'a, T>,
}

/// Elements of a queue, for changing; made by [`PDeque::iter_mut`] and [`PDeque::range_mut`].
pub struct IterMut<'a, T> {
    front: slice::IterMut<'a, T>,
    back: slice::IterMut<'a, T>,
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { front: self.front.clone(), back: self.back.clone() }
    }
}

/// The same for both kinds.
macro_rules! iterator {
    ($name:ident, $item:ty) => {
        impl<'a, T> Iterator for $name<'a, T> {
            type Item = $item;

            #[inline]
            fn next(&mut self) -> Option<$item> {
                self.front.next().or_else(|| self.back.next())
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                let left = self.front.len() + self.back.len();
                (left, Some(left))
            }

            fn nth(&mut self, count: usize) -> Option<$item> {
                let in_front = self.front.len();
                if count < in_front {
                    return self.front.nth(count);
                }
                self.front = Default::default();
                self.back.nth(count - in_front)
            }

            fn fold<B, F: FnMut(B, $item) -> B>(self, init: B, mut f: F) -> B {
                let folded = self.front.fold(init, &mut f);
                self.back.fold(folded, f)
            }
        }

        impl<T> DoubleEndedIterator for $name<'_, T> {
            #[inline]
            fn next_back(&mut self) -> Option<Self::Item> {
                self.back.next_back().or_else(|| self.front.next_back())
            }
        }

        impl<T> ExactSizeIterator for $name<'_, T> {}
        impl<T> FusedIterator for $name<'_, T> {}
    };
}

iterator!(Iter, &'a T);
iterator!(IterMut, &'a mut T);

impl<T: fmt::Debug> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for IterMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.front.as_slice()).entries(self.back.as_slice()).finish()
    }
}

/// Elements that leave a [`PDeque`], in their order; made by [`PDeque::drain`].
pub struct Drain<'a, 'p, T: Persistent<At<'p> = T>> {
    deque: &'a mut PDeque<'p, T>,
    /// How many elements are still to leave.
    left: usize,
    /// They are the first elements, in their order; or else the last ones, in reverse.
    at_front: bool,
}

impl<'p, T: Persistent<At<'p> = T>> Iterator for Drain<'_, 'p, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        if self.at_front { self.deque.pop_front() } else { self.deque.pop_back() }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'p, T: Persistent<At<'p> = T>> ExactSizeIterator for Drain<'_, 'p, T> {}
impl<'p, T: Persistent<At<'p> = T>> FusedIterator for Drain<'_, 'p, T> {}

impl<'p, T: Persistent<At<'p> = T>> Drop for Drain<'_, 'p, T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<'p, T: Persistent<At<'p> = T>> fmt::Debug for Drain<'_, 'p, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<T> PDeque<'_, T> {
    /// The elements, from the first to the last.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        let (front, back) = self.as_slices();
        Iter { front: front.iter(), back: back.iter() }
    }

    /// The elements in `range`.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::Error::OutOfRange) if the range reaches beyond the end or its ends are in the wrong order.
    pub fn range(&self, range: impl RangeBounds<usize>) -> Result<Iter<'_, T>> {
        let range = self.range_of(range)?;
        let (front, back) = self.ring.range(range).unwrap_or_default();
        Ok(Iter { front: front.iter(), back: back.iter() })
    }
}

impl<'p, T: Persistent<At<'p> = T>> PDeque<'p, T> {
    /// The elements one by one, for changing. All of them are remembered.
    pub fn iter_mut(&mut self, tx: &Tx<'p>) -> IterMut<'_, T> {
        let (front, back) = self.as_mut_slices(tx);
        IterMut { front: front.iter_mut(), back: back.iter_mut() }
    }

    /// The elements in `range`, for changing. Exactly they are remembered.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn range_mut(&mut self, range: impl RangeBounds<usize>, tx: &Tx<'p>) -> Result<IterMut<'_, T>> {
        let range = self.range_of(range)?;
        let (front, back) = self.ring.range_mut(range, tx).unwrap_or_default();
        Ok(IterMut { front: front.iter_mut(), back: back.iter_mut() })
    }

    /// Removes the elements in `range` and yields them. What is not taken is dropped with the iterator. The elements on
    /// the shorter side of the range move, and are remembered with it.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn drain(&mut self, range: impl RangeBounds<usize>, tx: &Tx<'p>) -> Result<Drain<'_, 'p, T>> {
        let range = self.range_of(range)?;
        let (left, len) = (range.len(), self.len());
        let at_front = range.start <= len - range.end;
        if at_front && range.start != 0 {
            self.pair(0..range.end, tx).rotate_right(left);
        } else if !at_front && left != 0 {
            let mut rest = self.pair(range.start..len, tx);
            rest.rotate_left(left);
            rest.reverse(len - range.end, len - range.start);
        }
        Ok(Drain { deque: self, left, at_front })
    }
}

impl<'a, T> IntoIterator for &'a PDeque<'_, T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
