//! Keeping a program's state beside saving it: pobj, and serde_json, postcard, rkyv, a file of plain records.
//!
//! Every contender has the same state ([`state`]) and makes the same changes to it. A session ([`crate::session`]) is the
//! life of one program: it starts, reads one balance, adds everything up, changes balances durably one by one and a
//! thousand at once, and ends. What it adds up after its start must be what the sessions before it have left: a
//! contender that loses a change, or reads less than the others, ends the run with an error.
//!
//! | measure | what it is |
//! |---|---|
//! | start to first read | from opening the file to one balance, in a process that has just begun; the page cache is warm |
//! | start and full scan | the same, and everything added up for the first time |
//! | full scan | everything added up again: the median of some |
//! | change one field | one balance set, durable on return |
//! | change 1,000 fields | a thousand random balances set, durable on return; all or nothing, but for those in place |
//! | most memory ... | `VmHWM` of the process after its first read, and at its end, pages of mapped files included |
//! | own memory | `RssAnon` at its end: without those pages |
//! | on the medium | blocks of the file when nobody has it open |
//!
//! **Savers** ([`save`]) hold `std` collections and save everything, atomically and durably. **In place** ([`in_place`])
//! are rkyv's archive and the records in a mapping, durable but not atomic. **pobj** ([`pool`]) is opened with
//! validation, as `open` does, and without, as `open_trusted` does.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::Bench;
use crate::names;
use crate::results::Figure;
use crate::session::{Job, Order, Samples, calm, mib_on_medium, remove, rounds};

pub mod in_place;
pub mod pool;
pub mod save;
pub mod state;

use save::Codec;
use state::{Change, State, Sum};

/// A program with its state, while it runs.
pub trait Keeper {
    /// Somebody's balance.
    fn balance(&self, number: u64) -> Option<u64>;

    /// Everything added up.
    ///
    /// # Errors
    ///
    /// If something there is not what it should be.
    fn sum(&self) -> Result<Sum>;

    /// Makes the changes; they are durable on return.
    ///
    /// # Errors
    ///
    /// If they cannot be made durable.
    fn commit(&mut self, changes: &[Change]) -> Result<()>;

    /// The state of those who save everything, whatever has changed.
    fn in_memory(&mut self) -> Option<&mut State> {
        None
    }

    /// The program's end.
    ///
    /// # Errors
    ///
    /// If what it kept cannot be closed.
    fn close(self: Box<Self>) -> Result<()>;
}

/// How a contender makes its file.
#[derive(Clone, Copy, Debug)]
enum Make {
    Pool,
    Saved(Codec),
}

/// How it starts.
#[derive(Clone, Copy, Debug)]
enum Start {
    Pool { trusted: bool },
    Saver(Codec),
    Archive { check: bool },
    Records,
}

/// Who takes part.
#[derive(Clone, Copy, Debug)]
struct Contender {
    name: &'static str,
    make: Make,
    start: Start,
}

/// All of them.
const CONTENDERS: &[Contender] = &[
    Contender { name: names::POBJ, make: Make::Pool, start: Start::Pool { trusted: false } },
    Contender { name: names::POBJ_TRUSTED, make: Make::Pool, start: Start::Pool { trusted: true } },
    saver(names::SAVERS[0], save::JSON),
    saver(names::SAVERS[1], save::POSTCARD),
    saver(names::SAVERS[2], save::RKYV),
    saver(names::SAVERS[3], save::RECORDS),
    archive(names::RKYV_CHECKED, true),
    archive(names::RKYV_UNCHECKED, false),
    Contender { name: names::RECORDS_IN_PLACE, make: Make::Saved(save::RECORDS), start: Start::Records },
];

const fn saver(name: &'static str, codec: Codec) -> Contender {
    Contender { name, make: Make::Saved(codec), start: Start::Saver(codec) }
}

const fn archive(name: &'static str, check: bool) -> Contender {
    Contender { name, make: Make::Saved(save::RKYV), start: Start::Archive { check } }
}

impl Contender {
    fn open(&self, path: &Path, memory: bool) -> Result<Box<dyn Keeper>> {
        Ok(match self.start {
            Start::Pool { trusted } => Box::new(pool::Kept::open(path, memory, trusted)?),
            Start::Saver(codec) => Box::new(save::Saver::open(codec, path)?),
            Start::Archive { check } => Box::new(in_place::Archive::open(path, check)?),
            Start::Records => Box::new(in_place::Records::open(path)?),
        })
    }
}

/// Changes of one field in a session, and fields changed at once.
const SINGLE: usize = 64;
const AT_ONCE: usize = 1000;
/// So many times in a session.
const BATCHES: usize = 8;

/// Figures of all contenders with so many records, from `count` rounds, on the disk or in memory.
///
/// # Errors
///
/// If a file cannot be made, or a contender has not what it should have.
pub fn figures(bench: &Bench, medium: &'static str, records: usize, count: usize) -> Result<Vec<Figure>> {
    let mut jobs = Vec::new();
    let state = State::new(records);
    for (index, contender) in CONTENDERS.iter().enumerate() {
        let name = format!("serial-{index}");
        let path = if medium == names::DISK { bench.durable(&name) } else { bench.memory(&name) };
        match contender.make {
            Make::Pool => pool::create(&path, medium == names::MEMORY, records)?,
            Make::Saved(codec) => save::save(&codec, &state, &path)?,
        }
        calm(&path)?;
        let known = vec![(names::ON_MEDIUM, "MiB", mib_on_medium(&path)?)];
        jobs.push(Job { part: names::SERIAL, contender: contender.name, medium, records, path, known });
    }
    drop(state);
    let figures = rounds(&jobs, count, bench.size(false, true));
    jobs.iter().try_for_each(|job| remove(&job.path))?;
    figures
}

/// A contender's session.
///
/// # Errors
///
/// If there is no such contender, or it has not what it should have.
pub fn session(order: &Order) -> Result<Samples> {
    let contender = CONTENDERS.iter().find(|contender| contender.name == order.contender);
    let contender = contender.ok_or("no such contender")?;
    let count = order.records;
    let mut samples = Samples::default();
    samples.push_peak("most memory before the start");

    calm(&order.path)?;
    let start = Instant::now();
    let mut keeper = contender.open(&order.path, order.medium == names::MEMORY)?;
    let balance = keeper.balance(state::first(count)).ok_or("the first one is missing")?;
    samples.push(names::START, "ms", [millis(start)]);
    std::hint::black_box(balance);
    samples.push_peak(names::PEAK_START);
    let sum = keeper.sum()?;
    samples.push(names::START_SCAN, "ms", [millis(start)]);

    let scans =
        some_of(|| if keeper.sum()? == sum { Ok(()) } else { Err("a scan finds something else".into()) })?;
    samples.push(names::FULL_SCAN, "ms", scans.into_iter().map(|nanos| nanos / 1e6));

    calm(&order.path)?;
    let single: Vec<Vec<Change>> =
        (0..SINGLE).map(|step| state::changes(order.round, step..step + 1, count)).collect();
    let nanos = durable(&mut *keeper, &single)?;
    samples.push(names::CHANGE_ONE, "us", nanos.into_iter().map(|nanos| nanos / 1e3));
    calm(&order.path)?;
    let batches: Vec<Vec<Change>> = (0..BATCHES).map(|batch| batch_of(order.round, batch, count)).collect();
    let nanos = durable(&mut *keeper, &batches)?;
    samples.push(names::CHANGE_MANY, "us", nanos.into_iter().map(|nanos| nanos / 1e3));

    samples.push_peak(names::PEAK);
    samples.push_own(names::OWN);
    keeper.close()?;
    // What it costs to know the truth is nobody's figure.
    if sum != expected(order.round, count) {
        return Err("the sum is not what the rounds before have left".into());
    }
    Ok(samples)
}

fn batch_of(round: usize, batch: usize, count: usize) -> Vec<Change> {
    let first = SINGLE + batch * AT_ONCE;
    state::changes(round, first..first + AT_ONCE, count)
}

/// What a scan must find at the start of a round; added up without a state, in any order.
fn expected(round: usize, count: usize) -> Sum {
    let mut balances = HashMap::new();
    for before in 0..round {
        let changes = state::changes(before, 0..SINGLE + BATCHES * AT_ONCE, count);
        balances.extend(changes.iter().map(|change| (change.number, change.balance)));
    }
    let mut sum = Sum::default();
    for index in 0..count {
        let (number, person) = (state::number(index), state::person(index));
        let balance = balances.get(&number).copied().unwrap_or(person.balance);
        sum.person(number, &person.name, balance, person.visits);
        let (rank, number) = state::rank(index);
        sum.rank(rank, number);
        sum.event(state::event(index, count));
    }
    sum
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Nanoseconds of each commit. Who saves everything does not do so for each of them: the changes before the last are made
/// in memory, and the last is saved, again and again if that is quick.
fn durable(keeper: &mut dyn Keeper, steps: &[Vec<Change>]) -> Result<Vec<f64>> {
    let Some((last, before)) = steps.split_last() else { return Ok(Vec::new()) };
    if let Some(state) = keeper.in_memory() {
        before.iter().for_each(|changes| state.apply(changes));
        return some_of(|| keeper.commit(last));
    }
    let mut nanos = Vec::new();
    for changes in steps {
        let start = Instant::now();
        keeper.commit(changes)?;
        nanos.push(start.elapsed().as_nanos() as f64);
    }
    Ok(nanos)
}

/// Nanoseconds of `run`, once at least, and up to ten times as long as a quarter of a second has not passed.
fn some_of(mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    const PATIENCE: Duration = Duration::from_millis(250);
    let begun = Instant::now();
    let mut nanos = Vec::new();
    while nanos.is_empty() || (nanos.len() < 10 && begun.elapsed() < PATIENCE) {
        let start = Instant::now();
        run()?;
        nanos.push(start.elapsed().as_nanos() as f64);
    }
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a contender that loses a change, reads less than the others, or leaves something out when it saves.
    #[test]
    fn everybody_has_the_same_after_three_rounds() -> Result<()> {
        let bench = Bench::new(None, None, true)?;
        let count = 500;
        for (index, contender) in CONTENDERS.iter().enumerate() {
            for medium in [names::DISK, names::MEMORY] {
                let path = bench.memory(&format!("{medium}-{index}"));
                match contender.make {
                    Make::Pool => pool::create(&path, medium == names::MEMORY, count)?,
                    Make::Saved(codec) => save::save(&codec, &State::new(count), &path)?,
                }
                for round in 0..3 {
                    let order = Order {
                        part: names::SERIAL.into(),
                        contender: contender.name.into(),
                        medium: medium.into(),
                        records: count,
                        round,
                        path: path.clone(),
                        quick: true,
                    };
                    session(&order).map_err(|error| format!("{}: {error}", contender.name))?;
                }
            }
        }
        Ok(())
    }

    /// Catches a sum that does not see a change, a name, a rank or an event.
    #[test]
    fn the_sum_sees_everything() {
        let sum = State::new(50).sum();
        let mut state = State::new(50);
        state.apply(&state::changes(0, 0..1, 50));
        assert_ne!(state.sum(), sum);
        let mut state = State::new(50);
        state.people.values_mut().take(1).for_each(|person| person.name.push('!'));
        assert_ne!(state.sum(), sum);
        let mut state = State::new(50);
        state.ranks.pop_first();
        assert_ne!(state.sum(), sum);
        let mut state = State::new(50);
        state.events.pop_back();
        assert_ne!(state.sum(), sum);
    }
}
