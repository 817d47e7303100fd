//! [`Lane`]: one file, the children that work on it one after another, and what is known of it; and the loop of kills.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::server::{Ended, Server};
use super::{End, Facility, Job, Known};
use crate::evidence::Evidence;
use crate::support::Random;
use crate::workload::KillMode;

/// A child that does nothing for so long is killed as any other.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file, who works on it, and what is known of it.
#[derive(Debug)]
pub struct Lane {
    /// What the next child does.
    pub job: Job,
    /// What the file must hold.
    pub known: Known,
    server: Server,
    random: Random,
    /// Files so far.
    pub files: u64,
}

impl Lane {
    /// A lane whose file is alone in `directory`. `program` calls [`served`](super::server::served).
    #[must_use]
    pub fn new(program: &Path, directory: &Path, facility: Facility, mode: KillMode, seed: u64) -> Self {
        let job = Job { facility, mode, seed, path: directory.join("file0.pobj") };
        let server = Server::start(program);
        Self { job, known: Known::default(), server, random: Random(seed), files: 0 }
    }

    /// Goes on with a file of another name. Removes the old one, and whatever creations that were killed have left; a power cut
    /// may bring them back.
    ///
    /// # Panics
    ///
    /// If the directory cannot be changed.
    pub fn renew(&mut self, facility: Facility, mode: KillMode) {
        let directory = self.job.path.parent().expect("a file in a directory").to_owned();
        for entry in fs::read_dir(&directory).expect("the directory can be read") {
            fs::remove_file(entry.expect("an entry").path()).expect("the file can be removed");
        }
        self.files += 1;
        let path = directory.join(format!("file{}.pobj", self.files));
        self.job = Job { facility, mode, path, seed: self.job.seed };
        self.known = Known::default();
    }

    /// Starts a child.
    pub fn begin(&mut self) {
        self.server.begin(&self.job, &mut self.known);
    }

    /// Listens to it for some time. How it ended, if it did.
    pub fn listen(&mut self, time: Duration) -> Option<Ended> {
        self.server.listen(&mut self.known, time)
    }

    /// Listens until it has done something, so that a slow disk does not end all lives in the file's creation. How it ended,
    /// if it did.
    pub fn wait_for_a_step(&mut self) -> Option<Ended> {
        let (begun, before) = (Instant::now(), self.known.done);
        while self.known.done == before && begun.elapsed() < PATIENCE {
            if let Some(ended) = self.listen(Duration::from_micros(500)) {
                return Some(ended);
            }
        }
        None
    }

    /// Kills it.
    pub fn kill(&mut self) -> Ended {
        self.server.kill(&mut self.known)
    }

    /// Looks at the file, a quarter of the time in another way than the child worked. See [`Known::check`].
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn check(&mut self, end: End) -> Result<bool, String> {
        // Whatever was ended, either way of opening must recover it.
        let other = self.random.below(4) == 0;
        let opened_as = if other { KillMode::Immediate } else { self.job.mode };
        let place = format!("{}, opened as {opened_as:?}, {end:?}", self.job);
        self.known.check(&self.job, opened_as, end).map_err(|wrong| format!("{place}: {wrong}"))
    }
}

/// A random life of a child: most die young, while they open, recover or create; some live for many commits.
#[must_use]
pub fn life(random: &mut Random, longest: Duration) -> Duration {
    let longest = longest.as_micros() as u64;
    let at_most = match random.below(8) {
        0..=3 => longest / 16,
        4..=6 => longest / 6,
        _ => longest,
    };
    Duration::from_micros(random.below(at_most.max(1)))
}

/// What a loop of kills has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Children killed.
    pub kills: u64,
    /// Times that the file was opened and compared.
    pub checks: u64,
    /// Children that were killed before the file existed.
    pub unborn: u64,
    /// Files.
    pub files: u64,
    /// Steps that were promised, and found.
    pub steps: u64,
}

/// Kills children over one file after another and compares.
///
/// # Errors
///
/// The first thing that is wrong, and how to repeat it.
pub fn kill_often(lane: &mut Lane, kills: u64, longest: Duration) -> Result<Count, String> {
    let mut random = Random(lane.job.seed ^ 0x4B49_4C4C);
    let mut count = Count::default();
    for kill in 0..kills {
        if kill > 0 && random.below(8) == 0 {
            // A fresh file, so that creation is killed as well.
            count.steps += sum(&lane.known);
            lane.renew(lane.job.facility, lane.job.mode);
        }
        lane.begin();
        // Half of the lives are counted from the first step on.
        let ended = if random.below(2) == 0 { lane.wait_for_a_step() } else { None };
        let ended = ended.or_else(|| lane.listen(life(&mut random, longest)));
        let ended = ended.unwrap_or_else(|| lane.kill());
        let place = || format!("POBJ_SEED={}, kill {kill}", lane.job.seed);
        if !ended.by_kill() {
            return Err(format!("{}: the child ended by itself: {ended:?}", place()));
        }
        count.kills += 1;
        if random.below(3) == 0 {
            continue; // The next child recovers, and is killed in turn.
        }
        match lane
            .check(End::Kill)
            .map_err(|wrong| format!("POBJ_SEED={}, kill {kill}: {wrong}", lane.job.seed))?
        {
            true => count.checks += 1,
            false => count.unborn += 1,
        }
    }
    count.steps += sum(&lane.known);
    count.files = lane.files + 1;
    Ok(count)
}

/// Steps that are known to be in the file.
#[must_use]
pub fn sum(known: &Known) -> u64 {
    known.done.iter().map(|mark| mark.number).sum()
}

impl Count {
    /// Tells what was done as evidence of a row.
    pub fn tell(&self, row: &str, what: impl fmt::Display, begun: Instant, violations: u64) {
        Evidence::of(row, what.to_string())
            .with("kills", self.kills)
            .with("files opened and compared", self.checks)
            .with("kills before the file existed", self.unborn)
            .with("files", self.files)
            .with("steps promised and found", self.steps)
            .violations(violations)
            .tell(begun.elapsed());
    }
}
