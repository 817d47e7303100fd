//! [`PBTreeSet`]: an ordered map's keys alone.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::{FusedIterator, Peekable};
use std::ops::RangeBounds;

use super::btree_map::{self, PBTreeMap};
use crate::ground::error::Result;
use crate::layout::{Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::persistent_struct;

/// An ordered set in the pool: `BTreeSet` for persistent data. A [`PBTreeMap`] without values, with its costs.
///
/// ```
/// # use pobj::{PBTreeSet, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     primes: PBTreeSet<'p, u32>,
///     odd: PBTreeSet<'p, u32>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     app.primes.extend(tx, [7, 2, 5, 3])?;
///     app.odd.extend(tx, [1, 3, 5])
/// })?;
/// let app = pool.read();
/// assert_eq!(app.primes.intersection(&app.odd).copied().collect::<Vec<_>>(), [3, 5]);
/// assert_eq!(app.primes.range(4..).next(), Some(&5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PBTreeSet<'p, T> {
    map: PBTreeMap<'p, T, ()>,
}

static_assertions::assert_eq_size!(PBTreeSet<'static, u64>, [u64; 2]);

persistent_struct! {
    impl['p, T: Persistent] PBTreeSet['p, T] called "PBTreeSet"[T];
    at<'q> = PBTreeSet<'q, T::At<'q>>;
    fields { map: PBTreeMap<'p, T, ()> }
    check = |view: View<'_>, visit: &mut Visit<'_>| PBTreeMap::<T, ()>::validate(view, visit);
}

impl<T> PBTreeSet<'_, T> {
    /// An empty set, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { map: PBTreeMap::new() }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Drops all elements, and gives all memory back.
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// The first element.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.map.first_key_value().map(|(value, ())| value)
    }

    /// The last element.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.map.last_key_value().map(|(value, ())| value)
    }

    /// The elements, in their order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { map: self.map.iter() }
    }
}

impl<T: Ord> PBTreeSet<'_, T> {
    /// Whether `value` is an element.
    pub fn contains<Q>(&self, value: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.contains_key(value)
    }

    /// The element that equals `value`.
    pub fn get<Q>(&self, value: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.get_key_value(value).map(|(value, ())| value)
    }

    /// The elements in `range`, in their order. A range whose ends are in the wrong order is empty.
    pub fn range<Q, R>(&self, range: R) -> impl DoubleEndedIterator<Item = &T> + FusedIterator + Clone
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        self.map.range(range).map(|(value, ())| value)
    }

    /// The elements of both sets, in their order, each once.
    pub fn union<'a>(&'a self, other: &'a PBTreeSet<'_, T>) -> impl Iterator<Item = &'a T> + Clone {
        both(self, other).filter_map(|(one, other)| one.or(other))
    }

    /// The elements that both sets have, in their order.
    pub fn intersection<'a>(&'a self, other: &'a PBTreeSet<'_, T>) -> impl Iterator<Item = &'a T> + Clone {
        both(self, other).filter_map(|(one, other)| other.and(one))
    }

    /// The elements of this set that the other does not have, in their order.
    pub fn difference<'a>(&'a self, other: &'a PBTreeSet<'_, T>) -> impl Iterator<Item = &'a T> + Clone {
        both(self, other).filter_map(|(one, other)| if other.is_none() { one } else { None })
    }

    /// The elements that one of the sets has and the other has not, in their order.
    pub fn symmetric_difference<'a>(
        &'a self,
        other: &'a PBTreeSet<'_, T>,
    ) -> impl Iterator<Item = &'a T> + Clone {
        both(self, other).filter_map(|(one, other)| one.xor(other))
    }

    /// Whether the other set has no element of this one.
    #[must_use]
    pub fn is_disjoint(&self, other: &PBTreeSet<'_, T>) -> bool {
        self.intersection(other).next().is_none()
    }

    /// Whether the other set has all elements of this one.
    #[must_use]
    pub fn is_subset(&self, other: &PBTreeSet<'_, T>) -> bool {
        self.len() <= other.len() && self.difference(other).next().is_none()
    }

    /// Whether this set has all elements of the other one.
    #[must_use]
    pub fn is_superset(&self, other: &PBTreeSet<'_, T>) -> bool {
        other.is_subset(self)
    }
}

impl<'p, T: Persistent<At<'p> = T> + Ord> PBTreeSet<'p, T> {
    /// Adds `value`. False if an equal one was there, which stays.
    ///
    /// # Errors
    ///
    /// As [`PBTreeMap::insert`]; so for every method that takes memory.
    pub fn insert(&mut self, tx: &Tx<'p>, value: T) -> Result<bool> {
        self.map.insert(tx, value, ()).map(|old| old.is_none())
    }

    /// Removes the element that equals `value`. False if there was none.
    pub fn remove<Q>(&mut self, value: &Q, tx: &Tx<'p>) -> bool
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.remove(value, tx).is_some()
    }

    /// Removes the element that equals `value`, and gives it.
    pub fn take<Q>(&mut self, value: &Q, tx: &Tx<'p>) -> Option<T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.remove_entry(value, tx).map(|(value, ())| value)
    }

    /// The element that equals `value`, after inserting the one that `make` makes if there is none; see
    /// [`PBTreeMap::get_or_insert_with`]. True if it was inserted.
    ///
    /// # Errors
    ///
    /// As [`PBTreeMap::insert`], and those of `make`.
    pub fn insert_with<Q>(&mut self, value: &Q, tx: &Tx<'p>, make: impl FnOnce() -> Result<T>) -> Result<bool>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let before = self.len();
        self.map.get_or_insert_with(value, tx, || Ok((make()?, ())))?;
        Ok(self.len() != before)
    }

    /// Removes the first element.
    pub fn pop_first(&mut self, tx: &Tx<'p>) -> Option<T> {
        self.map.pop_first(tx).map(|(value, ())| value)
    }

    /// Removes the last element.
    pub fn pop_last(&mut self, tx: &Tx<'p>) -> Option<T> {
        self.map.pop_last(tx).map(|(value, ())| value)
    }

    /// Keeps the elements for which `keep` says so, asked in their order.
    pub fn retain(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&T) -> bool) {
        self.map.retain(tx, |value, ()| keep(value));
    }

    /// Adds what `values` yields.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); the elements before the one that did not fit stay.
    pub fn extend(&mut self, tx: &Tx<'p>, values: impl IntoIterator<Item = T>) -> Result<()> {
        self.map.extend(tx, values.into_iter().map(|value| (value, ())))
    }

    /// Moves all elements of `other` into this set.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); then what did not fit is still in `other`.
    pub fn append(&mut self, tx: &Tx<'p>, other: &mut Self) -> Result<()> {
        self.map.append(tx, &mut other.map)
    }

    /// Takes the elements from `value` on out of this set. They move one by one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); then nothing has changed.
    pub fn split_off<Q>(&mut self, value: &Q, tx: &Tx<'p>) -> Result<Self>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.map.split_off(value, tx).map(|map| Self { map })
    }

    /// Empties the set at once and yields its elements. What is not taken is dropped with the iterator.
    pub fn drain<'a>(
        &mut self,
        tx: &'a Tx<'p>,
    ) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator + use<'a, 'p, T> {
        self.map.drain(tx).map(|(value, ())| value)
    }
}

/// The elements of a set; made by [`PBTreeSet::iter`].
pub struct Iter<'a, T> {
    map: btree_map::Iter<'a, T, ()>,
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { map: self.map.clone() }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        self.map.next().map(|(value, ())| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.map.size_hint()
    }

    #[inline]
    fn fold<B, F: FnMut(B, &'a T) -> B>(self, init: B, mut f: F) -> B {
        self.map.fold(init, |folded, (value, ())| f(folded, value))
    }
}

impl<T> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.map.next_back().map(|(value, ())| value)
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}
impl<T> FusedIterator for Iter<'_, T> {}

impl<T: fmt::Debug> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The elements of two sets side by side: in each pair one at least is there, and where both are they are equal.
struct Both<'a, T> {
    one: Peekable<Iter<'a, T>>,
    other: Peekable<Iter<'a, T>>,
}

fn both<'a, T>(one: &'a PBTreeSet<'_, T>, other: &'a PBTreeSet<'_, T>) -> Both<'a, T> {
    Both { one: one.iter().peekable(), other: other.iter().peekable() }
}

impl<T> Clone for Both<'_, T> {
    fn clone(&self) -> Self {
        Self { one: self.one.clone(), other: self.other.clone() }
    }
}

impl<'a, T: Ord> Iterator for Both<'a, T> {
    type Item = (Option<&'a T>, Option<&'a T>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.one.peek(), self.other.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.cmp(other),
        };
        let one = if order.is_le() { self.one.next() } else { None };
        let other = if order.is_ge() { self.other.next() } else { None };
        Some((one, other))
    }
}

impl<T> Default for PBTreeSet<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T> IntoIterator for &'a PBTreeSet<'_, T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for PBTreeSet<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl<'q, T: PartialEq> PartialEq<PBTreeSet<'q, T>> for PBTreeSet<'_, T> {
    fn eq(&self, other: &PBTreeSet<'q, T>) -> bool {
        self.map == other.map
    }
}

impl<T: Eq> Eq for PBTreeSet<'_, T> {}

impl<T: PartialOrd> PartialOrd for PBTreeSet<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.map.partial_cmp(&other.map)
    }
}

impl<T: Ord> Ord for PBTreeSet<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.map.cmp(&other.map)
    }
}

impl<T: Hash> Hash for PBTreeSet<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.map.hash(state);
    }
}
