//! The frame: one entry as bytes.
//!
//! ```text
//!  0  checksum   u64   XXH3 over the entry, seeded by log, generation, offset and bytes 8..16
//!  8  len        u32   bytes of the entry
//! 12  unsettled  u32   bits 0..31: how many words of 8 bytes before this frame were perhaps not durable when it was
//!                      made, plus one; all ones: unknown. Bit 31: the next frame belongs to the same append
//! 16  entry      `len` bytes
//! ..  zeros to a multiple of the log's alignment
//! ```
//!
//! The seed holds what is true of a frame and not stored in it, so what an earlier generation left behind never passes,
//! nor does a frame in another place. The second half is never zero, so bytes that were never written do not even look
//! like a frame.

use crate::ground::checksum::{checksum, mix};
use crate::journal::record::planted_bug;

/// Bytes before the entry.
pub(super) const HEAD_LEN: u64 = 16;
/// Longest entry, in bytes.
pub(super) const LEN_MAX: u64 = u32::MAX as u64;

const CONTINUES: u32 = 1 << 31;
const UNKNOWN: u32 = CONTINUES - 1;
const WORD: u64 = 8;

/// What is true of every frame of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(u64);

impl Salt {
    pub(super) fn new(log_id: u64, generation: u64) -> Self {
        Self(mix(log_id, generation))
    }

    #[inline]
    fn seed(self, offset: u64, word: u64) -> u64 {
        mix(mix(self.0, offset), word)
    }
}

/// The first bytes of a frame, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    checksum: u64,
    word: u64,
}

impl Head {
    /// The head of a frame at `offset`, before which the last `unsettled` bytes may not be durable.
    #[inline]
    pub(super) fn new(salt: Salt, offset: u64, entry: &[u8], unsettled: u64, continues: bool) -> Self {
        let unsettled = u32::try_from(unsettled / WORD + 1).map_or(UNKNOWN, |words| words.min(UNKNOWN));
        let info = unsettled | if continues { CONTINUES } else { 0 };
        let word = entry.len() as u64 | u64::from(info) << 32;
        Self { checksum: checksum(salt.seed(offset, word), entry), word }
    }

    #[inline]
    pub(super) fn encode(self) -> [u8; HEAD_LEN as usize] {
        let mut bytes = [0; HEAD_LEN as usize];
        bytes[..8].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[8..].copy_from_slice(&self.word.to_le_bytes());
        bytes
    }

    /// What may be a head, at the start of `bytes`.
    #[inline]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk()?;
        let (word, _) = rest.split_first_chunk()?;
        let head = Self { checksum: u64::from_le_bytes(*checksum), word: u64::from_le_bytes(*word) };
        (head.info() & UNKNOWN != 0).then_some(head)
    }

    /// Whether `entry` is what this head was made for, at this place.
    #[inline]
    pub(super) fn fits(self, salt: Salt, offset: u64, entry: &[u8]) -> bool {
        checksum(salt.seed(offset, self.word), entry) == self.checksum || planted_bug()
    }

    /// Bytes of the entry.
    #[inline]
    pub(super) fn len(self) -> u64 {
        self.word & LEN_MAX
    }

    fn info(self) -> u32 {
        (self.word >> 32) as u32
    }

    /// Whether the next frame belongs to the same append.
    #[inline]
    pub(super) fn continues(self) -> bool {
        self.info() & CONTINUES != 0
    }

    /// Up to where everything was durable when this frame, at `offset`, was made; `None` if it does not say.
    pub(super) fn horizon(self, offset: u64) -> Option<u64> {
        match self.info() & UNKNOWN {
            UNKNOWN => None,
            words => offset.checked_sub(u64::from(words - 1) * WORD),
        }
    }
}

/// Bytes that an entry takes in a log of this alignment.
#[inline]
pub(super) fn framed_len(len: u64, align: u64) -> u64 {
    (HEAD_LEN + len).next_multiple_of(align)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(7);

    #[test]
    fn a_frame_counts_in_its_place_only() {
        let head = Head::new(SALT, 4096, b"entry", 80, true);
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert!(head.fits(SALT, 4096, b"entry") && head.continues() && head.len() == 5);
        assert_eq!(head.horizon(4096), Some(4016));
        assert!(!head.fits(SALT, 4104, b"entry") && !head.fits(Salt(8), 4096, b"entry"));
        assert!(!head.fits(SALT, 4096, b"entrz"));
        for bit in 64..128 {
            let mut bytes = head.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Head::decode(&bytes).is_none_or(|head| !head.fits(SALT, 4096, b"entry")), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_frame_and_far_horizons_are_unknown() {
        assert_eq!(Head::decode(&[0; 16]), None);
        assert_eq!(Head::decode(&[1; 15]), None);
        let far = Head::new(SALT, 1 << 40, b"", 1 << 36, false);
        assert_eq!((far.horizon(1 << 40), far.continues(), far.len()), (None, false, 0));
        assert_eq!(Head::new(SALT, 8, b"", 16, false).horizon(8), None, "before the beginning");
    }

    #[test]
    fn framed_lengths() {
        let lens = [(0, 8), (1, 8), (8, 8), (48, 64), (49, 64)].map(|(len, align)| framed_len(len, align));
        assert_eq!(lens, [16, 24, 24, 64, 128]);
    }
}
