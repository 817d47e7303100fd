//! A sequence of operations on a pool of several collections, against ordinary ones, in one of five modes. Transactions
//! commit at once, later, or not at all; in between the pool is closed and opened, checkpointed and collected, and
//! the power is cut at any moment of what has happened since it was opened.
//!
//! ```text
//! byte 0   which mode
//! steps    kind u8, two operands u8: what a transaction does, or what ends it
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use pobj::kv::{Hash, Map, Ordered};
use pobj::media::sim::SimMedia;
use pobj::{
    Durability, Error, Options, PBTreeMap, PBox, PDeque, PHashMap, PHashSet, PString, PVec, Persistent, Pool,
    Result, Tx,
};

use super::Input;
use crate::crash::{Mode, acknowledged, started};

/// Small, so that a run is short and the pool is full now and then.
const MAX_SIZE: u64 = 9 << 16;
const STEPS_MAX: usize = 100;
const PLANTED: &[u8] = b"\x02pob";
const SAMPLES: usize = 24;

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    step: u64,
    numbers: PVec<'p, u64>,
    text: PString<'p>,
    names: PHashMap<'p, u64, PString<'p>>,
    tree: PBTreeMap<'p, u32, u64>,
    queue: PDeque<'p, u16>,
    seats: PHashSet<'p, u8>,
    block: Option<PBox<'p, [u64; 300]>>,
    hashed: Map<'p, Hash>,
    ordered: Map<'p, Ordered>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    step: u64,
    numbers: Vec<u64>,
    text: String,
    names: HashMap<u64, String>,
    tree: BTreeMap<u32, u64>,
    queue: VecDeque<u16>,
    seats: BTreeSet<u8>,
    block: Option<u64>,
    hashed: BTreeMap<Vec<u8>, Vec<u8>>,
    ordered: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    fn observe(pool: &Pool<Root<'static>>) -> Self {
        let root = pool.read();
        let records = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
        Self {
            step: root.step,
            numbers: root.numbers.to_vec(),
            text: root.text.as_str().to_owned(),
            names: root.names.iter().map(|(key, name)| (*key, name.as_str().to_owned())).collect(),
            tree: root.tree.iter().map(|(key, value)| (*key, *value)).collect(),
            queue: root.queue.iter().copied().collect(),
            seats: root.seats.iter().copied().collect(),
            block: root.block.as_ref().map(|block| {
                assert!(block.iter().all(|word| *word == block[0]), "a block is torn");
                block[0]
            }),
            hashed: root.hashed.iter(&root).map(|(key, value)| records(key, value)).collect(),
            ordered: root.ordered.iter(&root).map(|(key, value)| records(key, value)).collect(),
        }
    }

    /// Does what an operation does.
    fn apply(&mut self, kind: u8, a: u8, b: u8) {
        let (key, value) = (u64::from(a), u64::from(a) << 8 | u64::from(b));
        let (bytes, long) = (vec![a % 40; 1 + a as usize % 5], vec![b; b as usize]);
        match kind {
            0 => self.numbers.push(value),
            1 => drop(self.numbers.pop()),
            2 => self.numbers.extend((0..key * 4).map(|at| at ^ value)),
            3 if !self.numbers.is_empty() => {
                let at = key as usize % self.numbers.len();
                self.numbers[at] = value;
            }
            4 => self.text.push_str(&"x\u{e9}".repeat(b as usize % 30)),
            5 => self.text.clear(),
            6 => drop(self.names.insert(key, format!("name {b}").repeat(1 + b as usize % 4))),
            7 => drop(self.names.remove(&key)),
            8 => drop(self.tree.insert(u32::from(a), value)),
            9 => drop(self.tree.remove(&u32::from(a))),
            10 => self.queue.extend((0..u16::from(b % 20)).map(|at| at ^ u16::from(a))),
            11 => drop(self.queue.pop_front()),
            12 => drop(self.seats.insert(a)),
            13 => drop(self.seats.remove(&a)),
            14 => self.block = Some(value),
            15 => self.block = None,
            16 => drop(self.hashed.insert(bytes, long)),
            17 => drop(self.hashed.remove(&bytes)),
            18 => drop(self.ordered.insert(bytes, long)),
            19 => drop(self.ordered.remove(&bytes)),
            20 => self.queue.push_front(value as u16),
            21 => self.numbers.truncate(key as usize),
            22 => self.tree.extend((0..u32::from(a)).map(|at| (at * 3, u64::from(b)))),
            _ => *self = Self { step: self.step, ..Self::default() },
        }
    }
}

const KINDS: u8 = 24;

fn apply<'p>(root: &mut Root<'p>, tx: &Tx<'p>, kind: u8, a: u8, b: u8) -> Result<()> {
    let (key, value) = (u64::from(a), u64::from(a) << 8 | u64::from(b));
    let (bytes, long) = (vec![a % 40; 1 + a as usize % 5], vec![b; b as usize]);
    match kind {
        0 => root.numbers.push(tx, value)?,
        1 => drop(root.numbers.pop()),
        2 => root.numbers.extend(tx, (0..key * 4).map(|at| at ^ value))?,
        3 if !root.numbers.is_empty() => {
            let at = key as usize % root.numbers.len();
            if let Some(number) = root.numbers.get_mut(at, tx) {
                *number = value;
            }
        }
        4 => root.text.push_str(tx, &"x\u{e9}".repeat(b as usize % 30))?,
        5 => root.text.clear(),
        6 => {
            let name = PString::from_str(tx, &format!("name {b}").repeat(1 + b as usize % 4))?;
            drop(root.names.insert(tx, key, name)?);
        }
        7 => drop(root.names.remove(&key, tx)),
        8 => drop(root.tree.insert(tx, u32::from(a), value)?),
        9 => drop(root.tree.remove(&u32::from(a), tx)),
        10 => root.queue.extend(tx, (0..u16::from(b % 20)).map(|at| at ^ u16::from(a)))?,
        11 => drop(root.queue.pop_front()),
        12 => drop(root.seats.insert(tx, a)?),
        13 => drop(root.seats.remove(&a, tx)),
        14 => root.block = Some(PBox::new(tx, [value; 300])?),
        15 => root.block = None,
        16 => drop(root.hashed.put(tx, &bytes, &long)?),
        17 => drop(root.hashed.remove(&bytes, tx)?),
        18 => drop(root.ordered.put(tx, &bytes, &long)?),
        19 => drop(root.ordered.remove(&bytes, tx)?),
        20 => root.queue.push_front(tx, value as u16)?,
        21 => root.numbers.truncate(key as usize),
        22 => {
            for at in 0..u32::from(a) {
                root.tree.insert(tx, at * 3, u64::from(b))?;
            }
        }
        _ => {
            let step = root.step;
            *root = Root { step, ..Root::default() };
        }
    }
    Ok(())
}

fn options(mode: Mode) -> Options<Root<'static>> {
    Pool::<Root>::options()
        .size(64 << 10)
        .max_size(MAX_SIZE)
        .ring_size(64 << 10)
        .validation_threads(1)
        .image(mode.image())
}

/// An empty pool that each run begins with.
struct Begin {
    media: SimMedia,
    bytes: Vec<u8>,
}

thread_local! {
    static BEGINS: RefCell<Vec<Option<Begin>>> = const { RefCell::new(Vec::new()) };
}

/// Does what the bytes say.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    assert!(!input.is_planted(PLANTED), "the planted bug");
    let which = input.byte() as usize % Mode::ALL.len();
    let mode = Mode::ALL[which];
    let begun = BEGINS.with_borrow_mut(|begins| {
        begins.resize_with(Mode::ALL.len(), || None);
        let begin = begins[which].get_or_insert_with(|| {
            let media = SimMedia::with_domain(MAX_SIZE, mode.domain()).expect("memory");
            let made = options(mode).create_on(Arc::new(media.clone()), |_| Ok(Root::default()));
            made.and_then(Pool::close).expect("a new pool");
            Begin { bytes: media.bytes(), media }
        });
        begin.media.with_bytes(begin.bytes.clone())
    });
    let mut run = Run::open(mode, begun, vec![Model::default()]);
    let mut transaction = Vec::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let (kind, a, b) = (input.byte() % 32, input.byte(), input.byte());
        match kind {
            0..KINDS => transaction.push((kind, a, b)),
            24 | 25 => run.commit(&std::mem::take(&mut transaction), Durability::Immediate),
            26 => run.commit(&std::mem::take(&mut transaction), Durability::Eventual),
            27 => run.abort(&std::mem::take(&mut transaction)),
            28 | 29 => run = run.crash(a, b),
            30 => run = run.reopen(),
            _ => run.tidy(a),
        }
    }
    run.commit(&transaction, Durability::Immediate);
    drop(run.reopen());
}

/// A pool at work. What it held when it was opened is the first of the models, and the last one is what it holds.
struct Run {
    mode: Mode,
    media: SimMedia,
    pool: Pool<Root<'static>>,
    models: Vec<Model>,
}

impl Run {
    /// Opens what must show one of the models, and goes on from there.
    fn open(mode: Mode, media: SimMedia, models: Vec<Model>) -> Self {
        let pool = match options(mode).open_on(Arc::new(media.clone())) {
            Ok(pool) => pool,
            Err(error) => panic!("{mode:?}: it does not open: {error}"),
        };
        let seen = Model::observe(&pool);
        assert!(models.contains(&seen), "{mode:?}: {seen:?}, none of {models:?}");
        assert_eq!(pool.stats().opened.unreachable_blocks, 0, "blocks are lost");
        Self { mode, media, pool, models: vec![seen] }
    }

    fn last(&self) -> &Model {
        &self.models[self.models.len() - 1]
    }

    fn commit(&mut self, steps: &[(u8, u8, u8)], durability: Durability) {
        let mut model = self.last().clone();
        model.step += 1;
        steps.iter().for_each(|(kind, a, b)| model.apply(*kind, *a, *b));
        let index = self.models.len() as u64;
        self.media.mark(started(index));
        let outcome = self.pool.write(|root, tx| {
            tx.set_durability(durability);
            root.step += 1;
            steps.iter().try_for_each(|(kind, a, b)| apply(root, tx, *kind, *a, *b))
        });
        match outcome {
            Ok(()) => {
                self.models.push(model);
                self.media.mark(acknowledged(self.mode, index, durability));
            }
            Err(Error::PoolFull { .. }) => {}
            Err(error) => panic!("{:?}: a commit failed: {error}", self.mode),
        }
        assert_eq!(&Model::observe(&self.pool), self.last());
    }

    fn abort(&mut self, steps: &[(u8, u8, u8)]) {
        let outcome = self.pool.write(|root, tx| {
            root.step += 1;
            steps.iter().try_for_each(|(kind, a, b)| apply(root, tx, *kind, *a, *b))?;
            Err::<(), _>(Error::abort("on purpose"))
        });
        assert!(matches!(outcome, Err(Error::Aborted(_) | Error::PoolFull { .. })), "{outcome:?}");
        assert_eq!(&Model::observe(&self.pool), self.last());
    }

    fn tidy(&mut self, which: u8) {
        let done = match which % 3 {
            0 => self.pool.checkpoint(),
            1 => self.pool.sync(),
            _ => self.pool.collect().map(|found| assert_eq!(found.blocks, 0, "blocks are lost")),
        };
        done.expect("the medium does not fail");
    }

    fn reopen(mut self) -> Self {
        self.pool.close().expect("it closes");
        let last = self.models.pop().into_iter().collect();
        Self::open(self.mode, self.media.with_bytes(self.media.bytes()), last)
    }

    /// Cuts the power at some moment since the pool was opened.
    fn crash(self, cut: u8, choice: u8) -> Self {
        let trace = self.media.trace();
        // The last moments are the more interesting ones, and a low number is one of them.
        let back = (usize::from(cut) * usize::from(cut) / 16).min(trace.events().len());
        let at = trace.events().len() - back;
        let mut cuts = trace.cuts();
        let mut state = None;
        while let Some(point) = cuts.next() {
            if point.index() == at {
                let choices = point.choices(SAMPLES, u64::from(choice));
                state =
                    Some((point.build(&choices[usize::from(choice) % choices.len()]), bounds(point.marks())));
                break;
            }
        }
        let Some((bytes, (durable, begun))) = state else { panic!("there is no moment {at}") };
        // The pool goes without a word: its addresses are wanted again.
        drop(self.pool);
        // A transaction that failed has begun as well.
        let end = (begun as usize).min(self.models.len() - 1);
        let models = self.models[durable as usize..=end].to_vec();
        Self::open(self.mode, self.media.with_bytes(bytes), models)
    }
}

/// The last model that is durable, and the last one that was begun.
fn bounds(marks: impl Iterator<Item = u64>) -> (u64, u64) {
    let (durable, begun) = (acknowledged(Mode::FileRedo, 0, Durability::Immediate) >> 56, started(0) >> 56);
    marks.fold((0, 0), |(last_durable, last_begun), mark| {
        let (kind, index) = (mark >> 56, mark & ((1 << 56) - 1));
        match kind {
            kind if kind == durable => (index, last_begun),
            kind if kind == begun => (last_durable, index),
            _ => (last_durable, last_begun),
        }
    })
}
