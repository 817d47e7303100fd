//! Power cuts and kills while ordered key-value maps change, in every mode: parts that split, by leaves and by branches, parts
//! that are emptied and dropped, records taken from the ends, what is given up; and while threads split and drop parts of one
//! store together.
//!
//! A state passes if the pool opens with validation, holds exactly what it held after a transaction between the last
//! acknowledged and the last started one, in order, has as many blocks in use as then, and can be changed, emptied and left
//! with nothing but its root.
//!
//! Catches: a half of a part that is there twice or not at all; a row that leads to a part that is not there yet, or is gone; a
//! block that is freed before it is durable that nothing leads to it; a thread's put that is there without the one it saw.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pobj::kv::{Batch, Map, Order, Ordered, Seek, Store};
use pobj::media::Media;
use pobj::media::sim::{CrashPoint, Presence, SimMedia, Trace, fingerprint};
use pobj::{Durability, Error, Options, Persistent, Pool, Result, Tx};
use tests::crash::{Effort, MAX_SIZE, Mode, acknowledged, created, started};
use tests::workload::word;

/// The other way round.
struct Backwards;

impl Order for Backwards {
    const NAME: &'static str = "tests/backwards";

    fn compare(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
        b.cmp(a)
    }
}

/// Parts are small in a program with the simulator: a few records split them.
#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    step: u64,
    words: Map<'p, Ordered>,
    copies: Map<'p, Ordered<Backwards>>,
}

/// What a transaction does with a row of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Puts values of this length.
    Put(usize),
    /// Changes the first bytes of each.
    Update,
    Remove,
    /// Removes every other one and puts the rest, in one batch.
    Batch,
    Clear,
    /// Takes as many from the front, and as many from the back.
    Pop,
}

/// Keys from, count, and what is done with them.
type Step = (u64, u64, Kind);

const STEPS: [Step; 18] = [
    (0, 1, Kind::Put(20)),
    (1, 5, Kind::Put(20)),
    // Splits of leaves, several of them in one transaction.
    (6, 25, Kind::Put(33)),
    (0, 10, Kind::Update),
    (0, 10, Kind::Put(24)),
    // Of branches.
    (31, 130, Kind::Put(9)),
    (10, 5, Kind::Put(300)),
    (5, 60, Kind::Batch),
    // Parts become empty, in the middle and at the ends.
    (60, 80, Kind::Remove),
    (0, 8, Kind::Pop),
    (0, 1, Kind::Put(5)),
    (0, 30, Kind::Remove),
    (20, 90, Kind::Put(14)),
    (0, 160, Kind::Update),
    (0, 30, Kind::Pop),
    (0, 160, Kind::Remove),
    (0, 1, Kind::Clear),
    (7, 3, Kind::Put(100)),
];

/// The first number whose key begins as many others do.
const ALIKE: u64 = 1000;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the pool holds, and blocks in use.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    step: u64,
    records: Records,
    blocks: u64,
}

/// Keys of several lengths, the first of them empty; and from [`ALIKE`] on such as begin alike, of two kinds.
fn key(n: u64) -> Vec<u8> {
    if n >= ALIKE {
        return [&b"what many of these/begin with"[..12 + (n % 2) as usize * 17], &n.to_be_bytes()].concat();
    }
    n.to_le_bytes()
        .iter()
        .cycle()
        .take((n % 20) as usize)
        .copied()
        .chain((n != 0).then_some(n as u8))
        .collect()
}

fn value(n: u64, step: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (n * 7 + step * 31) as u8 ^ at as u8).collect()
}

fn change<'p, O: Order>(
    map: &Map<'p, Ordered<O>>,
    tx: &Tx<'p>,
    step: u64,
    (from, count, kind): Step,
) -> Result<()> {
    let mut batch = Batch::new();
    for n in from..from + count {
        match kind {
            Kind::Put(len) if n % 2 == 0 => drop(map.put(tx, &key(n), &value(n, step, len))?),
            Kind::Put(len) => drop(map.put_with(tx, &key(n), len, |bytes| {
                bytes.copy_from_slice(&value(n, step, len));
                Ok::<_, Error>(())
            })?),
            Kind::Update => drop(map.update(&key(n), ..8, tx, |bytes| bytes.fill(step as u8))?),
            Kind::Remove => drop(map.remove(&key(n), tx)?),
            Kind::Batch if n % 2 == 0 => drop(batch.remove(&key(n))),
            Kind::Batch => drop(batch.put(&key(n), &value(n, step, 40))),
            Kind::Clear => map.clear(tx)?,
            Kind::Pop => {
                map.pop_first(tx, |_, _| ())?;
                map.pop_last(tx, |_, _| ())?;
            }
        }
    }
    map.apply(tx, &batch)
}

fn change_model(records: &mut Records, step: u64, (from, count, kind): Step) {
    for n in from..from + count {
        match kind {
            Kind::Put(len) => drop(records.insert(key(n), value(n, step, len))),
            Kind::Update => {
                if let Some(known) = records.get_mut(&key(n)) {
                    known[..8].fill(step as u8);
                }
            }
            Kind::Batch if n % 2 != 0 => drop(records.insert(key(n), value(n, step, 40))),
            Kind::Batch | Kind::Remove => drop(records.remove(&key(n))),
            Kind::Clear => records.clear(),
            Kind::Pop => drop((records.pop_first(), records.pop_last())),
        }
    }
}

/// All that an open pool shows; an error if its maps disagree.
fn observe(pool: &Pool<App<'static>>) -> std::result::Result<Shown, String> {
    let app = pool.read();
    let records: Records = app.words.iter(&app).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let copies: Records = app.copies.iter(&app).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let sorted = app.words.iter(&app).map(|(key, _)| key).eq(records.keys())
        && app.copies.range(.., &app).rev().map(|(key, _)| key).eq(records.keys());
    let counts = (app.words.count(&app), app.copies.count(&app));
    let found = records.iter().all(|(key, value)| app.words.get(key, &app) == Some(value));
    if !sorted || records != copies || counts != (records.len(), records.len()) || !found {
        return Err(format!("maps that disagree after step {}: {counts:?}, {records:?}", app.step));
    }
    Ok(Shown { step: app.step, records, blocks: pool.stats().heap.live_blocks })
}

fn options(mode: Mode) -> Options<App<'static>> {
    static OPTIONS: OnceLock<Options<App<'static>>> = OnceLock::new();
    let make = || Pool::<App>::options().size(64 << 10).max_size(MAX_SIZE).ring_size(64 << 10);
    OPTIONS.get_or_init(|| make().validation_threads(1)).clone().image(mode.image())
}

fn step_of<'p>(app: &mut App<'p>, tx: &Tx<'p>, number: u64, step: Step) -> Result<()> {
    change(&app.words, tx, number, step)?;
    change(&app.copies, tx, number, step)
}

/// Opens a state, compares it, changes it by `uses`, empties it. Gives the step that it shows.
fn use_state(
    mode: Mode,
    media: Arc<dyn Media>,
    known: &[Shown],
    uses: &[Step],
) -> std::result::Result<u64, String> {
    let pool = options(mode).open_on(media).map_err(|error| format!("open: {error}"))?;
    let found = observe(&pool)?;
    match known.get(found.step as usize) {
        Some(known) if *known == found => {}
        _ => return Err(format!("what never was: {found:?}")),
    }
    for step in uses {
        pool.write(|app, tx| step_of(app, tx, 99, *step)).map_err(|error| format!("use: {error}"))?;
        observe(&pool)?;
    }
    let emptied = pool.write(|app, tx| {
        app.words.clear(tx)?;
        app.copies.clear(tx)
    });
    emptied.map_err(|error| format!("empty: {error}"))?;
    match pool.stats().heap.live_blocks {
        1 => Ok(found.step),
        blocks => Err(format!("step {}: {blocks} blocks are left", found.step)),
    }
}

/// What is done, and how closely it is looked at.
struct Plan {
    steps: &'static [Step],
    /// What is done before each step and given up.
    given_up: [Step; 2],
    /// Cuts to try in each mode; others with another seed, all of them in the long run.
    cuts: u64,
    /// States to try at a cut, unless it has few enough to try all.
    samples: usize,
    /// What is done with each state.
    uses: &'static [Step],
}

const WIDE: Plan = Plan {
    steps: &STEPS,
    given_up: [(3, 50, Kind::Put(31)), (3, 50, Kind::Batch)],
    cuts: 80,
    samples: 6,
    uses: &[(0, 40, Kind::Put(50)), (10, 60, Kind::Batch), (0, 30, Kind::Update)],
};

/// Parts whose keys begin alike: their heads change where fences come and go.
const SAME: Plan = Plan {
    steps: &[
        (0, 3, Kind::Put(12)),
        (ALIKE, 90, Kind::Put(9)),
        (ALIKE + 90, 60, Kind::Put(9)),
        (ALIKE + 20, 110, Kind::Remove),
        (ALIKE, 100, Kind::Put(10)),
        (ALIKE + 100, 60, Kind::Remove),
        (0, 40, Kind::Pop),
        (2, 12, Kind::Put(11)),
    ],
    given_up: [(ALIKE + 10, 60, Kind::Remove), (ALIKE + 300, 90, Kind::Put(8))],
    cuts: 40,
    samples: 4,
    uses: &[(ALIKE + 40, 90, Kind::Put(8)), (ALIKE + 10, 100, Kind::Remove)],
};

/// Every cut, and every state of those that leave at most twelve things open.
const DEEP: Plan = Plan {
    steps: &[
        (0, 2, Kind::Put(12)),
        (0, 1, Kind::Update),
        (1, 1, Kind::Put(50)),
        (0, 3, Kind::Batch),
        (1, 1, Kind::Remove),
    ],
    given_up: [(1, 2, Kind::Put(30)), (0, 2, Kind::Batch)],
    cuts: u64::MAX,
    samples: 1 << 11,
    uses: &[(0, 3, Kind::Put(20))],
};

/// Cuts of the trace; gives how many states were opened, and how many cuts were tried wholly.
fn check(
    mode: Mode,
    plan: &Plan,
    trace: &Trace,
    known: &[Shown],
    ram: impl Fn(Vec<u8>) -> Arc<dyn Media>,
) -> (usize, usize) {
    let effort = Effort::from_environment();
    let mut outcomes: HashMap<u64, std::result::Result<u64, String>> = HashMap::new();
    let long = effort.states == usize::MAX;
    let every = if long { 1 } else { (trace.events().len() as u64 / plan.cuts).max(1) };
    let mut cuts = trace.cuts();
    let (mut last, mut whole) = (None, 0);
    while let Some(point) = cuts.next() {
        let marks: Vec<u64> = point.marks().collect();
        let new = last != Some(point.version());
        let chosen = word(effort.seed, point.index() as u64, 0).is_multiple_of(every);
        if point.presence() != Presence::Present || !marks.contains(&created()) || !new || !chosen {
            continue;
        }
        last = Some(point.version());
        let steps = || (0..known.len() as u64).rev();
        let ceiling = steps().find(|step| marks.contains(&started(*step))).unwrap_or(0);
        let durable = |step: &u64| marks.contains(&acknowledged(mode, *step, Durability::Immediate));
        let floor = steps().find(durable).unwrap_or(0);
        let samples = plan.samples.min(effort.samples.max(plan.samples / 64));
        whole += usize::from(point.is_exhaustive(samples));
        let choices = point.choices(samples, effort.seed);
        let states = choices.iter().map(|choice| point.build(choice)).chain([point.after_kill()]);
        for bytes in states {
            let outcome = outcomes
                .entry(fingerprint(&bytes))
                .or_insert_with(|| use_state(mode, ram(bytes), known, plan.uses));
            match outcome {
                Ok(step) if (floor..=ceiling).contains(step) => {}
                other => panic!(
                    "{mode:?}, cut {}, POBJ_SEED={}: {other:?}, expected step {floor} to {ceiling}",
                    point.index(),
                    effort.seed
                ),
            }
        }
    }
    (outcomes.len(), whole)
}

fn run_and_cut(mode: Mode, plan: &Plan) {
    let media = mode.media();
    let pool = options(mode).create_on(Arc::new(media.clone()), |_| Ok(App::default())).unwrap();
    media.mark(created());
    let mut known = vec![observe(&pool).unwrap()];
    for (step, number) in plan.steps.iter().zip(1..) {
        let mut records = known[known.len() - 1].records.clone();
        change_model(&mut records, number, *step);
        // What is given up leaves nothing.
        let given_up = pool.write(|app, tx| {
            step_of(app, tx, 77, plan.given_up[number as usize % 2])?;
            Err::<(), _>(Error::abort("on purpose"))
        });
        assert!(matches!(given_up, Err(Error::Aborted(_))), "{given_up:?}");
        media.mark(started(number));
        pool.write(|app, tx| {
            app.step = number;
            step_of(app, tx, number, *step)
        })
        .unwrap();
        media.mark(acknowledged(mode, number, Durability::Immediate));
        let found = observe(&pool).unwrap();
        assert!(found.records == records, "{mode:?}, step {number}");
        known.push(found);
        if number % 5 == 0 {
            pool.checkpoint().unwrap();
        }
    }
    pool.close().unwrap();
    let begun = Instant::now();
    let ram = |bytes| -> Arc<dyn Media> { Arc::new(media.ram_with_bytes(bytes)) };
    let (states, whole) = check(mode, plan, &media.trace(), &known, ram);
    println!("{mode:?}: {states} states, {whole} cuts wholly, {:.1} s", begun.elapsed().as_secs_f64());
    assert!(states > 50, "{states}");
}

#[test]
fn maps_survive_crashes() {
    Mode::ALL.into_iter().for_each(|mode| run_and_cut(mode, &WIDE));
}

#[test]
fn heads_survive_crashes() {
    Mode::ALL.into_iter().for_each(|mode| run_and_cut(mode, &SAME));
}

#[test]
fn every_cut_of_a_short_history_is_survived() {
    Mode::ALL.into_iter().for_each(|mode| run_and_cut(mode, &DEEP));
}

const THREADS: usize = 3;
const ROUNDS: u64 = if cfg!(debug_assertions) { 6 } else { 12 };

fn mark(kind: u64, thread: usize, round: u64) -> u64 {
    kind << 32 | (thread as u64) << 16 | round
}

const STARTED: u64 = 1;
const ACKNOWLEDGED: u64 = 2;

fn store_options(mode: Mode) -> pobj::kv::Options<Ordered> {
    let options = Store::<Ordered>::options().size(64 << 10).max_size(MAX_SIZE).ring_size(64 << 10);
    options.validation_threads(1).image(mode.image())
}

fn counter(thread: usize) -> [u8; 2] {
    [b'c', thread as u8]
}

/// One round of a thread: its counter, a few records that split parts, the removal of all of an older round, what it saw of its
/// neighbour, and a queue of all whose front it takes.
fn round(store: &Store<Ordered>, thread: usize, number: u64) -> Result<()> {
    store.batch(|tx| {
        let seen = tx.get(&counter((thread + 1) % THREADS), <[u8]>::to_vec)?.unwrap_or_else(|| vec![0; 8]);
        tx.put(&counter(thread), &number.to_le_bytes())?;
        tx.put(&[b's', thread as u8], &seen)?;
        for n in 0..SPREAD {
            tx.put(&record(thread, number, n), &vec![number as u8; 10 + number as usize])?;
        }
        if number > 2 {
            for n in 0..SPREAD {
                tx.remove(&record(thread, number - 2, n))?;
            }
        }
        tx.put(&[b'q', number as u8, thread as u8], b"")?;
        if number.is_multiple_of(4) {
            tx.seek(Seek::HigherEq(b"q"), |key, _| assert_eq!(key[0], b'q'))?;
        }
        tx.remove(&[b'q', number as u8, thread as u8]).map(drop)
    })
}

/// Records of a round.
const SPREAD: u64 = 5;

/// Those of one round lie beside each other, those of all threads in between.
fn record(thread: usize, number: u64, n: u64) -> Vec<u8> {
    [&b"r"[..], &number.to_be_bytes()[7..], &[thread as u8, n as u8]].concat()
}

/// How many rounds of each thread a store has, if it is whole.
fn rounds(store: &Store<Ordered>) -> std::result::Result<[u64; THREADS], String> {
    let now = store.read().map_err(|error| error.to_string())?;
    let number = |key: &[u8]| {
        now.get(key).map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap_or([0xFF; 8])))
    };
    let done: [u64; THREADS] = std::array::from_fn(|thread| number(&counter(thread)));
    let mut expected = 0;
    for (thread, done_here) in done.iter().enumerate() {
        let seen = number(&[b's', thread as u8]);
        if seen > done[(thread + 1) % THREADS] {
            return Err(format!("thread {thread} has seen {seen} of {done:?}"));
        }
        expected += if *done_here == 0 { 0 } else { 2 };
        for number in 1..=*done_here + 1 {
            let here = number <= *done_here && number + 2 > *done_here;
            for n in 0..SPREAD {
                let found = now.get(&record(thread, number, n));
                if found.is_some() != here
                    || found.is_some_and(|value| *value != vec![number as u8; 10 + number as usize])
                {
                    return Err(format!(
                        "record {n} of round {number} of thread {thread} at {done:?}: {found:?}"
                    ));
                }
                expected += usize::from(here);
            }
        }
    }
    match now.count() {
        count if count == expected && now.iter().count() == count => Ok(done),
        count => Err(format!("{count} records instead of {expected} at {done:?}")),
    }
}

fn use_store(mode: Mode, media: &SimMedia, bytes: Vec<u8>) -> std::result::Result<[u64; THREADS], String> {
    let text = |error: Error| error.to_string();
    let store = store_options(mode).open_store_on(Arc::new(media.ram_with_bytes(bytes))).map_err(text)?;
    let done = rounds(&store)?;
    round(&store, 1, done[1] + 1).map_err(text)?;
    match rounds(&store)? {
        after if after[1] == done[1] + 1 => Ok(done),
        after => Err(format!("{done:?} became {after:?}")),
    }
}

fn marked(point: &CrashPoint<'_>, kind: u64) -> [u64; THREADS] {
    let mut rounds = [0; THREADS];
    for mark in point.marks().filter(|mark| mark >> 32 == kind) {
        let lane = &mut rounds[(mark >> 16) as usize & 0xFF];
        *lane = (*lane).max(mark & 0xFFFF);
    }
    rounds
}

fn threads_and_cuts(mode: Mode) {
    let media = mode.media();
    media.allow_background();
    let store = store_options(mode).create_store_on(Arc::new(media.clone())).unwrap();
    let first = media.trace().events().len();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, media) = (&store, &media);
            scope.spawn(move || {
                for number in 1..=ROUNDS {
                    media.mark(mark(STARTED, thread, number));
                    round(store, thread, number).unwrap();
                    media.mark(mark(ACKNOWLEDGED, thread, number));
                }
            });
        }
    });
    store.close().unwrap();
    let effort = Effort::from_environment();
    let trace = media.trace();
    let (mut cuts, mut states) = (0, 0);
    let mut known: HashMap<u64, std::result::Result<[u64; THREADS], String>> = HashMap::new();
    let mut points = trace.cuts();
    while let Some(point) = points.next() {
        if point.index() < first || point.presence() != Presence::Present {
            continue;
        }
        cuts += 1;
        let (floor, ceiling) = (marked(point, ACKNOWLEDGED), marked(point, STARTED));
        for choice in &point.choices(effort.samples.min(6), effort.seed) {
            let mut bytes = Vec::new();
            point.build_into(choice, &mut bytes);
            states += 1;
            let outcome = known.entry(fingerprint(&bytes)).or_insert_with(|| use_store(mode, &media, bytes));
            let place = format!("{mode:?}, POBJ_SEED={}, cut {}, {choice:?}", effort.seed, point.index());
            let done = outcome.as_ref().unwrap_or_else(|what| panic!("{place}: {what}"));
            for lane in 0..THREADS {
                let possible = floor[lane]..=ceiling[lane];
                assert!(
                    possible.contains(&done[lane]),
                    "{place}: {done:?}, thread {lane} is in {possible:?}"
                );
            }
        }
    }
    println!("{mode:?}: {cuts} cuts, {states} states, {} of them different, 0 violations", known.len());
}

#[test]
fn stores_that_threads_change_survive_on_a_file() {
    threads_and_cuts(Mode::FileRedo);
}

#[test]
fn stores_that_threads_change_survive_on_persistent_memory() {
    threads_and_cuts(Mode::LineRedo);
    threads_and_cuts(Mode::ByteRedo);
}

#[test]
fn stores_that_threads_change_survive_in_place() {
    threads_and_cuts(Mode::LineUndo);
    threads_and_cuts(Mode::ByteUndo);
}
