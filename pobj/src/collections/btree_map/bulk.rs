//! Operations on many elements: keeping some, joining two maps, cutting one in two.

use std::borrow::Borrow;
use std::ops::Bound;

use super::PBTreeMap;
use super::path::Path;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{Form, NodeBox};

impl<'p, K, V> PBTreeMap<'p, K, V>
where
    K: Persistent<At<'p> = K> + Ord,
    V: Persistent<At<'p> = V>,
{
    /// Keeps the elements for which `keep` says so, asked in their order. All values are remembered.
    pub fn retain(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let Some(root) = &self.root else { return };
        let mut path = Path::end(root.look(), false);
        while let Some(root) = &self.root
            && path.seek_next(root.look())
        {
            let Some((key, value)) = self.element_mut(&path, tx) else { return };
            let kept = keep(key, value);
            // Of a removed element of an inner node, the next one has taken the place, and the path is behind that.
            let ask_before = !kept && self.remove_at(&mut path, tx).is_some_and(|(_, moved)| moved);
            let Some(root) = &self.root else { return };
            if kept {
                path.behind(root.look());
            } else if ask_before {
                path.seek_previous();
            }
        }
    }

    /// Inserts what `elements` yields.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); the elements before the one that did not fit stay.
    pub fn extend(&mut self, tx: &Tx<'p>, elements: impl IntoIterator<Item = (K, V)>) -> Result<()> {
        for (key, value) in elements {
            self.insert(tx, key, value)?;
        }
        Ok(())
    }

    /// Moves all elements of `other` into this map. Of keys that both have, this map's key stays, with the other's value.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); then what did not fit is still in `other`.
    pub fn append(&mut self, tx: &Tx<'p>, other: &mut Self) -> Result<()> {
        if self.is_empty() {
            std::mem::swap(self, other);
            return Ok(());
        }
        let mut spares = Vec::new();
        while let Some((key, _)) = other.first_key_value() {
            let (mut path, found) = self.find(key);
            if !found {
                // Whatever can fail comes before the element moves.
                self.make_room(tx, &mut path, &mut spares)?;
            }
            let Some((key, value)) = other.pop_first(tx) else { break };
            if !found {
                self.fill_gap(tx, &path, key, value);
            } else if let Some((_, old)) = self.element_mut(&path, tx) {
                *old = value;
            }
        }
        Ok(())
    }

    /// Takes the elements from `key` on out of this map. They move one by one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); then nothing has changed.
    pub fn split_off<Q>(&mut self, key: &Q, tx: &Tx<'p>) -> Result<Self>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let count = self.range((Bound::Included(key), Bound::Unbounded)).count();
        let mut spares = Vec::new();
        for _ in 0..nodes_for::<K, V>(count) {
            spares.push(NodeBox::new(tx)?);
        }
        let mut other = Self::new();
        for _ in 0..count {
            let mut path = other.root.as_ref().map_or(Path::ROOT, |root| Path::end(root.look(), false));
            other.make_room(tx, &mut path, &mut spares)?;
            let Some((key, value)) = self.pop_last(tx) else { break };
            other.fill_gap(tx, &path, key, value);
        }
        Ok(other)
    }
}

/// Nodes that `count` elements take at most if they are inserted in order, from either end.
fn nodes_for<K, V>(count: usize) -> usize {
    let (mut nodes, mut level) = (0, 0);
    let mut left = count;
    while left > 0 {
        // A node that splits at the end of a tree keeps all but two places, and one element separates it.
        let filled = Form::<K, V>::capacity(level) - 1;
        let of_level = left / filled + 1;
        nodes += of_level;
        left = of_level - 1;
        level += 1;
    }
    nodes
}
