//! `PHashSet` against `HashSet`: random transactions, some of them given up, with reopenings; two sets as one.
//!
//! Catches: an element that is lost or kept twice; `insert` that replaces and `replace` that does not; the operations on
//! two sets with the sets exchanged; blocks that leak (B24, B35, B36, B42).

use std::collections::HashSet;
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PHash, PHashSet, PHasher, PString, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };
const CASES: u32 = if cfg!(miri) { 3 } else { 150 };

/// Equal if the lower byte is: so what is kept and what is replaced can be told apart.
#[derive(Persistent, Clone, Copy, Debug)]
#[repr(C)]
struct Tagged(u64);

impl PartialEq for Tagged {
    fn eq(&self, other: &Self) -> bool {
        self.0 as u8 == other.0 as u8
    }
}

impl Eq for Tagged {}

impl std::hash::Hash for Tagged {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.0 as u8).hash(state);
    }
}

impl PHash for Tagged {
    fn phash(&self, hasher: &mut PHasher) {
        (self.0 as u8).phash(hasher);
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    words: PHashSet<'p, PString<'p>>,
    tagged: PHashSet<'p, Tagged>,
    other: PHashSet<'p, Tagged>,
    unit: PHashSet<'p, ()>,
}

#[derive(Clone, Default, Debug)]
struct Model {
    words: HashSet<String>,
    tagged: HashSet<Tagged>,
    other: HashSet<Tagged>,
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
    Insert(u64),
    InsertMany(u64, u64),
    InsertOther(u64),
    Replace(u64),
    GetOrInsert(u64),
    Remove(u64),
    Take(u64),
    Retain(u64),
    Drain(usize),
    Swap,
    Reserve(usize),
    Shrink,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let element = || 0u64..2000;
    prop_oneof![
        6 => element().prop_map(Op::Insert),
        1 => (element(), 0u64..200).prop_map(|(from, count)| Op::InsertMany(from, count)),
        4 => element().prop_map(Op::InsertOther),
        4 => element().prop_map(Op::Replace),
        4 => element().prop_map(Op::GetOrInsert),
        4 => element().prop_map(Op::Remove),
        4 => element().prop_map(Op::Take),
        1 => (1u64..5).prop_map(Op::Retain),
        1 => (0usize..5).prop_map(Op::Drain),
        1 => Just(Op::Swap),
        1 => (0usize..300).prop_map(Op::Reserve),
        1 => Just(Op::Shrink),
        1 => Just(Op::Clear),
    ]
}

fn word(n: u64) -> String {
    "w".repeat(n as usize % 40) + &(n % 300).to_string()
}

fn bits(element: Option<&Tagged>) -> Option<u64> {
    element.map(|element| element.0)
}

fn apply<'p>(op: &Op, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<()> {
    match *op {
        Op::Insert(n) => {
            assert_eq!(app.tagged.insert(tx, Tagged(n))?, model.tagged.insert(Tagged(n)));
            let new = app.words.insert(tx, PString::from_str(tx, &word(n))?)?;
            assert_eq!(new, model.words.insert(word(n)));
        }
        Op::InsertMany(from, count) => {
            app.tagged.extend(tx, (from..from + count).map(Tagged))?;
            // As `insert`: what is there stays.
            for n in from..from + count {
                model.tagged.insert(Tagged(n));
            }
        }
        Op::InsertOther(n) => {
            app.other.insert(tx, Tagged(n))?;
            model.other.insert(Tagged(n));
        }
        Op::Replace(n) => {
            let old = app.tagged.replace(tx, Tagged(n))?;
            assert_eq!(bits(old.as_ref()), bits(model.tagged.replace(Tagged(n)).as_ref()));
            let old = app.words.replace(tx, PString::from_str(tx, &word(n))?)?;
            assert_eq!(old.map(|word| word.to_string()), model.words.replace(word(n)));
        }
        Op::GetOrInsert(n) => {
            let found = app.words.get_or_insert_with(word(n).as_str(), tx, || {
                assert!(!model.words.contains(&word(n)));
                PString::from_str(tx, &word(n))
            })?;
            assert_eq!(*found, word(n));
            model.words.insert(word(n));
            let found = app.tagged.get_or_insert_with(&Tagged(n), tx, || Ok(Tagged(n)))?.0;
            model.tagged.insert(Tagged(n));
            assert_eq!(Some(found), bits(model.tagged.get(&Tagged(n))));
        }
        Op::Remove(n) => {
            assert_eq!(app.tagged.remove(&Tagged(n), tx), model.tagged.remove(&Tagged(n)));
            assert_eq!(app.words.remove(word(n).as_str(), tx), model.words.remove(&word(n)));
        }
        Op::Take(n) => {
            let taken = app.tagged.take(&Tagged(n), tx);
            assert_eq!(bits(taken.as_ref()), bits(model.tagged.take(&Tagged(n)).as_ref()));
            let taken = app.words.take(word(n).as_str(), tx).map(|word| word.to_string());
            assert_eq!(taken, model.words.take(&word(n)));
        }
        Op::Retain(n) => {
            app.tagged.retain(tx, |element| element.0 % n == 0);
            model.tagged.retain(|element| element.0 % n == 0);
            app.words.retain(tx, |word| !(word.len() as u64).is_multiple_of(n));
            model.words.retain(|word| !(word.len() as u64).is_multiple_of(n));
        }
        Op::Drain(take) => {
            let drain = app.words.drain(tx);
            assert_eq!(drain.len(), model.words.len());
            assert!(drain.take(take).all(|word| model.words.contains(word.as_str())));
            model.words.clear();
        }
        Op::Swap => {
            std::mem::swap(&mut app.tagged, &mut app.other);
            std::mem::swap(&mut model.tagged, &mut model.other);
        }
        Op::Reserve(more) => app.tagged.reserve(tx, more)?,
        Op::Shrink => {
            app.tagged.shrink_to_fit(tx)?;
            app.words.shrink_to_fit(tx)?;
        }
        Op::Clear => {
            app.tagged.clear();
            model.tagged.clear();
        }
    }
    Ok(())
}

fn sorted<'a>(elements: impl Iterator<Item = &'a Tagged>) -> Vec<u8> {
    let mut elements: Vec<u8> = elements.map(|element| element.0 as u8).collect();
    elements.sort_unstable();
    elements
}

fn check(pool: &Pool<App<'static>>, model: &Model) {
    let app = pool.read();
    let (set, other) = (&app.tagged, &app.other);
    assert_eq!(app.words.len(), model.words.len());
    assert!(app.words.iter().all(|word| model.words.contains(word.as_str())));
    assert!(model.words.iter().all(|word| app.words.contains(word.as_str())));
    assert_eq!(set.len(), model.tagged.len());
    assert_eq!(set.is_empty(), model.tagged.is_empty());
    assert!(model.tagged.iter().all(|element| bits(set.get(element)) == Some(element.0)));
    let (ours, theirs) = (&model.tagged, &model.other);
    assert_eq!(sorted(set.intersection(other)), sorted(ours.intersection(theirs)));
    assert_eq!(sorted(set.difference(other)), sorted(ours.difference(theirs)));
    assert_eq!(sorted(other.difference(set)), sorted(theirs.difference(ours)));
    assert_eq!(sorted(set.union(other)), sorted(ours.union(theirs)));
    let either = set.symmetric_difference(other);
    assert!(either.size_hint().1 >= Some(either.clone().count()));
    assert_eq!(sorted(either), sorted(ours.symmetric_difference(theirs)));
    // What `difference` gives is of this set.
    assert!(set.difference(other).all(|element| bits(ours.get(element)) == Some(element.0)));
    assert_eq!(set.is_disjoint(other), ours.is_disjoint(theirs));
    assert_eq!(set.is_subset(other), ours.is_subset(theirs));
    assert_eq!(set.is_superset(other), ours.is_superset(theirs));
    assert_eq!(set == other, ours == theirs);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes long")]
    fn sets_follow_the_model(
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
        drop(pool);
        let pool = open(&media);
        prop_assert_eq!(pool.stats().heap.live_blocks, baseline);
    }
}

#[test]
fn relations_of_two_sets() {
    let pool = create(&media());
    pool.write(|app, tx| {
        app.tagged.extend(tx, (0..20).map(Tagged))?;
        app.other.extend(tx, (0..30).map(Tagged))?;
        assert!(app.tagged.is_subset(&app.other) && app.other.is_superset(&app.tagged));
        assert!(!app.other.is_subset(&app.tagged) && !app.tagged.is_disjoint(&app.other));
        app.tagged.retain(tx, |_| false);
        assert!(app.tagged.is_subset(&app.other) && app.tagged.is_disjoint(&app.other));
        assert!(app.unit.insert(tx, ())? && !app.unit.insert(tx, ())?);
        app.tagged.insert(tx, Tagged(5))?;
        assert_eq!(format!("{:?} {:?}", app.tagged, app.unit), "{Tagged(5)} {()}");
        Ok(())
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn a_full_pool_leaves_the_set_as_it_was() {
    let media = Arc::new(RamMedia::new(2 << 20).unwrap());
    let options = Pool::<App>::options().max_size(2 << 20).size(128 << 10).ring_size(64 << 10);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(App::default())).unwrap();
    let mut held = 0u64;
    let insert = |n: u64| {
        pool.write(|app, tx| match PString::from_str(tx, &n.to_string()) {
            Ok(text) => Ok(app.words.insert(tx, text).is_ok()),
            Err(_) => Ok(false),
        })
    };
    while insert(held).unwrap() {
        held += 1;
    }
    assert!(held > 5_000, "{held}");
    drop(pool);
    let pool = Pool::<App>::options().open_on(media).unwrap();
    let app = pool.read();
    assert_eq!(app.words.len() as u64, held);
    assert!((0..held).all(|n| app.words.contains(n.to_string().as_str())));
}
