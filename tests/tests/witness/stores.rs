//! Files of the facilities: key-value stores of either engine, an array of blocks, a log. What is in them is worked out
//! beside them in `std`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pobj::blk::{Blocks, State};
use pobj::kv::{Batch, Bytewise, Engine, Hash, Order, Ordered, Store};
use pobj::log::{Log, Position};
use pobj::{Error, Result};

use super::living;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Bytes that a number stands for, not too hard to compress.
fn bytes(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number as u8).wrapping_add((at % 64) as u8)).collect()
}

fn key(number: u64) -> Vec<u8> {
    match number {
        0 => Vec::new(),
        1 => vec![0],
        2 => vec![0xFF; 300],
        _ => [format!("key {:03}", number * 37 % 1000).as_bytes(), &bytes(number, number as usize % 5)]
            .concat(),
    }
}

fn value(number: u64) -> Vec<u8> {
    match number {
        5 => Vec::new(),
        6 => bytes(number, 70_000),
        _ => bytes(number, number as usize % 60),
    }
}

const RECORDS: u64 = 300;

/// The changes of a round: new records, values that grow, records that go.
fn changes(round: u64) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let new = RECORDS * round..RECORDS * (round + 1);
    let grown = new.clone().step_by(10).collect();
    let gone = new.clone().skip(3).step_by(7).collect();
    (new.collect(), grown, gone)
}

fn model(rounds: u64) -> Model {
    let mut model = Model::new();
    for round in 0..rounds {
        let (new, grown, gone) = changes(round);
        model.extend(new.into_iter().map(|number| (key(number), value(number))));
        model.extend(grown.into_iter().map(|number| (key(number), bytes(number, 200))));
        gone.into_iter().for_each(|number| drop(model.remove(&key(number))));
    }
    model
}

fn change<E: Engine>(store: &Store<E>, round: u64) {
    let (new, grown, gone) = changes(round);
    for number in new {
        store.put(&key(number), &value(number)).unwrap();
    }
    for number in grown {
        store.put(&key(number), &bytes(number, 200)).unwrap();
    }
    let mut batch = Batch::new();
    for number in gone {
        batch.remove(&key(number));
    }
    store.apply(&batch).unwrap();
}

/// A copy of the store while it is open, with its last changes in the journal.
fn make<E: Engine>(path: &Path) {
    let options = Store::<E>::options().size(64 << 10).max_size(16 << 20).ring_size(64 << 10);
    let store = options.create_store(living(path)).unwrap();
    change(&store, 0);
    store.pool().checkpoint().unwrap();
    store.put(b"last", b"in the journal").unwrap();
    fs::copy(living(path), path).unwrap();
}

fn compare<E: Engine>(store: &Store<E>, rounds: u64, ordered: bool) {
    let mut expected = model(rounds);
    expected.insert(b"last".to_vec(), b"in the journal".to_vec());
    let now = store.read().unwrap();
    let mut found: Vec<_> = now.iter().collect();
    if !ordered {
        found.sort_unstable();
    }
    assert!(found.into_iter().eq(expected.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))));
    assert_eq!(now.count(), expected.len());
    assert!(expected.iter().all(|(key, value)| now.get(key) == Some(value.as_slice())));
    assert!(changes(0).2.into_iter().all(|number| !now.exists(&key(number))));
}

fn check<E: Engine>(path: &Path, ordered: bool) {
    let store = Store::<E>::open(path).unwrap();
    let opened = store.stats().opened;
    assert!(opened.validated_values > 0 && opened.replayed > 0);
    compare(&store, 1, ordered);
    change(&store, 1);
    compare(&store, 2, ordered);
    store.close().unwrap();
    compare(&Store::<E>::open(path).unwrap(), 2, ordered);
}

pub fn make_hash(path: &Path) {
    make::<Hash>(path);
}

pub fn check_hash(path: &Path) {
    assert!(matches!(Store::<Ordered>::open(path), Err(Error::SchemaMismatch { .. })));
    check::<Hash>(path, false);
}

pub fn open_hash(path: &Path) -> Result<()> {
    Store::<Hash>::open(path).map(drop)
}

pub fn make_ordered(path: &Path) {
    make::<Ordered>(path);
}

pub fn check_ordered(path: &Path) {
    assert!(matches!(Store::<Hash>::open(path), Err(Error::SchemaMismatch { .. })));
    check::<Ordered>(path, true);
}

pub fn open_ordered(path: &Path) -> Result<()> {
    Store::<Ordered>::open(path).map(drop)
}

/// One of keys that tell apart only behind what many have in common.
fn long_key(number: u64) -> Vec<u8> {
    format!("country/town {}/street/{:09}", number % 3, number * 7919).into_bytes()
}

pub fn make_alike(path: &Path) {
    let options = Store::<Ordered>::options().size(64 << 10).max_size(16 << 20).ring_size(64 << 10);
    let store = options.create_store(living(path)).unwrap();
    for number in 0..RECORDS {
        store.put(&long_key(number * 37 % RECORDS), &value(number % 5)).unwrap();
    }
    fs::copy(living(path), path).unwrap();
}

pub fn check_alike(path: &Path) {
    let store = Store::<Ordered>::open(path).unwrap();
    let mut model: Model = (0..RECORDS).map(|n| (long_key(n * 37 % RECORDS), value(n % 5))).collect();
    let compare = |store: &Store<Ordered>, model: &Model| {
        let now = store.read().unwrap();
        assert!(now.iter().eq(model.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))));
        assert!(model.iter().all(|(key, value)| now.get(key) == Some(value.as_slice())));
    };
    compare(&store, &model);
    for number in RECORDS..2 * RECORDS {
        store.put(&long_key(number), b"new").unwrap();
        model.insert(long_key(number), b"new".to_vec());
        assert!(store.remove(&long_key(number - RECORDS)).unwrap());
        model.remove(&long_key(number - RECORDS));
    }
    compare(&store, &model);
    store.close().unwrap();
}

/// From the last key to the first.
struct Backwards;

impl Order for Backwards {
    const NAME: &'static str = "backwards";

    fn compare(a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

pub fn make_backwards(path: &Path) {
    make::<Ordered<Backwards>>(path);
}

pub fn check_backwards(path: &Path) {
    match Store::<Ordered>::open(path) {
        Err(Error::OrderMismatch { found, expected }) => {
            assert_eq!((found.as_str(), expected.as_str()), (Backwards::NAME, Bytewise::NAME));
        }
        other => panic!("opened in another order: {other:?}"),
    }
    let store = Store::<Ordered<Backwards>>::open(path).unwrap();
    assert!(store.read().unwrap().iter().map(|(key, _)| key).is_sorted_by(|a, b| a > b));
    store.close().unwrap();
}

pub fn open_backwards(path: &Path) -> Result<()> {
    Store::<Ordered<Backwards>>::open(path).map(drop)
}

const BLOCK: usize = 700;
const BLOCKS: u64 = 100_000;
/// In several parts of the table, first and last among them.
const WRITTEN: [u64; 7] = [0, 1, 511, 512, 5_000, 77_777, BLOCKS - 1];

pub fn make_blocks(path: &Path) {
    let options = Blocks::options().size(64 << 10).max_size(16 << 20).ring_size(64 << 10);
    let blocks = options.create(living(path), BLOCK, BLOCKS).unwrap();
    for number in WRITTEN {
        blocks.write(number, &bytes(number, BLOCK)).unwrap();
    }
    blocks.write(2, &bytes(2, BLOCK)).unwrap();
    blocks.set_zero(2).unwrap();
    blocks.set_error(3).unwrap();
    blocks.checkpoint().unwrap();
    blocks.write(512, &bytes(99, BLOCK)).unwrap();
    fs::copy(living(path), path).unwrap();
}

pub fn check_blocks(path: &Path) {
    let mut expected: BTreeMap<u64, Vec<u8>> = WRITTEN.map(|number| (number, bytes(number, BLOCK))).into();
    expected.insert(512, bytes(99, BLOCK));
    let compare = |blocks: &Blocks, expected: &BTreeMap<u64, Vec<u8>>| {
        assert_eq!((blocks.block_size(), blocks.count()), (BLOCK, BLOCKS));
        let mut block = vec![1; BLOCK];
        for number in (0..600).chain(WRITTEN) {
            let state = blocks.state(number).unwrap();
            match (number, expected.get(&number)) {
                (3, None) => {
                    assert!(matches!(blocks.read(3, &mut block), Err(Error::BadBlock { number: 3 })));
                    continue;
                }
                (_, Some(written)) => {
                    blocks.read(number, &mut block).unwrap();
                    assert_eq!((state, &block), (State::Written, written), "{number}");
                }
                (_, None) => {
                    blocks.read(number, &mut block).unwrap();
                    assert!(state == State::Zero && block.iter().all(|byte| *byte == 0), "{number}");
                }
            }
        }
    };
    let blocks = Blocks::open(path, Some(BLOCK)).unwrap();
    assert!(blocks.stats().opened.replayed > 0);
    compare(&blocks, &expected);
    for number in [3, 512, 513] {
        blocks.write(number, &bytes(number + 1, BLOCK)).unwrap();
        expected.insert(number, bytes(number + 1, BLOCK));
    }
    blocks.set_zero(0).unwrap();
    expected.remove(&0);
    blocks.close().unwrap();
    compare(&Blocks::open(path, None).unwrap(), &expected);
}

pub fn open_blocks(path: &Path) -> Result<()> {
    Blocks::open(path, None).map(drop)
}

const ENTRIES: u64 = 200;

fn entry(number: u64) -> Vec<u8> {
    bytes(number, number as usize * 13 % 90)
}

/// Rewound once, so that there are older frames behind the last; the tail at open has to be found.
pub fn make_log(path: &Path) {
    let log = Log::create(living(path), 64 << 10).unwrap();
    for number in 0..2 * ENTRIES {
        log.append(&entry(number + 7)).unwrap();
    }
    log.rewind().unwrap();
    for number in 0..ENTRIES - 3 {
        log.append(&entry(number)).unwrap();
    }
    log.append_all((ENTRIES - 3..ENTRIES).map(entry)).unwrap();
    fs::copy(living(path), path).unwrap();
}

pub fn check_log(path: &Path) {
    let compare = |log: &Log, entries: u64| {
        let found: Vec<(Position, Vec<u8>)> = log.entries().map(|found| found.unwrap()).collect();
        assert!(found.iter().map(|(_, bytes)| bytes.clone()).eq((0..entries).map(entry)));
        assert!(found.iter().all(|(position, _)| position.generation() == 2));
        assert_eq!((log.count(), log.capacity()), (entries, 64 << 10));
        assert_eq!(log.check().unwrap().entries, entries);
        let mut from = log.entries_from(found[100].0).unwrap();
        assert_eq!(from.next().unwrap().unwrap().1, entry(100));
    };
    let log = Log::open(path).unwrap();
    compare(&log, ENTRIES);
    log.append(&entry(ENTRIES)).unwrap();
    compare(&log, ENTRIES + 1);
    log.close().unwrap();
    let log = Log::open(path).unwrap();
    compare(&log, ENTRIES + 1);
    log.rewind().unwrap();
    log.close().unwrap();
    assert!(Log::open(path).unwrap().is_empty());
}

pub fn open_log(path: &Path) -> Result<()> {
    Log::open(path).map(drop)
}

pub fn open_log_read_only(path: &Path) -> Result<()> {
    Log::open_read_only(path).map(drop)
}
