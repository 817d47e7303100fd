//! What is in the heap, in numbers.

use crate::layout::geometry::CHUNK;
use crate::media::Image;

use super::Heap;
use super::slots::{bitmap_word, group_of};

/// How the heap's space is used. Blocks and bytes are those of committed transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapStats {
    /// Length of the pool that the heap uses.
    pub heap_len: u64,
    /// Allocated blocks, large objects included.
    pub live_blocks: u64,
    /// Size of the allocated blocks, rounding included.
    pub live_bytes: u64,
    /// Large objects among the allocated blocks.
    pub large_objects: u64,
    /// Runs, those of open transactions included.
    pub runs: u64,
    /// Free chunks.
    pub free_chunks: u64,
    /// Chunks in the longest free extent.
    pub largest_free_extent: u64,
}

impl Heap {
    /// How the heap's space is used. The first call after an open looks at every bitmap, later ones at a few counters.
    pub(crate) fn stats(&mut self, image: &Image) -> HeapStats {
        if !std::mem::replace(&mut self.live.complete, true) {
            self.count_all(image);
        }
        let live = &self.live;
        HeapStats {
            heap_len: self.heap_len(),
            live_blocks: live.small_blocks + live.large_objects,
            live_bytes: live.small_bytes + live.large_chunks * CHUNK,
            large_objects: live.large_objects,
            runs: self.runs.len() as u64,
            free_chunks: self.extents.total() + self.punching,
            largest_free_extent: u64::from(self.extents.largest()),
        }
    }

    fn count_all(&mut self, image: &Image) {
        let (groups, place) = (&self.groups, &self.place);
        for run in self.runs.iter_mut().filter(|run| !run.counted) {
            let Some(&metadata) = groups.get(group_of(run.chunk) as usize) else { continue };
            let slot = place.slot_offset(metadata, run.chunk);
            let info = run.info();
            let bits = |word| image.load_u64(bitmap_word(slot, word)) & info.valid_bits(word);
            let blocks = (0..info.words).map(|word| u64::from(bits(word).count_ones())).sum();
            self.live.add_small(run.class, blocks);
            run.counted = true;
            if blocks == 0 {
                run.read(|_| 0);
                self.idle.push(run.chunk);
            }
        }
    }
}
