//! How much is tried, and what came of it.

use std::fmt;

/// How much to try.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// States at a cut where not all subsets are tried.
    pub samples: usize,
    /// Seed of the samples.
    pub seed: u64,
    /// At every how many-th cut recovery itself is cut.
    pub recover_every: usize,
    /// States at a cut inside recovery.
    pub recovery_samples: usize,
    /// Ends at the first violation.
    pub stop_at_first: bool,
}

impl Effort {
    /// From `POBJ_CRASH_SAMPLES`, `POBJ_CRASH_RECOVER_EVERY` and `POBJ_SEED`, else small enough for every change.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let samples = number("POBJ_CRASH_SAMPLES").map(|samples| samples as usize);
        let seed = number("POBJ_SEED").unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |now| now.subsec_nanos().into())
        });
        let default = if cfg!(debug_assertions) { 12 } else { 96 };
        Self {
            samples: samples.unwrap_or(default),
            seed,
            recover_every: number("POBJ_CRASH_RECOVER_EVERY").map_or(8, |every| every.max(1) as usize),
            recovery_samples: samples.unwrap_or(default / 4),
            stop_at_first: false,
        }
    }
}

/// What was tried, and what was wrong.
#[derive(Default)]
pub struct Report {
    /// Moments at which the power was cut.
    pub cuts: u64,
    /// Cuts at which every legal subset was tried.
    pub exhaustive: u64,
    /// States that were tried.
    pub states: u64,
    /// Of these, different ones.
    pub distinct: u64,
    /// What was wrong, the first few.
    pub violations: Vec<String>,
    /// How many were wrong.
    pub violation_count: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cuts ({} with every subset), {} states ({} distinct), {} violations",
            self.cuts, self.exhaustive, self.states, self.distinct, self.violation_count
        )?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}
