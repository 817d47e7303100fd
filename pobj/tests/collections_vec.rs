//! `PVec` and `PString` against `Vec` and `String`: random transactions, some of them given up, with reopenings.
//!
//! Catches: an element that is moved, dropped or kept twice; a rollback that misses a word; bytes that the image has
//! and the record has not; a place out of range that panics; blocks that leak (B13, B18 to B21, B35 to B37).

use std::ops::Range;
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PBox, PString, PVec, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };
const CASES: u32 = if cfg!(miri) { 3 } else { 200 };

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    numbers: PVec<'p, u64>,
    bytes: PVec<'p, u8>,
    words: PVec<'p, PString<'p>>,
    text: PString<'p>,
    boxes: PVec<'p, Option<PBox<'p, u64>>>,
    nothing: PVec<'p, ()>,
}

#[derive(Clone, Default, Debug, PartialEq)]
struct Model {
    numbers: Vec<u64>,
    bytes: Vec<u8>,
    words: Vec<String>,
    text: String,
}

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(256 << 10).ring_size(64 << 10);
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
    Push(u64),
    Pop,
    Insert(usize, u64),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Extend(Vec<u64>),
    Set(usize, u64),
    Swap(usize, usize),
    Sort(Range<usize>),
    Retain(u64),
    Dedup,
    Drain(Range<usize>, usize),
    Append(Vec<u64>),
    Shrink,
    Assign(String),
    Splice(Range<usize>, String),
    RemoveChar(usize),
    PopChar,
    Cut(usize),
    RetainChars(char),
    Clear,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        proptest::collection::vec(
            prop_oneof![Just('a'), Just('\u{e9}'), Just('\u{20ac}'), Just('\0'), any::<char>()],
            0..40
        )
        .prop_map(|chars| chars.into_iter().collect()),
        (1usize..if cfg!(miri) { 60 } else { 6000 }).prop_map(|len| "0123456789"
            .chars()
            .cycle()
            .take(len)
            .collect()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let place = 0usize..40;
    let range = (0usize..40, 0usize..40).prop_map(|(start, end)| start..end);
    prop_oneof![
        6 => any::<u64>().prop_map(Op::Push),
        2 => Just(Op::Pop),
        2 => (place.clone(), any::<u64>()).prop_map(|(at, value)| Op::Insert(at, value)),
        2 => place.clone().prop_map(Op::Remove),
        2 => place.clone().prop_map(Op::SwapRemove),
        1 => place.clone().prop_map(Op::Truncate),
        2 => proptest::collection::vec(0u64..9, 0..20).prop_map(Op::Extend),
        4 => (place.clone(), any::<u64>()).prop_map(|(at, value)| Op::Set(at, value)),
        1 => (place.clone(), place.clone()).prop_map(|(a, b)| Op::Swap(a, b)),
        1 => range.clone().prop_map(Op::Sort),
        1 => (1u64..4).prop_map(Op::Retain),
        1 => Just(Op::Dedup),
        1 => (range.clone(), 0usize..5).prop_map(|(range, take)| Op::Drain(range, take)),
        1 => proptest::collection::vec(0u64..9, 0..300).prop_map(Op::Append),
        1 => Just(Op::Shrink),
        2 => text().prop_map(Op::Assign),
        3 => (range, text()).prop_map(|(range, text)| Op::Splice(range, text)),
        2 => place.clone().prop_map(Op::RemoveChar),
        1 => Just(Op::PopChar),
        1 => place.prop_map(Op::Cut),
        1 => prop_oneof![Just('a'), Just('1'), Just('\u{e9}')].prop_map(Op::RetainChars),
        1 => Just(Op::Clear),
    ]
}

fn word(number: u64) -> String {
    "w".repeat(number as usize % 50) + &number.to_string()
}

fn apply<'p>(op: &Op, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let len = model.numbers.len();
    match op {
        Op::Push(n) => {
            app.numbers.push(tx, *n)?;
            app.bytes.push(tx, *n as u8)?;
            app.words.push(tx, PString::from_str(tx, &word(*n))?)?;
            app.text.push(tx, char::from_u32(*n as u32 % 0xD000).unwrap())?;
            model.numbers.push(*n);
            model.bytes.push(*n as u8);
            model.words.push(word(*n));
            model.text.push(char::from_u32(*n as u32 % 0xD000).unwrap());
        }
        Op::Pop => {
            assert_eq!(app.numbers.pop(), model.numbers.pop());
            assert_eq!(app.bytes.pop(), model.bytes.pop());
            assert_eq!(app.words.pop().map(|word| word.to_string()), model.words.pop());
        }
        Op::Insert(at, n) => {
            let result = app.numbers.insert(tx, *at, *n);
            if *at > len {
                assert!(matches!(result, Err(Error::OutOfRange { .. })));
                assert!(app.words.insert(tx, *at, PString::from_str(tx, "lost")?).is_err());
                return Ok(());
            }
            result?;
            app.bytes.insert(tx, *at, *n as u8)?;
            app.words.insert(tx, *at, PString::from_str(tx, &word(*n))?)?;
            model.numbers.insert(*at, *n);
            model.bytes.insert(*at, *n as u8);
            model.words.insert(*at, word(*n));
        }
        Op::Remove(at) => {
            let gone = (*at < len).then(|| model.words.remove(*at));
            assert_eq!(app.words.remove(*at, tx).map(|word| word.to_string()), gone);
            assert_eq!(app.numbers.remove(*at, tx), (*at < len).then(|| model.numbers.remove(*at)));
            assert_eq!(app.bytes.remove(*at, tx), (*at < len).then(|| model.bytes.remove(*at)));
        }
        Op::SwapRemove(at) => {
            let gone = (*at < len).then(|| model.words.swap_remove(*at));
            assert_eq!(app.words.swap_remove(*at, tx).map(|word| word.to_string()), gone);
            assert_eq!(app.numbers.swap_remove(*at, tx), (*at < len).then(|| model.numbers.swap_remove(*at)));
            assert_eq!(app.bytes.swap_remove(*at, tx), (*at < len).then(|| model.bytes.swap_remove(*at)));
        }
        Op::Truncate(count) => {
            app.numbers.truncate(*count);
            app.bytes.truncate(*count);
            app.words.truncate(*count);
            model.numbers.truncate(*count);
            model.bytes.truncate(*count);
            model.words.truncate(*count);
        }
        Op::Extend(values) => {
            app.numbers.extend_from_slice(tx, values)?;
            app.bytes.extend(tx, values.iter().map(|n| *n as u8))?;
            for n in values {
                app.words.push(tx, PString::from_str(tx, &word(*n))?)?;
            }
            extend(model, values);
        }
        Op::Set(at, n) => {
            let found = app.numbers.get_mut(*at, tx).map(|place| *place = *n).is_some();
            assert_eq!(found, *at < len);
            if found {
                *app.bytes.get_mut(*at, tx).unwrap() = *n as u8;
                app.words.get_mut(*at, tx).unwrap().assign(tx, &word(*n))?;
                model.numbers[*at] = *n;
                model.bytes[*at] = *n as u8;
                model.words[*at] = word(*n);
            }
        }
        Op::Swap(a, b) => {
            let inside = *a < len && *b < len;
            assert_eq!(app.numbers.swap(*a, *b, tx), inside);
            app.bytes.swap(*a, *b, tx);
            app.words.swap(*a, *b, tx);
            if inside {
                model.numbers.swap(*a, *b);
                model.bytes.swap(*a, *b);
                model.words.swap(*a, *b);
            }
        }
        Op::Sort(range) => {
            let inside = range.start <= range.end && range.end <= len;
            assert_eq!(app.numbers.slice_mut(range.clone(), tx).map(<[u64]>::sort).is_ok(), inside);
            if inside {
                app.bytes.slice_mut(range.clone(), tx)?.reverse();
                app.words.slice_mut(range.clone(), tx)?.sort();
                model.numbers[range.clone()].sort();
                model.bytes[range.clone()].reverse();
                model.words[range.clone()].sort();
            }
        }
        Op::Retain(n) => {
            app.numbers.retain(tx, |value| value % n == 0);
            app.words.retain(tx, |word| (word.len() as u64).is_multiple_of(*n));
            app.bytes.clear();
            model.numbers.retain(|value| value % n == 0);
            model.words.retain(|word| (word.len() as u64).is_multiple_of(*n));
            model.bytes.clear();
            level(app, tx, model)?;
        }
        Op::Dedup => {
            app.numbers.dedup(tx);
            app.words.dedup(tx);
            model.numbers.dedup();
            model.words.dedup();
            level(app, tx, model)?;
        }
        Op::Drain(range, take) => {
            let inside = range.start <= range.end && range.end <= len;
            assert_eq!(app.numbers.drain(range.clone(), tx).is_ok(), inside);
            if inside {
                model.numbers.drain(range.clone());
                let taken: Vec<_> =
                    app.words.drain(range.clone(), tx)?.take(*take).map(|word| word.to_string()).collect();
                let expected: Vec<_> = model.words.drain(range.clone()).take(*take).collect();
                assert_eq!(taken, expected);
                app.bytes.drain(range.clone(), tx)?.for_each(drop);
                model.bytes.drain(range.clone());
            }
        }
        Op::Append(values) => {
            let mut other = PVec::from_slice(tx, values)?;
            app.numbers.append(tx, &mut other)?;
            assert!(other.is_empty());
            let bytes: Vec<u8> = values.iter().map(|n| *n as u8).collect();
            app.bytes.append(tx, &mut PVec::from_slice(tx, &bytes)?)?;
            let mut words = PVec::new();
            for n in values {
                words.push(tx, PString::from_str(tx, &word(*n))?)?;
            }
            app.words.append(tx, &mut words)?;
            extend(model, values);
        }
        Op::Shrink => {
            app.numbers.shrink_to_fit(tx)?;
            app.bytes.shrink_to_fit(tx)?;
            app.words.shrink_to_fit(tx)?;
            app.text.shrink_to_fit(tx)?;
        }
        Op::Assign(text) => {
            app.text.assign(tx, text)?;
            model.text.clone_from(text);
        }
        Op::Splice(range, with) => {
            let fits = model.text.get(range.clone()).is_some();
            let result = app.text.replace_range(tx, range.clone(), with);
            assert_eq!(result.is_ok(), fits, "{result:?}");
            if fits {
                model.text.replace_range(range.clone(), with);
            }
        }
        Op::RemoveChar(at) => {
            let starts = *at < model.text.len() && model.text.is_char_boundary(*at);
            assert_eq!(app.text.remove(*at, tx), starts.then(|| model.text.remove(*at)));
        }
        Op::PopChar => assert_eq!(app.text.pop(), model.text.pop()),
        Op::Cut(at) => {
            let fits = *at >= model.text.len() || model.text.is_char_boundary(*at);
            assert_eq!(app.text.truncate(*at).is_ok(), fits);
            if fits {
                model.text.truncate(*at);
            }
        }
        Op::RetainChars(not) => {
            app.text.retain(tx, |c| c != *not);
            model.text.retain(|c| c != *not);
        }
        Op::Clear => {
            app.numbers.clear();
            app.bytes = PVec::new();
            app.words.clear();
            app.text.clear();
            *model = Model::default();
        }
    }
    Ok(())
}

fn extend(model: &mut Model, values: &[u64]) {
    model.numbers.extend_from_slice(values);
    model.bytes.extend(values.iter().map(|n| *n as u8));
    model.words.extend(values.iter().map(|n| word(*n)));
}

/// Cuts all vectors to the length of the shortest, so that one place is in all of them or in none.
fn level<'p>(app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let len = model.numbers.len().min(model.words.len());
    app.numbers.truncate(len);
    app.words.truncate(len);
    app.bytes.clear();
    app.bytes.extend(tx, std::iter::repeat_n(7, len))?;
    model.numbers.truncate(len);
    model.words.truncate(len);
    model.bytes = vec![7; len];
    Ok(())
}

fn check(pool: &Pool<App<'static>>, model: &Model) {
    let app = pool.read();
    assert_eq!(app.numbers, model.numbers);
    assert_eq!(app.bytes, model.bytes);
    assert_eq!(app.words, model.words);
    assert_eq!(app.text, model.text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes long")]
    fn vectors_and_strings_follow_the_model(
        script in proptest::collection::vec((proptest::collection::vec(op(), 0..12), 0u8..8), 1..25),
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
        pool.write(|app, _| {
            *app = App::default();
            Ok(())
        }).unwrap();
        pool.checkpoint().unwrap();
        drop(pool);
        let pool = open(&media);
        prop_assert_eq!(pool.stats().heap.live_blocks, baseline);
    }
}

#[test]
fn a_failed_request_changes_nothing() {
    let media = media();
    let pool = create(&media);
    pool.write(|app, tx| {
        app.text.push_str(tx, "kept")?;
        app.numbers.extend(tx, 0..5)?;
        assert!(matches!(app.text.reserve(tx, 1 << 40), Err(Error::PoolFull { .. })));
        assert!(matches!(
            app.numbers.reserve(tx, usize::MAX),
            Err(Error::TooLarge { .. } | Error::PoolFull { .. })
        ));
        assert!(matches!(
            PVec::<u64>::with_capacity(tx, usize::MAX / 4),
            Err(Error::TooLarge { .. } | Error::PoolFull { .. })
        ));
        let long = "x".repeat(MAX_SIZE as usize);
        assert!(app.text.assign(tx, &long).is_err());
        assert!(app.text.insert_str(tx, 2, &long).is_err());
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.read().text, "kept");
    assert_eq!(pool.read().numbers, [0, 1, 2, 3, 4]);
}

#[test]
fn places_inside_characters_are_errors() {
    let pool = create(&media());
    pool.write(|app, tx| {
        app.text.push_str(tx, "a\u{20ac}b")?;
        assert!(matches!(app.text.truncate(2), Err(Error::NotCharBoundary { index: 2, len: 5 })));
        assert!(matches!(app.text.insert_str(tx, 3, "x"), Err(Error::NotCharBoundary { index: 3, .. })));
        assert!(matches!(
            app.text.replace_range(tx, 1..9, "x"),
            Err(Error::NotCharBoundary { index: 9, .. })
        ));
        assert!(app.text.replace_range(tx, ..=usize::MAX, "x").is_err());
        assert_eq!(app.text.remove(2, tx), None);
        assert_eq!(app.text.remove(5, tx), None);
        assert_eq!(app.text.remove(1, tx), Some('\u{20ac}'));
        app.text.replace_range(tx, 1..=1, "c")
    })
    .unwrap();
    assert_eq!(pool.read().text, "ac");
}

#[test]
fn elements_without_bytes_and_boxes_work() {
    let pool = create(&media());
    let baseline = pool.stats().heap.live_blocks;
    pool.write(|app, tx| {
        app.nothing.extend(tx, [(); 1000])?;
        app.nothing.remove(3, tx);
        assert_eq!(app.nothing.len(), 999);
        for n in 0..100 {
            app.boxes.push(tx, Some(PBox::new(tx, n)?))?;
        }
        let taken = app.boxes.get_mut(7, tx).and_then(Option::take);
        assert_eq!(taken.map(|taken| taken.into_inner(tx)), Some(7));
        app.boxes.retain(tx, |slot| slot.as_ref().is_some_and(|n| **n % 2 == 0));
        let last = app.boxes.last_mut(tx).and_then(Option::as_mut);
        *last.unwrap().get_mut(tx) = 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, baseline + 51);
    let sum: u64 = pool.read().boxes.iter().flatten().map(|n| **n).sum();
    assert_eq!(sum, (0..100).filter(|n| n % 2 == 0).sum::<u64>() - 98 + 1);
    pool.write(|app, _| {
        app.boxes = PVec::new();
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, baseline);
}

#[test]
fn a_slice_records_what_changed_in_it() {
    let pool = create(&media());
    pool.write(|app, tx| app.numbers.extend(tx, (0..1000).rev())).unwrap();
    pool.write(|app, tx| {
        app.numbers.slice_mut(10..20, tx)?.sort();
        assert!(matches!(
            app.numbers.slice_mut(990..1001, tx),
            Err(Error::OutOfRange { index: 1001, len: 1000 })
        ));
        Ok(())
    })
    .unwrap();
    let expected: Vec<u64> = (0..1000).rev().collect();
    let app = pool.read();
    assert_eq!(app.numbers[..10], expected[..10]);
    assert_eq!(app.numbers[10..20], (980..990).collect::<Vec<u64>>());
    assert_eq!(app.numbers[20..], expected[20..]);
}
