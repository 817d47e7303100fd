//! `PBTreeMap` and `PBTreeSet` against those of `std`: random transactions, some of them given up, with reopenings; small
//! elements and large ones, elements that own blocks, ranges with every kind of bound, keys whose order is nonsense,
//! a pool that is full, damaged nodes.
//!
//! Catches: an element that a split, a merge or a shared neighbour loses or doubles; a range that misses its ends; a value
//! that is changed without being remembered; a node that validation lets pass although its children are not its own;
//! blocks that leak (B23, B31, B36, B42).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pobj::btree_map::Entry;
use pobj::media::RamMedia;
use pobj::{Durability, Error, PBTreeMap, PBTreeSet, PBox, PString, PVec, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 2 << 20 } else { 256 << 20 };
const SIZE: u64 = if cfg!(miri) { 128 << 10 } else { 256 << 10 };
const RING: u64 = if cfg!(miri) { 64 << 10 } else { 256 << 10 };
const CASES: u32 = if cfg!(miri) { 2 } else { 120 };
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
    assert!(numbers.is_empty() && numbers.len() == 0);
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
