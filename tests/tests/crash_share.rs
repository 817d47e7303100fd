//! Power cuts while several threads share a pool: records that are filled in at the same time, in any order. Catches an
//! acknowledgement before all earlier records are durable, a checkpoint that passes a place in the ring that is not filled
//! yet, a transaction that survives without the one whose changes it saw, a block that is lost or owned twice.
//!
//! Each thread counts in a lane of its own, with a node of a list for each count, notes what it saw of its neighbour's
//! lane, and moves an amount between cells that all use. The order of events differs from run to run; what must hold
//! of it does not.

use std::collections::HashMap;
use std::sync::Arc;

use pobj::media::sim::{CrashPoint, Presence, SimMedia, fingerprint};
use pobj::{Error, Options, PBox, PMutex, PRwLock, Persistent, Pool, Result, Tx};
use tests::crash::{Effort, Mode};

const THREADS: usize = 3;
const STEPS: u64 = if cfg!(debug_assertions) { 12 } else { 24 };
const CELLS: usize = 3;
const SAMPLES_MAX: usize = 24;

#[derive(Persistent)]
#[repr(C)]
struct Node<'p> {
    step: u64,
    next: Option<PBox<'p, Node<'p>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Lane<'p> {
    step: u64,
    /// What this lane's thread saw of the next lane.
    seen: u64,
    nodes: Option<PBox<'p, Node<'p>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    lanes: [PRwLock<'p, Lane<'p>>; THREADS],
    cells: [PMutex<'p, i64>; CELLS],
}

fn options(mode: Mode) -> Options<Root<'static>> {
    Pool::<Root>::options()
        .size(64 << 10)
        .max_size(1 << 20)
        .ring_size(64 << 10)
        .validation_threads(1)
        .image(mode.image())
}

fn mark(kind: u64, thread: usize, step: u64) -> u64 {
    kind << 32 | (thread as u64) << 16 | step
}

const STARTED: u64 = 1;
const ACKNOWLEDGED: u64 = 2;

fn step<'p>(root: &Root<'p>, tx: &Tx<'p>, thread: usize) -> Result<()> {
    let neighbour = root.lanes[(thread + 1) % THREADS].read(tx)?.step;
    let mut lane = root.lanes[thread].write(tx)?;
    lane.step += 1;
    lane.seen = neighbour;
    let node = Node { step: lane.step, next: lane.nodes.take() };
    lane.nodes = Some(PBox::new(tx, node)?);
    if lane.step.is_multiple_of(4) {
        // Frees as well: the newest node goes, and one takes the place of two.
        let kept = lane.nodes.take().and_then(|mut newest| newest.get_mut(tx).next.take());
        lane.nodes = kept;
        let step = lane.step;
        let node = Node { step, next: lane.nodes.take() };
        lane.nodes = Some(PBox::new(tx, node)?);
    }
    let amount = lane.step as i64;
    drop(lane);
    *root.cells[thread % CELLS].lock(tx)? -= amount;
    *root.cells[(thread + 1) % CELLS].lock(tx)? += amount;
    Ok(())
}

/// What each lane has come to, if the pool is whole.
fn observe(pool: &Pool<Root<'static>>) -> Result<[u64; THREADS], String> {
    let root = pool.read();
    let steps = root.lanes.each_ref().map(|lane| lane.get(&root).step);
    for (thread, lane) in root.lanes.iter().enumerate() {
        let lane = lane.get(&root);
        if lane.seen > steps[(thread + 1) % THREADS] {
            return Err(format!("lane {thread} has seen {}, of {steps:?}", lane.seen));
        }
        let (mut expected, mut node) = (lane.step, &lane.nodes);
        while let Some(this) = node {
            if this.step != expected {
                return Err(format!("lane {thread} has node {} for {expected}", this.step));
            }
            (expected, node) = (expected - 1, &this.next);
        }
        if expected != 0 {
            return Err(format!("lane {thread} ends at {expected}"));
        }
    }
    let sum: i64 = root.cells.iter().map(|cell| *cell.get(&root)).sum();
    let blocks = pool.stats().heap.live_blocks;
    match (sum, blocks) {
        (0, blocks) if blocks == steps.iter().sum::<u64>() + 1 => Ok(steps),
        found => Err(format!("sum and blocks are {found:?} at {steps:?}")),
    }
}

/// Opens a state, uses it, and opens it again. Gives what each lane had come to.
fn use_state(mode: Mode, media: &SimMedia, bytes: Vec<u8>) -> Result<[u64; THREADS], String> {
    let media = Arc::new(media.ram_with_bytes(bytes));
    let text = |error: Error| error.to_string();
    let pool = options(mode).open_on(media.clone()).map_err(text)?;
    let steps = observe(&pool)?;
    pool.share(|root, tx| step(root, tx, 0)).map_err(text)?;
    pool.close().map_err(text)?;
    let pool = options(mode).open_on(media).map_err(text)?;
    match observe(&pool)? {
        after if after[0] == steps[0] + 1 => Ok(steps),
        after => Err(format!("{steps:?} became {after:?}")),
    }
}

/// The last step of each lane that was marked so.
fn marked(point: &CrashPoint<'_>, kind: u64) -> [u64; THREADS] {
    let mut steps = [0; THREADS];
    for mark in point.marks().filter(|mark| mark >> 32 == kind) {
        let lane = &mut steps[(mark >> 16) as usize & 0xFF];
        *lane = (*lane).max(mark & 0xFFFF);
    }
    steps
}

fn share_and_cut(mode: Mode) {
    let media = mode.media();
    media.allow_background();
    let pool = options(mode).create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
    let first = media.trace().events().len();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, media) = (&pool, &media);
            scope.spawn(move || {
                for number in 1..=STEPS {
                    media.mark(mark(STARTED, thread, number));
                    pool.share(|root, tx| step(root, tx, thread)).unwrap();
                    media.mark(mark(ACKNOWLEDGED, thread, number));
                }
            });
        }
    });
    pool.close().unwrap();
    let effort = Effort::from_environment();
    let trace = media.trace();
    let (mut cuts, mut states) = (0, 0);
    let mut known: HashMap<u64, Result<[u64; THREADS], String>> = HashMap::new();
    let mut points = trace.cuts();
    while let Some(point) = points.next() {
        // What the next event only adds to is tried after it, unless that is an acknowledgement.
        if point.index() < first || point.presence() != Presence::Present {
            continue;
        }
        cuts += 1;
        let (floor, ceiling) = (marked(point, ACKNOWLEDGED), marked(point, STARTED));
        let choices = point.choices(effort.samples.min(SAMPLES_MAX), effort.seed);
        for choice in &choices {
            let mut bytes = Vec::new();
            point.build_into(choice, &mut bytes);
            states += 1;
            let sum = fingerprint(&bytes);
            let outcome = known.entry(sum).or_insert_with(|| use_state(mode, &media, bytes));
            let place = format!("{mode:?}, POBJ_SEED={}, cut {}, {choice:?}", effort.seed, point.index());
            let steps = outcome.as_ref().unwrap_or_else(|what| panic!("{place}: {what}"));
            for lane in 0..THREADS {
                let possible = floor[lane]..=ceiling[lane];
                assert!(
                    possible.contains(&steps[lane]),
                    "{place}: {steps:?}, lane {lane} is in {possible:?}"
                );
            }
        }
    }
    println!("{mode:?}: {cuts} cuts, {states} states, {} of them different, 0 violations", known.len());
}

#[test]
fn shared_commits_survive_on_a_file() {
    share_and_cut(Mode::FileRedo);
}

#[test]
fn shared_commits_survive_on_persistent_memory() {
    share_and_cut(Mode::LineRedo);
    share_and_cut(Mode::ByteRedo);
}

#[test]
fn shared_commits_survive_in_place() {
    share_and_cut(Mode::LineUndo);
}
