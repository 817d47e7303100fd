//! Iterators over a map: walks over its pages of items.

use std::fmt;
use std::iter::FusedIterator;
use std::slice;

use super::super::hash::PHash;
use super::super::pages::Pages;
use super::{Item, PHashMap};
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::PBuf;

/// Keys and values of a map; made by [`PHashMap::iter`].
pub struct Iter<'a, 'p, K, V> {
    pages: slice::Iter<'a, PBuf<'p, Item<K, V>>>,
    page: slice::Iter<'a, Item<K, V>>,
    left: usize,
}

impl<K, V> Clone for Iter<'_, '_, K, V> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), page: self.page.clone(), left: self.left }
    }
}

impl<'a, K, V> Iterator for Iter<'a, '_, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.page.next() {
                self.left = self.left.saturating_sub(1);
                return Some((&item.key, &item.value));
            }
            self.page = self.pages.next()?.as_slice().iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        let pages = self.pages.flat_map(|page| page.as_slice());
        self.page.chain(pages).fold(init, |folded, item| f(folded, (&item.key, &item.value)))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, '_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, '_, K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Keys and values of a map, the values for changing; made by [`PHashMap::iter_mut`].
pub struct IterMut<'a, 'p, K, V> {
    tx: &'a Tx<'p>,
    pages: slice::IterMut<'a, PBuf<'p, Item<K, V>>>,
    page: slice::IterMut<'a, Item<K, V>>,
    left: usize,
}

impl<'a, 'p, K: Persistent<At<'p> = K>, V: Persistent<At<'p> = V>> Iterator for IterMut<'a, 'p, K, V> {
    type Item = (&'a K, &'a mut V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.page.next() {
                self.left = self.left.saturating_sub(1);
                return Some((&item.key, &mut item.value));
            }
            let page = self.pages.next()?;
            let len = page.len();
            self.page = page.range_mut(0..len, self.tx).unwrap_or_default().iter_mut();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'p, K: Persistent<At<'p> = K>, V: Persistent<At<'p> = V>> ExactSizeIterator for IterMut<'_, 'p, K, V> {}
impl<'p, K: Persistent<At<'p> = K>, V: Persistent<At<'p> = V>> FusedIterator for IterMut<'_, 'p, K, V> {}

impl<K, V> fmt::Debug for IterMut<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The items that left a map, the last one first; made by [`PHashMap::drain`].
pub struct Drain<'a, 'p, K, V> {
    tx: &'a Tx<'p>,
    items: Pages<'p, Item<K, V>>,
}

impl<'p, K: Persistent<At<'p> = K>, V: Persistent<At<'p> = V>> Iterator for Drain<'_, 'p, K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let Item { key, value } = self.items.pop(self.tx)?;
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.items.len(), Some(self.items.len()))
    }
}

impl<'p, K: Persistent<At<'p> = K>, V: Persistent<At<'p> = V>> ExactSizeIterator for Drain<'_, 'p, K, V> {}
impl<'p, K: Persistent<At<'p> = K>, V: Persistent<At<'p> = V>> FusedIterator for Drain<'_, 'p, K, V> {}

impl<K, V> fmt::Debug for Drain<'_, '_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.items.len()).finish_non_exhaustive()
    }
}

impl<'p, K, V> PHashMap<'p, K, V> {
    /// Keys and values.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, 'p, K, V> {
        Iter { pages: self.items.pages().iter(), page: [].iter(), left: self.len() }
    }

    /// Keys, in the order of [`iter`](Self::iter).
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Values, in the order of [`iter`](Self::iter).
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<'p, K, V> PHashMap<'p, K, V>
where
    K: Persistent<At<'p> = K> + PHash + Eq,
    V: Persistent<At<'p> = V>,
{
    /// Keys and values, the values for changing. Items are remembered as the iterator reaches their page.
    pub fn iter_mut<'a>(&'a mut self, tx: &'a Tx<'p>) -> IterMut<'a, 'p, K, V> {
        let left = self.len();
        IterMut { tx, pages: self.items.pages_mut(tx), page: [].iter_mut(), left }
    }

    /// Values for changing, in the order of [`iter`](Self::iter).
    pub fn values_mut<'a>(&'a mut self, tx: &'a Tx<'p>) -> impl ExactSizeIterator<Item = &'a mut V>
    where
        K: 'a,
    {
        self.iter_mut(tx).map(|(_, value)| value)
    }

    /// Empties the map at once and yields its items. What is not taken is dropped with the iterator.
    pub fn drain<'a>(&mut self, tx: &'a Tx<'p>) -> Drain<'a, 'p, K, V> {
        Drain { tx, items: std::mem::take(self).items }
    }
}

impl<'a, 'p, K, V> IntoIterator for &'a PHashMap<'p, K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, 'p, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
