//! `PDeque` against `VecDeque`: random transactions, some of them given up, with reopenings, in rings that wrap round.
//!
//! Catches: a value that is lost, doubled or dropped twice where the ring ends; a place without a value that is taken for
//! one, or the reverse, by a rollback, by validation or by a drop; bytes that the image has and the record has not; blocks
//! that leak; a ring that a damaged file describes and that leads out of its block (B18 to B20, B35, B36, B42, B45).

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PBox, PDeque, PString, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };
const CASES: u32 = if cfg!(miri) { 3 } else { 200 };

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    numbers: PDeque<'p, u64>,
    bytes: PDeque<'p, u8>,
    words: PDeque<'p, PString<'p>>,
    nothing: PDeque<'p, ()>,
}

#[derive(Clone, Default, Debug, PartialEq)]
struct Model {
    numbers: VecDeque<u64>,
    bytes: VecDeque<u8>,
    words: VecDeque<String>,
}

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(256 << 10).ring_size(64 << 10);
    options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(App::default())).unwrap()
}

fn open(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    try_open(media).unwrap()
}

fn try_open(media: &Arc<RamMedia>) -> Result<Pool<App<'static>>> {
    Pool::<App>::options().durability(Durability::Eventual).validation_threads(1).open_on(media.clone())
}

#[derive(Clone, Debug)]
enum Op {
    PushBack(u64),
    PushFront(u64),
    PopBack(usize),
    PopFront(usize),
    /// A queue at work: as many in as out, so that the ring turns.
    Turn(u64),
    Insert(usize, u64),
    Remove(usize),
    SwapRemoveBack(usize),
    SwapRemoveFront(usize),
    Truncate(usize),
    Extend(Vec<u64>),
    Set(usize, u64),
    SetRange(Range<usize>, u64),
    Swap(usize, usize),
    Sort,
    RotateLeft(usize),
    RotateRight(usize),
    Retain(u64),
    RetainMut(u64),
    Drain(Range<usize>, usize),
    Append(Vec<u64>),
    SplitOff(usize),
    Resize(usize, u64),
    Reserve(usize),
    Shrink,
    Clear,
    Replace,
}

fn op() -> impl Strategy<Value = Op> {
    let place = 0usize..30;
    let range = (0usize..30, 0usize..30).prop_map(|(start, end)| start..end);
    let few = || proptest::collection::vec(0u64..99, 0..20);
    prop_oneof![
        5 => any::<u64>().prop_map(Op::PushBack),
        5 => any::<u64>().prop_map(Op::PushFront),
        2 => (1usize..6).prop_map(Op::PopBack),
        3 => (1usize..6).prop_map(Op::PopFront),
        4 => (1u64..20).prop_map(Op::Turn),
        3 => (place.clone(), any::<u64>()).prop_map(|(at, value)| Op::Insert(at, value)),
        3 => place.clone().prop_map(Op::Remove),
        1 => place.clone().prop_map(Op::SwapRemoveBack),
        1 => place.clone().prop_map(Op::SwapRemoveFront),
        1 => place.clone().prop_map(Op::Truncate),
        2 => few().prop_map(Op::Extend),
        3 => (place.clone(), any::<u64>()).prop_map(|(at, value)| Op::Set(at, value)),
        2 => (range.clone(), any::<u64>()).prop_map(|(range, value)| Op::SetRange(range, value)),
        1 => (place.clone(), place.clone()).prop_map(|(a, b)| Op::Swap(a, b)),
        1 => Just(Op::Sort),
        1 => place.clone().prop_map(Op::RotateLeft),
        1 => place.clone().prop_map(Op::RotateRight),
        1 => (1u64..4).prop_map(Op::Retain),
        1 => (1u64..4).prop_map(Op::RetainMut),
        3 => (range, 0usize..9).prop_map(|(range, take)| Op::Drain(range, take)),
        1 => proptest::collection::vec(0u64..99, 0..300).prop_map(Op::Append),
        1 => place.clone().prop_map(Op::SplitOff),
        1 => (place.clone(), any::<u64>()).prop_map(|(count, value)| Op::Resize(count, value)),
        1 => place.prop_map(Op::Reserve),
        1 => Just(Op::Shrink),
        1 => Just(Op::Clear),
        1 => Just(Op::Replace),
    ]
}

/// A kind of element, and what models it.
trait Kind: Sized {
    type At<'p>: Persistent<At<'p> = Self::At<'p>> + Ord;
    type Model: Clone + Debug + Ord;
    fn make<'p>(tx: &Tx<'p>, number: u64) -> Result<Self::At<'p>>;
    fn model(number: u64) -> Self::Model;
    fn see(element: &Self::At<'_>) -> Self::Model;
}

impl Kind for u64 {
    type At<'p> = u64;
    type Model = u64;
    fn make<'p>(_: &Tx<'p>, number: u64) -> Result<u64> {
        Ok(number)
    }
    fn model(number: u64) -> u64 {
        number
    }
    fn see(element: &u64) -> u64 {
        *element
    }
}

impl Kind for u8 {
    type At<'p> = u8;
    type Model = u8;
    fn make<'p>(_: &Tx<'p>, number: u64) -> Result<u8> {
        Ok(number as u8)
    }
    fn model(number: u64) -> u8 {
        number as u8
    }
    fn see(element: &u8) -> u8 {
        *element
    }
}

struct Word;

impl Kind for Word {
    type At<'p> = PString<'p>;
    type Model = String;
    fn make<'p>(tx: &Tx<'p>, number: u64) -> Result<PString<'p>> {
        PString::from_str(tx, &Self::model(number))
    }
    fn model(number: u64) -> String {
        "w".repeat(number as usize % 50) + &number.to_string()
    }
    fn see(element: &PString<'_>) -> String {
        element.to_string()
    }
}

type Side<K> = VecDeque<<K as Kind>::Model>;

/// Kinds of elements are chosen by what they look like, so that both sides choose the same.
fn chosen(element: &impl Debug, n: u64) -> bool {
    !(format!("{element:?}").len() as u64).is_multiple_of(n + 1)
}

fn fill<'p, K: Kind>(
    deque: &mut PDeque<'p, K::At<'p>>,
    tx: &Tx<'p>,
    model: &mut Side<K>,
    values: &[u64],
) -> Result<()> {
    let made: Vec<K::At<'p>> = values.iter().map(|number| K::make(tx, *number)).collect::<Result<_>>()?;
    deque.extend(tx, made)?;
    model.extend(values.iter().map(|number| K::model(*number)));
    Ok(())
}

fn apply<'p, K: Kind>(
    op: &Op,
    deque: &mut PDeque<'p, K::At<'p>>,
    tx: &Tx<'p>,
    model: &mut Side<K>,
) -> Result<()> {
    let len = model.len();
    let see = |element: Option<K::At<'p>>| element.map(|element| K::see(&element));
    match op {
        Op::PushBack(n) => {
            deque.push_back(tx, K::make(tx, *n)?)?;
            model.push_back(K::model(*n));
        }
        Op::PushFront(n) => {
            deque.push_front(tx, K::make(tx, *n)?)?;
            model.push_front(K::model(*n));
        }
        Op::PopBack(count) => (0..*count).for_each(|_| assert_eq!(see(deque.pop_back()), model.pop_back())),
        Op::PopFront(count) => {
            (0..*count).for_each(|_| assert_eq!(see(deque.pop_front()), model.pop_front()))
        }
        Op::Turn(count) => {
            for n in 0..*count {
                deque.push_back(tx, K::make(tx, n)?)?;
                model.push_back(K::model(n));
                assert_eq!(see(deque.pop_front()), model.pop_front());
            }
        }
        Op::Insert(at, n) => {
            let result = deque.insert(tx, *at, K::make(tx, *n)?);
            assert_eq!(result.is_ok(), *at <= len, "{result:?}");
            if *at <= len {
                model.insert(*at, K::model(*n));
            }
        }
        Op::Remove(at) => assert_eq!(see(deque.remove(*at, tx)), model.remove(*at)),
        Op::SwapRemoveBack(at) => {
            assert_eq!(see(deque.swap_remove_back(*at, tx)), model.swap_remove_back(*at));
        }
        Op::SwapRemoveFront(at) => {
            assert_eq!(see(deque.swap_remove_front(*at, tx)), model.swap_remove_front(*at));
        }
        Op::Truncate(count) => {
            deque.truncate(*count);
            model.truncate(*count);
        }
        Op::Extend(values) => fill::<K>(deque, tx, model, values)?,
        Op::Set(at, n) => {
            let value = K::make(tx, *n)?;
            let found = deque.get_mut(*at, tx).map(|place| *place = value).is_some();
            assert_eq!(found, model.get_mut(*at).map(|place| *place = K::model(*n)).is_some());
        }
        Op::SetRange(range, n) => {
            let inside = range.start <= range.end && range.end <= len;
            let result = deque.range_mut(range.clone(), tx);
            assert_eq!(result.is_ok(), inside);
            if let Ok(elements) = result {
                for (place, model) in elements.zip(model.range_mut(range.clone())).rev() {
                    *place = K::make(tx, *n)?;
                    *model = K::model(*n);
                }
            }
        }
        Op::Swap(a, b) => {
            assert_eq!(deque.swap(*a, *b, tx), *a < len && *b < len);
            if *a < len && *b < len {
                model.swap(*a, *b);
            }
        }
        Op::Sort => {
            deque.make_contiguous(tx).sort();
            model.make_contiguous().sort();
            assert!(deque.as_slices().1.is_empty());
            let middle = deque.get(len / 2);
            assert_eq!(middle.map(|value| deque.binary_search(value).is_ok()), (len > 0).then_some(true));
        }
        Op::RotateLeft(count) => {
            assert_eq!(deque.rotate_left(*count, tx).is_ok(), *count <= len);
            model.rotate_left(if *count <= len { *count } else { 0 });
        }
        Op::RotateRight(count) => {
            assert_eq!(deque.rotate_right(*count, tx).is_ok(), *count <= len);
            model.rotate_right(if *count <= len { *count } else { 0 });
        }
        Op::Retain(n) => {
            deque.retain(tx, |element| chosen(&K::see(element), *n));
            model.retain(|element| chosen(element, *n));
        }
        Op::RetainMut(n) => {
            let value = K::make(tx, 1)?;
            let mut value = Some(value);
            deque.retain_mut(tx, |element| {
                if let Some(first) = value.take() {
                    *element = first;
                }
                chosen(&K::see(element), *n)
            });
            let mut value = Some(K::model(1));
            model.retain_mut(|element| {
                if let Some(first) = value.take() {
                    *element = first;
                }
                chosen(element, *n)
            });
        }
        Op::Drain(range, take) => {
            let inside = range.start <= range.end && range.end <= len;
            let result = deque.drain(range.clone(), tx);
            assert_eq!(result.is_ok(), inside);
            if let Ok(drain) = result {
                let taken: Vec<_> = drain.take(*take).map(|element| K::see(&element)).collect();
                assert_eq!(taken, model.drain(range.clone()).take(*take).collect::<Vec<_>>());
            }
        }
        Op::Append(values) => {
            let (mut other, mut other_model) = (PDeque::new(), Side::<K>::new());
            fill::<K>(&mut other, tx, &mut other_model, values)?;
            apply::<K>(&Op::Turn(values.len() as u64 / 2), &mut other, tx, &mut other_model)?;
            deque.append(tx, &mut other)?;
            model.append(&mut other_model);
            assert!(other.is_empty());
        }
        Op::SplitOff(at) => {
            let result = deque.split_off(tx, *at);
            assert_eq!(result.is_ok(), *at <= len);
            if let Ok(other) = result {
                let expected: Vec<_> = model.split_off(*at).into();
                assert_eq!(other.iter().map(K::see).collect::<Vec<_>>(), expected);
            }
        }
        Op::Resize(count, n) => {
            deque.resize_with(tx, *count, || K::make(tx, *n))?;
            model.resize(*count, K::model(*n));
        }
        Op::Reserve(more) => {
            deque.reserve(tx, *more)?;
            assert!(deque.capacity() >= (len + more) as u64);
        }
        Op::Shrink => deque.shrink_to_fit(tx)?,
        Op::Clear => {
            deque.clear();
            model.clear();
        }
        Op::Replace => {
            *deque = PDeque::new();
            model.clear();
        }
    }
    Ok(())
}

fn check_one<K: Kind>(deque: &PDeque<'_, K::At<'_>>, model: &Side<K>) {
    assert_eq!(deque.len(), model.len());
    assert_eq!(deque.is_empty(), model.is_empty());
    assert!(deque.iter().map(K::see).eq(model.iter().cloned()));
    assert!(deque.iter().rev().map(K::see).eq(model.iter().rev().cloned()));
    assert_eq!(deque.front().map(K::see), model.front().cloned());
    assert_eq!(deque.back().map(K::see), model.back().cloned());
    assert!((0..model.len() + 2).all(|at| deque.get(at).map(K::see) == model.get(at).cloned()));
    let middle = model.len() / 2;
    let range = deque.range(middle..).unwrap();
    assert!(range.map(K::see).eq(model.range(middle..).cloned()));
    assert_eq!(deque.iter().nth(middle).map(K::see), model.get(middle).cloned());
}

fn check(pool: &Pool<App<'static>>, model: &Model) {
    let app = pool.read();
    check_one::<u64>(&app.numbers, &model.numbers);
    check_one::<u8>(&app.bytes, &model.bytes);
    check_one::<Word>(&app.words, &model.words);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes long")]
    fn queues_follow_the_model(
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
                    apply::<u64>(op, &mut app.numbers, tx, &mut changed.numbers)?;
                    apply::<u8>(op, &mut app.bytes, tx, &mut changed.bytes)?;
                    apply::<Word>(op, &mut app.words, tx, &mut changed.words)?;
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
        // Each element owns a block, and no other does: none was dropped twice or not at all (B19).
        let blocks = pool.stats().heap.live_blocks - baseline;
        let at_least = model.words.len() as u64;
        prop_assert!((at_least..=at_least + 3).contains(&blocks), "{blocks} for {at_least} words");
        pool.write(|app, _| {
            *app = App::default();
            Ok(())
        }).unwrap();
        drop(pool);
        let pool = open(&media);
        prop_assert_eq!(pool.stats().heap.live_blocks, baseline);
    }
}

/// Catches a write that shifts or logs more than it has to: pushing and popping at both ends moves nothing.
#[test]
fn a_queue_at_work_writes_only_what_comes() {
    let (count, turns) = if cfg!(miri) { (20, 25) } else { (5000, 9000u64) };
    let pool = create(&media());
    pool.write(|app, tx| app.numbers.extend(tx, 0..count)).unwrap();
    let before = pool.stats().foreground.bytes;
    for turn in 0..turns {
        pool.write(|app, tx| {
            assert!(app.numbers.pop_front().is_some());
            app.numbers.push_back(tx, turn)
        })
        .unwrap();
    }
    let each = (pool.stats().foreground.bytes - before) / turns;
    println!("{each} bytes for a transaction");
    assert!(each < 200, "{each}");
}

#[test]
fn a_full_pool_leaves_the_queue_as_it_was() {
    let media = media();
    let pool = create(&media);
    pool.write(|app, tx| {
        app.numbers.extend(tx, 0..5)?;
        app.numbers.rotate_left(2, tx)?;
        assert!(matches!(app.numbers.reserve(tx, MAX_SIZE as usize), Err(Error::PoolFull { .. })));
        assert!(matches!(
            app.numbers.reserve(tx, usize::MAX),
            Err(Error::TooLarge { .. } | Error::PoolFull { .. })
        ));
        let more = vec![0; MAX_SIZE as usize / 8];
        assert!(app.numbers.extend_from_slice(tx, &more).is_err());
        assert!(PDeque::<u64>::with_capacity(tx, usize::MAX / 4).is_err());
        assert!(matches!(app.numbers.insert(tx, 6, 0), Err(Error::OutOfRange { index: 6, len: 5 })));
        assert!(matches!(app.numbers.range(2..9), Err(Error::OutOfRange { index: 9, len: 5 })));
        assert!(app.numbers.range(..=usize::MAX).is_err());
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.read().numbers, [2, 3, 4, 0, 1]);
    // The error is swallowed, and what was there goes on.
    if cfg!(miri) {
        return;
    }
    let fits = (0..).find(|n| {
        let pushed = pool.write(|app, tx| Ok(app.numbers.extend(tx, [*n; 4096]).is_ok())).unwrap();
        !pushed
    });
    assert!(fits.is_some_and(|fits| fits > 50), "{fits:?}");
    pool.write(|app, tx| {
        assert_eq!(app.numbers.pop_front(), Some(2));
        app.numbers.push_back(tx, 7)
    })
    .unwrap();
    drop(pool);
    assert_eq!(open(&media).read().numbers.back(), Some(&7));
}

#[test]
fn plain_values_are_copied_round_the_end() {
    let pool = create(&media());
    pool.write(|app, tx| {
        let mut model = VecDeque::new();
        app.bytes.reserve_exact(tx, 16)?;
        for round in 0..40u8 {
            let values: Vec<u8> = (0..round % 7).map(|n| n + round).collect();
            app.bytes.extend_from_slice(tx, &values)?;
            model.extend(values);
            for _ in 0..round % 6 {
                assert_eq!(app.bytes.pop_front(), model.pop_front());
            }
            assert_eq!(app.bytes, *model.make_contiguous());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn elements_without_bytes_work() {
    let media = media();
    let pool = create(&media);
    pool.write(|app, tx| {
        app.nothing.extend(tx, [(); 10])?;
        app.nothing.push_front(tx, ())?;
        app.nothing.insert(tx, 3, ())?;
        assert_eq!(app.nothing.remove(5, tx), Some(()));
        assert_eq!(app.nothing.pop_front(), Some(()));
        assert_eq!(app.nothing.drain(2..4, tx)?.count(), 2);
        app.nothing.rotate_left(3, tx)?;
        assert_eq!(app.nothing.make_contiguous(tx).len(), 8);
        app.nothing.shrink_to_fit(tx)
    })
    .unwrap();
    drop(pool);
    let pool = open(&media);
    assert_eq!((pool.read().nothing.len(), pool.read().nothing.iter().count()), (8, 8));
}

/// A value of more than a page's alignment, at a place that is not the first.
#[test]
fn alignment_is_kept() {
    #[derive(Persistent, Clone, Copy, PartialEq, Debug)]
    #[repr(C, align(64))]
    struct Wide(u8);

    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Root<'p> {
        wide: PDeque<'p, Wide>,
    }
    let media = media();
    let options = Pool::<Root>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
    let pool = options.create_on(media.clone(), |_| Ok(Root::default())).unwrap();
    for n in 0..40 {
        pool.write(|root, tx| {
            if n % 3 == 0 {
                root.wide.pop_back();
            }
            root.wide.push_front(tx, Wide(n))
        })
        .unwrap();
    }
    drop(pool);
    let pool = Pool::<Root>::options().open_on(media).unwrap();
    let root = pool.read();
    assert!(root.wide.iter().all(|wide| std::ptr::from_ref(wide).addr().is_multiple_of(64)));
    assert_eq!(root.wide.front(), Some(&Wide(39)));
}

/// Dropping a queue of queues, deep and wide, takes all of it along and needs no stack (I2).
#[test]
fn queues_of_queues_are_freed_without_recursion() {
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Tree<'p> {
        weight: u64,
        branches: PDeque<'p, Tree<'p>>,
        leaf: Option<PBox<'p, u64>>,
    }
    const DEPTH: u64 = if cfg!(miri) { 20 } else { 20_000 };
    let media = media();
    let options = Pool::<Tree>::options().max_size(MAX_SIZE).size(256 << 10).ring_size(64 << 10);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(Tree::default())).unwrap();
    let baseline = pool.stats().heap.live_blocks;
    pool.write(|tree, tx| {
        for weight in 0..DEPTH {
            // The new top has the old one at the end of a ring that wraps round, and two leaves before it.
            let mut top = Tree { weight, ..Tree::default() };
            top.branches.push_back(tx, std::mem::take(tree))?;
            for _ in 0..2 {
                let leaf = Some(PBox::new(tx, weight)?);
                top.branches.push_front(tx, Tree { leaf, ..Tree::default() })?;
            }
            *tree = top;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, baseline + 3 * DEPTH);
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

/// Damages each word of a queue's header in turn: validation refuses, or the queue is another whole one.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_damaged_queue_is_refused_or_whole() {
    let media = media();
    let pool = create(&media);
    pool.write(|app, tx| {
        for n in 0..100 {
            app.words.push_front(tx, PString::from_str(tx, &format!("word {n}"))?)?;
        }
        for n in 0..60 {
            assert!(app.words.pop_back().is_some());
            app.words.push_front(tx, PString::from_str(tx, &format!("more {n}"))?)?;
        }
        Ok(())
    })
    .unwrap();
    let places = pool.read().words.capacity();
    pool.close().unwrap();
    let whole = media.bytes();
    let word = |at: usize| u64::from_le_bytes(whole[at * 8..at * 8 + 8].try_into().unwrap());
    // The header: an address, 100, a place, the number of places. The journal, before the heap, has copies of it.
    let header = (0..whole.len() / 8 - 3)
        .rev()
        .find(|&at| word(at + 1) == 100 && word(at + 3) == places && word(at + 2) < places)
        .expect("the queue's header");
    assert!(word(header + 2) + 100 > places, "the ring wraps round");
    let mut refused = 0;
    let damages: Vec<(usize, u64)> = (header..header + 4)
        .flat_map(|at| {
            let flipped = (0..64).map(move |bit| (at, word(at) ^ 1 << bit));
            flipped.chain([0, 1, u64::MAX, 1 << 60, word(at) + 1, word(at) - 1].map(move |to| (at, to)))
        })
        .collect();
    for &(at, damage) in &damages {
        let mut bytes = whole.clone();
        bytes[at * 8..at * 8 + 8].copy_from_slice(&damage.to_le_bytes());
        match try_open(&Arc::new(media.with_bytes(bytes))) {
            Err(Error::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
            Ok(pool) => {
                assert!(pool.read().words.iter().map(|word| word.len()).sum::<usize>() <= 100 * 8);
                pool.write(|app, tx| {
                    app.words.make_contiguous(tx).sort();
                    app.words.push_front(tx, PString::from_str(tx, "new")?)?;
                    app.words.clear();
                    Ok(())
                })
                .unwrap();
            }
        }
    }
    // What may pass: fewer values, so that some leak.
    assert!(refused + 12 >= damages.len(), "{refused} of {}", damages.len());
}
