//! [`Snapshot`]: a store as it is, for as long as somebody looks.

use std::fmt;

use super::engine::Engine;
use super::map::Map;
use crate::typed::ReadGuard;

/// One state of a store, lent in place: made by [`Store::read`](super::Store::read). Changes wait until it is dropped.
///
/// Guards nest on one thread; many threads may have one. It is not `Send`; the slices that it lends may go to scoped threads.
///
/// ```
/// use pobj::kv::{Hash, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Hash>::create(dir.path().join("store.pobj"))?;
/// store.put(b"one", b"1")?;
/// store.put(b"two", b"22")?;
/// let now = store.read()?;
/// let (one, two) = (now.get(b"one"), now.get(b"two"));
/// assert_eq!((one, two), (Some(&b"1"[..]), Some(&b"22"[..])));
/// assert_eq!(now.iter().map(|(_, value)| value.len()).sum::<usize>(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Snapshot<'g, E: Engine> {
    pub(super) guard: ReadGuard<'g, Map<'static, E>>,
}

impl<'g, E: Engine> Snapshot<'g, E> {
    /// The value of `key`.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        Map::get(&self.guard, key, &self.guard)
    }

    /// Whether there is a record of `key`.
    #[must_use]
    pub fn exists(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Number of records.
    #[must_use]
    pub fn count(&self) -> usize {
        Map::count(&self.guard, &self.guard)
    }

    /// All records, in the engine's order: none for [`Hash`](super::Hash).
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        Map::iter(&self.guard, &self.guard)
    }

    /// The map, for calls that take the guard.
    #[must_use]
    pub fn guard(&self) -> &ReadGuard<'g, Map<'static, E>> {
        &self.guard
    }
}

impl<E: Engine> fmt::Debug for Snapshot<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("count", &self.count()).finish()
    }
}
