//! What changes many elements of `PVec`, `PString` and `PHashMap` at once, against `std`: random transactions, some of them
//! given up, with reopenings.
//!
//! Catches: elements lost or doubled by a condition, a copy or a new length; text that is cut in a character; an item that
//! is looked at twice or not at all; a failed request that changes something (B18 to B21, B24, B36, B42).

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PHashMap, PString, PVec, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };
const CASES: u32 = if cfg!(miri) { 3 } else { 150 };

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    numbers: PVec<'p, u64>,
    words: PVec<'p, PString<'p>>,
    text: PString<'p>,
    ages: PHashMap<'p, PString<'p>, u64>,
}

#[derive(Clone, Default, Debug)]
struct Model {
    numbers: Vec<u64>,
    words: Vec<String>,
    text: String,
    ages: HashMap<String, u64>,
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
    Extend(Vec<u64>),
    Assign(Vec<u64>),
    InsertSlice(usize, Vec<u64>),
    ExtendFromWithin(Range<usize>),
    Resize(usize, u64),
    SplitOff(usize),
    RetainMut(u64),
    DedupBy(u64),
    ExtractIf(Range<usize>, u64, usize),
    PopIf(u64),
    PushText(String),
    PushFormat(u64),
    DrainText(Range<usize>, usize),
    SplitText(usize),
    Upper,
    InsertAge(u64),
    ExtractAges(u64, usize),
    EntryOf(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let place = || 0usize..40;
    let range = || (0usize..40, 0usize..40).prop_map(|(start, end)| start..end);
    let few = || proptest::collection::vec(0u64..9, 0..20);
    let text = proptest::collection::vec(prop_oneof![Just('a'), Just('\u{e9}'), any::<char>()], 0..20);
    prop_oneof![
        4 => few().prop_map(Op::Extend),
        1 => few().prop_map(Op::Assign),
        2 => (place(), few()).prop_map(|(at, values)| Op::InsertSlice(at, values)),
        1 => range().prop_map(Op::ExtendFromWithin),
        1 => (place(), 0u64..9).prop_map(|(count, value)| Op::Resize(count, value)),
        1 => place().prop_map(Op::SplitOff),
        1 => (1u64..4).prop_map(Op::RetainMut),
        2 => (1u64..4).prop_map(Op::DedupBy),
        2 => (range(), 1u64..4, 0usize..5).prop_map(|(range, n, take)| Op::ExtractIf(range, n, take)),
        1 => (0u64..9).prop_map(Op::PopIf),
        3 => text.prop_map(|chars| Op::PushText(chars.into_iter().collect())),
        1 => any::<u64>().prop_map(Op::PushFormat),
        2 => (range(), 0usize..5).prop_map(|(range, take)| Op::DrainText(range, take)),
        1 => place().prop_map(Op::SplitText),
        1 => Just(Op::Upper),
        4 => (0u64..60).prop_map(Op::InsertAge),
        1 => ((1u64..4), 0usize..20).prop_map(|(n, take)| Op::ExtractAges(n, take)),
        3 => (0u64..60).prop_map(Op::EntryOf),
    ]
}

fn word(number: u64) -> String {
    "w".repeat(number as usize % 50) + &number.to_string()
}

fn words<'p>(tx: &Tx<'p>, numbers: &[u64]) -> Result<Vec<PString<'p>>> {
    numbers.iter().map(|number| PString::from_str(tx, &word(*number))).collect()
}

fn apply<'p>(op: &Op, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let len = model.numbers.len();
    let inside = |range: &Range<usize>| range.start <= range.end && range.end <= len;
    match op {
        Op::Extend(values) => {
            app.numbers.extend_from_slice(tx, values)?;
            app.words.extend(tx, words(tx, values)?)?;
            model.numbers.extend(values);
            model.words.extend(values.iter().map(|n| word(*n)));
        }
        Op::Assign(values) => {
            app.numbers.assign(tx, values)?;
            app.words.clear();
            app.words.extend(tx, words(tx, values)?)?;
            model.numbers.clone_from(values);
            model.words = values.iter().map(|n| word(*n)).collect();
        }
        Op::InsertSlice(at, values) => {
            assert_eq!(app.numbers.insert_slice(tx, *at, values).is_ok(), *at <= len);
            if *at <= len {
                model.numbers.splice(at..at, values.iter().copied());
                level(app, tx, model)?;
            }
        }
        Op::ExtendFromWithin(range) => {
            assert_eq!(app.numbers.extend_from_within(tx, range.clone()).is_ok(), inside(range));
            if inside(range) {
                model.numbers.extend_from_within(range.clone());
                level(app, tx, model)?;
            }
        }
        Op::Resize(count, n) => {
            app.numbers.resize(tx, *count, *n)?;
            app.words.resize_with(tx, *count, || PString::from_str(tx, &word(*n)))?;
            model.numbers.resize(*count, *n);
            model.words.resize(*count, word(*n));
        }
        Op::SplitOff(at) => {
            let cut = app.words.split_off(tx, *at);
            assert_eq!(cut.is_ok(), *at <= len);
            if let Ok(cut) = cut {
                assert_eq!(cut, model.words.split_off(*at));
                assert_eq!(app.numbers.split_off(tx, *at)?, model.numbers.split_off(*at));
            }
        }
        Op::RetainMut(n) => {
            app.numbers.retain_mut(tx, |value| {
                *value += 1;
                !value.is_multiple_of(*n)
            });
            model.numbers.retain_mut(|value| {
                *value += 1;
                !value.is_multiple_of(*n)
            });
            let mut turn = 0;
            app.words.retain_mut(tx, |_| {
                turn += 1;
                turn % (n + 1) != 0
            });
            let mut turn = 0;
            model.words.retain_mut(|_| {
                turn += 1;
                turn % (n + 1) != 0
            });
            level(app, tx, model)?;
        }
        Op::DedupBy(n) => {
            app.numbers.dedup_by_key(tx, |value| *value / n);
            model.numbers.dedup_by_key(|value| *value / n);
            app.words.dedup_by(tx, |word, before| word.len() as u64 % n == before.len() as u64 % n);
            model.words.dedup_by(|word, before| word.len() as u64 % n == before.len() as u64 % n);
            level(app, tx, model)?;
        }
        Op::ExtractIf(range, n, take) => {
            let chosen = |text: &str| (text.len() as u64).is_multiple_of(*n);
            let result = app.words.extract_if(range.clone(), tx, |word| chosen(word.as_str()));
            assert_eq!(result.is_ok(), inside(range));
            if let Ok(extracted) = result {
                let taken: Vec<_> = extracted.take(*take).map(|word| word.to_string()).collect();
                let expected: Vec<_> =
                    model.words.extract_if(range.clone(), |word| chosen(word)).take(*take).collect();
                assert_eq!(taken, expected);
                level(app, tx, model)?;
            }
        }
        Op::PopIf(n) => {
            assert_eq!(app.numbers.pop_if(|last| last < n), model.numbers.pop_if(|last| *last < *n));
            level(app, tx, model)?;
        }
        Op::PushText(text) => {
            app.text.extend(tx, text.chars())?;
            model.text.push_str(text);
        }
        Op::PushFormat(n) => {
            app.text.push_fmt(tx, format_args!("<{n:>4} {:?}>", n % 7))?;
            write!(app.text.writer(tx), "{n}").unwrap();
            write!(model.text, "<{n:>4} {:?}>{n}", n % 7).unwrap();
        }
        Op::DrainText(range, take) => {
            let fits = model.text.get(range.clone()).is_some();
            let result = app.text.drain(range.clone(), tx);
            assert_eq!(result.is_ok(), fits, "{result:?}");
            if let Ok(mut drain) = result {
                let mut expected = model.text.drain(range.clone());
                assert_eq!(drain.next_back(), expected.next_back());
                assert!(drain.take(*take).eq(expected.take(*take)));
            }
        }
        Op::SplitText(at) => {
            let result = app.text.split_off(tx, *at);
            assert_eq!(result.is_ok(), model.text.is_char_boundary(*at));
            if let Ok(cut) = result {
                assert_eq!(cut, model.text.split_off(*at));
            }
        }
        Op::Upper => {
            app.text.as_mut_str(tx).make_ascii_uppercase();
            model.text.make_ascii_uppercase();
        }
        Op::InsertAge(n) => {
            let old = app.ages.insert(tx, PString::from_str(tx, &word(*n))?, *n)?;
            assert_eq!(old, model.ages.insert(word(*n), *n));
        }
        Op::ExtractAges(n, take) => {
            let mut asked = 0;
            let extracted = app.ages.extract_if(tx, |_, age| {
                asked += 1;
                *age += 1;
                (*age).is_multiple_of(*n)
            });
            let taken: Vec<_> = extracted.take(*take).map(|(name, age)| (name.to_string(), age)).collect();
            for (name, age) in taken {
                assert_eq!(model.ages.remove(&name), Some(age - 1));
            }
            // How many it asked about before it was dropped is not the model's to know.
            assert!(asked <= model.ages.len() + take);
            app.ages.values_mut(tx).for_each(|age| *age = 7);
            model.ages.values_mut().for_each(|age| *age = 7);
        }
        Op::EntryOf(n) => {
            let name = PString::from_str(tx, &word(*n))?;
            let age = app.ages.entry(name, tx).or_insert_with_key(|name| Ok(name.len() as u64))?;
            assert_eq!(*age, *model.ages.entry(word(*n)).or_insert_with_key(|name| name.len() as u64));
            let mut entry = app.ages.entry(PString::from_str(tx, &word(*n + 1))?, tx).insert_entry(*n)?;
            assert_eq!((entry.key().as_str(), *entry.get()), (word(*n + 1).as_str(), *n));
            *entry.get_mut() += 1;
            if n.is_multiple_of(3) {
                assert_eq!(entry.remove(), *n + 1);
                model.ages.remove(&word(*n + 1));
            } else {
                model.ages.insert(word(*n + 1), *n + 1);
            }
        }
    }
    Ok(())
}

/// Cuts both vectors to the length of the shorter one.
fn level<'p>(app: &mut App<'p>, _tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let len = model.numbers.len().min(model.words.len());
    app.numbers.truncate(len);
    app.words.truncate(len);
    model.numbers.truncate(len);
    model.words.truncate(len);
    Ok(())
}

fn check(pool: &Pool<App<'static>>, model: &Model) {
    let app = pool.read();
    assert_eq!(app.numbers, model.numbers);
    assert_eq!(app.words, model.words);
    assert_eq!(app.text, model.text);
    assert_eq!(app.ages.len(), model.ages.len());
    assert!(model.ages.iter().all(|(name, age)| app.ages[name.as_str()] == *age));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes long")]
    fn many_at_once_follow_the_model(
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
        pool.write(|app, _| {
            *app = App::default();
            Ok(())
        }).unwrap();
        drop(pool);
        let pool = open(&media);
        prop_assert_eq!(pool.stats().heap.live_blocks, baseline);
    }
}

#[test]
fn a_request_that_does_not_fit_changes_nothing() {
    let pool = create(&media());
    pool.write(|app, tx| {
        app.numbers.extend(tx, 0..5)?;
        app.text.push_str(tx, "kept")?;
        let many = vec![7; MAX_SIZE as usize / 8];
        assert!(app.numbers.assign(tx, &many).is_err());
        assert!(app.numbers.insert_slice(tx, 2, &many).is_err());
        assert!(app.numbers.resize(tx, many.len(), 1).is_err());
        assert!(app.numbers.reserve_exact(tx, usize::MAX).is_err());
        assert!(matches!(app.numbers.insert_slice(tx, 6, &[1]), Err(Error::OutOfRange { index: 6, len: 5 })));
        assert!(app.numbers.extend_from_within(tx, ..=usize::MAX).is_err());
        let long = "x".repeat(MAX_SIZE as usize);
        // The pool's own error, not that of the formatter.
        let full = app.text.push_fmt(tx, format_args!("{long}"));
        assert!(matches!(full, Err(Error::PoolFull { .. })), "{full:?}");
        assert!(write!(app.text.writer(tx), "{long}").is_err());
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.read().numbers, [0, 1, 2, 3, 4]);
    assert_eq!(pool.read().text, "kept");
}

#[test]
fn a_string_converts_and_compares_like_one_of_std() {
    struct Sulks;
    impl std::fmt::Display for Sulks {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    let pool = create(&media());
    pool.write(|app, tx| {
        app.text = PString::from_fmt(tx, format_args!("{}/{:03}.txt", "dir\0", 7))?;
        assert!(matches!(app.text.push_fmt(tx, format_args!("{Sulks}")), Err(Error::Aborted(_))));
        Ok(())
    })
    .unwrap();
    let app = pool.read();
    assert_eq!(String::from(&app.text), "dir\0/007.txt");
    assert_eq!(app.text, *"dir\0/007.txt");
    assert_eq!("dir\0/007.txt".to_owned(), app.text);
    let path: &Path = app.text.as_ref();
    assert_eq!(path.extension(), Some("txt".as_ref()));
    // The find family is that of `str`.
    assert_eq!((app.text.find('/'), app.text.rfind('0'), app.text.find("none")), (Some(4), Some(6), None));
    assert!(
        app.text.split('/').eq(["dir\0", "007.txt"]) && app.text.char_indices().nth(3) == Some((3, '\0'))
    );
}

#[test]
#[should_panic(expected = "no item with this key")]
fn indexing_a_map_by_a_key_that_it_has_not_panics_as_in_std() {
    let pool = create(&media());
    let _ = pool.read().ages["nobody"];
}
