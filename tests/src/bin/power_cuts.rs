//! Power cuts under real file systems: children work on pools, stores and logs in a loop-mounted ext4 and XFS; the file
//! system is shut down under them at a random moment without a flush of its journal, which is what a power cut leaves; it
//! is mounted again, its own recovery runs, and each file must hold what was promised.
//!
//! `power_cuts [--cuts N] [--fs ext4|xfs] [--planted]`. A planted fault takes commits that are not durable yet for durable
//! ones: the run succeeds only if that is noticed. `POBJ_SEED` repeats the moments. Needs root and loop devices; says
//! `skipped` where they are missing.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use tests::evidence::Evidence;
use tests::kill::lane::{Lane, life, sum};
use tests::kill::{End, Facility, server};
use tests::mount::{FileSystem, Mount, missing};
use tests::support::{Random, quick_directory, seed};
use tests::workload::KillMode;

/// Files that are worked on at the same time.
const LANES: usize = 3;
/// A cut comes so late at most.
const LONGEST: Duration = Duration::from_millis(120);
/// Cuts of each file system without `--cuts`.
const CUTS: u64 = 250;

/// What the program is asked for.
#[derive(Clone, Copy)]
struct Plan {
    cuts: u64,
    only: Option<FileSystem>,
    planted: bool,
}

impl Plan {
    fn of(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self { cuts: CUTS, only: None, planted: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} takes a value"));
            match argument.as_str() {
                "--cuts" => plan.cuts = value()?.parse().map_err(|_| "--cuts takes a number")?,
                "--fs" => plan.only = Some(value()?.parse()?),
                "--planted" => plan.planted = true,
                _ => return Err("power_cuts [--cuts N] [--fs ext4|xfs] [--planted]".to_owned()),
            }
        }
        Ok(plan)
    }

    fn file_systems(self) -> Vec<FileSystem> {
        FileSystem::ALL.into_iter().filter(|one| self.only.is_none_or(|only| only == *one)).collect()
    }
}

/// What was done.
#[derive(Clone, Copy, Default)]
struct Count {
    cuts: u64,
    checks: u64,
    unborn: u64,
    files: u64,
    steps: u64,
    errors: u64,
    buses: u64,
    most_used: u64,
}

/// What a fresh file is, and how it is written.
fn kind(random: &mut Random, planted: bool) -> (Facility, KillMode) {
    let facility = Facility::ALL[random.below(Facility::ALL.len() as u64) as usize];
    let eventual = planted || random.below(3) == 0;
    (facility, if eventual { KillMode::Eventual } else { KillMode::Immediate })
}

/// One file system, and the files in it.
struct Bench {
    mount: Mount,
    lanes: Vec<Lane>,
    random: Random,
    planted: bool,
    count: Count,
}

impl Bench {
    fn new(file_system: FileSystem, directory: &Path, seed: u64, planted: bool) -> Result<Self, String> {
        let mount = Mount::make(file_system, directory)?;
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let mut random = Random(seed);
        let mut lanes = Vec::new();
        for lane in 0..LANES {
            let inside = mount.path().join(format!("lane{lane}"));
            fs::create_dir(&inside).map_err(|error| error.to_string())?;
            let (facility, mode) = kind(&mut random, planted);
            lanes.push(Lane::new(&program, &inside, facility, mode, seed ^ lane as u64));
        }
        mount.sync()?;
        Ok(Self { mount, lanes, random, planted, count: Count { files: LANES as u64, ..Count::default() } })
    }

    /// Works, cuts the power, mounts again.
    fn cut(&mut self) -> Result<(), String> {
        for lane in &mut self.lanes {
            if self.random.below(6) == 0 {
                self.count.steps += sum(&lane.known);
                self.count.files += 1;
                let (facility, mode) = kind(&mut self.random, self.planted);
                lane.renew(facility, mode);
            }
            lane.begin();
        }
        let mut ended = vec![None; LANES];
        if self.random.below(2) == 0 {
            ended[0] = self.lanes[0].wait_for_a_step();
        }
        std::thread::sleep(life(&mut self.random, LONGEST));
        for (lane, ended) in self.lanes.iter_mut().zip(&mut ended) {
            *ended = ended.take().or_else(|| lane.listen(Duration::ZERO));
            if ended.is_some() {
                return Err(format!("{}: the child ended before the cut: {ended:?}", lane.job));
            }
        }
        self.mount.cut()?;
        self.count.cuts += 1;
        // Half of the children live on, and get errors.
        let linger = Duration::from_micros(if self.random.below(2) == 0 { 3000 } else { 0 });
        for (lane, ended) in self.lanes.iter_mut().zip(&mut ended) {
            let ended = ended.take().or_else(|| lane.listen(linger)).unwrap_or_else(|| lane.kill());
            match (ended.status.code(), &ended.error) {
                (_, None) if ended.by_kill() => {}
                // Told, and on its way out when it was killed.
                (Some(1) | None, Some(_)) => self.count.errors += 1,
                // A page that is not in memory and cannot be read any more.
                (None, None)
                    if std::os::unix::process::ExitStatusExt::signal(&ended.status) == Some(libc::SIGBUS) =>
                {
                    self.count.buses += 1;
                }
                _ => return Err(format!("{}: the child's answer to the cut: {ended:?}", lane.job)),
            }
        }
        self.mount.again()
    }

    /// Looks at the files. What is unread is recovered by the next child, and cut in turn.
    fn check(&mut self) -> Result<(), String> {
        // What returned is taken for durable if a fault is planted.
        let end = if self.planted { End::Kill } else { End::PowerCut };
        for lane in &mut self.lanes {
            if self.random.below(4) == 0 {
                continue;
            }
            match lane.check(end)? {
                true => self.count.checks += 1,
                false => self.count.unborn += 1,
            }
        }
        Ok(())
    }

    fn run(&mut self, cuts: u64) -> Result<(), String> {
        for cut in 0..cuts {
            self.cut().and_then(|()| self.check()).map_err(|wrong| format!("cut {cut}: {wrong}"))?;
            self.count.most_used = self.mount.used()?.max(self.count.most_used);
        }
        Ok(())
    }
}

/// Cuts one file system; says whether all was as it should be.
fn try_one(file_system: FileSystem, plan: Plan, seed: u64) -> bool {
    let begun = Instant::now();
    let directory = quick_directory();
    let mut bench = match Bench::new(file_system, directory.path(), seed, plan.planted) {
        Ok(bench) => bench,
        Err(wrong) => {
            println!("{file_system:?}: {wrong}");
            return false;
        }
    };
    let outcome = bench.run(plan.cuts);
    let Count { cuts, checks, unborn, files, steps, errors, buses, most_used } = bench.count;
    let steps = steps + bench.lanes.iter().map(|lane| sum(&lane.known)).sum::<u64>();
    drop(bench);
    if plan.planted {
        println!("{file_system:?}, planted fault: {outcome:?} after {cuts} cuts");
        return outcome.is_err_and(|wrong| wrong.contains("was promised"));
    }
    let evidence = Evidence::of("R9", format!("power cuts under {file_system:?} by its shutdown request"))
        .with("cuts", cuts)
        .with("files opened and compared", checks)
        .with("files that did not exist yet", unborn)
        .with("files", files)
        .with("steps found", steps)
        .with("children that met the error", errors)
        .with("children that met a page that could not be read", buses)
        .with("MiB in use at most", most_used >> 20)
        .violations(u64::from(outcome.is_err()));
    match &outcome {
        Ok(()) => evidence,
        Err(wrong) => evidence.note(format!("POBJ_SEED={seed}: {wrong}")),
    }
    .tell(begun.elapsed());
    outcome.is_ok()
}

fn main() -> ExitCode {
    if server::served() {
        return ExitCode::SUCCESS;
    }
    let plan = match Plan::of(env::args().skip(1)) {
        Ok(plan) => plan,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(reason) = missing() {
        println!("skipped: power cuts: {reason}");
        return ExitCode::SUCCESS;
    }
    let seed = seed("power cuts");
    let fine = std::thread::scope(|scope| {
        let tries = plan.file_systems().into_iter().map(|one| scope.spawn(move || try_one(one, plan, seed)));
        let tries: Vec<_> = tries.collect();
        tries.into_iter().map(|one| one.join().unwrap_or(false)).filter(|fine| !fine).count() == 0
    });
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
