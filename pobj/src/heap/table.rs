//! The chunk table: one word for each chunk of the heap, so that an address finds its run with one load.
//!
//! The table is volatile. It holds what the slots hold, reservations included, and three facts that no file holds:
//!
//! - *unbacked*: the file may have a hole here, so its space must be allocated before the chunk is
//!   taken. Holes come from punching; after an open every free chunk may be one.
//! - *clean*: the image's bytes here are zero because nobody ever used them.
//! - *populated*: the image's pages here were faulted in by this process.
//!
//! A free chunk also remembers which transaction freed it (its *ticket*), so that a hole is never punched on the
//! strength of an earlier life of the chunk.

/// What a chunk is in, with a number whose meaning depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Free; the number is the ticket, 0 if there is nothing to punch.
    Free,
    /// A run; the number is its index among the runs in memory.
    Run,
    /// The first chunk of a large object; the number is its count of chunks.
    Large,
    /// A later chunk of a large object.
    LargeRest,
    /// The metadata chunk of the group with this number.
    Metadata,
    /// Free, but being punched: not to be handed out.
    Punching,
}

/// One chunk. All zero bits: free, nothing to punch, backed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry(u64);

const STATE: u64 = 0x7;
const UNBACKED: u64 = 0x8;
const CLEAN: u64 = 0x10;
const POPULATED: u64 = 0x20;
const FACTS: u64 = UNBACKED | CLEAN | POPULATED;

impl Entry {
    /// A free chunk of an existing file.
    pub(super) const UNKNOWN: Self = Self(UNBACKED);
    /// A free chunk of freshly grown file and memory.
    pub(super) const FRESH: Self = Self(CLEAN);
    /// A free chunk of a file that was grown earlier.
    pub(super) const GROWN: Self = Self(0);

    #[inline]
    pub(super) fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Free,
            1 => State::Run,
            2 => State::Large,
            3 => State::LargeRest,
            4 => State::Metadata,
            _ => State::Punching,
        }
    }

    #[inline]
    pub(super) fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Changes the state and keeps the facts.
    #[inline]
    pub(super) fn set(&mut self, state: State, number: u32) {
        let state = match state {
            State::Free => 0,
            State::Run => 1,
            State::Large => 2,
            State::LargeRest => 3,
            State::Metadata => 4,
            State::Punching => 5,
        };
        self.0 = self.0 & FACTS | state | u64::from(number) << 32;
    }

    pub(super) fn is_unbacked(self) -> bool {
        self.0 & UNBACKED != 0
    }

    pub(super) fn set_unbacked(&mut self, unbacked: bool) {
        self.0 = self.0 & !UNBACKED | if unbacked { UNBACKED } else { 0 };
    }

    pub(super) fn is_clean(self) -> bool {
        self.0 & CLEAN != 0
    }

    /// The chunk's bytes may change from now on.
    pub(super) fn set_dirty(&mut self) {
        self.0 &= !CLEAN;
    }

    pub(super) fn is_populated(self) -> bool {
        self.0 & POPULATED != 0
    }

    pub(super) fn set_populated(&mut self) {
        self.0 |= POPULATED;
    }
}
