//! Changes that no log covers: planted through `unsafe` code and past the pool, found by [`Options::check_unlogged`] in a
//! private image and by the trace oracle on persistent memory (R6). Catches a check that misses them, accuses sound
//! code, or names the wrong place.
//!
//! [`Options::check_unlogged`]: pobj::Options::check_unlogged

use std::sync::Arc;

use pobj::media::sim::SimMedia;
use pobj::media::{Domain, Media};
use pobj::{Error, PBox, PMutex, PVec, Persistent, Pool, Result};
use tests::crash::oracle::{Findings, examine};
use tests::crash::{Mode, acknowledged, created};

const MAX_SIZE: u64 = 1 << 20;

#[derive(Persistent, Default)]
#[repr(C)]
struct Node {
    fill: [u64; 16],
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    hits: u64,
    node: Option<PBox<'p, Node>>,
    items: PVec<'p, u64>,
    locked: PMutex<'p, u64>,
}

fn create(mode: Mode) -> (SimMedia, Pool<Root<'static>>) {
    let media = SimMedia::with_domain(MAX_SIZE, mode.domain()).unwrap();
    let options = Pool::<Root<'static>>::options().size(64 << 10).max_size(MAX_SIZE).ring_size(64 << 10);
    let options = options.validation_threads(1).image(mode.image()).check_unlogged();
    let pool = options
        .create_on(Arc::new(media.clone()), |tx| {
            let node = Some(PBox::new(tx, Node::default())?);
            Ok(Root { node, ..Root::default() })
        })
        .unwrap();
    media.mark(created());
    (media, pool)
}

/// Changes a word that nothing has logged, as a mistake in `unsafe` code would.
fn scribble(word: &u64, value: u64) {
    let word = std::hint::black_box(std::ptr::from_ref(word).cast_mut());
    // SAFETY: not sound, and on purpose so: the word is alive and this thread has the pool.
    unsafe { word.write_volatile(value) }
}

fn node<'a>(root: &'a Root<'_>) -> &'a Node {
    root.node.as_deref().unwrap()
}

fn hit(pool: &Pool<Root<'static>>) -> Result<()> {
    pool.write(|root, _| {
        root.hits += 1;
        Ok(())
    })
}

fn assert_unlogged(result: Result<()>, words_expected: u64, name: &str) {
    match result {
        Err(Error::Unlogged { words, place, .. }) => {
            assert!(words == words_expected && place.contains(name), "{words} words, {place}");
        }
        other => panic!("not found: {other:?}"),
    }
}

#[test]
fn a_change_past_the_log_fails_the_commit_and_is_put_back() {
    for mode in [Mode::FileRedo, Mode::LineRedo, Mode::ByteRedo] {
        let (_media, pool) = create(mode);
        hit(&pool).unwrap();
        let result = pool.write(|root, _| {
            root.hits += 1;
            scribble(&node(root).fill[3], 7);
            Ok(())
        });
        assert_unlogged(result, 1, "byte 24 of values of type unlogged::Node");
        assert!(pool.read().hits == 1 && node(&pool.read()).fill == [0; 16]);
        hit(&pool).unwrap();
        assert_eq!(pool.read().hits, 2);
    }
}

#[test]
fn a_change_by_who_logs_nothing_is_found_by_the_next_commit() {
    let (_media, pool) = create(Mode::FileRedo);
    scribble(&node(&pool.read()).fill[0], 1);
    assert_unlogged(hit(&pool), 1, "Node");
    let rolled_back = pool.write(|root, _| {
        scribble(&node(root).fill[1], 1);
        Err::<(), _>(Error::abort("no"))
    });
    assert!(matches!(rolled_back, Err(Error::Aborted(_))));
    assert_unlogged(hit(&pool), 1, "Node");
    pool.share(|root, tx| {
        *root.locked.lock(tx)? += 1;
        scribble(&node(root).fill[2], 1);
        Ok(())
    })
    .unwrap();
    assert_unlogged(hit(&pool), 1, "Node");
    hit(&pool).unwrap();
}

/// What lies anywhere in the pool: the allocator's words, the middle of a large object, what nobody uses.
#[test]
fn a_change_is_named_by_where_it_is() {
    let (media, pool) = create(Mode::FileRedo);
    pool.write(|root, tx| root.items.extend(tx, 0..40_000)).unwrap();
    pool.close().unwrap();
    let header = |at: usize| u64::from_le_bytes(media.bytes()[at..at + 8].try_into().unwrap());
    let (base, metadata) = (header(64), header(0x5000));
    let options = Pool::<Root<'static>>::options().validation_threads(1).check_unlogged();
    let pool = options.open_on(Arc::new(media.clone())).unwrap();
    // A run that nobody has allocated from since the pool was opened.
    let before = node(&pool.read()).fill;
    scribble(&node(&pool.read()).fill[2], 5);
    assert_unlogged(hit(&pool), 1, "byte 16 of values of type unlogged::Node, in a block of 128 bytes");
    assert_eq!(node(&pool.read()).fill, before);
    // The last chunk of five, then the first.
    for at in [39_999, 3] {
        scribble(&pool.read().items[at], 1 << 40);
        assert_unlogged(hit(&pool), 1, "in a block of 327680 bytes");
        assert_eq!(pool.read().items[at], at as u64);
    }
    let word = |offset: u64| {
        // SAFETY: in the image of a pool that is open and that nobody uses meanwhile.
        unsafe { &*std::ptr::with_exposed_provenance::<u64>((base + offset) as usize) }
    };
    // The slot of a chunk that is free.
    let slot = metadata + 100 * 512 + 64;
    scribble(word(slot), 1);
    assert_unlogged(hit(&pool), 1, "the heap's metadata");
    assert_eq!(*word(slot), 0);
    // What is nobody's does not count: a free block, what is left of a run, a free chunk.
    let offset = std::ptr::from_ref(node(&pool.read())).addr() as u64 - base;
    let chunk = offset / 65_536 * 65_536;
    let free = [offset + 128 * 9, chunk + 65_528, pool.stats().len - 8];
    for offset in free {
        assert_eq!(*word(offset), 0);
        scribble(word(offset), 6);
        hit(&pool).unwrap();
        assert_eq!(*word(offset), 6);
    }
    assert_eq!(pool.read().hits, 3);
    // Nor what a transaction has taken and nothing logged, unless it is no longer zero.
    let kept = pool.write(|root, tx| {
        root.items = PVec::with_capacity(tx, 20_000)?;
        Ok(())
    });
    kept.unwrap();
    pool.close().unwrap();
    assert_eq!(options.open_on(Arc::new(media)).unwrap().read().hits, 3);
}

/// New blocks, freed ones, capacity, locks, growth: all that sound code does.
#[test]
fn sound_code_is_not_accused() {
    let (_media, pool) = create(Mode::LineRedo);
    for round in 0..40 {
        let outcome = pool.write(|root, tx| {
            root.items.extend(tx, 0..round * 30)?;
            root.items.push(tx, round)?;
            root.items.truncate((round as usize * 7) % 50);
            if round % 3 == 0 {
                root.items = PVec::with_capacity(tx, 1000)?;
            }
            root.node = Some(PBox::new(tx, Node { fill: [round; 16] })?);
            if round % 5 == 0 { Err(Error::abort("no")) } else { Ok(()) }
        });
        assert!(matches!(outcome, Ok(()) | Err(Error::Aborted(_))), "{outcome:?}");
        pool.share(|root, tx| {
            *root.locked.lock(tx)? += 1;
            Ok(())
        })
        .unwrap();
    }
    pool.collect().unwrap();
    hit(&pool).unwrap();
}

fn examined(mode: Mode, spoil: impl FnOnce(&SimMedia, &Pool<Root<'static>>)) -> Findings {
    let (media, pool) = create(mode);
    hit(&pool).unwrap();
    spoil(&media, &pool);
    media.mark(acknowledged(mode, 1, pobj::Durability::Immediate));
    examine(&media.trace())
}

#[test]
fn stores_in_place_past_the_log_are_found_in_the_trace() {
    for mode in [Mode::LineUndo, Mode::ByteUndo] {
        assert_eq!(examined(mode, |_, pool| hit(pool).unwrap()).violations(), 0);
        let found = examined(mode, |_, pool| {
            pool.write(|root, _| {
                scribble(&node(root).fill[3], 7);
                root.hits += 1;
                Ok(())
            })
            .unwrap();
        });
        assert_eq!(found.unlogged, 1, "{mode:?}: {found}");
        // Nothing flushes it either.
        assert_eq!(found.unflushed, u64::from(mode.domain() == Domain::CacheLine), "{mode:?}: {found}");
    }
}

/// A home that changes before its record is there, or to something else than it says.
#[test]
fn writes_to_home_that_no_record_covers_are_found_in_the_trace() {
    for mode in [Mode::FileRedo, Mode::LineRedo, Mode::ByteRedo] {
        let found = examined(mode, |media, pool| {
            let offset = {
                let base = u64::from_le_bytes(media.bytes()[64..72].try_into().unwrap());
                std::ptr::from_ref(node(&pool.read())).addr() as u64 - base
            };
            media.write(offset, &[1; 16]).unwrap();
            media.fence().unwrap();
        });
        assert!(found.unlogged == 2 && found.unflushed == 0, "{mode:?}: {found}");
    }
}

/// In place, words of one line that were logged one by one are flushed as one line.
#[test]
fn a_line_with_many_ranges_is_flushed_once() {
    let flushes = |count: usize| {
        let found = examined(Mode::LineUndo, |_, pool| {
            pool.write(|root, tx| root.items.extend(tx, 0..64)).unwrap();
            pool.write(|root, tx| {
                (0..count).rev().step_by(2).for_each(|at| *root.items.get_mut(at, tx).unwrap() += 1);
                Ok(())
            })
            .unwrap();
        });
        assert_eq!((found.flushed_twice, found.violations()), (0, 0), "{found}");
        found.flushes
    };
    assert!(flushes(64) <= flushes(2) + 8, "64 words lie in 8 lines, or 9");
}

#[test]
fn flushes_and_fences_in_vain_are_counted() {
    let before = examined(Mode::LineRedo, |_, _| {});
    let after = examined(Mode::LineRedo, |media, _| {
        media.store(0x3_0000, &[1; 8]).unwrap();
        media.flush(0x3_0000, 8).unwrap();
        media.flush(0x3_0000, 8).unwrap();
        media.fence().unwrap();
        media.fence().unwrap();
    });
    assert_eq!(after.flushes - before.flushes, 2);
    assert_eq!(after.redundant_flushes - before.redundant_flushes, 1);
    assert_eq!(after.redundant_fences - before.redundant_fences, 1);
}
