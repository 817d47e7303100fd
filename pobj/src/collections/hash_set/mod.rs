//! [`PHashSet`]: what is there.
//!
//! A map to nothing: a set has the layout of a [`PHashMap`] whose values take no bytes, and everything that is said of the
//! map holds. The parts: [`iter`] (iterators and drain), [`algebra`] (union and the like).

mod algebra;
mod iter;

use std::borrow::Borrow;
use std::fmt;

use super::hash::PHash;
use super::hash_map::PHashMap;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::persistent_struct;

pub use algebra::{Difference, Intersection, SymmetricDifference, Union};
pub use iter::{Drain, Iter};

/// A hash set in the pool: `HashSet` for persistent data.
///
/// Elements are [`PHash`] and `Eq`; one can be looked up by its borrowed form (`set.contains("bob")` where elements are
/// [`PString`](crate::PString)). Costs, order and hashes are those of [`PHashMap`]: no insert takes time that depends on
/// the size of the set.
///
/// ```
/// # use pobj::{PHashSet, PString, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     seen: PHashSet<'p, PString<'p>>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     for word in ["to", "be", "or", "not", "to", "be"] {
///         app.seen.get_or_insert_with(word, tx, || PString::from_str(tx, word))?;
///     }
///     Ok(())
/// })?;
/// let app = pool.read();
/// assert_eq!(app.seen.len(), 4);
/// assert!(app.seen.contains("not"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PHashSet<'p, T> {
    map: PHashMap<'p, T, ()>,
}

persistent_struct! {
    impl['p, T: Persistent] PHashSet['p, T] called "PHashSet"[T];
    at<'q> = PHashSet<'q, T::At<'q>>;
    fields { map: PHashMap<'p, T, ()> }
    check = PHashMap::<'p, T, ()>::validate;
}

impl<T> PHashSet<'_, T> {
    /// An empty set, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { map: PHashMap::new() }
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
}

impl<T: PHash + Eq> PHashSet<'_, T> {
    /// Whether `element` is in the set.
    #[inline]
    pub fn contains<Q>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.map.contains_key(element)
    }

    /// The set's own element that equals `element`.
    pub fn get<Q>(&self, element: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.map.get_key_value(element).map(|(element, ())| element)
    }
}

impl<'p, T: Persistent<At<'p> = T> + PHash + Eq> PHashSet<'p, T> {
    /// Adds `element`; false, and it is dropped, if the set has it already.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`].
    pub fn insert(&mut self, tx: &Tx<'p>, element: T) -> Result<bool> {
        Ok(self.map.insert(tx, element, ())?.is_none())
    }

    /// Adds `element` and gives the one that it replaces.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`].
    pub fn replace(&mut self, tx: &Tx<'p>, element: T) -> Result<Option<T>> {
        self.map.replace_key(tx, element, ())
    }

    /// The set's own element that equals `element`, after inserting the one that `make` makes if there is none: for
    /// elements that should be built only where they are new. `make` gives one that equals `element`; if it gives another,
    /// that one is what is inserted.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`], and those of `make`.
    pub fn get_or_insert_with<'a, Q>(
        &'a mut self,
        element: &Q,
        tx: &'a Tx<'p>,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<&'a T>
    where
        T: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.map.key_or_insert_with(element, tx, || Ok((make()?, ())))
    }

    /// Removes an element; false if it is not in the set.
    pub fn remove<Q>(&mut self, element: &Q, tx: &Tx<'p>) -> bool
    where
        T: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.take(element, tx).is_some()
    }

    /// Removes an element and gives it.
    pub fn take<Q>(&mut self, element: &Q, tx: &Tx<'p>) -> Option<T>
    where
        T: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.map.remove_entry(element, tx).map(|(element, ())| element)
    }

    /// Keeps the elements for which `keep` says so. Looks at all, remembers what goes and what takes its place.
    pub fn retain(&mut self, tx: &Tx<'p>, keep: impl FnMut(&T) -> bool) {
        self.map.retain_keys(tx, keep);
    }

    /// Inserts what `elements` yields.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); the elements before the one that did not fit stay.
    pub fn extend(&mut self, tx: &Tx<'p>, elements: impl IntoIterator<Item = T>) -> Result<()> {
        self.map.extend(tx, elements.into_iter().map(|element| (element, ())))
    }

    /// Grows the index for `more` elements at once. Not needed, for it grows evenly by itself.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::reserve`].
    pub fn reserve(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.map.reserve(tx, more)
    }

    /// Gives memory back that the elements no longer need.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::shrink_to_fit`].
    pub fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        self.map.shrink_to_fit(tx)
    }
}

impl<T> Default for PHashSet<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for PHashSet<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl<'q, T: PHash + Eq> PartialEq<PHashSet<'q, T>> for PHashSet<'_, T> {
    fn eq(&self, other: &PHashSet<'q, T>) -> bool {
        self.len() == other.len() && self.iter().all(|element| other.contains(element))
    }
}

impl<T: PHash + Eq> Eq for PHashSet<'_, T> {}
