//! How much is tried, and what came of it.

use std::fmt;

use pobj::media::sim::Trace;

/// How many recoveries of a script are cut, unless the environment says otherwise.
const RECOVERIES: usize = 8;

/// Fewest samples at a cut.
const SAMPLES_MIN: usize = 4;

/// How much to try.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// States at a cut where not all subsets are tried.
    pub samples: usize,
    /// Seed of the samples.
    pub seed: u64,
    /// Takes fewer samples, and then other cuts with each seed, where there are so many that more states than this would
    /// be tried.
    pub states: usize,
    /// Tries even those cuts all of whose states the next one has too.
    pub every_cut: bool,
    /// At every how many-th cut recovery itself is cut; `None` for a few of them, others with another seed.
    pub recover_every: Option<usize>,
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
        let default = if cfg!(debug_assertions) { 16 } else { 96 };
        Self {
            samples: samples.unwrap_or(default),
            seed,
            // The exploration (R1 to R4) tries far more of them, faster.
            states: if samples.is_some() { usize::MAX } else { default * 30 },
            every_cut: samples.is_some() || !cfg!(debug_assertions),
            recover_every: number("POBJ_CRASH_RECOVER_EVERY").map(|every| every.max(1) as usize),
            recovery_samples: samples.unwrap_or(default / 4),
            stop_at_first: false,
        }
    }
}

impl Effort {
    /// Few states, the same each time, without cuts in recovery: for a suite that runs hundreds of scripts.
    #[must_use]
    pub const fn quick(samples: usize, seed: u64) -> Self {
        Self {
            samples,
            seed,
            states: usize::MAX,
            every_cut: false,
            recover_every: Some(usize::MAX),
            recovery_samples: 0,
            stop_at_first: false,
        }
    }

    /// States to try at each cut of a history.
    pub(super) fn samples_for(&self, trace: &Trace) -> usize {
        let affordable = self.states / self.cuts_to_try(trace);
        affordable.clamp(SAMPLES_MIN.min(self.samples), self.samples)
    }

    /// Which share of the cuts to try, where even a few states at each are too many.
    pub(super) fn share_of_cuts(&self, trace: &Trace, samples: usize) -> f64 {
        self.states as f64 / (self.cuts_to_try(trace) * samples) as f64
    }

    /// Cuts that have states of their own.
    fn cuts_to_try(&self, trace: &Trace) -> usize {
        let mut cuts = trace.cuts();
        let (mut count, mut last) = (0, None);
        while let Some(point) = cuts.next() {
            if last != Some(point.version()) && (self.every_cut || !point.grows()) {
                count += 1;
                last = Some(point.version());
            }
        }
        count.max(1)
    }

    /// Whether recovery is cut at this cut of `count`.
    pub(super) fn recovers_at(&self, cut: usize, count: usize) -> bool {
        let every = self.recover_every.unwrap_or((count / RECOVERIES).max(8));
        (cut as u64 + self.seed % every as u64).is_multiple_of(every as u64)
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

impl Report {
    /// Counts another report's cuts and states too.
    pub fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.exhaustive += other.exhaustive;
        self.states += other.states;
        self.distinct += other.distinct;
        self.violation_count += other.violation_count;
        self.violations.extend(other.violations.iter().cloned());
    }
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
