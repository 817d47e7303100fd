//! What [`Map`], [`StoreTx`] and [`Snapshot`] can do beyond the common, where the engine is [`Ordered`].

use std::ops::ControlFlow;

use super::bounds::{behind, prefix_bounds};
use super::{Bytewise, KeyRange, Order, Ordered, Seek};
use crate::ground::error::Result;
use crate::kv::{Map, Snapshot, StoreTx};
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::ReadGuard;

/// Ranges and neighbours. Those with `_with` in their names take part in a transaction, by `tx`; they lock what they pass,
/// beside other readers, and hold it to the end of the transaction. So what they have shown is one state of that part of the
/// map, and stays so: nobody adds a record to the range, or takes one out, before the transaction has ended. Records
/// elsewhere may change meanwhile.
impl<'p, O: Order> Map<'p, Ordered<O>> {
    /// The records whose keys are in `range`, in their order, from both ends; beside a read guard.
    ///
    /// ```
    /// # use pobj::kv::{Map, Ordered};
    /// # use pobj::Pool;
    /// # let dir = tempfile::tempdir()?;
    /// let pool = Pool::<Map<Ordered>>::create(dir.path().join("map.pobj"))?;
    /// pool.share(|map, tx| {
    ///     for key in ["a", "b", "c", "d"] {
    ///         map.put(tx, key.as_bytes(), b"")?;
    ///     }
    ///     Ok(())
    /// })?;
    /// let map = pool.read();
    /// assert_eq!(map.range("b".."d", &map).rev().map(|(key, _)| key).collect::<Vec<_>>(), [b"c", b"b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool.
    pub fn range<'a, K: KeyRange, R: Persistent>(
        &'a self,
        range: K,
        guard: &'a ReadGuard<'p, R>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'p, K, R, O> {
        self.table.range(range.key_bounds(), guard)
    }

    /// Shows the records whose keys are in `range` to `each`, in their order, until it breaks off; what it broke off with is
    /// the result. Locks are taken on the way: what is behind the place where it broke off is not locked.
    ///
    /// `each` may look at the map, and change what is in other parts; to change a part that is shown gives
    /// [`AlreadyBorrowed`](crate::Error::AlreadyBorrowed).
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn range_with<B>(
        &self,
        range: impl KeyRange,
        tx: &Tx<'p>,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.table.scan(range.key_bounds(), false, tx, each)
    }

    /// As [`range_with`](Self::range_with), from the last record to the first.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn range_back_with<B>(
        &self,
        range: impl KeyRange,
        tx: &Tx<'p>,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.table.scan(range.key_bounds(), true, tx, each)
    }

    /// Number of records whose keys are in `range`. Cost: those in the first part of the map that the range touches and in
    /// the last are counted, the parts between know.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn count_range_with(&self, range: impl KeyRange, tx: &Tx<'p>) -> Result<usize> {
        self.table.count_scan(range.key_bounds(), tx)
    }

    /// Number of records whose keys are in `range`, beside a read guard.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool.
    pub fn count_range<R: Persistent>(&self, range: impl KeyRange, guard: &ReadGuard<'p, R>) -> usize {
        self.table.count_beside(range.key_bounds(), guard)
    }

    /// The record at a place, beside a read guard.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool.
    pub fn seek<'a, R: Persistent>(
        &'a self,
        place: Seek<'_>,
        guard: &'a ReadGuard<'p, R>,
    ) -> Option<(&'a [u8], &'a [u8])> {
        let (bounds, last) = place.range();
        let mut records = self.table.range(bounds, guard);
        if last { records.next_back() } else { records.next() }
    }

    /// Lends the record at a place to `look`; `None` if there is none. What lies between the key and the record is locked
    /// too: the answer stays right to the end of the transaction.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn seek_with<T>(
        &self,
        place: Seek<'_>,
        tx: &Tx<'p>,
        look: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<Option<T>> {
        let (bounds, last) = place.range();
        let mut look = Some(look);
        let flow = self.table.scan(bounds, last, tx, |key, value| match look.take() {
            Some(look) => ControlFlow::Break(look(key, value)),
            None => ControlFlow::Continue(()),
        })?;
        Ok(flow.break_value())
    }

    /// Removes the first record and shows it to `look`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn pop_first<T>(&self, tx: &Tx<'p>, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        self.table.pop(false, tx, look)
    }

    /// Removes the last record and shows it to `look`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn pop_last<T>(&self, tx: &Tx<'p>, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        self.table.pop(true, tx, look)
    }
}

/// Prefixes: in the order of bytes, the keys that begin alike are neighbours.
impl<'p> Map<'p, Ordered<Bytewise>> {
    /// The records whose keys begin with `prefix`, in their order, from both ends; beside a read guard.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool.
    pub fn prefix<'a, R: Persistent>(
        &'a self,
        prefix: &[u8],
        guard: &'a ReadGuard<'p, R>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'p, R> {
        let behind = behind(prefix);
        self.table.range(prefix_bounds(prefix, &behind), guard)
    }

    /// As [`range_with`](Self::range_with), for the keys that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn prefix_with<B>(
        &self,
        prefix: &[u8],
        tx: &Tx<'p>,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let behind = behind(prefix);
        self.table.scan(prefix_bounds(prefix, &behind), false, tx, each)
    }

    /// Number of records whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get_with`](Self::get_with).
    pub fn count_prefix_with(&self, prefix: &[u8], tx: &Tx<'p>) -> Result<usize> {
        let behind = behind(prefix);
        self.table.count_scan(prefix_bounds(prefix, &behind), tx)
    }

    /// Number of records whose keys begin with `prefix`, beside a read guard.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool.
    pub fn count_prefix<R: Persistent>(&self, prefix: &[u8], guard: &ReadGuard<'p, R>) -> usize {
        let behind = behind(prefix);
        self.table.count_beside(prefix_bounds(prefix, &behind), guard)
    }
}

/// Ranges and neighbours: the methods of [`Map`] with the transaction left out.
impl<O: Order> StoreTx<'_, '_, Ordered<O>> {
    /// Shows the records of a range to `each`; see [`Map::range_with`].
    ///
    /// # Errors
    ///
    /// As [`Map::range_with`].
    pub fn range<B>(
        &self,
        range: impl KeyRange,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.map.range_with(range, self.tx, each)
    }

    /// Shows the records of a range to `each`, the last one first; see [`Map::range_back_with`].
    ///
    /// # Errors
    ///
    /// As [`Map::range_with`].
    pub fn range_back<B>(
        &self,
        range: impl KeyRange,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.map.range_back_with(range, self.tx, each)
    }

    /// Number of records in a range; see [`Map::count_range_with`].
    ///
    /// # Errors
    ///
    /// As [`Map::range_with`].
    pub fn count_range(&self, range: impl KeyRange) -> Result<usize> {
        self.map.count_range_with(range, self.tx)
    }

    /// Lends the record at a place to `look`; see [`Map::seek_with`].
    ///
    /// # Errors
    ///
    /// As [`Map::seek_with`].
    pub fn seek<T>(&self, place: Seek<'_>, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        self.map.seek_with(place, self.tx, look)
    }

    /// Removes the first record and shows it to `look`; see [`Map::pop_first`].
    ///
    /// # Errors
    ///
    /// As [`Map::pop_first`].
    pub fn pop_first<T>(&self, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        self.map.pop_first(self.tx, look)
    }

    /// Removes the last record and shows it to `look`; see [`Map::pop_last`].
    ///
    /// # Errors
    ///
    /// As [`Map::pop_last`].
    pub fn pop_last<T>(&self, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        self.map.pop_last(self.tx, look)
    }
}

/// Ranges and neighbours, lent in place.
impl<'g, O: Order> Snapshot<'g, Ordered<O>> {
    /// The records whose keys are in `range`, in their order, from both ends.
    ///
    /// ```
    /// # use pobj::kv::{Ordered, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::<Ordered>::create(dir.path().join("store.pobj"))?;
    /// for key in ["a", "b", "c"] {
    ///     store.put(key.as_bytes(), b"")?;
    /// }
    /// let now = store.read()?;
    /// assert_eq!(now.range("b"..).next(), Some((&b"b"[..], &b""[..])));
    /// assert_eq!(now.range(.."b").next_back(), Some((&b"a"[..], &b""[..])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range<'a, K: KeyRange>(
        &'a self,
        range: K,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'g, O, K> {
        self.guard.range(range, &self.guard)
    }

    /// Number of records whose keys are in `range`.
    pub fn count_range(&self, range: impl KeyRange) -> usize {
        self.guard.count_range(range, &self.guard)
    }

    /// The record at a place.
    #[must_use]
    pub fn seek(&self, place: Seek<'_>) -> Option<(&[u8], &[u8])> {
        self.guard.seek(place, &self.guard)
    }
}

/// Prefixes, lent in place.
impl<'g> Snapshot<'g, Ordered<Bytewise>> {
    /// The records whose keys begin with `prefix`, in their order, from both ends.
    pub fn prefix<'a>(
        &'a self,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'g> {
        self.guard.prefix(prefix, &self.guard)
    }

    /// Number of records whose keys begin with `prefix`.
    #[must_use]
    pub fn count_prefix(&self, prefix: &[u8]) -> usize {
        self.guard.count_prefix(prefix, &self.guard)
    }
}
