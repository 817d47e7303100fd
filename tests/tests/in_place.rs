//! Undo in place on real files: what only that mode does. (The behaviour suites run in it too, by `POBJ_IMAGE`.)
//!
//! A copy of the file taken inside a transaction is what a kill at that moment leaves. Catches: a change that reaches the
//! file before its old bytes, old bytes that are lost where they exceed the ring, a mode that cannot open what the other
//! left.

use std::fs;
use std::path::Path;

use pobj::media::{Domain, ImageMode};
use pobj::{Error, Options, PVec, Persistent, Pool};
use tests::support::{Chain, directory, names_in, quick_directory, small};

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    round: u64,
    words: PVec<'p, u64>,
    more: PVec<'p, u64>,
}

const WORDS: u64 = 15_000;

fn options(image: ImageMode) -> Options<Root<'static>> {
    small(64 << 20).force_domain(Domain::CacheLine).image(image)
}

fn check(pool: &Pool<Root<'static>>, round: u64) {
    let root = pool.read();
    assert_eq!((root.round, root.words.len() as u64), (round, WORDS));
    assert!(root.words.iter().enumerate().all(|(at, word)| *word == at as u64 * (round + 1)));
    assert!(root.more.iter().all(|word| *word == round));
}

fn create(path: &Path) -> Pool<Root<'static>> {
    let pool = options(ImageMode::InPlace).create(path).unwrap();
    pool.write(|root, tx| root.words.extend(tx, 0..WORDS)).unwrap();
    pool
}

/// A copy of the file from the middle of a transaction of 20 rings is rolled back, whichever way it is opened.
#[test]
fn what_a_kill_leaves_is_rolled_back() {
    for each in [true, false] {
        let directory = quick_directory();
        let (path, copy) = (directory.path().join("a.pobj"), directory.path().join("copy.pobj"));
        let pool = create(&path);
        for round in 1..=3 {
            pool.write(|root, tx| {
                root.round = round;
                if each {
                    for at in 0..WORDS as usize {
                        if let Some(word) = root.words.get_mut(at, tx) {
                            *word = at as u64 * (round + 1);
                        }
                    }
                } else {
                    root.words
                        .iter_mut(tx)
                        .enumerate()
                        .for_each(|(at, word)| *word = at as u64 * (round + 1));
                }
                // Growth while old words lie behind the pool.
                root.more.clear();
                root.more.extend(tx, (0..100_000).map(|_| round))?;
                fs::copy(&path, copy.with_extension(format!("{round}"))).unwrap();
                Ok(())
            })
            .unwrap();
            check(&pool, round);
            let refused = pool.write(|root, tx| {
                root.round = 99;
                root.words.iter_mut(tx).for_each(|word| *word = 99);
                Err::<(), _>(Error::abort("no"))
            });
            assert!(matches!(refused, Err(Error::Aborted(_))));
            check(&pool, round);
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), pool.stats().len, "the extents are cut off");
        pool.close().unwrap();
        for image in [ImageMode::InPlace, ImageMode::Private] {
            for round in 1..=3 {
                let crashed = directory.path().join("crashed.pobj");
                fs::copy(copy.with_extension(format!("{round}")), &crashed).unwrap();
                let read_only = Pool::<Root>::open_read_only(&crashed).unwrap();
                assert_eq!(read_only.read().round, round - 1);
                assert!(
                    read_only.read().words.iter().enumerate().all(|(at, word)| *word == at as u64 * round)
                );
                drop(read_only);
                let pool = options(image).open(&crashed).unwrap();
                check(&pool, round - 1);
                pool.write(|root, tx| root.more.push(tx, round - 1)).unwrap();
                pool.close().unwrap();
                let pool = Pool::<Root>::options().force_domain(Domain::Page).open(&crashed).unwrap();
                check(&pool, round - 1);
                assert_eq!(fs::metadata(&crashed).unwrap().len(), pool.stats().len);
            }
        }
    }
}

/// So many small blocks that what a commit says of the allocator's words is too long for the ring: it lies behind the pool
/// until home has it. Catches a commit that has returned and is lost with it, and a file that keeps it.
#[test]
fn a_commit_of_very_many_blocks_is_whole() {
    let directory = quick_directory();
    let (path, copy) = (directory.path().join("a.pobj"), directory.path().join("copy.pobj"));
    let options = |image| small::<Chain>(64 << 20).force_domain(Domain::CacheLine).image(image);
    let pool = options(ImageMode::InPlace).create(&path).unwrap();
    let count = 68_000;
    pool.write(|chain, tx| (0..count).try_for_each(|value| chain.push(tx, value))).unwrap();
    assert_eq!(pool.stats().journal.spills, 1);
    // What a kill leaves now.
    fs::copy(&path, &copy).unwrap();
    // The next one needs the room in the ring, sooner or later.
    for value in count..count + 600 {
        pool.write(|chain, tx| chain.push(tx, value)).unwrap();
    }
    assert!(pool.stats().journal.checkpoints > 0);
    assert_eq!(fs::metadata(&path).unwrap().len(), pool.stats().len, "home has it, so it is cut off");
    pool.close().unwrap();
    for (path, count) in [(&copy, count), (&path, count + 600)] {
        for image in [ImageMode::InPlace, ImageMode::Private] {
            let opened = directory.path().join("opened.pobj");
            fs::copy(path, &opened).unwrap();
            let pool = options(image).open(&opened).unwrap();
            assert!(pool.read().values().into_iter().rev().eq(0..count));
            assert_eq!(pool.stats().heap.live_blocks, count + 1);
            pool.write(|chain, _| {
                *chain = Chain::default();
                Ok(())
            })
            .unwrap();
            assert_eq!(pool.stats().heap.live_blocks, 1);
            pool.close().unwrap();
        }
    }
}

/// The end of a transaction cuts the old words behind the pool off, and nothing else.
#[test]
fn what_was_grown_ahead_stays_when_a_large_transaction_ends() {
    for commits in [true, false] {
        let directory = quick_directory();
        let path = directory.path().join("a.pobj");
        let pool = create(&path);
        pool.grow_ahead().unwrap();
        let ready = fs::metadata(&path).unwrap().len();
        assert!(ready > pool.stats().len);
        let ended = pool.write(|root, tx| {
            root.round = 1;
            root.words.iter_mut(tx).for_each(|word| *word *= 2);
            if commits { Ok(()) } else { Err(Error::abort("no")) }
        });
        assert_eq!(ended.is_ok(), commits);
        assert_eq!(fs::metadata(&path).unwrap().len(), ready);
        while pool.stats().len < ready {
            pool.write(|root, tx| root.more.extend(tx, [u64::from(commits); 500])).unwrap();
            assert!(fs::metadata(&path).unwrap().len() >= pool.stats().len);
        }
        pool.close().unwrap();
        check(&options(ImageMode::InPlace).open(&path).unwrap(), u64::from(commits));
    }
}

/// A transaction that rolled back leaves old words behind that say what is there: recovery may put them back.
#[test]
fn aborts_before_a_kill_are_harmless() {
    let directory = quick_directory();
    let (path, copy) = (directory.path().join("a.pobj"), directory.path().join("copy.pobj"));
    let pool = create(&path);
    let abort = |value: u64| {
        let refused = pool.write(|root, tx| {
            root.words.iter_mut(tx).for_each(|word| *word = value);
            root.more.extend(tx, 0..1000)?;
            Err::<(), _>(Error::abort("no"))
        });
        assert!(refused.is_err());
    };
    abort(7);
    abort(8);
    fs::copy(&path, &copy).unwrap();
    pool.write(|root, tx| {
        root.round = 1;
        root.words.iter_mut(tx).for_each(|word| *word *= 2);
        Ok(())
    })
    .unwrap();
    abort(9);
    let committed = directory.path().join("committed.pobj");
    fs::copy(&path, &committed).unwrap();
    pool.close().unwrap();
    check(&options(ImageMode::InPlace).open(&copy).unwrap(), 0);
    check(&options(ImageMode::InPlace).open(&committed).unwrap(), 1);
}

/// Where a store is not durable by itself, in place is refused, and nothing is left or touched.
#[test]
fn in_place_needs_persistent_memory() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    let in_place = small::<Root>(64 << 20).force_domain(Domain::Page).image(ImageMode::InPlace);
    let refused = in_place.create(&path).unwrap_err();
    assert!(
        matches!(&refused, Error::Domain { found: Domain::Page, needed: Domain::CacheLine, .. }),
        "{refused:?}"
    );
    assert!(names_in(directory.path()).is_empty());
    drop(small::<Root>(64 << 20).force_domain(Domain::Page).image(ImageMode::Private).create(&path).unwrap());
    let before = fs::read(&path).unwrap();
    assert!(matches!(in_place.open(&path), Err(Error::Domain { .. })));
    assert!(fs::read(&path).unwrap() == before);
    // What is required is checked before anything is made.
    let required = small::<Root>(64 << 20).force_domain(Domain::Page).require_domain(Domain::CacheLine);
    assert!(matches!(required.create(directory.path().join("b.pobj")), Err(Error::Domain { .. })));
    assert_eq!(names_in(directory.path()).len(), 1);
}

/// A tree of small transactions over many laps of the ring, reopened in the other mode now and then.
#[test]
fn the_modes_take_turns() {
    let directory = quick_directory();
    let path = directory.path().join("a.pobj");
    create(&path).close().unwrap();
    for turn in 0..8u64 {
        let image = if turn % 2 == 0 { ImageMode::Private } else { ImageMode::InPlace };
        let pool = options(image).open(&path).unwrap();
        for _ in 0..1500 {
            pool.write(|root, tx| {
                root.round += 1;
                root.more.push(tx, root.round)
            })
            .unwrap();
        }
        assert!(pool.stats().journal.checkpoints > 0, "laps without a checkpoint");
        if turn % 3 != 0 {
            pool.close().unwrap();
        }
    }
    let pool = options(ImageMode::InPlace).open(&path).unwrap();
    let root = pool.read();
    assert!(root.more.iter().copied().eq(1..=12_000));
    assert_eq!((root.round, pool.last_committed()), (12_000, 12_002));
}
