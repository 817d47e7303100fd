//! What the heap keeps in the file beside the blocks themselves: superblock, directory, slots.
//!
//! ```text
//! superblock   word 0 magic | word 1 heap_len | word 2 root address | word 3 root length | rest 0
//! directory    one word for each group of 128 chunks: offset of the group's metadata chunk, 0 = none
//! slot         512 bytes for each chunk of a group, in the group's metadata chunk:
//!              u8 kind | u8 class | u16 0 | u32 count | u64 0 | bitmap of 496 bytes
//! ```
//!
//! `heap_len` is the length of the pool up to which the heap uses the file. A slot describes the chunk at its own
//! number: free, a run of one class (`count` blocks), the first of `count` chunks of a large object, or a metadata
//! chunk (`count` is then the number of the group it describes). The other chunks of a large object have a free
//! slot, so an object may reach into groups that have no metadata yet.
//!
//! The bitmap of a chunk that is no run is meaningless: the record that makes a run sets every word of it.

use crate::layout::geometry::{CHUNK, GROUP, Geometry, SLOT, SUPERBLOCK};

use super::classes::{CLASS_COUNT, CLASSES, SLOT_HEADER};

/// First word of the superblock.
pub(crate) const HEAP_MAGIC: u64 = u64::from_le_bytes(*b"pobjheap");

const KIND_FREE: u64 = 0;
const KIND_RUN: u64 = 1;
const KIND_LARGE: u64 = 2;
const KIND_METADATA: u64 = 3;

/// A slot's header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nothing begins in this chunk.
    Free,
    /// A run of this class.
    Run { class: u8 },
    /// A large object of `count` chunks begins here.
    Large { count: u32 },
    /// The metadata of this group.
    Metadata { group: u32 },
}

impl Slot {
    /// The header's first word; the second is always 0.
    pub(super) fn encode(self) -> u64 {
        match self {
            Self::Free => KIND_FREE,
            Self::Run { class } => {
                let count = CLASSES.get(usize::from(class)).map_or(0, |info| info.count);
                KIND_RUN | u64::from(class) << 8 | u64::from(count) << 32
            }
            Self::Large { count } => KIND_LARGE | u64::from(count) << 32,
            Self::Metadata { group } => KIND_METADATA | u64::from(group) << 32,
        }
    }

    /// The inverse of [`encode`](Self::encode): every word that it cannot give is refused, with the reason.
    pub(super) fn decode(word: u64, reserved: u64) -> Result<Self, &'static str> {
        if reserved != 0 {
            return Err("reserved bytes of a chunk's slot are not zero");
        }
        let class = (word >> 8) as u8;
        let count = (word >> 32) as u32;
        let slot = match word & 0xff {
            KIND_FREE => Self::Free,
            KIND_RUN if usize::from(class) < CLASS_COUNT => Self::Run { class },
            KIND_RUN => return Err("a run has an unknown size class"),
            KIND_LARGE if count > 0 => Self::Large { count },
            KIND_LARGE => return Err("a large object has no chunks"),
            KIND_METADATA => Self::Metadata { group: count },
            _ => return Err("a chunk is of an unknown kind"),
        };
        if slot.encode() != word {
            return Err("a chunk's slot contradicts its kind");
        }
        Ok(slot)
    }
}

/// Where the heap's parts lie: offsets and numbers derived from the pool's geometry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Offset of chunk 0.
    pub(super) heap_start: u64,
    /// Offset of the superblock.
    pub(super) superblock: u64,
    /// Offset of the directory.
    pub(super) directory: u64,
    /// Chunks that the pool may ever have.
    pub(super) chunks_max: u32,
    /// Groups that the pool may ever have.
    pub(super) groups_max: u32,
}

impl Place {
    pub(super) fn new(geometry: &Geometry) -> Self {
        let fitting = geometry.max_len.saturating_sub(geometry.heap_start) / CHUNK;
        let described = geometry.dir_len / 8 * GROUP;
        // The last chunk number stays unused so that start + count never overflows.
        let chunks_max = fitting.min(described).min(u64::from(u32::MAX - 1));
        Self {
            heap_start: geometry.heap_start,
            superblock: SUPERBLOCK,
            directory: geometry.dir_offset,
            chunks_max: chunks_max as u32,
            groups_max: chunks_max.div_ceil(GROUP) as u32,
        }
    }

    /// Offset of the word that holds `heap_len`.
    pub(super) fn heap_len_word(&self) -> u64 {
        self.superblock + 8
    }

    /// Offset of a group's word in the directory.
    pub(super) fn directory_word(&self, group: u32) -> u64 {
        self.directory + u64::from(group) * 8
    }

    /// Offset of a chunk; with the number of chunks, the length of the pool.
    #[inline]
    pub(super) fn chunk_offset(&self, chunk: u32) -> u64 {
        self.heap_start + u64::from(chunk) * CHUNK
    }

    /// The chunk around an offset, and the position in it.
    #[inline]
    pub(super) fn locate(&self, offset: u64) -> Option<(usize, u32)> {
        let within_heap = offset.checked_sub(self.heap_start)?;
        Some(((within_heap / CHUNK) as usize, (within_heap % CHUNK) as u32))
    }

    /// Offset of a chunk's slot in the metadata chunk `metadata` of its group.
    pub(super) fn slot_offset(&self, metadata: u32, chunk: u32) -> u64 {
        self.chunk_offset(metadata) + u64::from(chunk) % GROUP * SLOT
    }
}

/// Offset of bitmap word `word` in the slot at `slot`.
#[inline]
pub(super) fn bitmap_word(slot: u64, word: u32) -> u64 {
    slot + SLOT_HEADER + u64::from(word) * 8
}

/// The group that describes a chunk.
#[inline]
pub(super) fn group_of(chunk: u32) -> u32 {
    chunk / GROUP as u32
}

#[cfg(test)]
mod tests {
    //! Would catch a header field that is written and not checked, or checked and not written.
    use super::*;

    #[test]
    fn headers_survive_and_nothing_else_is_accepted() {
        let mut slots = vec![Slot::Free, Slot::Large { count: 1 }, Slot::Large { count: u32::MAX }];
        slots.extend((0..CLASS_COUNT as u8).map(|class| Slot::Run { class }));
        slots.push(Slot::Metadata { group: 7 });
        for slot in slots {
            assert_eq!(Slot::decode(slot.encode(), 0), Ok(slot));
            assert!(Slot::decode(slot.encode(), 1).is_err());
            for bit in 0..32 {
                let flipped = slot.encode() ^ (1 << bit);
                assert_ne!(Slot::decode(flipped, 0), Ok(slot));
            }
        }
    }
}
