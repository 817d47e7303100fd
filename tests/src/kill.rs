//! Processes that are ended at any moment, by a kill or by a power cut under them: what they do, what they say, and what
//! must be there afterwards. The kill loops, the power cuts of real kernels and the guests on persistent memory share it.
//!
//! A child works on one file for ever. After each step that returned it says so ([`Say`]); what it said is what must be
//! there ([`Known`]). [`server`] starts children cheaply; [`lane`] is one file with what is known of it.

pub mod lane;
pub mod server;
mod work;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use work::{Known, work};

use crate::workload::KillMode;

/// Threads that a child has at most.
pub const THREADS: usize = 4;

/// What a child works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facility {
    /// Lists and large blocks of a pool, in exclusive transactions of one thread.
    Heap,
    /// Collections under locks, changed by four threads in transactions that share the pool.
    Shared,
    /// A key-value store of the hash engine, put to by four threads.
    Hash,
    /// The same of the ordered engine.
    Ordered,
    /// A log to which four threads append.
    Log,
    /// Blocks that four threads write, three in a step.
    Blocks,
}

impl Facility {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Heap, Self::Shared, Self::Hash, Self::Ordered, Self::Log, Self::Blocks];
}

impl FromStr for Facility {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|facility| format!("{facility:?}") == name)
            .ok_or_else(|| format!("no facility {name}"))
    }
}

/// A child's work: `FACILITY MODE SEED PATH` as text.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it works with.
    pub facility: Facility,
    /// How.
    pub mode: KillMode,
    /// Chooses its steps.
    pub seed: u64,
    /// Its file.
    pub path: PathBuf,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {} {}", self.facility, self.mode, self.seed, self.path.display())
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.splitn(4, ' ').collect();
        let [facility, mode, seed, path] = words.as_slice() else { return Err(format!("no job: {text}")) };
        let seed = seed.parse().map_err(|_| format!("no seed: {seed}"))?;
        Ok(Self { facility: facility.parse()?, mode: mode.parse()?, seed, path: path.into() })
    }
}

/// How far a thread is: its last step. A log begins again when it is rewound, which starts a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Of the log; 0 elsewhere.
    pub generation: u64,
    /// Steps are numbered from 1.
    pub number: u64,
}

/// How far each thread is; nothing is 0.
pub type Marks = [Mark; THREADS];

/// How a child says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The step has returned.
    Done,
    /// All of this thread up to the step survives a power cut.
    Synced,
    /// No step took longer than so many microseconds.
    Slowest,
}

/// To whom a child says how far a thread has come.
pub type Say<'a> = &'a (dyn Fn(Word, usize, Mark) + Sync);

/// What ended a child, and with it what must have survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A kill: what has returned is there.
    Kill,
    /// A power cut: what was durable is there.
    PowerCut,
}
