//! The frame: one entry as bytes.
//!
//! ```text
//!  0  checksum   u64   XXH3 over the entry, mixed with log, generation, offset and bytes 8..16
//!  8  len        u32   bytes of the entry
//! 12  unsettled  u32   bits 0..31: how many words of 8 bytes before this frame were perhaps not durable when it was
//!                      made, plus one; all ones: unknown. Bit 31: the next frame belongs to the same append
//! 16  entry      `len` bytes
//! ..  zeros to a multiple of the log's alignment
//! ```
//!
//! What is mixed in holds what is true of a frame and not stored in it, so what an earlier generation left behind never
//! passes, nor does a frame in another place. It is mixed in last: an entry is hashed before it has a place, and so before
//! its appender takes a lock. The second half is never zero, so bytes that were never written do not even look like a
//! frame.

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

    /// The checksum of a frame at `offset` with these bytes 8..16, whose entry has this hash.
    #[inline]
    fn checksum(self, offset: u64, word: u64, hash: Hash) -> u64 {
        mix(self.0 ^ offset ^ hash.0.rotate_left(32), word)
    }
}

/// The hash of an entry, wherever it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Hash {
    #[inline]
    pub(super) fn of(entry: &[u8]) -> Self {
        Self(checksum(0, entry))
    }
}

/// What a frame says of its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// The last so many bytes before it may not be durable.
    pub(super) unsettled: u64,
    /// The next frame belongs to the same append.
    pub(super) continues: bool,
}

/// The first bytes of a frame, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    checksum: u64,
    word: u64,
}

impl Head {
    /// The head of a frame at `offset` for an entry of this length and hash.
    #[inline]
    pub(super) fn new(salt: Salt, offset: u64, len: usize, hash: Hash, state: State) -> Self {
        let unsettled = u32::try_from(state.unsettled / WORD + 1).map_or(UNKNOWN, |words| words.min(UNKNOWN));
        let info = unsettled | if state.continues { CONTINUES } else { 0 };
        let word = len as u64 | u64::from(info) << 32;
        Self { checksum: salt.checksum(offset, word, hash), word }
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
        salt.checksum(offset, self.word, Hash::of(entry)) == self.checksum || planted_bug()
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

/// Bytes that an entry takes in a log of this alignment, a power of two: said so, because a division would be a good part
/// of what an append costs.
#[inline]
pub(super) fn framed_len(len: u64, align: u64) -> u64 {
    (HEAD_LEN + len + (align - 1)) & !(align - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(7);

    fn head(offset: u64, entry: &[u8], unsettled: u64, continues: bool) -> Head {
        Head::new(SALT, offset, entry.len(), Hash::of(entry), State { unsettled, continues })
    }

    #[test]
    fn a_frame_counts_in_its_place_only() {
        let head = head(4096, b"entry", 80, true);
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
        let far = head(1 << 40, b"", 1 << 36, false);
        assert_eq!((far.horizon(1 << 40), far.continues(), far.len()), (None, false, 0));
        assert_eq!(head(8, b"", 16, false).horizon(8), None, "before the beginning");
    }

    #[test]
    fn framed_lengths() {
        let lens = [(0, 8), (1, 8), (8, 8), (48, 64), (49, 64)].map(|(len, align)| framed_len(len, align));
        assert_eq!(lens, [16, 24, 24, 64, 128]);
    }
}
