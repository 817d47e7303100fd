//! [`PBTreeMap`]: keys in their order.
//!
//! A B-tree: each node is one block with its keys side by side, its values side by side and, above the leaves, its
//! children side by side. A search compares keys that lie in a few cache lines; an insert moves the elements behind its
//! place in one leaf, and its record holds these, the new element and two counts.
//!
//! What a node is and how elements move between nodes is the typed floor's ([`NodeBox`]); what is where is decided here,
//! by the keys' `Ord`. If that is wrong, or a crafted file's keys are in no order, lookups miss and elements are in
//! odd places, and nothing worse: no invariant of memory rests on the order.
//!
//! The parts: [`path`] (where an element is), [`change`] (how the tree makes room and closes gaps), [`entry`] (the entry
//! API), [`iter`] (iterators and ranges), `bulk` (operations on many elements), `by` (without `Ord`).

mod bulk;
mod by;
mod change;
mod entry;
mod iter;
mod path;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::ground::error::Result;
use crate::layout::{Invalid, Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::{NodeBox, persistent_struct};

pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use iter::{Drain, Iter, IterMut, Range, RangeMut};
pub(crate) use path::Path;
use path::search;

/// An ordered map in the pool: `BTreeMap` for persistent data.
///
/// Keys are `Ord`; a key can be looked up by its borrowed form (`map.get("bob")` where keys are
/// [`PString`](crate::PString)). It is a logic error for a key to change its order while it is in the map; then lookups
/// miss, and nothing worse happens.
///
/// Looking up, inserting and removing take time proportional to the logarithm of the size. An insert takes memory only
/// when nodes split; removing takes none. Nodes are of 512 bytes for small elements, and longer so that at least
/// six large ones fit; inserting moves half a node's elements, so keep values beyond some kilobytes in a
/// [`PBox`](crate::PBox). Space on the medium for keys and values of eight bytes: about 20 bytes for each pair.
///
/// ```
/// # use pobj::{PBTreeMap, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     prices: PBTreeMap<'p, u64, u64>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     for day in [5, 1, 9, 3] {
///         app.prices.insert(tx, day, day * 100)?;
///     }
///     if let Some(price) = app.prices.get_mut(&9, tx) {
///         *price += 7;
///     }
///     Ok(())
/// })?;
/// let app = pool.read();
/// assert_eq!(app.prices.range(3..).map(|(day, price)| day + price).collect::<Vec<_>>(), [303, 505, 916]);
/// assert_eq!(app.prices.range(..5).next_back(), Some((&3, &300)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(C)]
pub struct PBTreeMap<'p, K, V> {
    root: Option<NodeBox<'p, K, V>>,
    len: u64,
}

static_assertions::assert_eq_size!(PBTreeMap<'static, u64, u64>, [u64; 2]);
static_assertions::const_assert_eq!(std::mem::offset_of!(PBTreeMap<'static, u64, u64>, root), 0);
static_assertions::const_assert_eq!(std::mem::offset_of!(PBTreeMap<'static, u64, u64>, len), 8);

persistent_struct! {
    impl['p, K: Persistent, V: Persistent] PBTreeMap['p, K, V] called "PBTreeMap"[K, V];
    at<'q> = PBTreeMap<'q, K::At<'q>, V::At<'q>>;
    fields { root: Option<NodeBox<'p, K, V>>, len: u64 }
    check = check::<K, V>;
}

/// Checks the bytes of a map: the nodes are checked by the walk, as everything is. That the length is the number of
/// elements is not, for that would be a second walk; but it is no more than a pool can hold, because who collects an
/// iterator takes memory for what it says of its length.
fn check<K: Persistent, V: Persistent>(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
    let (root, len) = (view.u64(0)?, view.u64(8)?);
    let most = visit.heap_len() / (size_of::<K>() + size_of::<V>()).max(1) as u64;
    if len > most {
        let what = format!("an ordered map says that it has {len} elements; the heap has room for {most}");
        return Err(Invalid::new(what, view.addr()));
    }
    if (root == 0) != (len == 0) {
        return Err(Invalid::new(
            "an ordered map has a length without elements, or the reverse",
            view.addr(),
        ));
    }
    Option::<NodeBox<'_, K, V>>::validate(view.field(0, 8)?, visit)
}

impl<K, V> PBTreeMap<'_, K, V> {
    /// An empty map, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Drops all elements, and gives all memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The first element.
    #[must_use]
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        let mut node = self.root.as_ref()?.look();
        while let Some(child) = node.child(0) {
            node = child;
        }
        node.keys().first().zip(node.values().first())
    }

    /// The last element.
    #[must_use]
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        let mut node = self.root.as_ref()?.look();
        while let Some(child) = node.child(node.len()) {
            node = child;
        }
        node.keys().last().zip(node.values().last())
    }
}

impl<K: Ord, V> PBTreeMap<'_, K, V> {
    /// The value of `key`.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// The map's own key that equals `key`, and its value.
    #[inline]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut node = self.root.as_ref()?.look();
        loop {
            match search(node.keys(), key) {
                Ok(index) => return node.keys().get(index).zip(node.values().get(index)),
                Err(index) => node = node.child(index)?,
            }
            node.expect();
        }
    }

    /// Whether there is an element with this key.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get_key_value(key).is_some()
    }
}

impl<'p, K, V> PBTreeMap<'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    /// The value of `key`, for changing. It alone is remembered.
    #[inline]
    pub fn get_mut<Q>(&mut self, key: &Q, tx: &Tx<'p>) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut node = self.root.as_mut()?.change();
        loop {
            match search(node.look().keys(), key) {
                Ok(index) => return node.into_element(index, tx).map(|(_, value)| value),
                Err(index) => node = node.child(index)?,
            }
        }
    }

    /// Sets the value of `key` and gives the one that it had. The map keeps the key that it has.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](crate::Error::PoolFull), [`TooLarge`](crate::Error::TooLarge) for a tree of more than sixteen levels,
    /// or [`Io`](crate::Error::Io) when the file cannot grow; so for every method that takes memory.
    pub fn insert(&mut self, tx: &Tx<'p>, key: K, value: V) -> Result<Option<V>> {
        let mut path = Path::ROOT;
        if let Some(root) = &mut self.root {
            let (place, found, mut node) = Path::find_mut(root.change(), &key);
            if found {
                let old = node.into_element(place.index(), tx);
                return Ok(old.map(|(_, old)| std::mem::replace(old, value)));
            }
            if !node.look().is_full() {
                let inserted = node.insert(place.index(), key, value, tx);
                self.len = self.len.wrapping_add(u64::from(inserted));
                return Ok(None);
            }
            path = place;
        }
        self.insert_at(tx, path, key, value)?;
        Ok(None)
    }

    /// Removes the element with this key and gives its value.
    pub fn remove<Q>(&mut self, key: &Q, tx: &Tx<'p>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.remove_entry(key, tx).map(|(_, value)| value)
    }

    /// Removes the element with this key and gives both.
    pub fn remove_entry<Q>(&mut self, key: &Q, tx: &Tx<'p>) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (mut path, found) = self.find(key);
        if !found {
            return None;
        }
        self.remove_at(&mut path, tx).map(|(element, _)| element)
    }

    /// Removes the first element.
    pub fn pop_first(&mut self, tx: &Tx<'p>) -> Option<(K, V)> {
        let mut path = Path::end(self.root.as_ref()?.look(), false);
        self.remove_at(&mut path, tx).map(|(element, _)| element)
    }

    /// Removes the last element.
    pub fn pop_last(&mut self, tx: &Tx<'p>) -> Option<(K, V)> {
        let root = self.root.as_ref()?.look();
        let mut path = Path::end(root, true);
        path.seek_previous();
        self.remove_at(&mut path, tx).map(|(element, _)| element)
    }

    /// The place of `key` in the map, taken or free, for changing it with one search.
    pub fn entry<'a>(&'a mut self, key: K, tx: &'a Tx<'p>) -> Entry<'a, 'p, K, V> {
        match self.find(&key) {
            (path, true) => Entry::Occupied(OccupiedEntry { map: self, tx, path }),
            (path, false) => Entry::Vacant(VacantEntry { map: self, tx, path, key }),
        }
    }

    /// The first element, for changing or removing it.
    pub fn first_entry<'a>(&'a mut self, tx: &'a Tx<'p>) -> Option<OccupiedEntry<'a, 'p, K, V>> {
        let path = Path::end(self.root.as_ref()?.look(), false);
        Some(OccupiedEntry { map: self, tx, path })
    }

    /// The last element, for changing or removing it.
    pub fn last_entry<'a>(&'a mut self, tx: &'a Tx<'p>) -> Option<OccupiedEntry<'a, 'p, K, V>> {
        let mut path = Path::end(self.root.as_ref()?.look(), true);
        path.seek_previous().then_some(OccupiedEntry { map: self, tx, path })
    }

    /// The value of `key`, after inserting the element that `make` makes if there is none: for keys that should be built
    /// only where they are new. `make` gives a key that equals `key`; if it gives another, that one is what is inserted.
    ///
    /// ```
    /// # use pobj::{PBTreeMap, PString, Persistent, Pool};
    /// # #[derive(Persistent, Default)]
    /// # #[repr(C)]
    /// # struct App<'p> {
    /// #     words: PBTreeMap<'p, PString<'p>, u64>,
    /// # }
    /// # let dir = tempfile::tempdir()?;
    /// # let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
    /// pool.write(|app, tx| {
    ///     for word in "to be or not to be".split(' ') {
    ///         *app.words.get_or_insert_with(word, tx, || Ok((PString::from_str(tx, word)?, 0)))? += 1;
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(pool.read().words.first_key_value().map(|(word, count)| (word.as_str(), *count)), Some(("be", 2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and those of `make`.
    pub fn get_or_insert_with<'a, Q>(
        &'a mut self,
        key: &Q,
        tx: &'a Tx<'p>,
        make: impl FnOnce() -> Result<(K, V)>,
    ) -> Result<&'a mut V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (path, found) = self.find(key);
        if found {
            return Ok(OccupiedEntry { map: self, tx, path }.into_mut());
        }
        let (made, value) = make()?;
        if made.borrow() == key {
            VacantEntry { map: self, tx, path, key: made }.insert(value)
        } else {
            self.entry(made, tx).or_insert(value)
        }
    }

    /// Where `key` is, or belongs.
    #[inline]
    fn find<Q>(&self, key: &Q) -> (Path, bool)
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.root.as_ref().map_or((Path::ROOT, false), |root| Path::find(root.look(), key))
    }

    /// The element to which a path leads, its value for changing.
    #[inline]
    fn element_mut(&mut self, path: &Path, tx: &Tx<'p>) -> Option<(&K, &mut V)> {
        let node = path.node_mut(self.root.as_mut()?.change(), path.depth)?;
        node.into_element(path.index(), tx)
    }
}

impl<K, V> Default for PBTreeMap<'_, K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for PBTreeMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<'q, K: PartialEq, V: PartialEq> PartialEq<PBTreeMap<'q, K, V>> for PBTreeMap<'_, K, V> {
    fn eq(&self, other: &PBTreeMap<'q, K, V>) -> bool {
        self.len() == other.len() && self.iter().eq(other)
    }
}

impl<K: Eq, V: Eq> Eq for PBTreeMap<'_, K, V> {}

impl<K: PartialOrd, V: PartialOrd> PartialOrd for PBTreeMap<'_, K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<K: Ord, V: Ord> Ord for PBTreeMap<'_, K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other)
    }
}

impl<K: Hash, V: Hash> Hash for PBTreeMap<'_, K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|element| element.hash(state));
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_btree_map: PBTreeMap<'static, u64, u64>, "`PBTreeMap`" 0, [root, len]);
