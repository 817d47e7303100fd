//! [`PHashMap`]: what is where.
//!
//! The items (key and value) lie side by side in [`Pages`], in the order of their insertion as long as none is removed;
//! the [`Index`] finds them by hash. So items never move when the map grows, iteration is a walk over arrays, and an
//! insert's record holds the item, two counts and one slot. A map of at most eight items has no index and is
//! searched.
//!
//! The parts: [`index`] (linear hashing), [`entry`] (the entry API), [`iter`] (iterators), [`bulk`] (conditions on all
//! items), [`check`] (validation).

mod bulk;
mod check;
mod entry;
mod index;
mod iter;

use std::borrow::Borrow;
use std::fmt;

use super::hash::{PHash, PHasher};
use super::pages::{Pages, Table};
use crate::ground::error::{Error, Result};
use crate::layout::{Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::persistent_struct;

pub use bulk::ExtractIf;
pub use entry::{Entry, OccupiedEntry, VacantEntry};
use index::{Bucket, Index, LOAD};
pub use iter::{Drain, Iter, IterMut};

/// So many items are found without an index.
const SEARCHED_MAX: usize = LOAD;

/// A key and its value.
#[repr(C)]
struct Item<K, V> {
    key: K,
    value: V,
}

persistent_struct! {
    impl[K: Persistent, V: Persistent] Item[K, V] called "Item"[K, V];
    at<'q> = Item<K::At<'q>, V::At<'q>>;
    fields { key: K, value: V }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        K::validate(view.field(0, size_of::<K>() as u64)?, visit)?;
        let value = std::mem::offset_of!(Self, value) as u64;
        V::validate(view.field(value, size_of::<V>() as u64)?, visit)
    };
}

/// A hash map in the pool: `HashMap` for persistent data.
///
/// Keys are [`PHash`] and `Eq`; a key can be looked up by its borrowed form (`map.get("bob")` where keys are
/// [`PString`](crate::PString)). Hashes are pobj's own and seeded at random for each map.
///
/// Inserting takes time that does not depend on the size of the map: growing is spread over the inserts, one bucket of
/// eight items at a time. Space on the medium: the items, about 16 bytes for each of them beside, and up to 32 KiB. Items
/// that are removed make room for others at once; the index shrinks with [`shrink_to_fit`](Self::shrink_to_fit).
///
/// The order of iteration is that of insertion until the first removal, after which the last item takes the place of
/// the removed one.
///
/// ```
/// # use pobj::{PHashMap, PString, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     ages: PHashMap<'p, PString<'p>, u64>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     let bob = PString::from_str(tx, "bob")?;
///     app.ages.insert(tx, bob, 41)?;
///     if let Some(age) = app.ages.get_mut("bob", tx) {
///         *age += 1;
///     }
///     let eve = PString::from_str(tx, "eve")?;
///     *app.ages.entry(eve, tx).or_insert(0)? += 7;
///     Ok(())
/// })?;
/// assert_eq!(pool.read().ages.get("bob"), Some(&42));
/// assert_eq!(pool.read().ages.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(C)]
pub struct PHashMap<'p, K, V> {
    items: Pages<'p, Item<K, V>>,
    index: Index<'p>,
    /// Of the hashes in the index; random, set when the index is made.
    seed: u64,
}

persistent_struct! {
    impl['p, K: Persistent, V: Persistent] PHashMap['p, K, V] called "PHashMap"[K, V];
    at<'q> = PHashMap<'q, K::At<'q>, V::At<'q>>;
    fields { items: Table<'p, Item<K, V>>, index: Table<'p, Bucket<'p>>, seed: u64 }
    check = check::map::<K, V>;
}

impl<K, V> PHashMap<'_, K, V> {
    /// An empty map, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Pages::new(), index: Index::new(), seed: 0 }
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Drops all items, and gives all memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<K: PHash + Eq, V> PHashMap<'_, K, V> {
    /// The part of a key's hash that the index keeps. Any number will do where there is no index.
    #[inline]
    fn tag<Q: PHash + ?Sized>(&self, key: &Q) -> u32 {
        if self.index.is_empty() { 0 } else { hash(self.seed, key) }
    }

    /// The place of the item with this key.
    #[inline]
    fn place<Q>(&self, tag: u32, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it = |place| self.items.get(place).is_some_and(|item| item.key.borrow() == key);
        if self.index.is_empty() {
            (0..self.items.len().min(SEARCHED_MAX)).find(|&place| is_it(place))
        } else {
            self.index.find(tag, is_it)
        }
    }

    #[inline]
    fn item<Q>(&self, key: &Q) -> Option<&Item<K, V>>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.items.get(self.place(self.tag(key), key)?)
    }

    /// The value of `key`.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.item(key).map(|item| &item.value)
    }

    /// The map's own key that equals `key`, and its value.
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.item(key).map(|item| (&item.key, &item.value))
    }

    /// Whether there is an item with this key.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.item(key).is_some()
    }
}

impl<'p, K, V> PHashMap<'p, K, V>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
{
    /// The value of `key`, for changing. The item is remembered.
    pub fn get_mut<Q>(&mut self, key: &Q, tx: &Tx<'p>) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        let place = self.place(self.tag(key), key)?;
        self.items.get_mut(place, tx).map(|item| &mut item.value)
    }

    /// Sets the value of `key` and gives the one that it had. The map keeps the key that it has.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](Error::PoolFull), [`TooLarge`](Error::TooLarge) beyond some two billion items, or
    /// [`Io`](Error::Io) when the file cannot grow; so for every method that takes memory.
    pub fn insert(&mut self, tx: &Tx<'p>, key: K, value: V) -> Result<Option<V>> {
        let tag = self.tag(&key);
        if let Some(place) = self.place(tag, &key)
            && let Some(item) = self.items.get_mut(place, tx)
        {
            return Ok(Some(std::mem::replace(&mut item.value, value)));
        }
        self.insert_new(tx, tag, key, value)?;
        Ok(None)
    }

    /// Adds an item whose key is not in the map. Gives its place.
    fn insert_new(&mut self, tx: &Tx<'p>, tag: u32, key: K, value: V) -> Result<usize> {
        let len = self.items.len();
        let tag = self.make_room(tx, len).map(|made| if made { self.tag(&key) } else { tag })?;
        let place = self.items.push(tx, Item { key, value })?;
        if !self.index.is_empty()
            && let Err(error) = self.index.add(tx, index::slot(tag, place))
        {
            self.items.pop(tx);
            return Err(error);
        }
        Ok(place)
    }

    /// Grows the index for one more item than `len`. True if it was made just now.
    fn make_room(&mut self, tx: &Tx<'p>, len: usize) -> Result<bool> {
        if self.index.is_empty() {
            if len >= SEARCHED_MAX {
                self.make_index(tx, len + 1)?;
                return Ok(true);
            }
        } else if len >= self.index.len() * LOAD {
            self.index.split(tx)?;
        }
        Ok(false)
    }

    /// Makes the index of a map that has had none, large enough for `count` items.
    fn make_index(&mut self, tx: &Tx<'p>, count: usize) -> Result<()> {
        let seed =
            getrandom::u64().map_err(|error| Error::io("get random bytes", std::io::Error::from(error)))?;
        let slots = (0..self.items.len()).filter_map(|number| {
            let place = Pages::<Item<K, V>>::place_of(number);
            self.items.get(place).map(|item| index::slot(hash(seed, &item.key), place))
        });
        self.index = Index::build(tx, count.div_ceil(LOAD), slots)?;
        self.seed = seed;
        Ok(())
    }

    /// Removes the item with this key and gives its value.
    pub fn remove<Q>(&mut self, key: &Q, tx: &Tx<'p>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.remove_entry(key, tx).map(|(_, value)| value)
    }

    /// Removes the item with this key and gives both.
    pub fn remove_entry<Q>(&mut self, key: &Q, tx: &Tx<'p>) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        let tag = self.tag(key);
        let place = self.place(tag, key)?;
        self.remove_at(tag, place, tx)
    }

    fn remove_at(&mut self, tag: u32, place: usize, tx: &Tx<'p>) -> Option<(K, V)> {
        // The item that will close the gap. Its hash is the user's code, which may panic: before anything moves.
        let last = self.items.len().checked_sub(1).and_then(|number| self.items.nth(number));
        let last_tag = last.map_or(0, |item| self.tag(&item.key));
        let (Item { key, value }, moved_from) = self.items.swap_remove(place, tx)?;
        if !self.index.is_empty() {
            self.index.remove(tx, index::slot(tag, place));
            if let Some(from) = moved_from {
                self.index.replace(tx, index::slot(last_tag, from), place);
            }
        }
        Some((key, value))
    }

    /// The place of `key` in the map, taken or free, for changing it with one search.
    pub fn entry<'a>(&'a mut self, key: K, tx: &'a Tx<'p>) -> Entry<'a, 'p, K, V> {
        let tag = self.tag(&key);
        match self.place(tag, &key) {
            Some(place) => Entry::Occupied(OccupiedEntry { map: self, tx, tag, place }),
            None => Entry::Vacant(VacantEntry { map: self, tx, tag, key }),
        }
    }

    /// The value of `key`, after inserting the item that `make` makes if there is none: for keys that should be built only
    /// where they are new. `make` gives a key that equals `key`; if it gives another, that one is what is inserted.
    ///
    /// ```
    /// # use pobj::{PHashMap, PString, Persistent, Pool};
    /// # #[derive(Persistent, Default)]
    /// # #[repr(C)]
    /// # struct App<'p> {
    /// #     words: PHashMap<'p, PString<'p>, u64>,
    /// # }
    /// # let dir = tempfile::tempdir()?;
    /// # let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
    /// pool.write(|app, tx| {
    ///     for word in "to be or not to be".split(' ') {
    ///         *app.words.get_or_insert_with(word, tx, || Ok((PString::from_str(tx, word)?, 0)))? += 1;
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(pool.read().words.get("be"), Some(&2));
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
        Q: PHash + Eq + ?Sized,
    {
        let tag = self.tag(key);
        if let Some(place) = self.place(tag, key) {
            return Ok(OccupiedEntry { map: self, tx, tag, place }.into_mut());
        }
        let (made, value) = make()?;
        if made.borrow() == key {
            VacantEntry { map: self, tx, tag, key: made }.insert(value)
        } else {
            self.entry(made, tx).or_insert(value)
        }
    }

    /// Inserts what `items` yields.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); the items before the one that did not fit stay.
    pub fn extend(&mut self, tx: &Tx<'p>, items: impl IntoIterator<Item = (K, V)>) -> Result<()> {
        for (key, value) in items {
            self.insert(tx, key, value)?;
        }
        Ok(())
    }

    /// Grows the index for `more` items at once. Not needed, for it grows evenly by itself.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); what has grown stays.
    pub fn reserve(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        let count = self.len().checked_add(more).ok_or(Error::TooLarge { requested: u64::MAX })?;
        if count <= SEARCHED_MAX {
            return Ok(());
        }
        self.items.reserve(tx, more)?;
        if self.index.is_empty() {
            return self.make_index(tx, count);
        }
        while self.index.len() * LOAD < count {
            self.index.split(tx)?;
        }
        Ok(())
    }

    /// Gives memory back that the items no longer need: rebuilds the index, unless it is as small as it can be.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        let len = self.len();
        if len <= SEARCHED_MAX {
            self.index = Index::new();
        } else if len.div_ceil(LOAD) < self.index.len() {
            self.index = Index::build(tx, len.div_ceil(LOAD), self.index.slots())?;
        }
        self.items.shrink_to_fit(tx)
    }
}

/// The part of a key's hash that the index keeps.
#[inline]
fn hash<Q: PHash + ?Sized>(seed: u64, key: &Q) -> u32 {
    let mut hasher = PHasher::new(seed);
    key.phash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

impl<K, V> Default for PHashMap<'_, K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for PHashMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<'q, K: PHash + Eq, V: PartialEq> PartialEq<PHashMap<'q, K, V>> for PHashMap<'_, K, V> {
    fn eq(&self, other: &PHashMap<'q, K, V>) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: PHash + Eq, V: Eq> Eq for PHashMap<'_, K, V> {}

#[cfg(test)]
crate::ground::book::layout!(book_hash_map: PHashMap<'static, u64, u64>, "`PHashMap`" 0, [items, index, seed]);
