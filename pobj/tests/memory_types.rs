//! Each type that a pool offers, on the in-memory medium, once through its life: made, filled, changed through `&mut` and
//! through cells, iterated, taken from, dropped, rolled back, reopened with validation. Small enough for Miri and for
//! the sanitizers, and so the one place where they see all of the typed floor's `unsafe`.
//!
//! Catches: references that alias, reads of bytes that are not initialised, pointers without provenance, uses after a
//! free. What the types are to do is their own suites' matter.

use std::sync::Arc;

use pobj::kv::{Hash, Ordered, Store};
use pobj::media::{Domain, ImageMode, RamMedia};
use pobj::{
    Error, PArc, PAtomicU64, PBTreeMap, PBTreeSet, PBox, PCell, PConcurrentMap, PDeque, PHashMap, PHashSet,
    PList, PMutex, PRc, PRefCell, PRwLock, PString, PVec, PWeak, Persistent, Pool, Result, Tx,
};

const MAX_SIZE: u64 = if cfg!(miri) { 4 << 20 } else { 16 << 20 };
const COUNT: u64 = if cfg!(miri) { 5 } else { 60 };

#[derive(Persistent, Default)]
#[repr(C)]
struct Alone<'p> {
    numbers: PVec<'p, u64>,
    texts: PVec<'p, PString<'p>>,
    queue: PDeque<'p, PBox<'p, u64>>,
    list: PList<'p, PString<'p>>,
    map: PHashMap<'p, u64, PString<'p>>,
    set: PHashSet<'p, PString<'p>>,
    tree: PBTreeMap<'p, u64, PBox<'p, u64>>,
    words: PBTreeSet<'p, PString<'p>>,
    cell: PCell<'p, u32>,
    borrowed: PRefCell<'p, PVec<'p, u16>>,
    shared: [Option<PRc<'p, PString<'p>>>; 2],
    weak: Option<PWeak<'p, PString<'p>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Together<'p> {
    counter: PAtomicU64<'p>,
    locked: PMutex<'p, PVec<'p, u64>>,
    many: PRwLock<'p, PString<'p>>,
    arc: Option<PArc<'p, u64>>,
    map: PConcurrentMap<'p, u64, u64>,
}

fn media(domain: Domain) -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap().with_domain(domain))
}

fn options<R: Persistent>(image: ImageMode) -> pobj::Options<R> {
    let options = Pool::<R>::options().max_size(MAX_SIZE).size(256 << 10).ring_size(64 << 10);
    options.validation_threads(1).image(image)
}

fn fill<'p>(root: &mut Alone<'p>, tx: &Tx<'p>, from: u64) -> Result<()> {
    for n in from..from + COUNT {
        let text = || PString::from_str(tx, &format!("text {n}"));
        root.numbers.push(tx, n)?;
        root.texts.push(tx, text()?)?;
        root.queue.push_front(tx, PBox::new(tx, n)?)?;
        root.list.push_back(tx, text()?)?;
        root.map.insert(tx, n, text()?)?;
        root.set.insert(tx, text()?)?;
        root.tree.insert(tx, n, PBox::new(tx, n)?)?;
        root.words.insert(tx, text()?)?;
        root.borrowed.borrow_mut(tx).push(tx, n as u16)?;
        root.cell.update(tx, |count| count + 1);
    }
    let first = PRc::new(tx, PString::from_str(tx, "shared")?)?;
    root.weak = Some(PRc::downgrade(&first, tx));
    root.shared = [Some(first.clone(tx)), Some(first)];
    Ok(())
}

fn change<'p>(root: &mut Alone<'p>, tx: &Tx<'p>) -> Result<()> {
    root.numbers.get_mut(1, tx).into_iter().for_each(|number| *number += 100);
    root.numbers.remove(0, tx);
    root.numbers.iter_mut(tx).for_each(|number| *number += 1);
    if let Some(text) = root.texts.get_mut(0, tx) {
        text.push_str(tx, " and more")?;
    }
    drop(root.queue.pop_back());
    root.queue.iter_mut(tx).for_each(|number| *number.get_mut(tx) += 1);
    root.queue.make_contiguous(tx).reverse();
    if let Some(text) = root.map.get_mut(&1, tx) {
        text.push_str(tx, "!")?;
    }
    root.map.remove(&0, tx);
    root.set.remove("text 1", tx);
    if let Some(number) = root.tree.get_mut(&2, tx) {
        *number.get_mut(tx) = 22;
    }
    root.tree.remove(&0, tx);
    root.words.remove("text 2", tx);
    root.borrowed.borrow_mut(tx).pop();
    root.shared[0] = None;
    let strong = root.weak.as_ref().and_then(|weak| weak.upgrade(tx));
    assert!(strong.is_some_and(|strong| **strong == *"shared"));
    Ok(())
}

/// All that there is to see.
fn look(root: &Alone<'_>) -> (Vec<u64>, Vec<String>, Vec<u64>, usize, u32) {
    let texts = root.texts.iter().chain(root.list.iter()).chain(root.map.values()).chain(root.set.iter());
    let texts = texts.chain(root.words.iter()).map(|text| text.to_string());
    let boxes = root.queue.iter().chain(root.tree.values()).map(|number| **number);
    (
        root.numbers.iter().copied().collect(),
        texts.collect(),
        boxes.collect(),
        root.borrowed.borrow().len() + root.shared.iter().flatten().count(),
        root.cell.get(),
    )
}

fn lives(domain: Domain, image: ImageMode) {
    let media = media(domain);
    let pool = options::<Alone>(image).create_on(media.clone(), |_| Ok(Alone::default())).unwrap();
    let empty = pool.stats().heap.live_blocks;
    pool.write(|root, tx| fill(root, tx, 0)).unwrap();
    let filled = look(&pool.read());
    let refused = pool.write(|root, tx| {
        fill(root, tx, 1000)?;
        change(root, tx)?;
        Err::<(), _>(Error::abort("no"))
    });
    assert!(refused.is_err());
    assert_eq!(look(&pool.read()), filled);
    pool.write(change).unwrap();
    let changed = look(&pool.read());
    assert_ne!(changed, filled);
    pool.close().unwrap();
    let pool = options::<Alone>(image).open_on(media).unwrap();
    assert_eq!(look(&pool.read()), changed);
    pool.write(|root, _| {
        *root = Alone::default();
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, empty);
}

#[test]
fn collections_and_pointers_on_a_file() {
    lives(Domain::Page, ImageMode::Private);
}

#[test]
fn collections_and_pointers_in_place() {
    lives(Domain::CacheLine, ImageMode::InPlace);
}

#[test]
fn what_transactions_share() {
    const THREADS: u64 = 3;
    const ROUNDS: u64 = if cfg!(miri) { 4 } else { 200 };
    let media = media(Domain::CacheLine);
    let pool = options::<Together>(ImageMode::Private)
        .create_on(media.clone(), |tx| {
            let arc = Some(PArc::new(tx, 5)?);
            Ok(Together { arc, map: PConcurrentMap::with_parts(tx, 2)?, ..Together::default() })
        })
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let run = |root: &Together<'_>| root.arc.as_deref().copied();
                    assert_eq!(run(&pool.read()), Some(5));
                    pool.share(|root, tx| {
                        root.counter.fetch_add(1, tx)?;
                        root.map.insert(tx, thread * ROUNDS + round, round)?;
                        root.locked.lock(tx)?.push(tx, round)?;
                        *root.many.write(tx)? = PString::from_str(tx, &format!("{thread}.{round}"))?;
                        Ok(())
                    })
                    .unwrap();
                }
            });
        }
    });
    pool.close().unwrap();
    let pool = options::<Together>(ImageMode::Private).open_on(media).unwrap();
    let root = pool.read();
    assert_eq!(root.counter.get(&root), THREADS * ROUNDS);
    assert_eq!(root.map.count(&root) as u64, THREADS * ROUNDS);
    assert_eq!(root.locked.get(&root).len() as u64, THREADS * ROUNDS);
}

/// The facilities: a store of either engine, with several writers, a log with several appenders, an array of blocks.
#[test]
fn stores_logs_and_blocks() {
    let hash = Store::<Hash>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    let hash = hash.create_store_on(media(Domain::Page)).unwrap();
    let ordered = Store::<Ordered>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    let ordered = ordered.create_store_on(media(Domain::Page)).unwrap();
    let log = pobj::log::Options::new().create_on(media(Domain::CacheLine), 64 << 10).unwrap();
    let blocks = pobj::blk::Blocks::options().max_size(MAX_SIZE).size(64 << 10).ring_size(64 << 10);
    let blocks = blocks.create_on(media(Domain::Page), 16, 8).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2_u8 {
            let (hash, ordered, log, blocks) = (&hash, &ordered, &log, &blocks);
            scope.spawn(move || {
                for n in 0..COUNT as u8 {
                    hash.put(&[thread, n], &[n; 20]).unwrap();
                    ordered.put(&[thread, n], &[n; 20]).unwrap();
                    log.append(&[thread, n]).unwrap();
                    blocks.write(u64::from(thread), &[n; 16]).unwrap();
                    assert_eq!(hash.get_copy(&[thread, n]).unwrap().unwrap(), [n; 20]);
                }
            });
        }
    });
    let each = u64::from(COUNT as u8);
    assert_eq!(hash.count().unwrap() as u64, 2 * each);
    assert_eq!(ordered.count().unwrap() as u64, 2 * each);
    assert_eq!(log.count(), 2 * each);
    let mut block = [0; 16];
    blocks.read(1, &mut block).unwrap();
    assert_eq!(u64::from(block[0]), each - 1);
    hash.remove(&[0, 0]).unwrap();
    assert!(hash.get_copy(&[0, 0]).unwrap().is_none());
}
