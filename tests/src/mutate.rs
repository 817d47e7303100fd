//! A campaign of mutations: whatever makes pobj's bytes durable, and whatever tests bytes before they are believed, is
//! taken away or moved, one place in the source at a time, and the crash suites must notice.
//!
//! `places` finds the places by reading the sources, and `edits` adds those that are no call. [`Copy`](struct@Copy) writes the
//! workspace anew under `target/mutate` with each place in a scope of its own (see `pobj::media::sim::place`), so that
//! pobj itself knows nothing of this. Which change to which place is in force is said by the environment; the suites run
//! as they are.

mod copy;
mod detect;
mod edits;
mod harmless;
mod places;

pub use copy::Copy;
pub use detect::{Detector, Effort, applies, detectors, modes, suites};
pub use edits::{EDITS, Edit};
pub use harmless::{HARMLESS, Harmless, stale};
pub use places::{find, uncovered};
pub use pobj::media::sim::place::Change;

/// What a place does, which says how it can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Orders or makes durable what was written before: can be left out, and moved.
    Barrier,
    /// Writes lines back: can be left out.
    Flush,
    /// A durable write: can be a plain one, and on persistent memory one that does not flush.
    Durable,
    /// A write that a kill must not lose: can be left out, and on persistent memory not flush.
    Ordered,
    /// A plain write: on persistent memory it can leave the flush out.
    Write,
    /// Keeps records in order by other means: can be left out.
    Order,
    /// A test, a salt, a bound: can be left out.
    Test,
}

impl Kind {
    /// What is tried.
    #[must_use]
    pub fn changes(self) -> &'static [Change] {
        match self {
            Self::Barrier => &[Change::Gone, Change::Early, Change::Late],
            Self::Flush | Self::Order | Self::Test => &[Change::Gone],
            Self::Durable | Self::Ordered => &[Change::Gone, Change::Unflushed],
            Self::Write => &[Change::Unflushed],
        }
    }
}

/// A place in pobj's source.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its number.
    pub number: usize,
    /// What it does.
    pub kind: Kind,
    /// The file, from `pobj/src`.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// The function.
    pub function: String,
    /// The code, on one line.
    pub code: String,
    /// Where it stands in the file.
    pub bytes: std::ops::Range<usize>,
    /// What stands there if it is left out.
    pub instead: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {}: {}", self.file, self.line, self.function, self.code)
    }
}
