//! [`PConcurrentMap`]: a hash map that transactions which run at once change together.
//!
//! A row of [`PHashMap`]s, each behind a lock of its own; the key's hash says which one it is in. Two transactions
//! disturb each other where their keys fall into one of them. The number of maps is chosen when the whole is made, so no
//! operation ever moves an item to another one.
//!
//! An item that damage put into the wrong map is not found there; nothing else relies on where items are.

use std::borrow::Borrow;
use std::fmt;

use super::hash::{PHash, PHasher};
use super::hash_map::{Entry, PHashMap};
use super::vec::PVec;
use crate::ground::error::{Error, Result};
use crate::layout::{Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::{PRwLock, ReadGuard, persistent_struct};

/// Maps in a [`PConcurrentMap::new`].
const SHARDS: usize = 64;
/// More would be memory without a gain.
const SHARDS_MAX: usize = 1 << 16;

type Shard<'p, K, V> = PRwLock<'p, PHashMap<'p, K, V>>;

/// A hash map for transactions that share the pool ([`share`](crate::Pool::share)): all methods take `&self`.
///
/// Each operation takes the lock of one part of the map and holds it to the end of the transaction: looking takes it
/// beside others, changing takes it alone. Everything is part of the transaction and rolls back with it. There is a
/// second set of ways to look, for who has a read guard and needs no lock: [`get`](Self::get), [`iter`](Self::iter),
/// [`count`](Self::count).
///
/// Values are looked at and changed in closures. A closure may use the same map for other keys as long as it only looks;
/// to change the map in a closure that holds a part of it gives [`AlreadyBorrowed`](Error::AlreadyBorrowed) where both keys
/// are in one part. Copy what you need and end the closure first.
///
/// [`new`](Self::new) makes 64 parts of 56 bytes each. [`default`](Default::default) takes no memory and has one part,
/// which every change has to wait for.
///
/// ```
/// # use pobj::{PConcurrentMap, Persistent, Pool};
/// #[derive(Persistent)]
/// #[repr(C)]
/// struct Site<'p> {
///     hits: PConcurrentMap<'p, u64, u64>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Site>::create_with(dir.path().join("site.pobj"), |tx| {
///     Ok(Site { hits: PConcurrentMap::new(tx)? })
/// })?;
/// std::thread::scope(|scope| {
///     for page in 0..4 {
///         let pool = &pool;
///         scope.spawn(move || {
///             pool.share(|site, tx| {
///                 site.hits.entry(page, tx, |entry| entry.or_insert(0).map(|hits| *hits += 1))?;
///                 site.hits.entry(99, tx, |entry| entry.or_insert(0).map(|hits| *hits += 1))
///             })
///         });
///     }
/// });
/// let site = pool.read();
/// assert_eq!(site.hits.get(&99, &site), Some(&4));
/// assert_eq!(site.hits.count(&site), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(C)]
pub struct PConcurrentMap<'p, K, V> {
    /// There is always one.
    first: Shard<'p, K, V>,
    others: PVec<'p, Shard<'p, K, V>>,
    /// Of the hashes that choose the part.
    seed: u64,
}

persistent_struct! {
    impl['p, K: Persistent, V: Persistent] PConcurrentMap['p, K, V] called "PConcurrentMap"[K, V];
    at<'q> = PConcurrentMap<'q, K::At<'q>, V::At<'q>>;
    fields { first: Shard<'p, K, V>, others: PVec<'p, Shard<'p, K, V>>, seed: u64 }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        Self::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
    };
}

impl<K, V> PConcurrentMap<'_, K, V> {
    /// Number of parts.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.others.len() + 1
    }
}

impl<'p, K: PHash + Eq, V> PConcurrentMap<'p, K, V> {
    /// The part that `key` belongs into.
    #[inline]
    fn shard<Q: PHash + ?Sized>(&self, key: &Q) -> &Shard<'p, K, V> {
        if self.others.is_empty() {
            return &self.first;
        }
        let mut hasher = PHasher::new(self.seed);
        key.phash(&mut hasher);
        // The high half spread over the parts, without a division.
        let number = ((hasher.finish() >> 32) * self.parts() as u64) >> 32;
        self.others.get((number as usize).wrapping_sub(1)).unwrap_or(&self.first)
    }

    fn shards(&self) -> impl Iterator<Item = &Shard<'p, K, V>> {
        std::iter::once(&self.first).chain(self.others.iter())
    }

    /// The value of `key`, beside a read guard.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool. So for every method that takes one.
    pub fn get<'a, Q, R: Persistent>(&'a self, key: &Q, guard: &'a ReadGuard<'p, R>) -> Option<&'a V>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.shard(key).get(guard).get(key)
    }

    /// All items, beside a read guard, in no order.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn iter<'a, R: Persistent>(
        &'a self,
        guard: &'a ReadGuard<'p, R>,
    ) -> impl Iterator<Item = (&'a K, &'a V)> {
        self.shards().flat_map(move |shard| shard.get(guard))
    }

    /// Number of items, beside a read guard.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn count<R: Persistent>(&self, guard: &ReadGuard<'p, R>) -> usize {
        self.shards().map(|shard| shard.get(guard).len()).sum()
    }
}

impl<'p, K, V> PConcurrentMap<'p, K, V>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
{
    /// An empty map with 64 parts.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](Error::PoolFull), or [`Io`](Error::Io) when the file cannot grow.
    pub fn new(tx: &Tx<'p>) -> Result<Self> {
        Self::with_parts(tx, SHARDS)
    }

    /// An empty map with so many parts, at least one and at most 65,536.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_parts(tx: &Tx<'p>, parts: usize) -> Result<Self> {
        let seed =
            getrandom::u64().map_err(|error| Error::io("get random bytes", std::io::Error::from(error)))?;
        let count = parts.clamp(1, SHARDS_MAX) - 1;
        let mut others = PVec::with_capacity(tx, count)?;
        others.extend(tx, std::iter::repeat_with(Shard::default).take(count))?;
        Ok(Self { first: Shard::default(), others, seed })
    }

    /// Looks at the value of `key`, or at `None`, and gives what `look` makes of it. Other transactions may look at the same
    /// time; none changes this part of the map before this transaction has ended.
    ///
    /// # Errors
    ///
    /// [`Deadlock`](Error::Deadlock) if the transaction must begin again: pass it on;
    /// [`AlreadyBorrowed`](Error::AlreadyBorrowed) within a closure that changes this part of the map. So for every method
    /// that takes `tx`.
    pub fn get_with<Q, T>(&self, key: &Q, tx: &Tx<'p>, look: impl FnOnce(Option<&V>) -> T) -> Result<T>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        let map = self.shard(key).read(tx)?;
        Ok(look(map.get(key)))
    }

    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn get_copied<Q>(&self, key: &Q, tx: &Tx<'p>) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
        V: Copy,
    {
        self.get_with(key, tx, |value| value.copied())
    }

    /// Whether there is an item with this key.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn contains_key<Q>(&self, key: &Q, tx: &Tx<'p>) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        self.get_with(key, tx, |value| value.is_some())
    }

    /// Sets the value of `key` and gives the one that it had. The map keeps the key that it has.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with), and as [`PHashMap::insert`].
    pub fn insert(&self, tx: &Tx<'p>, key: K, value: V) -> Result<Option<V>> {
        self.shard(&key).write(tx)?.insert(tx, key, value)
    }

    /// Removes the item with this key and gives its value.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn remove<Q>(&self, key: &Q, tx: &Tx<'p>) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        Ok(self.shard(key).write(tx)?.remove(key, tx))
    }

    /// Changes the value of `key`, if there is one, and gives what `change` gives.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn update<Q, T>(&self, key: &Q, tx: &Tx<'p>, change: impl FnOnce(&mut V) -> T) -> Result<Option<T>>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        Ok(self.shard(key).write(tx)?.get_mut(key, tx).map(change))
    }

    /// Does what `act` says with the place of `key`, taken or free.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with), and those of `act`.
    pub fn entry<T>(
        &self,
        key: K,
        tx: &Tx<'p>,
        act: impl FnOnce(Entry<'_, 'p, K, V>) -> Result<T>,
    ) -> Result<T> {
        let mut map = self.shard(&key).write(tx)?;
        act(map.entry(key, tx))
    }

    /// Number of items. Nobody adds or removes one before this transaction has ended: takes the lock of every part.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn len(&self, tx: &Tx<'p>) -> Result<usize> {
        self.shards().try_fold(0, |count, shard| Ok(count + shard.read(tx)?.len()))
    }

    /// True if there are none. Takes the lock of every part up to the first item.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn is_empty(&self, tx: &Tx<'p>) -> Result<bool> {
        for shard in self.shards() {
            if !shard.read(tx)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Shows every item to `look`, in no order, until it gives an error. Takes the lock of every part, one after another, and
    /// holds them to the end of the transaction: what is shown is one state of the map.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with), and those of `look`.
    pub fn for_each(&self, tx: &Tx<'p>, mut look: impl FnMut(&K, &V) -> Result<()>) -> Result<()> {
        for shard in self.shards() {
            shard.read(tx)?.iter().try_for_each(|(key, value)| look(key, value))?;
        }
        Ok(())
    }

    /// Keeps the items for which `keep` says so. Takes the lock of every part alone.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn retain(&self, tx: &Tx<'p>, mut keep: impl FnMut(&K, &mut V) -> bool) -> Result<()> {
        for shard in self.shards() {
            shard.write(tx)?.retain(tx, &mut keep);
        }
        Ok(())
    }

    /// Drops all items. Takes the lock of every part alone.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn clear(&self, tx: &Tx<'p>) -> Result<()> {
        for shard in self.shards() {
            shard.write(tx)?.clear();
        }
        Ok(())
    }
}

impl<K, V> Default for PConcurrentMap<'_, K, V> {
    fn default() -> Self {
        Self { first: Shard::default(), others: PVec::new(), seed: 0 }
    }
}

impl<K, V> fmt::Debug for PConcurrentMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PConcurrentMap").field("parts", &self.parts()).finish_non_exhaustive()
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_concurrent_map: PConcurrentMap<'static, u64, u64>, "`PConcurrentMap`" 0, [first, others, seed]);
