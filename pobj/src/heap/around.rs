//! What an offset lies in, seen from the running transaction: for the check of unlogged changes.

use super::slots::{Slot, bitmap_word};
use super::table::State;
use super::{Heap, Run};
use crate::layout::geometry::CHUNK;
use crate::media::Image;

/// What an offset lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// Words that only commits change.
    Metadata,
    /// Nothing: what is there does not count.
    Free,
    /// A block that no committed transaction has taken: its length.
    New {
        /// Bytes of the block.
        len: u64,
    },
    /// A block of a committed transaction, perhaps about to be freed.
    Committed {
        /// Bytes of the block.
        len: u64,
    },
}

impl Heap {
    /// What the byte at `offset` lies in. To be asked before the running transaction's changes are in the image.
    pub(crate) fn around(&mut self, image: &Image, offset: u64) -> Around {
        let Some((chunk, within)) = self.place.locate(offset) else { return Around::Metadata };
        let state =
            |heap: &Self, chunk: usize| heap.table.get(chunk).map_or(State::Free, |entry| entry.state());
        match state(self, chunk) {
            State::Free | State::Punching => Around::Free,
            State::Metadata => Around::Metadata,
            State::Run => self.around_in_run(image, chunk as u32, within),
            State::Large | State::LargeRest => {
                let first = (0..=chunk).rev().find(|chunk| state(self, *chunk) == State::Large);
                let Some(first) = first else { return Around::Free };
                let count = self.table[first].number();
                let slot = self.slot_offset(first as u32);
                let committed =
                    slot.is_some_and(|slot| image.load_u64(slot) == Slot::Large { count }.encode());
                let len = u64::from(count) * CHUNK;
                if committed { Around::Committed { len } } else { Around::New { len } }
            }
        }
    }

    fn around_in_run(&mut self, image: &Image, chunk: u32, within: u32) -> Around {
        if let Some(index) = self.run_index(chunk)
            && self.runs.get(index).is_some_and(Run::is_unread)
        {
            self.read_run(image, index);
        }
        let around = self.run_at(chunk).zip(self.slot_offset(chunk));
        let Some((run, slot)) = around else { return Around::Free };
        let (block, len) = (within / run.info().size, u64::from(run.info().size));
        let (word, bit) = (block / 64, block % 64);
        if block >= run.info().count || run.word(word) >> bit & 1 == 0 {
            return Around::Free;
        }
        let committed = run.published && image.load_u64(bitmap_word(slot, word)) >> bit & 1 == 1;
        if committed { Around::Committed { len } } else { Around::New { len } }
    }
}
