//! Size classes: which block size serves a request, and where the blocks of a run lie.
//!
//! Small requests are rounded up to one of forty sizes: every multiple of 16 up to 128, then four per doubling up
//! to 32 KiB. The step is at most a quarter of the size, so rounding wastes at most a fifth of a block, and all
//! sizes are multiples of 16, so most alignments cost nothing. Larger requests take whole chunks.
//!
//! A *run* is one chunk that is cut into equal blocks of one class. It has no header: block `i` begins at
//! `i * size`, and its state is bit `i` of the bitmap in the chunk's slot. That bitmap has 3,968 bits, which is why
//! a run of 16-byte blocks uses 62 of its 64 KiB; every other class is limited by the chunk alone.
//!
//! This file is pure arithmetic and tested exhaustively.

use crate::layout::geometry::{CHUNK, SLOT};

/// Number of size classes.
pub(crate) const CLASS_COUNT: usize = 40;

/// The largest request that a run serves.
pub(crate) const SMALL_MAX: u64 = 32 * 1024;

/// The strictest alignment that the heap honours.
pub(crate) const ALIGN_MAX: u64 = 4096;

/// Bytes of a slot before its bitmap.
pub(crate) const SLOT_HEADER: u64 = 16;

/// Bits in a slot's bitmap, the most blocks that a run can have.
pub(crate) const BITMAP_BITS: u64 = (SLOT - SLOT_HEADER) * 8;

/// The constants of one size class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassInfo {
    /// Bytes in a block.
    pub(crate) size: u32,
    /// Blocks in a run.
    pub(crate) count: u32,
    /// Words of the bitmap that have a bit of a block.
    pub(crate) words: u32,
    /// `ceil(2^32 / size)`: multiplies instead of dividing, exact for every position in a chunk.
    inverse: u32,
}

impl ClassInfo {
    const fn new(size: u64) -> Self {
        let fitting = CHUNK / size;
        let count = if fitting < BITMAP_BITS { fitting } else { BITMAP_BITS };
        Self {
            size: size as u32,
            count: count as u32,
            words: count.div_ceil(64) as u32,
            inverse: (1u64 << 32).div_ceil(size) as u32,
        }
    }

    /// The block that begins `within` bytes into the run, if one does.
    #[inline]
    pub(crate) fn block_at(&self, within: u32) -> Option<u32> {
        // Exact because within < 2^16 and the inverse is too large by less than size <= 2^15 parts in 2^32.
        let block = ((u64::from(within) * u64::from(self.inverse)) >> 32) as u32;
        (block * self.size == within && block < self.count).then_some(block)
    }

    /// The bits of bitmap word `word` that stand for blocks.
    #[inline]
    pub(crate) fn valid_bits(&self, word: u32) -> u64 {
        let first = word * 64;
        match self.count.saturating_sub(first) {
            0 => 0,
            bits if bits >= 64 => u64::MAX,
            bits => (1 << bits) - 1,
        }
    }
}

/// All classes, by increasing size.
pub(crate) const CLASSES: [ClassInfo; CLASS_COUNT] = {
    let mut classes = [ClassInfo::new(16); CLASS_COUNT];
    let mut index = 0;
    while index < CLASS_COUNT {
        let size = if index < 8 {
            16 * (index as u64 + 1)
        } else {
            let doubling = (index as u64 - 8) / 4;
            let quarter = (index as u64 - 8) % 4 + 1;
            (128 << doubling) + (32 << doubling) * quarter
        };
        classes[index] = ClassInfo::new(size);
        index += 1;
    }
    classes
};

const _: () = assert!(CLASSES[CLASS_COUNT - 1].size as u64 == SMALL_MAX);
const _: () = assert!(CHUNK == 1 << 16, "block_at and the chunk arithmetic assume 64 KiB");

/// The smallest class for `len` bytes at an alignment, or `None` where whole chunks are needed.
///
/// `align` is a power of two and at most [`ALIGN_MAX`].
#[inline]
pub(crate) fn class_for(len: u64, align: u64) -> Option<usize> {
    if len > SMALL_MAX {
        return None;
    }
    if align <= 16 {
        return Some(class_of_len(len));
    }
    aligned_class(len, align)
}

#[inline]
fn class_of_len(len: u64) -> usize {
    if len <= 128 {
        return (len.saturating_sub(1) / 16) as usize;
    }
    // len lies in (2^bits, 2^(bits+1)], which is cut into four equal steps.
    let bits = (len - 1).ilog2();
    let step = (len - (1 << bits) - 1) >> (bits - 2);
    (8 + (bits - 7) * 4) as usize + step as usize
}

/// Runs begin at a multiple of 64 KiB, so a block is aligned if its size is a multiple of the alignment. A power of
/// two is a class of its own, so this ends at 32 KiB at the latest.
#[cold]
fn aligned_class(len: u64, align: u64) -> Option<usize> {
    let first = class_of_len(len.max(align));
    (first..CLASS_COUNT).find(|&class| u64::from(CLASSES[class].size).is_multiple_of(align))
}

#[cfg(test)]
mod tests {
    //! Would catch a length that gets a block too small, a wasteful class, and a wrong reciprocal.
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
    fn every_length_gets_the_smallest_class() {
        for len in 0..=SMALL_MAX {
            let class = class_for(len, 8).unwrap();
            assert!(u64::from(CLASSES[class].size) >= len, "{len}");
            assert!(class == 0 || u64::from(CLASSES[class - 1].size) < len.max(1), "{len}");
        }
        assert!(class_for(SMALL_MAX + 1, 1).is_none());
        assert!(class_for(u64::MAX, 4096).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
    fn alignments_divide_the_size() {
        for shift in 0..=12 {
            for len in (0..=SMALL_MAX).step_by(7).chain([SMALL_MAX]) {
                let class = class_for(len, 1 << shift).unwrap();
                assert_eq!(u64::from(CLASSES[class].size) % (1 << shift).min(16.max(1 << shift)), 0);
                assert!(u64::from(CLASSES[class].size) >= len);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
    fn positions_map_to_blocks_and_back() {
        for (number, class) in CLASSES.iter().enumerate() {
            // Made at run time it is the same.
            let class = ClassInfo::new(u64::from(class.size));
            assert_eq!(class_for(u64::from(class.size), 16), Some(number));
            for within in 0..CHUNK as u32 {
                let expected = within % class.size == 0 && within / class.size < class.count;
                assert_eq!(class.block_at(within), expected.then_some(within / class.size));
            }
            let bits: u32 = (0..62).map(|word| class.valid_bits(word).count_ones()).sum();
            assert_eq!(bits, class.count);
            assert!(class.words <= 62);
        }
    }

    #[test]
    fn a_64_byte_object_costs_at_most_68_bytes() {
        let class = CLASSES[class_for(64, 8).unwrap()];
        let media = (CHUNK + SLOT) as f64 / f64::from(class.count);
        assert!(media <= 68.0, "{media}");
    }
}
