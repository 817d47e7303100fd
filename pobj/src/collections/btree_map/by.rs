//! Operations by a search of the caller's in place of `Ord`: for maps whose order is not that of their key type alone.
//!
//! A [`Search`] says where a probe is in a node. One that contradicts itself misses elements, as a wrong `Ord` does, and
//! nothing worse; `found` never names an element that is not there.

use super::iter::Range;
use super::path::Path;
use super::{PBTreeMap, change};
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{LEVELS, NodeBox, NodeMut, NodeRef, Walk, Way};

/// Where the probe is among the elements of a node: `Ok` of its index, or `Err` of the gap where it belongs.
pub(crate) trait Search<K, V>: Fn(NodeRef<'_, K, V>) -> Result<usize, usize> {}

impl<K, V, S: Fn(NodeRef<'_, K, V>) -> Result<usize, usize>> Search<K, V> for S {}

impl<'p, K, V> PBTreeMap<'p, K, V> {
    fn look(&self) -> Option<NodeRef<'_, K, V>> {
        self.root.as_ref().map(|root| root.look())
    }

    /// The element that a search finds.
    #[inline]
    pub(crate) fn get_by(&self, search: impl Search<K, V>) -> Option<(&K, &V)> {
        let mut node = self.look()?;
        loop {
            match search(node) {
                Ok(index) => return node.keys().get(index).zip(node.values().get(index)),
                Err(index) => node = node.child(index)?,
            }
            node.expect();
        }
    }

    /// The last element that is not behind the probe.
    #[inline]
    pub(crate) fn floor_by(&self, search: impl Search<K, V>) -> Option<(&K, &V)> {
        let (mut node, mut floor) = (self.look()?, None);
        loop {
            let (index, found) = match search(node) {
                Ok(index) => (index, true),
                Err(index) => (index, false),
            };
            let last = if found { Some(index) } else { index.checked_sub(1) };
            if let Some(last) = last {
                floor = node.keys().get(last).zip(node.values().get(last)).or(floor);
            }
            match node.child(index) {
                Some(child) if !found => node = child,
                _ => return floor,
            }
        }
    }

    /// Where a search ends, and whether it has found something.
    #[inline]
    pub(crate) fn place_by(&self, search: impl Search<K, V>) -> (Path, bool) {
        self.look().map_or((Path::ROOT, false), |root| Path::find_by(root, search))
    }

    /// The elements between two places.
    pub(crate) fn range_by<'a>(
        &'a self,
        front: impl FnMut(NodeRef<'a, K, V>) -> Way,
        back: impl FnMut(NodeRef<'a, K, V>) -> Way,
    ) -> Range<'a, K, V> {
        Range::new(Walk::by(self.look(), front, back))
    }

    /// The element from which on [`halve`](Self::halve) would take this map apart, if it has so many.
    pub(crate) fn middle(&self) -> Option<(&K, &V)> {
        let root = self.look()?;
        let keep = kept(root)?;
        root.keys().get(keep).zip(root.values().get(keep))
    }
}

impl<'p, K, V> PBTreeMap<'p, K, V>
where
    K: Persistent<At<'p> = K>,
    V: Persistent<At<'p> = V>,
{
    /// The value that a search has found, for changing. It alone is remembered.
    #[inline]
    pub(crate) fn value_at(&mut self, place: &Path, tx: &Tx<'p>) -> Option<&mut V> {
        let node = place.node_mut(self.root.as_mut()?.change(), place.depth)?;
        node.into_element(place.index(), tx).map(|(_, value)| value)
    }

    /// Adds an element where a search has ended without finding one. On an error nothing has changed.
    #[inline]
    pub(crate) fn insert_at_place(&mut self, tx: &Tx<'p>, place: Path, key: K, value: V) -> Result<()> {
        self.insert_at(tx, place, key, value).map(drop)
    }

    /// Removes the element that a search has found.
    pub(crate) fn remove_at_place(&mut self, mut place: Path, tx: &Tx<'p>) -> Option<(K, V)> {
        self.remove_at(&mut place, tx).map(|(element, _)| element)
    }

    /// Shows `change` the keys and values of each node, for other keys that stand to each other as the elements do. All keys
    /// are remembered.
    pub(crate) fn change_keys(&mut self, tx: &Tx<'p>, mut change: impl FnMut(&mut [K], &[V]))
    where
        K: Copy,
    {
        if let Some(root) = &mut self.root {
            change_keys(root.change(), tx, &mut change);
        }
    }

    /// Nodes for a [`halve`](Self::halve).
    pub(crate) fn spares(&self, tx: &Tx<'p>) -> Result<Spares<'p, K, V>> {
        // Two to divide the root, and one for each level that the dividing element may have to split, and a root.
        let levels = self.look().map_or(0, |root| root.level());
        (0..levels.min(LEVELS) + 5).map(|_| NodeBox::new(tx)).collect()
    }

    /// Takes the second half of the elements out: whole branches of the root, so it costs a few nodes, whatever the size.
    /// About half: nobody knows what is in the branches before they are counted, which is done then.
    ///
    /// Takes no memory but `spares`. `None`, changing nothing, if there are too few.
    pub(crate) fn halve(&mut self, tx: &Tx<'p>, mut spares: Spares<'p, K, V>) -> Result<Option<Self>> {
        let Some(keep) = self.look().and_then(kept) else { return Ok(None) };
        let Some(root) = &mut self.root else { return Ok(None) };
        if root.look().level() == 0 || root.look().len() > 1 {
            let (Some(above), Some(right)) = (spares.pop(), spares.pop()) else { return Ok(None) };
            if !root.grow(above, tx) {
                return Ok(None);
            }
            root.change().split_child(0, keep, right, tx);
        }
        let Some(((key, value), right)) = root.divide(tx) else { return Ok(None) };
        let mut upper = Self { root: Some(right), len: 0 };
        // A right half that is one child only.
        NodeBox::shrink(&mut upper.root, tx);
        let mut place = upper.look().map_or(Path::ROOT, |root| Path::end(root, false));
        upper.make_room(tx, &mut place, &mut spares)?;
        upper.fill_gap(tx, &place, key, value);
        upper.len = upper.look().map_or(0, count);
        self.set_len(self.len.saturating_sub(upper.len));
        Ok(Some(upper))
    }
}

pub(crate) use change::Spares;

/// Elements of the root that stay in the first half; `None` if it has too few, or cannot have another one above it.
fn kept<K, V>(root: NodeRef<'_, K, V>) -> Option<usize> {
    match (root.len(), root.level()) {
        (_, level) if level + 1 >= LEVELS => None,
        (0, _) | (1 | 2, 0) => None,
        (1, _) => Some(0),
        (len, _) => Some(len / 2),
    }
}

fn change_keys<'p, K, V>(
    mut node: NodeMut<'_, 'p, K, V>,
    tx: &Tx<'p>,
    change: &mut impl FnMut(&mut [K], &[V]),
) {
    let mut index = 0;
    while let Some(child) = node.for_now().child(index) {
        change_keys(child, tx, change);
        index += 1;
    }
    let (keys, values) = node.into_keys(tx);
    change(keys, values);
}

/// Elements of a node and of all below.
fn count<K, V>(node: NodeRef<'_, K, V>) -> u64 {
    let below: u64 = (0..=node.len()).filter_map(|index| node.child(index)).map(count).sum();
    node.len() as u64 + below
}
