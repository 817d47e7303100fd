//! The cache against a deque of `std`, with transactions that roll back and with reopenings, and the program as its users
//! run it. Would catch an order of use that differs, a key whose entry is gone or an entry without its key, a rollback
//! or a reopening that changes either, and counters that outlive their run.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;

use examples::lru::{Cache, Lru};
use pobj::{Durability, Error, Pool, Result, Tx};

const STEPS: usize = 2000;
const KEYS: u64 = 12;

/// The same cache in `std`: used last comes first.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    capacity: u64,
    entries: VecDeque<(String, String)>,
}

impl Model {
    fn take(&mut self, key: &str) -> Option<(String, String)> {
        let place = self.entries.iter().position(|(other, _)| other == key)?;
        self.entries.remove(place)
    }

    fn get(&mut self, key: &str) -> Option<String> {
        let entry = self.take(key)?;
        self.entries.push_front(entry.clone());
        Some(entry.1)
    }

    fn put(&mut self, key: &str, value: &str) -> u64 {
        self.take(key);
        self.entries.push_front((key.to_owned(), value.to_owned()));
        self.evict()
    }

    fn evict(&mut self) -> u64 {
        let before = self.entries.len() as u64;
        self.entries.truncate(self.capacity as usize);
        before - self.entries.len() as u64
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One random operation on both.
fn step<'p>(lru: &mut Lru<'p>, tx: &Tx<'p>, model: &mut Model, random: &mut Random) -> Result<()> {
    let key = format!("key {}", random.below(KEYS));
    match random.below(8) {
        0..3 => {
            let value = "v".repeat(random.below(100) as usize);
            assert_eq!(lru.put(tx, &key, &value)?, model.put(&key, &value));
        }
        3..6 => {
            assert_eq!(lru.get(&key, tx).map(str::to_owned), model.get(&key));
        }
        6 => assert_eq!(lru.remove(&key, tx), model.take(&key).is_some()),
        _ => {
            model.capacity = random.below(KEYS);
            assert_eq!(lru.set_capacity(model.capacity, tx), model.evict());
        }
    }
    Ok(())
}

fn check(cache: &Cache, model: &Model, seed: u64) {
    let lru = cache.pool().read();
    let entries: VecDeque<_> = lru.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let found = Model { capacity: lru.capacity(), entries };
    assert_eq!(&found, model, "seed {seed}");
    for key in (0..KEYS).map(|number| format!("key {number}")) {
        let expected = model.entries.iter().find(|(other, _)| *other == key).map(|(_, value)| value.as_str());
        assert_eq!(lru.peek(&key), expected, "seed {seed}, {key}");
    }
}

#[test]
fn it_is_the_model_through_rollbacks_and_reopenings() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lru.pobj");
        let mut random = Random(seed);
        let mut cache = Cache::open(&path, Some(5)).unwrap();
        let mut model = Model { capacity: 5, ..Model::default() };
        let mut done = 0;
        while done < STEPS {
            let steps = 1 + random.below(10) as usize;
            let rolls_back = random.below(4) == 0;
            let mut after = model.clone();
            let outcome = cache.pool().write(|lru, tx| {
                for _ in 0..steps {
                    step(lru, tx, &mut after, &mut random)?;
                }
                if rolls_back { Err(Error::abort("as planned")) } else { Ok(()) }
            });
            assert_eq!(outcome.is_err(), rolls_back, "seed {seed}: {outcome:?}");
            if !rolls_back {
                model = after;
            }
            check(&cache, &model, seed);
            done += steps;
            if random.below(25) == 0 {
                cache.close().unwrap();
                // A capacity of none is that of a new cache.
                cache = Cache::open(&path, Some(model.capacity)).unwrap();
                check(&cache, &model, seed);
            }
        }
    }
}

#[test]
fn entries_survive_and_counters_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lru.pobj");
    let counts = |cache: &Cache| {
        let counters = cache.counters();
        (counters.hits(), counters.misses(), counters.evictions())
    };
    let cache = Cache::open(&path, Some(2)).unwrap();
    for key in ["one", "two", "three"] {
        cache.put(key, "number").unwrap();
    }
    assert_eq!(cache.get("one").unwrap(), None);
    assert_eq!(cache.get("two").unwrap().as_deref(), Some("number"));
    assert_eq!(counts(&cache), (1, 1, 1));
    drop(cache);

    let cache = Cache::open(&path, None).unwrap();
    assert_eq!(counts(&cache), (0, 0, 0));
    assert_eq!(cache.pool().read().capacity(), 2);
    assert!(cache.get("three").unwrap().is_some());
    assert!(cache.get("two").unwrap().is_some());
    assert_eq!(counts(&cache), (2, 0, 0));
}

/// What is used already is in its place: no word changes, so there is nothing to write.
#[test]
fn the_value_used_last_is_got_without_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("lru.pobj"), None).unwrap();
    cache.put("key", "value").unwrap();
    let before = cache.pool().last_committed();
    assert!(cache.get("key").unwrap().is_some());
    assert!(cache.get("none").unwrap().is_none());
    assert_eq!(cache.pool().last_committed(), before);
}

/// A full pool: whichever of the things that a new entry needs has no room, the entries before it stay as they are.
#[test]
fn a_put_without_room_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Pool::<Lru>::options().max_size(4 << 20).size(128 << 10).ring_size(64 << 10);
    let pool = options.durability(Durability::Eventual).open_or_create(dir.path().join("lru.pobj")).unwrap();
    pool.write(|lru, tx| Ok(lru.set_capacity(u64::MAX, tx))).unwrap();
    let mut random = Random(1);
    let mut refused = 0;
    let mut model = Model { capacity: u64::MAX, ..Model::default() };
    for number in 0..200_000 {
        let key = format!("{number} {}", "k".repeat(random.below(60) as usize));
        let value = "v".repeat(random.below(60) as usize);
        // The error does not end the transaction: what `put` has left is committed.
        match pool.write(|lru, tx| Ok(lru.put(tx, &key, &value))).unwrap() {
            Ok(evicted) => {
                assert_eq!(evicted, 0);
                model.entries.push_front((key, value));
            }
            Err(error) => {
                assert!(matches!(error, Error::PoolFull { .. }), "{error}");
                let lru = pool.read();
                assert_eq!(lru.peek(&key), None);
                assert!(
                    lru.iter().eq(model.entries.iter().map(|(key, value)| (key.as_str(), value.as_str())))
                );
                refused += 1;
            }
        }
        if refused == 200 {
            break;
        }
    }
    assert_eq!(refused, 200);
    // Room again, and all of it is found.
    pool.write(|lru, tx| Ok(lru.set_capacity(10, tx))).unwrap();
    model.entries.truncate(10);
    let lru = pool.read();
    assert_eq!(lru.len(), 10);
    assert!(model.entries.iter().all(|(key, value)| lru.peek(key) == Some(value)));
}

fn lru(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lru")).current_dir(dir).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_program_remembers_from_run_to_run() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(lru(dir.path(), &["--capacity", "2", "put", "bee", "yellow"]), "0 evicted\n");
    lru(dir.path(), &["put", "ant", "black"]);
    assert_eq!(lru(dir.path(), &["get", "bee"]), "bee: yellow\n1 hits, 0 misses\n");
    assert_eq!(lru(dir.path(), &["put", "cat", "grey"]), "1 evicted\n");
    assert_eq!(lru(dir.path(), &["stats"]), "2 of 2 entries\ncat: grey\nbee: yellow\n");
    assert_eq!(lru(dir.path(), &["get", "ant"]), "ant is not there\n0 hits, 1 misses\n");
}

#[test]
fn the_demo_hits_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let output = lru(dir.path(), &["demo"]);
    let (_, after) = output.split_once("closed and opened again\n").unwrap();
    assert_eq!(
        after,
        "3 of 3 entries\ndog: brown\nant: black\ncat: grey\nant: black\nbee is not there\ncat: grey\n2 hits, 1 misses\n"
    );
}
