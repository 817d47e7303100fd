//! What the heap answers to a walk over all reachable objects: is this a block, and is it claimed only once?
//!
//! The checker starts from a copy of every bitmap, one atomic bit for each allocated block. Claiming a block clears its
//! bit, so a second claim and a claim of a block that is not allocated are the same test, one atomic operation, and
//! the bits that are left at the end are the blocks that nothing reaches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ground::error::Error;
use crate::layout::geometry::CHUNK;
use crate::layout::visit::{Blocks, Invalid};
use crate::media::Image;

use super::Heap;
use super::slots::bitmap_word;
use super::table::State;

/// Allocated blocks that no walk reached: leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unreached {
    /// Number of blocks, large objects included.
    pub(crate) blocks: u64,
    /// Their size.
    pub(crate) bytes: u64,
}

/// The committed blocks of a heap that is not in use meanwhile. Any number of threads may claim.
pub(crate) struct BlockChecker<'a> {
    heap: &'a Heap,
    image: &'a Image,
    /// Offset in the pool and base address of chunk 0.
    heap_addr: u64,
    /// For each chunk where its bits begin in `unclaimed`: the words of a run, or the one word of a large object.
    first_word: Vec<u32>,
    unclaimed: Vec<AtomicU64>,
    /// What the medium did not give.
    unreadable: Mutex<Option<Error>>,
}

/// Blocks of one word that nobody has claimed.
#[derive(Clone, Copy)]
struct Left {
    /// Address of the block that bit 0 stands for.
    addr: u64,
    /// Size of each block.
    size: u64,
    bits: u64,
}

/// One block, found by its address.
struct Found<'a> {
    word: &'a AtomicU64,
    bit: u64,
    len: u64,
    chunk: usize,
    /// Its number in the run; `None` of a large object.
    block: Option<u32>,
}

impl Heap {
    /// A checker of the blocks that are allocated in the image. No reservation may be open.
    pub(crate) fn blocks<'a>(&'a self, image: &'a Image) -> BlockChecker<'a> {
        let mut unclaimed = Vec::new();
        let mut first_word = Vec::with_capacity(self.table.len());
        for (chunk, entry) in self.table.iter().enumerate() {
            first_word.push(unclaimed.len() as u32);
            match entry.state() {
                State::Run => {
                    let run = self.runs.get(entry.number());
                    let Some((run, slot)) = run.zip(self.slot_offset(chunk as u32)) else { continue };
                    let info = run.info();
                    unclaimed.extend((0..info.words).map(|word| {
                        AtomicU64::new(image.load_u64(bitmap_word(slot, word)) & info.valid_bits(word))
                    }));
                }
                State::Large => unclaimed.push(AtomicU64::new(1)),
                _ => {}
            }
        }
        let heap_addr = image.base() + self.place.heap_start;
        BlockChecker { heap: self, image, heap_addr, first_word, unclaimed, unreadable: Mutex::default() }
    }
}

impl BlockChecker<'_> {
    /// Why the walk failed: bytes that the medium did not give, or else what it found.
    pub(crate) fn cause(&self, found: Invalid) -> Error {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).take();
        let offset = found.addr.wrapping_sub(self.image.base());
        match (unreadable, found.orders) {
            (Some(unreadable), _) => unreadable,
            (None, Some(orders)) => {
                let [found, expected] = *orders;
                Error::OrderMismatch { found, expected }
            }
            (None, None) => Error::corrupt(found.what.into_owned(), offset),
        }
    }

    /// Blocks that nobody has claimed.
    pub(crate) fn unreached(&self) -> Unreached {
        let mut unreached = Unreached::default();
        for left in self.left() {
            let blocks = u64::from(left.bits.count_ones());
            unreached.blocks += blocks;
            unreached.bytes += blocks * left.size;
        }
        unreached
    }

    /// Addresses of the blocks that nobody has claimed.
    pub(crate) fn unreached_addrs(&self) -> impl Iterator<Item = u64> {
        self.left().flat_map(|left| {
            (0..64).filter(move |bit| left.bits >> bit & 1 == 1).map(move |bit| left.addr + bit * left.size)
        })
    }

    /// Words with bits that are left.
    fn left(&self) -> impl Iterator<Item = Left> {
        let chunks = self.heap.table.iter().enumerate().filter_map(|(chunk, entry)| {
            let (words, size) = match entry.state() {
                State::Run => {
                    let info = self.heap.runs.get(entry.number())?.info();
                    (info.words as usize, u64::from(info.size))
                }
                State::Large => (1, u64::from(entry.number()) * CHUNK),
                _ => return None,
            };
            Some((chunk, words, size))
        });
        chunks.flat_map(move |(chunk, words, size)| {
            let words = self.unclaimed.iter().skip(self.first_word[chunk] as usize).take(words);
            words.enumerate().filter_map(move |(word, bits)| {
                let addr = self.heap_addr + chunk as u64 * CHUNK + word as u64 * 64 * size;
                let bits = bits.load(Ordering::Relaxed);
                (bits != 0).then_some(Left { addr, size, bits })
            })
        })
    }

    /// The block that begins at `addr`, allocated or not.
    #[inline]
    fn find(&self, addr: u64) -> Option<Found<'_>> {
        let within_heap = addr.checked_sub(self.heap_addr)?;
        let chunk = (within_heap / CHUNK) as usize;
        let within = (within_heap % CHUNK) as u32;
        let entry = self.heap.table.get(chunk)?;
        let first = *self.first_word.get(chunk)? as usize;
        match entry.state() {
            State::Run => {
                let info = self.heap.runs.get(entry.number())?.info();
                let block = info.block_at(within)?;
                let word = self.unclaimed.get(first + block as usize / 64)?;
                let len = u64::from(info.size);
                Some(Found { word, bit: 1 << (block % 64), len, chunk, block: Some(block) })
            }
            State::Large if within == 0 => Some(Found {
                word: self.unclaimed.get(first)?,
                bit: 1,
                len: u64::from(entry.number()) * CHUNK,
                chunk,
                block: None,
            }),
            _ => None,
        }
    }

    #[inline]
    fn check(&self, addr: u64, len: u64, align: u64) -> Result<Found<'_>, Invalid> {
        match self.find(addr) {
            Some(found) if found.len >= len && addr.is_multiple_of(align.max(1)) => Ok(found),
            Some(found) => Err(self.misfit(addr, len, align, found.len)),
            None => Err(self.stray(addr)),
        }
    }

    #[cold]
    fn misfit(&self, addr: u64, len: u64, align: u64, block: u64) -> Invalid {
        if block < len {
            return Invalid::new(format!("a block of {block} bytes is said to hold {len}"), addr);
        }
        Invalid::new(format!("a block is not aligned to {align}"), addr)
    }

    #[cold]
    fn stray(&self, addr: u64) -> Invalid {
        let (first, last) = (self.heap_addr, self.image.base() + self.heap.heap_len());
        if (first..last).contains(&addr) {
            return Invalid::new("a pointer does not lead to the start of a block", addr);
        }
        Invalid::new(format!("a pointer leads to {addr:#x}, outside the heap"), addr)
    }

    /// Whether the image says that a block is allocated: it is not changed by claims.
    fn is_allocated(&self, found: &Found<'_>) -> bool {
        // A large object is allocated by being there.
        let Some(block) = found.block else { return true };
        let slot = self.heap.slot_offset(found.chunk as u32);
        slot.is_some_and(|slot| self.image.load_u64(bitmap_word(slot, block / 64)) >> (block % 64) & 1 == 1)
    }

    #[cold]
    fn refused(&self, found: &Found<'_>, addr: u64) -> Invalid {
        if self.is_allocated(found) {
            return Invalid::new("a block has two owners", addr);
        }
        Invalid::new("a pointer leads to a block that is not allocated", addr)
    }
}

impl Blocks for BlockChecker<'_> {
    #[inline]
    fn claim(&self, addr: u64, len: u64, align: u64) -> Result<(), Invalid> {
        let found = self.check(addr, len, align)?;
        // Relaxed: a claim orders nothing but the other claims of the same block.
        if found.word.fetch_and(!found.bit, Ordering::Relaxed) & found.bit == 0 {
            return Err(self.refused(&found, addr));
        }
        Ok(())
    }

    fn claim_shared(&self, addr: u64, len: u64, align: u64) -> Result<bool, Invalid> {
        let found = self.check(addr, len, align)?;
        // A block that many pointers share is claimed once and looked at often: do not write its line each time.
        let unclaimed = found.word.load(Ordering::Relaxed) & found.bit != 0
            && found.word.fetch_and(!found.bit, Ordering::Relaxed) & found.bit != 0;
        if unclaimed || self.is_allocated(&found) { Ok(unclaimed) } else { Err(self.refused(&found, addr)) }
    }

    fn known(&self, addr: u64, len: u64, align: u64) -> Result<(), Invalid> {
        let found = self.check(addr, len, align)?;
        if !self.is_allocated(&found) {
            return Err(self.refused(&found, addr));
        }
        Ok(())
    }

    fn heap_len(&self) -> u64 {
        self.heap.heap_len()
    }

    #[inline]
    fn show(&self, addr: u64, len: u64) -> Result<(), Invalid> {
        self.image.show(addr.wrapping_sub(self.image.base()), len).map_err(|error| {
            self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            Invalid::new("the medium does not give these bytes", addr)
        })
    }
}
