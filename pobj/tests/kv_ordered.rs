//! The ordered engine against `BTreeMap`: places and ranges of every kind, keys that are each other's beginnings, random
//! histories with aborts, full pools and reopenings, orders of one's own and orders that lie, callbacks that stop or panic,
//! threads that change what others go through, damaged files (B31 to B36).
//!
//! Catches: a bound that is off by one, a record that a split loses or doubles, a part that is dropped with a record in it, a
//! record that appears in a range while it is looked at, a lock that outlives a panic, a file in another order that is opened.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pobj::kv::{Batch, Bytewise, Map, Order, Ordered, Seek, Store, Typed};
use pobj::layout::Schema;
use pobj::media::RamMedia;
use pobj::{Durability, Error, Options, PMutex, Persistent, Pool, Result, Tx};
use proptest::collection::vec;
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 1 << 20 } else { 16 << 20 };

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create<O: Order>(media: &Arc<RamMedia>) -> Store<Ordered<O>> {
    let options = Store::<Ordered<O>>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    options.durability(Durability::Eventual).create_store_on(media.clone()).unwrap()
}

fn open<O: Order>(media: &Arc<RamMedia>) -> Result<Store<Ordered<O>>> {
    Store::<Ordered<O>>::options()
        .durability(Durability::Eventual)
        .validation_threads(1)
        .open_store_on(media.clone())
}

fn reopen<O: Order>(store: Store<Ordered<O>>, media: &Arc<RamMedia>) -> Store<Ordered<O>> {
    store.close().unwrap();
    open(media).unwrap()
}

fn owned((key, value): (&[u8], &[u8])) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

/// Everything that there is to see of a store is what the model says.
fn check(store: &Store<Ordered>, model: &Model) {
    let now = store.read().unwrap();
    let expected: Vec<_> = model.iter().map(|(key, value)| owned((key, value))).collect();
    assert_eq!(now.iter().map(owned).collect::<Vec<_>>(), expected);
    assert!(now.range(..).rev().map(owned).eq(expected.iter().rev().cloned()), "backwards");
    assert_eq!((now.count(), now.count_range(..)), (model.len(), model.len()));
    for (key, value) in model {
        assert_eq!(now.get(key), Some(&value[..]));
    }
}

fn expected_at<'m>(model: &'m Model, place: Seek<'_>) -> Option<(&'m Vec<u8>, &'m Vec<u8>)> {
    let above = |from: Bound<&[u8]>| model.range::<[u8], _>((from, Unbounded)).next();
    let below = |to: Bound<&[u8]>| model.range::<[u8], _>((Unbounded, to)).next_back();
    match place {
        Seek::First => model.first_key_value(),
        Seek::Last => model.last_key_value(),
        Seek::Lower(key) => below(Excluded(key)),
        Seek::LowerEq(key) => below(Included(key)),
        Seek::Higher(key) => above(Excluded(key)),
        Seek::HigherEq(key) => above(Included(key)),
    }
}

/// What `std` would give, which panics where ours is empty.
fn expected_in(model: &Model, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Vec<(Vec<u8>, Vec<u8>)> {
    let within = |key: &[u8]| {
        (match bounds.0 {
            Included(start) => start <= key,
            Excluded(start) => start < key,
            Unbounded => true,
        }) && (match bounds.1 {
            Included(end) => key <= end,
            Excluded(end) => key < end,
            Unbounded => true,
        })
    };
    model.iter().filter(|(key, _)| within(key)).map(|(key, value)| owned((key, value))).collect()
}

/// One place, in each way to ask for it.
fn check_seek(store: &Store<Ordered>, model: &Model, place: Seek<'_>) {
    let expected = expected_at(model, place).map(|(key, value)| owned((key, value)));
    assert_eq!(store.seek(place, |key, value| owned((key, value))).unwrap(), expected, "{place:?}");
    let within = store.batch(|tx| tx.seek(place, |key, value| owned((key, value))));
    assert_eq!(within.unwrap(), expected, "{place:?}");
    assert_eq!(store.read().unwrap().seek(place).map(owned), expected, "{place:?}");
}

/// One range, in each way to ask for it.
fn check_range(store: &Store<Ordered>, model: &Model, bounds: (Bound<&[u8]>, Bound<&[u8]>)) {
    let expected = expected_in(model, bounds);
    let now = store.read().unwrap();
    assert_eq!(now.range(bounds).map(owned).collect::<Vec<_>>(), expected, "{bounds:?}");
    assert!(now.range(bounds).rev().map(owned).eq(expected.iter().rev().cloned()), "{bounds:?}");
    // From both ends in turn.
    let (mut both, mut left, mut front) = (now.range(bounds), expected.len(), true);
    while let Some(record) = if front { both.next() } else { both.next_back() } {
        left -= 1;
        let place = if front { expected.len() - 1 - left } else { left };
        assert!(expected.contains(&owned(record)), "{bounds:?} {place}");
        front = !front;
    }
    assert_eq!((left, now.count_range(bounds)), (0, expected.len()), "{bounds:?}");
    drop(both);
    drop(now);
    let mut shown = Vec::new();
    let mut show = |key: &[u8], value: &[u8]| {
        shown.push(owned((key, value)));
        ControlFlow::<()>::Continue(())
    };
    assert!(store.range(bounds, &mut show).unwrap().is_continue());
    assert!(store.batch(|tx| tx.range(bounds, &mut show)).unwrap().is_continue());
    assert!(store.range_back(bounds, &mut show).unwrap().is_continue());
    assert!(store.batch(|tx| tx.range_back(bounds, &mut show)).unwrap().is_continue());
    let forth = expected.iter().chain(&expected);
    let back = expected.iter().rev().chain(expected.iter().rev());
    assert!(forth.chain(back).eq(&shown), "{bounds:?}");
    assert_eq!(store.batch(|tx| tx.count_range(bounds)).unwrap(), expected.len(), "{bounds:?}");
}

fn check_places(store: &Store<Ordered>, model: &Model, probes: &[&[u8]]) {
    for place in [Seek::First, Seek::Last] {
        check_seek(store, model, place);
    }
    for &probe in probes {
        for place in [Seek::Lower(probe), Seek::LowerEq(probe), Seek::Higher(probe), Seek::HigherEq(probe)] {
            check_seek(store, model, place);
        }
        for &other in probes {
            for start in [Included(probe), Excluded(probe), Unbounded] {
                for end in [Included(other), Excluded(other), Unbounded] {
                    check_range(store, model, (start, end));
                }
            }
        }
    }
}

/// B31, with nothing, one record, and so many that they lie in several parts.
#[test]
fn places_and_ranges_have_the_right_ends() {
    let (media, count) = (media(), if cfg!(miri) { 12 } else { 700u16 });
    let store = create::<Bytewise>(&media);
    let mut model = Model::new();
    check_places(&store, &model, &[b"", b"a"]);
    store.put(b"m", b"1").unwrap();
    model.insert(b"m".to_vec(), b"1".to_vec());
    check_places(&store, &model, &[b"", b"a", b"m", b"z"]);
    for n in 0..count {
        // Odd numbers only, so that there is an absent key on both sides of each.
        let key = (n * 2 + 1).to_be_bytes();
        store.put(&key, &n.to_le_bytes()).unwrap();
        model.insert(key.to_vec(), n.to_le_bytes().to_vec());
    }
    check(&store, &model);
    let numbers = [0, 1, count - 1, count, count * 2 - 1, count * 2, 601].map(u16::to_be_bytes);
    let probes: Vec<&[u8]> = if cfg!(miri) {
        vec![&numbers[0], &numbers[3], b"zz"]
    } else {
        numbers.iter().map(|key| &key[..]).chain([&b""[..], b"m", b"zz", &[0xFF; 9]]).collect()
    };
    check_places(&store, &model, &probes);
    check_places(&reopen(store, &media), &model, &probes[..2]);
}

/// Ends of parts, where what is asked for lies in the part beside: each key as a probe, one step to each side (B31).
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn neighbours_across_parts() {
    let store = create::<Bytewise>(&media());
    let mut model = Model::new();
    for n in 0..2000u16 {
        let key = (n * 2 + 1).to_be_bytes();
        store.put(&key, b"").unwrap();
        model.insert(key.to_vec(), Vec::new());
    }
    for probe in 0..=4001u16 {
        let probe = &probe.to_be_bytes()[..];
        for place in [Seek::Lower(probe), Seek::LowerEq(probe), Seek::Higher(probe), Seek::HigherEq(probe)] {
            let expected = expected_at(&model, place).map(|(key, _)| key.clone());
            assert_eq!(store.seek(place, |key, _| key.to_vec()).unwrap(), expected, "{place:?}");
            let within = store.batch(|tx| tx.seek(place, |key, _| key.to_vec())).unwrap();
            assert_eq!(within, expected, "{place:?}");
        }
        assert_eq!(
            store.count_range(probe..).unwrap(),
            model.range::<[u8], _>((Included(probe), Unbounded)).count()
        );
    }
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|n| (seed.wrapping_mul(131).wrapping_add(n * 29) >> 2) as u8).collect()
}

/// B34, and prefixes of such keys.
#[test]
fn keys_are_any_bytes() {
    let media = media();
    let store = create::<Bytewise>(&media);
    let mut model = Model::new();
    let mut keys: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], vec![0; 8], vec![0; 9], vec![0; 17]];
    keys.extend([vec![0xFF; 3], vec![0xFF; 8], vec![0xFF; 9], b"a\0b".to_vec(), b"a\0c".to_vec()]);
    keys.extend([b"abcdefgh".to_vec(), b"abcdefgh\0".to_vec(), b"abcdefgi".to_vec(), b"abcdefg".to_vec()]);
    // Prefixes of each other, at every length around a word's and a line's.
    keys.extend((1..if cfg!(miri) { 12 } else { 140 }).map(|len| bytes(len, 1)));
    if !cfg!(miri) {
        keys.extend([bytes(3000, 1), bytes(100_000, 1), bytes(1 << 20, 7)]);
        // Heads alike, so that all depends on the rest.
        keys.extend((0..900u32).map(|n| [b"the same beginning ".as_slice(), &n.to_be_bytes()].concat()));
    }
    for (n, key) in keys.iter().enumerate() {
        let value = bytes(n % 50, n as u64);
        assert_eq!(store.put(key, &value).unwrap(), model.insert(key.clone(), value).is_none());
    }
    check(&store, &model);
    let store = reopen(store, &media);
    check(&store, &model);
    for prefix in
        [&b""[..], b"\0", b"\0\0", b"\xFF", b"\xFF\xFF\xFF\xFF", b"a", b"abcdefgh", b"the same", b"zz"]
    {
        let expected: Vec<_> =
            model.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, _)| key.clone()).collect();
        let now = store.read().unwrap();
        assert!(now.prefix(prefix).map(|(key, _)| key).eq(&expected), "{prefix:?}");
        assert!(now.prefix(prefix).rev().map(|(key, _)| key).eq(expected.iter().rev()), "{prefix:?}");
        assert_eq!(now.count_prefix(prefix), expected.len());
        drop(now);
        assert_eq!(store.count_prefix(prefix).unwrap(), expected.len());
        let mut shown = Vec::new();
        let mut show = |key: &[u8]| {
            shown.push(key.to_vec());
            ControlFlow::<()>::Continue(())
        };
        assert!(store.prefix(prefix, |key, _| show(key)).unwrap().is_continue());
        let within = store.batch(|tx| {
            assert_eq!(tx.map().count_prefix_with(prefix, tx.tx())?, expected.len());
            tx.map().prefix_with(prefix, tx.tx(), |key, _| show(key))
        });
        assert!(within.unwrap().is_continue());
        assert_eq!(shown, [&expected[..], &expected[..]].concat());
    }
    for key in keys.iter().step_by(2) {
        assert_eq!(store.remove(key).unwrap(), model.remove(key).is_some());
        assert!(!store.remove(key).unwrap() && !store.exists(key).unwrap());
    }
    check(&reopen(store, &media), &model);
}

/// Would catch a value that keeps a tail of its predecessor, and blocks that are not given back (B35).
#[test]
fn values_are_empty_huge_grow_and_shrink() {
    let media = media();
    let store = create::<Bytewise>(&media);
    let empty = store.stats().heap.live_blocks;
    let lens: &[usize] =
        if cfg!(miri) { &[0, 1, 100, 3, 0, 9] } else { &[0, 1, 7, 8, 100, 3_000_000, 99, 129, 0, 70_000, 5] };
    for (n, len) in lens.iter().enumerate() {
        let value = bytes(*len, n as u64);
        assert_eq!(store.put(b"key", &value).unwrap(), n == 0);
        let filled = store.put_with(b"filled", *len, |bytes| {
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.copy_from_slice(&value);
            Ok::<_, Error>(())
        });
        assert_eq!(filled.unwrap(), n == 0);
        let now = store.read().unwrap();
        assert!(now.range("a"..).all(|(_, found)| found == value) && now.count_range("f".."z") == 2);
    }
    let store = reopen(store, &media);
    assert_eq!(store.get(b"key", |found| found.len()).unwrap(), lens.last().copied());
    store.clear().unwrap();
    assert_eq!((store.count().unwrap(), store.stats().heap.live_blocks), (0, empty));
}

#[derive(Persistent)]
#[repr(C)]
struct App<'p> {
    words: Map<'p, Ordered>,
    copies: Map<'p, Ordered<Backwards>>,
    changes: PMutex<'p, u64>,
}

/// The other way round, without heads.
struct Backwards;

impl Order for Backwards {
    const NAME: &'static str = "tests/backwards";

    fn compare(a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(u16, usize),
    PutWith(u16, usize, bool),
    Insert(u16, usize),
    Update(u16, usize, usize),
    Remove(u16),
    /// Puts so many keys in a row, which splits parts; or removes them, which empties some.
    Row(u16, u16, bool),
    Pop(bool),
    Range(u16, u16),
    Seek(u16),
    Apply(Vec<(u16, Option<usize>)>),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![4 => 0..40usize, 1 => 100..300usize];
    let n = || prop_oneof![2 => 0..300u16, 1 => any::<u16>()];
    let change = (n(), proptest::option::weighted(0.7, 0..60usize));
    prop_oneof![
        8 => (n(), len()).prop_map(|(key, len)| Op::Put(key, len)),
        2 => (n(), len(), prop::bool::weighted(0.3)).prop_map(|(key, len, fails)| Op::PutWith(key, len, fails)),
        2 => (n(), len()).prop_map(|(key, len)| Op::Insert(key, len)),
        3 => (n(), 0..50usize, 0..20usize).prop_map(|(key, start, len)| Op::Update(key, start, len)),
        5 => n().prop_map(Op::Remove),
        4 => (n(), 1..if cfg!(miri) { 12u16 } else { 400 }, any::<bool>()).prop_map(|(key, count, puts)| Op::Row(key, count, puts)),
        2 => any::<bool>().prop_map(Op::Pop),
        2 => (n(), n()).prop_map(|(from, to)| Op::Range(from, to)),
        2 => n().prop_map(Op::Seek),
        2 => vec(change, 0..12).prop_map(Op::Apply),
        1 => Just(Op::Clear),
    ]
}

/// How a transaction runs and ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Share,
    Write,
    Abort,
    Panic,
    Full,
    Reopen,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        6 => Just(Way::Share),
        3 => Just(Way::Write),
        2 => Just(Way::Abort),
        1 => Just(Way::Panic),
        1 => Just(Way::Full),
        1 => Just(Way::Reopen)
    ]
}

/// Numbers that are near are keys that are near, of several lengths, some of which begin alike.
fn key(n: u16) -> Vec<u8> {
    let mut key = if n.is_multiple_of(7) { b"the same beginning".to_vec() } else { Vec::new() };
    key.extend((n / 3).to_be_bytes());
    key.extend(vec![n as u8; usize::from(n % 3) * 5]);
    key
}

fn value_of<'p>(app: &App<'p>, tx: &Tx<'p>, len: usize) -> Result<Vec<u8>> {
    let mut changes = app.changes.lock(tx)?;
    *changes += 1;
    Ok(bytes(len, *changes))
}

/// Both maps and the model, at each step the same.
fn apply<'p>(op: &Op, app: &App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let (words, copies) = (&app.words, &app.copies);
    match op {
        Op::Put(n, len) => {
            let value = value_of(app, tx, *len)?;
            let new = words.put(tx, &key(*n), &value)?;
            assert_eq!(copies.put(tx, &key(*n), &value)?, new);
            assert_eq!(model.insert(key(*n), value).is_none(), new);
        }
        Op::PutWith(n, len, fails) => {
            let value = value_of(app, tx, *len)?;
            let fill = |bytes: &mut [u8]| {
                bytes.copy_from_slice(&value);
                if *fails { Err(Error::abort("no")) } else { Ok(()) }
            };
            let outcome = words.put_with(tx, &key(*n), *len, fill);
            let copied = copies.put_with(tx, &key(*n), *len, fill);
            match (outcome, copied) {
                (Ok(new), Ok(copied)) => {
                    assert_eq!(model.insert(key(*n), value).is_none(), new);
                    assert_eq!(copied, new);
                }
                (Err(Error::Aborted(_)), Err(Error::Aborted(_))) => assert!(fails),
                (Err(error), _) | (_, Err(error)) => return Err(error),
            }
        }
        Op::Insert(n, len) => {
            let value = value_of(app, tx, *len)?;
            let added = words.insert_if_absent(tx, &key(*n), &value)?;
            assert_eq!(copies.insert_if_absent(tx, &key(*n), &value)?, added);
            assert_eq!(added, !model.contains_key(&key(*n)));
            model.entry(key(*n)).or_insert(value);
        }
        Op::Update(n, start, len) => {
            let (range, fill) = (*start..start + len, *n as u8);
            let outcome = words.update(&key(*n), range.clone(), tx, |bytes| bytes.fill(fill));
            drop(copies.update(&key(*n), range.clone(), tx, |bytes| bytes.fill(fill)));
            match model.get_mut(&key(*n)) {
                None => assert!(outcome?.is_none()),
                Some(value) if range.end > value.len() => {
                    assert!(matches!(outcome, Err(Error::OutOfRange { .. })), "{outcome:?}");
                }
                Some(value) => value[range].fill(fill),
            }
        }
        Op::Remove(n) => {
            let removed = words.remove(&key(*n), tx)?;
            assert_eq!(copies.remove(&key(*n), tx)?, removed);
            assert_eq!(model.remove(&key(*n)).is_some(), removed);
        }
        Op::Row(from, count, puts) => {
            for n in (*from..=u16::MAX).take(usize::from(*count)) {
                let removed = if *puts {
                    words.put(tx, &key(n), b"row")?;
                    copies.put(tx, &key(n), b"row")?;
                    model.insert(key(n), b"row".to_vec());
                    false
                } else {
                    assert_eq!(copies.remove(&key(n), tx)?, model.contains_key(&key(n)));
                    words.remove(&key(n), tx)?
                };
                assert_eq!(removed, !puts && model.remove(&key(n)).is_some());
            }
        }
        Op::Pop(last) => {
            let popped = match last {
                true => {
                    (words.pop_last(tx, |key, _| key.to_vec())?, copies.pop_first(tx, |key, _| key.to_vec())?)
                }
                false => {
                    (words.pop_first(tx, |key, _| key.to_vec())?, copies.pop_last(tx, |key, _| key.to_vec())?)
                }
            };
            let expected = if *last { model.pop_last() } else { model.pop_first() };
            let expected = expected.map(|(key, _)| key);
            assert_eq!(popped, (expected.clone(), expected));
        }
        Op::Range(from, to) => {
            let (from, to) = (key(*from), key(*to));
            let expected = expected_in(model, (Included(&from), Excluded(&to)));
            assert_eq!(words.count_range_with(&from..&to, tx)?, expected.len());
            assert_eq!(copies.count_range_with((Excluded(&to), Included(&from)), tx)?, expected.len());
            let mut shown = Vec::new();
            let flow = words.range_with(&from..&to, tx, |key, value| {
                shown.push(owned((key, value)));
                if shown.len() == 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            assert_eq!(flow.is_break(), expected.len() >= 50);
            assert_eq!(shown, expected[..expected.len().min(50)]);
        }
        Op::Seek(n) => {
            let key = &key(*n)[..];
            let pairs = [
                (Seek::Lower(key), Seek::Higher(key)),
                (Seek::HigherEq(key), Seek::LowerEq(key)),
                (Seek::First, Seek::Last),
            ];
            for (place, mirrored) in pairs {
                let expected = expected_at(model, place).map(|(key, _)| key.clone());
                assert_eq!(words.seek_with(place, tx, |key, _| key.to_vec())?, expected);
                assert_eq!(copies.seek_with(mirrored, tx, |key, _| key.to_vec())?, expected);
            }
        }
        Op::Apply(changes) => {
            let mut batch = Batch::new();
            for (n, len) in changes {
                match len {
                    Some(len) => {
                        let value = value_of(app, tx, *len)?;
                        batch.put(&key(*n), &value);
                        model.insert(key(*n), value);
                    }
                    None => {
                        batch.remove(&key(*n));
                        model.remove(&key(*n));
                    }
                }
            }
            words.apply(tx, &batch)?;
            copies.apply(tx, &batch)?;
        }
        Op::Clear => {
            words.clear(tx)?;
            copies.clear(tx)?;
            model.clear();
        }
    }
    Ok(())
}

fn app_options() -> Options<App<'static>> {
    let options = Pool::<App<'_>>::options().max_size(if cfg!(miri) { 1 << 20 } else { 4 << 20 });
    options.size(128 << 10).ring_size(64 << 10).durability(Durability::Eventual).validation_threads(1)
}

fn check_app(pool: &Pool<App<'static>>, model: &Model) {
    let app = pool.read();
    let expected: Vec<_> = model.iter().map(|(key, value)| owned((key, value))).collect();
    assert!(app.words.iter(&app).map(owned).eq(expected.iter().cloned()), "words");
    assert!(app.copies.range(.., &app).rev().map(owned).eq(expected.iter().cloned()), "copies");
    assert_eq!((app.words.count(&app), app.copies.count(&app)), (model.len(), model.len()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 100 }, ..ProptestConfig::default() })]

    /// B36, B33 for a second order, and blocks that leak: at the end nothing is left but what empty maps have.
    #[test]
    fn maps_are_ordered_maps(runs in vec((vec(op(), 1..6), way()), 1..if cfg!(miri) { 8 } else { 60 })) {
        let media = media();
        let made = app_options().create_on(media.clone(), |tx| {
            Ok(App { words: Map::new(tx)?, copies: Map::default(), changes: PMutex::new(0) })
        });
        let mut pool = made.unwrap();
        let empty = pool.stats().heap.live_blocks;
        let mut model = Model::new();
        for (ops, way) in runs {
            let mut after = model.clone();
            let outcome = match way {
                Way::Write | Way::Reopen => pool.write(|app, tx| {
                    after = model.clone();
                    ops.iter().try_for_each(|op| apply(op, app, tx, &mut after))
                }),
                _ => {
                    let shared = || pool.share(|app, tx| {
                        let mut now = model.clone();
                        ops.iter().try_for_each(|op| apply(op, app, tx, &mut now))?;
                        match way {
                            Way::Abort => return Err(Error::abort("no")),
                            Way::Panic => resume_unwind(Box::new("on purpose")),
                            Way::Full => drop(app.words.put(tx, b"huge", &vec![1; 8 << 20])?),
                            _ => {}
                        }
                        Ok(now)
                    });
                    match catch_unwind(AssertUnwindSafe(shared)) {
                        Ok(Ok(now)) => {
                            after = now;
                            Ok(())
                        }
                        Ok(Err(error)) => Err(error),
                        Err(panic) => {
                            let text = panic.downcast_ref::<&str>().copied();
                            prop_assert_eq!(text, Some("on purpose"));
                            Err(Error::abort("panic"))
                        }
                    }
                }
            };
            match (outcome, way) {
                (Ok(()), Way::Share | Way::Write | Way::Reopen) => model = after,
                // A pool that is full by itself gives up like one that is made so.
                (Err(Error::PoolFull { .. }), _) | (Err(Error::Aborted(_)), Way::Abort | Way::Panic) => {}
                (outcome, _) => panic!("{way:?}: {outcome:?}"),
            }
            if way == Way::Reopen {
                pool.close().unwrap();
                pool = app_options().open_on(media.clone()).unwrap();
            }
            check_app(&pool, &model);
        }
        pool.close().unwrap();
        let pool = app_options().open_on(media).unwrap();
        check_app(&pool, &model);
        pool.share(|app, tx| {
            app.words.clear(tx)?;
            app.copies.clear(tx)
        }).unwrap();
        prop_assert_eq!(pool.stats().heap.live_blocks, empty);
    }
}

/// Trees of several levels in a part, and hundreds of parts that come and go.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn many_records_come_and_go() {
    const COUNT: u64 = 60_000;
    let media = media();
    let mut store = create::<Bytewise>(&media);
    let empty = store.stats().heap.live_blocks;
    let key = |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3).to_be_bytes();
    let mut model = Model::new();
    for n in 0..COUNT {
        store.put(&key(n), &n.to_le_bytes()).unwrap();
        model.insert(key(n).to_vec(), n.to_le_bytes().to_vec());
    }
    // At the right end and at the left end, where nodes are filled in another way.
    for n in 0..6000u64 {
        for end in [u64::MAX - 6000 + n, 6000 - n] {
            store.put(&end.to_be_bytes(), b"end").unwrap();
            model.insert(end.to_be_bytes().to_vec(), b"end".to_vec());
        }
    }
    check(&store, &model);
    store = reopen(store, &media);
    check(&store, &model);
    // Parts in the middle go.
    let (low, high) = (key(1).min(key(2)), key(1).max(key(2)));
    let doomed: Vec<_> = expected_in(&model, (Included(&low), Included(&high)));
    for (key, _) in &doomed {
        assert!(store.remove(key).unwrap());
        model.remove(key);
    }
    check(&store, &model);
    assert_eq!(store.count_range((Included(&low), Included(&high))).unwrap(), 0);
    for (n, last) in (0..3000).zip([true, false].into_iter().cycle()) {
        let popped = if last {
            store.pop_last(|key, value| owned((key, value)))
        } else {
            store.pop_first(|key, value| owned((key, value)))
        };
        let expected = if last { model.pop_last() } else { model.pop_first() };
        assert_eq!(popped.unwrap(), expected, "{n}");
    }
    store = reopen(store, &media);
    check(&store, &model);
    let all: Vec<_> = model.keys().cloned().collect();
    for key in all {
        assert!(store.remove(&key).unwrap());
    }
    assert_eq!((store.count().unwrap(), store.pop_first(|_, _| ()).unwrap()), (0, None));
    assert_eq!(store.stats().heap.live_blocks, empty, "a block is left");
}

/// B33: the order is used, and its name is kept and compared.
#[test]
fn an_order_has_a_name() {
    let media = media();
    let store = create::<Backwards>(&media);
    for n in 0..if cfg!(miri) { 20 } else { 2000u16 } {
        store.put(&n.to_be_bytes(), b"").unwrap();
    }
    let store = reopen(store, &media);
    assert!(store.read().unwrap().range(..).map(|(key, _)| key).is_sorted_by(|a, b| a > b));
    assert_eq!(
        store.seek(Seek::First, |key, _| key.to_vec()).unwrap().unwrap()[..1],
        if cfg!(miri) { [0] } else { [7] }
    );
    store.close().unwrap();
    let refused = open::<Bytewise>(&media).unwrap_err();
    match &refused {
        Error::OrderMismatch { found, expected } => {
            assert_eq!((found.as_str(), expected.as_str()), ("tests/backwards", "bytewise"));
        }
        other => panic!("{other}"),
    }
    assert!(refused.to_string().contains("`tests/backwards`") && refused.to_string().contains("`bytewise`"));
    assert!(open::<Backwards>(&media).is_ok());
    // Also where there is nothing in it yet, and in the middle of a root.
    let media = Arc::new(media.with_bytes(Vec::new()));
    drop(app_options().create_on(media.clone(), |_| {
        Ok(App { words: Map::default(), copies: Map::default(), changes: PMutex::new(0) })
    }));
    #[derive(Persistent)]
    #[repr(C)]
    struct Other<'p> {
        words: Map<'p, Ordered<Backwards>>,
        copies: Map<'p, Ordered<Backwards>>,
        changes: PMutex<'p, u64>,
    }
    let other = Pool::<Other<'_>>::options().open_on(media);
    assert!(matches!(other, Err(Error::OrderMismatch { .. } | Error::SchemaMismatch { .. })), "{other:?}");
}

/// Orders that break their word, each in its way.
struct Liar<const KIND: u8>;

static LIES: AtomicU64 = AtomicU64::new(1);

impl<const KIND: u8> Order for Liar<KIND> {
    const NAME: &'static str = ["random", "less", "equal", "greater", "wheel", "alike"][KIND as usize];

    fn compare(a: &[u8], b: &[u8]) -> Ordering {
        match KIND {
            0 => match LIES.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed).wrapping_mul(0xBF58_476D_1CE4_E5B9)
                >> 62
            {
                0 => Ordering::Equal,
                1 => Ordering::Greater,
                _ => Ordering::Less,
            },
            1 => Ordering::Less,
            2 => Ordering::Equal,
            3 => Ordering::Greater,
            // The truth, but for what keys have in common.
            5 => a.cmp(b),
            // Each is before those that follow it half the way round.
            _ => match b.first().unwrap_or(&0).wrapping_sub(*a.first().unwrap_or(&0)) {
                0 => Ordering::Equal,
                1..128 => Ordering::Less,
                _ => Ordering::Greater,
            },
        }
    }

    fn head(key: &[u8]) -> u64 {
        match KIND {
            // Now and then another number for the same key.
            0 => LIES.load(Relaxed) % 3 + key.len() as u64 % 2,
            5 => Bytewise::head(key),
            _ => 0,
        }
    }

    fn common_len(low: &[u8], _: &[u8]) -> usize {
        let lie = LIES.fetch_add(1, Relaxed) as usize;
        if KIND == 0 || KIND == 5 { [0, 3, low.len(), low.len() + 1, 1 << 31, 1 << 40][lie % 6] } else { 0 }
    }
}

fn lie<const KIND: u8>() {
    let media = media();
    let mut store = create::<Liar<KIND>>(&media);
    let rounds = if cfg!(miri) { 40 } else { 4000u64 };
    for round in 0..rounds {
        let n = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let (key, value) = (n.to_le_bytes(), round.to_le_bytes());
        store.put(&key, &value).unwrap();
        drop(store.get_copy(&key).unwrap());
        if round % 3 == 0 {
            store.remove(&key).unwrap();
        }
        if round % 97 == 0 {
            let _ = store.update(&key, .., |bytes| bytes.fill(1)).unwrap();
            let _ = store.pop_first(|_, _| ()).unwrap();
            let _ = store.pop_last(|_, _| ()).unwrap();
        }
        if round % 501 == 0 {
            let now = store.read().unwrap();
            let _ = (now.iter().count(), now.range(..).rev().count(), now.count());
            let _ = (
                now.range(&key[..]..).count(),
                now.range(..&key[..]).rev().count(),
                now.seek(Seek::Lower(&key)),
            );
            drop(now);
            let within = store.batch(|tx| tx.range_back(key..=value, |_, _| ControlFlow::<()>::Continue(())));
            assert!(within.unwrap().is_continue());
            drop(catch_unwind(AssertUnwindSafe(|| {
                let mut batch = Batch::new();
                for n in 0..30u8 {
                    batch.put(&[n, key[0]], b"x").remove(&[key[0], n]);
                }
                store.apply(&batch)
            })));
        }
        if round % 1000 == 999 {
            store = reopen(store, &media);
        }
    }
    let store = reopen(store, &media);
    store.clear().unwrap();
    assert_eq!(store.count().unwrap(), 0);
}

/// A wrong order may lose records; it never breaks the pool, never loops, never leaks.
#[test]
fn orders_that_lie_break_nothing() {
    lie::<0>();
    lie::<1>();
    lie::<2>();
    lie::<3>();
    lie::<4>();
    lie::<5>();
}

/// What a callback ends with is reported, and it leaves no lock held, whatever it ends with (B41, B48).
#[test]
fn callbacks_stop_and_panic() {
    let store = create::<Bytewise>(&media());
    let mut model = Model::new();
    for n in 0..if cfg!(miri) { 20u16 } else { 1200 } {
        store.put(&n.to_be_bytes(), &[1; 20]).unwrap();
        model.insert(n.to_be_bytes().to_vec(), vec![1; 20]);
    }
    let mut seen = 0;
    let flow = store.batch(|tx| {
        seen = 0;
        tx.range(.., |_, _| {
            seen += 1;
            if seen == 7 { ControlFlow::Break("enough") } else { ControlFlow::Continue(()) }
        })
    });
    assert_eq!((flow.unwrap(), seen), (ControlFlow::Break("enough"), 7));
    let flow = store.range_back([0, 9].., |key, _| ControlFlow::Break(key.to_vec())).unwrap();
    assert_eq!(flow, ControlFlow::Break(model.last_key_value().unwrap().0.clone()));
    let boom = |_: &[u8], _: &[u8]| -> ControlFlow<()> { panic!("boom") };
    let panics: [(&str, &dyn Fn()); 9] = [
        ("range", &|| drop(store.range(.., boom))),
        ("range in a batch", &|| drop(store.batch(|tx| tx.range([0, 5].., boom)))),
        ("back in a batch", &|| drop(store.batch(|tx| tx.range_back(.., boom)))),
        ("seek", &|| drop(store.seek(Seek::Last, |_, _| panic!("boom")))),
        ("seek in a batch", &|| drop(store.batch(|tx| tx.seek(Seek::Last, |_, _| panic!("boom"))))),
        ("pop", &|| drop(store.pop_first(|_, _| panic!("boom")))),
        ("pop in a batch", &|| drop(store.batch(|tx| tx.pop_last(|_, _| panic!("boom"))))),
        ("update", &|| {
            drop(store.update(&[0, 3], .., |bytes| {
                bytes.fill(7);
                panic!("boom")
            }))
        }),
        ("batch", &|| {
            drop(store.batch::<()>(|tx| {
                (0..3000u16).try_for_each(|n| tx.put(&n.to_be_bytes(), b"gone").map(drop))?;
                panic!("boom")
            }));
        }),
    ];
    for (what, panics) in panics {
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err(), "{what}");
        // On another thread, which would wait for a lock that is still there.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                check(&store, &model);
                store.batch(|tx| tx.put(&[0, 3], &[9; 20]).and_then(|_| tx.put(&[0, 3], &[1; 20]))).unwrap();
            });
        });
    }
    // What is shown cannot be changed by who shows it, in the part that is shown.
    let refused = store.batch(|tx| {
        tx.range([0, 1]..[0, 3], |key, _| match tx.put(key, b"no") {
            Err(Error::AlreadyBorrowed) => ControlFlow::Break(()),
            other => panic!("{other:?}"),
        })
    });
    assert!(refused.unwrap().is_break());
    let looked = store.batch(|tx| {
        tx.range(..[0, 2], |key, value| {
            assert_eq!(tx.get(key, |again| again == value).unwrap(), Some(true));
            ControlFlow::<()>::Continue(())
        })
    });
    assert!(looked.unwrap().is_continue());
    check(&store, &model);
}

fn number(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

/// Waits for what another thread does, and fails where that never comes.
fn until(what: &AtomicBool) {
    for _ in 0..10_000 {
        if what.load(Relaxed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it never came");
}

/// No phantoms: who adds to a range that a transaction has gone through waits for its end; who adds elsewhere does not.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_range_stays_as_it_was_shown() {
    let store = create::<Bytewise>(&media());
    for n in 0..4000u64 {
        store.put(&number(n * 10), b"").unwrap();
    }
    let (shown, elsewhere, within) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            store
                .batch(|tx| {
                    let range = || number(1000)..number(1500);
                    let before = tx.count_range(range())?;
                    shown.store(true, Relaxed);
                    until(&elsewhere);
                    std::thread::sleep(Duration::from_millis(50));
                    assert!(!within.load(Relaxed), "a record came into a range that is held");
                    assert_eq!(tx.count_range(range())?, before);
                    Ok(())
                })
                .unwrap();
        });
        until(&shown);
        scope.spawn(|| {
            store.put(&number(1111), b"new").unwrap();
            within.store(true, Relaxed);
        });
        scope.spawn(|| {
            // Far away, also as a range and a place.
            store.put(&number(39_995), b"new").unwrap();
            store.batch(|tx| tx.count_range(number(39_000)..)).unwrap();
            assert!(store.remove(&number(39_990)).unwrap());
            elsewhere.store(true, Relaxed);
        });
    });
    assert!(store.exists(&number(1111)).unwrap());
}

/// B32: each scan sees each record that was there all the time once, in order, while others insert and remove between them and
/// parts are split and dropped.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn scans_beside_inserts_lose_and_double_nothing() {
    const FIXED: u64 = 3000;
    let media = media();
    let store = create::<Bytewise>(&media);
    for n in 0..FIXED {
        store.put(&number(n * 1000), b"fixed").unwrap();
    }
    let stop = AtomicBool::new(false);
    let scans = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..3u64 {
                        let base = (thread * 7 + round) * 150_000;
                        for n in 0..3000 {
                            store.put(&number(base + n * 50 + 1 + thread), b"moves").unwrap();
                        }
                        for n in 0..3000 {
                            store.remove(&number(base + n * 50 + 1 + thread)).unwrap();
                        }
                    }
                })
            })
            .collect();
        for back in [false, true] {
            let (store, stop, scans) = (&store, &stop, &scans);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    let shown = store.batch(|tx| {
                        // Afresh in each run.
                        let (mut keys, mut fixed) = (Vec::new(), 0);
                        let each = |key: &[u8], value: &[u8]| {
                            keys.push(u64::from_be_bytes(key.try_into().unwrap()));
                            fixed += u64::from(value == b"fixed");
                            ControlFlow::<()>::Continue(())
                        };
                        let flow = if back { tx.range_back(.., each)? } else { tx.range(.., each)? };
                        assert!(flow.is_continue());
                        Ok((keys, fixed))
                    });
                    let (keys, fixed) = match shown {
                        Err(Error::Deadlock) => continue,
                        shown => shown.unwrap(),
                    };
                    assert!(keys.is_sorted_by(|a, b| (a < b) != back && a != b), "out of order, or twice");
                    assert_eq!(fixed, FIXED);
                    scans.fetch_add(1, Relaxed);
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Relaxed);
    });
    assert!(scans.load(Relaxed) > 2, "{scans:?}");
    let model: Model = (0..FIXED).map(|n| (number(n * 1000).to_vec(), b"fixed".to_vec())).collect();
    check(&store, &model);
    check(&reopen(store, &media), &model);
}

/// Threads in ranges of their own and in one that all use; a batch that moves a record shows both ends of the move.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn threads_in_their_own_ranges_and_in_one() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 2500;
    let media = Arc::new(RamMedia::new(64 << 20).unwrap());
    let options = Store::<Ordered>::options().max_size(64 << 20).size(128 << 10).ring_size(256 << 10);
    let store = options.durability(Durability::Eventual).create_store_on(media.clone()).unwrap();
    let own = |thread: u64, n: u64| [b"own".as_slice(), &number(thread), &number(n)].concat();
    let common = |n: u64| [b"common".as_slice(), &number(n)].concat();
    for n in 0..40 {
        store.put(&common(n), b"token").unwrap();
    }
    let popped = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, popped) = (&store, &popped);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let n = round.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(thread as u32 * 9) >> 16;
                    assert!(store.put(&own(thread, n), &number(round)).unwrap());
                    match round % 5 {
                        0 => assert!(store.remove(&own(thread, n)).unwrap()),
                        1 => {
                            // A token moves; how many there are stays.
                            store
                                .batch(|tx| {
                                    let from =
                                        tx.seek(Seek::HigherEq(&common(n % 4000)), |key, _| key.to_vec())?;
                                    let Some(from) = from.filter(|key| key.starts_with(b"common")) else {
                                        return Ok(());
                                    };
                                    let to = common(n / 4000 % 4000);
                                    if !tx.exists(&to)? {
                                        assert!(tx.remove(&from)?);
                                        assert!(tx.put(&to, b"token")?);
                                    }
                                    Ok(())
                                })
                                .unwrap();
                        }
                        2 if round % 50 == 2 => {
                            let tokens = |tx: pobj::kv::StoreTx<'_, '_, Ordered>| {
                                tx.map().count_prefix_with(b"common", tx.tx())
                            };
                            assert_eq!(store.batch(tokens).unwrap(), 40);
                        }
                        3 => {
                            let queue =
                                |n: u64| [b"a queue".as_slice(), &number(n), &number(thread)].concat();
                            store.put(&queue(round), b"").unwrap();
                            let first = store.pop_first(|key, _| key.starts_with(b"a queue")).unwrap();
                            assert_eq!(first, Some(true), "who puts one finds one");
                            popped.fetch_add(1, Relaxed);
                        }
                        _ => assert_eq!(
                            store.get(&own(thread, n), |value| value == number(round)).unwrap(),
                            Some(true)
                        ),
                    }
                }
            });
        }
    });
    assert_eq!(popped.load(Relaxed), THREADS * ROUNDS / 5);
    let verify = |store: &Store<Ordered>| {
        assert_eq!(store.count_prefix(b"common").unwrap(), 40);
        assert_eq!(store.count_prefix(b"a queue").unwrap(), 0);
        for thread in 0..THREADS {
            let expected = (ROUNDS - ROUNDS / 5) as usize;
            assert_eq!(store.count_prefix(&[b"own".as_slice(), &number(thread)].concat()).unwrap(), expected);
        }
        let now = store.read().unwrap();
        assert!(now.iter().map(|(key, _)| key).is_sorted_by(|a, b| a < b));
        assert_eq!(now.iter().count(), now.count());
    };
    verify(&store);
    store.close().unwrap();
    verify(&open(&media).unwrap());
}

#[test]
fn typed_views_have_ranges() {
    let store = create::<Bytewise>(&media());
    let heights = Typed::<i32, str, Ordered>::new(&store);
    for (height, place) in [(4810, "Mont Blanc"), (-430, "Dead Sea"), (260, "Basel"), (0, "Nice")] {
        heights.put(&height, place).unwrap();
    }
    let shown = |range: (Bound<i32>, Bound<i32>)| {
        let mut shown = Vec::new();
        let flow = heights.range(range, |height, place| {
            shown.push((height, place.to_owned()));
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        assert_eq!(heights.count_range(range).unwrap(), shown.len());
        shown.into_iter().map(|(height, _)| height).collect::<Vec<_>>()
    };
    assert_eq!(shown((Unbounded, Unbounded)), [-430, 0, 260, 4810]);
    assert_eq!(shown((Included(-430), Excluded(260))), [-430, 0]);
    let at = |place: Seek<'_, i32>| heights.seek(place, |height, _| height).unwrap();
    assert_eq!([at(Seek::First), at(Seek::Last)], [Some(-430), Some(4810)]);
    assert_eq!(
        [at(Seek::Lower(&0)), at(Seek::LowerEq(&0)), at(Seek::Higher(&0)), at(Seek::HigherEq(&1))],
        [Some(-430), Some(0), Some(260), Some(260)]
    );
    assert_eq!(at(Seek::Higher(&4810)), None);
    let wrong = Typed::<u64, str, Ordered>::new(&store);
    assert!(matches!(wrong.seek(Seek::First, |_, _| ()), Err(Error::Undecodable { .. })));
    assert!(matches!(
        wrong.range(.., |_, _| ControlFlow::<()>::Continue(())),
        Err(Error::Undecodable { .. })
    ));
}

/// Any word of a store may be another: opening refuses it, or everything ends and stays within the pool.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_damaged_table_is_refused_or_harmless() {
    const COUNT: u64 = 700;
    let media = Arc::new(RamMedia::new(1 << 20).unwrap());
    let options = Store::<Ordered>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
    let store = options.create_store_on(media.clone()).unwrap();
    for n in 0..COUNT {
        store.put(&number(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)), &number(n)).unwrap();
    }
    store.close().unwrap();
    let whole = media.bytes();
    let word = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    // Nodes: a header of kind, level and count before the head of a key. In each its header, heads, pairs and children.
    let heads: Vec<u64> = (0..COUNT).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
    let is_node = |at: &usize| {
        let (kind, level, count) = (word(*at) & 0xFFFF, word(*at) >> 16 & 0xFFFF, word(*at) >> 32);
        (1..=31).contains(&count) && kind == level.min(1) && level < 4 && heads.contains(&word(at + 8))
    };
    let parts_of = |at: usize| match word(at) & 0xFFFF {
        0 => [at, at + 8, at + 16, at + 256, at + 264],
        _ => [at, at + 8, at + 168, at + 328, at + 336],
    };
    let nodes = (4096..whole.len() - 512).step_by(8).filter(is_node);
    let interesting: Vec<usize> = nodes.flat_map(parts_of).collect();
    assert!(interesting.len() > 100, "{}", interesting.len());
    let (mut refused, mut opened) = (0, 0);
    for (round, &at) in interesting.iter().enumerate() {
        for bad in [0, u64::MAX, word(at) ^ 1, word(at + 8), word(at).wrapping_add(64), word(at) ^ 1 << 33] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&bad.to_le_bytes());
            match open::<Bytewise>(&Arc::new(media.with_bytes(bytes))) {
                Err(Error::Corrupt { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
                Ok(store) => {
                    opened += 1;
                    use_damaged(&store, &heads, round % 8 == 0);
                }
            }
        }
    }
    assert!(refused > 300 && opened > 200, "{refused} refused, {opened} opened");
    println!("{refused} refused, {opened} opened and used");
}

fn use_damaged(store: &Store<Ordered>, heads: &[u64], wholly: bool) {
    let now = store.read().unwrap();
    let _ = (now.iter().map(owned).count(), now.range(..).rev().count(), now.count_range(number(heads[5])..));
    drop(now);
    let heads = if wholly { heads } else { &heads[..60] };
    for &head in heads {
        let _ = store.seek(Seek::Higher(&number(head)), |key, _| key.len()).unwrap();
        store.remove(&number(head)).unwrap();
        store.put(&number(head), b"again").unwrap();
        store.put(&number(head ^ 1), b"and more").unwrap();
    }
    let _ = store.batch(|tx| tx.count_range(..)).unwrap();
    while wholly && store.pop_last(|_, _| ()).unwrap().is_some() {}
    store.clear().unwrap();
}

/// The layout, pinned: a field that moves would be another format.
#[test]
fn the_layout_is_part_of_the_format() {
    let schema = Schema::of::<Map<'_, Ordered>>();
    let types: Vec<String> =
        schema.types().iter().map(|ty| format!("{} {}/{}", ty.name, ty.size, ty.align)).collect();
    for expected in ["KvMap 80/8", "KvOrdered 80/8", "KvEntry 16/8", "Pair 8/8", "Node<u64, Pair> 512/8"] {
        assert!(types.iter().any(|ty| ty == expected), "{expected} in {types:?}");
    }
    assert_eq!(schema.types(), Schema::of::<Map<'_, Ordered<Backwards>>>().types());
}
