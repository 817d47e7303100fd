//! Giving the space of freed chunks back to the file system.
//!
//! A chunk that transaction `t` freed may be punched out of the file only when `t` is durable and home no longer needs
//! an older record for these bytes (J6), that is after a checkpoint that covers `t`. By then the chunk may be in use
//! again, or have been in use and freed by a later transaction. So each free chunk remembers who freed it last, and
//! [`Heap::take_punchable`] passes only chunks that are still free since a transaction that is covered.
//!
//! While its range is being punched a chunk is in no list, so that no record can come to depend on bytes that are about
//! to vanish. After it, [`Heap::punched`] returns it to the free space as *unbacked*.

use std::ops::Range;

use super::Heap;
use super::table::State;

/// Chunks that a transaction freed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freed {
    txid: u64,
    start: u32,
    count: u32,
}

/// Entries kept at most. A caller that never punches loses nothing but the chance.
const FREED_MAX: usize = 1 << 16;

impl Heap {
    /// True if [`take_punchable`](Self::take_punchable) might find something.
    pub(crate) fn has_punchable(&self) -> bool {
        !self.freed.is_empty()
    }

    /// Ranges of whole chunks, about `len_max` bytes of them, that may be punched now that home holds everything up
    /// to the transaction `through`. They cannot be allocated until [`punched`](Self::punched) returns them.
    pub(crate) fn take_punchable(&mut self, through: u64, len_max: u64) -> Vec<Range<u64>> {
        let mut chunks = Vec::new();
        while let Some(&Freed { txid, start, count }) = self.freed.front() {
            if txid > through || chunks.len() as u64 * crate::layout::geometry::CHUNK >= len_max {
                break;
            }
            self.freed.pop_front();
            chunks.extend((start..start + count).filter(|&chunk| {
                let entry = self.table[chunk as usize];
                entry.state() == State::Free && entry.number() == txid as u32 && !entry.is_unbacked()
            }));
        }
        chunks.sort_unstable();
        chunks.dedup();
        self.punching += chunks.len() as u64;
        for neighbours in chunks.chunk_by(|a, b| a + 1 == *b) {
            self.extents.take(neighbours[0], neighbours.len() as u32);
            for &chunk in neighbours {
                self.table[chunk as usize].set(State::Punching, 0);
            }
        }
        self.ranges(chunks.into_iter())
    }

    /// A range that [`take_punchable`](Self::take_punchable) gave has been punched, or could not be.
    pub(crate) fn punched(&mut self, range: &Range<u64>) {
        for chunk in self.chunks_of(range) {
            let entry = &mut self.table[chunk as usize];
            if entry.state() == State::Punching {
                entry.set(State::Free, 0);
                entry.set_unbacked(true);
                self.punching -= 1;
                self.extents.insert(chunk, 1);
            }
        }
    }

    /// True while ranges are being punched: space that is free and cannot be allocated.
    #[cfg(test)]
    pub(crate) fn is_punching(&self) -> bool {
        self.punching > 0
    }

    pub(super) fn note_punchable(&mut self, start: u32, count: u32, txid: u64) {
        if txid as u32 == 0 {
            return;
        }
        if let Some(last) = self.freed.back_mut()
            && last.txid == txid
            && last.start + last.count == start
        {
            last.count += count;
            return;
        }
        if self.freed.len() == FREED_MAX {
            self.freed.pop_front();
        }
        self.freed.push_back(Freed { txid, start, count });
    }
}
