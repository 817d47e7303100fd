//! [`Path`]: where in a tree an element is, or would be, as the index to take at each level.
//!
//! A path survives changes of the tree that it is told of, which an address or a borrow would not; following it again
//! costs a load for each level, of lines that are in the cache.

use std::borrow::Borrow;

use crate::typed::{LEVELS, NodeMut, NodeRef};

/// The index of the first key that is not less than `key`: `Ok` if it equals it.
#[inline]
pub(super) fn search<K, Q>(keys: &[K], key: &Q) -> Result<usize, usize>
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
{
    keys.binary_search_by(|probe| probe.borrow().cmp(key))
}

/// The indexes to take from the root: of children, then of an element or of the gap before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Levels above the last node.
    pub(super) depth: usize,
    pub(super) steps: [u16; LEVELS],
}

impl Path {
    /// The first place of the root.
    pub(super) const ROOT: Self = Self { depth: 0, steps: [0; LEVELS] };

    /// The place of `key`, and whether it is there. If not, the path leads to the gap in a leaf where it belongs.
    #[inline]
    pub(super) fn find<K, V, Q>(root: NodeRef<'_, K, V>, key: &Q) -> (Self, bool)
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        Self::find_by(root, |node| search(node.keys(), key))
    }

    /// As [`find`](Self::find), by a search of yours in each node.
    #[inline]
    pub(super) fn find_by<'a, K, V>(
        root: NodeRef<'a, K, V>,
        mut search: impl FnMut(NodeRef<'a, K, V>) -> Result<usize, usize>,
    ) -> (Self, bool) {
        let mut path = Self::ROOT;
        let mut node = root;
        loop {
            let (index, found) = match search(node) {
                Ok(index) => (index, true),
                Err(index) => (index, false),
            };
            path.steps[path.depth] = index as u16;
            match node.child(index) {
                Some(child) if !found => {
                    child.expect();
                    node = child;
                    path.depth += 1;
                }
                _ => return (path, found),
            }
        }
    }

    /// As [`find`](Self::find), with the access to the last node of the path.
    #[inline]
    pub(super) fn find_mut<'a, 'p, K, V, Q>(
        root: NodeMut<'a, 'p, K, V>,
        key: &Q,
    ) -> (Self, bool, NodeMut<'a, 'p, K, V>)
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut path = Self::ROOT;
        let mut node = root;
        loop {
            let look = node.look();
            let (index, found) = match search(look.keys(), key) {
                Ok(index) => (index, true),
                Err(index) => (index, false),
            };
            path.steps[path.depth] = index as u16;
            let level = look.level();
            if found {
                return (path, found, node);
            }
            match node.child_or_self(index) {
                Ok(child) => node = child,
                Err(leaf) => return (path, found, leaf),
            }
            if level == 1 {
                node.look().expect_all()
            } else {
                node.look().expect()
            }
            path.depth += 1;
        }
    }

    /// The first gap of the tree, or the last.
    pub(super) fn end<K, V>(root: NodeRef<'_, K, V>, last: bool) -> Self {
        let mut path = Self::ROOT;
        path.fall(root, last);
        path
    }

    /// Goes on from `node`, where this path ends, down its first or its last children to a gap in a leaf.
    fn fall<K, V>(&mut self, mut node: NodeRef<'_, K, V>, last: bool) {
        loop {
            let index = if last { node.len() } else { 0 };
            self.steps[self.depth] = index as u16;
            let Some(child) = node.child(index) else { return };
            node = child;
            self.depth += 1;
        }
    }

    /// The index in the last node.
    #[inline]
    pub(super) fn index(&self) -> usize {
        self.step(self.depth)
    }

    #[inline]
    pub(super) fn step(&self, depth: usize) -> usize {
        usize::from(self.steps[depth])
    }

    /// The nodes of the path, the root first, as many as there are.
    pub(super) fn nodes<'a, K, V>(&self, root: NodeRef<'a, K, V>) -> [NodeRef<'a, K, V>; LEVELS] {
        let mut nodes = [root; LEVELS];
        for depth in 0..self.depth {
            if let Some(child) = nodes[depth].child(self.step(depth)) {
                nodes[depth + 1] = child;
            }
        }
        nodes
    }

    /// The last node.
    #[inline]
    pub(super) fn node<'a, K, V>(&self, root: NodeRef<'a, K, V>) -> Option<NodeRef<'a, K, V>> {
        self.steps[..self.depth].iter().try_fold(root, |node, &step| node.child(usize::from(step)))
    }

    /// The node above which there are `depth` levels, for changing it and what is below.
    #[inline]
    pub(super) fn node_mut<'a, 'p, K, V>(
        &self,
        root: NodeMut<'a, 'p, K, V>,
        depth: usize,
    ) -> Option<NodeMut<'a, 'p, K, V>> {
        self.steps[..depth].iter().try_fold(root, |node, &step| node.child(usize::from(step)))
    }

    /// From a gap to the element behind it; false if there is none.
    pub(super) fn seek_next<K, V>(&mut self, root: NodeRef<'_, K, V>) -> bool {
        let nodes = self.nodes(root);
        loop {
            if self.index() < nodes[self.depth].len() {
                return true;
            }
            let Some(above) = self.depth.checked_sub(1) else { return false };
            self.depth = above;
        }
    }

    /// From a gap to the element before it; false if there is none.
    pub(super) fn seek_previous(&mut self) -> bool {
        loop {
            if self.index() > 0 {
                self.steps[self.depth] -= 1;
                return true;
            }
            let Some(above) = self.depth.checked_sub(1) else { return false };
            self.depth = above;
        }
    }

    /// From an element to the gap behind it.
    pub(super) fn behind<K, V>(&mut self, root: NodeRef<'_, K, V>) {
        let Some(node) = self.node(root) else { return };
        self.steps[self.depth] += 1;
        if let Some(child) = node.child(self.index()) {
            self.depth += 1;
            self.fall(child, false);
        }
    }

    /// The tree has become a level higher: its old root is the first child of the new one.
    pub(super) fn grow(&mut self) {
        self.steps.copy_within(..LEVELS - 1, 1);
        self.steps[0] = 0;
        self.depth += 1;
    }

    /// The tree's root has gone; its only child is the root.
    pub(super) fn shrink(&mut self) {
        self.steps.copy_within(1.., 0);
        self.depth = self.depth.saturating_sub(1);
    }

    /// Two neighbours at `depth`, of which the path goes through the one on the `right` or the other, have shared their
    /// elements anew: the left one had `had` and has `has` now.
    pub(super) fn shared(&mut self, depth: usize, right: bool, had: usize, has: usize) {
        let above = depth - 1;
        let left = self.step(above) - usize::from(right);
        // The place among the elements of both.
        let place = self.step(depth) + if right { had + 1 } else { 0 };
        let (child, step) = if place <= has { (left, place) } else { (left + 1, place - has - 1) };
        self.steps[above] = child as u16;
        self.steps[depth] = step as u16;
    }
}
