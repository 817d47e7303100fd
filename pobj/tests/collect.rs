//! `Pool::collect`: what nothing reaches is freed, counts that are too high are put right, everything else stays.
//!
//! Catches: garbage that is counted and not freed, or freed and reachable; a weak pointer that finds a freed value; a
//! count that stays too high, so that the value never dies; a target of a `PPtr` that vanishes; a collection that runs
//! beside a transaction, or whose changes are not one transaction.

use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{
    Collected, Durability, Error, PArc, PBox, PHashMap, PPtr, PRc, PRefCell, PString, PVec, PWeak,
    Persistent, Pool, Result, Tx,
};

const MAX_SIZE: u64 = if cfg!(miri) { 1 << 20 } else { 64 << 20 };

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create<R: Persistent>(media: &Arc<RamMedia>) -> Pool<R>
where
    for<'p> R::At<'p>: Default,
{
    let options = Pool::<R>::options().max_size(MAX_SIZE).size(64 << 10).ring_size(64 << 10);
    options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(R::At::default())).unwrap()
}

fn open<R: Persistent>(media: &Arc<RamMedia>) -> Pool<R> {
    Pool::<R>::options().validation_threads(2).open_on(media.clone()).unwrap()
}

fn live<R: Persistent>(pool: &Pool<R>) -> (u64, u64) {
    let heap = pool.stats().heap;
    (heap.live_blocks, heap.live_bytes)
}

fn summary(collected: Collected) -> (u64, u64) {
    (collected.blocks, collected.corrected_counts)
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    name: PString<'p>,
    lists: PVec<'p, PVec<'p, u64>>,
    map: PHashMap<'p, u64, PString<'p>>,
    shared: PVec<'p, PRc<'p, Knot<'p>>>,
    weak: PVec<'p, PWeak<'p, Knot<'p>>>,
    atomic: Option<PArc<'p, u64>>,
    pointer: Option<PPtr<'p, Owner<'p>>>,
    second: Option<PPtr<'p, u64>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Knot<'p> {
    id: u64,
    text: PString<'p>,
    other: PRefCell<'p, Option<PRc<'p, Knot<'p>>>>,
}

#[derive(Persistent)]
#[repr(C)]
struct Owner<'p> {
    child: PBox<'p, u64>,
    next: Option<PPtr<'p, Owner<'p>>>,
}

fn knot<'p>(tx: &Tx<'p>, id: u64) -> Result<Knot<'p>> {
    Ok(Knot { id, text: PString::from_str(tx, "a text that needs a block of its own")?, ..Knot::default() })
}

fn fill<'p>(app: &mut App<'p>, tx: &Tx<'p>) -> Result<()> {
    app.name = PString::from_str(tx, "a name that needs a block of its own")?;
    for number in 0..20 {
        app.lists.push(tx, PVec::from_slice(tx, &vec![number; number as usize * 3])?)?;
        app.map.insert(tx, number, PString::from_str(tx, &"long ".repeat(number as usize))?)?;
    }
    let shared = PRc::new(tx, knot(tx, 1)?)?;
    app.weak.push(tx, PRc::downgrade(&shared, tx))?;
    app.shared.push(tx, shared.clone(tx))?;
    app.shared.push(tx, shared)?;
    app.atomic = Some(PArc::new(tx, 1)?);
    Ok(())
}

#[test]
fn what_was_forgotten_is_freed_and_the_rest_stays() {
    let media = media();
    let pool = create::<App>(&media);
    pool.write(fill).unwrap();
    let clean = live(&pool);
    assert_eq!(summary(pool.collect().unwrap()), (0, 0));
    let committed = pool.last_committed();
    assert_eq!(pool.collect().unwrap(), Collected::default());
    assert_eq!(pool.last_committed(), committed, "nothing to do is no transaction");
    pool.write(|_, tx| {
        std::mem::forget(PBox::new(tx, PBox::new(tx, [1u64; 9])?)?);
        std::mem::forget(PString::from_str(tx, &"large".repeat(30_000))?);
        std::mem::forget(PVec::from_slice(tx, &[1u16; 3])?);
        std::mem::forget(PRc::new(tx, knot(tx, 2)?)?);
        Ok(())
    })
    .unwrap();
    let (blocks, bytes) = live(&pool);
    assert_eq!(blocks, clean.0 + 6);
    let collected = pool.collect().unwrap();
    assert_eq!((collected.blocks, collected.bytes, collected.corrected_counts), (6, bytes - clean.1, 0));
    assert_eq!(live(&pool), clean);
    drop(pool);
    let pool = open::<App>(&media);
    assert_eq!(pool.stats().opened.unreachable_blocks, 0);
    assert_eq!(pool.read().map.len(), 20);
    assert!(pool.read().lists[19].iter().all(|number| *number == 19));
    pool.write(|app, _| {
        *app = App::default();
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool).0, 1);
}

#[test]
fn counts_of_forgotten_pointers_are_put_right() {
    let media = media();
    let pool = create::<App>(&media);
    let empty = live(&pool);
    pool.write(|app, tx| {
        fill(app, tx)?;
        for _ in 0..5 {
            std::mem::forget(app.shared[0].clone(tx));
            std::mem::forget(PRc::downgrade(&app.shared[0], tx));
            std::mem::forget(app.atomic.as_ref().unwrap().clone(tx)?);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(summary(pool.collect().unwrap()), (0, 2));
    let app = pool.read();
    assert_eq!((PRc::strong_count(&app.shared[0]), PRc::weak_count(&app.shared[0])), (2, 1));
    drop(app);
    pool.write(|app, _| {
        *app = App::default();
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty);
}

/// A knot of two that hold each other, one that holds what lives, one that is watched.
#[test]
fn cycles_are_untied_and_their_watchers_find_nothing() {
    let media = media();
    let pool = create::<App>(&media);
    pool.write(|app, tx| {
        fill(app, tx)?;
        let (one, two) = (PRc::new(tx, knot(tx, 10)?)?, PRc::new(tx, knot(tx, 11)?)?);
        one.other.replace(Some(two.clone(tx)), tx);
        two.other.replace(Some(one.clone(tx)), tx);
        app.weak.push(tx, PRc::downgrade(&one, tx))?;
        let three = PRc::new(tx, knot(tx, 12)?)?;
        three.other.replace(Some(app.shared[0].clone(tx)), tx);
        std::mem::forget(three);
        Ok(())
    })
    .unwrap();
    let before = live(&pool);
    assert_eq!(pool.read().weak[1].strong_count(), 1);
    // The first keeps its counts, for its watcher; its text, the second with text, the third with text go.
    assert_eq!(summary(pool.collect().unwrap()), (5, 2));
    assert_eq!(live(&pool).0, before.0 - 5);
    assert_eq!(pool.read().weak[1].strong_count(), 0);
    assert_eq!(PRc::strong_count(&pool.read().shared[0]), 2);
    assert_eq!(summary(pool.collect().unwrap()), (0, 0));
    drop(pool);
    let pool = open::<App>(&media);
    assert_eq!(pool.stats().opened.unreachable_blocks, 0);
    pool.write(|app, tx| {
        assert!(app.weak[1].upgrade(tx).is_none());
        assert_eq!(app.weak[0].upgrade(tx).map(|knot| knot.id), Some(1));
        *app = App::default();
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool).0, 1);
}

#[test]
fn what_pointers_without_ownership_lead_to_is_kept() {
    let media = media();
    let pool = create::<App>(&media);
    pool.write(|app, tx| {
        fill(app, tx)?;
        let child = PBox::new(tx, 5)?;
        // Found before its owner, which nothing owns.
        app.second = Some(child.as_ptr());
        let last = PBox::new(tx, Owner { child, next: None })?.into_ptr();
        let owner = Owner { child: PBox::new(tx, 6)?, next: Some(last) };
        app.pointer = Some(PBox::new(tx, owner)?.into_ptr());
        std::mem::forget(PBox::new(tx, 7u64)?);
        Ok(())
    })
    .unwrap();
    let before = live(&pool).0;
    assert_eq!(summary(pool.collect().unwrap()), (1, 0));
    assert_eq!(live(&pool).0, before - 1);
    drop(pool);
    let pool = open::<App>(&media);
    pool.write(|app, tx| {
        app.second = None;
        // SAFETY: nothing else owns it; the pointer is taken.
        let first = unsafe { PBox::from_ptr(app.pointer.take().unwrap()) }.into_inner(tx);
        // SAFETY: likewise.
        let last = unsafe { PBox::from_ptr(first.next.unwrap()) };
        assert_eq!((*first.child, *last.child), (6, 5));
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool).0, before - 5);
    assert_eq!(summary(pool.collect().unwrap()), (0, 0));
}

#[test]
fn a_collection_is_a_transaction_of_its_own() {
    let pool = create::<App>(&media());
    let nested = pool.write(|_, tx| {
        std::mem::forget(PBox::new(tx, 1u64)?);
        pool.collect().map(drop)
    });
    assert!(matches!(nested, Err(Error::Nested)), "{nested:?}");
    let guard = pool.read();
    assert!(matches!(pool.collect(), Err(Error::ReadGuardHeld)));
    drop(guard);
    assert_eq!(pool.collect().unwrap(), Collected::default());
}

/// While others read and write, and with more garbage than the ring holds records of.
#[test]
fn collections_take_their_turn() {
    const MANY: u64 = if cfg!(miri) { 10 } else { 20_000 };
    let media = media();
    let pool = create::<App>(&media);
    pool.write(|app, tx| {
        fill(app, tx)?;
        for number in 0..MANY {
            std::mem::forget(PBox::new(tx, number)?);
        }
        Ok(())
    })
    .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..50 {
                pool.write(|app, tx| app.lists.push(tx, PVec::from_slice(tx, &[number; 20])?)).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..50 {
                assert_eq!(pool.read().map.len(), 20);
            }
        });
        let freed: u64 = (0..4).map(|_| pool.collect().unwrap().blocks).sum();
        assert_eq!(freed, MANY);
    });
    drop(pool);
    let pool = open::<App>(&media);
    assert_eq!(pool.stats().opened.unreachable_blocks, 0);
    assert_eq!(pool.read().lists.len(), 70);
}
