//! What may notice a change: crash scripts, each in each mode, and suites that run as they are.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use super::{Change, Copy, Kind, Place};

/// A run that needs more time of processors than this, and much more than without a change, hangs. Time on the wall says
/// nothing: the machine may have other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many times more.
const LONGER: u32 = 10;
/// A run that needs less than a part of this time for so long on the wall sleeps for ever.
const ASLEEP: Duration = Duration::from_secs(30);
/// That part.
const ASLEEP_PART: u32 = 100;
/// Suites that need no more without a change are quick.
const QUICK: Duration = Duration::from_secs(5);
/// Suites that flip every bit of something flip each so-manieth.
const BITS_EVERY: &str = "11";

/// A suite, or some tests of it.
struct Suite {
    name: &'static str,
    tests: &'static [&'static str],
    /// The environment in which they run.
    environment: Option<(&'static str, &'static str)>,
    /// What its finds count for.
    mode: &'static str,
}

/// Scripts whose recoveries are few.
const SMALL: [&str; 4] = ["first commit", "allocate and free", "allocate and free, Eventual", "mixed"];

const CUTS: &[&str] = &[
    "small_entries_survive_every_cut",
    "mixed_work_survives_every_cut",
    "long_entries_survive_every_cut",
    "the_limit_moves_beside_an_append_in_flight",
];

const fn log(domain: &'static str, mode: &'static str) -> Suite {
    Suite { name: "crash_log", tests: CUTS, environment: Some(("POBJ_LOG_DOMAIN", domain)), mode }
}

const fn suite(name: &'static str, tests: &'static [&'static str], mode: &'static str) -> Suite {
    Suite { name, tests, environment: None, mode }
}

/// Suites beside the scripts. Those of damage count for tests of what is read only.
const SUITES: [Suite; 24] = [
    log("Page", "log, file"),
    log("CacheLine", "log, lines"),
    log("Byte", "log, bytes"),
    suite("crash_share", &["shared_commits_survive_on_a_file"], "share, file"),
    suite("crash_share", &["shared_commits_survive_on_persistent_memory"], "share, lines"),
    suite("crash_share", &["shared_commits_survive_in_place"], "share, in place"),
    suite("facilities_sync", &[], "facilities, file"),
    suite("bad_bits", &["every_bit_of_the_headers"], DAMAGE),
    suite("bad_bits", &["every_bit_of_the_ring_states"], DAMAGE),
    suite("bad_bits", &["every_bit_of_the_schema"], DAMAGE),
    suite("bad_bits", &["every_bit_of_the_journal_after_a_crash"], DAMAGE),
    suite("bad_bits", &["every_bit_of_the_old_words"], DAMAGE),
    suite("bad_files", &[], DAMAGE),
    suite(UNITS, &["journal::", "log::", "media::"], DAMAGE),
    suite("unsafe_shutdown", &[], DAMAGE),
    suite("trace_oracle", &["every_store"], DAMAGE),
    suite("stale_records", &[], DAMAGE),
    suite("full_ring", &[], DAMAGE),
    suite("crash_metadata", &[], DAMAGE),
    suite("crash_in_place", &[], DAMAGE),
    suite("crash_threads", &["a_commit", "a_checkpoint", "a_sync"], DAMAGE),
    suite("crash_threads", &["commits_of_both_kinds", "group_commits"], DAMAGE),
    suite("system_calls", &[], DAMAGE),
    suite("counts", &[], DAMAGE),
];
/// Damage, what lies below the seam, and what takes several threads.
const DAMAGE: &str = "damage";

/// The unit tests, by the name of their crate. Journals made by hand are there.
const UNITS: &str = "pobj";

/// Something that may notice a change.
#[derive(Clone, Debug)]
pub struct Detector {
    /// What it is called.
    pub name: String,
    /// What its finds count for: a way to use a pool or a log.
    pub mode: String,
    /// Where it comes by.
    met: BTreeSet<usize>,
    /// What it needs of processors without a change; of suites only.
    took: Duration,
    /// Where it comes by before recovery is cut; of scripts only.
    ran: BTreeSet<usize>,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Option<(&'static str, &'static str)>,
}

/// How hard a script is tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// States at a cut.
    pub samples: usize,
    /// At every how many-th cut recovery is cut; 0 for none.
    pub every: usize,
}

/// Names of the suites, the unit tests left out.
#[must_use]
pub fn suites() -> Vec<&'static str> {
    let names: BTreeSet<_> = SUITES.iter().map(|suite| suite.name).filter(|name| *name != UNITS).collect();
    names.into_iter().collect()
}

/// All detectors, of the suites the quick ones first.
///
/// # Errors
///
/// If one finds something without a change, or cannot run.
pub fn detectors(copy: &Copy, built: &HashMap<String, PathBuf>) -> io::Result<Vec<Detector>> {
    let program = |name: &str| {
        built.get(name).cloned().ok_or_else(|| io::Error::other(format!("{name} was not built")))
    };
    let child = program("place_child")?;
    let output = Command::new(&child).args(["met", "24"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("a crash script finds something without a change"));
    }
    let mut all = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let parts: Vec<&str> = line.split(';').collect();
        let [mode, script, ran, recovered] = parts.as_slice() else { continue };
        let numbers = |text: &str| text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let ran: BTreeSet<usize> = numbers(ran);
        let met = ran.union(&numbers(recovered)).copied().collect();
        let arguments = vec![(*mode).to_owned(), (*script).to_owned()];
        let (name, mode) = (format!("script `{script}`"), (*mode).to_owned());
        let (program, took) = (child.clone(), Duration::ZERO);
        all.push(Detector { name, mode, met, took, ran, program, arguments, environment: None });
    }
    for suite in &SUITES {
        let mut detector = Detector {
            name: format!("suite `{}` {}", suite.name, suite.tests.join(" ")),
            mode: suite.mode.to_owned(),
            met: BTreeSet::new(),
            took: Duration::ZERO,
            ran: BTreeSet::new(),
            program: program(suite.name)?,
            arguments: suite.tests.iter().map(|test| (*test).to_owned()).collect(),
            environment: suite.environment,
        };
        detector.rehearse(copy)?;
        println!("{}: {} places, {:.1} s", detector.name, detector.met.len(), detector.took.as_secs_f64());
        all.push(detector);
    }
    all.sort_by_key(|detector| detector.took);
    Ok(all)
}

impl Detector {
    /// Whether it is a script, which can be tried harder.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.environment.is_none() && self.program.ends_with("place_child")
    }

    /// Whether it takes little time.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.took <= QUICK
    }

    /// Whether recoveries from it can be cut for every change.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.is_script() && SMALL.iter().any(|name| self.name == format!("script `{name}`"))
    }

    fn suite_command(&self, copy: &Copy) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(copy.tests()).args(&self.arguments).args(["--test-threads", "1", "-q"]);
        command.envs(self.environment).env("POBJ_SEED", "7").env("POBJ_CRASH_SAMPLES", "12");
        command.env("POBJ_BITS_EVERY", BITS_EVERY);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a suite without a change: it must find nothing.
    fn rehearse(&mut self, copy: &Copy) -> io::Result<()> {
        let file = copy.tests().join("places");
        let _ = fs::remove_file(&file);
        let before = processors("self", WAITED_FOR)?;
        if !self.suite_command(copy).env("POBJ_PLACES", &file).status()?.success() {
            return Err(io::Error::other(format!("{} fails without a change", self.name)));
        }
        self.took = processors("self", WAITED_FOR)?.saturating_sub(before);
        let text = fs::read_to_string(&file).unwrap_or_default();
        self.met = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(())
    }

    /// Whether it can notice a change of this place, which counts for `mode` (empty: whichever).
    #[must_use]
    pub fn concerns(&self, place: &Place, mode: &str) -> bool {
        (mode.is_empty() || self.mode == mode) && self.met.contains(&place.number)
    }

    /// Whether it notices the change, and how.
    ///
    /// # Errors
    ///
    /// If it cannot run.
    pub fn notices(
        &self,
        copy: &Copy,
        place: &Place,
        change: Change,
        effort: Effort,
    ) -> io::Result<Option<String>> {
        let is_script = self.is_script();
        if is_script && effort.every == 0 && !self.ran.contains(&place.number) {
            return Ok(None);
        }
        let mut command = match is_script {
            false => self.suite_command(copy),
            true => {
                let mut command = Command::new(&self.program);
                command.args(&self.arguments).args([effort.samples.to_string(), effort.every.to_string()]);
                command.stdout(Stdio::piped()).stderr(Stdio::null());
                command
            }
        };
        let mut child = command.env("POBJ_PLANT", format!("{}:{change:?}", place.number)).spawn()?;
        let mut stuck = Stuck::new(&child, PATIENCE.max(self.took * LONGER));
        loop {
            if let Some(status) = child.try_wait()? {
                let text = match child.stdout.take() {
                    Some(out) => io::read_to_string(out)?,
                    None => String::new(),
                };
                let text = text.trim();
                return Ok(match (status.success(), text.is_empty()) {
                    (true, true) => None,
                    (_, false) => Some(text.to_owned()),
                    (false, true) => Some(status.to_string()),
                });
            }
            if stuck.is_it()? {
                child.kill()?;
                child.wait()?;
                return Ok(Some("it hangs".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Tells a run that does not end from one that gets few turns.
struct Stuck {
    process: String,
    limit: Duration,
    /// When it was last seen to work, and what it had needed by then.
    awake: (Instant, Duration),
    looked: Instant,
}

impl Stuck {
    fn new(child: &Child, limit: Duration) -> Self {
        let now = Instant::now();
        Self { process: child.id().to_string(), limit, awake: (now, Duration::ZERO), looked: now }
    }

    /// Of a child that was not yet waited for.
    fn is_it(&mut self) -> io::Result<bool> {
        if self.looked.elapsed() < Duration::from_millis(500) {
            return Ok(false);
        }
        self.looked = Instant::now();
        let needed = processors(&self.process, OWN)? + processors(&self.process, WAITED_FOR)?;
        let (since, before) = self.awake;
        if needed - before > ASLEEP / ASLEEP_PART {
            self.awake = (self.looked, needed);
        }
        Ok(needed > self.limit || since.elapsed() > ASLEEP)
    }
}

/// Fields of `/proc/*/stat`, counted behind the name: what a process needed in its program and in the system.
const OWN: [usize; 2] = [11, 12];
/// What those of its children needed that it waited for.
const WAITED_FOR: [usize; 2] = [13, 14];

/// Time of processors that a process needed.
fn processors(process: &str, fields: [usize; 2]) -> io::Result<Duration> {
    /// In the ABI of Linux, whatever the kernel's own clock does.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name stands in brackets and may hold anything.
    let behind: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = fields.into_iter().map(|field| behind.get(field).and_then(|word| word.parse::<u32>().ok()));
    let ticks: Option<u32> = ticks.sum();
    ticks.map(|ticks| TICK * ticks).ok_or_else(|| io::Error::other("/proc says nothing of a process"))
}

/// The ways to use a pool or a log in which a place is come by. What scripts come by is left to them. Empty, for whichever,
/// where only what takes damage or threads comes by.
#[must_use]
pub fn modes(place: &Place, detectors: &[Detector]) -> BTreeSet<String> {
    let of = |scripts: bool| {
        let all = detectors.iter().filter(|known| known.mode != DAMAGE && known.is_script() == scripts);
        all.filter(|known| known.concerns(place, "")).map(|known| known.mode.clone()).collect()
    };
    let whichever =
        || detectors.iter().filter(|known| known.concerns(place, "")).map(|_| String::new()).collect();
    let found: [BTreeSet<String>; 2] = [of(true), of(false)];
    found.into_iter().find(|modes| !modes.is_empty()).unwrap_or_else(whichever)
}

/// Whether a change can make a difference at all in this way to use a pool or a log.
#[must_use]
pub fn applies(kind: Kind, change: Change, mode: &str) -> bool {
    let lines = mode.is_empty() || ["Line", "lines", "in place"].iter().any(|part| mode.contains(part));
    match (kind, change) {
        // Where caches are persistent, and on a file, nothing is flushed.
        (Kind::Flush, _) | (_, Change::Unflushed) => lines,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this process is stuck after `wait`, if it may need `limit` and was last awake so long ago.
    fn verdict(limit: Duration, asleep: Duration, needed: Duration) -> bool {
        let looked = Instant::now() - Duration::from_secs(1);
        let awake = (Instant::now() - asleep, needed);
        Stuck { process: "self".to_owned(), limit, awake, looked }.is_it().unwrap()
    }

    #[test]
    fn whoever_sleeps_or_works_too_long_is_stuck_and_nobody_else() {
        let begun = Instant::now();
        while processors("self", OWN).unwrap() == Duration::ZERO {
            assert!(begun.elapsed() < Duration::from_secs(60), "turning needs no time");
        }
        let all = processors("self", OWN).unwrap() + processors("self", WAITED_FOR).unwrap();
        assert!(!verdict(all + PATIENCE, Duration::ZERO, Duration::ZERO));
        assert!(verdict(Duration::ZERO, Duration::ZERO, Duration::ZERO), "it needed more than nothing");
        assert!(verdict(all + PATIENCE, ASLEEP * 2, all), "it did nothing meanwhile");
    }
}
