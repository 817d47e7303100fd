//! Blocks that several pointers share: their header, what a walk notes of the pointers, and what must hold of it.
//!
//! A shared block begins with two counts: its strong pointers, and its weak pointers plus one for all strong ones
//! together. While the strong count is not 0 a value follows. Unlike an owned block it may be met many times, so
//! the first pointer that a walk meets claims it, each leaves a [`Note`], and the notes are judged when all are there:
//!
//! - **S1** All pointers to one block have one type, and no owner claims it as well.
//! - **S2** The strong count is at least the number of strong pointers, and the weak count at least that of the weak
//!   ones (and one, if the strong count is not 0). A lower count would free what is still in use. A higher one leaks,
//!   which is harmless; `Pool::collect` corrects it.
//! - **S3** Counts are at most [`COUNT_MAX`], so no program lives to see one overflow.
//!
//! Memory: 24 bytes for each pointer to a shared block.

use std::any::TypeId;

use super::view::View;
use super::visit::{Blocks, Invalid};

/// A block that several pointers share, as it is in the file.
#[repr(C)]
pub(crate) struct SharedBlock<T> {
    /// Strong pointers.
    pub(crate) strong: u64,
    /// Weak pointers, and one more while the value is there.
    pub(crate) weak: u64,
    /// Dead once `strong` is 0.
    pub(crate) value: T,
}

/// Bytes of the two counts.
pub(crate) const COUNTS_LEN: u64 = 16;
/// A count beyond this cannot have been counted.
pub(crate) const COUNT_MAX: u64 = 1 << 62;

static_assertions::assert_eq_size!(SharedBlock<()>, [u64; 2]);
static_assertions::const_assert_eq!(std::mem::offset_of!(SharedBlock<u8>, value) as u64, COUNTS_LEN);

/// How a pointer holds a shared block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It keeps the value alive.
    Strong,
    /// It keeps the counts alive.
    Weak,
}

/// One pointer to a shared block, as a walk met it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    /// The block's address, a multiple of 8, with the flags in its low bits.
    tagged: u64,
    /// Which type of pointer.
    ty: TypeId,
}

static_assertions::assert_eq_size!(Note, [u64; 3]);

/// This pointer claimed the block.
const FIRST: u64 = 1;
const WEAK: u64 = 2;
const FLAGS: u64 = 7;

impl Note {
    pub(super) fn new(addr: u64, hold: Hold, first: bool, ty: TypeId) -> Self {
        let first = if first { FIRST } else { 0 };
        let weak = if hold == Hold::Weak { WEAK } else { 0 };
        Self { tagged: addr | first | weak, ty }
    }

    fn addr(&self) -> u64 {
        self.tagged & !FLAGS
    }
}

/// All pointers to one block.
struct Group {
    addr: u64,
    claimed: bool,
    one_type: bool,
    strong: u64,
    weak: u64,
    /// The counts in the block.
    stored: Counts,
}

/// The counts of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    strong: u64,
    weak: u64,
}

/// The counts that a shared block should have and has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Correction {
    /// Address of the block.
    pub(crate) addr: u64,
    /// What its strong count should be.
    pub(crate) strong: u64,
    /// What its weak count should be.
    pub(crate) weak: u64,
}

impl Group {
    fn of(notes: &[Note]) -> Result<Self, Invalid> {
        let (addr, ty) = (notes[0].addr(), notes[0].ty);
        // SAFETY: each note was made after its block was found to be allocated, with room for the counts; so V1 follows
        // from B1.
        let counts = unsafe { View::new(addr, COUNTS_LEN) };
        let mut group = Self {
            addr,
            claimed: false,
            one_type: true,
            strong: 0,
            weak: 0,
            stored: Counts { strong: counts.u64(0)?, weak: counts.u64(8)? },
        };
        for note in notes {
            group.claimed |= note.tagged & FIRST != 0;
            group.one_type &= note.ty == ty;
            *(if note.tagged & WEAK == 0 { &mut group.strong } else { &mut group.weak }) += 1;
        }
        Ok(group)
    }

    /// S1, S2, S3.
    fn check(&self) -> Result<(), Invalid> {
        let Counts { strong, weak } = self.stored;
        if !self.one_type {
            return Err(Invalid::new("pointers of different types share a block", self.addr));
        }
        if strong > COUNT_MAX || weak > COUNT_MAX {
            return Err(Invalid::new(
                format!("a block counts {strong} strong pointers, {weak} weak"),
                self.addr,
            ));
        }
        if strong < self.strong {
            let what = format!("a block counts {strong} strong pointers, {} lead to it", self.strong);
            return Err(Invalid::new(what, self.addr));
        }
        if weak < self.weak + u64::from(strong != 0) {
            let what = format!("a block counts {weak} weak pointers, {} lead to it", self.weak);
            return Err(Invalid::new(what, self.addr));
        }
        Ok(())
    }

    #[cold]
    fn two_owners(&self) -> Invalid {
        Invalid::new("a block is shared and has an owner as well", self.addr)
    }
}

fn groups(notes: &mut [Note]) -> impl Iterator<Item = Result<Group, Invalid>> {
    notes.sort_unstable_by_key(|note| note.addr());
    notes.chunk_by(|a, b| a.addr() == b.addr()).map(Group::of)
}

/// Judges all pointers to shared blocks that a walk met: S1, S2, S3.
///
/// # Errors
///
/// The first [`Invalid`].
pub(crate) fn check_shared(mut notes: Vec<Note>) -> Result<(), Invalid> {
    for group in groups(&mut notes) {
        let group = group?;
        group.check()?;
        if !group.claimed {
            return Err(group.two_owners());
        }
    }
    Ok(())
}

/// What the counts should be, after a walk that did not follow weak pointers. Claims the blocks to which only weak
/// pointers lead; their values are dead then.
///
/// # Errors
///
/// Those of [`check_shared`].
pub(crate) fn corrections(blocks: &dyn Blocks, mut notes: Vec<Note>) -> Result<Vec<Correction>, Invalid> {
    let mut corrections = Vec::new();
    for group in groups(&mut notes) {
        let group = group?;
        group.check()?;
        let claimed = group.claimed || blocks.claim_shared(group.addr, COUNTS_LEN, 8)?;
        if !claimed {
            return Err(group.two_owners());
        }
        let exact = Counts { strong: group.strong, weak: group.weak + u64::from(group.strong != 0) };
        if exact != group.stored {
            corrections.push(Correction { addr: group.addr, strong: exact.strong, weak: exact.weak });
        }
    }
    Ok(corrections)
}
