//! `PList` against a vector of keys and values: random transactions, some of them given up, with reopenings.
//!
//! Catches: a link that one side has and the other has not; a node that is lost, doubled, or on both lists; a value that
//! is dropped twice or not at all; a key that finds another value than its own, or one that has left; a value that moves
//! while the list grows; links that validation lets pass although the list is not one (A44, B19, B22, B35, B36, B42).

use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PHashMap, PList, PListKey, PString, PVec, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };
const CASES: u32 = if cfg!(miri) { 3 } else { 200 };

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    words: PList<'p, PString<'p>>,
    other: PList<'p, PString<'p>>,
    bytes: PList<'p, u8>,
    nothing: PList<'p, ()>,
    by_name: PHashMap<'p, u64, PListKey>,
    kept: Option<PListKey>,
}

/// What a list should hold, and keys of what has left it.
#[derive(Clone, Default, Debug)]
struct Model {
    words: Vec<(PListKey, String)>,
    gone: Vec<PListKey>,
}

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(256 << 10).ring_size(64 << 10);
    options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(App::default())).unwrap()
}

fn try_open(media: &Arc<RamMedia>) -> Result<Pool<App<'static>>> {
    Pool::<App>::options().durability(Durability::Eventual).validation_threads(1).open_on(media.clone())
}

fn open(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    try_open(media).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    PushFront(u64),
    PushBack(u64),
    PopFront,
    PopBack,
    Many(u64),
    InsertBefore(usize, u64),
    InsertAfter(usize, u64),
    Remove(usize),
    MoveToFront(usize),
    MoveToBack(usize),
    MoveBefore(usize, usize),
    MoveAfter(usize, usize),
    Set(usize, u64),
    SetAll(u64),
    /// Walks so many steps on (or back) from the ghost and edits there.
    Edit(i8, u8),
    Splice(i8, u64),
    Split(i8),
    SplitOff(usize),
    Append(u64),
    Retain(u64),
    Drain(usize),
    Shrink,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let place = || 0usize..12;
    let step = -6i8..7;
    prop_oneof![
        4 => any::<u64>().prop_map(Op::PushFront),
        4 => any::<u64>().prop_map(Op::PushBack),
        2 => Just(Op::PopFront),
        2 => Just(Op::PopBack),
        1 => (0u64..60).prop_map(Op::Many),
        2 => (place(), any::<u64>()).prop_map(|(at, n)| Op::InsertBefore(at, n)),
        2 => (place(), any::<u64>()).prop_map(|(at, n)| Op::InsertAfter(at, n)),
        3 => place().prop_map(Op::Remove),
        2 => place().prop_map(Op::MoveToFront),
        2 => place().prop_map(Op::MoveToBack),
        3 => (place(), place()).prop_map(|(a, b)| Op::MoveBefore(a, b)),
        3 => (place(), place()).prop_map(|(a, b)| Op::MoveAfter(a, b)),
        2 => (place(), any::<u64>()).prop_map(|(at, n)| Op::Set(at, n)),
        1 => any::<u64>().prop_map(Op::SetAll),
        6 => (step.clone(), 0u8..6).prop_map(|(step, edit)| Op::Edit(step, edit)),
        1 => (step.clone(), 0u64..9).prop_map(|(step, count)| Op::Splice(step, count)),
        1 => step.prop_map(Op::Split),
        1 => place().prop_map(Op::SplitOff),
        1 => (0u64..9).prop_map(Op::Append),
        1 => (1u64..4).prop_map(Op::Retain),
        1 => place().prop_map(Op::Drain),
        1 => Just(Op::Shrink),
        1 => Just(Op::Clear),
    ]
}

fn word(number: u64) -> String {
    "w".repeat(number as usize % 50) + &number.to_string()
}

fn make<'p>(tx: &Tx<'p>, number: u64) -> Result<PString<'p>> {
    PString::from_str(tx, &word(number))
}

/// The keys in `list` anew, after values came by other ways than one by one.
fn reread(list: &PList<'_, PString<'_>>, model: &mut Model) {
    let entries: Vec<_> = list.entries().map(|(key, word)| (key, word.to_string())).collect();
    assert!(entries.iter().map(|(_, word)| word).eq(model.words.iter().map(|(_, word)| word)));
    model.gone.extend(model.words.iter().map(|(key, _)| *key).filter(|key| !list.contains_key(*key)));
    model.words = entries;
}

impl Model {
    fn key(&self, at: usize) -> Option<PListKey> {
        self.words.get(at).map(|(key, _)| *key)
    }

    fn take(&mut self, at: usize) -> Option<String> {
        if at >= self.words.len() {
            return None;
        }
        let (key, word) = self.words.remove(at);
        self.gone.push(key);
        Some(word)
    }

    /// Moves the value at `from` before the one at `to` (behind it with `behind`).
    fn shift(&mut self, from: usize, to: usize, behind: bool) {
        if from != to {
            let entry = self.words.remove(from);
            let to = if from < to { to - 1 } else { to };
            self.words.insert(to + usize::from(behind), entry);
        }
    }

    /// Where a cursor is after so many steps from the ghost: the length is the ghost.
    fn at(&self, steps: i8) -> usize {
        (self.words.len() as i64 + i64::from(steps)).rem_euclid(self.words.len() as i64 + 1) as usize
    }
}

fn apply<'p>(op: &Op, list: &mut PList<'p, PString<'p>>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    let see = |word: Option<PString<'p>>| word.map(|word| word.to_string());
    let len = model.words.len();
    match *op {
        Op::PushFront(n) => {
            let key = list.push_front(tx, make(tx, n)?)?;
            model.words.insert(0, (key, word(n)));
        }
        Op::PushBack(n) => {
            let key = list.push_back(tx, make(tx, n)?)?;
            model.words.push((key, word(n)));
        }
        Op::PopFront => assert_eq!(see(list.pop_front(tx)), model.take(0)),
        Op::PopBack => assert_eq!(see(list.pop_back(tx)), len.checked_sub(1).and_then(|at| model.take(at))),
        Op::Many(count) => {
            for n in 0..count {
                apply(&Op::PushBack(n), list, tx, model)?;
            }
        }
        Op::InsertBefore(at, n) => {
            if let Some(at_key) = model.key(at) {
                let key = list.insert_before(tx, at_key, make(tx, n)?)?.unwrap();
                model.words.insert(at, (key, word(n)));
            }
        }
        Op::InsertAfter(at, n) => {
            if let Some(at_key) = model.key(at) {
                let key = list.insert_after(tx, at_key, make(tx, n)?)?.unwrap();
                model.words.insert(at + 1, (key, word(n)));
            }
        }
        Op::Remove(at) => {
            if let Some(key) = model.key(at) {
                assert_eq!(see(list.remove(key, tx)), model.take(at));
                assert_eq!(see(list.remove(key, tx)), None);
            }
        }
        Op::MoveToFront(at) => {
            if let Some(key) = model.key(at) {
                assert!(list.move_to_front(key, tx));
                model.shift(at, 0, false);
            }
        }
        Op::MoveToBack(at) => {
            if let Some(key) = model.key(at) {
                assert!(list.move_to_back(key, tx));
                model.shift(at, len - 1, true);
            }
        }
        Op::MoveBefore(at, before) => {
            if let (Some(key), Some(before_key)) = (model.key(at), model.key(before)) {
                assert!(list.move_before(key, before_key, tx));
                model.shift(at, before, false);
            }
        }
        Op::MoveAfter(at, after) => {
            if let (Some(key), Some(after_key)) = (model.key(at), model.key(after)) {
                assert!(list.move_after(key, after_key, tx));
                model.shift(at, after, true);
            }
        }
        Op::Set(at, n) => {
            if let Some(key) = model.key(at) {
                list.get_mut(key, tx).unwrap().assign(tx, &word(n))?;
                model.words[at].1 = word(n);
            }
        }
        Op::SetAll(n) => {
            let mut values = list.iter_mut(tx);
            assert_eq!(values.len(), len);
            if let Some(last) = values.next_back() {
                last.assign(tx, "last")?;
                model.words[len - 1].1 = "last".to_owned();
            }
            for (at, value) in values.enumerate() {
                value.assign(tx, &word(n.wrapping_add(at as u64)))?;
                model.words[at].1 = word(n.wrapping_add(at as u64));
            }
        }
        Op::Edit(steps, edit) => edit_at(list, tx, model, steps, edit)?,
        Op::Splice(steps, count) => {
            let mut other = PList::new();
            for n in 0..count {
                other.push_back(tx, make(tx, n)?)?;
            }
            let at = model.at(steps);
            let mut cursor = cursor_at(list, tx, steps);
            let new = |n| (cursor_key_placeholder(), word(n));
            if steps % 2 == 0 {
                cursor.splice_before(&mut other)?;
                model.words.splice(at..at, (0..count).map(new));
            } else {
                cursor.splice_after(&mut other)?;
                let at = if at == len { 0 } else { at + 1 };
                model.words.splice(at..at, (0..count).map(new));
            }
            assert!(other.is_empty());
            forget_placeholders(list, model);
        }
        Op::Split(steps) => {
            let at = model.at(steps);
            let mut cursor = cursor_at(list, tx, steps);
            let (cut, expected) = if steps % 2 == 0 {
                let from = if at == len { 0 } else { at + 1 };
                (cursor.split_after()?, model.words.split_off(from))
            } else {
                let behind = model.words.split_off(at);
                (cursor.split_before()?, std::mem::replace(&mut model.words, behind))
            };
            assert!(cut.iter().eq(expected.iter().map(|(_, word)| word)));
            model.gone.extend(expected.iter().map(|(key, _)| *key));
        }
        Op::SplitOff(at) => {
            let cut = list.split_off(tx, at)?;
            let expected = model.words.split_off(at.min(len));
            assert!(cut.iter().eq(expected.iter().map(|(_, word)| word)));
            model.gone.extend(expected.iter().map(|(key, _)| *key));
        }
        Op::Append(count) => {
            let mut other = PList::new();
            let mut other_model = Model::default();
            apply(&Op::Many(count), &mut other, tx, &mut other_model)?;
            list.append(tx, &mut other)?;
            assert!(other.is_empty() && other.front().is_none());
            model
                .words
                .extend(other_model.words.into_iter().map(|(_, word)| (cursor_key_placeholder(), word)));
            forget_placeholders(list, model);
        }
        Op::Retain(n) => {
            list.retain(tx, |word| !(word.len() as u64).is_multiple_of(n));
            let gone = |(_, word): &(PListKey, String)| (word.len() as u64).is_multiple_of(n);
            model.gone.extend(model.words.iter().filter(|entry| gone(entry)).map(|(key, _)| *key));
            model.words.retain(|entry| !gone(entry));
        }
        Op::Drain(take) => {
            let mut drain = list.drain(tx);
            assert_eq!(drain.len(), len);
            let last = see(drain.next_back());
            assert_eq!(last.as_ref(), model.words.last().map(|(_, word)| word));
            let taken: Vec<_> = drain.take(take).map(|word| word.to_string()).collect();
            let rest = len.saturating_sub(1).min(take);
            assert!(taken.iter().eq(model.words[..rest].iter().map(|(_, word)| word)));
            model.gone.extend(model.words.drain(..).map(|(key, _)| key));
        }
        Op::Shrink => list.shrink_to_fit(tx)?,
        Op::Clear => {
            list.clear();
            model.gone.extend(model.words.drain(..).map(|(key, _)| key));
        }
    }
    Ok(())
}

/// A key that names nothing, until [`forget_placeholders`] has read the real one.
fn cursor_key_placeholder() -> PListKey {
    use std::cell::OnceCell;
    thread_local! {
        static KEY: OnceCell<PListKey> = const { OnceCell::new() };
    }
    KEY.with(|key| {
        *key.get_or_init(|| {
            let media = media();
            let pool = create(&media);
            pool.write(|app, tx| app.nothing.push_back(tx, ())).unwrap()
        })
    })
}

fn forget_placeholders(list: &PList<'_, PString<'_>>, model: &mut Model) {
    for ((key, found), (real, word)) in model.words.iter_mut().zip(list.entries()) {
        assert_eq!(found, word);
        if *key == cursor_key_placeholder() {
            *key = real;
        }
        assert_eq!(*key, real);
    }
}

fn cursor_at<'a, 'p>(
    list: &'a mut PList<'p, PString<'p>>,
    tx: &'a Tx<'p>,
    steps: i8,
) -> pobj::list::CursorMut<'a, 'p, PString<'p>> {
    let mut cursor = list.cursor_back_mut(tx);
    // To the ghost.
    while cursor.current().is_some() {
        cursor.move_next();
    }
    for _ in 0..steps.unsigned_abs() {
        if steps > 0 { cursor.move_next() } else { cursor.move_prev() }
    }
    cursor
}

/// Edits at a cursor, and checks what it says of its place.
fn edit_at<'p>(
    list: &mut PList<'p, PString<'p>>,
    tx: &Tx<'p>,
    model: &mut Model,
    steps: i8,
    edit: u8,
) -> Result<()> {
    let (len, at) = (model.words.len(), model.at(steps));
    let mut cursor = cursor_at(list, tx, steps);
    let word_at = |at: usize| model.words.get(at).map(|(_, word)| word.as_str());
    assert_eq!(cursor.current().map(PString::as_str), word_at(at));
    assert_eq!(cursor.key(), model.key(at));
    assert_eq!(cursor.peek_next().map(PString::as_str), word_at(if at == len { 0 } else { at + 1 }));
    let before = if at == 0 { None } else { word_at(at - 1) };
    assert_eq!(cursor.peek_prev().map(PString::as_str), before);
    assert_eq!(cursor.as_cursor().current().map(PString::as_str), word_at(at));
    match edit {
        0 => {
            let key = cursor.insert_before(make(tx, 3)?)?;
            assert_eq!(cursor.peek_prev().map(PString::as_str), Some(word(3).as_str()));
            model.words.insert(at, (key, word(3)));
        }
        1 => {
            let key = cursor.insert_after(make(tx, 4)?)?;
            assert_eq!(cursor.peek_next().map(PString::as_str), Some(word(4).as_str()));
            model.words.insert(if at == len { 0 } else { at + 1 }, (key, word(4)));
        }
        2 | 3 => {
            let removed = cursor.remove_current().map(|word| word.to_string());
            assert_eq!(removed, model.take(at));
            assert_eq!(cursor.key(), model.key(at));
        }
        4 => {
            let changed = cursor.current_mut().map(|value| value.assign(tx, "changed")).transpose()?;
            assert_eq!(changed.is_some(), at < len);
            if at < len {
                model.words[at].1 = "changed".to_owned();
            }
        }
        _ => {
            if let Some(key) = model.key(0) {
                assert!(cursor.move_here(key));
                if at == len {
                    model.shift(0, 0, false);
                } else {
                    model.shift(0, at, true);
                }
            }
        }
    }
    Ok(())
}

fn check_list(list: &PList<'_, PString<'_>>, model: &Model) {
    assert_eq!(list.len(), model.words.len());
    assert_eq!(list.is_empty(), model.words.is_empty());
    assert!(list.entries().eq(model.words.iter().map(|(key, word)| (*key, word)).map(SeeWord)));
    assert!(list.iter().rev().eq(model.words.iter().rev().map(|(_, word)| word)));
    assert_eq!(list.iter().len(), model.words.len());
    assert_eq!(list.front_key(), model.key(0));
    assert_eq!(list.back_key(), model.words.last().map(|(key, _)| *key));
    assert!(list.front().map(PString::as_str) == model.words.first().map(|(_, word)| word.as_str()));
    for (at, (key, word)) in model.words.iter().enumerate() {
        assert!(list.get(*key).is_some_and(|found| found == word));
        assert_eq!(list.next_key(*key), model.key(at + 1));
        assert_eq!(list.prev_key(*key), at.checked_sub(1).and_then(|at| model.key(at)));
    }
    assert!(model.gone.iter().all(|key| list.get(*key).is_none()), "a key whose value has left");
}

/// An entry of the model, comparable with one of the list.
struct SeeWord<'a>((PListKey, &'a String));

impl PartialEq<SeeWord<'_>> for (PListKey, &PString<'_>) {
    fn eq(&self, other: &SeeWord<'_>) -> bool {
        self.0 == other.0.0 && self.1 == other.0.1
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes long")]
    fn lists_follow_the_model(
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
                    apply(op, &mut app.words, tx, &mut changed)?;
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
            check_list(&pool.read().words, &model);
        }
        drop(pool);
        let pool = open(&media);
        check_list(&pool.read().words, &model);
        // Each value owns a block, the list a table and a page at most: none was dropped twice or not at all (B19).
        let blocks = pool.stats().heap.live_blocks - baseline;
        let at_least = model.words.len() as u64;
        prop_assert!((at_least..=at_least + 2).contains(&blocks), "{blocks} for {at_least} words");
        pool.write(|app, tx| {
            reread(&app.words, &mut model);
            app.words.retain(tx, |_| false);
            app.words.shrink_to_fit(tx)
        }).unwrap();
        drop(pool);
        let pool = open(&media);
        prop_assert_eq!(pool.stats().heap.live_blocks, baseline);
    }
}

/// Every operation at every position of every short list (A44), each checked by the walk at open.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn every_operation_at_every_position() {
    let media = media();
    let mut pool = create(&media);
    let mut count = 0;
    for len in 0..5usize {
        let places = 0..=len;
        let ops: Vec<Op> = places
            .clone()
            .flat_map(|at| {
                let pairs =
                    places.clone().flat_map(move |to| [Op::MoveBefore(at, to), Op::MoveAfter(at, to)]);
                [
                    Op::InsertBefore(at, 7),
                    Op::InsertAfter(at, 8),
                    Op::Remove(at),
                    Op::MoveToFront(at),
                    Op::MoveToBack(at),
                    Op::SplitOff(at),
                    Op::Edit(at as i8, 0),
                    Op::Edit(at as i8, 1),
                    Op::Edit(at as i8, 2),
                    Op::Edit(at as i8, 5),
                    Op::Splice(at as i8, 2),
                    Op::Split(at as i8),
                ]
                .into_iter()
                .chain(pairs)
            })
            .chain([Op::PushFront(1), Op::PushBack(2), Op::PopFront, Op::PopBack, Op::Clear])
            .collect();
        for op in ops {
            for refused in [true, false] {
                let mut model = Model::default();
                pool.write(|app, tx| {
                    app.words.clear();
                    apply(&Op::Many(len as u64), &mut app.words, tx, &mut model)
                })
                .unwrap();
                let before = model.clone();
                let result = pool.write(|app, tx| {
                    apply(&op, &mut app.words, tx, &mut model)?;
                    if refused { Err(Error::abort("no")) } else { Ok(()) }
                });
                assert_eq!(result.is_err(), refused);
                check_list(&pool.read().words, if refused { &before } else { &model });
                count += 1;
            }
            drop(pool);
            pool = open(&media);
        }
    }
    println!("{count} operations");
}

/// A cache that forgets what was not used for longest: keys in a map beside the list, reopened in between.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn keys_are_kept_in_other_structures() {
    const ROOM: usize = 20;
    let media = media();
    let mut pool = create(&media);
    let mut model: Vec<u64> = Vec::new();
    for step in 0..600u64 {
        let name = step * step % 37;
        pool.write(|app, tx| {
            if let Some(&key) = app.by_name.get(&name) {
                assert!(app.words.move_to_front(key, tx));
                assert_eq!(app.words.front().map(PString::as_str), Some(name.to_string().as_str()));
                return Ok(());
            }
            if app.words.len() == ROOM
                && let Some(oldest) = app.words.pop_back(tx)
            {
                let name: u64 = oldest.parse().unwrap();
                let key = app.by_name.remove(&name, tx).unwrap();
                assert!(!app.words.contains_key(key) && app.words.remove(key, tx).is_none());
                assert!(!app.words.move_to_front(key, tx) && app.words.get_mut(key, tx).is_none());
                assert!(app.words.insert_after(tx, key, PString::new())?.is_none());
            }
            let key = app.words.push_front(tx, PString::from_str(tx, &name.to_string())?)?;
            app.kept = Some(key);
            app.by_name.insert(tx, name, key)?;
            Ok(())
        })
        .unwrap();
        model.retain(|other| *other != name);
        model.insert(0, name);
        model.truncate(ROOM);
        if step % 97 == 0 {
            drop(pool);
            pool = open(&media);
        }
        let app = pool.read();
        assert!(app.words.iter().map(|word| word.parse::<u64>().unwrap()).eq(model.iter().copied()));
        assert!(model.iter().all(|name| app.words.get(app.by_name[name]).is_some()));
    }
    // No more nodes than the cache ever had values.
    assert!(pool.stats().heap.live_blocks < 2 * ROOM as u64 + 10);
}

#[test]
fn keys_of_another_list_and_outdated_keys_find_nothing() {
    let media = media();
    let pool = create(&media);
    let (mine, theirs) = pool
        .write(|app, tx| {
            let mine = app.words.push_back(tx, make(tx, 1)?)?;
            let theirs = app.other.push_back(tx, make(tx, 2)?)?;
            Ok((mine, theirs))
        })
        .unwrap();
    pool.write(|app, tx| {
        assert!(app.other.get(mine).is_none() && app.words.get(theirs).is_none());
        assert!(!app.words.move_before(mine, theirs, tx) && !app.words.move_after(theirs, mine, tx));
        assert!(app.words.cursor_at(theirs).is_none() && app.words.cursor_at_mut(theirs, tx).is_none());
        // The place is used again, under another key; also after all memory was given back.
        for clear in [false, true, true] {
            let old = app.words.front_key().unwrap();
            if clear {
                app.words.clear()
            } else {
                drop(app.words.pop_front(tx))
            }
            let new = app.words.push_back(tx, make(tx, 3)?)?;
            assert!(app.words.get(old).is_none() && app.words.get(new).is_some());
            // The number of the insert goes on; it does not begin anew.
            let number = |key: PListKey| (key.get().get() >> 32) as u32;
            assert_eq!(number(new), number(old).wrapping_add(1).max(1));
        }
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = open(&media);
    assert!(pool.read().words.get(mine).is_none());
    assert!(pool.read().other.get(theirs).is_some_and(|found| *found == word(2)));
}

/// Values stay where they are while the list grows beyond its first page, and shrinks (B22).
#[test]
fn values_do_not_move_while_a_list_grows() {
    const COUNT: u64 = if cfg!(miri) { 40 } else { 20_000 };
    let pool = create(&media());
    // Until a list has more than one page, that page grows like a vector.
    pool.write(|app, tx| app.bytes.extend(tx, (0..COUNT).map(|n| n as u8))).unwrap();
    let keys: Vec<PListKey> = pool.read().bytes.entries().map(|(key, _)| key).collect();
    let addresses = |pool: &Pool<App<'static>>| -> Vec<usize> {
        let app = pool.read();
        keys.iter()
            .filter_map(|key| app.bytes.get(*key))
            .map(|value| std::ptr::from_ref(value).addr())
            .collect()
    };
    let before = addresses(&pool);
    pool.write(|app, tx| {
        app.bytes.extend(tx, (0..COUNT).map(|n| n as u8))?;
        for _ in 0..COUNT / 2 {
            app.bytes.pop_back(tx);
        }
        app.bytes.move_to_back(keys[0], tx);
        app.bytes.shrink_to_fit(tx)
    })
    .unwrap();
    assert_eq!(addresses(&pool), before);
}

/// A value of more alignment than its node's header.
#[test]
fn alignment_is_kept() {
    #[derive(Persistent, Clone, Copy, PartialEq, Debug)]
    #[repr(C, align(64))]
    struct Wide(u8);

    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Root<'p> {
        wide: PList<'p, Wide>,
    }
    let media = media();
    let options = Pool::<Root>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
    let pool = options.create_on(media.clone(), |_| Ok(Root::default())).unwrap();
    pool.write(|root, tx| {
        for n in 0..40 {
            let key = root.wide.push_front(tx, Wide(n))?;
            if n % 3 == 0 {
                assert_eq!(root.wide.remove(key, tx), Some(Wide(n)));
            } else if let Some(wide) = root.wide.get_mut(key, tx) {
                wide.0 += 100;
            }
        }
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = Pool::<Root>::options().open_on(media).unwrap();
    let root = pool.read();
    assert!(root.wide.iter().all(|wide| std::ptr::from_ref(wide).addr().is_multiple_of(64)));
    assert!(root.wide.iter().rev().map(|wide| wide.0 - 100).eq((0..40).filter(|n| n % 3 != 0)));
}

#[test]
fn values_without_bytes_and_equality() {
    let media = media();
    let pool = create(&media);
    pool.write(|app, tx| {
        app.nothing.extend(tx, [(); 100])?;
        let key = app.nothing.front_key().unwrap();
        assert_eq!(app.nothing.remove(key, tx), Some(()));
        app.bytes.extend(tx, [3, 1, 2])?;
        let mut same = PList::new();
        same.push_back(tx, 1)?;
        same.push_front(tx, 3)?;
        assert_ne!(app.bytes, same);
        assert!(app.bytes > same);
        same.push_back(tx, 2)?;
        assert_eq!(app.bytes, same);
        assert_eq!(format!("{same:?} {:?}", same.cursor_front()), "[3, 1, 2] Cursor(Some(3))");
        assert!(same.contains(&2) && !same.contains(&4));
        for value in app.bytes.iter_mut(tx) {
            *value *= 2;
        }
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = open(&media);
    assert_eq!(pool.read().bytes, [6, 2, 4]);
    assert_eq!(pool.read().nothing.iter().count(), 99);
}

#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_full_pool_leaves_the_list_as_it_was() {
    let media = Arc::new(RamMedia::new(2 << 20).unwrap());
    let options = Pool::<App>::options().max_size(2 << 20).size(128 << 10).ring_size(64 << 10);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(App::default())).unwrap();
    // The error is swallowed: what the failed insert left behind is committed.
    let mut held = 0u64;
    while pool.write(|app, tx| Ok(app.bytes.push_back(tx, held as u8).is_ok())).unwrap() {
        held += 1;
    }
    assert!(held > 10_000, "{held}");
    drop(pool);
    let pool = Pool::<App>::options().open_on(media).unwrap();
    assert_eq!(pool.read().bytes.len() as u64, held);
    assert!(pool.read().bytes.iter().copied().eq((0..held).map(|n| n as u8)));
    pool.write(|app, tx| {
        let mut cursor = app.bytes.cursor_front_mut(tx);
        while cursor.remove_current().is_some() {
            cursor.move_next();
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.read().bytes.len() as u64, held / 2);
    pool.write(|app, tx| app.bytes.extend(tx, [0; 5000])).unwrap();
}

/// Flips each bit of each link and tag, and of the list's header: validation refuses all that would make it another list.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn damaged_links_are_refused() {
    let media = media();
    let pool = create(&media);
    // A value that nothing else looks like.
    const MARK: &str = "in a list, with a text that nothing else has";
    pool.write(|app, tx| {
        for _ in 0..12 {
            app.words.push_front(tx, PString::from_str(tx, MARK)?)?;
        }
        // Some vacant nodes among them.
        let keys: Vec<_> = app.words.entries().map(|(key, _)| key).collect();
        for key in keys.iter().step_by(3) {
            app.words.remove(*key, tx);
        }
        Ok(())
    })
    .unwrap();
    let (header, addresses) = {
        let app = pool.read();
        let addresses = app.words.iter().map(|word| std::ptr::from_ref(word).addr());
        (std::ptr::from_ref(&app.words).addr(), addresses.collect::<Vec<_>>())
    };
    pool.close().unwrap();
    let whole = media.bytes();
    // A node's value begins with the address and length of its text. Copies in the journal come first.
    let len = (MARK.len() as u64).to_le_bytes();
    let value = (0..whole.len() - 16)
        .step_by(8)
        .rev()
        .filter(|&at| whole[at + 8..at + 16] == len && whole[at - 16..at - 12] == [1, 0, 0, 0])
        .max()
        .expect("a node");
    let highest = addresses.iter().max().copied().unwrap();
    let at = |address: usize| value + address - highest;
    // Tag and links; not the generation, which only keys know.
    let links = addresses.iter().flat_map(|address| {
        let node = at(*address) - 16;
        (0..32).chain(64..128).map(move |bit| (node, bit))
    });
    // First, last and vacant node; the number of values.
    let vacant = at(header) + 24;
    let header = (128..224).chain(256..320).map(|bit| (at(header), bit));
    let refuse = |bytes: Vec<u8>, what: String| match try_open(&Arc::new(media.with_bytes(bytes))) {
        Err(Error::Corrupt { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: a damaged list opened"),
    };
    let mut tried = 0;
    for (start, bit) in links.chain(header) {
        let mut bytes = whole.clone();
        bytes[start + bit / 8] ^= 1 << (bit % 8);
        tried += 1;
        refuse(bytes, format!("{start:#x}, bit {bit}"));
    }
    // Nodes that nothing leads to.
    let mut bytes = whole.clone();
    assert_ne!(bytes[vacant..vacant + 4], [0; 4]);
    bytes[vacant..vacant + 4].fill(0);
    refuse(bytes, "no vacant node".to_owned());
    assert_eq!(tried, 8 * 96 + 160);
}

/// Lists in lists: dropped without recursion, all of them.
#[test]
fn lists_of_lists_are_freed() {
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Tree<'p> {
        branches: PList<'p, Tree<'p>>,
        leaves: PVec<'p, PString<'p>>,
    }
    const DEPTH: usize = if cfg!(miri) { 10 } else { 10_000 };
    let media = media();
    let options = Pool::<Tree>::options().max_size(MAX_SIZE).size(256 << 10).ring_size(64 << 10);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(Tree::default())).unwrap();
    let baseline = pool.stats().heap.live_blocks;
    pool.write(|tree, tx| {
        for _ in 0..DEPTH {
            let mut top = Tree::default();
            top.leaves.push(tx, make(tx, 5)?)?;
            let gone = top.branches.push_back(tx, Tree::default())?;
            top.branches.push_back(tx, std::mem::take(tree))?;
            top.branches.remove(gone, tx);
            *tree = top;
        }
        Ok(())
    })
    .unwrap();
    // A table and a page of nodes, a block of leaves, a leaf.
    assert_eq!(pool.stats().heap.live_blocks, baseline + 4 * DEPTH as u64);
    drop(pool);
    let work = move || {
        let pool = Pool::<Tree>::options().validation_threads(1).open_on(media).unwrap();
        pool.write(|tree, _| {
            *tree = Tree::default();
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.stats().heap.live_blocks, baseline);
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap();
}
