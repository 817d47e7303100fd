//! Iterators over a map and over ranges of it, from both ends.
//!
//! They walk run by run: the elements of a leaf are a slice of keys and a slice of values, and between two leaves comes
//! one element of an inner node.

use std::borrow::Borrow;
use std::fmt;
use std::iter::{FusedIterator, Zip};
use std::ops::{Bound, RangeBounds};
use std::slice;

use super::PBTreeMap;
use super::path::search;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{RunMut, Walk, WalkMut, Way};

type Run<'a, K, V> = Zip<slice::Iter<'a, K>, slice::Iter<'a, V>>;

#[inline]
fn run<'a, K, V>((keys, values): (&'a [K], &'a [V])) -> Run<'a, K, V> {
    keys.iter().zip(values)
}

/// Keys and values of a range of a map; made by [`PBTreeMap::range`].
pub struct Range<'a, K, V> {
    front: Run<'a, K, V>,
    walk: Walk<'a, K, V>,
    back: Run<'a, K, V>,
}

impl<'a, K, V> Range<'a, K, V> {
    #[inline]
    pub(super) fn new(walk: Walk<'a, K, V>) -> Self {
        Self { front: run((&[], &[])), walk, back: run((&[], &[])) }
    }
}

impl<K, V> Clone for Range<'_, K, V> {
    fn clone(&self) -> Self {
        Self { front: self.front.clone(), walk: self.walk.clone(), back: self.back.clone() }
    }
}

impl<'a, K, V> Iterator for Range<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.front.next() {
                return Some(element);
            }
            match self.walk.next() {
                Some(slices) => self.front = run(slices),
                None => return self.back.next(),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.front.len() + self.back.len(), None)
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = self.front.fold(init, &mut f);
        while let Some(slices) = self.walk.next() {
            folded = run(slices).fold(folded, &mut f);
        }
        self.back.fold(folded, f)
    }
}

impl<K, V> DoubleEndedIterator for Range<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.back.next_back() {
                return Some(element);
            }
            match self.walk.next_back() {
                Some(slices) => self.back = run(slices),
                None => return self.front.next_back(),
            }
        }
    }
}

impl<K, V> FusedIterator for Range<'_, K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Range<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Keys and values of a map; made by [`PBTreeMap::iter`].
pub struct Iter<'a, K, V> {
    range: Range<'a, K, V>,
    left: usize,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { range: self.range.clone(), left: self.left }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let element = self.range.next();
        self.left = self.left.saturating_sub(1);
        element
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, f: F) -> B {
        self.range.fold(init, f)
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let element = self.range.next_back();
        self.left = self.left.saturating_sub(1);
        element
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range.fmt(f)
    }
}

/// Keys and values of a range of a map, the values for changing; made by [`PBTreeMap::range_mut`].
pub struct RangeMut<'a, 'p, K, V> {
    tx: &'a Tx<'p>,
    front: RunMut<'a, 'p, K, V>,
    walk: WalkMut<'a, 'p, K, V>,
    back: RunMut<'a, 'p, K, V>,
}

impl<'a, 'p, K, V> RangeMut<'a, 'p, K, V> {
    fn new(tx: &'a Tx<'p>, walk: WalkMut<'a, 'p, K, V>) -> Self {
        Self { tx, front: RunMut::default(), walk, back: RunMut::default() }
    }
}

impl<'a, K, V> Iterator for RangeMut<'a, '_, K, V> {
    type Item = (&'a K, &'a mut V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.front.next(self.tx) {
                return Some(element);
            }
            match self.walk.next() {
                Some(run) => self.front = run,
                None => return self.back.next(self.tx),
            }
        }
    }
}

impl<K, V> DoubleEndedIterator for RangeMut<'_, '_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.back.next_back(self.tx) {
                return Some(element);
            }
            match self.walk.next_back() {
                Some(run) => self.back = run,
                None => return self.front.next_back(self.tx),
            }
        }
    }
}

impl<K, V> FusedIterator for RangeMut<'_, '_, K, V> {}

impl<K, V> fmt::Debug for RangeMut<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeMut").finish_non_exhaustive()
    }
}

/// Keys and values of a map, the values for changing; made by [`PBTreeMap::iter_mut`].
pub struct IterMut<'a, 'p, K, V> {
    range: RangeMut<'a, 'p, K, V>,
    left: usize,
}

impl<'a, K, V> Iterator for IterMut<'a, '_, K, V> {
    type Item = (&'a K, &'a mut V);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.saturating_sub(1);
        self.range.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> DoubleEndedIterator for IterMut<'_, '_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.saturating_sub(1);
        self.range.next_back()
    }
}

impl<K, V> ExactSizeIterator for IterMut<'_, '_, K, V> {}
impl<K, V> FusedIterator for IterMut<'_, '_, K, V> {}

impl<K, V> fmt::Debug for IterMut<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The elements that left a map, in their order; made by [`PBTreeMap::drain`].
pub struct Drain<'a, 'p, K, V> {
    tx: &'a Tx<'p>,
    map: PBTreeMap<'p, K, V>,
}

impl<'p, K, V> Iterator for Drain<'_, 'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        self.map.pop_first(self.tx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.map.len(), Some(self.map.len()))
    }
}

impl<'p, K, V> DoubleEndedIterator for Drain<'_, 'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    fn next_back(&mut self) -> Option<(K, V)> {
        self.map.pop_last(self.tx)
    }
}

impl<'p, K: Persistent<At<'p> = K> + Ord, V: Persistent<At<'p> = V>> ExactSizeIterator
    for Drain<'_, 'p, K, V>
{
}
impl<'p, K: Persistent<At<'p> = K> + Ord, V: Persistent<At<'p> = V>> FusedIterator for Drain<'_, 'p, K, V> {}

impl<K, V> fmt::Debug for Drain<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.map.len()).finish_non_exhaustive()
    }
}

/// Where a range begins, in a node with these keys.
#[inline]
fn begin<K: Borrow<Q>, Q: Ord + ?Sized>(keys: &[K], bound: Bound<&Q>) -> Way {
    match bound {
        Bound::Unbounded => Way::Before(0),
        Bound::Included(key) => search(keys, key).map_or_else(Way::Before, Way::Here),
        Bound::Excluded(key) => search(keys, key).map_or_else(Way::Before, |index| Way::Before(index + 1)),
    }
}

/// Where a range ends.
#[inline]
fn end<K: Borrow<Q>, Q: Ord + ?Sized>(keys: &[K], bound: Bound<&Q>) -> Way {
    match bound {
        Bound::Unbounded => Way::Before(keys.len()),
        Bound::Included(key) => search(keys, key).map_or_else(Way::Before, Way::Here),
        Bound::Excluded(key) => search(keys, key).map_or_else(Way::Before, Way::Before),
    }
}

impl<K, V> PBTreeMap<'_, K, V> {
    /// Keys and values, in the order of the keys.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        let root = self.root.as_ref().map(|root| root.look());
        let walk = Walk::new(root, |_| Way::Before(0), |keys| Way::Before(keys.len()));
        Iter { range: Range::new(walk), left: self.len() }
    }

    /// Keys, in their order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> PBTreeMap<'_, K, V> {
    /// Keys and values of the elements whose keys are in `range`, in the order of the keys. A range whose ends are in the
    /// wrong order is empty.
    ///
    /// The nearest elements are ends of ranges: `range(key..).next()` is the first not below `key`,
    /// `range(..key).next_back()` the last below it.
    pub fn range<Q, R>(&self, range: R) -> Range<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        let root = self.root.as_ref().map(|root| root.look());
        let (from, to) = (range.start_bound(), range.end_bound());
        Range::new(Walk::new(root, |keys| begin(keys, from), |keys| end(keys, to)))
    }
}

impl<'p, K, V> PBTreeMap<'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    /// Keys and values, the values for changing. Each value is remembered as the iterator gives it.
    pub fn iter_mut<'a>(&'a mut self, tx: &'a Tx<'p>) -> IterMut<'a, 'p, K, V> {
        let left = self.len();
        let root = self.root.as_mut().map(|root| root.change());
        let walk = WalkMut::new(root, |_| Way::Before(0), |keys| Way::Before(keys.len()));
        IterMut { range: RangeMut::new(tx, walk), left }
    }

    /// Values for changing, in the order of their keys.
    pub fn values_mut<'a>(
        &'a mut self,
        tx: &'a Tx<'p>,
    ) -> impl DoubleEndedIterator<Item = &'a mut V> + ExactSizeIterator
    where
        K: 'a,
    {
        self.iter_mut(tx).map(|(_, value)| value)
    }

    /// As [`range`](Self::range), the values for changing. Each value is remembered as the iterator gives it.
    pub fn range_mut<'a, Q, R>(&'a mut self, range: R, tx: &'a Tx<'p>) -> RangeMut<'a, 'p, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        let (from, to) = (range.start_bound(), range.end_bound());
        let root = self.root.as_mut().map(|root| root.change());
        RangeMut::new(tx, WalkMut::new(root, |keys| begin(keys, from), |keys| end(keys, to)))
    }

    /// Empties the map at once and yields its elements. What is not taken is dropped with the iterator.
    pub fn drain<'a>(&mut self, tx: &'a Tx<'p>) -> Drain<'a, 'p, K, V> {
        Drain { tx, map: std::mem::take(self) }
    }
}

impl<'a, K, V> IntoIterator for &'a PBTreeMap<'_, K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
