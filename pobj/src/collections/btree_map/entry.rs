//! The entry API: one search for looking and inserting.

use std::fmt;

use super::PBTreeMap;
use super::path::Path;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;

/// The place of a key in a [`PBTreeMap`]; made by [`PBTreeMap::entry`].
pub enum Entry<'a, 'p, K, V> {
    /// The key is in the map.
    Occupied(OccupiedEntry<'a, 'p, K, V>),
    /// It is not.
    Vacant(VacantEntry<'a, 'p, K, V>),
}

/// An element of the map.
pub struct OccupiedEntry<'a, 'p, K, V> {
    pub(super) map: &'a mut PBTreeMap<'p, K, V>,
    pub(super) tx: &'a Tx<'p>,
    /// To an element that was found there when this was made; nobody has changed the tree since.
    pub(super) path: Path,
}

/// A key that is not in the map.
pub struct VacantEntry<'a, 'p, K, V> {
    pub(super) map: &'a mut PBTreeMap<'p, K, V>,
    pub(super) tx: &'a Tx<'p>,
    /// To the gap where it belongs.
    pub(super) path: Path,
    pub(super) key: K,
}

impl<'a, 'p, K, V> Entry<'a, 'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    /// The value, after inserting `value` if the key is new.
    ///
    /// # Errors
    ///
    /// As [`PBTreeMap::insert`].
    pub fn or_insert(self, value: V) -> Result<&'a mut V> {
        self.or_insert_with(|| Ok(value))
    }

    /// The value, after inserting what `value` makes if the key is new.
    ///
    /// # Errors
    ///
    /// As [`PBTreeMap::insert`], and those of `value`.
    pub fn or_insert_with(self, value: impl FnOnce() -> Result<V>) -> Result<&'a mut V> {
        match self {
            Self::Occupied(entry) => Ok(entry.into_mut()),
            Self::Vacant(entry) => {
                let value = value()?;
                entry.insert(value)
            }
        }
    }

    /// The value, after inserting `V::default()` if the key is new.
    ///
    /// # Errors
    ///
    /// As [`PBTreeMap::insert`].
    pub fn or_default(self) -> Result<&'a mut V>
    where
        V: Default,
    {
        self.or_insert_with(|| Ok(V::default()))
    }

    /// Changes the value if the key is in the map.
    #[must_use]
    pub fn and_modify(mut self, change: impl FnOnce(&mut V)) -> Self {
        if let Self::Occupied(entry) = &mut self {
            change(entry.get_mut());
        }
        self
    }

    /// The key: the map's own if it has one.
    #[must_use]
    pub fn key(&self) -> &K {
        match self {
            Self::Occupied(entry) => entry.key(),
            Self::Vacant(entry) => entry.key(),
        }
    }
}

impl<K, V> OccupiedEntry<'_, '_, K, V> {
    fn element(&self) -> Option<(&K, &V)> {
        let node = self.path.node(self.map.root.as_ref()?.look())?;
        node.keys().get(self.path.index()).zip(node.values().get(self.path.index()))
    }
}

impl<'a, 'p, K, V> OccupiedEntry<'a, 'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    /// The map's own key.
    #[must_use]
    pub fn key(&self) -> &K {
        self.element().unwrap_or_else(|| gone()).0
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> &V {
        self.element().unwrap_or_else(|| gone()).1
    }

    /// The value, for changing. It alone is remembered.
    pub fn get_mut(&mut self) -> &mut V {
        self.map.element_mut(&self.path, self.tx).unwrap_or_else(|| gone()).1
    }

    /// The value, for changing as long as the map is borrowed.
    #[must_use]
    pub fn into_mut(self) -> &'a mut V {
        self.map.element_mut(&self.path, self.tx).unwrap_or_else(|| gone()).1
    }

    /// Replaces the value and gives the old one.
    pub fn insert(&mut self, value: V) -> V {
        std::mem::replace(self.get_mut(), value)
    }

    /// Removes the element and gives its value.
    pub fn remove(self) -> V {
        self.remove_entry().1
    }

    /// Removes the element.
    pub fn remove_entry(mut self) -> (K, V) {
        self.map.remove_at(&mut self.path, self.tx).unwrap_or_else(|| gone()).0
    }
}

/// An entry borrows its map, so the element that it found, or has just inserted, is there.
#[cold]
fn gone() -> ! {
    unreachable!("an entry's element has left a map that nobody else could change")
}

impl<K, V> VacantEntry<'_, '_, K, V> {
    /// The key that is not in the map.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Takes the key back.
    #[must_use]
    pub fn into_key(self) -> K {
        self.key
    }
}

impl<'a, 'p, K, V> VacantEntry<'a, 'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    /// Inserts `value` and gives it for changing.
    ///
    /// # Errors
    ///
    /// As [`PBTreeMap::insert`].
    pub fn insert(self, value: V) -> Result<&'a mut V> {
        let path = self.map.insert_at(self.tx, self.path, self.key, value)?;
        Ok(self.map.element_mut(&path, self.tx).unwrap_or_else(|| gone()).1)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Entry<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied(entry) => entry.fmt(f),
            Self::Vacant(entry) => entry.fmt(f),
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OccupiedEntry<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OccupiedEntry").field(&self.element()).finish()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for VacantEntry<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(&self.key).finish()
    }
}
