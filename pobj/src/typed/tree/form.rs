//! How the bytes of a tree's node are divided: pure arithmetic over the sizes of keys and values.
//!
//! ```text
//! 0   u16  kind    0 leaf, 1 inner
//! 2   u16  level   0 for a leaf; an inner node's children are one level lower
//! 4   u32  count   keys in use
//! 8   keys         side by side
//!     values       side by side
//!     children     inner nodes: addresses, one more than keys
//! ```
//!
//! All nodes of a tree have the same length, whatever their kind. It is a multiple of 256 and a size class of the heap,
//! so no byte is lost to rounding. 512 bytes are the choice for small elements: 31 pairs of words, so an insert moves
//! four cache lines at most, and a million of them are four levels above the leaves. Larger elements get longer nodes,
//! because a tree with few of them in a node is deep.
//!
//! These numbers are part of the format: the schema holds them, and a pool whose nodes are laid out in another way is
//! refused at open.

use std::marker::PhantomData;

/// The least length of a node.
const LEN_MIN: u64 = 512;
/// Small elements of a leaf, at least.
const SMALL_MIN: u64 = 12;
/// What is small, in bytes.
const SMALL: u64 = 512;
/// Larger elements of a leaf, at least.
const LARGE_MIN: u64 = 6;
/// More elements than any node has.
const CAPACITY_MAX: u64 = 504;
/// The heap serves larger requests by whole chunks of this.
const CHUNK: u64 = 64 << 10;
/// The heap's largest size class.
const CLASS_MAX: u64 = 32 << 10;

/// The first eight bytes of a node.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) level: u16,
    pub(super) count: u32,
}

static_assertions::const_assert_eq!(size_of::<Header>(), 8);
static_assertions::const_assert_eq!(std::mem::offset_of!(Header, level), 2);
static_assertions::const_assert_eq!(std::mem::offset_of!(Header, count), 4);

/// [`Header::kind`] of a leaf.
pub(super) const LEAF: u16 = 0;
/// [`Header::kind`] of an inner node.
pub(super) const INNER: u16 = 1;

/// Where the arrays of one kind of node begin, and how many elements fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) capacity: u64,
    pub(super) keys: u64,
    pub(super) values: u64,
    /// Behind everything else in a leaf, which has none.
    pub(super) children: u64,
    end: u64,
}

impl Columns {
    /// Of a node of `len` bytes with as many elements as fit.
    const fn fit(len: u64, key: (u64, u64), value: (u64, u64), child: u64) -> Self {
        let element = key.0 + value.0 + child;
        let mut capacity = match (len - 8).checked_div(element) {
            Some(fitting) if fitting < CAPACITY_MAX => fitting,
            _ => CAPACITY_MAX,
        };
        loop {
            let columns = Self::of(capacity, key, value, child);
            if columns.end <= len || capacity == 0 {
                return columns;
            }
            capacity -= 1;
        }
    }

    const fn of(capacity: u64, key: (u64, u64), value: (u64, u64), child: u64) -> Self {
        let keys = 8u64.next_multiple_of(key.1);
        let values = (keys + capacity * key.0).next_multiple_of(value.1);
        let children = (values + capacity * value.0).next_multiple_of(8);
        Self {
            capacity,
            keys,
            values,
            children,
            end: children + if child == 0 { 0 } else { (capacity + 1) * child },
        }
    }
}

/// The layout of the nodes of a tree from `K` to `V`.
pub(crate) struct Form<K, V>(PhantomData<(K, V)>);

impl<K, V> Form<K, V> {
    const KEY: (u64, u64) = (size_of::<K>() as u64, align_of::<K>() as u64);
    const VALUE: (u64, u64) = (size_of::<V>() as u64, align_of::<V>() as u64);

    /// Bytes of a node.
    pub(super) const LEN: u64 = {
        let element = Self::KEY.0 + Self::VALUE.0 + 8;
        let wanted = if element <= SMALL { SMALL_MIN } else { LARGE_MIN };
        let needed = 16 + Self::KEY.1 + Self::VALUE.1 + wanted * element;
        class_len(if needed > LEN_MIN { needed } else { LEN_MIN })
    };

    /// Alignment of a node.
    pub(super) const ALIGN: u64 = {
        let larger = if Self::KEY.1 > Self::VALUE.1 { Self::KEY.1 } else { Self::VALUE.1 };
        if larger > 8 { larger } else { 8 }
    };

    pub(super) const LEAF: Columns = Columns::fit(Self::LEN, Self::KEY, Self::VALUE, 0);
    pub(super) const INNER: Columns = Columns::fit(Self::LEN, Self::KEY, Self::VALUE, 8);

    /// Elements that fit in a node of a level.
    #[inline]
    pub(crate) const fn capacity(level: usize) -> usize {
        if level == 0 { Self::LEAF.capacity as usize } else { Self::INNER.capacity as usize }
    }

    #[inline]
    pub(super) const fn columns(level: u16) -> &'static Columns {
        if level == 0 { &Self::LEAF } else { &Self::INNER }
    }
}

/// The least length that serves `len` bytes, is a multiple of 256 and wastes nothing: four per doubling, as the heap
/// has them, then whole chunks.
const fn class_len(len: u64) -> u64 {
    if len > CLASS_MAX {
        return len.next_multiple_of(CHUNK);
    }
    let step = (1 << (len - 1).ilog2()) / 4;
    len.next_multiple_of(if step < 256 { 256 } else { step })
}

#[cfg(test)]
mod tests {
    //! Would catch a layout that moves, which is a change of the format, and arrays that overlap.
    use super::*;
    use crate::heap::block_len_for;

    #[repr(C, align(256))]
    struct Wide(u8);

    #[test]
    fn nodes_of_words_are_laid_out_as_ever() {
        type Words = Form<u64, u64>;
        assert_eq!((Words::LEN, Words::ALIGN), (512, 8));
        assert_eq!(Words::LEAF, Columns { capacity: 31, keys: 8, values: 256, children: 504, end: 504 });
        assert_eq!(Words::INNER, Columns { capacity: 20, keys: 8, values: 168, children: 328, end: 496 });
    }

    fn check<K, V>() {
        let (key, value) = (Form::<K, V>::KEY, Form::<K, V>::VALUE);
        let len = Form::<K, V>::LEN;
        for (columns, child) in [(Form::<K, V>::LEAF, 0), (Form::<K, V>::INNER, 8)] {
            assert!(columns.capacity >= 4 && columns.capacity <= CAPACITY_MAX, "{columns:?}");
            assert!(columns.keys >= 8 && columns.keys.is_multiple_of(key.1), "{columns:?}");
            assert!(columns.values >= columns.keys + columns.capacity * key.0, "{columns:?}");
            assert!(columns.values.is_multiple_of(value.1) && columns.children.is_multiple_of(8));
            assert!(columns.children >= columns.values + columns.capacity * value.0, "{columns:?}");
            assert!(columns.children + (columns.capacity + 1) * child <= len || child == 0, "{columns:?}");
            assert!(columns.end <= len, "{columns:?} in {len}");
        }
        assert!(len.is_multiple_of(256));
        let block = block_len_for(len, Form::<K, V>::ALIGN);
        assert!(Form::<K, V>::ALIGN > 16 || block == len, "{block} for {len}");
    }

    #[test]
    fn arrays_lie_side_by_side_in_blocks_without_waste() {
        check::<u64, u64>();
        check::<u8, ()>();
        check::<(), ()>();
        check::<u16, u128>();
        check::<[u64; 2], u8>();
        check::<u64, [u64; 3]>();
        check::<u64, [u64; 8]>();
        check::<[u8; 33], [u16; 77]>();
        check::<u32, [u8; 600]>();
        check::<u64, [u64; 512]>();
        check::<u64, [u64; 20_000]>();
        check::<Wide, u64>();
        check::<u8, Wide>();
        check::<Wide, [Wide; 3]>();
    }
}
