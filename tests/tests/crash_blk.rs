//! Power cuts and kills while blocks are written, set to zero and marked as bad. Catches a block that is neither the old
//! one nor the new one, several that were written together and are not all there, a write that was acknowledged and is
//! gone, a table that leads to a block which is not there, memory of a block that is lost or owned twice.
//!
//! One thread goes through a script, and every cut is tried with every subset of what was pending, where those are not
//! too many. Then four threads write at once.
//!
//! `POBJ_CRASH_SAMPLES=4096` is the long run; `POBJ_SEED` repeats one.

use std::collections::HashMap;
use std::sync::Arc;

use pobj::blk::{Blocks, Options, State};
use pobj::media::sim::{CrashPoint, Presence, SimMedia, fingerprint};
use pobj::{Durability, Error};
use tests::crash::{Effort, Mode};
use tests::support::pairs::{self, THREADS};

const BLOCK: usize = 24;
const COUNT: u64 = 4;

fn options(mode: Mode) -> Options {
    let options = Blocks::options().size(64 << 10).max_size(1 << 20).ring_size(64 << 10);
    options.validation_threads(1).image(mode.image())
}

/// What a block shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Zero,
    Bad,
    Bytes([u8; BLOCK]),
}

type Looks = [Look; COUNT as usize];

#[derive(Clone, Copy, Debug)]
enum Action {
    Write(u64, Durability),
    Many(&'static [u64]),
    Zero(u64),
    Bad(u64),
    Reopen,
}

use Action::{Bad, Many, Reopen, Write, Zero};
use Durability::{Eventual, Immediate};

const SCRIPT: &[Action] = &[
    Write(1, Immediate),
    Write(1, Immediate),
    Many(&[0, 1, 3]),
    Zero(1),
    Bad(2),
    Bad(0),
    Write(0, Eventual),
    Write(2, Eventual),
    Many(&[2, 1]),
    Reopen,
    Write(3, Immediate),
    Zero(3),
    Zero(2),
    Write(2, Immediate),
    Bad(1),
    Many(&[3, 2, 1, 0]),
];

/// A block that no other step writes. Every third one begins like the others, so that only a part of it is another.
fn bytes(number: u64, step: usize) -> [u8; BLOCK] {
    std::array::from_fn(|at| {
        let step = if at < 8 && step.is_multiple_of(3) { 0 } else { step as u8 };
        (number as u8 + 1) << 6 ^ step << 1 ^ (at as u8 / 8) << 5 | 1
    })
}

fn look(blocks: &Blocks) -> Result<Looks, String> {
    let mut looks = [Look::Zero; COUNT as usize];
    for (number, look) in (0..).zip(&mut looks) {
        let mut block = [0; BLOCK];
        *look = match (blocks.state(number), blocks.read(number, &mut block)) {
            (Ok(State::Zero), Ok(())) if block == [0; BLOCK] => Look::Zero,
            (Ok(State::Written), Ok(())) => Look::Bytes(block),
            (Ok(State::Bad), Err(Error::BadBlock { .. })) => Look::Bad,
            other => return Err(format!("block {number}: {other:?}")),
        };
    }
    let written = looks.iter().filter(|look| matches!(look, Look::Bytes(_))).count() as u64;
    // The root, and once there is a part the table and the part.
    match blocks.stats().heap.live_blocks - written {
        1 | 3 => Ok(looks),
        beside => Err(format!("{beside} blocks beside {looks:?}")),
    }
}

const STARTED: u64 = 1;
const ORDERED: u64 = 2;
const DURABLE: u64 = 3;

fn mark(kind: u64, step: usize) -> u64 {
    kind << 32 | step as u64
}

/// The last step that was marked so.
fn marked(point: &CrashPoint<'_>, kind: u64) -> usize {
    let steps = point.marks().filter(|mark| mark >> 32 == kind).map(|mark| mark as u32 as usize);
    steps.max().unwrap_or(0)
}

/// Goes through the script and gives what the array showed after each step.
fn run(mode: Mode, media: &SimMedia, mut blocks: Blocks) -> Vec<Looks> {
    let mut models = vec![[Look::Zero; COUNT as usize]];
    for (step, action) in (1..).zip(SCRIPT) {
        let mut model = models[models.len() - 1];
        media.mark(mark(STARTED, step));
        let mut durability = Immediate;
        match *action {
            Write(number, chosen) => {
                durability = chosen;
                blocks.write_with(chosen, number, &bytes(number, step)).unwrap();
                model[number as usize] = Look::Bytes(bytes(number, step));
            }
            Many(numbers) => {
                let writes: Vec<_> = numbers.iter().map(|number| (*number, bytes(*number, step))).collect();
                blocks.write_many(&writes).unwrap();
                writes.iter().for_each(|(number, bytes)| model[*number as usize] = Look::Bytes(*bytes));
            }
            Zero(number) => {
                blocks.set_zero(number).unwrap();
                model[number as usize] = Look::Zero;
            }
            Bad(number) => {
                blocks.set_error(number).unwrap();
                model[number as usize] = Look::Bad;
            }
            Reopen => {
                blocks.close().unwrap();
                blocks = options(mode).open_on(Arc::new(media.clone()), Some(BLOCK)).unwrap();
            }
        }
        media.mark(mark(ORDERED, step));
        if durability == Immediate || mode.domain().is_memory() {
            media.mark(mark(DURABLE, step));
        }
        assert_eq!(look(&blocks).unwrap(), model, "step {step}");
        models.push(model);
    }
    blocks.close().unwrap();
    media.mark(mark(DURABLE, SCRIPT.len()));
    models
}

/// Opens a state, uses it, and opens it again. Gives what the array showed.
fn use_state(mode: Mode, media: &SimMedia, state: Vec<u8>) -> Result<Looks, String> {
    let media = Arc::new(media.ram_with_bytes(state));
    let text = |error: Error| error.to_string();
    let open = || options(mode).open_on(media.clone(), Some(BLOCK)).map_err(text);
    let blocks = open()?;
    let looks = look(&blocks)?;
    blocks.write_many(&[(0, [0xA5; BLOCK]), (3, [0x5A; BLOCK])]).map_err(text)?;
    blocks.close().map_err(text)?;
    let mut expected = looks;
    (expected[0], expected[3]) = (Look::Bytes([0xA5; BLOCK]), Look::Bytes([0x5A; BLOCK]));
    match look(&open()?)? {
        after if after == expected => Ok(looks),
        after => Err(format!("{looks:?} became {after:?}")),
    }
}

fn write_and_cut(mode: Mode) {
    let media = mode.media();
    let blocks = options(mode).create_on(Arc::new(media.clone()), BLOCK, COUNT).unwrap();
    let first = media.trace().events().len();
    let models = run(mode, &media, blocks);
    let effort = Effort::from_environment();
    let trace = media.trace();
    let (mut cuts, mut exhaustive, mut states) = (0, 0, 0);
    let mut known: HashMap<u64, Result<Looks, String>> = HashMap::new();
    let mut points = trace.cuts();
    while let Some(point) = points.next() {
        if point.index() < first || point.presence() != Presence::Present {
            continue;
        }
        cuts += 1;
        exhaustive += u64::from(point.is_exhaustive(effort.samples));
        let ceiling = marked(point, STARTED);
        let mut judge = |what: String, floor: usize, state: Vec<u8>| {
            states += 1;
            let key = fingerprint(&state);
            let outcome = known.entry(key).or_insert_with(|| use_state(mode, &media, state));
            let place = format!("{mode:?}, POBJ_SEED={}, cut {}, {what}", effort.seed, point.index());
            let looks = outcome.as_ref().unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
            let possible = &models[floor..=ceiling];
            assert!(possible.contains(looks), "{place}: {looks:?} is none of steps {floor}..={ceiling}");
        };
        for choice in &point.choices(effort.samples, effort.seed) {
            let mut state = Vec::new();
            point.build_into(choice, &mut state);
            judge(format!("{choice:?}"), marked(point, DURABLE), state);
        }
        judge("after a kill".to_owned(), marked(point, ORDERED), point.after_kill());
    }
    println!(
        "{mode:?}: {cuts} cuts ({exhaustive} with every subset), {states} states ({} distinct), 0 violations",
        known.len()
    );
}

#[test]
fn blocks_are_old_or_new_after_a_cut() {
    for mode in Mode::ALL {
        write_and_cut(mode);
    }
}

const STEPS: u64 = if cfg!(debug_assertions) { 8 } else { 20 };
const LARGE: usize = 512;
const SAMPLES_MAX: usize = 24;

fn share_and_cut(mode: Mode) {
    let media = mode.media();
    media.allow_background();
    let blocks = options(mode).create_on(Arc::new(media.clone()), LARGE, pairs::COUNT).unwrap();
    let first = media.trace().events().len();
    let note = |kind: u64, thread: usize, step: u64| media.mark(kind << 32 | (thread as u64) << 16 | step);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (blocks, note) = (&blocks, &note);
            scope.spawn(move || {
                for step in 1..=STEPS {
                    note(STARTED, thread, step);
                    pairs::write_step(blocks, thread, step).unwrap();
                    note(DURABLE, thread, step);
                }
            });
        }
    });
    blocks.close().unwrap();
    let effort = Effort::from_environment();
    let trace = media.trace();
    let (mut cuts, mut states) = (0, 0);
    let mut known: HashMap<u64, Result<[u64; THREADS], String>> = HashMap::new();
    let mut points = trace.cuts();
    while let Some(point) = points.next() {
        if point.index() < first || point.presence() != Presence::Present {
            continue;
        }
        cuts += 1;
        let marked = |kind: u64| {
            let mut steps = [0; THREADS];
            for mark in point.marks().filter(|mark| mark >> 32 == kind) {
                let lane = &mut steps[(mark >> 16) as usize & 0xFF];
                *lane = (*lane).max(mark & 0xFFFF);
            }
            steps
        };
        let (floor, ceiling) = (marked(DURABLE), marked(STARTED));
        for choice in &point.choices(effort.samples.min(SAMPLES_MAX), effort.seed) {
            let mut state = Vec::new();
            point.build_into(choice, &mut state);
            states += 1;
            let key = fingerprint(&state);
            let outcome = known.entry(key).or_insert_with(|| {
                let media = Arc::new(media.ram_with_bytes(state));
                pairs::steps(&options(mode).open_on(media, Some(LARGE)).map_err(|error| error.to_string())?)
            });
            let place = format!("{mode:?}, POBJ_SEED={}, cut {}, {choice:?}", effort.seed, point.index());
            let steps = outcome.as_ref().unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
            for thread in 0..THREADS {
                let possible = floor[thread]..=ceiling[thread];
                assert!(possible.contains(&steps[thread]), "{place}: {steps:?}, {thread} is in {possible:?}");
            }
        }
    }
    println!(
        "{mode:?}, {THREADS} threads: {cuts} cuts, {states} states ({} distinct), 0 violations",
        known.len()
    );
}

#[test]
fn blocks_of_four_threads_survive_on_a_file() {
    share_and_cut(Mode::FileRedo);
}

#[test]
fn blocks_of_four_threads_survive_on_persistent_memory() {
    share_and_cut(Mode::LineRedo);
    share_and_cut(Mode::ByteRedo);
}

#[test]
fn blocks_of_four_threads_survive_in_place() {
    share_and_cut(Mode::LineUndo);
}
