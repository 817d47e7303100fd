//! Iterators over a set: those of the map, without its values.

use std::fmt;
use std::iter::FusedIterator;

use super::super::hash::PHash;
use super::super::hash_map;
use super::PHashSet;
use crate::layout::Persistent;
use crate::tx::Tx;

/// Elements of a set; made by [`PHashSet::iter`].
pub struct Iter<'a, 'p, T> {
    items: hash_map::Iter<'a, 'p, T, ()>,
}

impl<T> Clone for Iter<'_, '_, T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone() }
    }
}

impl<'a, T> Iterator for Iter<'a, '_, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        self.items.next().map(|(element, ())| element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }

    fn fold<B, F: FnMut(B, &'a T) -> B>(self, init: B, mut f: F) -> B {
        self.items.fold(init, |folded, (element, ())| f(folded, element))
    }
}

impl<T> ExactSizeIterator for Iter<'_, '_, T> {}
impl<T> FusedIterator for Iter<'_, '_, T> {}

impl<T: fmt::Debug> fmt::Debug for Iter<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The elements that left a set, the last one first; made by [`PHashSet::drain`].
pub struct Drain<'a, 'p, T> {
    items: hash_map::Drain<'a, 'p, T, ()>,
}

impl<'p, T: Persistent<At<'p> = T>> Iterator for Drain<'_, 'p, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.items.next().map(|(element, ())| element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<'p, T: Persistent<At<'p> = T>> ExactSizeIterator for Drain<'_, 'p, T> {}
impl<'p, T: Persistent<At<'p> = T>> FusedIterator for Drain<'_, 'p, T> {}

impl<T> fmt::Debug for Drain<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

impl<'p, T> PHashSet<'p, T> {
    /// The elements, in the order of [`PHashMap::iter`](super::PHashMap::iter).
    #[must_use]
    pub fn iter(&self) -> Iter<'_, 'p, T> {
        Iter { items: self.map.iter() }
    }
}

impl<'p, T: Persistent<At<'p> = T> + PHash + Eq> PHashSet<'p, T> {
    /// Empties the set at once and yields its elements. What is not taken is dropped with the iterator.
    pub fn drain<'a>(&mut self, tx: &'a Tx<'p>) -> Drain<'a, 'p, T> {
        Drain { items: self.map.drain(tx) }
    }
}

impl<'a, 'p, T> IntoIterator for &'a PHashSet<'p, T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, 'p, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
