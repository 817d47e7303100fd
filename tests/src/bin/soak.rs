//! A mixed load for as long as there is time: a pool in exclusive and in shared transactions, stores of both engines, a log,
//! blocks; on a disk and on memory that is said to be persistent; children that grow their files, take snapshots, ask for
//! checkpoints, and are killed at random moments. Each file is opened with validation after each kill, and compared with its
//! model.
//!
//! `soak [--minutes N] [--threads N] [--directory D]`: a thread has one child at a time. `POBJ_SEED` repeats the moments.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tests::evidence::{Evidence, grouped};
use tests::kill::lane::{Lane, life, sum};
use tests::kill::{End, Facility, server};
use tests::support::{Random, quick_directory, seed};
use tests::workload::KillMode;

/// A child lives at most this long.
const LONGEST: Duration = Duration::from_millis(3000);
/// A file is followed by another one when it is so long.
const LONG: u64 = 24 << 20;
/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(20);

/// What is asked for.
struct Plan {
    time: Duration,
    threads: u64,
    directory: PathBuf,
}

impl Plan {
    fn of(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut plan = Self { time: Duration::from_secs(60), threads: 2, directory: std::env::temp_dir() };
        while let Some(argument) = arguments.next() {
            let value = arguments.next()?;
            match argument.as_str() {
                "--minutes" => plan.time = Duration::from_secs(60 * value.parse::<u64>().ok()?),
                "--threads" => plan.threads = value.parse().ok().filter(|count| (1..=8).contains(count))?,
                "--directory" => plan.directory = value.into(),
                _ => return None,
            }
        }
        Some(plan)
    }
}

/// What was done.
#[derive(Clone, Copy, Default)]
struct Count {
    kills: u64,
    reopenings: u64,
    files: u64,
    /// Steps in files that are gone.
    steps: u64,
    bytes: u64,
    full: u64,
    slowest_on_disk: u64,
    slowest_in_memory: u64,
}

fn in_memory(mode: KillMode) -> bool {
    matches!(mode, KillMode::Line | KillMode::InPlace)
}

/// All kinds of file; a log has no image, and so no mode in place.
fn kinds() -> Vec<(Facility, KillMode)> {
    let all = Facility::ALL.into_iter().flat_map(|facility| KillMode::ALL.map(|mode| (facility, mode)));
    all.filter(|kind| *kind != (Facility::Log, KillMode::InPlace)).collect()
}

/// One child: it works, is killed, and its file is looked at.
fn round(lane: &mut Lane, random: &mut Random, count: &Mutex<Count>) -> Result<(), String> {
    lane.begin();
    let ended = if random.below(2) == 0 { lane.wait_for_a_step() } else { None };
    let ended = ended.or_else(|| lane.listen(life(random, LONGEST))).unwrap_or_else(|| lane.kill());
    // Whoever is fast fills its pool.
    let full = ended.error.as_ref().is_some_and(|error| error.contains("full"));
    if !ended.by_kill() && !full {
        return Err(format!("{}: the child ended by itself: {ended:?}", lane.job));
    }
    let there = lane.check(End::Kill)?;
    let len = if there { fs::metadata(&lane.job.path).map_err(|error| error.to_string())?.len() } else { 0 };
    let mut count = count.lock().unwrap_or_else(|poison| poison.into_inner());
    count.kills += u64::from(!full);
    count.full += u64::from(full);
    count.reopenings += u64::from(there);
    count.bytes += len;
    let slowest =
        if in_memory(lane.job.mode) { &mut count.slowest_in_memory } else { &mut count.slowest_on_disk };
    *slowest = lane.known.slowest_micros.max(*slowest);
    if full || len > LONG || random.below(40) == 0 {
        count.steps += sum(&lane.known);
        count.files += 1;
        lane.renew(lane.job.facility, lane.job.mode);
    }
    Ok(())
}

/// Rounds with every `threads`th kind of file, until time is over or something is wrong.
fn work(plan: &Plan, thread: u64, seed: u64, until: Instant, count: &Mutex<Count>) -> Result<(), String> {
    let (memory, disk) = (quick_directory(), tempfile::tempdir_in(&plan.directory));
    let disk = disk.map_err(|error| format!("{}: {error}", plan.directory.display()))?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut random = Random(seed ^ thread);
    let mut lanes = Vec::new();
    for (number, (facility, mode)) in kinds().into_iter().enumerate() {
        if number as u64 % plan.threads != thread {
            continue;
        }
        let directory: &Path = if in_memory(mode) { memory.path() } else { disk.path() };
        let inside = directory.join(format!("{facility:?}-{mode:?}"));
        fs::create_dir(&inside).map_err(|error| error.to_string())?;
        lanes.push(Lane::new(&program, &inside, facility, mode, seed ^ number as u64));
    }
    while Instant::now() < until {
        let lane = random.below(lanes.len() as u64) as usize;
        round(&mut lanes[lane], &mut random, count).map_err(|wrong| format!("POBJ_SEED={seed}: {wrong}"))?;
    }
    let mut count = count.lock().unwrap_or_else(|poison| poison.into_inner());
    count.files += lanes.len() as u64;
    count.steps += lanes.iter().map(|lane| sum(&lane.known)).sum::<u64>();
    Ok(())
}

fn progress(count: &Mutex<Count>, begun: Instant, until: Instant) {
    let mut next = Instant::now() + PROGRESS;
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
        if Instant::now() >= next {
            next += PROGRESS;
            let Count { kills, reopenings, bytes, .. } =
                *count.lock().unwrap_or_else(|poison| poison.into_inner());
            println!(
                "{} s: {} kills, {} reopenings of {} MiB",
                begun.elapsed().as_secs(),
                grouped(kills),
                grouped(reopenings),
                grouped(bytes >> 20)
            );
        }
    }
}

fn main() -> ExitCode {
    if server::served() {
        return ExitCode::SUCCESS;
    }
    let Some(plan) = Plan::of(std::env::args().skip(1)) else {
        eprintln!("soak [--minutes N] [--threads N] [--directory D]");
        return ExitCode::FAILURE;
    };
    let (seed, begun, count) = (seed("soak"), Instant::now(), Mutex::new(Count::default()));
    let until = begun + plan.time;
    let outcomes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let (plan, count) = (&plan, &count);
        scope.spawn(move || progress(count, begun, until));
        let threads =
            (0..plan.threads).map(|thread| scope.spawn(move || work(plan, thread, seed, until, count)));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())))
            .collect()
    });
    let wrong: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    let count = *count.lock().unwrap_or_else(|poison| poison.into_inner());
    Evidence::of("R8", "soak: a mixed load with kills")
        .with("minutes", plan.time.as_secs() / 60)
        .with("steps promised and found", count.steps)
        .with("kills", count.kills)
        .with("reopenings", count.reopenings)
        .with("pools that were filled", count.full)
        .with("files", count.files)
        .with("MiB opened", count.bytes >> 20)
        .with("us for the slowest step on the disk", count.slowest_on_disk)
        .with("us for the slowest in memory", count.slowest_in_memory)
        .violations(wrong.len() as u64)
        .note(wrong.join("; "))
        .tell(begun.elapsed());
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
