//! Damages pools and logs by the million (row R10): every source in a child process, so that a signal, an abort or a hang is a
//! finding, with the damage that caused it, and the run goes on behind it.
//!
//! `damage [--count N] [--every K] [--seed S] [--source I] [--replay FAMILY:NUMBER]`: N random damages in all, half of them
//! forged; of what goes through everything each K-th. A replay does one damage to source I in this process.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, thread};

use tests::damage::{Bench, Damage, Family, NAMES, Outcome, Plan, Source, source};
use tests::evidence::Evidence;
use tests::support::counting::Counting;
use tests::support::zoo::Fate;

#[global_allocator]
static COUNTING: Counting = Counting;

/// An opening may take so long.
const TOOK_MAX: Duration = Duration::from_secs(1);
/// A damage that takes longer, use and all, hangs.
const HANGS: Duration = Duration::from_secs(60);
/// Beside twice the file's length: what a file of no bytes may cost.
const MEMORY_MIN: usize = 64 << 10;
/// So many violations of a source are told.
const TOLD_MAX: u64 = 20;
/// A child that ends before its work is done is replaced so often.
const CHILDREN_MAX: u64 = 50;

#[derive(Clone, Debug)]
struct Arguments {
    count: u64,
    every: usize,
    seed: u64,
    source: Option<usize>,
    replay: Option<String>,
    /// For a child: where it notes how far it is.
    state: Option<String>,
}

impl Arguments {
    fn parse() -> Result<Self, String> {
        let mut parsed = Self { count: 100_000, every: 41, seed: 1, source: None, replay: None, state: None };
        let mut arguments = env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{name}: {error}"));
            match name.as_str() {
                "--count" => parsed.count = number()?,
                "--every" => parsed.every = number()? as usize,
                "--seed" => parsed.seed = number()?,
                "--source" => parsed.source = Some(number()? as usize % NAMES.len()),
                "--replay" => parsed.replay = Some(value),
                "--state" => parsed.state = Some(value),
                _ => return Err(format!("{name} is not known")),
            }
        }
        Ok(parsed)
    }

    /// Random damages of one source and one family.
    fn random(&self) -> u64 {
        self.count.div_ceil(NAMES.len() as u64 * 2)
    }
}

/// How far a child is, as it lies in a file that outlives it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct State {
    /// Family and number of the damage that is being done.
    family: u64,
    number: u64,
    refused: u64,
    lived: u64,
    slowest_us: u64,
    memory: u64,
    violations: u64,
    counts: [u64; Family::ALL.len()],
}

const WORDS: usize = 7 + Family::ALL.len();

impl State {
    fn load(file: &File) -> Self {
        let mut bytes = [0; WORDS * 8];
        file.read_exact_at(&mut bytes, 0).expect("the state is there");
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || words.next().unwrap_or(0);
        Self {
            family: next(),
            number: next(),
            refused: next(),
            lived: next(),
            slowest_us: next(),
            memory: next(),
            violations: next(),
            counts: std::array::from_fn(|_| next()),
        }
    }

    fn store(&self, file: &File) {
        let head = [
            self.family,
            self.number,
            self.refused,
            self.lived,
            self.slowest_us,
            self.memory,
            self.violations,
        ];
        let words = head.iter().chain(&self.counts);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        file.write_all_at(&bytes, 0).expect("the state can be kept");
    }

    fn violation(&mut self, what: &str) {
        self.violations += 1;
        if self.violations <= TOLD_MAX {
            println!("VIOLATION {what}");
        }
    }
}

fn main() -> ExitCode {
    let outcome = Arguments::parse().and_then(|arguments| match (&arguments.state, &arguments.replay) {
        (Some(state), _) => child(&arguments, Path::new(state)),
        (None, Some(which)) => replay(&arguments, which),
        (None, None) => parent(&arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

fn plan<'a>(arguments: &Arguments, made: &'a Source) -> Plan<'a> {
    let other = source(made.name).bytes;
    Plan::new(made, other, arguments.seed, arguments.every, arguments.random())
}

/// What is wrong with an outcome, if anything is.
fn judge(bench: &mut Bench<'_>, damage: &Damage, outcome: &Outcome) -> Option<String> {
    if let Err(wrong) = &outcome.fate {
        return Some(wrong.clone());
    }
    let (most, memory) = ((2 * outcome.len).max(MEMORY_MIN), outcome.cost.memory);
    if memory > most {
        return Some(format!("opening {} bytes took {memory} bytes of memory", outcome.len));
    }
    // The machine may have been busy with something else; a damage that is slow by itself is slow again.
    let mut took = outcome.cost.took;
    for _ in 0..3 {
        if took <= TOOK_MAX {
            return None;
        }
        took = took.min(bench.treat(damage).cost.took);
    }
    Some(format!("opening took {took:?}"))
}

/// Does all damages to one source from where the state says on.
fn child(arguments: &Arguments, path: &Path) -> Result<(), String> {
    tests::support::panics::note_panics();
    let name = NAMES[arguments.source.unwrap_or(0)];
    // A test wants to see the end of a child.
    let planted = env::var("POBJ_DAMAGE_PLANTED").ok();
    let (file, made) = (open(path)?, source(name));
    let (mut state, plan, mut bench) = (State::load(&file), plan(arguments, &made), Bench::new(&made));
    for (family, which) in (0..).zip(Family::ALL).skip(state.family as usize) {
        if state.family != family {
            (state.family, state.number) = (family, 0);
        }
        healthy(&mut bench)?;
        while state.number < plan.count(which) {
            state.store(&file);
            let damage = plan.damage(which, state.number);
            if planted.as_deref() == Some(&format!("{which:?}:{}", state.number)) {
                std::process::abort();
            }
            let outcome = bench.treat(&damage);
            if let Some(wrong) = judge(&mut bench, &damage, &outcome) {
                state.violation(&format!("{name}, {which:?}:{}: {wrong}: {damage}", state.number));
                healthy(&mut bench)?;
            }
            match outcome.fate {
                Ok(Fate::Lives(_)) => state.lived += 1,
                Ok(Fate::Refused(_)) => state.refused += 1,
                Err(_) => {}
            }
            state.counts[family as usize] += 1;
            state.slowest_us = state.slowest_us.max(outcome.cost.took.as_micros() as u64);
            state.memory = state.memory.max(outcome.cost.memory as u64);
            state.number += 1;
        }
    }
    state.family = Family::ALL.len() as u64;
    state.store(&file);
    Ok(())
}

/// What nobody has damaged must open: else the bench itself is broken, and everything would be refused.
fn healthy(bench: &mut Bench<'_>) -> Result<(), String> {
    match bench.treat(&Damage::default()).fate {
        Ok(Fate::Lives(_)) => Ok(()),
        other => Err(format!("what is not damaged does not live: {other:?}")),
    }
}

fn open(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map_err(|error| format!("{}: {error}", path.display()))
}

fn replay(arguments: &Arguments, which: &str) -> Result<(), String> {
    let known = |name: &str| Family::ALL.into_iter().find(|family| format!("{family:?}") == name);
    let parsed = which.split_once(':').and_then(|(name, number)| Some((known(name)?, number.parse().ok()?)));
    let (family, number): (Family, u64) = parsed.ok_or("--replay FAMILY:NUMBER")?;
    let made = source(NAMES[arguments.source.unwrap_or(0)]);
    let damage = plan(arguments, &made).damage(family, number);
    println!("{}: {damage}", made.name);
    let mut bench = Bench::new(&made);
    let outcome = bench.treat(&damage);
    println!("{outcome:?}");
    judge(&mut bench, &damage, &outcome).map_or(Ok(()), Err)
}

fn parent(arguments: &Arguments) -> Result<(), String> {
    println!("damage: seed {}, every {}, count {}", arguments.seed, arguments.every, arguments.count);
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = directory.path().join("state");
    let mut violations = 0;
    for (index, name) in NAMES.into_iter().enumerate() {
        if arguments.source.is_some_and(|only| only != index) {
            continue;
        }
        let begun = Instant::now();
        let state = one(arguments, index, &path)?;
        violations += state.violations;
        tell(name, &state, begun.elapsed());
    }
    if violations == 0 { Ok(()) } else { Err(format!("{violations} violations")) }
}

/// All damages to one source.
fn one(arguments: &Arguments, index: usize, path: &Path) -> Result<State, String> {
    std::fs::write(path, [0; WORDS * 8]).map_err(|error| error.to_string())?;
    let file = open(path)?;
    for _ in 0..CHILDREN_MAX {
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        let numbers = [arguments.count, arguments.every as u64, arguments.seed, index as u64];
        for (name, number) in ["--count", "--every", "--seed", "--source"].into_iter().zip(numbers) {
            command.args([name, &number.to_string()]);
        }
        let mut child = command.arg("--state").arg(path).spawn().map_err(|error| error.to_string())?;
        let ended = watch(&mut child, &file)?;
        let mut state = State::load(&file);
        if state.family == Family::ALL.len() as u64 {
            return Ok(state);
        }
        let family = Family::ALL[state.family as usize];
        let made = source(NAMES[index]);
        let damage = plan(arguments, &made).damage(family, state.number);
        state.violation(&format!("{}, {family:?}:{}: {ended}: {damage}", NAMES[index], state.number));
        state.counts[state.family as usize] += 1;
        state.number += 1;
        state.store(&file);
    }
    Err(format!("{}: {CHILDREN_MAX} children have died", NAMES[index]))
}

/// Waits for a child, and ends it if it hangs. Says how it ended.
fn watch(child: &mut Child, file: &File) -> Result<String, String> {
    let (mut last, mut since) = (State::load(file), Instant::now());
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status.signal().map_or(format!("{status}"), |signal| format!("signal {signal}")));
        }
        thread::sleep(Duration::from_millis(20));
        let now = State::load(file);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > HANGS {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            return Ok(format!("nothing for {HANGS:?}"));
        }
    }
}

fn tell(name: &str, state: &State, took: Duration) {
    let of = |families: &[Family]| -> u64 {
        let each = Family::ALL.iter().zip(state.counts);
        each.filter(|(family, _)| families.contains(family)).map(|(_, count)| count).sum()
    };
    Evidence::of("R10", name)
        .with("truncations", of(&[Family::Cuts]))
        .with("flips", of(&[Family::Flips, Family::ObjectFlips]))
        .with("pointers and lengths", of(&[Family::Links, Family::Lengths]))
        .with("foreign and grafted", of(&[Family::Foreign, Family::Grafts]))
        .with("random damages", of(&[Family::Random]))
        .with("forged", of(&[Family::ForgedFlips, Family::Lies, Family::ForgedRandom]))
        .with("refused", state.refused)
        .with("opened", state.lived)
        .with("slowest open in us", state.slowest_us)
        .with("most memory in bytes", state.memory)
        .violations(state.violations)
        .tell(took);
}
