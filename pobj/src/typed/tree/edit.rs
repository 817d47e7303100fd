//! Changes of nodes. Each is whole: between two calls N1 to N3 hold, whatever the caller does next, and a call that
//! does not fit the node changes nothing and says so.
//!
//! Elements move by their bytes; nothing is dropped and no user code runs here. Whatever a move replaces is remembered
//! first, exactly (I1).

use std::marker::PhantomData;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::form::{Columns, Form, Header, INNER};
use super::{LEVELS, NodeBox, NodeMut, NodeRef};
use crate::tx::Tx;
use crate::typed::StaysOnItsThread;

/// One of a node's arrays: the address of its first place. Places are named by index, within the capacity.
struct Column<T> {
    first: u64,
    of: PhantomData<T>,
}

impl<T> Clone for Column<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Column<T> {}

impl<T> Column<T> {
    const SIZE: u64 = size_of::<T>() as u64;

    fn new(first: u64) -> Self {
        Self { first, of: PhantomData }
    }

    #[inline]
    fn at(self, index: u64) -> u64 {
        self.first + index * Self::SIZE
    }

    #[inline]
    fn remember(self, index: u64, count: u64, tx: &Tx<'_>) {
        tx.core.log(self.at(index), count * Self::SIZE);
    }

    /// Moves the bytes of `count` values from `from` in `source` to `to` here, over places that are remembered.
    #[inline]
    fn copy(self, to: u64, source: Self, from: u64, count: u64) {
        let target = with_exposed_provenance_mut::<u8>(self.at(to) as usize);
        let source = with_exposed_provenance::<u8>(source.at(from) as usize);
        // SAFETY: the edits below name places within the capacity of live nodes (N1, T2) to which they have the only
        // access, and remember the target first (I1); `copy` allows an overlap.
        unsafe { source.copy_to(target, (count * Self::SIZE) as usize) };
    }

    /// As [`copy`](Self::copy), and remembers what it replaces.
    fn receive(self, to: u64, source: Self, from: u64, count: u64, tx: &Tx<'_>) {
        self.remember(to, count, tx);
        self.copy(to, source, from, count);
    }

    /// Writes a value to a place that is remembered and holds none that is anyone's.
    #[inline]
    fn put(self, index: u64, value: T) {
        // SAFETY: as in `copy`.
        unsafe { with_exposed_provenance_mut::<T>(self.at(index) as usize).write(value) };
    }

    /// Moves a value out; the caller makes sure that the place is not looked at again.
    #[inline]
    fn take(self, index: u64) -> T {
        // SAFETY: N1 for the value, T2; it moves once (I2).
        unsafe { with_exposed_provenance::<T>(self.at(index) as usize).read() }
    }
}

/// A node taken apart for an edit.
struct Parts<K, V> {
    addr: u64,
    level: u16,
    count: u64,
    capacity: u64,
    keys: Column<K>,
    values: Column<V>,
    children: Column<u64>,
}

impl<K, V> Parts<K, V> {
    /// Of a live node to which the caller has the only access.
    #[inline]
    fn of(addr: u64) -> Self {
        let Header { level, count, .. } = NodeRef::<K, V> { addr, content: PhantomData }.header();
        Self::new(addr, level, u64::from(count))
    }

    #[inline]
    fn new(addr: u64, level: u16, count: u64) -> Self {
        let columns: &Columns = Form::<K, V>::columns(level);
        Self {
            addr,
            level,
            count,
            capacity: columns.capacity,
            keys: Column::new(addr + columns.keys),
            values: Column::new(addr + columns.values),
            children: Column::new(addr + columns.children),
        }
    }

    /// The child at `index`, which is at most the count of this inner node.
    fn child(&self, index: u64) -> Self {
        Self::of(self.children.take(index))
    }

    /// Two neighbours and the place of what separates them, if there are two at `index`.
    fn neighbours(&self, index: usize) -> Option<(u64, Self, Self)> {
        let index = index as u64;
        (self.level != 0 && index < self.count).then(|| (index, self.child(index), self.child(index + 1)))
    }

    #[inline]
    fn set_count(&mut self, count: u64, tx: &Tx<'_>) {
        self.count = count;
        tx.core.log(self.addr, 8);
        let kind = if self.level == 0 { super::form::LEAF } else { INNER };
        let header = Header { kind, level: self.level, count: count as u32 };
        // SAFETY: a live node begins with its header (N1), logged just now (I1), T2.
        unsafe { with_exposed_provenance_mut::<Header>(self.addr as usize).write(header) };
    }

    /// Moves elements from another node, over places that hold none.
    fn receive(&self, to: u64, source: &Self, from: u64, count: u64, tx: &Tx<'_>) {
        self.keys.receive(to, source.keys, from, count, tx);
        self.values.receive(to, source.values, from, count, tx);
    }

    /// Moves children likewise, if these are inner nodes.
    fn receive_children(&self, to: u64, source: &Self, from: u64, count: u64, tx: &Tx<'_>) {
        if self.level != 0 {
            self.children.receive(to, source.children, from, count, tx);
        }
    }

    /// Moves the elements and children from the right of `self` to its end: first the one that separates the two.
    fn take_from_right(&mut self, parent: &Self, index: u64, right: &mut Self, count: u64, tx: &Tx<'_>) {
        let Some(last) = count.checked_sub(1) else { return };
        self.receive(self.count, parent, index, 1, tx);
        self.receive(self.count + 1, right, 0, last, tx);
        self.receive_children(self.count + 1, right, 0, count, tx);
        self.set_count(self.count + count, tx);
        if count > right.count {
            // All of it went; the caller takes the separating place out.
            return;
        }
        parent.receive(index, right, last, 1, tx);
        let left = right.count - count;
        right.keys.receive(0, right.keys, count, left, tx);
        right.values.receive(0, right.values, count, left, tx);
        if right.level != 0 {
            right.children.receive(0, right.children, count, left + 1, tx);
        }
        right.set_count(left, tx);
    }

    /// Moves elements and children from the end of `self` to the front of `right`.
    fn give_to_right(&mut self, parent: &Self, index: u64, right: &mut Self, count: u64, tx: &Tx<'_>) {
        let Some(last) = count.checked_sub(1) else { return };
        let left = self.count - count;
        right.keys.receive(count, right.keys, 0, right.count, tx);
        right.values.receive(count, right.values, 0, right.count, tx);
        right.receive(last, parent, index, 1, tx);
        right.receive(0, self, left + 1, last, tx);
        if right.level != 0 {
            right.children.receive(count, right.children, 0, right.count + 1, tx);
            right.children.receive(0, self.children, left + 1, count, tx);
        }
        parent.receive(index, self, left, 1, tx);
        right.set_count(right.count + count, tx);
        self.set_count(left, tx);
    }
}

impl<'p, K, V> NodeMut<'_, 'p, K, V> {
    fn parts(&mut self) -> Parts<K, V> {
        Parts::of(self.addr)
    }

    /// Puts an element at `index` and moves the rest up. False, dropping both, unless this is a leaf with room.
    #[inline]
    pub(crate) fn insert(&mut self, index: usize, key: K, value: V, tx: &Tx<'p>) -> bool {
        let mut node = self.parts();
        let at = index as u64;
        if node.level != 0 || node.count >= node.capacity || at > node.count {
            return false;
        }
        let moved = node.count - at;
        node.keys.remember(at, moved + 1, tx);
        node.values.remember(at, moved + 1, tx);
        node.keys.copy(at + 1, node.keys, at, moved);
        node.values.copy(at + 1, node.values, at, moved);
        node.keys.put(at, key);
        node.values.put(at, value);
        node.set_count(node.count + 1, tx);
        true
    }

    /// Takes the element at `index` out of a leaf and moves the rest down.
    pub(crate) fn remove(&mut self, index: usize, tx: &Tx<'p>) -> Option<(K, V)> {
        let mut node = self.parts();
        let at = index as u64;
        if node.level != 0 || at >= node.count {
            return None;
        }
        let element = (node.keys.take(at), node.values.take(at));
        let moved = node.count - at - 1;
        node.keys.receive(at, node.keys, at + 1, moved, tx);
        node.values.receive(at, node.values, at + 1, moved, tx);
        node.set_count(node.count - 1, tx);
        Some(element)
    }

    /// Puts another element in the place of the one at `index`, and gives that one.
    pub(crate) fn replace(&mut self, index: usize, key: K, value: V, tx: &Tx<'p>) -> Option<(K, V)> {
        let node = self.parts();
        let at = index as u64;
        if at >= node.count {
            return None;
        }
        let element = (node.keys.take(at), node.values.take(at));
        node.keys.remember(at, 1, tx);
        node.values.remember(at, 1, tx);
        node.keys.put(at, key);
        node.values.put(at, value);
        Some(element)
    }

    /// Splits the child at `index`: it keeps `keep` elements, the next one separates it from `spare`, which gets the
    /// rest and stands to the right of it. False, dropping `spare`, unless there is room for a child, the child has
    /// more than `keep`, and `spare` is an empty leaf.
    pub(crate) fn split_child(
        &mut self,
        index: usize,
        keep: usize,
        spare: NodeBox<'p, K, V>,
        tx: &Tx<'p>,
    ) -> bool {
        let mut parent = self.parts();
        let (index, keep) = (index as u64, keep as u64);
        if parent.level == 0 || parent.count >= parent.capacity || index > parent.count {
            return false;
        }
        let mut child = parent.child(index);
        let empty = spare.look().level() == 0 && spare.look().len() == 0;
        if !empty || keep >= child.count {
            return false;
        }
        let moved = child.count - keep - 1;
        let mut right = Parts::<K, V>::new(spare.addr.get(), child.level, 0);
        right.receive(0, &child, keep + 1, moved, tx);
        right.receive_children(0, &child, keep + 1, moved + 1, tx);
        right.set_count(moved, tx);
        let behind = parent.count - index;
        parent.keys.receive(index + 1, parent.keys, index, behind, tx);
        parent.values.receive(index + 1, parent.values, index, behind, tx);
        parent.receive(index, &child, keep, 1, tx);
        parent.children.remember(index + 1, behind + 1, tx);
        parent.children.copy(index + 2, parent.children, index + 1, behind);
        parent.children.put(index + 1, right.addr);
        // The parent owns it from here on.
        std::mem::forget(spare);
        child.set_count(keep, tx);
        parent.set_count(parent.count + 1, tx);
        true
    }

    /// Moves elements between the children at `index` and `index + 1`, so that the left one has `keep`. False, changing
    /// nothing, if they do not fit so.
    pub(crate) fn distribute(&mut self, index: usize, keep: usize, tx: &Tx<'p>) -> bool {
        let parent = self.parts();
        let Some((index, mut left, mut right)) = parent.neighbours(index) else { return false };
        let keep = keep as u64;
        let fits = keep <= left.capacity
            && keep <= left.count + right.count
            && left.count + right.count - keep <= right.capacity;
        if !fits {
            return false;
        }
        if keep >= left.count {
            let count = keep - left.count;
            left.take_from_right(&parent, index, &mut right, count, tx);
        } else {
            let count = left.count - keep;
            left.give_to_right(&parent, index, &mut right, count, tx);
        }
        true
    }

    /// Moves everything of the child at `index + 1`, and what separates the two, into the one at `index`, and frees
    /// it. False, changing nothing, if they do not fit in one.
    pub(crate) fn merge(&mut self, index: usize, tx: &Tx<'p>) -> bool {
        let mut parent = self.parts();
        let Some((index, mut left, mut right)) = parent.neighbours(index) else { return false };
        if left.count + 1 + right.count > left.capacity {
            return false;
        }
        let count = right.count + 1;
        left.take_from_right(&parent, index, &mut right, count, tx);
        let behind = parent.count - index - 1;
        parent.keys.receive(index, parent.keys, index + 1, behind, tx);
        parent.values.receive(index, parent.values, index + 1, behind, tx);
        parent.children.receive(index + 1, parent.children, index + 2, behind, tx);
        parent.set_count(parent.count - 1, tx);
        // What it held has moved; nobody refers to it any more.
        tx.core.free(right.addr);
        true
    }
}

impl<'p, K, V> NodeBox<'p, K, V> {
    /// Puts `spare` above this node: an inner node without elements, of which this is the only child. False, dropping
    /// `spare`, if the tree may not become higher or `spare` is not an empty leaf.
    pub(crate) fn grow(&mut self, spare: Self, tx: &Tx<'p>) -> bool {
        let level = self.look().level() + 1;
        if level >= LEVELS || spare.look().level() != 0 || spare.look().len() != 0 {
            return false;
        }
        let mut above = Parts::<K, V>::new(spare.addr.get(), level as u16, 0);
        above.children.remember(0, 1, tx);
        above.children.put(0, self.addr.get());
        above.set_count(0, tx);
        // The owner of the old node now owns the new one, which owns the old one.
        self.addr = spare.addr;
        std::mem::forget(spare);
        true
    }

    /// Takes a root apart that has one element and two children: the left one takes its place. Gives the element and the
    /// right one. `None`, changing nothing, if this is no such root.
    pub(crate) fn divide(&mut self, tx: &Tx<'p>) -> Option<((K, V), Self)> {
        let node = Parts::<K, V>::of(self.addr.get());
        if node.level == 0 || node.count != 1 {
            return None;
        }
        let left = std::num::NonZeroU64::new(node.children.take(0))?;
        let right = std::num::NonZeroU64::new(node.children.take(1))?;
        let element = (node.keys.take(0), node.values.take(0));
        tx.core.free(node.addr);
        self.addr = left;
        let right =
            Self { addr: right, brand: PhantomData, owns: PhantomData, not_send: StaysOnItsThread::HERE };
        Some((element, right))
    }

    /// Takes a root that separates nothing away: its only child takes its place, or nothing if it is an empty leaf.
    pub(crate) fn shrink(root: &mut Option<Self>, tx: &Tx<'p>) {
        while let Some(node) = root
            && node.look().len() == 0
        {
            let Some(child) = node.look().child(0) else {
                *root = None;
                return;
            };
            tx.core.free(node.addr.get());
            if let Some(addr) = std::num::NonZeroU64::new(child.addr) {
                node.addr = addr;
            }
        }
    }
}
