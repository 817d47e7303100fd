//! A tree's elements in their order, from both ends.
//!
//! The order is one of *runs*: all elements of a leaf, then the element of an inner node that separates it from the
//! next leaf, and so on. A [`Walk`] has two [`Side`]s, each at the next run that it will give. They begin in order and
//! each step moves one of them by one run towards the other; where both are at the same run, it is the last.
//!
//! - **W1** So a walk gives each run at most once, and [`WalkMut`] may give the only access to its values.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::with_exposed_provenance_mut;
use std::slice;

use super::{LEVELS, NodeMut, NodeRef};
use crate::tx::{Brand, Tx};

/// Where a search goes on in a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The element at this index ends the search.
    Here(usize),
    /// Before the element at this index, behind the one before.
    Before(usize),
}

/// One end of a walk: the path to a run. In its leaf the step is the index where the walk begins or ends.
pub(crate) struct Side<'a, K, V> {
    nodes: [NodeRef<'a, K, V>; LEVELS],
    steps: [u16; LEVELS],
    /// The last node of the path: that of the run.
    depth: usize,
}

impl<K, V> Clone for Side<'_, K, V> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, K, V> Side<'a, K, V> {
    /// Where `way` leads. The element that it ends at is within the walk: for the `front`, as for the back.
    #[inline]
    fn find(root: NodeRef<'a, K, V>, front: bool, mut way: impl FnMut(NodeRef<'a, K, V>) -> Way) -> Self {
        let mut side = Self { nodes: [root; LEVELS], steps: [0; LEVELS], depth: 0 };
        loop {
            let node = side.node();
            let keys = node.keys();
            let way = way(node);
            let (Way::Here(index) | Way::Before(index)) = way;
            let index = index.min(keys.len());
            let here = matches!(way, Way::Here(_)) && index < keys.len();
            side.steps[side.depth] = index as u16;
            match node.child(index) {
                Some(child) if !here => side.push(child, 0),
                Some(_) => return side,
                None => {
                    side.steps[side.depth] += u16::from(here && !front);
                    return side;
                }
            }
        }
    }

    #[inline]
    fn node(&self) -> NodeRef<'a, K, V> {
        self.nodes[self.depth]
    }

    #[inline]
    fn step(&self) -> usize {
        usize::from(self.steps[self.depth])
    }

    #[inline]
    fn push(&mut self, node: NodeRef<'a, K, V>, step: u16) {
        self.depth += 1;
        self.nodes[self.depth] = node;
        self.steps[self.depth] = step;
    }

    /// To the next run; false at the end.
    #[inline]
    fn forward(&mut self) -> bool {
        if self.node().level() == 0 {
            while self.depth > 0 {
                self.depth -= 1;
                if self.step() < self.node().len() {
                    return true;
                }
            }
            return false;
        }
        self.steps[self.depth] += 1;
        while let Some(child) = self.node().child(self.step()) {
            self.push(child, 0);
        }
        true
    }

    /// To the run before; false at the end.
    #[inline]
    fn backward(&mut self) -> bool {
        if self.node().level() == 0 {
            while self.depth > 0 {
                self.depth -= 1;
                if self.step() > 0 {
                    self.steps[self.depth] -= 1;
                    return true;
                }
            }
            return false;
        }
        while let Some(child) = self.node().child(self.step()) {
            self.push(child, child.len() as u16);
        }
        true
    }

    /// Whether both are at the same run.
    #[inline]
    fn meets(&self, other: &Self) -> bool {
        self.depth == other.depth
            && self.node().addr == other.node().addr
            && (self.node().level() == 0 || self.step() == other.step())
    }

    /// Whether this side, as the front, is not behind `back`.
    fn is_in_order(&self, back: &Self) -> bool {
        for depth in 0..LEVELS {
            let [one, other] = [self, back].map(|side| {
                let step = usize::from(side.steps[depth]);
                // A child comes before the element to its right.
                2 * step + usize::from(depth == side.depth && side.node().level() > 0)
            });
            if one != other || depth == self.depth || depth == back.depth {
                return one <= other;
            }
        }
        false
    }
}

/// The runs of a range, from both ends.
pub(crate) struct Walk<'a, K, V> {
    ends: Option<(Side<'a, K, V>, Side<'a, K, V>)>,
}

impl<K, V> Clone for Walk<'_, K, V> {
    fn clone(&self) -> Self {
        Self { ends: self.ends.clone() }
    }
}

/// A node, and which of its elements.
type Run<'a, K, V> = (NodeRef<'a, K, V>, Range<usize>);

impl<'a, K, V> Walk<'a, K, V> {
    /// From where `front` leads to where `back` leads; nothing if these are in the wrong order.
    #[inline]
    pub(crate) fn new(
        root: Option<NodeRef<'a, K, V>>,
        mut front: impl FnMut(&'a [K]) -> Way,
        mut back: impl FnMut(&'a [K]) -> Way,
    ) -> Self {
        Self::by(root, |node| front(node.keys()), |node| back(node.keys()))
    }

    /// As [`new`](Self::new), where values tell the way as well.
    #[inline]
    pub(crate) fn by(
        root: Option<NodeRef<'a, K, V>>,
        front: impl FnMut(NodeRef<'a, K, V>) -> Way,
        back: impl FnMut(NodeRef<'a, K, V>) -> Way,
    ) -> Self {
        let ends = root.map(|root| (Side::find(root, true, front), Side::find(root, false, back)));
        Self { ends: ends.filter(|(front, back)| front.is_in_order(back)) }
    }

    #[inline]
    fn next_run(&mut self) -> Option<Run<'a, K, V>> {
        let (front, back) = self.ends.as_mut()?;
        let (node, first) = (front.node(), front.step());
        let end = match node.level() {
            0 if front.meets(back) => back.step().max(first),
            0 => node.len(),
            _ => first + 1,
        };
        if front.meets(back) || !front.forward() {
            self.ends = None;
        }
        Some((node, first..end))
    }

    #[inline]
    fn next_run_back(&mut self) -> Option<Run<'a, K, V>> {
        let (front, back) = self.ends.as_mut()?;
        let (node, last) = (back.node(), back.step());
        let run = match node.level() {
            0 if front.meets(back) => front.step()..last.max(front.step()),
            0 => 0..last,
            _ => last..last + 1,
        };
        if front.meets(back) || !back.backward() {
            self.ends = None;
        }
        Some((node, run))
    }

    /// The next run from the front. It may be empty.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(&'a [K], &'a [V])> {
        self.next_run().map(slices)
    }

    /// The next run from the back. It may be empty.
    #[inline]
    pub(crate) fn next_back(&mut self) -> Option<(&'a [K], &'a [V])> {
        self.next_run_back().map(slices)
    }
}

#[inline]
fn slices<'a, K, V>((node, range): Run<'a, K, V>) -> (&'a [K], &'a [V]) {
    let keys = node.keys().get(range.clone()).unwrap_or_default();
    (keys, node.values().get(range).unwrap_or_default())
}

/// As [`Walk`], with the values for changing.
pub(crate) struct WalkMut<'a, 'p, K, V> {
    walk: Walk<'a, K, V>,
    brand: Brand<'p>,
    access: PhantomData<&'a mut V>,
}

impl<'a, 'p, K, V> WalkMut<'a, 'p, K, V> {
    /// As [`Walk::new`].
    pub(crate) fn new(
        root: Option<NodeMut<'a, 'p, K, V>>,
        front: impl for<'k> FnMut(&'k [K]) -> Way,
        back: impl for<'k> FnMut(&'k [K]) -> Way,
    ) -> Self {
        // The only access to the tree is given up for this walk, whose looks at values nobody gets.
        let root = root.map(|root| NodeRef { addr: root.addr, content: PhantomData });
        Self { walk: Walk::new(root, front, back), brand: PhantomData, access: PhantomData }
    }

    /// The next run from the front. It may be empty.
    pub(crate) fn next(&mut self) -> Option<RunMut<'a, 'p, K, V>> {
        self.walk.next_run().map(RunMut::new)
    }

    /// The next run from the back. It may be empty.
    pub(crate) fn next_back(&mut self) -> Option<RunMut<'a, 'p, K, V>> {
        self.walk.next_run_back().map(RunMut::new)
    }
}

/// Elements of one node, the values for changing: each is remembered when it is given.
pub(crate) struct RunMut<'a, 'p, K, V> {
    keys: slice::Iter<'a, K>,
    /// Address of the value of the first of `keys`.
    value: u64,
    brand: Brand<'p>,
    access: PhantomData<&'a mut V>,
}

impl<K, V> Default for RunMut<'_, '_, K, V> {
    fn default() -> Self {
        Self { keys: [].iter(), value: 0, brand: PhantomData, access: PhantomData }
    }
}

impl<'a, 'p, K, V> RunMut<'a, 'p, K, V> {
    const SIZE: u64 = size_of::<V>() as u64;

    fn new((node, range): Run<'a, K, V>) -> Self {
        let value = node.addr + node.columns().values + range.start as u64 * Self::SIZE;
        let keys = node.keys().get(range).unwrap_or_default().iter();
        Self { keys, value, brand: PhantomData, access: PhantomData }
    }

    pub(crate) fn next(&mut self, tx: &Tx<'p>) -> Option<(&'a K, &'a mut V)> {
        let key = self.keys.next()?;
        let value = self.value;
        self.value += Self::SIZE;
        Some((key, Self::give(value, tx)))
    }

    pub(crate) fn next_back(&mut self, tx: &Tx<'p>) -> Option<(&'a K, &'a mut V)> {
        let key = self.keys.next_back()?;
        Some((key, Self::give(self.value + self.keys.len() as u64 * Self::SIZE, tx)))
    }

    fn give(value: u64, tx: &Tx<'p>) -> &'a mut V {
        tx.core.log(value, Self::SIZE);
        // SAFETY: N1, T2; logged just now (I1). The walk was given the only access to its tree, gives each run once (W1),
        // and the run gives each value once: with every key that leaves `keys`.
        unsafe { &mut *with_exposed_provenance_mut(value as usize) }
    }
}
