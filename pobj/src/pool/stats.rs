//! What a pool tells about itself.

use std::sync::PoisonError;

use super::PoolCore;
use crate::heap::HeapStats;
use crate::journal::JournalCounts;

/// What opening the pool found; all zero for a pool that was just created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Transactions that were replayed from the journal.
    pub replayed: u64,
    /// Values that validation looked at; 0 without validation.
    pub validated_values: u64,
    /// Blocks that are in use and that nothing reachable owns, as `mem::forget` leaves them; 0 without validation.
    pub unreachable_blocks: u64,
    /// Their bytes.
    pub unreachable_bytes: u64,
}

/// A snapshot of a pool's figures, as of the last committed transaction.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Length of the pool file in bytes.
    pub len: u64,
    /// Length beyond which the pool never grows.
    pub max_len: u64,
    /// First address of the pool's image.
    pub base: u64,
    /// What opening the pool found.
    pub opened: Opened,
    /// The heap's figures.
    pub heap: HeapStats,
    /// What the journal has done since the pool was opened.
    pub journal: JournalCounts,
}

impl PoolCore {
    /// The figures; the heap's are the last known ones while somebody writes.
    pub(crate) fn stats(&self) -> Stats {
        let mut heap = self.heap_stats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = self.gate.peek(|owner| owner.heap.stats(&self.image)) {
            *heap = now;
        }
        Stats {
            len: self.image.len(),
            max_len: self.image.max_len(),
            base: self.image.base(),
            opened: self.opened,
            heap: *heap,
            journal: self.journal.counts(),
        }
    }
}
