//! How a tree makes room and closes gaps.
//!
//! **Inserting** into a full leaf first looks at its neighbours: if one has room, the two share their elements evenly,
//! which needs no memory and keeps leaves some 85 % full under random inserts. Otherwise the leaf splits, and so do the
//! full nodes above it. At either end of the tree a split leaves the old node full, so ascending and descending inserts
//! fill every leaf. All nodes that an insert needs are taken before anything changes: a full pool leaves the tree as it
//! was.
//!
//! **Removing** takes no memory. An element of an inner node is replaced by the next one, which is in a leaf. A node
//! that has become less than a third full is merged with a neighbour, or shares the neighbour's elements.
//!
//! Keys are not compared here: what a wrong `Ord` has put in the wrong place stays there.

use super::PBTreeMap;
use super::path::Path;
use crate::ground::error::{Error, Result};
use crate::tx::Tx;
use crate::typed::{Form, LEVELS, NodeBox, NodeRef};

/// Nodes that were taken for a change.
pub(crate) type Spares<'p, K, V> = Vec<NodeBox<'p, K, V>>;

/// A neighbour helps if this part of it is free; less would not be worth the moves.
const WORTHWHILE: usize = 6;

/// Elements below which a node of a level looks for help.
fn least(capacity: usize) -> usize {
    (capacity / 3).max(2)
}

impl<'p, K, V> PBTreeMap<'p, K, V> {
    /// Puts a new element into the gap of a leaf to which `path` leads, and gives the path to it.
    pub(super) fn insert_at(&mut self, tx: &Tx<'p>, mut path: Path, key: K, value: V) -> Result<Path> {
        self.make_room(tx, &mut path, &mut Vec::new())?;
        self.fill_gap(tx, &path, key, value);
        Ok(path)
    }

    /// Puts a new element into the gap of a leaf with room.
    #[inline]
    pub(super) fn fill_gap(&mut self, tx: &Tx<'p>, path: &Path, key: K, value: V) {
        let Some(root) = &mut self.root else { return };
        let leaf = path.node_mut(root.change(), path.depth);
        let inserted = leaf.is_some_and(|mut leaf| leaf.insert(path.index(), key, value, tx));
        debug_assert!(inserted, "no room where it was made");
        self.len = self.len.wrapping_add(u64::from(inserted));
    }

    /// Makes sure that the leaf of the gap has room, and leads `path` to the gap where it is then. Takes nodes from
    /// `spares` first. On an error nothing has changed.
    #[inline]
    pub(super) fn make_room(
        &mut self,
        tx: &Tx<'p>,
        path: &mut Path,
        spares: &mut Spares<'p, K, V>,
    ) -> Result<()> {
        let Some(root) = &self.root else {
            self.root = Some(take(spares, tx)?);
            return Ok(());
        };
        match path.node(root.look()) {
            Some(leaf) if leaf.is_full() => self.make_room_in_full(tx, path, spares),
            _ => Ok(()),
        }
    }

    #[cold]
    fn make_room_in_full(
        &mut self,
        tx: &Tx<'p>,
        path: &mut Path,
        spares: &mut Spares<'p, K, V>,
    ) -> Result<()> {
        let Some(root) = &mut self.root else { return Ok(()) };
        let nodes = path.nodes(root.look());
        let on_path = || nodes[..=path.depth].iter().enumerate();
        let first = on_path().all(|(depth, _)| path.step(depth) == 0);
        let last = on_path().all(|(depth, node)| path.step(depth) == node.len());
        let full = nodes[..=path.depth].iter().rev().take_while(|node| node.is_full()).count();
        if !first && !last && share_with_neighbour(root, path, tx) {
            return Ok(());
        }
        let grows = full > path.depth;
        if grows && root.look().level() + 1 >= LEVELS {
            return Err(Error::TooLarge { requested: u64::MAX });
        }
        while spares.len() < full + usize::from(grows) {
            spares.push(NodeBox::new(tx)?);
        }
        if grows {
            root.grow(take(spares, tx)?, tx);
            path.grow();
        }
        for depth in path.depth + 1 - full..=path.depth {
            let Some(mut parent) = path.node_mut(root.change(), depth - 1) else { continue };
            let Some(node) = parent.look().child(path.step(depth - 1)) else { continue };
            let had = node.len();
            // An inner node keeps an element at least.
            let inner = usize::from(node.level() > 0);
            let keep = match (first, last) {
                (_, true) => had - 1 - inner,
                (true, _) => inner,
                _ => had / 2,
            };
            parent.split_child(path.step(depth - 1), keep, take(spares, tx)?, tx);
            path.shared(depth, false, had, keep);
        }
        Ok(())
    }

    /// Removes the element to which `path` leads; the path then leads to the gap in a leaf that closed. Behind that
    /// gap is the element that followed, or before it, if the removed one was in an inner node: `true`.
    pub(super) fn remove_at(&mut self, path: &mut Path, tx: &Tx<'p>) -> Option<((K, V), bool)> {
        let root = self.root.as_mut()?;
        let inner = *path;
        let moved = path.node(root.look())?.level() > 0;
        if moved {
            path.behind(root.look());
        }
        let mut element = path.node_mut(root.change(), path.depth)?.remove(path.index(), tx)?;
        if moved {
            let (key, value) = element;
            element = inner.node_mut(root.change(), inner.depth)?.replace(inner.index(), key, value, tx)?;
        }
        self.close_gap(path, tx);
        self.set_len(self.len.saturating_sub(1));
        Some((element, moved))
    }

    /// Notes the length after a change of the nodes, and keeps to what [`check`](super::check) asks for, whatever a damaged
    /// file said it was.
    #[inline]
    pub(super) fn set_len(&mut self, len: u64) {
        self.len = if self.root.is_some() { len.max(1) } else { 0 };
    }

    /// Repairs the nodes of a path, from the leaf up, after an element has left.
    #[inline]
    fn close_gap(&mut self, path: &mut Path, tx: &Tx<'p>) {
        let Some(root) = &mut self.root else { return };
        for depth in (1..=path.depth).rev() {
            if !repair(root, path, depth, tx) {
                return;
            }
        }
        let before = root.look().level();
        NodeBox::shrink(&mut self.root, tx);
        let after = self.root.as_ref().map_or(0, |root| root.look().level());
        (after..before).for_each(|_| path.shrink());
    }
}

fn take<'p, K, V>(spares: &mut Spares<'p, K, V>, tx: &Tx<'p>) -> Result<NodeBox<'p, K, V>> {
    match spares.pop() {
        Some(node) => Ok(node),
        None => NodeBox::new(tx),
    }
}

/// The neighbours of the node at `depth` on a path, with what they have.
fn neighbours<K, V>(parent: NodeRef<'_, K, V>, index: usize) -> [Option<usize>; 2] {
    let len_of = |index: usize| parent.child(index).map(|node| node.len());
    [index.checked_sub(1).and_then(len_of), len_of(index + 1)]
}

/// Shares the elements of a full leaf with a neighbour that has room, if there is one.
fn share_with_neighbour<'p, K, V>(root: &mut NodeBox<'p, K, V>, path: &mut Path, tx: &Tx<'p>) -> bool {
    let Some(above) = path.depth.checked_sub(1) else { return false };
    let Some(mut parent) = path.node_mut(root.change(), above) else { return false };
    let index = path.step(above);
    let full = Form::<K, V>::capacity(0);
    // With two places both have room when the elements are shared evenly.
    let room = (full / WORTHWHILE).max(2);
    let helps = |len: Option<usize>| len.filter(|len| len + room <= full);
    let [left, right] = neighbours(parent.look(), index).map(helps);
    match (left, right) {
        (Some(left), other) if other.is_none_or(|right| left <= right) => {
            let keep = (left + full) / 2;
            let done = parent.distribute(index - 1, keep, tx);
            path.shared(path.depth, true, left, keep);
            done
        }
        (_, Some(right)) => {
            let keep = (full + right) / 2;
            let done = parent.distribute(index, keep, tx);
            path.shared(path.depth, false, full, keep);
            done
        }
        _ => false,
    }
}

/// Sees to it that the node at `depth` has its least number of elements. True if its parent has one less now.
fn repair<'p, K, V>(root: &mut NodeBox<'p, K, V>, path: &mut Path, depth: usize, tx: &Tx<'p>) -> bool {
    let Some(mut parent) = path.node_mut(root.change(), depth - 1) else { return false };
    let index = path.step(depth - 1);
    let Some(node) = parent.look().child(index) else { return false };
    let (len, capacity) = (node.len(), Form::<K, V>::capacity(node.level()));
    let least = least(capacity);
    if len >= least {
        return false;
    }
    // Not quite full, so that the next insert does not split it at once. Where two do not merge, sharing helps.
    let merged_max = (capacity / 4 * 3).max(2 * least);
    let merges = |other: &usize| len + 1 + other <= merged_max;
    let [left, right] = neighbours(parent.look(), index);
    match (left, right) {
        (Some(left), _) if merges(&left) => {
            let merged = parent.merge(index - 1, tx);
            path.shared(depth, true, left, left + 1 + len);
            merged
        }
        (_, Some(right)) if merges(&right) => parent.merge(index, tx),
        (Some(left), _) => {
            parent.distribute(index - 1, (left + len) / 2, tx);
            path.shared(depth, true, left, (left + len) / 2);
            false
        }
        (_, Some(right)) => {
            parent.distribute(index, (len + right) / 2, tx);
            path.shared(depth, false, len, (len + right) / 2);
            false
        }
        (None, None) => false,
    }
}
