//! Persistent memory in a guest: `guest [--cycles N] [--no-suites]`. Runs suites and kills on ext4 and XFS mounted by DAX, then
//! kills the whole guest again and again and looks what is there; then the same library on memory that the kernel does not
//! grant `MAP_SYNC` for. See `tests::guest`.
//!
//! Needs QEMU for x86-64, and a kernel as a package unpacks it, in `target/guest/kernel` or where `POBJ_GUEST_KERNEL` says:
//! `tests/guest/prepare` gets both. Kernels are interpreted unless `POBJ_GUEST_ACCEL=kvm`. `POBJ_SEED` repeats the moments.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use tests::evidence::Evidence;
use tests::guest::host::{Cycles, Memory, Place};
use tests::guest::init;
use tests::kill::server;
use tests::support::{Random, quick_directory, seed};

/// Guests killed without `--cycles`.
const CYCLES: u64 = 20;

/// What a guest says of the media, its suites and its kills.
#[derive(Default)]
struct Heard {
    facts: Vec<String>,
    suites: u64,
    tests: u64,
    failed: u64,
    kills: u64,
    checks: u64,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        println!("   {line}");
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["fact", ref fact @ ..] => self.facts.push(fact.join(" ")),
            ["killed", kills, checks, ..] => {
                self.kills += kills.parse().unwrap_or(0);
                self.checks += checks.parse().unwrap_or(0);
            }
            ["suite", fine, ..] => {
                self.suites += 1;
                self.failed += u64::from(fine != "1");
                let passed =
                    words.iter().zip(words.iter().skip(1)).find(|(_, next)| next.starts_with("passed"));
                self.tests += passed.and_then(|(count, _)| count.parse().ok()).unwrap_or(0);
            }
            _ => {}
        }
    }

    /// How many file systems say so.
    fn count(&self, fact: &str) -> u64 {
        self.facts.iter().filter(|known| known.ends_with(fact)).count() as u64
    }
}

/// Fresh file systems by DAX: what the kernel grants, the suites, kills of processes.
fn on_persistent_memory(place: &Place, seed: u64) -> Result<(), String> {
    let (begun, mut heard) = (Instant::now(), Heard::default());
    let (guest, first) = place.start_speaking(Memory::Nvdimm, true, &format!("first {seed}"))?;
    let outcome = guest.hear(first, |line| heard.hear(line));
    let (granted, domains) = (heard.count("map_sync 1"), heard.count("domain CacheLine"));
    let wrong = u64::from(outcome.is_err()) + heard.failed + (2 - granted) + (2 - domains);
    Evidence::of("R9", "ext4 and XFS by DAX on an NVDIMM: suites, and kills of processes")
        .with("file systems where the kernel grants MAP_SYNC", granted)
        .with("where pobj finds the domain of cache lines by itself", domains)
        .with("suites run", heard.suites)
        .with("tests passed", heard.tests)
        .with("kills", heard.kills)
        .with("files opened and compared", heard.checks)
        .violations(wrong)
        .note("in a guest of QEMU")
        .tell(begun.elapsed());
    outcome?;
    if wrong == 0 { Ok(()) } else { Err(format!("{:?}", heard.facts)) }
}

/// Kills of the whole guest.
fn killed_as_a_whole(place: &Place, cycles: u64, seed: u64) -> Result<(), String> {
    let (begun, mut random, mut done) = (Instant::now(), Random(seed), Cycles::default());
    let mut outcome = Ok(());
    for cycle in 0..=cycles {
        outcome = done.one(place, &mut random, seed, cycle == cycles);
        println!("   cycle {cycle}: {} steps, {outcome:?}", done.steps());
        if outcome.is_err() {
            break;
        }
    }
    Evidence::of("R9", "ext4 and XFS by DAX on an NVDIMM: kills of the whole guest")
        .with("guests killed", done.kills)
        .with("of them before they worked again", done.early)
        .with("files opened and compared", done.checks)
        .with("steps promised and found", done.steps())
        .violations(u64::from(outcome.is_err()))
        .note(
            "a killed guest loses what its kernel held, and no store: the processor's caches are the host's",
        )
        .tell(begun.elapsed());
    outcome
}

/// Memory whose flushes are requests: the library must take it for a file.
fn on_virtio(place: &Place, seed: u64) -> Result<(), String> {
    let (begun, mut heard) = (Instant::now(), Heard::default());
    let (guest, first) = place.start_speaking(Memory::Virtio, true, &format!("virtio {seed}"))?;
    let outcome = guest.hear(first, |line| heard.hear(line));
    let (refused, pages) = (heard.count("map_sync 0"), heard.count("domain Page"));
    let wrong = u64::from(outcome.is_err()) + (2 - refused) + (2 - pages);
    Evidence::of("R9", "ext4 and XFS by DAX on virtio-pmem: the fallback to durable writes")
        .with("file systems where the kernel refuses MAP_SYNC", refused)
        .with("where pobj finds the domain of pages by itself", pages)
        .with("kills", heard.kills)
        .with("files opened and compared", heard.checks)
        .violations(wrong)
        .note("in a guest of QEMU")
        .tell(begun.elapsed());
    outcome?;
    if wrong == 0 { Ok(()) } else { Err(format!("{:?}", heard.facts)) }
}

fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut cycles, mut suites) = (CYCLES, true);
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--no-suites" => suites = false,
            "--cycles" => cycles = words.next().and_then(|count| count.parse().ok()).ok_or("--cycles N")?,
            _ => return Err("guest [--cycles N] [--no-suites]".to_owned()),
        }
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let kernel = std::env::var_os("POBJ_GUEST_KERNEL");
    let kernel = kernel.map_or_else(|| root.join("target/guest/kernel"), Into::into);
    let work = quick_directory();
    let place = Place::make(root, &kernel, work.path(), suites)?;
    let seed = seed("guest");
    on_persistent_memory(&place, seed)?;
    killed_as_a_whole(&place, cycles, seed)?;
    place.clear();
    on_virtio(&place, seed)
}

fn main() -> ExitCode {
    if server::served() {
        return ExitCode::SUCCESS;
    }
    if init::is_guest() {
        init::play();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}
