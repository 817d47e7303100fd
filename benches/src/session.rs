//! Sessions: a contender's turn of a round, each in a process of its own.
//!
//! A process that has just begun has no warm allocator, no mapped page and no memory that somebody else used before, so
//! that what it takes to start and the most memory it needs are the contender's. The parent makes the files, then starts
//! a session for each contender in turn, another one first in each round, and waits for it; a session prints its
//! [`Samples`] as JSON. A round's value is the median of a session's values, a figure the median of the rounds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::machine::{first_number, line_of};
use crate::results::{Figure, Subject};
use crate::timing::median;

/// What a session measured: for each measure a unit, and one or more values.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Samples(BTreeMap<String, (String, Vec<f64>)>);

impl Samples {
    /// Adds values.
    pub fn push(&mut self, measure: &str, unit: &str, values: impl IntoIterator<Item = f64>) {
        self.0.entry(measure.into()).or_insert_with(|| (unit.into(), Vec::new())).1.extend(values);
    }

    /// Adds the most memory that this process has had so far, in MiB, pages of mapped files included.
    pub fn push_peak(&mut self, measure: &str) {
        self.push(measure, "MiB", status_mib("VmHWM:"));
    }

    /// Adds the memory that is this process's own now, in MiB: what the kernel cannot drop and read again.
    pub fn push_own(&mut self, measure: &str) {
        self.push(measure, "MiB", status_mib("RssAnon:"));
    }
}

/// A line of this process's status, which is in KiB, in MiB.
fn status_mib(name: &str) -> Option<f64> {
    line_of("/proc/self/status", name)
        .and_then(|line| first_number(&line))
        .map(|kibibytes| kibibytes / 1024.0)
}

/// Who has sessions.
#[derive(Clone, Debug)]
pub struct Job {
    /// See [`Figure::part`].
    pub part: &'static str,
    /// See [`Figure::contender`].
    pub contender: &'static str,
    /// See [`Figure::medium`].
    pub medium: &'static str,
    /// Number of records.
    pub records: usize,
    /// Where its file, or its directory, is.
    pub path: PathBuf,
    /// What is known without a session: its measure, unit and value.
    pub known: Vec<(&'static str, &'static str, f64)>,
}

/// What a session is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Order {
    /// The comparison.
    #[arg(long)]
    pub part: String,
    /// The contender's name.
    #[arg(long)]
    pub contender: String,
    /// The medium.
    #[arg(long)]
    pub medium: String,
    /// Number of records.
    #[arg(long)]
    pub records: usize,
    /// Number of the round.
    #[arg(long)]
    pub round: usize,
    /// Where its file, or its directory, is.
    #[arg(long)]
    pub path: PathBuf,
    /// Smoke size.
    #[arg(long)]
    pub quick: bool,
}

/// Runs `rounds` rounds of sessions, and gives the figures of the jobs in their order.
///
/// # Errors
///
/// If a session fails.
pub fn rounds(jobs: &[Job], rounds: usize, quick: bool) -> Result<Vec<Figure>> {
    let mut collected: Vec<BTreeMap<String, (String, Vec<f64>)>> = vec![BTreeMap::new(); jobs.len()];
    for round in 0..rounds {
        for step in 0..jobs.len() {
            let which = (round + step) % jobs.len();
            let job = &jobs[which];
            let samples = session(job, round, quick).map_err(|error| {
                format!("{}, {} records on {}: {error}", job.contender, job.records, job.medium)
            })?;
            for (measure, (unit, values)) in samples.0 {
                collected[which].entry(measure).or_insert((unit, Vec::new())).1.push(median(values));
            }
        }
    }
    let mut figures = Vec::new();
    for (job, collected) in jobs.iter().zip(collected) {
        let of = Subject {
            part: job.part,
            contender: job.contender,
            medium: job.medium,
            records: job.records as u64,
        };
        for (measure, unit, value) in &job.known {
            figures.push(Figure::new(&of, measure, unit, vec![*value]));
        }
        for (measure, (unit, values)) in collected {
            figures.push(Figure::new(&of, &measure, &unit, values));
        }
    }
    Ok(figures)
}

/// One session, in a process of its own.
fn session(job: &Job, round: usize, quick: bool) -> Result<Samples> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("session");
    command.args(["--part", job.part, "--contender", job.contender, "--medium", job.medium]);
    command.args(["--records", &job.records.to_string(), "--round", &round.to_string(), "--path"]);
    command.arg(&job.path);
    if quick {
        command.arg("--quick");
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", output.status, said.trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Waits until the file system of `path` has nothing left to write that others have left behind.
///
/// # Errors
///
/// If its directory cannot be opened or synced.
pub fn calm(path: &Path) -> Result<()> {
    let directory = std::fs::File::open(path.parent().ok_or("a file has no directory")?)?;
    Ok(rustix::fs::syncfs(&directory)?)
}

/// MiB that a file, or the files in a directory, take on the medium.
///
/// # Errors
///
/// If they cannot be asked.
pub fn mib_on_medium(path: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let of =
        |path: &Path| -> Result<f64> { Ok(std::fs::metadata(path)?.blocks() as f64 * 512.0 / 1048576.0) };
    let mut mib = 0.0;
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            mib += mib_on_medium(&entry?.path())?;
        }
        return Ok(mib);
    }
    mib += of(path)?;
    // What SQLite has beside its file.
    for suffix in ["-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{suffix}", path.display()));
        mib += if beside.exists() { of(&beside)? } else { 0.0 };
    }
    Ok(mib)
}

/// Removes what [`mib_on_medium`] counts.
///
/// # Errors
///
/// If it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    } else {
        std::fs::remove_file(path)?;
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }
    Ok(())
}
