//! `PConcurrentMap` against `HashMap`: random transactions in both ways to change a pool, some of them given up, with
//! reopenings and full pools; several threads on the same keys and on keys of their own.
//!
//! Catches: an operation that does not roll back with its transaction (B25), a key that is looked for in another part
//! than it was put into, a count that threads together get wrong (B26), a closure that waits for itself (B28), blocks
//! that leak.

use std::collections::HashMap;
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PConcurrentMap, PString, PVec, Persistent, Pool, ReadGuard, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 1 << 20 } else { 16 << 20 };
const CASES: u32 = if cfg!(miri) { 2 } else { 80 };

#[derive(Persistent)]
#[repr(C)]
struct App<'p> {
    numbers: PConcurrentMap<'p, u64, [u64; 2]>,
    names: PConcurrentMap<'p, PString<'p>, PVec<'p, u32>>,
    one_part: PConcurrentMap<'p, u64, u64>,
}

type Numbers = HashMap<u64, [u64; 2]>;
type Names = HashMap<String, Vec<u32>>;

#[derive(Clone, Default, Debug, PartialEq)]
struct Model {
    numbers: Numbers,
    names: Names,
}

fn create(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    options
        .durability(Durability::Eventual)
        .create_on(media.clone(), |tx| {
            Ok(App {
                numbers: PConcurrentMap::new(tx)?,
                names: PConcurrentMap::with_parts(tx, 3)?,
                one_part: PConcurrentMap::default(),
            })
        })
        .unwrap()
}

fn open(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().durability(Durability::Eventual).validation_threads(1);
    options.open_on(media.clone()).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    Remove(u64),
    Update(u64),
    Entry(u64),
    Retain(u64),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || prop_oneof![0u64..20, 0u64..300];
    prop_oneof![
        8 => key().prop_map(Op::Insert),
        4 => key().prop_map(Op::Remove),
        4 => key().prop_map(Op::Update),
        4 => key().prop_map(Op::Entry),
        1 => (2u64..5).prop_map(Op::Retain),
        1 => Just(Op::Clear),
    ]
}

/// How a transaction runs and ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Share,
    Write,
    Abort,
    Reopen,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![6 => Just(Way::Share), 3 => Just(Way::Write), 2 => Just(Way::Abort), 1 => Just(Way::Reopen)]
}

fn name(key: u64) -> String {
    "n".repeat(key as usize % 11) + &key.to_string()
}

fn apply<'p>(op: &Op, app: &App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    match *op {
        Op::Insert(key) => {
            assert_eq!(app.numbers.insert(tx, key, [key, 1])?, model.numbers.insert(key, [key, 1]));
            let list = PVec::from_slice(tx, &[key as u32; 5])?;
            let old = app.names.insert(tx, PString::from_str(tx, &name(key))?, list)?;
            assert_eq!(old.map(|list| list.to_vec()), model.names.insert(name(key), vec![key as u32; 5]));
        }
        Op::Remove(key) => {
            assert_eq!(app.numbers.remove(&key, tx)?, model.numbers.remove(&key));
            let old = app.names.remove(name(key).as_str(), tx)?;
            assert_eq!(old.map(|list| list.to_vec()), model.names.remove(&name(key)));
        }
        Op::Update(key) => {
            let found = app.numbers.update(&key, tx, |value| value[1] += 1)?;
            assert_eq!(found, model.numbers.get_mut(&key).map(|value| value[1] += 1));
            let pushed = app.names.update(name(key).as_str(), tx, |list| list.push(tx, 7))?;
            pushed.transpose()?;
            model.names.entry(name(key)).and_modify(|list| list.push(7));
        }
        Op::Entry(key) => {
            let now = app.numbers.entry(key, tx, |entry| {
                let value = entry.or_insert([0, 0])?;
                value[0] += 2;
                Ok(*value)
            })?;
            let value = model.numbers.entry(key).or_insert([0, 0]);
            value[0] += 2;
            assert_eq!(now, *value);
        }
        Op::Retain(part) => {
            app.numbers.retain(tx, |key, _| key % part != 0)?;
            model.numbers.retain(|key, _| key % part != 0);
        }
        Op::Clear => {
            app.names.clear(tx)?;
            model.names.clear();
        }
    }
    compare_inside(app, tx, model)
}

fn compare_inside<'p>(app: &App<'p>, tx: &Tx<'p>, model: &Model) -> Result<()> {
    assert_eq!(app.numbers.len(tx)?, model.numbers.len());
    assert_eq!(app.numbers.is_empty(tx)?, model.numbers.is_empty());
    let mut seen = Numbers::new();
    app.numbers.for_each(tx, |key, value| {
        assert_eq!(seen.insert(*key, *value), None);
        Ok(())
    })?;
    assert_eq!(seen, model.numbers);
    for key in [0, 3, 19, 299] {
        assert_eq!(app.numbers.get_copied(&key, tx)?, model.numbers.get(&key).copied());
        assert_eq!(app.names.contains_key(name(key).as_str(), tx)?, model.names.contains_key(&name(key)));
    }
    Ok(())
}

fn compare(pool: &Pool<App<'static>>, model: &Model) {
    let app: ReadGuard<'_, App> = pool.read();
    let names: Names = app.names.iter(&app).map(|(name, list)| (name.to_string(), list.to_vec())).collect();
    assert_eq!(names, model.names);
    assert_eq!(app.numbers.count(&app), model.numbers.len());
    assert!(model.numbers.iter().all(|(key, value)| app.numbers.get(key, &app) == Some(value)));
}

fn run(script: &[(Way, Vec<Op>)]) {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let mut pool = create(&media);
    let mut model = Model::default();
    for (way, ops) in script {
        let mut next = model.clone();
        let outcome = match way {
            Way::Reopen => {
                pool.close().unwrap();
                pool = open(&media);
                assert_eq!(pool.stats().opened.unreachable_blocks, 0);
                continue;
            }
            Way::Write => pool.write(|app, tx| ops.iter().try_for_each(|op| apply(op, app, tx, &mut next))),
            Way::Share => pool.share(|app, tx| {
                next = model.clone();
                ops.iter().try_for_each(|op| apply(op, app, tx, &mut next))
            }),
            Way::Abort => pool.share(|app, tx| {
                next = model.clone();
                ops.iter().try_for_each(|op| apply(op, app, tx, &mut next))?;
                Err(Error::abort("on purpose"))
            }),
        };
        match outcome {
            Ok(()) => model = next,
            Err(Error::Aborted(_)) => assert_eq!(*way, Way::Abort),
            Err(error) => panic!("{error}"),
        }
        compare(&pool, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_hash_map(script in prop::collection::vec((way(), prop::collection::vec(op(), 1..12)), 1..30)) {
        run(&script);
    }
}

/// Threads add to the same keys and to keys of their own, and remove some again; the sums are exact.
#[test]
fn threads_lose_nothing_and_count_nothing_twice() {
    const THREADS: u64 = 4;
    let rounds: u64 = if cfg!(miri) { 6 } else { 300 };
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let pool = create(&media);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..rounds {
                    let own = 1000 * (thread + 1) + round;
                    let outcome = pool.share(|app, tx| {
                        app.numbers.insert(tx, own, [own, thread])?;
                        app.numbers.entry(round % 7, tx, |entry| {
                            entry.or_insert([0; 2]).map(|value| value[0] += 1)
                        })?;
                        app.one_part.entry(0, tx, |entry| entry.or_insert(0).map(|value| *value += 1))?;
                        if round % 3 == 0 {
                            assert!(app.numbers.remove(&own, tx)?.is_some());
                        }
                        if round % 5 == 0 { Err(Error::abort("on purpose")) } else { Ok(()) }
                    });
                    assert_eq!(outcome.is_err(), round % 5 == 0, "{outcome:?}");
                }
            });
        }
    });
    let committed = (0..rounds).filter(|round| round % 5 != 0);
    let kept = committed.clone().filter(|round| round % 3 != 0).count() as u64;
    let check = |pool: &Pool<App<'static>>| {
        let app = pool.read();
        let shared: u64 = (0..7).filter_map(|key| app.numbers.get(&key, &app)).map(|value| value[0]).sum();
        assert_eq!(shared, THREADS * committed.clone().count() as u64);
        assert_eq!(app.one_part.get(&0, &app), Some(&shared));
        let own: Vec<_> = app.numbers.iter(&app).filter(|(key, _)| **key >= 1000).collect();
        assert_eq!(own.len() as u64, THREADS * kept);
        assert!(own.iter().all(|(key, value)| **value == [**key, **key / 1000 - 1]));
    };
    check(&pool);
    pool.close().unwrap();
    let pool = open(&media);
    assert_eq!(pool.stats().opened.unreachable_blocks, 0);
    check(&pool);
}

/// Sums over the whole map while others move amounts between its items: one state at a time is seen (B48).
#[test]
fn a_walk_sees_one_state() {
    let rounds = if cfg!(miri) { 3 } else { 100 };
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let pool = create(&media);
    pool.write(|app, tx| (0..32).try_for_each(|key| app.numbers.insert(tx, key, [100, 0]).map(drop)))
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..rounds {
                    let (from, to) = ((round * 7 + thread) % 32, (round * 3 + 5) % 32);
                    pool.share(|app, tx| {
                        app.numbers.update(&from, tx, |value| value[0] -= 1)?;
                        app.numbers.update(&to, tx, |value| value[0] += 1).map(drop)
                    })
                    .unwrap();
                }
            });
        }
        for _ in 0..rounds / 2 + 1 {
            let sum = pool.share(|app, tx| {
                let mut sum = 0;
                app.numbers.for_each(tx, |_, value| {
                    sum += value[0];
                    Ok(())
                })?;
                Ok(sum)
            });
            assert_eq!(sum.unwrap(), 3200);
        }
    });
}

/// What closures may do with the map that they look at (B28).
#[test]
fn closures_may_look_elsewhere_and_are_told_when_they_may_not_change() {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let pool = create(&media);
    pool.share(|app, tx| {
        for key in 0..4 {
            app.one_part.insert(tx, key, key)?;
        }
        let map = &app.one_part;
        let both = map.get_with(&1, tx, |one| Ok::<_, Error>((one.copied(), map.get_copied(&2, tx)?)))??;
        assert_eq!(both, (Some(1), Some(2)));
        let inner = map.get_with(&1, tx, |_| map.insert(tx, 2, 9))?;
        assert!(matches!(inner, Err(Error::AlreadyBorrowed)));
        let inner = map.update(&1, tx, |_| map.get_copied(&2, tx))?;
        assert!(matches!(inner, Some(Err(Error::AlreadyBorrowed))));
        assert_eq!(map.insert(tx, 2, 9)?, Some(2), "an error leaves nothing behind");
        Ok(())
    })
    .unwrap();
}

/// A pool that is full gives an error and its transaction back; what others do goes on.
#[test]
fn a_full_pool_rolls_back_and_goes_on() {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let options = Pool::<App>::options().max_size(if cfg!(miri) { 512 << 10 } else { 2 << 20 });
    let pool = options
        .size(128 << 10)
        .ring_size(64 << 10)
        .create_on(media, |tx| {
            Ok(App {
                numbers: PConcurrentMap::with_parts(tx, 4)?,
                names: PConcurrentMap::with_parts(tx, 4)?,
                one_part: PConcurrentMap::default(),
            })
        })
        .unwrap();
    let mut inserted = 0u64;
    let error = loop {
        let outcome = pool.share(|app, tx| {
            app.numbers.insert(tx, inserted, [inserted; 2])?;
            app.names
                .insert(tx, PString::from_str(tx, &name(inserted))?, PVec::from_slice(tx, &[1; 2000])?)
                .map(drop)
        });
        match outcome {
            Ok(()) => inserted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::PoolFull { .. }), "{error}");
    let app = pool.read();
    assert_eq!((app.numbers.count(&app) as u64, app.names.count(&app) as u64), (inserted, inserted));
    drop(app);
    pool.share(|app, tx| app.names.clear(tx)).unwrap();
    pool.share(|app, tx| app.numbers.insert(tx, inserted, [0; 2]).map(drop)).unwrap();
}
