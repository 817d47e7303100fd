//! Taking whole chunks, giving them back, and asking for more file.
//!
//! What begins in a chunk is written in the chunk's slot, so the chunk's group needs metadata first (H3). Groups get
//! metadata when something first begins in them, and not one at a time: a batch covers a quarter as many groups as
//! there are, in neighbouring chunks. The number of batches is therefore logarithmic in the pool's length, and the
//! space between two batches, which bounds how long an extent can be, grows with the pool. Metadata is placed in the
//! smallest hole that holds the batch, else in front of what is to be taken.

use std::ops::Range;

use crate::layout::geometry::{CHUNK, GROUP};
use crate::media::Image;

use super::slots::group_of;
use super::table::{Entry, State};
use super::{AllocError, Heap, NO_METADATA};

/// The file grows by at least this much,
const GROWTH_MIN: u64 = 1 << 20;
/// or by this part of its length, so that growing costs little for each byte gained,
const GROWTH_SHIFT: u32 = 4;
/// but not by more than this at a time, unless one request needs it.
const GROWTH_MAX: u64 = 32 << 20;
/// Space is short when the free chunks at the end are no more than this part of all,
const SHORT_PART: u32 = 32;
/// or than so many.
const SHORT_MIN: u32 = 16;

impl Heap {
    /// Takes `count` neighbouring free chunks out of the free space. The caller sets their state.
    pub(super) fn take_chunks(
        &mut self,
        image: &Image,
        count: u32,
        requested: u64,
    ) -> Result<u32, AllocError> {
        loop {
            let mut unmanaged = None;
            let mut found = None;
            for (start, extent) in self.extents.fitting(count) {
                if self.is_managed(group_of(start)) {
                    found = Some(start);
                    break;
                }
                if let Some(batch) = self.place_for_metadata(start, extent - count) {
                    unmanaged = Some((group_of(start), batch));
                    break;
                }
            }
            if let Some((group, (first, batch))) = unmanaged {
                self.check_backed(first, batch)?;
                self.make_metadata(image, group, first, batch);
                continue;
            }
            let Some(start) = found else {
                return Err(self.need_space(count, requested));
            };
            self.check_backed(start, count)?;
            self.extents.take(start, count);
            let chunks = self.table.len() as u32;
            self.is_short |= self.extents.tail(chunks) <= (chunks / SHORT_PART).max(SHORT_MIN);
            return Ok(start);
        }
    }

    /// Space must exist before the first store (H4): a store into a hole of a full file system is a signal, in place, and on
    /// tmpfs under a private mapping too, because there even a page that is only copied takes space first.
    fn check_backed(&self, start: u32, count: u32) -> Result<(), AllocError> {
        let is_hole = |&chunk: &u32| self.table[chunk as usize].is_unbacked();
        if (start..start + count).any(|chunk| is_hole(&chunk)) {
            let range = self.place.chunk_offset(start)..self.place.chunk_offset(start + count);
            return Err(AllocError::NeedBacking { range });
        }
        Ok(())
    }

    /// Gives chunks back to the free space, and to the file system once `txid` has been checkpointed.
    pub(super) fn give_chunks(&mut self, start: u32, count: u32, txid: u64) {
        for entry in &mut self.table[start as usize..(start + count) as usize] {
            debug_assert!(!entry.is_unbacked(), "what was taken has its space (H4)");
            entry.set(State::Free, txid as u32);
        }
        self.extents.insert(start, count);
        self.note_punchable(start, count, txid);
    }

    /// Adds the space up to `new_len` after file and image have grown. It stays uncommitted until a record that the
    /// heap prepares carries the new length.
    pub(crate) fn add_space(&mut self, image: &Image, new_len: u64) {
        let end = new_len.min(image.len()).saturating_sub(self.place.heap_start) / CHUNK;
        let end = end.min(u64::from(self.place.chunks_max)) as u32;
        let start = self.table.len() as u32;
        for chunk in start..end {
            let fresh = self.place.chunk_offset(chunk) >= self.loaded_len;
            self.table.push(if fresh { Entry::FRESH } else { Entry::GROWN });
        }
        self.extents.insert(start, end.saturating_sub(start));
    }

    /// Whether space has run short since this was last asked. Cheap.
    #[inline]
    pub(crate) fn take_shortage(&mut self) -> bool {
        std::mem::take(&mut self.is_short)
    }

    /// The space of a range that [`AllocError::NeedBacking`] named exists now.
    pub(crate) fn backed(&mut self, range: &Range<u64>) {
        let chunks = self.chunks_of(range);
        for entry in &mut self.table[chunks.start as usize..chunks.end as usize] {
            entry.set_unbacked(false);
        }
    }

    /// Ascending chunks as ranges of offsets, neighbours merged.
    pub(super) fn ranges(&self, chunks: impl Iterator<Item = u32>) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for chunk in chunks {
            let offset = self.place.chunk_offset(chunk);
            match ranges.last_mut() {
                Some(last) if last.end == offset => last.end += CHUNK,
                _ => ranges.push(offset..offset + CHUNK),
            }
        }
        ranges
    }

    /// The chunks of a range of offsets, limited to the heap.
    pub(super) fn chunks_of(&self, range: &Range<u64>) -> Range<u32> {
        let number =
            |offset| self.place.locate(offset).map_or(0, |(chunk, _)| chunk.min(self.table.len()) as u32);
        let (start, end) = (number(range.start), number(range.end));
        start..end.max(start)
    }

    fn is_managed(&self, group: u32) -> bool {
        self.groups.get(group as usize).is_some_and(|&metadata| metadata != NO_METADATA)
    }

    /// Where a batch of metadata for the group of the extent at `start` can go, if no more than `spare` chunks of the
    /// extent itself may be used: its first chunk and length.
    fn place_for_metadata(&self, start: u32, spare: u32) -> Option<(u32, u32)> {
        let wanted = self.batch_for(group_of(start));
        if let Some(hole) = self.hole_for_metadata(start, wanted) {
            return Some((hole, wanted));
        }
        if spare > 0 {
            return Some((start, wanted.min(spare)));
        }
        self.hole_for_metadata(start, 1).map(|hole| (hole, 1))
    }

    /// The smallest free extent, other than the one at `except`, that holds `count` metadata chunks whose own slots
    /// have a place already.
    fn hole_for_metadata(&self, except: u32, count: u32) -> Option<u32> {
        let described =
            |start| (group_of(start)..=group_of(start + count - 1)).all(|group| self.is_managed(group));
        self.extents.fitting(count).map(|(start, _)| start).find(|&start| start != except && described(start))
    }

    /// How many groups from `group` on get metadata together.
    fn batch_for(&self, group: u32) -> u32 {
        let managed = self.groups.iter().filter(|&&metadata| metadata != NO_METADATA).count() as u32;
        let most = (managed / 4).max(1);
        (group..self.place.groups_max)
            .take(most as usize)
            .take_while(|&group| !self.is_managed(group))
            .count()
            .max(1) as u32
    }

    fn make_metadata(&mut self, image: &Image, group: u32, first: u32, batch: u32) {
        self.extents.take(first, batch);
        let groups = (group + batch) as usize;
        if self.groups.len() < groups {
            self.groups.resize(groups, NO_METADATA);
        }
        for index in 0..batch {
            let (group, chunk) = (group + index, first + index);
            let entry = &mut self.table[chunk as usize];
            if !entry.is_clean() {
                image.zero(self.place.chunk_offset(chunk), CHUNK);
            }
            entry.set(State::Metadata, group);
            entry.set_dirty();
            self.groups[group as usize] = chunk;
            self.unpublished.push(group);
        }
    }

    /// What to ask of the caller when no extent is long enough.
    fn need_space(&self, count: u32, requested: u64) -> AllocError {
        let present = self.table.len() as u64;
        let tail = self.extents.tail(self.table.len() as u32);
        let head = self.table.len() as u32 - tail;
        let mut needed = present - u64::from(tail) + u64::from(count);
        if !self.is_managed(group_of(head)) {
            // One metadata chunk in front; a second if that pushes the head into the next group.
            let crosses = u64::from(head) % GROUP == GROUP - 1 && !self.is_managed(group_of(head) + 1);
            let with_metadata = needed + 1 + u64::from(crosses);
            let elsewhere = self.hole_for_metadata(head, 1).is_some();
            if with_metadata <= u64::from(self.place.chunks_max) || !elsewhere {
                needed = with_metadata;
            }
        }
        debug_assert!(needed > present, "what fits is taken");
        // Were there room after all, asking for less than there is would not end.
        if needed > u64::from(self.place.chunks_max) || needed <= present {
            return AllocError::Full { requested };
        }
        let length = present * CHUNK;
        let step = (length >> GROWTH_SHIFT).clamp(GROWTH_MIN, GROWTH_MAX) / CHUNK;
        let chunks = needed.max(present + step).min(u64::from(self.place.chunks_max));
        AllocError::NeedSpace {
            least_len: self.place.chunk_offset(needed as u32),
            new_len: self.place.chunk_offset(chunks as u32),
        }
    }
}
