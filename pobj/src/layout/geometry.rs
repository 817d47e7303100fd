//! Where everything is in a pool file.
//!
//! All of it follows from three numbers chosen at creation: the largest length, the ring's length and the schema's
//! length. The header stores the results too, and a reader insists that both agree.
//!
//! ```text
//! 0x0000  header slot 0            0x1000  header slot 1
//! 0x2000  ring state slot 0        0x3000  ring state slot 1
//! 0x4000  heap superblock          0x5000  directory of the heap's metadata chunks
//!    ...  schema (4 KiB rounded)      ...  ring (4 KiB aligned)       ...  heap (64 KiB aligned)
//! ```

use crate::ground::error::{Error, Result};

/// Unit in which the fixed parts of the file are laid out: what a disk writes whole at best.
pub(crate) const BLOCK: u64 = 4096;
/// The two header slots; a new header never overwrites the one in force.
pub(crate) const HEADER_SLOTS: [u64; 2] = [0, BLOCK];
/// The two slots of the ring's state.
pub(crate) const RING_STATE_SLOTS: [u64; 2] = [2 * BLOCK, 3 * BLOCK];
/// The heap's superblock.
pub(crate) const SUPERBLOCK: u64 = 4 * BLOCK;
/// One word for each group of chunks: the place of its metadata chunk.
pub(crate) const DIRECTORY: u64 = 5 * BLOCK;

/// The root object's address: word 2 of the superblock; 0 before there is a root.
pub(crate) const ROOT_ADDR: u64 = SUPERBLOCK + 16;
/// The root object's length in bytes: word 3 of the superblock.
pub(crate) const ROOT_LEN: u64 = SUPERBLOCK + 24;
/// The last transaction that home may hold: word 4 of the superblock, written by the checkpoint alone.
pub(crate) const HOME_TXID: u64 = SUPERBLOCK + 32;

/// Unit of the heap. A large object is whole chunks, a run of small blocks is one or more.
pub(crate) const CHUNK: u64 = 64 * 1024;
/// Bytes of metadata for each chunk.
pub(crate) const SLOT: u64 = 512;
/// Chunks whose metadata fits in one chunk.
pub(crate) const GROUP: u64 = CHUNK / SLOT;

/// The largest pool: what fits below the end of a process's address space, with room to choose a base at random,
/// and what the 45-bit word index of a journal record can name (256 TiB).
pub(crate) const POOL_LEN_MAX: u64 = 1 << 46;
/// First address that no process of a 64-bit system may use.
pub(crate) const ADDRESS_END: u64 = 1 << 47;
/// The smallest ring: a record of one block, and room to keep its predecessor.
pub(crate) const RING_LEN_MIN: u64 = 16 * BLOCK;
/// The largest schema that a header may announce, so that a damaged length cannot ask for all memory.
pub(crate) const SCHEMA_LEN_MAX: u64 = 16 << 20;

static_assertions::const_assert_eq!(GROUP, 128);
static_assertions::const_assert!(POOL_LEN_MAX / 8 <= 1 << 45);

/// The places of a pool's regions, in bytes from the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// The length beyond which the pool never grows; a multiple of [`CHUNK`].
    pub(crate) max_len: u64,
    /// The directory of metadata chunks.
    pub(crate) dir_offset: u64,
    /// Its length, enough for `max_len`.
    pub(crate) dir_len: u64,
    /// The encoded schema.
    pub(crate) schema_offset: u64,
    /// Its exact length; the region is rounded up to [`BLOCK`].
    pub(crate) schema_len: u64,
    /// The journal's ring.
    pub(crate) ring_offset: u64,
    /// Its length, a multiple of [`BLOCK`].
    pub(crate) ring_len: u64,
    /// The first chunk of the heap.
    pub(crate) heap_start: u64,
}

impl Geometry {
    /// Lays out a pool.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] naming the number that cannot work.
    pub(crate) fn new(max_len: u64, ring_len: u64, schema_len: u64) -> Result<Self> {
        let refuse = |option, reason: String| Err(Error::InvalidOption { option, reason });
        if schema_len == 0 || schema_len > SCHEMA_LEN_MAX {
            let reason =
                format!("the types take {schema_len} bytes to describe, 1 to {SCHEMA_LEN_MAX} are possible");
            return refuse("schema", reason);
        }
        if !(RING_LEN_MIN..=POOL_LEN_MAX).contains(&ring_len) || !ring_len.is_multiple_of(BLOCK) {
            let reason = format!(
                "{ring_len} bytes; a ring is a multiple of {BLOCK} and at least {RING_LEN_MIN} bytes"
            );
            return refuse("ring_size", reason);
        }
        if max_len > POOL_LEN_MAX || !max_len.is_multiple_of(CHUNK) {
            let reason =
                format!("{max_len} bytes; a pool is a multiple of {CHUNK} and at most {POOL_LEN_MAX} bytes");
            return refuse("max_size", reason);
        }
        // No sum below can overflow: each addend is at most 2^46.
        let groups = max_len.div_ceil(GROUP * CHUNK);
        let dir_len = (groups * 8).next_multiple_of(BLOCK);
        let schema_offset = DIRECTORY + dir_len;
        let ring_offset = schema_offset + schema_len.next_multiple_of(BLOCK);
        let heap_start = (ring_offset + ring_len).next_multiple_of(CHUNK);
        // The heap needs a metadata chunk and a chunk for objects.
        let len_min = heap_start + 2 * CHUNK;
        if max_len < len_min {
            let reason = format!("{max_len} bytes; with this ring a pool needs at least {len_min} bytes");
            return refuse("max_size", reason);
        }
        Ok(Self {
            max_len,
            dir_offset: DIRECTORY,
            dir_len,
            schema_offset,
            schema_len,
            ring_offset,
            ring_len,
            heap_start,
        })
    }

    /// How many chunks the heap may ever have.
    pub(crate) fn max_chunks(&self) -> u64 {
        (self.max_len - self.heap_start) / CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_aligned_and_follow_each_other() {
        for (max_len, ring_len, schema_len) in [
            (64 << 30, 1 << 20, 700),
            (POOL_LEN_MAX, 64 << 20, SCHEMA_LEN_MAX),
            (4 * CHUNK + 2 * CHUNK, RING_LEN_MIN, 1),
        ] {
            let g = Geometry::new(max_len, ring_len, schema_len).unwrap();
            assert_eq!(g.dir_offset, SUPERBLOCK + BLOCK);
            assert!(g.dir_len * 16 * CHUNK >= max_len);
            assert!(g.schema_offset >= g.dir_offset + g.dir_len && g.schema_offset.is_multiple_of(BLOCK));
            assert!(g.ring_offset >= g.schema_offset + schema_len && g.ring_offset.is_multiple_of(BLOCK));
            assert!(g.heap_start >= g.ring_offset + ring_len && g.heap_start.is_multiple_of(CHUNK));
            assert!(g.max_chunks() >= 2 && g.heap_start + g.max_chunks() * CHUNK <= max_len);
        }
    }

    #[test]
    fn impossible_numbers_are_named() {
        let option = |max_len, ring_len, schema_len| match Geometry::new(max_len, ring_len, schema_len) {
            Err(Error::InvalidOption { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        assert_eq!(option(1 << 30, 1 << 20, 0), "schema");
        assert_eq!(option(1 << 30, 1 << 20, u64::MAX), "schema");
        assert_eq!(option(1 << 30, 100, 1), "ring_size");
        assert_eq!(option(1 << 30, u64::MAX - 4095, 1), "ring_size");
        assert_eq!(option(u64::MAX, 1 << 20, 1), "max_size");
        assert_eq!(option((1 << 30) + 1, 1 << 20, 1), "max_size");
        assert_eq!(option(CHUNK, 1 << 20, 1), "max_size");
    }
}
