//! What a pool tells about itself.

use std::sync::PoisonError;

use super::PoolCore;
use crate::heap::HeapStats;
use crate::journal::JournalCounts;
use crate::media::MediaCounts;

/// What opening the pool found; all zero for a pool that was just created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Transactions that were replayed from the journal.
    pub replayed: u64,
    /// The platform reports that it lost power unsafely while the pool was open: then everything was validated, however
    /// the pool was opened.
    pub unsafe_shutdown: bool,
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
    /// Length of the pool in bytes. While it is open its file may be longer, ready for growth.
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
    /// What transactions have asked of the medium since the pool was opened, on the threads that ran them.
    pub foreground: MediaCounts,
    /// What the background thread has asked of it: checkpoints, and syncs of `Eventual` transactions.
    pub background: MediaCounts,
    /// What the last transaction on this pool that ended on this thread has asked of it; zeros where there was none.
    pub last_transaction: MediaCounts,
}

impl PoolCore {
    /// The figures; the heap's are the last known ones while somebody writes.
    pub(crate) fn stats(&self) -> Stats {
        self.publish_end();
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
            foreground: self.journal.foreground.total() + self.failed.total(),
            background: self.journal.background_counts.total(),
            last_transaction: MediaCounts::default(),
        }
    }
}
