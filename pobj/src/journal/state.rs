//! The ring's state: where its head is. Two slots, written in turn, each a block of its own.
//!
//! The head moves only when home is durable up to it, so the older slot stays true after a torn write of the
//! newer one: replaying more than needed is harmless (J4), and a slot is found whole by its checksum (J9).
//!
//! The first store after a clean close is the exception. What a killed process wrote last may lie in the page cache
//! only; so may the slot that says "closed". The other slot then says the same but for that word, so it is kept and the
//! first store goes over the newer one. No sync is needed to open a pool that was closed.

use bytemuck::{Pod, Zeroable, bytes_of, from_bytes};

use crate::ground::checksum::checksum;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::RING_STATE_SLOTS;
use crate::media::Media;

const MAGIC: u64 = u64::from_le_bytes(*b"pobjring");

/// One slot as it lies on the medium.
#[derive(Clone, Copy, Debug, Pod, Zeroable, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct RingState {
    magic: u64,
    /// The slot with the higher number is the newer one.
    pub(crate) sequence: u64,
    /// Salt of the records that this state leads to; new at each open.
    pub(crate) epoch: u64,
    /// Logical position of the first record that home may lack.
    pub(crate) head: u64,
    /// The last transaction that home holds.
    pub(crate) txid: u64,
    /// 1 if the ring was empty when this state was written, because the pool was closed.
    pub(crate) clean: u64,
    /// What the platform said of its unsafe shutdowns when this pool was opened; 0 if nothing.
    pub(crate) shutdown_mark: u64,
    checksum: u64,
}

static_assertions::const_assert_eq!(size_of::<RingState>(), 64);
static_assertions::const_assert_eq!(std::mem::offset_of!(RingState, checksum), 56);

impl RingState {
    pub(crate) fn new(epoch: u64, head: u64, txid: u64) -> Self {
        Self { magic: MAGIC, sequence: 0, epoch, head, txid, clean: 0, shutdown_mark: 0, checksum: 0 }
    }

    fn sum(&self, pool_id: u64) -> u64 {
        checksum(pool_id, &bytes_of(self)[..56])
    }

    fn slot_offset(&self) -> u64 {
        RING_STATE_SLOTS[(self.sequence % 2) as usize]
    }

    /// Writes this state durably into the slot that the older state occupies.
    pub(crate) fn store(&mut self, media: &dyn Media, pool_id: u64) -> Result<()> {
        self.sequence += 1;
        self.checksum = self.sum(pool_id);
        media.write_durable(self.slot_offset(), bytes_of(self))
    }

    /// The first store after loading a state that says "closed": over it, not over its equal in the other slot.
    pub(crate) fn store_over_clean(&mut self, media: &dyn Media, pool_id: u64) -> Result<()> {
        self.sequence += 1;
        self.clean = 0;
        self.store(media, pool_id)
    }

    /// Whether the platform reports that persistent memory may have lost what was on its way to it, while this pool was
    /// open: its count has moved since, on the same device.
    pub(crate) fn saw_unsafe_shutdown(&self, mark_now: u64) -> bool {
        self.clean == 0 && self.shutdown_mark != 0 && mark_now != 0 && self.shutdown_mark != mark_now
    }

    fn read(media: &dyn Media, offset: u64) -> Result<Self> {
        let mut words = [0u64; 8];
        media.read(offset, bytemuck::cast_slice_mut(&mut words))?;
        Ok(*from_bytes(bytemuck::cast_slice(&words)))
    }

    fn is_whole(&self, pool_id: u64) -> bool {
        self.magic == MAGIC && self.checksum == self.sum(pool_id)
    }

    /// Reads the newer whole slot.
    pub(crate) fn load(media: &dyn Media, pool_id: u64, ring_len: u64) -> Result<Self> {
        let mut newest: Option<Self> = None;
        for offset in RING_STATE_SLOTS {
            let state = Self::read(media, offset)?;
            let whole = state.is_whole(pool_id) && state.slot_offset() == offset;
            if whole && newest.is_none_or(|other| other.sequence < state.sequence) {
                newest = Some(state);
            }
        }
        let state = newest.ok_or_else(|| {
            Error::corrupt("neither slot of the ring's state is whole", RING_STATE_SLOTS[0])
        })?;
        // They only grow; half the range of u64 leaves room for every sum that the scan makes.
        let grown = [state.sequence, state.head, state.txid].into_iter().max();
        if grown > Some(u64::MAX / 2) || !(state.head % ring_len).is_multiple_of(64) {
            let what = "the ring's sequence, head or transaction is impossible";
            return Err(Error::corrupt(what, state.slot_offset()));
        }
        Ok(state)
    }
}

/// Writes the first state of a new pool into both slots.
pub(crate) fn format(media: &dyn Media, pool_id: u64, epoch: u64) -> Result<()> {
    let mut state = RingState { shutdown_mark: media.shutdown_mark(), ..RingState::new(epoch, 0, 0) };
    state.store(media, pool_id)?;
    state.store(media, pool_id)
}

#[cfg(test)]
crate::ground::book::layout!(book_ring_state: RingState, "Ring state" 0, [magic, sequence, epoch, head, txid, clean, shutdown_mark, checksum]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::RamMedia;

    #[test]
    fn counts_that_nobody_lives_to_see_are_refused() {
        let edits: [fn(&mut RingState); 4] = [
            |_| (),
            |state| state.sequence = u64::MAX - 2,
            |state| state.head = !63,
            |state| state.txid = u64::MAX,
        ];
        for (number, edit) in edits.into_iter().enumerate() {
            let media = RamMedia::new(1 << 20).unwrap();
            media.grow(1 << 20).unwrap();
            let mut state = RingState::new(3, 64, 9);
            edit(&mut state);
            state.checksum = state.sum(5);
            media.write(state.slot_offset(), bytes_of(&state)).unwrap();
            assert_eq!(RingState::load(&media, 5, 1 << 16).is_ok(), number == 0, "edit {number}");
        }
    }

    /// Whoever stores next would write over the only whole one.
    #[test]
    fn a_state_in_the_other_slot_is_none() {
        let media = RamMedia::new(1 << 20).unwrap();
        media.grow(1 << 20).unwrap();
        let mut state = RingState::new(3, 64, 9);
        state.checksum = state.sum(5);
        let other = RING_STATE_SLOTS.into_iter().find(|slot| *slot != state.slot_offset()).unwrap();
        media.write(other, bytes_of(&state)).unwrap();
        assert!(RingState::load(&media, 5, 1 << 16).is_err());
    }
}
