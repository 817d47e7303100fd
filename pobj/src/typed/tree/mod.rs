//! Nodes of an ordered tree: blocks with keys, values and children side by side, for the collections to build on.
//!
//! This floor knows what a node is and how elements move between nodes; it knows no order. Nothing here compares keys,
//! so nothing here rests on `Ord`, which a user writes and may write wrong. What is where is the collections' affair.
//!
//! Invariants, which validation at open checks (`check`) and each edit keeps:
//!
//! - **N1** A node's count is at most the capacity of its kind; its first `count` keys and values are live and its own.
//! - **N2** A node of level 0 is a leaf. One of a higher level, below [`LEVELS`], is an inner node: its first
//!   `count + 1` children are live nodes of the level below, and its own.
//! - **N3** A node is recorded whole when it is made, so home and image never differ in it, and what changes is found by
//!   comparing.
//!
//! A [`NodeBox`] owns a node as a `PBox` owns a value. [`NodeRef`] looks at one, [`NodeMut`] is the only access to one
//! and to all below it. Neither makes a reference to a whole node: they read it word by word, so that references to
//! values of it can be out meanwhile.
//!
//! The parts: [`form`] (layout), `edit` (changes), [`walk`] (elements in their order), `check` (validation, schema).

mod check;
mod edit;
mod form;
mod walk;

use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::StaysOnItsThread;
use crate::ground::error::Result;
use crate::tx::{Brand, Contents, Fate, Tx, TxCore, running};

pub(crate) use form::Form;
use form::{Columns, Header};
pub(crate) use walk::{RunMut, Walk, WalkMut, Way};

/// Levels that a tree may have. The narrowest trees have three children in a node, so that is 40 million leaves.
pub(crate) const LEVELS: usize = 16;

/// The owner of a node, and through it of all below.
#[repr(transparent)]
pub(crate) struct NodeBox<'p, K, V> {
    addr: NonZeroU64,
    brand: Brand<'p>,
    owns: PhantomData<(K, V)>,
    not_send: StaysOnItsThread,
}

static_assertions::assert_eq_size!(Option<NodeBox<'static, u64, u64>>, u64);

// SAFETY: a shared `NodeBox` gives shared keys and values and nothing else (I4).
unsafe impl<K: Sync, V: Sync> Sync for NodeBox<'_, K, V> {}

impl<'p, K, V> NodeBox<'p, K, V> {
    /// A new leaf without elements.
    pub(crate) fn new(tx: &Tx<'p>) -> Result<Self> {
        let addr = tx.core.alloc(Form::<K, V>::LEN, Form::<K, V>::ALIGN, Contents::Whole)?;
        // SAFETY: `alloc` never gives address 0. The block is zeroed, which is an empty leaf (N1, N2), and recorded whole
        // (N3).
        let addr = unsafe { NonZeroU64::new_unchecked(addr) };
        Ok(Self { addr, brand: PhantomData, owns: PhantomData, not_send: StaysOnItsThread::HERE })
    }

    /// The node, for looking.
    #[inline]
    pub(crate) fn look(&self) -> NodeRef<'_, K, V> {
        NodeRef { addr: self.addr.get(), content: PhantomData }
    }

    /// The node, for changing it and what is below.
    #[inline]
    pub(crate) fn change(&mut self) -> NodeMut<'_, 'p, K, V> {
        NodeMut { addr: self.addr.get(), brand: PhantomData, content: PhantomData }
    }
}

impl<K, V> Drop for NodeBox<'_, K, V> {
    fn drop(&mut self) {
        running::defer_drop(self.addr.get(), 1, Some(drop_node::<K, V>));
    }
}

/// Drops what the dead node at `addr` owns: keys, values and children. The children join the transaction's work list.
fn drop_node<K, V>(_: &TxCore, addr: u64, _count: u64) -> Result<Fate> {
    let node = NodeRef::<K, V> { addr, content: PhantomData };
    let Header { level, count, .. } = node.header();
    let columns = node.columns();
    if std::mem::needs_drop::<K>() {
        super::drop_values::<K>(addr + columns.keys, u64::from(count));
    }
    if std::mem::needs_drop::<V>() {
        super::drop_values::<V>(addr + columns.values, u64::from(count));
    }
    if level != 0 {
        // Leaves of plain values are not even read.
        let idle = level == 1 && !std::mem::needs_drop::<K>() && !std::mem::needs_drop::<V>();
        for &child in node.children() {
            running::defer_drop(child, 1, if idle { None } else { Some(drop_node::<K, V>) });
        }
    }
    Ok(Fate::Free)
}

/// A look at a node.
pub(crate) struct NodeRef<'a, K, V> {
    addr: u64,
    content: PhantomData<&'a (K, V)>,
}

impl<K, V> Clone for NodeRef<'_, K, V> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for NodeRef<'_, K, V> {}

impl<'a, K, V> NodeRef<'a, K, V> {
    #[inline]
    fn header(self) -> Header {
        let source = with_exposed_provenance::<Header>(self.addr as usize);
        // SAFETY: a live node begins with its header (N1); T2, T3.
        unsafe { source.read() }
    }

    #[inline]
    fn columns(self) -> &'static Columns {
        Form::<K, V>::columns(self.header().level)
    }

    /// Elements.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.header().count as usize
    }

    /// Levels below this node.
    #[inline]
    pub(crate) fn level(self) -> usize {
        usize::from(self.header().level)
    }

    /// Whether no further element fits.
    #[inline]
    pub(crate) fn is_full(self) -> bool {
        self.len() >= Form::<K, V>::capacity(self.level())
    }

    /// The keys.
    #[inline]
    pub(crate) fn keys(self) -> &'a [K] {
        // Keys begin at the same place in both kinds.
        let first = with_exposed_provenance(self.addr as usize + Form::<K, V>::LEAF.keys as usize);
        // SAFETY: N1 for the keys, T2, T3.
        unsafe { std::slice::from_raw_parts(first, self.len()) }
    }

    /// The values.
    #[inline]
    pub(crate) fn values(self) -> &'a [V] {
        let first = with_exposed_provenance((self.addr + self.columns().values) as usize);
        // SAFETY: N1 for the values, T2, T3.
        unsafe { std::slice::from_raw_parts(first, self.len()) }
    }

    /// Addresses of the children; none in a leaf.
    #[inline]
    fn children(self) -> &'a [u64] {
        let Header { level, count, .. } = self.header();
        if level == 0 {
            return &[];
        }
        let first = with_exposed_provenance((self.addr + Form::<K, V>::INNER.children) as usize);
        // SAFETY: N2 for the children, T2, T3.
        unsafe { std::slice::from_raw_parts(first, count as usize + 1) }
    }

    /// A child.
    #[inline]
    pub(crate) fn child(self, index: usize) -> Option<Self> {
        // A child is alive as long as its parent (N2).
        self.children().get(index).map(|&addr| Self { addr, content: PhantomData })
    }

    /// Asks the processor for the keys, which a search is about to compare.
    #[inline(always)]
    pub(crate) fn expect(self) {
        const { assert!(Form::<K, V>::LEAF.keys == Form::<K, V>::INNER.keys) };
        self.prefetch(Form::<K, V>::LEAF.values);
    }

    /// Asks the processor for the keys and values, which are about to be moved.
    #[inline(always)]
    pub(crate) fn expect_all(self) {
        self.prefetch(Form::<K, V>::LEN);
    }

    /// Asks for the first `len` bytes, or as much of them as the processor may fetch at once.
    #[inline(always)]
    fn prefetch(self, len: u64) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let lines = len.div_ceil(64);
            for line in 0..if lines < 8 { lines } else { 8 } {
                let place = std::ptr::without_provenance((self.addr + line * 64) as usize);
                // SAFETY: a prefetch never faults and reads nothing, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = len;
    }
}

/// The only access to a node and to all below it.
pub(crate) struct NodeMut<'a, 'p, K, V> {
    addr: u64,
    brand: Brand<'p>,
    content: PhantomData<&'a mut (K, V)>,
}

impl<'a, 'p, K, V> NodeMut<'a, 'p, K, V> {
    /// The node, for looking.
    #[inline]
    pub(crate) fn look(&self) -> NodeRef<'_, K, V> {
        NodeRef { addr: self.addr, content: PhantomData }
    }

    /// The only access to a child and to all below it.
    #[inline]
    pub(crate) fn child(self, index: usize) -> Option<Self> {
        self.child_or_self(index).ok()
    }

    /// As [`child`](Self::child); the access to this node again if there is no such child.
    #[inline]
    pub(crate) fn child_or_self(self, index: usize) -> std::result::Result<Self, Self> {
        match self.look().children().get(index) {
            // The child is this node's own (N2), and the access to this one ends here.
            Some(&addr) => Ok(Self { addr, ..self }),
            None => Err(self),
        }
    }

    /// The same access for a while.
    #[inline]
    pub(crate) fn for_now(&mut self) -> NodeMut<'_, 'p, K, V> {
        NodeMut { addr: self.addr, brand: PhantomData, content: PhantomData }
    }

    /// The keys, for changing, and the values. All keys are remembered.
    pub(crate) fn into_keys(self, tx: &Tx<'p>) -> (&'a mut [K], &'a [V]) {
        let node = NodeRef::<'a, K, V> { addr: self.addr, content: PhantomData };
        let (addr, len) = (self.addr + Form::<K, V>::LEAF.keys, node.len());
        tx.core.log(addr, (len * size_of::<K>()) as u64);
        // SAFETY: N1 for the keys, which begin at the same place in both kinds; T2; logged just now (I1). This is the only
        // access to the node, and it ends here (I2); the values lie beside the keys.
        let keys = unsafe { std::slice::from_raw_parts_mut(with_exposed_provenance_mut(addr as usize), len) };
        (keys, node.values())
    }

    /// The key at `index`, and its value for changing, which alone is remembered.
    #[inline]
    pub(crate) fn into_element(self, index: usize, tx: &Tx<'p>) -> Option<(&'a K, &'a mut V)> {
        let node = NodeRef::<'a, K, V> { addr: self.addr, content: PhantomData };
        if index >= node.len() {
            return None;
        }
        let addr = self.addr + node.columns().values + (index * size_of::<V>()) as u64;
        tx.core.log(addr, size_of::<V>() as u64);
        // SAFETY: N1, T2; logged just now (I1); this is the only access to the node, and it ends here (I2).
        let value = unsafe { &mut *with_exposed_provenance_mut(addr as usize) };
        Some((&node.keys()[index], value))
    }
}
