//! [`Typed`]: a store whose keys and values are types.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use super::code::Code;
use super::engine::Engine;
use super::store::Store;
use crate::ground::error::{Error, Result};

/// A store seen as one from `K` to `V`, by their [`Code`]s. It is a view: the store's own methods see the bytes.
///
/// Which types a store was filled with is not in the file. Bytes that are no value of the type are
/// [`Undecodable`](Error::Undecodable).
///
/// ```
/// use pobj::kv::{Hash, Store, Typed};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Hash>::create(dir.path().join("ages.pobj"))?;
/// let ages = Typed::<str, u32, Hash>::new(&store);
/// ages.put("bob", &41)?;
/// assert_eq!(ages.get_copy("bob")?, Some(41));
/// assert_eq!(ages.get("eve", |age| age + 1)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Typed<'s, K: ?Sized, V: ?Sized, E: Engine> {
    store: &'s Store<E>,
    types: PhantomData<fn(&K, &V)>,
}

pub(super) fn seen<T: Code + ?Sized>(bytes: &[u8]) -> Result<T::Seen<'_>> {
    T::seen(bytes).ok_or_else(|| Error::Undecodable { expected: type_name::<T>(), len: bytes.len() as u64 })
}

/// `each` for records in bytes. It breaks off at the first that is none of these types.
pub(super) fn each_seen<K: Code + ?Sized, V: Code + ?Sized, B>(
    mut each: impl FnMut(K::Seen<'_>, V::Seen<'_>) -> ControlFlow<B>,
) -> impl FnMut(&[u8], &[u8]) -> ControlFlow<Result<B>> {
    move |key, value| match seen::<K>(key).and_then(|key| Ok(each(key, seen::<V>(value)?))) {
        Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
        Ok(ControlFlow::Break(result)) => ControlFlow::Break(Ok(result)),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}

impl<'s, K: Code + ?Sized, V: Code + ?Sized, E: Engine> Typed<'s, K, V, E> {
    /// The store, seen with these types.
    #[must_use]
    pub fn new(store: &'s Store<E>) -> Self {
        Self { store, types: PhantomData }
    }

    /// The store as it is.
    #[must_use]
    pub fn store(&self) -> &'s Store<E> {
        self.store
    }

    /// Lends the value of `key` to `look`; see [`Store::get`].
    ///
    /// # Errors
    ///
    /// As [`Store::get`], and [`Undecodable`](Error::Undecodable).
    pub fn get<T>(&self, key: &K, look: impl FnOnce(V::Seen<'_>) -> T) -> Result<Option<T>> {
        self.store.get(key.bytes().as_ref(), |value| seen::<V>(value).map(look))?.transpose()
    }

    /// The value of `key`, of a type that borrows nothing from the store.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_copy(&self, key: &K) -> Result<Option<V>>
    where
        V: for<'a> Code<Seen<'a> = V> + Sized,
    {
        self.get(key, |value| value)
    }

    /// Sets the value of `key`; true if the key is new. See [`Store::put`].
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn put(&self, key: &K, value: &V) -> Result<bool> {
        self.store.put(key.bytes().as_ref(), value.bytes().as_ref())
    }

    /// Adds a record unless its key is there; true if it was added.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn insert_if_absent(&self, key: &K, value: &V) -> Result<bool> {
        self.store.insert_if_absent(key.bytes().as_ref(), value.bytes().as_ref())
    }

    /// Removes the record of `key`; true if there was one.
    ///
    /// # Errors
    ///
    /// As [`Store::remove`].
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.store.remove(key.bytes().as_ref())
    }

    /// Whether there is a record of `key`.
    ///
    /// # Errors
    ///
    /// As [`Store::exists`].
    pub fn exists(&self, key: &K) -> Result<bool> {
        self.store.exists(key.bytes().as_ref())
    }

    /// Shows every record to `each`, until it breaks off; see [`Store::for_each`].
    ///
    /// # Errors
    ///
    /// As [`Store::for_each`], and [`Undecodable`](Error::Undecodable).
    pub fn for_each<B>(
        &self,
        each: impl FnMut(K::Seen<'_>, V::Seen<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        match self.store.for_each(each_seen::<K, V, B>(each))? {
            ControlFlow::Continue(()) => Ok(ControlFlow::Continue(())),
            ControlFlow::Break(result) => result.map(ControlFlow::Break),
        }
    }
}

impl<K: ?Sized, V: ?Sized, E: Engine> fmt::Debug for Typed<'_, K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Typed").field(self.store).finish()
    }
}
