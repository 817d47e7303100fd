//! [`Map`]: the map of an engine, as a field of a root.

use std::fmt;
use std::ops::{Bound, ControlFlow, Range, RangeBounds};

use super::batch::{Batch, Change};
use super::engine::{Engine, Table};
use crate::ground::error::{Error, Result};
use crate::layout::{Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::{Pair, ReadGuard, persistent_struct};

/// A map from bytes to bytes, for a root of yours: several of them in one pool, beside other structures, and in the same
/// transactions.
///
/// All methods take `&self`, so the map works in [`share`](crate::Pool::share) and in [`write`](crate::Pool::write) alike. An
/// operation locks the part of the map that its key is in, to the end of the transaction. There is a second set of ways to
/// look, for who has a read guard and needs no lock: [`get`](Self::get), [`iter`](Self::iter), [`count`](Self::count).
///
/// Values are lent in place, to closures. Such a closure may use the same map as long as it only looks; to change a part
/// that is lent gives [`AlreadyBorrowed`](Error::AlreadyBorrowed).
///
/// [`new`](Self::new) makes a map for many threads. [`default`](Default::default) takes no memory and has one lock.
///
/// ```
/// use pobj::kv::{Hash, Map};
/// use pobj::{PMutex, Persistent, Pool};
///
/// #[derive(Persistent)]
/// #[repr(C)]
/// struct Shop<'p> {
///     stock: Map<'p, Hash>,
///     names: Map<'p, Hash>,
///     changes: PMutex<'p, u64>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Shop>::create_with(dir.path().join("shop.pobj"), |tx| {
///     Ok(Shop { stock: Map::new(tx)?, names: Map::new(tx)?, changes: PMutex::new(0) })
/// })?;
/// pool.share(|shop, tx| {
///     shop.stock.put(tx, b"apple", &7u32.to_be_bytes())?;
///     shop.names.put(tx, b"apple", b"Apfel")?;
///     *shop.changes.lock(tx)? += 1;
///     Ok(())
/// })?;
/// let shop = pool.read();
/// assert_eq!(shop.names.get(b"apple", &shop), Some(&b"Apfel"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct Map<'p, E: Engine> {
    pub(super) table: E::Table<'p>,
}

persistent_struct! {
    impl['p, E: Engine] Map['p, E] called "KvMap"[];
    at<'q> = Map<'q, E>;
    fields { table: E::Table<'p> }
    check = |view: View<'_>, visit: &mut Visit<'_>| <E::Table<'p> as Persistent>::validate(view, visit);
}

/// The places in a value of `len` bytes that `range` means.
pub(super) fn places(range: &impl RangeBounds<usize>, len: usize) -> Result<Range<usize>> {
    let beyond = |index: usize| Error::OutOfRange { index: index as u64, len: len as u64 };
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.checked_add(1).ok_or_else(|| beyond(*before))?,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.checked_add(1).ok_or_else(|| beyond(*last))?,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    if end > len || start > end {
        return Err(beyond(start.max(end)));
    }
    Ok(start..end)
}

/// A new record, filled by `fill`.
pub(super) fn filled<'p, X: From<Error>>(
    tx: &Tx<'p>,
    key: &[u8],
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), X>,
) -> Result<Pair<'p>, X> {
    let mut pair = Pair::reserve(tx, key, len)?;
    if let Some(bytes) = pair.value_mut(0..len, tx) {
        fill(bytes)?;
    }
    Ok(pair)
}

impl<'p, E: Engine> Map<'p, E> {
    /// An empty map for many threads: it has so many locks that they seldom meet.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](Error::PoolFull), or [`Io`](Error::Io) when the file cannot grow.
    pub fn new(tx: &Tx<'p>) -> Result<Self> {
        Ok(Self { table: E::Table::new(tx)? })
    }

    /// The value of `key`, beside a read guard.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool. So for every method that takes one.
    #[inline]
    pub fn get<'a, R: Persistent>(&'a self, key: &[u8], guard: &'a ReadGuard<'p, R>) -> Option<&'a [u8]> {
        self.table.get(key, guard)
    }

    /// All records, beside a read guard, in the engine's order: none for [`Hash`](super::Hash).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn iter<'a, R: Persistent>(
        &'a self,
        guard: &'a ReadGuard<'p, R>,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'p, R, E> {
        self.table.iter(guard)
    }

    /// Number of records, beside a read guard.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[must_use]
    pub fn count<R: Persistent>(&self, guard: &ReadGuard<'p, R>) -> usize {
        self.table.count(guard)
    }

    /// Lends the value of `key` to `look` and gives what that makes of it; `None` if there is no such key. Others may look
    /// at the same time; none changes this part of the map before this transaction has ended.
    ///
    /// # Errors
    ///
    /// [`Deadlock`](Error::Deadlock) if the transaction must begin again: pass it on;
    /// [`AlreadyBorrowed`](Error::AlreadyBorrowed) within a closure that changes this part of the map. So for every method
    /// that takes `tx`.
    #[inline]
    pub fn get_with<T>(&self, key: &[u8], tx: &Tx<'p>, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.table.get_with(key, tx, look)
    }

    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn get_copy(&self, key: &[u8], tx: &Tx<'p>) -> Result<Option<Vec<u8>>> {
        self.get_with(key, tx, <[u8]>::to_vec)
    }

    /// Whether there is a record of `key`.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn exists(&self, key: &[u8], tx: &Tx<'p>) -> Result<bool> {
        self.get_with(key, tx, |_| ()).map(|found| found.is_some())
    }

    /// Sets the value of `key`; true if the key is new. A value that has a predecessor takes its place where there is room,
    /// else a new block.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with); [`PoolFull`](Error::PoolFull); [`TooLarge`](Error::TooLarge) where key and value
    /// together have 4 GiB or more; [`Io`](Error::Io) when the file cannot grow. Nothing has changed then. So for every
    /// method that adds.
    #[inline]
    pub fn put(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool> {
        self.table.put(tx, key, value)
    }

    /// Sets the value of `key` to `len` bytes that `fill` writes where they will stay; it finds zeros there. True if the key
    /// is new. `fill` runs before the map is touched, so it may use the map, and an error of it changes nothing.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and those of `fill`.
    pub fn put_with<X: From<Error>>(
        &self,
        tx: &Tx<'p>,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), X>,
    ) -> Result<bool, X> {
        let pair = filled(tx, key, len, fill)?;
        Ok(self.table.put_pair(tx, pair)?)
    }

    /// Adds a record unless its key is there already; true if it was added.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn insert_if_absent(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool> {
        self.table.insert_if_absent(tx, key, value)
    }

    /// Lends the bytes of the value of `key` that `range` names to `change`, in place; `None` if there is no such key. Those
    /// bytes alone are remembered and, as far as they change, recorded.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with); [`OutOfRange`](Error::OutOfRange) if the range leaves the value.
    pub fn update<T>(
        &self,
        key: &[u8],
        range: impl RangeBounds<usize>,
        tx: &Tx<'p>,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>> {
        self.table.update(key, tx, |len| places(&range, len), change)
    }

    /// Removes the record of `key`; true if there was one. Its block is free when the transaction has committed.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn remove(&self, key: &[u8], tx: &Tx<'p>) -> Result<bool> {
        self.table.remove(key, tx)
    }

    /// Does what `batch` says, in its order as far as that matters: changes of one key stay in their order, and keys are
    /// taken in one order by all transactions, so that they do not wait for each other in a circle.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put). What was done before the error stays in the transaction: pass it on.
    pub fn apply(&self, tx: &Tx<'p>, batch: &Batch) -> Result<()> {
        let mut changes: Vec<(&[u8], Change<'_>)> = batch.changes().collect();
        self.table.sort(&mut changes);
        changes.into_iter().try_for_each(|(key, change)| match change {
            Change::Put(value) => self.put(tx, key, value).map(drop),
            Change::Remove => self.remove(key, tx).map(drop),
        })
    }

    /// Number of records. Nobody adds or removes one before this transaction has ended: takes the lock of every part.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn len(&self, tx: &Tx<'p>) -> Result<usize> {
        self.table.len(tx)
    }

    /// True if there are none. Takes the lock of every part.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn is_empty(&self, tx: &Tx<'p>) -> Result<bool> {
        self.len(tx).map(|len| len == 0)
    }

    /// Shows every record to `each`, in the engine's order, until it breaks off; what it broke off with is the result. Takes
    /// the lock of every part and holds them to the end of the transaction: what is shown is one state of the map.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn for_each<B>(
        &self,
        tx: &Tx<'p>,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.table.for_each(tx, each)
    }

    /// Removes all records. Takes the lock of every part alone.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn clear(&self, tx: &Tx<'p>) -> Result<()> {
        self.table.clear(tx)
    }
}

impl<E: Engine> Default for Map<'_, E> {
    fn default() -> Self {
        Self { table: Default::default() }
    }
}

impl<E: Engine> fmt::Debug for Map<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}
