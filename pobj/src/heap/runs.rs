//! The volatile side of runs: which blocks can be handed out.
//!
//! A run's volatile bitmap has a bit set for each block that is allocated in the file, reserved by a running
//! transaction, or freed by one that has not committed. A bit that is clear may be handed out at once, so the
//! fast path of allocation is: load a word, find a zero, set it.
//!
//! After an open a run is *unread*: its class is known from the slot, its bitmap is copied when the run is first
//! used. Each class has a *current* run to allocate from, and a queue of runs that may have free blocks, lowest
//! address first, which packs blocks at low addresses and lets runs at high ones drain. A run leaves the queue when it
//! becomes current and comes back only when one of its blocks is released, so no run is looked at in vain twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::classes::{CLASSES, ClassInfo};

/// Stands for no run.
pub(super) const NO_RUN: u32 = u32::MAX;

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    /// The volatile bitmap; empty while the run is unread. Bits beyond the last block are set.
    bits: Box<[u64]>,
    /// The chunk that holds the blocks.
    pub(super) chunk: u32,
    /// Blocks whose bit is set.
    pub(super) used: u32,
    /// No word of the bitmap before this one has a clear bit.
    hint: u32,
    /// The size class.
    pub(super) class: u8,
    /// True if the image's slot says that this chunk is this run.
    pub(super) published: bool,
    /// True if the run is in its class's queue.
    pub(super) queued: bool,
    /// True if the statistics include this run's committed blocks.
    pub(super) counted: bool,
}

impl Run {
    /// A run that the file knows; its bitmap has not been looked at.
    pub(super) fn unread(chunk: u32, class: u8) -> Self {
        Self {
            bits: Box::default(),
            chunk,
            used: 0,
            hint: 0,
            class,
            published: true,
            queued: false,
            counted: false,
        }
    }

    /// A run that no record holds yet.
    pub(super) fn fresh(chunk: u32, class: u8) -> Self {
        let mut run = Self { published: false, counted: true, ..Self::unread(chunk, class) };
        run.read(|_| 0);
        run
    }

    #[inline]
    pub(super) fn info(&self) -> &'static ClassInfo {
        &CLASSES[usize::from(self.class)]
    }

    #[inline]
    pub(super) fn is_unread(&self) -> bool {
        self.bits.is_empty()
    }

    /// Fills the bitmap from the file's words. Bits beyond the last block mean nothing and are ignored.
    pub(super) fn read(&mut self, word: impl Fn(u32) -> u64) {
        let info = self.info();
        self.used = 0;
        self.hint = 0;
        self.bits = (0..info.words)
            .map(|index| {
                let valid = info.valid_bits(index);
                let bits = word(index) & valid;
                self.used += bits.count_ones();
                bits | !valid
            })
            .collect();
    }

    /// Takes the lowest free block: its bitmap word and bit.
    #[inline]
    pub(super) fn take(&mut self) -> Option<(u32, u32)> {
        while let Some(word) = self.bits.get_mut(self.hint as usize) {
            if *word != u64::MAX {
                let bit = word.trailing_ones();
                *word |= 1 << bit;
                self.used += 1;
                return Some((self.hint, bit));
            }
            self.hint += 1;
        }
        None
    }

    /// Bitmap word `word`.
    #[inline]
    pub(super) fn word(&self, word: u32) -> u64 {
        self.bits.get(word as usize).copied().unwrap_or(0)
    }

    /// Makes the blocks `mask` of a word available again; how many were not.
    pub(super) fn release(&mut self, word: u32, mask: u64) -> u32 {
        let valid = self.info().valid_bits(word);
        let Some(bits) = self.bits.get_mut(word as usize) else {
            return 0;
        };
        let released = *bits & mask & valid;
        *bits &= !released;
        self.used -= released.count_ones();
        if released != 0 {
            self.hint = self.hint.min(word);
        }
        released.count_ones()
    }

    pub(super) fn has_room(&self) -> bool {
        self.used < self.info().count
    }
}

/// All runs in memory, by an index that stays the same while the run lives.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Option<Run>>,
    spare: Vec<u32>,
}

impl Runs {
    pub(super) fn insert(&mut self, run: Run) -> u32 {
        match self.spare.pop() {
            Some(index) => {
                self.runs[index as usize] = Some(run);
                index
            }
            None => {
                self.runs.push(Some(run));
                self.runs.len() as u32 - 1
            }
        }
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&Run> {
        self.runs.get(index as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Run> {
        self.runs.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Run> {
        let run = self.runs.get_mut(index as usize)?.take()?;
        self.spare.push(index);
        Some(run)
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len() - self.spare.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        self.runs.iter_mut().flatten()
    }
}

/// Where the next block of a class comes from.
#[derive(Debug)]
pub(super) struct Supply {
    /// The run to allocate from, or [`NO_RUN`].
    pub(super) current: u32,
    /// Chunks of runs that may have room. May hold chunks that have become something else since.
    pub(super) queue: BinaryHeap<Reverse<u32>>,
}

impl Default for Supply {
    fn default() -> Self {
        Self { current: NO_RUN, queue: BinaryHeap::new() }
    }
}
