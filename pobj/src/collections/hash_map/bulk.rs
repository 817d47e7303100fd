//! What looks at all items, and what the set asks of its map: keys that are replaced or given back.

use std::borrow::Borrow;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Index;

use super::super::hash::PHash;
use super::super::pages::Pages;
use super::{Item, PHashMap};
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;

/// Removes the items that a condition chooses; made by [`PHashMap::extract_if`].
pub struct ExtractIf<'a, 'p, K, V, F> {
    map: &'a mut PHashMap<'p, K, V>,
    tx: &'a Tx<'p>,
    /// Items that are still to be looked at: those with a smaller number than this.
    left: usize,
    chosen: F,
}

impl<'p, K, V, F> Iterator for ExtractIf<'_, 'p, K, V, F>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
    F: FnMut(&K, &mut V) -> bool,
{
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        // From the end, so that the item that takes the place of a removed one has been asked about.
        while let Some(number) = self.left.checked_sub(1) {
            self.left = number;
            let place = Pages::<Item<K, V>>::place_of(number);
            let Some(item) = self.map.items.get_mut(place, self.tx) else {
                continue;
            };
            if (self.chosen)(&item.key, &mut item.value)
                && let Some(item) = self.map.items.get(place)
            {
                let tag = self.map.tag(&item.key);
                return self.map.remove_at(tag, place, self.tx);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<'p, K, V, F> FusedIterator for ExtractIf<'_, 'p, K, V, F>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
    F: FnMut(&K, &mut V) -> bool,
{
}

impl<K, V, F> fmt::Debug for ExtractIf<'_, '_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractIf").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'p, K, V> PHashMap<'p, K, V>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
{
    /// Removes the items for which `chosen` says so and yields them. All that it looks at are remembered; those that
    /// the iterator has not come to when it is dropped stay.
    pub fn extract_if<'a, F>(&'a mut self, tx: &'a Tx<'p>, chosen: F) -> ExtractIf<'a, 'p, K, V, F>
    where
        F: FnMut(&K, &mut V) -> bool,
    {
        ExtractIf { left: self.len(), map: self, tx, chosen }
    }

    /// Keeps the items for which `keep` says so. All items are remembered.
    pub fn retain(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.extract_if(tx, |key, value| !keep(key, value)).for_each(drop);
    }

    /// As [`retain`](Self::retain), without remembering what stays in its place.
    pub(in super::super) fn retain_keys(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&K) -> bool) {
        for number in (0..self.len()).rev() {
            let place = Pages::<Item<K, V>>::place_of(number);
            if let Some(item) = self.items.get(place)
                && !keep(&item.key)
            {
                let tag = self.tag(&item.key);
                drop(self.remove_at(tag, place, tx));
            }
        }
    }

    /// Inserts an item, and gives the key that it replaces.
    pub(in super::super) fn replace_key(&mut self, tx: &Tx<'p>, key: K, value: V) -> Result<Option<K>> {
        let tag = self.tag(&key);
        if let Some(place) = self.place(tag, &key)
            && let Some(item) = self.items.get_mut(place, tx)
        {
            item.value = value;
            return Ok(Some(std::mem::replace(&mut item.key, key)));
        }
        self.insert_new(tx, tag, key, value)?;
        Ok(None)
    }

    /// The map's own key that equals `key`, after inserting the item that `make` makes if there is none.
    pub(in super::super) fn key_or_insert_with<Q>(
        &mut self,
        key: &Q,
        tx: &Tx<'p>,
        make: impl FnOnce() -> Result<(K, V)>,
    ) -> Result<&K>
    where
        K: Borrow<Q>,
        Q: PHash + Eq + ?Sized,
    {
        let place = match self.place(self.tag(key), key) {
            Some(place) => place,
            None => {
                let (made, value) = make()?;
                let tag = self.tag(&made);
                match self.place::<K>(tag, &made) {
                    Some(place) => place,
                    None => self.insert_new(tx, tag, made, value)?,
                }
            }
        };
        match self.items.get(place) {
            Some(item) => Ok(&item.key),
            None => super::entry::gone(),
        }
    }
}

/// The value of a key that is there; panics if it is not, as `std`'s does ([`get`](PHashMap::get) does not).
impl<K, V, Q> Index<&Q> for PHashMap<'_, K, V>
where
    K: PHash + Eq + Borrow<Q>,
    Q: PHash + Eq + ?Sized,
{
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => panic!("no item with this key is in the map"),
        }
    }
}
