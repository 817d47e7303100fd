//! The key-value store and its hash engine against models: keys and values of every kind, batches, callbacks that stop, fail
//! or panic, full pools, several maps in one pool, many threads, damaged tables (B33 to B43, B50).
//!
//! Catches: a record that a division of a bucket loses or doubles, a key taken for its prefix, a value torn or left behind by
//! an abort, a block that leaks, a lock that outlives a panic, a count that drifts, a damaged part that is believed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pobj::kv::{Batch, Hash, Map, Plain, Store, Typed};
use pobj::layout::Schema;
use pobj::media::{Domain, ImageMode, RamMedia};
use pobj::{Durability, Error, PMutex, PVec, Persistent, Pool, Result};
use proptest::collection::vec;
use proptest::prelude::*;

const MAX_SIZE: u64 = 8 << 20;
/// Room for a run of each size class that the model test's values need.
const SMALL_POOL: u64 = if cfg!(miri) { 1 << 20 } else { 3 << 20 };

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(if cfg!(miri) { 1 << 20 } else { MAX_SIZE }).unwrap())
}

fn create_on(media: &Arc<RamMedia>, max_size: u64) -> Store<Hash> {
    let options = Store::<Hash>::options().max_size(max_size).size(128 << 10).ring_size(64 << 10);
    options.create_store_on(media.clone()).unwrap()
}

fn create(media: &Arc<RamMedia>) -> Store<Hash> {
    create_on(media, if cfg!(miri) { 1 << 20 } else { MAX_SIZE })
}

fn open(media: &Arc<RamMedia>) -> Store<Hash> {
    Store::<Hash>::options().validation_threads(1).open_store_on(media.clone()).unwrap()
}

fn reopen(store: Store<Hash>, media: &Arc<RamMedia>) -> Store<Hash> {
    store.close().unwrap();
    open(media)
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn contents(store: &Store<Hash>) -> Model {
    let now = store.read().unwrap();
    let found: Model = now.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    assert_eq!(found.len(), now.count(), "a key is there twice, or the count has drifted");
    found
}

/// Everything that there is to see of a store is what the model says.
fn check(store: &Store<Hash>, model: &Model) {
    assert_eq!(contents(store), *model);
    assert_eq!(store.count().unwrap(), model.len());
    for (key, value) in model {
        assert_eq!(store.get_copy(key).unwrap().as_ref(), Some(value));
    }
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|n| (seed.wrapping_mul(131).wrapping_add(n * 29) >> 2) as u8).collect()
}

/// Would catch keys that end at a zero byte, that are cut, or that are taken for a longer or shorter one (B34, B37).
#[test]
fn keys_are_any_bytes() {
    let media = media();
    let mut store = create(&media);
    let mut model = Model::new();
    let mut keys: Vec<Vec<u8>> =
        vec![vec![], vec![0], vec![0, 0], vec![0xFF; 3], b"a\0b".to_vec(), b"a\0c".to_vec()];
    // Prefixes of each other, at every length around a word's and a line's.
    keys.extend((1..if cfg!(miri) { 20 } else { 140 }).map(|len| bytes(len, 1)));
    keys.extend([bytes(3000, 1), bytes(100_000, 1)]);
    if !cfg!(miri) {
        keys.push(bytes(1 << 20, 7));
    }
    for (n, key) in keys.iter().enumerate() {
        let value = bytes(n % 50, n as u64);
        assert_eq!(store.put(key, &value).unwrap(), model.insert(key.clone(), value).is_none());
    }
    check(&store, &model);
    store = reopen(store, &media);
    check(&store, &model);
    for key in keys.iter().step_by(2) {
        assert_eq!(store.remove(key).unwrap(), model.remove(key).is_some());
        assert!(!store.remove(key).unwrap() && !store.exists(key).unwrap());
        assert_eq!(store.get(key, |_| ()).unwrap(), None);
    }
    check(&reopen(store, &media), &model);
}

/// Would catch a value that keeps a tail of its predecessor, and blocks that are not given back (B35).
#[test]
fn values_are_empty_huge_grow_and_shrink() {
    let media = media();
    let store = create(&media);
    let empty = store.stats().heap.live_blocks;
    let lens: &[usize] = if cfg!(miri) {
        &[0, 1, 100, 3, 0, 9]
    } else {
        &[0, 1, 7, 8, 100, 3_000_000, 99, 101, 128, 129, 0, 70_000, 65_000, 5]
    };
    for (n, len) in lens.iter().enumerate() {
        let value = bytes(*len, n as u64);
        assert_eq!(store.put(b"key", &value).unwrap(), n == 0);
        assert!(store.get(b"key", |found| found == value).unwrap().unwrap());
        let filled = store.put_with(b"filled", *len, |bytes| {
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.copy_from_slice(&value);
            Ok::<_, Error>(())
        });
        assert_eq!(filled.unwrap(), n == 0);
        assert!(store.get(b"filled", |found| found == value).unwrap().unwrap());
    }
    let store = reopen(store, &media);
    assert_eq!(store.get(b"key", |found| found.len()).unwrap(), lens.last().copied());
    store.clear().unwrap();
    assert_eq!((store.count().unwrap(), store.stats().heap.live_blocks), (0, empty));
    let none =
        store.insert_if_absent(b"key", b"one").unwrap() && !store.insert_if_absent(b"key", b"two").unwrap();
    assert!(none && store.get(b"key", |found| found == b"one").unwrap().unwrap());
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, usize),
    PutWith(u8, usize, bool),
    Insert(u8, usize),
    Update(u8, usize, usize),
    Remove(u8),
    /// A batch of puts and removes.
    Apply(Vec<(u8, Option<usize>)>),
    /// The same as a closure, which fails at its end or not.
    Batch(Vec<(u8, Option<usize>)>, bool),
    Clear,
    Full(u8),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![4 => 0..40usize, 1 => 100..300usize];
    let change = (any::<u8>(), proptest::option::weighted(0.7, 0..60usize));
    prop_oneof![
        12 => (any::<u8>(), len.clone()).prop_map(|(key, len)| Op::Put(key, len)),
        3 => (any::<u8>(), len.clone(), prop::bool::weighted(0.3)).prop_map(|(key, len, fails)| Op::PutWith(key, len, fails)),
        3 => (any::<u8>(), len).prop_map(|(key, len)| Op::Insert(key, len)),
        4 => (any::<u8>(), 0..50usize, 0..20usize).prop_map(|(key, start, len)| Op::Update(key, start, len)),
        6 => any::<u8>().prop_map(Op::Remove),
        3 => vec(change.clone(), 0..12).prop_map(Op::Apply),
        3 => (vec(change, 0..12), any::<bool>()).prop_map(|(changes, fails)| Op::Batch(changes, fails)),
        1 => Just(Op::Full(7)),
        1 => prop::bool::weighted(0.1).prop_map(|clear| if clear { Op::Clear } else { Op::Reopen }),
    ]
}

/// Few keys, of several lengths, so that they meet.
fn key(n: u8) -> Vec<u8> {
    bytes(usize::from(n % 23), u64::from(n))
}

struct Both {
    media: Arc<RamMedia>,
    store: Store<Hash>,
    model: Model,
    seed: u64,
}

impl Both {
    fn value(&mut self, len: usize) -> Vec<u8> {
        self.seed += 1;
        bytes(len, self.seed)
    }

    fn run(mut self, op: Op) -> Self {
        let store = &self.store;
        match op {
            Op::Put(n, len) => {
                let value = self.value(len);
                assert_eq!(
                    self.store.put(&key(n), &value).unwrap(),
                    self.model.insert(key(n), value).is_none()
                );
            }
            Op::PutWith(n, len, fails) => {
                let value = self.value(len);
                let outcome = self.store.put_with(&key(n), len, |bytes| {
                    bytes.copy_from_slice(&value);
                    if fails { Err(Error::abort("no")) } else { Ok(()) }
                });
                assert_eq!(outcome.is_err(), fails);
                if !fails {
                    assert_eq!(outcome.unwrap(), self.model.insert(key(n), value).is_none());
                }
            }
            Op::Insert(n, len) => {
                let value = self.value(len);
                let added = self.store.insert_if_absent(&key(n), &value).unwrap();
                assert_eq!(added, !self.model.contains_key(&key(n)));
                self.model.entry(key(n)).or_insert(value);
            }
            Op::Update(n, start, len) => {
                let outcome = store.update(&key(n), start..start + len, |bytes| bytes.fill(n));
                match self.model.get_mut(&key(n)) {
                    None => assert!(outcome.unwrap().is_none()),
                    Some(value) if start + len > value.len() => {
                        assert!(matches!(outcome, Err(Error::OutOfRange { .. })), "{outcome:?}");
                    }
                    Some(value) => value[start..start + len].fill(n),
                }
            }
            Op::Remove(n) => assert_eq!(store.remove(&key(n)).unwrap(), self.model.remove(&key(n)).is_some()),
            Op::Apply(changes) => {
                let mut batch = Batch::new();
                for (n, len) in changes {
                    match len.map(|len| self.value(len)) {
                        Some(value) => {
                            batch.put(&key(n), &value);
                            self.model.insert(key(n), value);
                        }
                        None => {
                            batch.remove(&key(n));
                            self.model.remove(&key(n));
                        }
                    }
                }
                self.store.apply(&batch).unwrap();
            }
            Op::Batch(changes, fails) => self.batch(changes, fails),
            Op::Clear => {
                store.clear().unwrap();
                self.model.clear();
            }
            Op::Full(n) => {
                let huge = vec![1; SMALL_POOL as usize];
                let full = store.put(&key(n), &huge);
                assert!(matches!(full, Err(Error::PoolFull { .. })), "{full:?}");
            }
            Op::Reopen => self.store = reopen(self.store, &self.media),
        }
        self
    }

    fn batch(&mut self, changes: Vec<(u8, Option<usize>)>, fails: bool) {
        let before = self.model.clone();
        let changes: Vec<_> =
            changes.into_iter().map(|(n, len)| (key(n), len.map(|len| self.value(len)))).collect();
        let outcome = self.store.batch(|tx| {
            for (key, value) in &changes {
                match value {
                    Some(value) => {
                        let new = tx.put(key, value)?;
                        assert_eq!(new, self.model.insert(key.clone(), value.clone()).is_none());
                    }
                    None => assert_eq!(tx.remove(key)?, self.model.remove(key).is_some()),
                }
                assert_eq!(tx.get_copy(key)?, self.model.get(key).cloned());
            }
            if fails { Err(Error::abort("no")) } else { Ok(()) }
        });
        assert_eq!(outcome.is_err(), fails);
        if fails {
            self.model = before;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 200 }, ..ProptestConfig::default() })]

    /// Also finds blocks that leak: at the end nothing is left but what an empty store has (B36, B42).
    #[test]
    fn a_store_is_a_map(ops in vec(op(), 1..if cfg!(miri) { 12 } else { 300 })) {
        let media = media();
        let store = create_on(&media, SMALL_POOL);
        let empty = store.stats().heap.live_blocks;
        let mut both = Both { media, store, model: Model::new(), seed: 0 };
        for op in ops {
            both = both.run(op);
        }
        check(&both.store, &both.model);
        let Both { media, store, model, .. } = both;
        let store = reopen(store, &media);
        check(&store, &model);
        store.clear().unwrap();
        prop_assert_eq!(store.stats().heap.live_blocks, empty);
    }
}

/// A map with one part, which divides its buckets hundreds of times and fills and empties their runs.
#[test]
fn a_map_of_one_part_grows_and_empties() {
    const COUNT: u64 = if cfg!(miri) { 60 } else { 20_000 };
    let media = media();
    let options = Pool::<Map<'_, Hash>>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    let pool = options.create_on(media.clone(), |_| Ok(Map::default())).unwrap();
    let key = |n: u64| (n * n).to_le_bytes();
    for n in 0..COUNT {
        pool.write(|map, tx| map.put(tx, &key(n), &n.to_le_bytes())).unwrap();
    }
    pool.close().unwrap();
    let pool = Pool::<Map<'_, Hash>>::options().open_on(media.clone()).unwrap();
    pool.write(|map, tx| {
        for n in 0..COUNT {
            assert_eq!(map.get_copy(&key(n), tx)?.as_deref(), Some(&n.to_le_bytes()[..]));
        }
        for n in (0..COUNT).filter(|n| n % 3 != 0) {
            assert!(map.remove(&key(n), tx)?);
        }
        Ok(())
    })
    .unwrap();
    pool.close().unwrap();
    let pool = Pool::<Map<'_, Hash>>::options().open_on(media).unwrap();
    let map = pool.read();
    assert_eq!(map.count(&map), COUNT.div_ceil(3) as usize);
    for n in 0..COUNT {
        assert_eq!(map.get(&key(n), &map).is_some(), n % 3 == 0);
    }
}

#[test]
fn a_batch_is_made_whole_again_and_again_or_not_at_all() {
    let media = media();
    let store = create(&media);
    store.put(b"old", b"1").unwrap();
    let mut batch = Batch::new();
    assert!(batch.is_empty() && store.apply(&batch).is_ok());
    batch.put(b"new", b"2").put(b"old", b"3").put(b"brief", b"4").remove(b"brief").remove(b"never");
    batch.remove(b"back").put(b"back", b"5");
    assert_eq!(batch.len(), 7);
    let model = |pairs: &[(&str, &str)]| -> Model {
        pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    };
    check(&store, &model(&[("old", "1")]));
    for _ in 0..2 {
        store.apply(&batch).unwrap();
        check(&store, &model(&[("new", "2"), ("old", "3"), ("back", "5")]));
    }
    batch.clear();
    batch.remove(b"new").put(b"last", b"6");
    store.with(Durability::Eventual).apply(&batch).unwrap();
    // One that is too much leaves nothing behind, not even what fitted.
    let before = contents(&store);
    let mut huge = Batch::new();
    huge.put(b"fits", b"7").remove(b"old").put(b"huge", &vec![0; 2 * MAX_SIZE as usize]);
    assert!(matches!(store.apply(&huge), Err(Error::PoolFull { .. })));
    drop(huge);
    check(&store, &before);
    check(&reopen(store, &media), &model(&[("last", "6"), ("old", "3"), ("back", "5")]));
}

/// B41, B48: what a callback ends with is reported, and it leaves no lock held, whatever it ends with.
#[test]
fn callbacks_stop_fail_and_panic() {
    let media = media();
    let store = create(&media);
    for n in 0..20u8 {
        store.put(&[n], &[n; 30]).unwrap();
    }
    let before = contents(&store);
    let mut seen = 0;
    let flow = store.for_each(|_, _| {
        seen += 1;
        if seen == 5 { ControlFlow::Break("enough") } else { ControlFlow::Continue(()) }
    });
    assert_eq!((flow.unwrap(), seen), (ControlFlow::Break("enough"), 5));
    let flow =
        store.batch(|tx| tx.map().for_each(tx.tx(), |key, _| ControlFlow::<Vec<u8>>::Break(key.to_vec())));
    assert!(flow.unwrap().is_break());
    let panics: [(&str, &dyn Fn()); 6] = [
        ("get", &|| drop(store.get(&[3], |_| panic!("boom")))),
        ("update", &|| {
            drop(store.update(&[3], .., |bytes| {
                bytes.fill(0xEE);
                panic!("boom")
            }))
        }),
        ("put_with", &|| drop(store.put_with::<Error>(&[3], 10, |_| panic!("boom")))),
        ("for_each", &|| drop(store.for_each::<()>(|_, _| panic!("boom")))),
        ("batch", &|| {
            drop(store.batch::<()>(|tx| {
                tx.put(&[3], b"gone")?;
                tx.remove(&[4])?;
                panic!("boom")
            }))
        }),
        ("batch in a get", &|| {
            drop(store.batch(|tx| {
                tx.put(&[77], b"gone")?;
                tx.get(&[3], |_| panic!("boom"))
            }))
        }),
    ];
    for (what, panics) in panics {
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err(), "{what}");
        // On another thread, which would wait for a lock that is still there.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                check(&store, &before);
                store.put(&[3], &[9; 30]).unwrap();
                store.put(&[3], &[3; 30]).unwrap();
            });
        });
    }
    let failed = store.batch(|tx| {
        tx.put(&[3], b"gone")?;
        Err::<(), _>(Error::abort("no"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "transaction aborted: no");
    // What is lent cannot go, and what is refused has changed nothing, though the transaction goes on.
    for key in 0..20 {
        let refused = store.batch(|tx| tx.get(&[key], |_| tx.map().clear(tx.tx())));
        assert!(matches!(refused, Ok(Some(Err(Error::AlreadyBorrowed)))), "{refused:?}");
    }
    check(&store, &before);
}

/// What a closure must not do is an error at once, alone and beside others, and not a deadlock.
#[test]
fn a_store_within_its_own_closures_is_refused() {
    let store = create(&media());
    store.put(b"key", b"value").unwrap();
    let refused = |result: Result<bool>| {
        matches!(result, Err(Error::Nested | Error::ReadGuardHeld | Error::AlreadyBorrowed))
    };
    for beside in [false, true] {
        if beside {
            // A session of those who share, which stays open.
            store.batch(|_| Ok(())).unwrap();
        }
        assert!(store.get(b"key", |_| refused(store.put(b"other", b""))).unwrap().unwrap());
        assert!(store.get(b"key", |_| refused(store.exists(b"key"))).unwrap().unwrap());
        assert!(store.update(b"key", .., |_| refused(store.exists(b"key"))).unwrap().unwrap());
    }
    let lent = store.batch(|tx| tx.get(b"key", |_| refused(tx.put(b"key", b"again"))));
    assert!(lent.unwrap().unwrap());
    // Looking again is fine.
    let twice = store.batch(|tx| tx.get(b"key", |_| tx.get(b"key", |value| value.len())));
    assert_eq!(twice.unwrap().unwrap().unwrap(), Some(5));
    // Filling may use the map, which is not touched yet.
    let filled = store.batch(|tx| {
        tx.put_with(b"copy", 5, |bytes| {
            tx.get(b"key", |value| bytes.copy_from_slice(value)).map(drop)?;
            tx.put(b"beside", b"x").map(drop)
        })
    });
    assert!(filled.unwrap() && store.get(b"copy", |value| value == b"value").unwrap().unwrap());
    let now = store.read().unwrap();
    assert!(refused(store.put(b"key", b"x")) && now.get(b"key") == Some(&b"value"[..]));
}

#[derive(Persistent)]
#[repr(C)]
struct Shop<'p> {
    stock: Map<'p, Hash>,
    names: Map<'p, Hash>,
    small: Map<'p, Hash>,
    changes: PMutex<'p, u64>,
    log: PVec<'p, u64>,
}

/// Maps beside each other and beside other structures, in one transaction (B43).
#[test]
fn several_maps_in_one_pool() {
    let media = media();
    let options = Pool::<Shop<'_>>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
    let pool = options
        .create_on(media.clone(), |tx| {
            let (stock, names) = (Map::new(tx)?, Map::new(tx)?);
            Ok(Shop { stock, names, small: Map::default(), changes: PMutex::new(0), log: PVec::new() })
        })
        .unwrap();
    let change = |fails: bool| {
        pool.share(|shop, tx| {
            shop.stock.put(tx, b"apple", &[7])?;
            shop.names.put(tx, b"apple", b"Apfel")?;
            shop.small.insert_if_absent(tx, b"apple", b"here too")?;
            *shop.changes.lock(tx)? += 1;
            if fails { Err(Error::abort("no")) } else { Ok(()) }
        })
    };
    assert!(change(true).is_err());
    let shop = pool.read();
    assert_eq!((shop.stock.count(&shop), shop.small.count(&shop), *shop.changes.get(&shop)), (0, 0, 0));
    drop(shop);
    change(false).unwrap();
    let moved: Result<()> = pool.write(|shop, tx| {
        shop.log.push(tx, 1)?;
        shop.names.remove(b"apple", tx)?;
        std::mem::swap(&mut shop.stock, &mut shop.names);
        Err(Error::abort("no"))
    });
    assert!(moved.is_err());
    pool.write(|shop, tx| {
        shop.names.put(tx, b"pear", b"Birne")?;
        std::mem::swap(&mut shop.stock, &mut shop.small);
        Ok(())
    })
    .unwrap();
    pool.close().unwrap();
    let pool = Pool::<Shop<'_>>::options().open_on(media).unwrap();
    let shop = pool.read();
    assert_eq!(shop.stock.get(b"apple", &shop), Some(&b"here too"[..]));
    assert_eq!(shop.small.get(b"apple", &shop), Some(&[7][..]));
    let mut names: Vec<_> = shop.names.iter(&shop).collect();
    names.sort();
    assert_eq!(names, [(&b"apple"[..], &b"Apfel"[..]), (b"pear", b"Birne")]);
    assert!(shop.log.is_empty());
}

/// B42: what does not fit changes nothing, and removing always works.
#[test]
fn a_full_store_stays_whole() {
    let media = media();
    let store = create_on(&media, 512 << 10);
    let mut model = Model::new();
    let error = (0u32..)
        .find_map(|n| match store.put(&n.to_be_bytes(), &bytes(900, u64::from(n))) {
            Ok(_) => {
                model.insert(n.to_be_bytes().to_vec(), bytes(900, u64::from(n)));
                None
            }
            Err(error) => Some(error),
        })
        .unwrap();
    assert!(matches!(error, Error::PoolFull { .. }), "{error}");
    assert!(error.to_string().contains("max_size"), "{error}");
    check(&store, &model);
    assert!(store.put(&1u32.to_be_bytes(), &[1; 50_000]).is_err());
    assert!(store.put_with::<Error>(b"new", 50_000, |_| Ok(())).is_err());
    assert!(store.insert_if_absent(b"new", &[1; 50_000]).is_err());
    check(&store, &model);
    // Smaller values fit in place, and what is removed makes room.
    store.put(&1u32.to_be_bytes(), &[1; 899]).unwrap();
    model.insert(1u32.to_be_bytes().to_vec(), vec![1; 899]);
    for n in 2..12u32 {
        assert!(store.remove(&n.to_be_bytes()).unwrap());
        model.remove(&n.to_be_bytes()[..]);
    }
    store.put(b"new", &[2; 890]).unwrap();
    model.insert(b"new".to_vec(), vec![2; 890]);
    check(&store, &model);
    check(&reopen(store, &media), &model);
}

/// A change of a part records that part, whatever else the value has.
#[test]
fn an_update_records_what_it_changes() {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap().with_domain(Domain::CacheLine));
    for mode in [ImageMode::Private, ImageMode::InPlace] {
        let media = Arc::new(media.with_bytes(Vec::new()));
        let options = Store::<Hash>::options().max_size(MAX_SIZE).ring_size(64 << 10).image(mode);
        let store = options.create_store_on(media).unwrap();
        store.put(b"key", &[1; 50_000]).unwrap();
        store.update(b"key", 1000..1008, |bytes| bytes.fill(2)).unwrap();
        let counts = store.stats().last_transaction;
        assert!(counts.bytes < 512, "{mode:?}: {counts:?}");
        store.put(b"key", &[3; 50_000]).unwrap();
        assert!(store.stats().last_transaction.bytes >= 50_000);
        assert_eq!(store.update(b"nobody", .., |_| ()).unwrap(), None);
        for (start, end) in [(0, 50_001), (50_001, 50_001), (7, usize::MAX)] {
            let outcome = store.update(b"key", start..end, |_| ());
            assert!(matches!(outcome, Err(Error::OutOfRange { len: 50_000, .. })), "{outcome:?}");
        }
        let all = (.., 49_999..=49_999, 50_000.., ..=5);
        assert_eq!(store.update(b"key", all.0, |bytes| bytes.len()).unwrap(), Some(50_000));
        assert_eq!(store.update(b"key", all.1, |bytes| bytes.len()).unwrap(), Some(1));
        assert_eq!(store.update(b"key", all.2, |bytes| bytes.len()).unwrap(), Some(0));
        assert_eq!(store.update(b"key", all.3, |bytes| bytes.len()).unwrap(), Some(6));
    }
}

#[test]
fn typed_views_encode_and_refuse() {
    let store = create(&media());
    let ages = Typed::<str, u32, Hash>::new(&store);
    assert!(ages.put("bob", &41).unwrap() && !ages.put("bob", &42).unwrap());
    assert!(!ages.insert_if_absent("bob", &1).unwrap() && ages.insert_if_absent("eve", &30).unwrap());
    assert_eq!((ages.get_copy("bob").unwrap(), ages.get_copy("ann").unwrap()), (Some(42), None));
    let mut sum = 0;
    let flow = ages.for_each(|name, age| {
        assert!(["bob", "eve"].contains(&name));
        sum += age;
        ControlFlow::<()>::Continue(())
    });
    assert!(flow.unwrap().is_continue() && sum == 72);
    assert!(ages.exists("eve").unwrap() && ages.remove("eve").unwrap() && !ages.remove("eve").unwrap());
    let wide = Typed::<str, Plain<[u64; 2]>, Hash>::new(ages.store());
    let refused = wide.get_copy("bob");
    assert!(matches!(refused, Err(Error::Undecodable { len: 4, .. })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("4 bytes"));
    let numbers = Typed::<u64, str, Hash>::new(&store);
    let refused = numbers.for_each(|_, _| ControlFlow::<()>::Continue(()));
    assert!(matches!(refused, Err(Error::Undecodable { len: 3, .. })), "{refused:?}");
    numbers.put(&7, "seven").unwrap();
    assert_eq!(numbers.get(&7, str::len).unwrap(), Some(5));
}

/// A store on a file, and what its kinds of opening say.
#[test]
#[cfg_attr(miri, ignore = "uses files")]
fn a_store_is_a_pool_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.pobj");
    assert!(matches!(Store::<Hash>::open(&path), Err(Error::NotFound { .. })));
    let store = Store::<Hash>::open_or_create(&path).unwrap();
    store.with(Durability::Eventual).put(b"one", b"1").unwrap();
    assert!(matches!(Store::<Hash>::create(&path), Err(Error::AlreadyExists { .. })));
    assert!(matches!(Store::<Hash>::open(&path), Err(Error::Locked { .. })));
    store.sync().unwrap();
    store.close().unwrap();
    let reader = Store::<Hash>::options().open_read_only(&path).unwrap();
    let map = reader.read();
    assert_eq!(map.get(b"one", &map), Some(&b"1"[..]));
    drop(map);
    drop(reader);
    assert!(matches!(Pool::<Shop<'_>>::open(&path), Err(Error::SchemaMismatch { .. })));
    assert_eq!(Store::<Hash>::open_or_create(&path).unwrap().count().unwrap(), 1);
}

/// A value that tells whether it is whole: its first bytes say by whom it is, and all others follow from them.
fn sealed(n: u64, len: usize) -> Vec<u8> {
    let mut value = n.to_le_bytes().to_vec();
    value.extend((8..8 + len).map(|at| (n as u8).wrapping_add(at as u8)));
    value
}

fn assert_whole(value: &[u8]) {
    let n = u64::from_le_bytes(value[..8].try_into().unwrap());
    assert_eq!(value, sealed(n, value.len() - 8), "a torn value");
}

/// B32, B39, B48. Catches a value torn between two threads, a lost put, a lock that is not taken, a deadlock of batches, and a
/// switch between alone and beside others that lets two in.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn threads_on_the_same_and_on_their_own_keys() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 3000;
    let media = Arc::new(RamMedia::new(32 << 20).unwrap());
    let store = create_on(&media, 32 << 20);
    let changes = AtomicU64::new(0);
    let common = |n: u64| [b"common".as_slice(), &(n % 16).to_le_bytes()].concat();
    let own = |thread: u64, n: u64| [thread.to_le_bytes(), n.to_le_bytes()].concat();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, changes) = (&store, &changes);
            scope.spawn(move || {
                let mut batch = Batch::new();
                for round in 0..ROUNDS {
                    let seed = round.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(thread as u32 * 7) >> 20;
                    let value = sealed(seed, (seed % 90) as usize);
                    match seed % 8 {
                        0 | 1 => drop(store.put(&common(seed / 8), &value).unwrap()),
                        2 => drop(store.remove(&common(seed / 8)).unwrap()),
                        3 => {
                            batch.clear();
                            for n in 0..6 {
                                batch.put(&common(seed / 8 + n * (thread + 1)), &value);
                            }
                            store.apply(&batch).unwrap();
                        }
                        4 => {
                            // Locks in an order of its own: now and then it has to begin again.
                            store
                                .batch(|tx| {
                                    tx.put(&common(seed / 8), &value)?;
                                    tx.get(&common(seed / 9), assert_whole)?;
                                    tx.remove(&common(seed / 10)).map(drop)
                                })
                                .unwrap();
                        }
                        5 if round % 50 == 0 => {
                            let now = store.read().unwrap();
                            assert_eq!(
                                now.iter().inspect(|(_, value)| assert_whole(value)).count(),
                                now.count()
                            );
                        }
                        _ => drop(store.get(&common(seed / 8), assert_whole).unwrap()),
                    }
                    assert!(store.put(&own(thread, round), &value).unwrap());
                    if round % 3 == 0 {
                        assert!(store.remove(&own(thread, round)).unwrap());
                    } else {
                        changes.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let count = |store: &Store<Hash>| {
        let now = store.read().unwrap();
        now.iter().for_each(|(_, value)| assert_whole(value));
        now.iter().filter(|(key, _)| !key.starts_with(b"common")).count() as u64
    };
    assert_eq!(count(&store), changes.load(Ordering::Relaxed));
    assert_eq!(count(&reopen(store, &media)), THREADS * (ROUNDS - ROUNDS.div_ceil(3)));
}

/// Words of the buckets, in the file's order: where they are, and what they hold.
fn damaged(media: &Arc<RamMedia>, whole: &[u8], at: usize, word: u64) -> Result<Store<Hash>> {
    let mut bytes = whole.to_vec();
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    Store::<Hash>::options().validation_threads(1).open_store_on(Arc::new(media.with_bytes(bytes)))
}

/// Catches a part, a bucket or a run that a crafted file describes and that is believed (with the unit tests of pairs).
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_damaged_table_is_refused_or_harmless() {
    const COUNT: u64 = 600;
    let media = media();
    let store = create_on(&media, 1 << 20);
    for n in 0..COUNT {
        store.put(&n.to_be_bytes(), &sealed(n, 10)).unwrap();
    }
    store.close().unwrap();
    let whole = media.bytes();
    let word = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    // The blocks of pairs begin with the lengths of their keys and values.
    let lens = 8u64 | 18 << 32;
    let blocks: Vec<usize> = (0..whole.len() - 16).step_by(8).filter(|at| word(*at) == lens).collect();
    let (mut refused, mut opened) = (0, 0);
    let mut try_one = |at: usize, bad: u64| match damaged(&media, &whole, at, bad) {
        Err(Error::Corrupt { .. }) => refused += 1,
        Err(other) => panic!("{other}"),
        Ok(store) => {
            opened += 1;
            let now = store.read().unwrap();
            let all: Vec<_> = now.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            assert_eq!(all.len(), now.count());
            drop(now);
            for n in 0..COUNT + 50 {
                store.remove(&n.to_be_bytes()).unwrap();
                store.put(&n.to_be_bytes(), b"again").unwrap();
            }
            drop(store);
        }
    };
    for &at in blocks.iter().rev().take(40) {
        for bad in [u64::MAX, lens + (1 << 40), 0] {
            try_one(at, bad);
        }
    }
    // Counts of parts: rows of an address, one page, a count and no seed.
    let is_part = |at: usize| word(at + 8) == 1 && (1..100).contains(&word(at + 16)) && word(at + 24) == 0;
    let rows = (0..whole.len() - 128).step_by(8).filter(|at| (0..4).all(|row| is_part(at + row * 32)));
    let rows: Vec<usize> = rows.collect();
    assert!(rows.len() > 30, "{} rows of parts", rows.len());
    for &at in rows.iter().rev().take(30) {
        for bad in [0, word(at + 16) + 1, u64::MAX] {
            try_one(at + 16, bad);
        }
    }
    // Words that look like the pools' addresses and lie near each other are those of buckets.
    let addresses: Vec<usize> = {
        let high = |at: usize| word(at) >> 24;
        let first = (0..whole.len() - 64).rev().step_by(8).map(|at| at / 8 * 8);
        let is_row =
            |at: &usize| word(*at) != 0 && high(*at) != 0 && (1..3).all(|n| high(at + n * 8) == high(*at));
        first.filter(is_row).take(60).collect()
    };
    assert!(addresses.len() == 60);
    for &at in &addresses {
        for bad in [0, 8, u64::MAX, word(at) + 8, word(at + 8)] {
            try_one(at, bad);
        }
    }
    // Any word of the last buckets and parts.
    for at in (addresses[59].saturating_sub(256)..addresses[0]).step_by(8).take(200) {
        for bad in [word(at) ^ 1, word(at) ^ 1 << 33, word(at).wrapping_add(1 << 20)] {
            try_one(at, bad);
        }
    }
    assert!(refused > 300 && opened > 0, "{refused} refused, {opened} opened");
}

/// The layout, pinned: a field that moves would be another format.
#[test]
fn the_layout_is_part_of_the_format() {
    let schema = Schema::of::<Map<'_, Hash>>();
    let types: Vec<String> =
        schema.types().iter().map(|ty| format!("{} {}/{}", ty.name, ty.size, ty.align)).collect();
    for expected in ["KvMap 56/8", "KvHash 56/8", "KvPart 32/8", "KvBucket 128/8", "KvMore 16/8", "Pair 8/8"]
    {
        assert!(types.iter().any(|ty| ty == expected), "{expected} in {types:?}");
    }
}
