//! The calls of a store that change it: [`Writer`], each call a transaction; [`StoreTx`], within one.

use std::fmt;
use std::ops::RangeBounds;

use super::batch::Batch;
use super::engine::Engine;
use super::map::Map;
use super::store::Store;
use crate::ground::error::{Error, Result};
use crate::journal::Durability;
use crate::tx::Tx;

/// A store whose calls return at another durability than the pool's: made by [`Store::with`].
///
/// ```
/// use pobj::Durability;
/// use pobj::kv::{Hash, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Hash>::create(dir.path().join("store.pobj"))?;
/// let soon = store.with(Durability::Eventual);
/// for n in 0..1000u32 {
///     soon.put(&n.to_be_bytes(), b"on its way")?;
/// }
/// store.sync()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer<'s, E: Engine> {
    pub(super) store: &'s Store<E>,
    /// The pool's own without one.
    pub(super) durability: Option<Durability>,
}

impl<E: Engine> Writer<'_, E> {
    /// Runs `body` beside others that do so, and again if it was in their way.
    #[inline]
    pub(super) fn share<T, X: From<Error>>(
        &self,
        mut body: impl for<'p> FnMut(&Map<'p, E>, &Tx<'p>) -> Result<T, X>,
    ) -> Result<T, X> {
        self.store.pool().try_share(|map, tx| {
            if let Some(durability) = self.durability {
                tx.set_durability(durability);
            }
            body(map, tx)
        })
    }

    /// As [`share`](Self::share), for one key: where nobody else is there it has the pool alone, which costs less.
    #[inline]
    fn one_key<T, X: From<Error>>(
        &self,
        mut body: impl for<'p> FnMut(&Map<'p, E>, &Tx<'p>) -> Result<T, X>,
    ) -> Result<T, X> {
        self.store.pool().share_briefly(|map, tx| {
            if let Some(durability) = self.durability {
                tx.set_durability(durability);
            }
            body(map, tx)
        })
    }

    /// As [`Store::put`].
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    #[inline]
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.one_key(|map, tx| map.put(tx, key, value))
    }

    /// As [`Store::put_with`].
    ///
    /// # Errors
    ///
    /// As [`Store::put_with`].
    pub fn put_with<X: From<Error>>(
        &self,
        key: &[u8],
        len: usize,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), X>,
    ) -> Result<bool, X> {
        // Never alone: `fill` may take its time, and others their turn meanwhile.
        self.share(|map, tx| map.put_with(tx, key, len, &mut fill))
    }

    /// As [`Store::insert_if_absent`].
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn insert_if_absent(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.one_key(|map, tx| map.insert_if_absent(tx, key, value))
    }

    /// As [`Store::update`].
    ///
    /// # Errors
    ///
    /// As [`Store::update`].
    pub fn update<T>(
        &self,
        key: &[u8],
        range: impl RangeBounds<usize>,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>> {
        // It is called when all locks are there, so once.
        let mut change = Some(change);
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let changed = self
            .share(|map, tx| map.update(key, bounds, tx, |bytes| change.take().map(|change| change(bytes))));
        changed.map(Option::flatten)
    }

    /// As [`Store::remove`].
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        self.one_key(|map, tx| map.remove(key, tx))
    }

    /// As [`Store::apply`].
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn apply(&self, batch: &Batch) -> Result<()> {
        self.share(|map, tx| map.apply(tx, batch))
    }

    /// As [`Store::batch`].
    ///
    /// # Errors
    ///
    /// As [`Store::batch`].
    pub fn batch<T>(&self, mut body: impl FnMut(StoreTx<'_, '_, E>) -> Result<T>) -> Result<T> {
        self.share(|map, tx| body(StoreTx { map, tx }))
    }

    /// As [`Store::clear`].
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn clear(&self) -> Result<()> {
        // Alone: there is nobody to wait for part after part.
        self.store.pool().write(|map, tx| {
            if let Some(durability) = self.durability {
                tx.set_durability(durability);
            }
            map.clear(tx)
        })
    }
}

impl<E: Engine> fmt::Debug for Writer<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("durability", &self.durability).finish_non_exhaustive()
    }
}

/// A store within a transaction: what [`Store::batch`] lends to its closure.
///
/// The methods are those of [`Map`] with the transaction left out. What was put is there for those that follow.
pub struct StoreTx<'a, 'p, E: Engine> {
    pub(super) map: &'a Map<'p, E>,
    pub(super) tx: &'a Tx<'p>,
}

impl<'a, 'p, E: Engine> StoreTx<'a, 'p, E> {
    /// The map, for calls that have no short form here.
    #[must_use]
    pub fn map(&self) -> &'a Map<'p, E> {
        self.map
    }

    /// The transaction.
    #[must_use]
    pub fn tx(&self) -> &'a Tx<'p> {
        self.tx
    }

    /// Lends the value of `key` to `look`; see [`Map::get_with`].
    ///
    /// # Errors
    ///
    /// As [`Map::get_with`].
    pub fn get<T>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.map.get_with(key, self.tx, look)
    }

    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`Map::get_with`].
    pub fn get_copy(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.map.get_copy(key, self.tx)
    }

    /// Whether there is a record of `key`.
    ///
    /// # Errors
    ///
    /// As [`Map::get_with`].
    pub fn exists(&self, key: &[u8]) -> Result<bool> {
        self.map.exists(key, self.tx)
    }

    /// Sets the value of `key`; true if the key is new.
    ///
    /// # Errors
    ///
    /// As [`Map::put`].
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.map.put(self.tx, key, value)
    }

    /// Sets the value of `key` to `len` bytes that `fill` writes in place; see [`Map::put_with`].
    ///
    /// # Errors
    ///
    /// As [`Map::put_with`].
    pub fn put_with<X: From<Error>>(
        &self,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), X>,
    ) -> Result<bool, X> {
        self.map.put_with(self.tx, key, len, fill)
    }

    /// Adds a record unless its key is there; true if it was added.
    ///
    /// # Errors
    ///
    /// As [`Map::put`].
    pub fn insert_if_absent(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.map.insert_if_absent(self.tx, key, value)
    }

    /// Lends a part of the value of `key` to `change`, in place; see [`Map::update`].
    ///
    /// # Errors
    ///
    /// As [`Map::update`].
    pub fn update<T>(
        &self,
        key: &[u8],
        range: impl RangeBounds<usize>,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>> {
        self.map.update(key, range, self.tx, change)
    }

    /// Removes the record of `key`; true if there was one.
    ///
    /// # Errors
    ///
    /// As [`Map::remove`].
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        self.map.remove(key, self.tx)
    }
}

impl<E: Engine> fmt::Debug for StoreTx<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTx").finish_non_exhaustive()
    }
}
