//! The types that the benchmarked pools hold.

use std::num::NonZeroU64;

use pobj::{PBox, PHashMap, PVec, Persistent, Pool};

/// A list node of one cache line.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Node<'p> {
    /// The rest of the list.
    pub next: Option<PBox<'p, Node<'p>>>,
    /// What a walk sums up.
    pub value: u64,
    /// The rest of the line.
    pub payload: [u64; 6],
}

/// A list.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct List<'p> {
    /// Its first node.
    pub head: Option<PBox<'p, Node<'p>>>,
}

/// A tree node of one cache line.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Branch<'p> {
    /// The smaller half.
    pub left: Option<PBox<'p, Branch<'p>>>,
    /// The larger half.
    pub right: Option<PBox<'p, Branch<'p>>>,
    /// What a walk sums up.
    pub value: u64,
    /// The rest of the line.
    pub payload: [u64; 5],
}

/// A tree.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Tree<'p> {
    /// Its top.
    pub root: Option<PBox<'p, Branch<'p>>>,
}

/// A single number.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Counter {
    /// The number.
    pub hits: u64,
}

/// Adds one, in a transaction of its own.
///
/// # Errors
///
/// Those of the transaction.
pub fn increment(pool: &Pool<Counter>) -> pobj::Result<()> {
    pool.write(|root, _| {
        root.hits += 1;
        Ok(())
    })
}

/// Side by side what a row needs; a row uses one of `T`.
#[derive(Persistent)]
#[repr(C)]
pub struct Run<'p, T> {
    /// The values.
    pub items: PVec<'p, T>,
}

impl<T> Default for Run<'_, T> {
    fn default() -> Self {
        Self { items: PVec::new() }
    }
}

/// An object of one cache line that owns nothing.
#[derive(Persistent, Clone, Copy)]
#[repr(C)]
pub struct Leaf {
    /// What a walk sums up.
    pub value: u64,
    /// Not every bit pattern is one of these.
    pub color: Color,
    /// Nor of these.
    pub flag: bool,
    /// The rest of the line.
    pub payload: [u64; 6],
}

/// Boxes in a run, shuffled in memory.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Leaves<'p> {
    /// The boxes.
    pub items: PVec<'p, PBox<'p, Leaf>>,
}

/// Blocks of a page.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Pages<'p> {
    /// The blocks.
    pub items: PVec<'p, PBox<'p, [u64; 512]>>,
}

/// A choice of three.
#[derive(Persistent, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Color {
    /// Bit pattern 0.
    Red,
    /// Bit pattern 1.
    Green,
    /// Bit pattern 2.
    Blue,
}

/// Dense data of which every byte must be looked at.
#[derive(Persistent, Clone, Copy)]
#[repr(C)]
pub struct Record {
    /// Not zero.
    pub id: NonZeroU64,
    /// Anything.
    pub amount: u64,
    /// One of three.
    pub color: Color,
    /// One of two.
    pub open: bool,
    /// Anything.
    pub year: u16,
    /// Anything.
    pub place: u32,
}

/// Blocks of 64 bytes, owned by a run.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Blocks<'p> {
    /// The blocks.
    pub items: PVec<'p, PBox<'p, [u8; 64]>>,
}

/// A map of small keys to values of a cache line.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Table<'p> {
    /// The map.
    pub map: PHashMap<'p, u64, [u8; 64]>,
}
