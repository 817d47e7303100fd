//! `PBTreeMap` and `PBTreeSet` against those of `std`: random transactions, some of them given up, with reopenings; small
//! elements and large ones, elements that own blocks, ranges with every kind of bound, keys whose order is nonsense,
//! a pool that is full, damaged nodes.
//!
//! Catches: an element that a split, a merge or a shared neighbour loses or doubles; a range that misses its ends; a value
//! that is changed without being remembered; a node that validation lets pass although its children are not its own;
//! blocks that leak (B23, B31, B36, B42).

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use pobj::btree_map::Entry;
use pobj::media::RamMedia;
use pobj::{Durability, Error, PBTreeMap, PBTreeSet, PBox, PString, PVec, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 2 << 20 } else { 256 << 20 };
const SIZE: u64 = if cfg!(miri) { 128 << 10 } else { 256 << 10 };
const RING: u64 = if cfg!(miri) { 64 << 10 } else { 256 << 10 };
const CASES: u32 = if cfg!(miri) { 2 } else { 50 };
/// Keys that random scripts insert at once.
const MANY: u64 = if cfg!(miri) { 24 } else { 200 };

/// A key that is aligned to more than a word.
#[derive(Persistent, PartialEq, Eq, PartialOrd, Ord, Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Aligned(u16);

/// Ten of these fill a node, so trees of a few hundred have four levels.
type Wide = [u64; 70];

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    numbers: PBTreeMap<'p, u64, u64>,
    wide: PBTreeMap<'p, u16, Wide>,
    names: PBTreeMap<'p, PString<'p>, PVec<'p, u32>>,
    aligned: PBTreeMap<'p, Aligned, u8>,
    set: PBTreeSet<'p, u32>,
    words: PBTreeSet<'p, PString<'p>>,
}

#[derive(Clone, Default, Debug)]
struct Model {
    numbers: BTreeMap<u64, u64>,
    wide: BTreeMap<u16, u64>,
    names: BTreeMap<String, Vec<u32>>,
    aligned: BTreeMap<u16, u8>,
    set: BTreeSet<u32>,
    words: BTreeSet<String>,
}

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(SIZE).ring_size(RING);
    options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(App::default())).unwrap()
}

fn open(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    Pool::<App>::options()
        .durability(Durability::Eventual)
        .validation_threads(1)
        .open_on(media.clone())
        .unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    /// From, count, and the step between two keys: downwards if it is negative.
    InsertMany(u64, u64, i64),
    Remove(u64),
    RemoveMany(u64, u64),
    Change(u64),
    ChangeAll,
    ChangeRange(u64, u64),
    Entry(u64),
    EntryRemove(u64),
    Pop(usize, bool),
    Retain(u64),
    Drain(usize),
    Append(u64, u64),
    SplitOff(u64, bool),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || prop_oneof![0u64..30, 0u64..900];
    prop_oneof![
        8 => key().prop_map(Op::Insert),
        6 => (key(), 0..MANY, prop_oneof![Just(1i64), Just(-1), Just(7), Just(331)])
            .prop_map(|(from, count, step)| Op::InsertMany(from, count, step)),
        6 => key().prop_map(Op::Remove),
        2 => (key(), 0..MANY).prop_map(|(from, count)| Op::RemoveMany(from, count)),
        3 => key().prop_map(Op::Change),
        1 => Just(Op::ChangeAll),
        2 => (key(), 0..MANY).prop_map(|(from, count)| Op::ChangeRange(from, count)),
        4 => key().prop_map(Op::Entry),
        2 => key().prop_map(Op::EntryRemove),
        2 => (0usize..60, any::<bool>()).prop_map(|(count, last)| Op::Pop(count, last)),
        1 => (1u64..5).prop_map(Op::Retain),
        1 => (0usize..5).prop_map(Op::Drain),
        1 => (key(), 0..MANY).prop_map(|(from, count)| Op::Append(from, count)),
        1 => (key(), any::<bool>()).prop_map(|(key, keep)| Op::SplitOff(key, keep)),
        1 => Just(Op::Clear),
    ]
}

fn name(key: u64) -> String {
    match key % 4 {
        0 => key.to_string(),
        1 => "a".repeat(key as usize % 70),
        2 => format!("{key}\0\u{e9}"),
        _ => format!("{:03}", key % 100),
    }
}

fn wide(key: u64) -> Wide {
    std::array::from_fn(|index| key * 1000 + index as u64)
}

fn insert<'p>(key: u64, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    assert_eq!(app.numbers.insert(tx, key, key * 3)?, model.numbers.insert(key, key * 3));
    let small = key as u16 % 400;
    let old = app.wide.insert(tx, small, wide(key))?;
    assert_eq!(old, model.wide.insert(small, key).map(wide));
    let list = PVec::from_slice(tx, &[key as u32; 3])?;
    let old = app.names.insert(tx, PString::from_str(tx, &name(key))?, list)?;
    assert_eq!(old.map(|list| list.to_vec()), model.names.insert(name(key), vec![key as u32; 3]));
    let old = app.aligned.insert(tx, Aligned(key as u16), key as u8)?;
    assert_eq!(old, model.aligned.insert(key as u16, key as u8));
    assert_eq!(app.set.insert(tx, key as u32)?, model.set.insert(key as u32));
    let new = app.words.insert_with(name(key).as_str(), tx, || PString::from_str(tx, &name(key)))?;
    assert_eq!(new, model.words.insert(name(key)));
    Ok(())
}

fn remove<'p>(key: u64, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) {
    assert_eq!(app.numbers.remove(&key, tx), model.numbers.remove(&key));
    let small = key as u16 % 400;
    assert_eq!(app.wide.remove(&small, tx), model.wide.remove(&small).map(wide));
    let gone = app.names.remove_entry(name(key).as_str(), tx);
    let gone = gone.map(|(name, list)| (name.to_string(), list.to_vec()));
    assert_eq!(gone, model.names.remove_entry(&name(key)));
    let gone = app.aligned.remove_entry(&Aligned(key as u16), tx);
    assert_eq!(gone.map(|(key, value)| (key.0, value)), model.aligned.remove_entry(&(key as u16)));
    assert_eq!(app.set.remove(&(key as u32), tx), model.set.remove(&(key as u32)));
    let gone = app.words.take(name(key).as_str(), tx);
    assert_eq!(gone.map(|word| word.to_string()), model.words.take(&name(key)));
}

fn change_range<'p>(from: u64, count: u64, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) {
    let end = from + count;
    let mut found = app.numbers.range_mut(from..end, tx);
    let mut expected = model.numbers.range_mut(from..end);
    // From both ends, so that the two meet somewhere.
    for turn in 0..3 * MANY {
        let (one, other) = if turn % 3 == 0 {
            (found.next_back(), expected.next_back())
        } else {
            (found.next(), expected.next())
        };
        assert_eq!(one, other);
        let (Some((_, value)), Some((_, model))) = (one, other) else { break };
        *value += turn;
        *model += turn;
    }
    let (from, end) = (from as u16 % 400, from as u16 % 400 + count as u16);
    for (_, value) in app.wide.range_mut((Excluded(from), Included(end)), tx) {
        value[0] += 0;
    }
    for (_, list) in app.names.range_mut::<str, _>((Unbounded, Excluded("5")), tx) {
        list.truncate(1);
    }
    for (_, list) in model.names.range_mut::<str, _>((Unbounded, Excluded("5"))) {
        list.truncate(1);
    }
}

fn entry<'p>(key: u64, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let value = *app.numbers.entry(key, tx).and_modify(|value| *value += 1).or_insert(5)?;
    assert_eq!(value, *model.numbers.entry(key).and_modify(|value| *value += 1).or_insert(5));
    let entry = app.names.entry(PString::from_str(tx, &name(key))?, tx);
    assert_eq!(entry.key(), name(key).as_str());
    entry.or_default()?.push(tx, 1)?;
    model.names.entry(name(key)).or_default().push(1);
    *app.aligned.entry(Aligned(key as u16), tx).or_insert_with(|| Ok(7))? ^= 1;
    *model.aligned.entry(key as u16).or_insert(7) ^= 1;
    Ok(())
}

fn pop<'p>(last: bool, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) {
    if last {
        assert_eq!(app.numbers.pop_last(tx), model.numbers.pop_last());
        let expected = model.wide.pop_last().map(|(key, value)| (key, wide(value)));
        assert_eq!(app.wide.pop_last(tx), expected);
        assert_eq!(app.words.pop_last(tx).map(|word| word.to_string()), model.words.pop_last());
        assert_eq!(app.set.pop_last(tx), model.set.pop_last());
    } else {
        assert_eq!(app.numbers.pop_first(tx), model.numbers.pop_first());
        let expected = model.wide.pop_first().map(|(key, value)| (key, wide(value)));
        assert_eq!(app.wide.pop_first(tx), expected);
        assert_eq!(app.words.pop_first(tx).map(|word| word.to_string()), model.words.pop_first());
        assert_eq!(app.set.first_and_pop(tx), model.set.pop_first());
    }
}

/// The same method under another name, so that `first` is tried too.
trait FirstAndPop<'p> {
    fn first_and_pop(&mut self, tx: &Tx<'p>) -> Option<u32>;
}

impl<'p> FirstAndPop<'p> for PBTreeSet<'p, u32> {
    fn first_and_pop(&mut self, tx: &Tx<'p>) -> Option<u32> {
        let first = self.first().copied();
        assert_eq!(self.pop_first(tx), first);
        first
    }
}

fn retain<'p>(n: u64, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) {
    let mut asked = Vec::new();
    app.numbers.retain(tx, |key, value| {
        asked.push(*key);
        *value += 1;
        key % n == 0
    });
    assert!(asked.iter().eq(model.numbers.keys()), "{asked:?}");
    model.numbers.retain(|key, value| {
        *value += 1;
        key % n == 0
    });
    let mut asked = Vec::new();
    app.wide.retain(tx, |key, _| {
        asked.push(*key);
        !u64::from(*key).is_multiple_of(n)
    });
    assert!(asked.iter().eq(model.wide.keys()), "{asked:?}");
    model.wide.retain(|key, _| !u64::from(*key).is_multiple_of(n));
    app.names.retain(tx, |name, _| (name.len() as u64).is_multiple_of(n));
    model.names.retain(|name, _| (name.len() as u64).is_multiple_of(n));
    app.words.retain(tx, |name| !(name.len() as u64).is_multiple_of(n));
    model.words.retain(|name| !(name.len() as u64).is_multiple_of(n));
}

fn append<'p>(from: u64, count: u64, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let (mut numbers, mut words) = (PBTreeMap::new(), PBTreeSet::new());
    numbers.extend(tx, (from..from + count).map(|key| (key * 2, 1)))?;
    app.numbers.append(tx, &mut numbers)?;
    assert_eq!((numbers.is_empty(), numbers.len()), (true, 0));
    model.numbers.append(&mut (from..from + count).map(|key| (key * 2, 1)).collect());
    for key in from..from + count {
        words.insert(tx, PString::from_str(tx, &name(key))?)?;
    }
    app.words.append(tx, &mut words)?;
    model.words.append(&mut (from..from + count).map(name).collect());
    Ok(())
}

fn split_off<'p>(key: u64, keep: bool, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let numbers = app.numbers.split_off(&key, tx)?;
    let expected = model.numbers.split_off(&key);
    assert!(numbers.iter().eq(&expected) && numbers.len() == expected.len());
    let wide_ones = app.wide.split_off(&(key as u16 % 400), tx)?;
    let expected_wide = model.wide.split_off(&(key as u16 % 400));
    assert!(wide_ones.keys().eq(expected_wide.keys()));
    let words = app.words.split_off(name(key).as_str(), tx)?;
    let expected_words = model.words.split_off(&name(key));
    assert!(words.iter().map(|word| word.as_str()).eq(&expected_words));
    if keep {
        (app.numbers, app.wide, app.words) = (numbers, wide_ones, words);
        (model.numbers, model.wide, model.words) = (expected, expected_wide, expected_words);
    }
    Ok(())
}

fn apply<'p>(op: &Op, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    match *op {
        Op::Insert(key) => insert(key, app, tx, model)?,
        Op::InsertMany(from, count, step) => {
            for number in 0..count as i64 {
                insert((from as i64 + number * step).rem_euclid(2000) as u64, app, tx, model)?;
            }
        }
        Op::Remove(key) => remove(key, app, tx, model),
        Op::RemoveMany(from, count) => (from..from + count).for_each(|key| remove(key, app, tx, model)),
        Op::Change(key) => {
            let found = app.numbers.get_mut(&key, tx).map(|value| *value += 1);
            assert_eq!(found, model.numbers.get_mut(&key).map(|value| *value += 1));
            if let Some(list) = app.names.get_mut(name(key).as_str(), tx) {
                list.push(tx, 9)?;
                model.names.get_mut(&name(key)).unwrap().push(9);
            }
        }
        Op::ChangeAll => {
            assert_eq!(app.numbers.iter_mut(tx).len(), model.numbers.len());
            app.numbers.values_mut(tx).rev().for_each(|value| *value ^= 2);
            model.numbers.values_mut().for_each(|value| *value ^= 2);
            for (_, list) in app.names.iter_mut(tx) {
                list.truncate(2);
            }
            model.names.values_mut().for_each(|list| list.truncate(2));
        }
        Op::ChangeRange(from, count) => change_range(from, count, app, tx, model),
        Op::Entry(key) => entry(key, app, tx, model)?,
        Op::EntryRemove(key) => {
            if let Entry::Occupied(mut entry) = app.numbers.entry(key, tx) {
                let old = entry.insert(0);
                assert_eq!(Some(&old), model.numbers.get(&key));
                assert_eq!(entry.get(), &0);
                assert_eq!(entry.remove_entry(), (key, 0));
            }
            model.numbers.remove(&key);
            assert!(matches!(app.numbers.entry(key, tx), Entry::Vacant(_)));
        }
        Op::Pop(count, last) => (0..count).for_each(|_| pop(last, app, tx, model)),
        Op::Retain(n) => retain(n, app, tx, model),
        Op::Drain(take) => {
            let drained = app.names.drain(tx);
            assert_eq!(drained.len(), model.names.len());
            let taken: Vec<_> = drained.take(take).map(|(name, _)| name.to_string()).collect();
            assert!(taken.iter().eq(model.names.keys().take(take)));
            model.names.clear();
            let drained = app.set.drain(tx).rev().take(take);
            assert!(drained.eq(model.set.iter().rev().take(take).copied()));
            model.set.clear();
        }
        Op::Append(from, count) => append(from, count, app, tx, model)?,
        Op::SplitOff(key, keep) => split_off(key, keep, app, tx, model)?,
        Op::Clear => {
            app.numbers.clear();
            app.wide = PBTreeMap::new();
            app.aligned.clear();
            model.numbers.clear();
            model.wide.clear();
            model.aligned.clear();
        }
    }
    Ok(())
}

fn check(pool: &Pool<App<'static>>, model: &Model) {
    let app = pool.read();
    assert_eq!(app.numbers.len(), model.numbers.len());
    assert_eq!(app.numbers.is_empty(), model.numbers.is_empty());
    assert!(app.numbers.iter().eq(&model.numbers));
    assert!(app.numbers.iter().rev().eq(model.numbers.iter().rev()));
    assert!(model.numbers.iter().all(|(key, value)| app.numbers.get(key) == Some(value)));
    assert!(
        app.wide
            .iter()
            .map(|(key, value)| (*key, *value))
            .eq(model.wide.iter().map(|(key, value)| (*key, wide(*value))))
    );
    assert!(model.wide.keys().all(|key| app.wide.contains_key(key)));
    assert!(app.wide.keys().rev().eq(model.wide.keys().rev()));
    assert_eq!(app.wide.first_key_value().map(|(key, _)| key), model.wide.keys().next());
    assert_eq!(app.wide.last_key_value().map(|(key, _)| key), model.wide.keys().next_back());
    assert_eq!(app.names.len(), model.names.len());
    let names = app.names.iter().map(|(name, list)| (name.as_str(), list.as_slice()));
    assert!(names.eq(model.names.iter().map(|(name, list)| (name.as_str(), list.as_slice()))));
    assert!(model.names.keys().all(|name| app.names.contains_key(name.as_str())));
    assert!(
        app.aligned
            .iter()
            .map(|(key, value)| (key.0, *value))
            .eq(model.aligned.iter().map(|(key, value)| (*key, *value)))
    );
    assert!(app.set.iter().eq(&model.set) && app.set.len() == model.set.len());
    assert_eq!(app.set.last(), model.set.last());
    assert!(app.words.iter().map(|word| word.as_str()).eq(&model.words));
    assert!(model.words.iter().all(|word| app.words.contains(word.as_str())));
    assert!(!app.numbers.contains_key(&u64::MAX) && app.names.get("absent, surely").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes long")]
    fn maps_follow_the_model(
        script in proptest::collection::vec((proptest::collection::vec(op(), 0..10), 0u8..8), 1..25),
    ) {
        let media = media();
        let mut pool = create(&media);
        let baseline = pool.stats().heap.live_blocks;
        let mut model = Model::default();
        for (ops, fate) in script {
            let mut changed = model.clone();
            let result = pool.write(|app, tx| {
                for op in &ops {
                    apply(op, app, tx, &mut changed)?;
                }
                if fate < 2 { Err(Error::abort("given up")) } else { Ok(()) }
            });
            if result.is_ok() {
                model = changed;
            } else {
                prop_assert!(matches!(result, Err(Error::Aborted(_))), "{result:?}");
            }
            if fate == 7 {
                drop(pool);
                pool = open(&media);
            }
            check(&pool, &model);
        }
        drop(pool);
        let pool = open(&media);
        check(&pool, &model);
        pool.write(|app, tx| {
            app.numbers.clear();
            app.wide.retain(tx, |_, _| false);
            while app.names.pop_first(tx).is_some() {}
            drop(app.aligned.drain(tx));
            app.set = PBTreeSet::new();
            while app.words.pop_last(tx).is_some() {}
            Ok(())
        }).unwrap();
        prop_assert_eq!(pool.stats().heap.live_blocks, baseline);
    }
}

/// Every kind of bound at every place, from the front, from the back and from both, against `std`.
#[test]
fn ranges_are_those_of_std() {
    let pool = create(&media());
    let sizes = if cfg!(miri) { vec![0, 1, 40] } else { vec![0, 1, 2, 31, 32, 33, 100, 700] };
    for size in sizes {
        let mut model = BTreeMap::new();
        model.extend((0..size).map(|n| (3 + n * 3, n)));
        pool.write(|app, tx| {
            app.numbers.clear();
            app.numbers.extend(tx, (0..size).rev().map(|n| (3 + n * 3, n)))
        })
        .unwrap();
        // Absent, equal, first, last, beyond both ends.
        let last = size * 3;
        let places = [0, 2, 3, 4, 5, 6, 47, 48, 49, 96, 97, last.saturating_sub(1), last, last + 1, u64::MAX];
        let bounds = || places.iter().flat_map(|&at| [Included(at), Excluded(at)]).chain([Unbounded]);
        for from in bounds() {
            for to in bounds() {
                check_range(&pool, &model, (from, to));
            }
        }
    }
}

type Bounds = (Bound<u64>, Bound<u64>);

fn check_range(pool: &Pool<App<'static>>, model: &BTreeMap<u64, u64>, bounds: Bounds) {
    // `std` panics where ends are in the wrong order.
    let empty = match bounds {
        (Included(from) | Excluded(from), Included(to) | Excluded(to)) if from > to => true,
        (Excluded(from), Excluded(to)) => from == to,
        _ => false,
    };
    let expected: Vec<_> = if empty { Vec::new() } else { model.range(bounds).collect() };
    let app = pool.read();
    let range = app.numbers.range(bounds);
    assert!(range.clone().eq(expected.iter().copied()), "{bounds:?}: {range:?} instead of {expected:?}");
    assert!(range.clone().rev().eq(expected.iter().rev().copied()), "{bounds:?}");
    let (mut ends, mut left) = (range.clone(), &expected[..]);
    while let [first, rest @ ..] = left {
        assert_eq!(ends.next(), Some(*first), "{bounds:?}");
        left = rest;
        if let [rest @ .., last] = left {
            assert_eq!(ends.next_back(), Some(*last), "{bounds:?}");
            left = rest;
        }
    }
    assert_eq!((ends.next(), ends.next_back(), ends.next()), (None, None, None));
    let mut sum = 0;
    range.for_each(|(key, _)| sum += key);
    assert_eq!(sum, expected.iter().map(|(key, _)| **key).sum::<u64>());
    drop(app);
    let sampled = expected.len() % 5 == 1 || expected.len() < 4;
    if sampled {
        let changed = pool.write(|app, tx| {
            let found = app.numbers.range_mut(bounds, tx).map(|(key, value)| (*key, *value));
            assert!(found.eq(expected.iter().map(|(key, value)| (**key, **value))), "{bounds:?}");
            app.numbers.range_mut(bounds, tx).rev().for_each(|(_, value)| *value += 1);
            let untouched = app.numbers.iter().zip(model).filter(|(found, model)| found == model).count();
            assert_eq!(untouched, model.len() - expected.len(), "{bounds:?}");
            Err::<(), _>(Error::abort("put it back"))
        });
        assert!(matches!(changed, Err(Error::Aborted(_))));
        assert!(pool.read().numbers.iter().eq(model), "{bounds:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_full_pool_leaves_the_map_as_it_was() {
    for step in [1u64, 0x9E37_79B9_7F4A_7C15] {
        let media = Arc::new(RamMedia::new(2 << 20).unwrap());
        let options = Pool::<App>::options().max_size(2 << 20).size(128 << 10).ring_size(64 << 10);
        let pool = options
            .durability(Durability::Eventual)
            .create_on(media.clone(), |_| Ok(App::default()))
            .unwrap();
        let empty = pool.stats().heap.live_blocks;
        let mut held = BTreeMap::new();
        let mut failed = 0;
        // The error is swallowed: what the failed insert left behind is committed.
        for n in 0..300_000u64 {
            let key = n.wrapping_mul(step);
            let inserted = pool.write(|app, tx| Ok(app.numbers.insert(tx, key, n).is_ok())).unwrap();
            if inserted {
                held.insert(key, n);
            } else {
                failed += 1;
                let app = pool.read();
                assert!(app.numbers.get(&key).is_none() && app.numbers.len() == held.len());
                assert!(failed % 16 != 1 || app.numbers.iter().eq(&held));
            }
            if failed > 100 {
                break;
            }
        }
        assert!(held.len() > 50_000 && failed > 100, "{} held, {failed} failed", held.len());
        // Neither does a failed bulk operation lose anything.
        let key = *held.keys().nth(held.len() / 2).unwrap();
        pool.write(|app, tx| {
            assert!(matches!(app.numbers.split_off(&key, tx), Err(Error::PoolFull { .. })));
            let mut other = PBTreeMap::new();
            app.numbers.retain(tx, |key, _| key % 64 != 7);
            other.extend(tx, held.iter().filter(|(key, _)| *key % 64 == 7).map(|(key, n)| (*key, *n)))?;
            let appended = app.numbers.append(tx, &mut other);
            assert_eq!(app.numbers.len() + other.len(), held.len(), "{appended:?}");
            app.numbers.extend(tx, other.drain(tx))
        })
        .unwrap_or_else(|error| assert!(matches!(error, Error::PoolFull { .. }), "{error}"));
        drop(pool);
        let pool = Pool::<App>::options().open_on(media).unwrap();
        assert!(pool.read().numbers.iter().eq(&held));
        pool.write(|app, tx| {
            assert!(held.iter().all(|(key, n)| app.numbers.remove(key, tx) == Some(*n)));
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.stats().heap.live_blocks, empty);
        pool.write(|app, tx| app.numbers.insert(tx, 1, 1).map(drop)).unwrap();
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Crowded<'p> {
    maps: [PBTreeMap<'p, u64, u64>; 2],
    filling: PVec<'p, PBox<'p, [u64; 64]>>,
}

/// An insert that needs two nodes where there is memory for one changes nothing.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn an_insert_takes_all_its_nodes_or_none() {
    let media = Arc::new(RamMedia::new(1 << 20).unwrap());
    let options = Pool::<Crowded>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
    let pool = options.create_on(media.clone(), |_| Ok(Crowded::default())).unwrap();
    pool.write(|app, tx| {
        app.maps[0].extend(tx, (0..31).map(|key| (key * 2, key)))?;
        app.maps[1].extend(tx, (0..31).map(|key| (key * 2, key)))?;
        app.filling.reserve(tx, 2000)
    })
    .unwrap();
    while pool.write(|app, tx| app.filling.push(tx, PBox::new(tx, [7; 64])?)).is_ok() {}
    let mut pool = pool;
    for (freed, fits) in [(0, false), (1, false), (1, true)] {
        pool.write(|app, _| {
            app.filling.truncate(app.filling.len() - freed);
            Ok(())
        })
        .unwrap();
        let before = pool.stats().heap.live_blocks;
        let inserted = pool.write(|app, tx| Ok(app.maps[1].insert(tx, 31, 5).is_ok())).unwrap();
        assert_eq!(inserted, fits);
        assert_eq!(pool.stats().heap.live_blocks, before + if fits { 2 } else { 0 });
        drop(pool);
        pool = Pool::<Crowded>::options().open_on(media.clone()).unwrap();
        let app = pool.read();
        assert_eq!(app.maps[0] == app.maps[1], !fits);
        assert_eq!(app.maps[1].get(&31).is_some(), fits);
    }
}

thread_local! {
    static WHIM: Cell<u64> = const { Cell::new(1) };
}

/// A key whose order is what comes to its mind, and which panics now and then.
#[derive(Persistent, Clone, Copy, Debug)]
#[repr(C)]
struct Whimsical(u64);

impl Ord for Whimsical {
    fn cmp(&self, other: &Self) -> Ordering {
        let whim = WHIM.get().wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        WHIM.set(whim);
        if whim >> 32 & 0x3FF == 0 {
            // Without a message for each.
            resume_unwind(Box::new("a panic in the order of keys"));
        }
        match whim >> 60 {
            0 => Ordering::Equal,
            1..4 => Ordering::Less,
            4..7 => Ordering::Greater,
            _ => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Whimsical {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Whimsical {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Whimsical {}

#[derive(Persistent, Default)]
#[repr(C)]
struct Chaos<'p> {
    map: PBTreeMap<'p, Whimsical, PBox<'p, [u64; 30]>>,
}

/// An `Ord` that contradicts itself and panics loses elements to lookups, and nothing else: each is in the tree once, none
/// leaks, and what a caught panic leaves behind is whole.
#[test]
fn nonsensical_orders_break_nothing() {
    const STEPS: u64 = if cfg!(miri) { 60 } else { 6_000 };
    let media = media();
    let options = Pool::<Chaos>::options().max_size(MAX_SIZE).size(SIZE).ring_size(RING);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(Chaos::default())).unwrap();
    let baseline = pool.stats().heap.live_blocks;
    for step in 0..STEPS {
        pool.write(|app, tx| {
            // Caught inside of the transaction, which commits what there is.
            let outcome = catch_unwind(AssertUnwindSafe(|| -> Result<()> {
                let key = Whimsical(step.wrapping_mul(0x9E37_79B9) % 1000);
                match step % 16 {
                    0..9 => drop(app.map.insert(tx, key, PBox::new(tx, [step; 30])?)?),
                    9..12 => drop(app.map.remove(&key, tx)),
                    12 => drop(app.map.pop_first(tx)),
                    13 => {
                        let range = app.map.range_mut(key..Whimsical(key.0 + 300), tx);
                        let mut seen = BTreeSet::new();
                        for (_, value) in range {
                            assert!(seen.insert(std::ptr::from_mut(value) as usize), "given twice");
                            value.get_mut(tx)[0] += 1;
                        }
                    }
                    14 if step % 160 == 14 => {
                        let mut other = app.map.split_off(&key, tx)?;
                        app.map.append(tx, &mut other)?;
                    }
                    _ => {
                        let value = app.map.entry(key, tx).or_insert_with(|| PBox::new(tx, [1; 30]))?;
                        value.get_mut(tx)[1] = 5;
                    }
                }
                Ok(())
            }));
            if let Ok(result) = outcome {
                result?;
            }
            Ok(())
        })
        .unwrap();
        let app = pool.read();
        assert_eq!(app.map.iter().count(), app.map.len(), "step {step}");
        assert_eq!(app.map.iter().rev().count(), app.map.len(), "step {step}");
    }
    let count = pool.read().map.len() as u64;
    assert!(cfg!(miri) || count > 20, "{count}");
    drop(pool);
    let pool = Pool::<Chaos>::options().validation_threads(1).open_on(media).unwrap();
    assert_eq!(pool.read().map.len() as u64, count);
    pool.write(|app, _| {
        app.map.clear();
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, baseline);
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Odd<'p> {
    units: PBTreeMap<'p, (), u64>,
    flags: PBTreeSet<'p, bool>,
    huge: PBTreeMap<'p, i8, [u64; 3000]>,
    page: PBTreeMap<'p, u8, Page>,
}

/// A value that is aligned to a page.
#[derive(Persistent, Clone, Copy, PartialEq, Debug)]
#[repr(C, align(4096))]
struct Page(u64);

#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn odd_sizes_and_alignments_fit() {
    let media = media();
    let options = Pool::<Odd>::options().max_size(MAX_SIZE).size(SIZE).ring_size(RING);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(Odd::default())).unwrap();
    let baseline = pool.stats().heap.live_blocks;
    pool.write(|odd, tx| {
        assert_eq!(odd.units.insert(tx, (), 1)?, None);
        assert_eq!(odd.units.insert(tx, (), 2)?, Some(1));
        odd.flags.extend(tx, [true, false, true])?;
        for key in (-60..60).chain([5, 6]) {
            odd.huge.insert(tx, key, [key as u64; 3000])?;
            odd.page.insert(tx, key as u8, Page(key as u64))?;
        }
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = Pool::<Odd>::options().validation_threads(1).open_on(media).unwrap();
    let odd = pool.read();
    assert_eq!((odd.units.get(&()), odd.flags.iter().collect::<Vec<_>>()), (Some(&2), vec![&false, &true]));
    assert!(
        odd.huge.iter().map(|(key, value)| (*key, value[2999])).eq((-60..60).map(|key| (key, key as u64)))
    );
    for (key, page) in &odd.page {
        assert_eq!((page.0 as u8, std::ptr::from_ref(page) as usize % 4096), (*key, 0));
    }
    drop(odd);
    pool.write(|odd, tx| {
        assert_eq!(odd.units.remove(&(), tx), Some(2));
        assert!(odd.flags.remove(&true, tx) && odd.flags.pop_last(tx) == Some(false));
        for key in -60..60 {
            assert_eq!(odd.huge.remove(&key, tx).map(|value| value[17]), Some(key as u64));
            assert_eq!(odd.page.remove(&(key as u8), tx), Some(Page(key as u64)));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, baseline);
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Victim<'p> {
    map: PBTreeMap<'p, u64, Option<PBox<'p, u64>>>,
}

/// Damages each word of a map's nodes in turn; validation refuses, or every operation still ends and stays in bounds.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_damaged_node_is_refused_or_harmless() {
    const COUNT: u64 = 200;
    // Recognised in the pool's bytes.
    let mark = |n: u64| 0xB7EE_0000_0000_0000 | n;
    let media = media();
    let options = Pool::<Victim>::options().max_size(MAX_SIZE).size(SIZE).ring_size(RING);
    let pool = options.create_on(media.clone(), |_| Ok(Victim::default())).unwrap();
    for n in 0..COUNT {
        let key = mark(n * 77 % COUNT);
        pool.write(|app, tx| {
            let value = if n % 3 == 0 { Some(PBox::new(tx, n)?) } else { None };
            app.map.insert(tx, key, value).map(drop)
        })
        .unwrap();
    }
    pool.checkpoint().unwrap();
    let places: Vec<usize> = pool.read().map.keys().map(|key| std::ptr::from_ref(key).addr() / 8).collect();
    let len_place = std::ptr::from_ref(&pool.read().map).addr() / 8 + 1;
    drop(pool);
    let whole = media.bytes();
    let word = |at: usize| u64::from_le_bytes(whole[at * 8..at * 8 + 8].try_into().unwrap());
    // The ring holds keys too; those of the map lie as far from each other as their places in memory.
    let inside = |place: usize| place < whole.len() / 8;
    let is_base = |base: usize| {
        let is_key = |place: usize, n| inside(place) && word(place) == mark(n);
        places.iter().zip(0..).all(|(place, n)| is_key(place.wrapping_sub(base), n))
    };
    let first = (0..whole.len() / 8).filter(|&at| word(at) == mark(0)).map(|at| places[0] - at);
    let base = first.into_iter().find(|&base| is_base(base)).unwrap();
    let nodes: BTreeSet<usize> = places.iter().map(|place| (place - base) / 64 * 64).collect();
    assert!((7..15).contains(&nodes.len()), "{nodes:?}");
    let (mut refused, mut lived) = (0, 0);
    for at in nodes.iter().flat_map(|&node| node..node + 64) {
        let old = word(at);
        let changed =
            [0, 1, u64::MAX, old ^ 1, old ^ 1 << 16, old ^ 2 << 16, old ^ 1 << 32, old ^ 3 << 32, old + 512];
        let counts =
            [0, 21, 31, 32, 1 << 8, u64::from(u32::MAX)].map(|count| u64::from(old as u32) | count << 32);
        let capacity = if old as u16 == 0 { 31 } else { 20 };
        for damage in changed.into_iter().chain(counts).filter(|damage| *damage != old) {
            let mut bytes = whole.clone();
            bytes[at * 8..at * 8 + 8].copy_from_slice(&damage.to_le_bytes());
            let damaged = Arc::new(media.with_bytes(bytes));
            // Kind and level must fit the place in the tree, the count must fit the node.
            let fits = damage as u32 == old as u32 && (1..=capacity).contains(&(damage >> 32));
            match Pool::<Victim>::options().validation_threads(1).open_on(damaged) {
                Err(Error::Corrupt { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
                Ok(_) if nodes.contains(&at) && !fits => {
                    panic!("a header of {damage:#x} instead of {old:#x}")
                }
                Ok(pool) => {
                    lived += 1;
                    use_victim(&pool, COUNT, mark);
                }
            }
        }
    }
    let len_at = len_place - base;
    assert_eq!(word(len_at), COUNT);
    for len in [0, 1, COUNT - 1, COUNT + 1, 10 * COUNT, whole.len() as u64 / 24, 1 << 40, u64::MAX] {
        let mut bytes = whole.clone();
        bytes[len_at * 8..len_at * 8 + 8].copy_from_slice(&len.to_le_bytes());
        let damaged = Arc::new(media.with_bytes(bytes));
        let open = || Pool::<Victim>::options().open_on(damaged.clone());
        let Ok(pool) = open() else {
            assert!(len == 0 || len >= 1 << 40, "{len}");
            continue;
        };
        assert!(len != 0 && len < 1 << 40, "{len}");
        // Memory for what the iterator says of its length.
        assert_eq!(pool.read().map.iter().collect::<Vec<_>>().len() as u64, COUNT);
        let change = pool.write(|app, tx| {
            app.map.pop_first(tx);
            app.map.remove(&mark(COUNT / 2), tx);
            app.map.insert(tx, mark(COUNT), None).map(drop)
        });
        change.unwrap();
        assert_eq!(pool.read().map.values().collect::<Vec<_>>().len() as u64, COUNT - 1);
        drop(pool);
        use_victim(&open().unwrap(), COUNT, mark);
    }
    println!("{refused} refused, {lived} lived");
    assert!(refused > 5 * nodes.len() && lived > 0, "{refused} refused, {lived} lived");
}

fn use_victim(pool: &Pool<Victim<'static>>, count: u64, mark: impl Fn(u64) -> u64) {
    let app = pool.read();
    let found = app.map.iter().count();
    assert_eq!(app.map.iter().rev().count(), found);
    assert!(app.map.values().flatten().all(|value| **value <= count));
    let _ = (0..count).filter(|n| app.map.contains_key(&mark(*n))).count();
    let _ = app.map.range(mark(10)..mark(100)).count();
    drop(app);
    pool.write(|app, tx| {
        for n in 0..count + 200 {
            app.map.remove(&mark(n), tx);
            app.map.insert(tx, mark(n + 1), None)?;
        }
        app.map.retain(tx, |key, _| key % 2 == 0);
        while app.map.pop_first(tx).is_some() {}
        assert_eq!(app.map.iter().count(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn sets_combine_as_in_std() {
    let pool = create(&media());
    let (one, other): (BTreeSet<u32>, BTreeSet<u32>) =
        ((0..200).step_by(2).collect(), (0..200).step_by(3).collect());
    pool.write(|app, tx| {
        app.set.extend(tx, one.iter().copied())?;
        let mut set = PBTreeSet::new();
        set.extend(tx, other.iter().copied())?;
        assert!(app.set.union(&set).eq(one.union(&other)));
        assert!(app.set.intersection(&set).eq(one.intersection(&other)));
        assert!(app.set.difference(&set).eq(one.difference(&other)));
        assert!(app.set.symmetric_difference(&set).eq(one.symmetric_difference(&other)));
        assert!(!app.set.is_disjoint(&set) && !app.set.is_subset(&set) && !app.set.is_superset(&set));
        assert!(app.set.range(10..=20).eq(one.range(10..=20)));
        assert!(
            app.set.range((Excluded(11), Unbounded)).rev().eq(one.range((Excluded(11), Unbounded)).rev())
        );
        set.retain(tx, |value| value % 2 == 0);
        assert!(set.is_subset(&app.set) && app.set.is_superset(&set));
        let odd: Vec<u32> = (0..9).map(|n| n * 2 + 1).collect();
        set.clear();
        set.extend(tx, odd)?;
        assert!(set.is_disjoint(&app.set));
        assert_eq!(set.get(&3), Some(&3));
        assert!(set < app.set || app.set < set);
        Ok(())
    })
    .unwrap();
}

#[test]
fn equality_order_and_printing_are_those_of_the_content() {
    let pool = create(&media());
    pool.write(|app, tx| {
        let mut other = PBTreeMap::new();
        for key in 0..50u64 {
            app.numbers.insert(tx, key, key)?;
            other.insert(tx, 49 - key, 49 - key)?;
        }
        assert_eq!(app.numbers, other);
        assert!(app.numbers <= other);
        other.insert(tx, 7, 9)?;
        assert!(app.numbers != other && app.numbers < other);
        assert_eq!(app.numbers.last_entry(tx).map(|entry| entry.remove_entry()), Some((49, 49)));
        assert_eq!(app.numbers.first_entry(tx).map(|mut entry| entry.insert(6)), Some(0));
        assert_eq!(app.numbers.first_key_value(), Some((&0, &6)));
        let bob = PString::from_str(tx, "bob")?;
        app.names.insert(tx, bob, PVec::from_slice(tx, &[1, 2])?)?;
        assert_eq!(app.names.get_key_value("bob").map(|(name, _)| name.as_str()), Some("bob"));
        assert_eq!(format!("{:?}", app.names), r#"{"bob": [1, 2]}"#);
        app.set.insert(tx, 3)?;
        assert_eq!(format!("{:?} {:?}", app.set, app.set.iter()), "{3} [3]");
        Ok(())
    })
    .unwrap();
}

/// Maps in maps, and a type that contains a map of itself.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn trees_of_maps_are_kept_checked_and_freed() {
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Tree<'p> {
        weight: u64,
        children: PBTreeMap<'p, u8, Tree<'p>>,
    }

    fn grow<'p>(tree: &mut Tree<'p>, depth: u64, tx: &Tx<'p>) -> Result<()> {
        tree.weight = depth;
        for branch in 0..if depth == 0 { 0 } else { 40 } {
            let mut child = Tree::default();
            grow(&mut child, depth - 1, tx)?;
            tree.children.insert(tx, branch, child)?;
        }
        Ok(())
    }

    fn count(tree: &Tree<'_>) -> u64 {
        1 + tree.children.values().map(count).sum::<u64>()
    }

    let media = media();
    let options = Pool::<Tree>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(Tree::default())).unwrap();
    let baseline = pool.stats().heap.live_blocks;
    pool.write(|tree, tx| grow(tree, 2, tx)).unwrap();
    drop(pool);
    let pool = Pool::<Tree>::options().validation_threads(1).open_on(media.clone()).unwrap();
    assert_eq!(count(&pool.read()), 1 + 40 * 41);
    pool.write(|tree, tx| {
        let child = tree.children.remove(&1, tx);
        assert_eq!(child.map(|child| count(&child)), Some(41));
        tree.children.clear();
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, baseline);
}

/// Ascending and descending inserts fill the nodes; random ones fill them four fifths.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn space_is_that_of_full_nodes() {
    const COUNT: u64 = 40_000;
    let scatter =
        |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    type Order<'a> = (f64, &'a dyn Fn(u64) -> u64);
    let orders: [Order<'_>; 3] = [(17.6, &|n| n), (17.6, &|n| COUNT - n), (21.5, &scatter)];
    for (most, key) in orders {
        let pool = create(&media());
        let before = pool.stats().heap.live_bytes;
        for part in 0..COUNT / 1000 {
            pool.write(|app, tx| {
                (part * 1000..(part + 1) * 1000).try_for_each(|n| app.numbers.insert(tx, key(n), n).map(drop))
            })
            .unwrap();
        }
        let bytes = (pool.stats().heap.live_bytes - before) as f64 / COUNT as f64;
        assert!(bytes < most, "{bytes} bytes for each element");
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Big<'p> {
    map: PBTreeMap<'p, u64, u64>,
    number: u64,
}

fn big(dir: &std::path::Path) -> Pool<Big<'static>> {
    Pool::<Big>::options()
        .max_size(1 << 30)
        .durability(Durability::Eventual)
        .create(dir.join("big.pobj"))
        .unwrap()
}

/// `POBJ_DOMAIN=line TMPDIR=/dev/shm cargo test --release -p pobj --test collections_btree speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    const COUNT: u64 = 1_000_000;
    let scatter =
        |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    // Processor time of this thread, so that other programs disturb less.
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a system call that fills the struct.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let clock = |name: &str, count: u64, act: &mut dyn FnMut()| {
        let begun = now();
        act();
        println!("{name}: {:.1} ns", (now() - begun) / count as f64);
    };
    let dir = tempfile::tempdir().unwrap();
    for ascending in [true, false] {
        let key = |n: u64| if ascending { n } else { scatter(n) };
        let pool = big(dir.path());
        clock("commit of one word", COUNT, &mut || {
            for n in 0..COUNT {
                pool.write(|app, _| {
                    app.number = n;
                    Ok(())
                })
                .unwrap();
            }
        });
        let before = pool.stats().heap.live_bytes;
        clock(&format!("ascending {ascending}: insert one by one"), COUNT, &mut || {
            for n in 0..COUNT {
                pool.write(|app, tx| app.map.insert(tx, key(n), n).map(drop)).unwrap();
            }
        });
        let bytes = pool.stats().heap.live_bytes - before;
        println!("{:.2} bytes per element", bytes as f64 / COUNT as f64);
        let mut std = BTreeMap::new();
        clock("std insert", COUNT, &mut || std.extend((0..COUNT).map(|n| (key(n), n))));
        let probes: Vec<u64> = (0..COUNT).map(|n| key(scatter(n) % COUNT)).collect();
        let guard = pool.read();
        for _ in 0..3 {
            let mut sum = 0u64;
            clock("get", COUNT, &mut || {
                sum = probes.iter().map(|key| guard.map.get(key).copied().unwrap()).sum()
            });
            let mut other = 0u64;
            clock("std get", COUNT, &mut || {
                other = probes.iter().map(|key| std.get(key).copied().unwrap()).sum()
            });
            assert_eq!(sum, other);
            let mut sum = 0u64;
            clock("iterate", COUNT, &mut || {
                for (key, value) in &guard.map {
                    sum = sum.wrapping_add(key ^ value);
                }
            });
            let mut other = 0u64;
            clock("std iterate", COUNT, &mut || {
                for (key, value) in &std {
                    other = other.wrapping_add(key ^ value);
                }
            });
            assert_eq!(sum, other);
        }
        drop(guard);
        clock("remove one by one", COUNT / 2, &mut || {
            for n in 0..COUNT / 2 {
                pool.write(|app, tx| Ok(app.map.remove(&key(n), tx))).unwrap();
            }
        });
        clock("1000 inserts per transaction", COUNT / 2, &mut || {
            for n in 0..COUNT / 2000 {
                pool.write(|app, tx| app.map.extend(tx, (n * 1000..(n + 1) * 1000).map(|n| (key(n), n))))
                    .unwrap();
            }
        });
        drop(pool);
        std::fs::remove_file(dir.path().join("big.pobj")).unwrap();
    }
}
