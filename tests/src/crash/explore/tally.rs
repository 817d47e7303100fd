//! How much is tried at a crash point, and what came of all that was tried.

use std::fmt;

/// Crash points over the limit that are named.
const NAMED_MAX: usize = 64;
/// Violations that are told in full.
const TOLD_MAX: usize = 8;

/// How much is tried at a crash point.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A point with at most so many states is tried whole.
    pub states: u64,
    /// At others, so many of them.
    pub samples: u64,
    /// Of the images that recover to a home that was judged before, one in so many is used all the same.
    pub use_every: u64,
    /// Of the crash points one in so many is tried.
    pub point_every: u64,
    /// Chooses samples, torn parts and points.
    pub seed: u64,
    /// Ends at the first violation.
    pub stop_at_first: bool,
}

impl Limits {
    /// Every point, whole up to 2^16 states.
    #[must_use]
    pub const fn exhaustive(samples: u64, seed: u64) -> Self {
        Self { states: 1 << 16, samples, use_every: 16, point_every: 1, seed, stop_at_first: false }
    }
}

/// What was tried.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Scripts.
    pub scripts: u64,
    /// Crash points with states of their own.
    pub points: u64,
    /// Of these, how many had more states than the limit, and were sampled.
    pub over: u64,
    /// The first few of them.
    pub named: Vec<String>,
    /// States that were made and judged.
    pub images: u64,
    /// Of these, how many had bytes that were not seen before: these were opened.
    pub opened: u64,
    /// Of these, how many were validated, compared, used, closed, opened again and compared again; the others recovered to
    /// a home for which that was done.
    pub used: u64,
    /// What was wrong, the first few.
    pub violations: Vec<String>,
    /// How many were wrong.
    pub violation_count: u64,
}

impl Tally {
    /// Counts another one's figures too.
    pub fn add(&mut self, other: &Self) {
        self.scripts += other.scripts;
        self.points += other.points;
        self.over += other.over;
        self.images += other.images;
        self.opened += other.opened;
        self.used += other.used;
        self.violation_count += other.violation_count;
        let room = NAMED_MAX.saturating_sub(self.named.len());
        self.named.extend(other.named.iter().take(room).cloned());
        let room = TOLD_MAX.saturating_sub(self.violations.len());
        self.violations.extend(other.violations.iter().take(room).cloned());
    }

    pub(super) fn name_over(&mut self, what: impl FnOnce() -> String) {
        self.over += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(what());
        }
    }

    pub(super) fn violation(&mut self, what: impl FnOnce() -> String) {
        self.violation_count += 1;
        if self.violations.len() < TOLD_MAX {
            self.violations.push(what());
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} scripts, {} crash points ({} sampled), {} images ({} opened, {} of them used), {} violations",
            self.scripts, self.points, self.over, self.images, self.opened, self.used, self.violation_count
        )?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}
