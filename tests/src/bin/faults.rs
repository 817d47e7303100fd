//! Runs every scenario of `tests::faults` with every fault: each system call that a run makes fails in turn, with each
//! error, once and from then on; each request of memory is refused; signals interrupt. Prints evidence for row R7.
//!
//! `faults [NAME]` runs the scenarios whose name holds this; `faults planted` only those that have a bug on purpose. `POBJ_FAULTS=all` leaves nothing out; without it, of the
//! further errors of a call only some are tried, and some requests of memory.

use std::process::ExitCode;
use std::time::Instant;

use tests::evidence::Evidence;
use tests::faults::inject::{CALLS, Fault, lacks};
use tests::faults::memory::Refusing;
use tests::faults::{Ended, Place, Scenario, Trouble, planted, scenarios};
use tests::support::quick_directory;

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// Of the requests of memory in a run, so many are refused.
const REQUESTS: u64 = 4;
/// Of the further errors of a call, and of memory, one in so many is tried.
const SAMPLE: u64 = 31;
const WRONG_MAX: usize = 20;

#[derive(Default)]
struct Tally {
    runs: u64,
    fired: u64,
    failed: u64,
    aborted: u64,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, outcome: Result<Ended, String>) {
        self.runs += 1;
        match outcome {
            Ok(Ended { fired, failed, aborted }) => {
                self.fired += u64::from(fired);
                self.failed += u64::from(failed);
                self.aborted += u64::from(aborted);
            }
            Err(wrong) => {
                if self.wrong.len() < WRONG_MAX {
                    println!("WRONG: {wrong}");
                }
                self.wrong.push(wrong);
            }
        }
    }

    fn evidence(&self, what: &str) -> Evidence {
        let ended_well = self.fired.saturating_sub(self.failed + self.aborted);
        Evidence::of("R7", what)
            .with("runs", self.runs)
            .with("faults met", self.fired)
            .with("became errors", self.failed)
            .with("went unnoticed", ended_well)
            .violations(self.wrong.len() as u64)
    }
}

fn main() -> ExitCode {
    if let Some(reason) = lacks() {
        println!("R7 skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let all = std::env::var("POBJ_FAULTS").is_ok_and(|size| size == "all");
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let begun = Instant::now();
    let place = Place::new(quick_directory());
    if wanted.is_empty() || wanted == "planted" {
        let missed = planted::not_found(&place);
        if !missed.is_empty() {
            println!("bugs that were planted and not found: {missed:?}");
            return ExitCode::FAILURE;
        }
        if wanted == "planted" {
            println!("all bugs were found");
            return ExitCode::SUCCESS;
        }
    }
    let mut scenarios = scenarios::all();
    scenarios.retain(|scenario| scenario.name().contains(&wanted));
    let (mut calls, mut old, mut memory, mut signals) = <(Tally, Tally, Tally, Tally)>::default();
    for scenario in &scenarios {
        let begun = Instant::now();
        if let Err(wrong) = scenario.prepare(&place) {
            calls.add(Err(wrong));
            continue;
        }
        let before = calls.runs + old.runs + memory.runs + signals.runs;
        fail_calls(&**scenario, &place, false, all, &mut calls);
        fail_calls(&**scenario, &place, true, all, &mut old);
        refuse_memory(&**scenario, &place, all, &mut memory);
        for micros in [50, 200, 1000] {
            let outcome = scenario.run(&place, Trouble::Signals(micros), false);
            signals.add(outcome.map(|(ended, _)| ended));
        }
        let runs = calls.runs + old.runs + memory.runs + signals.runs - before;
        println!("{}: {runs} runs, {:.1} s", scenario.name(), begun.elapsed().as_secs_f64());
    }
    let took = begun.elapsed();
    let size = if all { "" } else { "a sample of the errors and of the requests of memory; " };
    let count = scenarios.len();
    let aborted = calls.aborted + old.aborted;
    calls
        .evidence("the Nth system call fails")
        .with("ended the process on purpose", aborted)
        .note(format!("{size}{count} scenarios on real files, every N, once and from then on"))
        .tell(took);
    old.evidence("the Nth system call fails on a file system that lacks RWF_DSYNC, fallocate and renameat2")
        .note(format!("{size}{count} scenarios"))
        .tell(took);
    let aborted = memory.aborted;
    memory
        .evidence("the Nth request of memory is refused")
        .with("ended the process, as Rust does", aborted)
        .note(format!("{size}{count} scenarios; what was acknowledged is there afterwards"))
        .tell(took);
    Evidence::of("R7", "signals without SA_RESTART every 50 to 1000 microseconds")
        .with("runs", signals.runs)
        .violations(signals.wrong.len() as u64)
        .note(format!("{count} scenarios; all succeed"))
        .tell(took);
    let wrong = [calls, old, memory, signals].iter().map(|tally| tally.wrong.len()).sum::<usize>();
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Each call in turn, each error, once and from then on.
fn fail_calls(scenario: &dyn Scenario, place: &Place, old: bool, all: bool, tally: &mut Tally) {
    let counted = match scenario.run(place, Trouble::None, old) {
        Ok((_, counted)) => counted,
        Err(wrong) => return tally.add(Err(wrong)),
    };
    let mut turn = 0_u64;
    for (call, &count) in counted.calls.iter().enumerate() {
        // Where a call is missing it fails as it is; the others of an old file system differ little.
        if old && CALLS[call].missing.is_some() {
            continue;
        }
        for number in 0..count {
            for (place_of_kind, &kind) in CALLS[call].kinds.iter().enumerate() {
                for forever in [false, true] {
                    turn += 1;
                    let first = place_of_kind == 0 && !forever && (!old || turn.is_multiple_of(4));
                    if !all && !first && !turn.is_multiple_of(SAMPLE) {
                        continue;
                    }
                    let fault = Fault { call, kind, number, forever };
                    let outcome = scenario.run(place, Trouble::Call(fault), old);
                    tally.add(outcome.map(|(ended, _)| ended));
                }
            }
        }
    }
}

/// Each request of memory, and all after it.
fn refuse_memory(scenario: &dyn Scenario, place: &Place, all: bool, tally: &mut Tally) {
    let requests = match scenario.run(place, Trouble::None, false) {
        Ok((_, counted)) => counted.requests,
        Err(wrong) => return tally.add(Err(wrong)),
    };
    let step = if all { 1 } else { (requests / REQUESTS).max(1) as usize };
    for number in (0..requests).step_by(step) {
        let outcome = scenario.run(place, Trouble::Memory(number), false);
        tally.add(outcome.map(|(ended, _)| ended));
    }
}
