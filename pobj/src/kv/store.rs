//! [`Store`]: a pool with one map in it, where each call is a transaction.

use std::fmt;
use std::ops::{ControlFlow, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use super::batch::Batch;
use super::engine::Engine;
use super::map::Map;
use super::snapshot::Snapshot;
use super::writer::{StoreTx, Writer};
use crate::ground::error::{Error, Result};
use crate::journal::Durability;
use crate::media::Media;
use crate::pool::{Pool, Stats};

/// Options for a store's pool: sizes, durability, the medium. A [`pobj::Options`](crate::Options) with
/// [`create_store`](crate::Options::create_store), [`open_store`](crate::Options::open_store) and others.
pub type Options<E> = crate::Options<Map<'static, E>>;

/// A store of bytes under bytes, in a pool of its own.
///
/// `Send` and `Sync`: share it between threads by reference or in an `Arc`. Each call is a transaction: all or nothing, and
/// durable when it returns unless the pool's [`Durability`], or [`with`](Self::with), says otherwise.
///
/// Looking at one key and changing keys go on beside each other, as far as keys fall into different parts of the engine. A
/// [`read`](Self::read) guard keeps all changes away until it is dropped.
///
/// A closure that is lent bytes runs within the call: using the same store in it gives [`Nested`](Error::Nested) or
/// [`ReadGuardHeld`](Error::ReadGuardHeld). For several steps in one transaction there is [`batch`](Self::batch).
///
/// ```
/// use pobj::kv::{Hash, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Hash>::create(dir.path().join("store.pobj"))?;
/// std::thread::scope(|scope| {
///     for thread in 0..4u8 {
///         let store = &store;
///         scope.spawn(move || store.put(&[thread], b"was here").unwrap());
///     }
/// });
/// assert_eq!(store.count()?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store<E: Engine> {
    pool: Pool<Map<'static, E>>,
}

impl<E: Engine> crate::Options<Map<'static, E>> {
    /// Creates a store at `path`.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_store(&self, path: impl AsRef<Path>) -> Result<Store<E>> {
        self.create_with(path, |tx| Map::new(tx)).map(Store::from)
    }

    /// Creates a store on a medium of your own.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_store_on(&self, media: Arc<dyn Media>) -> Result<Store<E>> {
        self.create_on(media, |tx| Map::new(tx)).map(Store::from)
    }

    /// Opens the store at `path`. It is recovered and validated as every pool is.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_store(&self, path: impl AsRef<Path>) -> Result<Store<E>> {
        self.open(path).map(Store::from)
    }

    /// Opens a store on a medium of your own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_store_on(&self, media: Arc<dyn Media>) -> Result<Store<E>> {
        self.open_on(media).map(Store::from)
    }

    /// Opens the store at `path`, or creates it if there is none. A file that is something else is never replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create_store(&self, path: impl AsRef<Path>) -> Result<Store<E>> {
        match self.open_store(path.as_ref()) {
            Err(Error::NotFound { .. }) => match self.create_store(path.as_ref()) {
                // Somebody else was faster.
                Err(Error::AlreadyExists { .. }) => self.open_store(path),
                other => other,
            },
            other => other,
        }
    }
}

impl<E: Engine> From<Pool<Map<'static, E>>> for Store<E> {
    fn from(pool: Pool<Map<'static, E>>) -> Self {
        Self { pool }
    }
}

impl<E: Engine> Store<E> {
    /// Options for creating or opening a store.
    #[must_use]
    pub fn options() -> Options<E> {
        Options::default()
    }

    /// Creates a store with default options.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`], [`Error::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().create_store(path)
    }

    /// Opens a store with default options.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Locked`], [`Error::NotAPool`], [`Error::UnsupportedFormat`],
    /// [`Error::SchemaMismatch`] if it is of another engine, [`Error::OrderMismatch`] if it is in another order, [`Error::AddressTaken`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open_store(path)
    }

    /// Opens a store with default options, or creates it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open_or_create_store(path)
    }

    /// The pool, whose root is the map: for transactions of your own.
    #[must_use]
    pub fn pool(&self) -> &Pool<Map<'static, E>> {
        &self.pool
    }

    /// The same calls with another durability: `store.with(Durability::Eventual).put(key, value)`.
    #[must_use]
    pub fn with(&self, durability: Durability) -> Writer<'_, E> {
        Writer { store: self, durability: Some(durability) }
    }

    fn writer(&self) -> Writer<'_, E> {
        Writer { store: self, durability: None }
    }

    /// Lends the value of `key` to `look`, in place, and gives what that makes of it; `None` if there is no such key.
    ///
    /// Cost: one search, one lock, no copy, no ordering point. Changes may have to wait until `look` returns, so it must not
    /// wait for a thread that makes one.
    ///
    /// # Errors
    ///
    /// [`Error::Nested`] inside a transaction or a closure of this store, [`Error::ReadGuardHeld`] beside a guard of this
    /// thread, [`Error::Poisoned`], [`Error::Forked`]. So for every method.
    #[inline]
    pub fn get<T>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        // Beside nobody or other readers a guard costs less than a lock.
        if let Some(guard) = self.pool.read_if_free()? {
            return Ok(Map::get(&guard, key, &guard).map(look));
        }
        let mut look = Some(look);
        let found = self
            .pool
            .share_briefly(|map, tx| map.get_with(key, tx, |value| look.take().map(|look| look(value))));
        found.map(Option::flatten)
    }

    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_copy(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get(key, <[u8]>::to_vec)
    }

    /// Whether there is a record of `key`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn exists(&self, key: &[u8]) -> Result<bool> {
        self.get(key, |_| ()).map(|found| found.is_some())
    }

    /// A guard beside which records are lent in place for as long as it lives, without locks: the quickest way to look at many
    /// keys. Changes wait until it is dropped.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn read(&self) -> Result<Snapshot<'_, E>> {
        Ok(Snapshot { guard: self.pool.try_read()? })
    }

    /// Number of records. Waits for those who change the store.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn count(&self) -> Result<usize> {
        Ok(self.read()?.count())
    }

    /// Shows every record to `each`, in the engine's order, until it breaks off; what it broke off with is the result. What is
    /// shown is one state of the store: changes wait meanwhile.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use pobj::kv::{Hash, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::<Hash>::create(dir.path().join("store.pobj"))?;
    /// store.put(b"one", b"1")?;
    /// store.put(b"two", b"22")?;
    /// let long = store.for_each(|key, value| match value.len() {
    ///     2 => ControlFlow::Break(key.to_vec()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert_eq!(long, ControlFlow::Break(b"two".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn for_each<B>(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        Ok(self.read()?.iter().try_for_each(|(key, value)| each(key, value)))
    }

    /// Sets the value of `key`; true if the key is new.
    ///
    /// Cost: one block for a new key or one that outgrows its block, one record, one ordering point.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); [`Error::PoolFull`]; [`Error::TooLarge`] where key and value together have 4 GiB or more;
    /// [`Error::Io`]. Nothing has changed then. So for every method that changes something.
    #[inline]
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.writer().put(key, value)
    }

    /// Sets the value of `key` to `len` bytes that `fill` writes where they will stay; it finds zeros there. True if the key
    /// is new. `fill` runs before the store is touched, so an error of it changes nothing; it runs again if the transaction
    /// has to begin again.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and those of `fill`.
    pub fn put_with<X: From<Error>>(
        &self,
        key: &[u8],
        len: usize,
        fill: impl FnMut(&mut [u8]) -> Result<(), X>,
    ) -> Result<bool, X> {
        self.writer().put_with(key, len, fill)
    }

    /// Adds a record unless its key is there already; true if it was added.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn insert_if_absent(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.writer().insert_if_absent(key, value)
    }

    /// Lends the bytes of the value of `key` that `range` names to `change`, in place; `None` if there is no such key. A panic
    /// in it rolls back.
    ///
    /// Cost: the record has the words that changed.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); [`Error::OutOfRange`] if the range leaves the value.
    pub fn update<T>(
        &self,
        key: &[u8],
        range: impl RangeBounds<usize>,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>> {
        self.writer().update(key, range, change)
    }

    /// Removes the record of `key`; true if there was one.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        self.writer().remove(key)
    }

    /// Makes the changes of `batch`, all or none.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn apply(&self, batch: &Batch) -> Result<()> {
        self.writer().apply(batch)
    }

    /// Runs `body` as one transaction on the store: it sees what it has changed, an error or a panic rolls back. Two of them
    /// that would wait for each other's keys do not: one is rolled back and **runs again**.
    ///
    /// ```
    /// # use pobj::kv::{Hash, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::<Hash>::create(dir.path().join("store.pobj"))?;
    /// store.put(b"from", b"value")?;
    /// let moved = store.batch(|tx| {
    ///     let Some(value) = tx.get_copy(b"from")? else { return Ok(false) };
    ///     tx.put(b"to", &value)?;
    ///     tx.remove(b"from")
    /// })?;
    /// assert!(moved && store.exists(b"to")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and those of `body`; [`Error::Deadlock`] if it was in others' way each time.
    pub fn batch<T>(&self, body: impl FnMut(StoreTx<'_, '_, E>) -> Result<T>) -> Result<T> {
        self.writer().batch(body)
    }

    /// Removes all records, in one transaction.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn clear(&self) -> Result<()> {
        self.writer().clear()
    }

    /// What the pool holds and has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }

    /// Makes everything durable that was put.
    ///
    /// # Errors
    ///
    /// As [`Pool::sync`].
    pub fn sync(&self) -> Result<()> {
        self.pool.sync()
    }

    /// Makes everything durable and closes the store, so that the next open has nothing to recover.
    ///
    /// # Errors
    ///
    /// As [`Pool::close`].
    pub fn close(self) -> Result<()> {
        self.pool.close()
    }
}

impl<E: Engine> fmt::Debug for Store<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.pool).finish()
    }
}
