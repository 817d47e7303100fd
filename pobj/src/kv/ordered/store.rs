//! What a [`Store`] can do beyond the common, where the engine is [`Ordered`].

use std::ops::ControlFlow;

use super::{Bytewise, KeyRange, Order, Ordered, Seek};
use crate::ground::error::{Error, Result};
use crate::kv::{Store, Writer};

/// Ranges and neighbours. What they show is one state of the store: changes wait meanwhile. To go through a range while others
/// change other parts of the store, use [`batch`](Self::batch) and its [`range`](crate::kv::StoreTx::range).
impl<O: Order> Store<Ordered<O>> {
    /// Shows the records whose keys are in `range` to `each`, in their order, until it breaks off; what it broke off with is
    /// the result.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use pobj::kv::{Ordered, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::<Ordered>::create(dir.path().join("store.pobj"))?;
    /// for (key, value) in [("apple", 3u8), ("pear", 0), ("plum", 9)] {
    ///     store.put(key.as_bytes(), &[value])?;
    /// }
    /// let none_left = store.range("b".., |key, value| match value {
    ///     [0] => ControlFlow::Break(key.to_vec()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert_eq!(none_left, ControlFlow::Break(b"pear".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). So for every method here.
    pub fn range<B>(
        &self,
        range: impl KeyRange,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        Ok(self.read()?.range(range).try_for_each(|(key, value)| each(key, value)))
    }

    /// As [`range`](Self::range), from the last record to the first.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn range_back<B>(
        &self,
        range: impl KeyRange,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        Ok(self.read()?.range(range).rev().try_for_each(|(key, value)| each(key, value)))
    }

    /// Number of records whose keys are in `range`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn count_range(&self, range: impl KeyRange) -> Result<usize> {
        Ok(self.read()?.count_range(range))
    }

    /// Lends the record at a place to `look`, in place, and gives what that makes of it; `None` if there is none. Goes on
    /// beside changes in other parts of the store.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn seek<T>(&self, place: Seek<'_>, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        if let Some(guard) = self.pool().read_if_free()? {
            return Ok(guard.seek(place, &guard).map(|(key, value)| look(key, value)));
        }
        let mut look = Some(look);
        // It takes several locks, so it may be refused one, and run again; not once it has them.
        self.pool().share(|map, tx| {
            let found = map.seek_with(place, tx, |key, value| look.take().map(|look| look(key, value)))?;
            found.map_or(Ok(None), |taken| taken.map(Some).ok_or(Error::Deadlock))
        })
    }

    /// Removes the first record and shows it to `look`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn pop_first<T>(&self, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        Writer { store: self, durability: None }.pop_first(look)
    }

    /// Removes the last record and shows it to `look`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn pop_last<T>(&self, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        Writer { store: self, durability: None }.pop_last(look)
    }
}

/// Prefixes: in the order of bytes, the keys that begin alike are neighbours.
impl Store<Ordered<Bytewise>> {
    /// As [`range`](Self::range), for the keys that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn prefix<B>(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        Ok(self.read()?.prefix(prefix).try_for_each(|(key, value)| each(key, value)))
    }

    /// Number of records whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn count_prefix(&self, prefix: &[u8]) -> Result<usize> {
        Ok(self.read()?.count_prefix(prefix))
    }
}

/// The ends of an ordered store.
impl<O: Order> Writer<'_, Ordered<O>> {
    /// As [`Store::pop_first`].
    ///
    /// # Errors
    ///
    /// As [`Store::pop_first`].
    pub fn pop_first<T>(&self, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        self.pop(false, look)
    }

    /// As [`Store::pop_last`].
    ///
    /// # Errors
    ///
    /// As [`Store::pop_first`].
    pub fn pop_last<T>(&self, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        self.pop(true, look)
    }

    fn pop<T>(&self, last: bool, look: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        let mut look = Some(look);
        self.share(|map, tx| {
            let found = map.table.pop(last, tx, |key, value| look.take().map(|look| look(key, value)))?;
            found.map_or(Ok(None), |taken| taken.map(Some).ok_or(Error::Deadlock))
        })
    }
}
