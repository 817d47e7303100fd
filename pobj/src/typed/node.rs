//! [`Node`]: a place of a list, with a value or without, and [`PListKey`], which names one.
//!
//! The nodes of a list lie in pages and keep their places; they name each other by number. A node is an enum, so its value
//! is there exactly if its tag says so, and all of the list's code is safe. What needs this floor is changing a part of
//! a node while only that part is remembered: links without the value beside them, a value without its links.

use std::mem::offset_of;
use std::num::NonZeroU64;
use std::ptr::with_exposed_provenance_mut;

use super::PBuf;
use crate::layout::persistent::Member;
use crate::layout::{Invalid, Niche, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::Tx;

/// The neighbours of a node: their place plus one, 0 for none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) prev: u32,
    pub(crate) next: u32,
}

/// A node of a list. `repr(u32)` fixes the layout: the tag, then the fields of each variant in their order.
#[repr(u32)]
pub(crate) enum Node<T> {
    /// Without a value, linked to the next such node. Nodes become vacant by a write of their tag.
    #[expect(dead_code, reason = "never made whole")]
    Vacant {
        /// Of the key that named the last value here.
        generation: u32,
        links: Links,
    } = VACANT,
    /// With a value.
    Used {
        /// Of the key that names this value.
        generation: u32,
        links: Links,
        value: T,
    } = USED,
}

pub(crate) const VACANT: u32 = 0;
pub(crate) const USED: u32 = 1;
const GENERATION: usize = 4;
pub(crate) const LINKS: usize = 8;

static_assertions::assert_eq_size!(Node<u64>, [u64; 3]);
static_assertions::const_assert_eq!(offset_of!(Links, next), 4);

impl<T> Node<T> {
    /// Where a value is in its node.
    const VALUE: usize = (LINKS + size_of::<Links>()).next_multiple_of(align_of::<T>());

    #[inline]
    pub(crate) fn links(&self) -> Links {
        match self {
            Self::Vacant { links, .. } | Self::Used { links, .. } => *links,
        }
    }

    /// The value and its generation.
    #[inline]
    pub(crate) fn used(&self) -> Option<(u32, &T)> {
        match self {
            Self::Used { generation, value, .. } => Some((*generation, value)),
            Self::Vacant { .. } => None,
        }
    }
}

impl<'p, T: Persistent<At<'p> = T>> PBuf<'p, PBuf<'p, Node<T>>> {
    /// The address of a node, and whether it has a value.
    #[inline]
    fn node(&self, page: usize, index: usize) -> Option<(usize, bool)> {
        let node = self.as_slice().get(page)?.as_slice().get(index)?;
        Some((std::ptr::from_ref(node).addr(), matches!(node, Node::Used { .. })))
    }

    /// The links of a node, for changing. They alone are remembered.
    #[inline]
    pub(crate) fn links_mut(&mut self, page: usize, index: usize, tx: &Tx<'p>) -> Option<&mut Links> {
        let addr = self.node(page, index)?.0 + LINKS;
        tx.core.log(addr as u64, size_of::<Links>() as u64);
        // SAFETY: T1: a node is there, and both of its variants have their links at this offset; T2; logged just now (I1);
        // the borrow of the outer owner makes it unique (I2).
        Some(unsafe { &mut *with_exposed_provenance_mut(addr) })
    }

    /// The value of a node, for changing. It alone is remembered.
    #[inline]
    pub(crate) fn value_mut(&mut self, page: usize, index: usize, tx: &Tx<'p>) -> Option<&mut T> {
        let (node, true) = self.node(page, index)? else { return None };
        let addr = node + Node::<T>::VALUE;
        tx.core.log(addr as u64, size_of::<T>() as u64);
        // SAFETY: T1: the node has a value, which lies at this offset; T2; logged just now (I1); unique as above (I2).
        Some(unsafe { &mut *with_exposed_provenance_mut(addr) })
    }

    /// Moves the value of a node out, which then has none. The node's tag is remembered; its value's bytes stay.
    pub(crate) fn vacate(&mut self, page: usize, index: usize, tx: &Tx<'p>) -> Option<T> {
        let (node, true) = self.node(page, index)? else { return None };
        tx.core.log(node as u64, size_of::<u32>() as u64);
        let value = with_exposed_provenance_mut::<T>(node + Node::<T>::VALUE);
        // SAFETY: T1, T2 as above; the tag written next makes it unreachable, so it moves once (I2).
        let value = unsafe { value.read() };
        // SAFETY: the tag of a `repr(u32)` enum is its first field; the other variant's fields are a prefix of this
        // one's, so the node stays a value. Logged just now (I1).
        unsafe { with_exposed_provenance_mut::<u32>(node).write(VACANT) };
        Some(value)
    }

    /// Gives a node without a value one. Its bytes are remembered. The value comes back if the node has one.
    pub(crate) fn fill(
        &mut self,
        page: usize,
        index: usize,
        tx: &Tx<'p>,
        generation: u32,
        value: T,
    ) -> Result<(), T> {
        let Some((node, false)) = self.node(page, index) else { return Err(value) };
        tx.core.log(node as u64, size_of::<Node<T>>() as u64);
        let used = Node::Used { generation, links: Links::default(), value };
        // SAFETY: T1, T2: a node is there, logged just now (I1); it has no value that would be lost (I2).
        unsafe { with_exposed_provenance_mut::<Node<T>>(node).write(used) };
        Ok(())
    }
}

/// The fields of both variants: generation and links of the vacant one, and the same and the value of the used one.
const fn members<T: Persistent>() -> [Member; 7] {
    [
        Member::of::<u32>("generation", GENERATION),
        Member::of::<u32>("prev", LINKS),
        Member::of::<u32>("next", LINKS + 4),
        Member::of::<u32>("generation", GENERATION),
        Member::of::<u32>("prev", LINKS),
        Member::of::<u32>("next", LINKS + 4),
        Member::of::<T>("value", Node::<T>::VALUE),
    ]
}

// SAFETY: a `repr(u32)` enum, the same at every lifetime because its value is; validation checks the tag and the value.
unsafe impl<T: Persistent> Persistent for Node<T> {
    type At<'q> = Node<T::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        let variants = [("Vacant", u64::from(VACANT), 3), ("Used", u64::from(USED), 4)];
        schema.enumeration::<Self, u32>("Node", &members::<T>(), &variants, |arguments| {
            arguments.of_type::<T>();
        })
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        match view.u32(0)? {
            VACANT => Ok(()),
            USED if T::PLAIN => Ok(()),
            USED => T::validate(view.field(Self::VALUE as u64, size_of::<T>() as u64)?, visit),
            tag => Err(Invalid::new(format!("a node of a list has the tag {tag}"), view.addr())),
        }
    }
}

/// Names a value in a [`PList`](crate::PList), as long as it is in there: whatever happens to the rest of the list, and
/// after the pool was opened again.
///
/// Eight bytes, `Copy`, without a lifetime: it may be kept in the pool (a map from what is looked up to where it is in
/// the list), or outside. It is checked when used: once its value has left the list, no value is found by it, nor is one
/// in another list. (What is compared is a number of 32 bits that each insert counts up from a random start. So a key
/// whose value is gone could name another one after exactly 2^32 further inserts into the list, and a key of another
/// list by a chance of that size. Then it finds that other value: never more than a wrong answer. A key that was made in a
/// transaction that rolled back was never made: a later insert may give the same one.)
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PListKey(
    /// The generation, and the place plus one in the lower half.
    NonZeroU64,
);

static_assertions::assert_eq_size!(Option<PListKey>, u64);

impl PListKey {
    /// `link` is a place plus one; `None` for no place.
    #[inline]
    pub(crate) fn of(link: u32, generation: u32) -> Option<Self> {
        let word = u64::from(generation) << 32 | u64::from(link);
        if link == 0 { None } else { NonZeroU64::new(word).map(Self) }
    }

    #[inline]
    pub(crate) fn link(self) -> u32 {
        self.0.get() as u32
    }

    #[inline]
    pub(crate) fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key as a number.
    #[must_use]
    pub fn get(self) -> NonZeroU64 {
        self.0
    }
}

// SAFETY: transparent over `NonZeroU64`, which checks itself.
unsafe impl Persistent for PListKey {
    type At<'q> = PListKey;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        let members = [Member::of::<NonZeroU64>("0", 0)];
        schema.structure::<Self>("PListKey", &members, |_| {})
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        NonZeroU64::validate(view, visit)
    }
}

// SAFETY: transparent over `NonZeroU64`.
unsafe impl Niche for PListKey {
    type NicheAt<'q> = PListKey;
}
