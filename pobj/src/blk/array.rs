//! What lies in the pool: the array's shape, and a table of two levels that leads to the blocks.
//!
//! The table is made as blocks are written: a *part* has the slots of [`PART`] blocks that follow each other, and is
//! there once one of them was written or marked. A slot has the lock of its block, by its address, so it never moves:
//! parts are made whole. New parts come in transactions that have the pool alone, so for everybody who shares the pool the
//! table stands still, and only slots need a lock.
//!
//! Validation at open checks that the shape can be, that each part is as long as the shape says, and that each block
//! is absent or exactly as long as a block.

use std::mem::offset_of;

use crate::collections::PVec;
use crate::ground::domain::CACHE_LINE;
use crate::ground::error::{Error, Result};
use crate::layout::{Invalid, View, Visit};
use crate::pool::PoolBody;
use crate::tx::Tx;
use crate::typed::{PBuf, PRwLock, persistent_struct};

/// Blocks whose slots are made together: 12 KiB of them, a size class of the heap.
pub(super) const PART: u64 = if cfg!(miri) { 8 } else { 512 };

/// The block is what its bytes say: zeros if it has none.
const GOOD: u64 = 0;
/// Reads give an error.
pub(super) const BAD: u64 = 1;

/// A block's place in the table.
#[repr(C)]
#[derive(Default)]
pub(super) struct Slot<'p> {
    pub(super) state: u64,
    /// Empty, or a whole block.
    pub(super) data: PVec<'p, u8>,
}

persistent_struct! {
    impl['p] Slot['p] called "BlockSlot"[];
    at<'q> = Slot<'q>;
    fields { state: u64, data: PVec<'p, u8> }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        Self::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
    };
}

type LockedSlot<'p> = PRwLock<'p, Slot<'p>>;

static_assertions::assert_eq_size!(LockedSlot<'static>, [u64; 3]);

/// Bytes of a slot in the pool.
const SLOT_LEN: u64 = size_of::<LockedSlot<'static>>() as u64;
/// Bytes of a part's entry in the table.
const ENTRY_LEN: u64 = 16;

/// What can be seen of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It was never written, or set to zero since: it reads as zeros and takes no space.
    Zero,
    /// It was written.
    Written,
    /// It was marked as bad, and not written since.
    Bad,
}

impl<'p> Slot<'p> {
    pub(super) fn state(&self) -> State {
        match (self.state, self.data.is_empty()) {
            (BAD, _) => State::Bad,
            (_, true) => State::Zero,
            (_, false) => State::Written,
        }
    }

    /// An error if the medium does not give the block back.
    #[inline]
    fn show(&self, pool: &PoolBody) -> Result<()> {
        pool.show(self.data.as_ptr().addr() as u64, self.data.len() as u64)
    }

    /// Copies the bytes from `start` on. `number` and `block_size` are the block's.
    pub(super) fn read(
        &self,
        pool: &PoolBody,
        (number, block_size): (u64, usize),
        start: usize,
        into: &mut [u8],
    ) -> Result<()> {
        match self.state() {
            State::Bad => return Err(Error::BadBlock { number }),
            State::Zero => into.fill(0),
            State::Written => match self.data.get(start..start + into.len()) {
                Some(bytes) if self.data.len() == block_size => {
                    self.show(pool)?;
                    into.copy_from_slice(bytes);
                }
                // Validation refuses such a file.
                _ => return Err(Error::corrupt(format!("block {number} is not a block long"), 0)),
            },
        }
        Ok(())
    }

    /// Replaces the block's bytes.
    ///
    /// On a private image over what is there; the record has the words that differ, or the whole block where that is less
    /// work. On an image in place a new block costs less, because it has no old bytes that must be durable first; where
    /// there is no room for one, the old one will do. So a block that has its memory can be written in a full pool.
    fn write(&mut self, tx: &Tx<'p>, bytes: &[u8]) -> Result<()> {
        self.state = GOOD;
        let fits = self.data.len() == bytes.len();
        if !fits || tx.core.pool().in_place {
            match PVec::from_slice(tx, bytes) {
                Ok(data) => {
                    self.data = data;
                    return Ok(());
                }
                Err(Error::PoolFull { .. }) if fits => {}
                Err(error) => return Err(error),
            }
        }
        self.show(tx.core.pool())?;
        if mostly_differ(&self.data, bytes) {
            return self.data.assign(tx, bytes);
        }
        self.data.slice_mut(.., tx)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Replaces the bytes from `start` on.
    fn write_part(&mut self, tx: &Tx<'p>, block_size: usize, start: usize, bytes: &[u8]) -> Result<()> {
        if self.data.is_empty() {
            // The pool says whether it has room for a block before memory is asked for: a file may say any size.
            let mut data = PVec::with_capacity(tx, block_size)?;
            let mut whole = vec![0; block_size];
            whole[start..start + bytes.len()].copy_from_slice(bytes);
            data.extend_from_slice(tx, &whole)?;
            (self.state, self.data) = (GOOD, data);
            return Ok(());
        }
        self.show(tx.core.pool())?;
        self.data.slice_mut(start..start + bytes.len(), tx)?.copy_from_slice(bytes);
        Ok(())
    }
}

/// Whether most of two blocks differs, judged by one byte of each cache line: then finding the words that do takes more
/// time than writing all of them.
fn mostly_differ(old: &[u8], new: &[u8]) -> bool {
    const LINE: usize = CACHE_LINE as usize;
    let lines = old.iter().step_by(LINE).zip(new.iter().step_by(LINE));
    lines.filter(|(old, new)| old != new).count() > old.len() / LINE / 2
}

/// The root of a pool of blocks.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Array<'p> {
    pub(super) block_size: u64,
    pub(super) count: u64,
    /// Up to the last part that there is. An absent one is empty.
    pub(super) parts: PVec<'p, PVec<'p, LockedSlot<'p>>>,
}

persistent_struct! {
    impl['p] Array['p] called "Blocks"[];
    at<'q> = Array<'q>;
    fields { block_size: u64, count: u64, parts: PVec<'p, PVec<'p, LockedSlot<'p>>> }
    check = check;
}

impl<'p> Array<'p> {
    pub(super) fn new(block_size: u64, count: u64) -> Self {
        Self { block_size, count, parts: PVec::new() }
    }

    /// The slot of a block, if its part is there.
    #[inline]
    pub(super) fn slot(&self, number: u64) -> Option<&LockedSlot<'p>> {
        self.parts.get((number / PART) as usize)?.get((number % PART) as usize)
    }

    /// Makes the part of a block, if it is not there.
    pub(super) fn make_part(&mut self, number: u64, tx: &Tx<'p>) -> Result<()> {
        let part = number / PART;
        let index = part as usize;
        if index >= self.parts.len() {
            self.parts.resize_with(tx, index + 1, || Ok(PVec::new()))?;
        }
        let len = PART.min(self.count - part * PART) as usize;
        if let Some(place) = self.parts.get_mut(index, tx)
            && place.is_empty()
        {
            let mut slots = PVec::with_capacity(tx, len)?;
            slots.extend(tx, std::iter::repeat_with(LockedSlot::default).take(len))?;
            *place = slots;
        }
        Ok(())
    }

    /// Replaces a block's bytes. Its part is there.
    pub(super) fn write(&self, number: u64, tx: &Tx<'p>, bytes: &[u8]) -> Result<()> {
        self.slot(number).map_or(Ok(()), |slot| slot.write(tx)?.write(tx, bytes))
    }

    /// Replaces some of a block's bytes. Its part is there.
    pub(super) fn write_part(&self, number: u64, tx: &Tx<'p>, start: usize, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 == self.block_size {
            return self.write(number, tx, bytes);
        }
        let Some(slot) = self.slot(number) else { return Ok(()) };
        let mut slot = slot.write(tx)?;
        if slot.state() == State::Bad {
            return Err(Error::BadBlock { number });
        }
        slot.write_part(tx, self.block_size as usize, start, bytes)
    }

    /// Gives a block's memory back. What is zero already stays untouched.
    pub(super) fn set_zero(&self, number: u64, tx: &Tx<'p>) -> Result<()> {
        let Some(slot) = self.slot(number) else { return Ok(()) };
        let mut slot = slot.write(tx)?;
        if slot.state() != State::Zero {
            *slot = Slot::default();
        }
        Ok(())
    }

    /// Marks a block as bad and gives its memory back. Its part is there.
    pub(super) fn set_error(&self, number: u64, tx: &Tx<'p>) -> Result<()> {
        let Some(slot) = self.slot(number) else { return Ok(()) };
        let mut slot = slot.write(tx)?;
        if slot.state() != State::Bad {
            *slot = Slot { state: BAD, data: PVec::new() };
        }
        Ok(())
    }
}

/// Whether an array can have this shape.
pub(super) fn is_possible(block_size: u64, count: u64) -> bool {
    block_size != 0
        && count != 0
        && block_size <= isize::MAX as u64
        && block_size.checked_mul(count).is_some()
}

/// Claims the whole table and has the blocks claimed later in the walk.
fn check(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
    let block_size = view.u64(offset_of!(Array<'_>, block_size) as u64)?;
    let count = view.u64(offset_of!(Array<'_>, count) as u64)?;
    if !is_possible(block_size, count) {
        let what = format!("an array is said to have {count} blocks of {block_size} bytes");
        return Err(Invalid::new(what, view.addr()));
    }
    let parts = view.field(offset_of!(Array<'_>, parts) as u64, ENTRY_LEN)?;
    // The parts are claimed below, so here the table is only pairs of words.
    let Some(table) = PBuf::<[u64; 2]>::claim(parts, visit)? else { return Ok(()) };
    let (found, most) = (table.len() / ENTRY_LEN, count.div_ceil(PART));
    if found > most {
        let what = format!("the table of {count} blocks has {found} parts, {most} at most can be");
        return Err(Invalid::new(what, view.addr()));
    }
    for part in 0..found {
        let entry = table.field(part * ENTRY_LEN, ENTRY_LEN)?;
        let Some(slots) = PBuf::<LockedSlot<'_>>::claim(entry, visit)? else { continue };
        let (len, expected) = (slots.len() / SLOT_LEN, PART.min(count - part * PART));
        if len != expected {
            let what = format!("part {part} of a table of blocks has {len} slots, not {expected}");
            return Err(Invalid::new(what, entry.addr()));
        }
        for slot in 0..len {
            check_slot(slots.field(slot * SLOT_LEN, SLOT_LEN)?, part * PART + slot, block_size)?;
        }
    }
    Ok(())
}

fn check_slot(slot: View<'_>, number: u64, block_size: u64) -> Result<(), Invalid> {
    let state = slot.u64(offset_of!(Slot<'_>, state) as u64)?;
    // The count of a run is its second word.
    let len = slot.u64(offset_of!(Slot<'_>, data) as u64 + 8)?;
    let what = match (state, len) {
        (GOOD | BAD, 0) => return Ok(()),
        (GOOD, len) if len == block_size => return Ok(()),
        (GOOD, len) => format!("block {number} has {len} bytes, not {block_size}"),
        (BAD, len) => format!("block {number} is marked as bad and has {len} bytes"),
        (state, _) => format!("block {number} is in state {state}, which there is not"),
    };
    Err(Invalid::new(what, slot.addr()))
}

#[cfg(test)]
crate::ground::book::layout!(book_array: Array<'static>, "Blocks" 0, [block_size, count, parts]);

#[cfg(test)]
crate::ground::book::layout!(book_slot: Slot<'static>, "Blocks" 1, [state, data]);
