//! Transactions larger than the ring takes (J5).
//!
//! The body goes behind the pool's own bytes in the file, is made durable there together with the file's new
//! length, and only then a small record in the ring names its place and checksum. The checkpoint that brings
//! home past the record cuts the file back. Cost: one extra sync, whatever the size.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::Durability;
use super::record::Kind;
use super::ring::{Journal, count};
use crate::ground::checksum::checksum;
use crate::ground::error::Result;
use crate::layout::geometry::BLOCK;

/// A body outside the ring: words of the record that names it.
pub(super) const SPILL_WORDS: usize = 3;

/// A body that waits behind the pool's bytes for its checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Spill {
    pub(super) txid: u64,
    pub(super) body: Arc<[u64]>,
    /// The file's length before the spill.
    pub(super) restore_len: u64,
}

impl Journal {
    pub(super) fn append_spilled(&self, body: &[u64], durability: Durability) -> Result<u64> {
        self.settle_spills()?;
        let _alone = self.lock_length();
        let restore_len = self.media.len()?;
        let (place, spill) = self.write_spill(body, restore_len)?;
        self.append_record(Kind::Spill, &place, durability, Some(spill))
    }

    /// Writes a body behind all there is, durably. Gives the words of the record that is to name it.
    pub(super) fn write_spill(&self, body: &[u64], restore_len: u64) -> Result<([u64; SPILL_WORDS], Spill)> {
        let end = self.media.len()?;
        let bytes: &[u8] = bytemuck::cast_slice(body);
        let offset = end.next_multiple_of(BLOCK);
        let written = self
            .media
            .grow(offset + (bytes.len() as u64).next_multiple_of(BLOCK))
            .and_then(|()| self.media.write(offset, bytes))
            // The length and the bytes are durable before a record depends on them (J9).
            .and_then(|()| self.sync_medium());
        if let Err(error) = written {
            // Nothing refers to these bytes; open cuts the file if this cannot. Growth must not take them for zeros.
            if self.media.truncate(end).is_err() {
                self.poison();
            }
            return Err(error);
        }
        let place: [u64; SPILL_WORDS] = [offset, bytes.len() as u64, checksum(self.salt.pool_id, bytes)];
        let spill = Spill { txid: 0, body: body.into(), restore_len };
        count(&self.counters.spills, 1);
        Ok((place, spill))
    }

    pub(super) fn lock_length(&self) -> MutexGuard<'_, ()> {
        self.length.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to change the file's length, unless a body lies behind the pool's bytes. As long as the result lives
    /// none is put there.
    pub(crate) fn alone_with_length(&self) -> Option<MutexGuard<'_, ()>> {
        let alone = self.lock_length();
        let ring = self.lock();
        (ring.spills.is_empty() && ring.uncut.is_none()).then_some(alone)
    }

    /// Returns when no body waits behind the pool's bytes, so that the file may grow, and none was left there.
    pub(crate) fn settle_spills(&self) -> Result<()> {
        while !self.lock().spills.is_empty() {
            self.checkpoint()?;
        }
        let mut ring = self.lock();
        if let Some(len) = ring.uncut {
            self.media.truncate(len)?;
            ring.uncut = None;
        }
        Ok(())
    }

    /// Gives back what lies behind `len` bytes. A failure leaves the file longer, until somebody needs the space or open
    /// cuts it: then this is what the ring is to remember as [`uncut`](super::ring::Ring::uncut).
    pub(super) fn cut(&self, len: u64) -> Option<u64> {
        self.media.truncate(len).is_err().then_some(len)
    }
}
