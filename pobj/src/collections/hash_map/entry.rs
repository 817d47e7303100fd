//! The entry API: one search for looking and inserting.

use std::fmt;

use super::super::hash::PHash;
use super::{Item, PHashMap};
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;

/// The place of a key in a [`PHashMap`]; made by [`PHashMap::entry`].
pub enum Entry<'a, 'p, K, V> {
    /// The key is in the map.
    Occupied(OccupiedEntry<'a, 'p, K, V>),
    /// It is not.
    Vacant(VacantEntry<'a, 'p, K, V>),
}

/// An item of the map.
pub struct OccupiedEntry<'a, 'p, K, V> {
    pub(super) map: &'a mut PHashMap<'p, K, V>,
    pub(super) tx: &'a Tx<'p>,
    pub(super) tag: u32,
    /// Of an item that was found there when this was made; nobody has changed the map since.
    pub(super) place: usize,
}

/// A key that is not in the map.
pub struct VacantEntry<'a, 'p, K, V> {
    pub(super) map: &'a mut PHashMap<'p, K, V>,
    pub(super) tx: &'a Tx<'p>,
    pub(super) tag: u32,
    pub(super) key: K,
}

impl<'a, 'p, K, V> Entry<'a, 'p, K, V>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
{
    /// The value, after inserting `value` if the key is new.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`].
    pub fn or_insert(self, value: V) -> Result<&'a mut V> {
        self.or_insert_with(|| Ok(value))
    }

    /// The value, after inserting what `value` makes if the key is new.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`], and those of `value`.
    pub fn or_insert_with(self, value: impl FnOnce() -> Result<V>) -> Result<&'a mut V> {
        match self {
            Self::Occupied(entry) => Ok(entry.into_mut()),
            Self::Vacant(entry) => {
                let value = value()?;
                entry.insert(value)
            }
        }
    }

    /// The value, after inserting what `value` makes of the key if that is new.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`], and those of `value`.
    pub fn or_insert_with_key(self, value: impl FnOnce(&K) -> Result<V>) -> Result<&'a mut V> {
        match self {
            Self::Occupied(entry) => Ok(entry.into_mut()),
            Self::Vacant(entry) => {
                let value = value(entry.key())?;
                entry.insert(value)
            }
        }
    }

    /// Sets the value, and gives the item's entry.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`].
    pub fn insert_entry(self, value: V) -> Result<OccupiedEntry<'a, 'p, K, V>> {
        match self {
            Self::Occupied(mut entry) => {
                entry.insert(value);
                Ok(entry)
            }
            Self::Vacant(entry) => entry.insert_entry(value),
        }
    }

    /// The value, after inserting `V::default()` if the key is new.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`].
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

impl<'a, 'p, K, V> OccupiedEntry<'a, 'p, K, V>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
{
    fn item(&self) -> &Item<K, V> {
        match self.map.items.get(self.place) {
            Some(item) => item,
            None => gone(),
        }
    }

    /// The map's own key.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.item().key
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> &V {
        &self.item().value
    }

    /// The value, for changing.
    pub fn get_mut(&mut self) -> &mut V {
        value_at(self.map, self.place, self.tx)
    }

    /// The value, for changing as long as the map is borrowed.
    #[must_use]
    pub fn into_mut(self) -> &'a mut V {
        value_at(self.map, self.place, self.tx)
    }

    /// Replaces the value and gives the old one.
    pub fn insert(&mut self, value: V) -> V {
        std::mem::replace(self.get_mut(), value)
    }

    /// Removes the item and gives its value.
    pub fn remove(self) -> V {
        self.remove_entry().1
    }

    /// Removes the item.
    pub fn remove_entry(self) -> (K, V) {
        match self.map.remove_at(self.tag, self.place, self.tx) {
            Some(item) => item,
            None => gone(),
        }
    }
}

/// An entry borrows its map, so the item that it found, or has just inserted, is there.
#[cold]
pub(super) fn gone() -> ! {
    unreachable!("an entry's item has left a map that nobody else could change")
}

impl<'a, 'p, K, V> VacantEntry<'a, 'p, K, V> {
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
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
{
    /// Inserts `value` and gives it for changing.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`].
    pub fn insert(self, value: V) -> Result<&'a mut V> {
        let place = self.map.insert_new(self.tx, self.tag, self.key, value)?;
        Ok(value_at(self.map, place, self.tx))
    }

    /// Inserts `value` and gives the item's entry.
    ///
    /// # Errors
    ///
    /// As [`PHashMap::insert`].
    pub fn insert_entry(self, value: V) -> Result<OccupiedEntry<'a, 'p, K, V>> {
        let Self { map, tx, tag, key } = self;
        let place = map.insert_new(tx, tag, key, value)?;
        // The index, and with it the meaning of tags, may have been made just now.
        let tag = map.items.get(place).map_or(tag, |item| map.tag(&item.key));
        Ok(OccupiedEntry { map, tx, tag, place })
    }
}

/// The value of an item that is there.
fn value_at<'a, 'p, K, V>(map: &'a mut PHashMap<'p, K, V>, place: usize, tx: &Tx<'p>) -> &'a mut V
where
    K: Persistent<At<'p> = K>,
    V: Persistent<At<'p> = V>,
{
    match map.items.get_mut(place, tx) {
        Some(item) => &mut item.value,
        None => gone(),
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
        let item = self.map.items.get(self.place).map(|item| (&item.key, &item.value));
        f.debug_tuple("OccupiedEntry").field(&item).finish()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for VacantEntry<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(&self.key).finish()
    }
}
