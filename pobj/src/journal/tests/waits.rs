//! Who waits for whom, and what a failing medium leaves. Would catch a committer that returns before its record is
//! durable, one that waits for ever where a write has failed, records that a kill loses although a later one was
//! acknowledged, a checkpoint that is made twice or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::record::padded_len;
use super::super::{Background, UndoLog};
use super::*;
use crate::ground::error::Error;
use crate::media::{MediaCounts, counts_here};

/// The ways to use a journal.
const WAYS: [(Domain, ImageMode); 3] = [
    (Domain::Page, ImageMode::Private),
    (Domain::CacheLine, ImageMode::Private),
    (Domain::CacheLine, ImageMode::InPlace),
];

fn broken() -> Error {
    Error::io("ask a medium that fails", std::io::Error::from_raw_os_error(5))
}

fn is_broken(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(5))
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < patience(), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// One commit, then a checkpoint that is held up at the sync of home, before the head moves, and another one that waits for
/// it; how both end when that sync ends so.
fn two_checkpoints(domain: Domain, sync: Result<()>) -> (Scene, [Result<()>; 2]) {
    let (hook, reached, end) = held("sync", 0);
    let scene = scene(domain, ImageMode::Private, RING_LEN, hook);
    let before = counts_here();
    let txid = scene.append(1, Durability::Immediate);
    scene.journal.wait_durable(txid, before).unwrap();
    let ended = thread::scope(|scope| {
        let first = scope.spawn(|| scene.journal.checkpoint());
        reached.recv().unwrap();
        let second = scope.spawn(|| scene.journal.checkpoint());
        scene.until_somebody_waits();
        assert!(!second.is_finished() && scene.journal.home_txid() == 0);
        assert!(scene.journal.pace.runs());
        end.send(sync).unwrap();
        [first, second].map(|checkpoint| checkpoint.join().unwrap())
    });
    assert!(!scene.journal.pace.runs());
    (scene, ended)
}

#[test]
fn a_second_checkpoint_waits_for_the_first() {
    for domain in [Domain::Page, Domain::CacheLine] {
        let (scene, ended) = two_checkpoints(domain, Ok(()));
        ended.into_iter().for_each(|checkpoint| checkpoint.unwrap());
        assert_eq!((scene.journal.home_txid(), scene.journal.counts().checkpoints), (1, 1), "{domain}");
    }
}

/// The same, and the first one fails: nobody may believe that home is up to date.
#[test]
fn a_failed_checkpoint_fails_whoever_waits_for_it() {
    for domain in [Domain::Page, Domain::CacheLine] {
        let (scene, [first, second]) = two_checkpoints(domain, Err(broken()));
        assert!(is_broken(&first.unwrap_err()));
        assert!(matches!(second, Err(Error::Poisoned)));
        assert!(matches!(scene.journal.close(), Err(Error::Poisoned)));
        assert_eq!(scene.recover(scene.memory.bytes()), (1, 1), "{domain}");
    }
}

#[test]
fn a_full_ring_waits_for_the_checkpoint_that_runs() {
    let (hook, reached, end) = held("sync", 0);
    let scene = scene(Domain::Page, ImageMode::Private, RING_LEN, hook);
    let last = scene.append(1, Durability::Immediate);
    scene.journal.wait_durable(last, counts_here()).unwrap();
    let large = body(&scene, 3000, 7);
    thread::scope(|scope| {
        let checkpoint = scope.spawn(|| scene.journal.checkpoint());
        reached.recv().unwrap();
        // Two have room, the third has not.
        let append = || scene.journal.append(&mut scene.journal.appender(), &large, Durability::Immediate);
        assert_eq!((append().unwrap(), append().unwrap()), (2, 3));
        let third = scope.spawn(append);
        scene.until_somebody_waits();
        assert!(!third.is_finished() && scene.journal.last_txid() == 3);
        end.send(Ok(())).unwrap();
        assert_eq!(third.join().unwrap().unwrap(), 4);
        checkpoint.join().unwrap().unwrap();
    });
    scene.journal.sync().unwrap();
    let (replayed, word) = scene.recover(scene.memory.bytes());
    assert_eq!((scene.journal.home_txid() + replayed, word), (4, 7));
}

#[test]
fn committers_share_a_durable_write_or_wait_for_it() {
    let (hook, reached, end) = held("write_durable", 0);
    let scene = scene(Domain::Page, ImageMode::Private, RING_LEN, hook);
    let commit = |txid| scene.journal.wait_durable(txid, counts_here());
    let first = scene.append(1, Durability::Immediate);
    thread::scope(|scope| {
        let one = scope.spawn(move || commit(first));
        reached.recv().unwrap();
        // Ordered after that write was begun: it does not carry these.
        let (second, third) =
            (scene.append(2, Durability::Immediate), scene.append(3, Durability::Immediate));
        let two = scope.spawn(move || commit(second));
        scene.until_somebody_waits();
        let three = scope.spawn(move || commit(third));
        until("both wait", || scene.journal.lock().waiting == 2);
        let checkpoint = scope.spawn(|| scene.journal.checkpoint());
        until("the checkpoint waits too", || scene.journal.lock().waiting == 3);
        assert!(!one.is_finished() && !two.is_finished() && !three.is_finished());
        assert_eq!(scene.recover(scene.memory.bytes()), (0, 0), "nothing is durable yet");
        end.send(Ok(())).unwrap();
        [one, two, three].into_iter().for_each(|commit| commit.join().unwrap().unwrap());
        checkpoint.join().unwrap().unwrap();
    });
    let counts = scene.journal.counts();
    assert_eq!((counts.durable_writes, counts.checkpoints), (2, 1), "the second write carries two");
    assert_eq!(scene.recover(scene.memory.bytes()), (0, 3));
}

/// The two whom the last write released are expected back for a moment; one comes alone, and goes on alone.
#[test]
fn a_committer_waits_for_the_others_a_moment_only() {
    let (hook, reached, end) = held("write_durable", 0);
    let scene = scene(Domain::Page, ImageMode::Private, RING_LEN, hook);
    let commit = |txid| scene.journal.wait_durable(txid, counts_here());
    let first = scene.append(1, Durability::Immediate);
    thread::scope(|scope| {
        let one = scope.spawn(move || commit(first));
        reached.recv().unwrap();
        let two = scope.spawn(move || commit(first));
        scene.until_somebody_waits();
        thread::sleep(Duration::from_millis(20));
        end.send(Ok(())).unwrap();
        [one, two].into_iter().for_each(|commit| commit.join().unwrap().unwrap());
    });
    let begun = Instant::now();
    commit(scene.append(2, Durability::Immediate)).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(10), "half of what the last write took");
    // Nobody else is expected any more.
    commit(scene.append(3, Durability::Immediate)).unwrap();
    assert_eq!(scene.recover(scene.memory.bytes()), (3, 3));
}

#[test]
fn a_failed_write_fails_everyone_who_waits_for_it() {
    let (hook, reached, end) = held("write_durable", 0);
    let scene = scene(Domain::Page, ImageMode::Private, RING_LEN, hook);
    let commit = |txid| scene.journal.wait_durable(txid, counts_here());
    let txids = [scene.append(1, Durability::Immediate), scene.append(2, Durability::Immediate)];
    thread::scope(|scope| {
        let first = scope.spawn(move || commit(txids[0]));
        reached.recv().unwrap();
        let second = scope.spawn(move || commit(txids[1]));
        scene.until_somebody_waits();
        end.send(Err(broken())).unwrap();
        assert!(is_broken(&first.join().unwrap().unwrap_err()));
        assert!(matches!(second.join().unwrap(), Err(Error::Poisoned)));
    });
    let refused =
        scene.journal.append(&mut scene.journal.appender(), &body(&scene, 1, 3), Durability::Eventual);
    assert!(matches!(refused, Err(Error::Poisoned)));
    assert!(matches!(scene.journal.sync(), Err(Error::Poisoned)));
}

/// Catches an `Eventual` commit that has returned and is lost with a record before it that nobody had written.
#[test]
fn an_eventual_record_takes_those_before_it_into_the_file() {
    let scene = scene(Domain::Page, ImageMode::Private, RING_LEN, quiet());
    let txids = [1, 2].map(|value| scene.append(value, Durability::Immediate));
    assert_eq!(scene.recover(scene.memory.bytes()).0, 0, "they wait for their durable write");
    scene.append(3, Durability::Eventual);
    assert_eq!(scene.recover(scene.memory.bytes()), (3, 3));
    scene.append(4, Durability::Eventual);
    assert_eq!(scene.recover(scene.memory.bytes()), (4, 4));
    // All are in the file: a sync is all that is missing.
    scene.journal.wait_durable(txids[1], counts_here()).unwrap();
    let counts = scene.journal.counts();
    assert_eq!((counts.durable_writes, counts.durable_bytes), (1, 0));
    assert_eq!(scene.journal.lock().durable_txid, 4);
}

#[test]
fn to_close_twice_is_to_close() {
    for (domain, image) in WAYS {
        let scene = scene(domain, image, RING_LEN, quiet());
        scene.journal.close().unwrap();
        let closed = scene.memory.bytes();
        assert_eq!(RingState::load(&scene.memory, POOL, RING_LEN).unwrap().clean, 1);
        let before = counts_here();
        scene.journal.close().unwrap();
        assert_eq!(counts_here() - before, MediaCounts::ZERO, "{domain}, {image:?}");
        assert!(scene.memory.bytes() == closed);
    }
}

/// Catches `Eventual` transactions that nobody makes durable, and a ring that nobody empties.
#[test]
fn the_background_syncs_and_checkpoints() {
    for domain in [Domain::Page, Domain::CacheLine] {
        let scene = scene(domain, ImageMode::Private, RING_LEN, quiet());
        let background = Background::start(scene.journal.clone()).unwrap();
        let mut end = scene.journal.appender();
        let mut commit = |value, count| {
            let txid =
                scene.journal.append(&mut end, &body(&scene, count, value), Durability::Eventual).unwrap();
            if scene.journal.waits(Durability::Eventual) {
                scene.journal.wait_durable(txid, counts_here()).unwrap();
            }
        };
        commit(1, 1);
        until("nobody makes it durable", || {
            !domain.is_memory() && scene.journal.lock().durable_txid == 1 || domain.is_memory()
        });
        assert_eq!(scene.journal.counts().checkpoints, 0, "{domain}: so soon");
        (2..8).for_each(|value| commit(value, 600));
        assert_eq!(scene.journal.last_txid(), 7);
        (8..14).for_each(|value| commit(value, 600));
        until("nobody makes a checkpoint", || scene.journal.counts().checkpoints > 0);
        drop(background);
        assert!(scene.journal.home_txid() >= 6, "{domain}: {}", scene.journal.home_txid());
        let (replayed, word) = scene.recover(scene.memory.bytes());
        assert_eq!((scene.journal.home_txid() + replayed, word), (13, 13), "{domain}");
    }
}

/// Catches a background thread that tries again what has failed, and committers that are not told.
/// Where there is nothing to do, nothing is done, and nobody wakes to see that.
#[test]
fn the_background_sleeps_while_nothing_is_due() {
    for (domain, image) in WAYS {
        let scene = scene(domain, image, RING_LEN, quiet());
        let background = Background::start(Arc::clone(&scene.journal)).unwrap();
        if image == ImageMode::Private {
            let before = counts_here();
            let txid = scene.append(1, Durability::Immediate);
            scene.journal.wait_durable(txid, before).unwrap();
        }
        until("the background thread is at work", || scene.journal.lock().background_idle);
        thread::sleep(Duration::from_millis(30));
        assert!(scene.journal.lock().background_idle, "{domain} {image:?}");
        assert_eq!(scene.journal.counts().checkpoints, 0, "{domain} {image:?}");
        drop(background);
    }
}

#[test]
fn the_background_ends_where_the_medium_fails() {
    let fails = Arc::new(AtomicU64::new(0));
    let hook = {
        let fails = fails.clone();
        move |what: &'static str, _: u64| match what {
            "sync" | "write_durable" => {
                fails.fetch_add(1, Ordering::Relaxed);
                Err(broken())
            }
            _ => Ok(()),
        }
    };
    let scene = scene(Domain::Page, ImageMode::Private, RING_LEN, Box::new(hook));
    let background = Background::start(scene.journal.clone()).unwrap();
    scene.append(1, Durability::Eventual);
    until("nobody tries", || scene.journal.check_poison().is_err());
    assert!(matches!(scene.journal.wait_durable(1, counts_here()), Err(Error::Poisoned)));
    thread::sleep(Duration::from_millis(50));
    drop(background);
    assert_eq!(fails.load(Ordering::Relaxed), 1, "one failure, and no second try");
}

/// A body outside the ring that could not be written is cut off; where not even that is possible, the journal has failed.
#[test]
fn what_is_left_of_a_failed_body_is_cut_off() {
    for cut_fails in [false, true] {
        let hook = move |what: &'static str, _: u64| match what {
            "write" => Err(broken()),
            "truncate" if cut_fails => Err(broken()),
            _ => Ok(()),
        };
        let scene = scene(Domain::Page, ImageMode::Private, RING_LEN, Box::new(hook));
        let large = body(&scene, RING_LEN as usize / 8, 1);
        let refused = scene.journal.append(&mut scene.journal.appender(), &large, Durability::Immediate);
        assert!(is_broken(&refused.unwrap_err()));
        assert_eq!(scene.journal.check_poison().is_err(), cut_fails);
        assert_eq!(scene.memory.len().unwrap() == scene.geometry.max_len, !cut_fails);
        if !cut_fails {
            let txid = scene.append(5, Durability::Immediate);
            scene.journal.wait_durable(txid, counts_here()).unwrap();
            assert_eq!(scene.recover(scene.memory.bytes()), (1, 5));
        }
    }
}

/// Fences come in any order; who returns has all before it durable.
#[test]
fn a_committer_waits_for_the_fence_before_its_own() {
    let scene = scene(Domain::CacheLine, ImageMode::Private, RING_LEN, quiet());
    let mut end = scene.journal.appender();
    let mut append =
        |value| scene.journal.append(&mut end, &body(&scene, 1, value), Durability::Immediate).unwrap();
    let (first, second, third) = (append(1), append(2), append(3));
    let fence = |txid| scene.journal.fence_record(txid, MediaCounts::FENCE);
    thread::scope(|scope| {
        let later = scope.spawn(move || fence(second));
        thread::sleep(Duration::from_millis(10));
        assert!(!later.is_finished() && scene.journal.foreground.fenced() == 0);
        fence(first).unwrap();
        later.join().unwrap().unwrap();
        assert_eq!(scene.journal.foreground.fenced(), 2);
    });
    // The one before has failed: the wait ends.
    let fourth = append(4);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || fence(fourth));
        thread::sleep(Duration::from_millis(10));
        assert!(!waiting.is_finished() && third == 3);
        scene.journal.poison();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Poisoned)));
    });
    assert_eq!(scene.journal.foreground.fenced(), 2);
}

/// A place in the ring that is never filled would hold up everybody behind it.
#[test]
fn a_place_is_filled_or_the_journal_has_failed() {
    for fills in [true, false] {
        let scene = scene(Domain::CacheLine, ImageMode::Private, RING_LEN, quiet());
        let mut end = scene.journal.appender();
        let body = body(&scene, 3, 6);
        let reserved = scene.journal.reserve(&mut end, &body, Durability::Immediate).unwrap();
        let txid = reserved.txid();
        assert_eq!(scene.recover(scene.memory.bytes()).0, 0);
        if fills {
            reserved.fill(&mut Vec::new(), &body).unwrap();
            scene.journal.wait_durable(txid, counts_here()).unwrap();
            assert_eq!(scene.recover(scene.memory.bytes()), (1, 6));
            end.publish();
            assert_eq!(scene.journal.last_txid(), 1);
        } else {
            drop(reserved);
            assert!(matches!(
                scene.journal.reserve(&mut end, &body, Durability::Immediate),
                Err(Error::Poisoned)
            ));
        }
    }
}

/// Records of more than a mebibyte in a ring that takes them, and one outside it, one after another.
#[test]
fn long_records_in_a_long_ring() {
    let ring_len = 4 << 20;
    let scene = scene(Domain::CacheLine, ImageMode::Private, ring_len, quiet());
    let mut end = scene.journal.appender();
    // As many words as the home of this small pool has, twice over.
    let count = (scene.geometry.max_len - scene.geometry.heap_start) as usize / 8;
    let long = |value| [body(&scene, count, value), body(&scene, count, value + 1)].concat();
    assert!(padded_len(long(0).len()) > 1 << 20);
    for value in [10, 20, 30, 40] {
        let txid = scene.journal.append(&mut end, &long(value), Durability::Immediate).unwrap();
        scene.journal.wait_durable(txid, counts_here()).unwrap();
        let (replayed, word) = scene.recover(scene.memory.bytes());
        assert_eq!((scene.journal.home_txid() + replayed, word), (value / 10, value + 1));
    }
    assert!(scene.journal.counts().checkpoints > 0, "the ring is too short for all of them");
}

/// In place a commit record that is too long for the ring's part names a body behind the pool, until home has it; and old
/// words that are too long for it go into extents, the next into the same one while it has room.
#[test]
fn what_is_too_long_in_place_lies_behind_the_pool() {
    let scene = scene(Domain::CacheLine, ImageMode::InPlace, RING_LEN, quiet());
    let (journal, start, kept) = (&scene.journal, scene.geometry.heap_start, scene.geometry.max_len);
    let part = RING_LEN as usize / 4 / 8;
    let mut log = UndoLog::default();
    let lens = |len: u64| (scene.memory.len().unwrap() - kept) / len;
    // Six sixths of the ring's part stay in it no more; an extent is as long as the ring at least.
    for number in 0..9 {
        journal.log_undo(&mut log, start + number * 8, &vec![number; part / 6]).unwrap();
    }
    assert_eq!(lens(RING_LEN), 1, "one extent");
    // A kill now: the old words are put back, the first ones last.
    assert_eq!(scene.recover(scene.memory.bytes()), (0, 0));
    let long = body(&scene, part, 0x77);
    let txid = journal.commit_undo(&long, kept).unwrap();
    journal.end_undo(&mut log, kept);
    journal.wait_durable(txid, counts_here()).unwrap();
    assert!(scene.memory.len().unwrap() > kept, "the body is needed");
    assert_eq!(scene.recover(scene.memory.bytes()), (1, 0x77));
    // Another transaction begins while the record's words are on their way.
    assert_eq!(journal.last_txid(), 1);
    scene.memory.write(start, &[0x78; 8]).unwrap();
    journal.applied([(start, 8)].into_iter());
    journal.checkpoint().unwrap();
    assert_eq!(scene.memory.len().unwrap(), kept, "home has it");
    assert_eq!(scene.recover(scene.memory.bytes()), (0, 0x7878_7878_7878_7878));
}

/// In place the head stays behind what a kill would need: a commit record whose words are not stored yet, and where the
/// running transaction's old words begin, in the ring or outside.
#[test]
fn a_checkpoint_in_place_leaves_what_recovery_needs() {
    let long = RING_LEN as usize / 4 / 8;
    for old in [1, long] {
        let scene = scene(Domain::CacheLine, ImageMode::InPlace, RING_LEN, quiet());
        let (journal, start, kept) = (&scene.journal, scene.geometry.heap_start, scene.geometry.max_len);
        let txid = journal.commit_undo(&body(&scene, 1, 0x11), kept).unwrap();
        journal.checkpoint().unwrap();
        assert_eq!(scene.recover(scene.memory.bytes()), (1, 0x11), "the record is still there");
        scene.memory.write(start, &[0x11; 8]).unwrap();
        journal.applied([(start, 8)].into_iter());
        journal.wait_durable(txid, counts_here()).unwrap();
        let mut log = UndoLog::default();
        journal.log_undo(&mut log, start, &vec![0x22; old]).unwrap();
        scene.memory.write(start, &[0x33; 8]).unwrap();
        journal.checkpoint().unwrap();
        assert_eq!(scene.recover(scene.memory.bytes()), (0, 0x22), "{old} old words are still there");
        journal.end_undo(&mut log, kept);
    }
}

/// In place as elsewhere: a commit whose fence has failed is not reported as made.
#[test]
fn a_commit_in_place_whose_fence_fails_says_so() {
    let fences = AtomicU64::new(0);
    let hook = move |what: &'static str, _: u64| match what {
        "fence" if fences.fetch_add(1, Ordering::Relaxed) == 1 => Err(broken()),
        _ => Ok(()),
    };
    let scene = scene(Domain::CacheLine, ImageMode::InPlace, RING_LEN, Box::new(hook));
    let txid = scene.journal.commit_undo(&body(&scene, 1, 1), scene.geometry.max_len).unwrap();
    assert!(scene.journal.wait_durable(txid, counts_here()).is_err_and(|error| is_broken(&error)));
    assert!(matches!(scene.journal.check_poison(), Err(Error::Poisoned)));
}

/// What lies behind the pool and could not be given back is not zero: nobody may take the space before it is.
#[test]
fn what_could_not_be_cut_is_before_anybody_needs_the_space() {
    for (domain, image) in WAYS {
        let cuts = AtomicU64::new(0);
        let hook = move |what: &'static str, _: u64| match what {
            "truncate" if cuts.fetch_add(1, Ordering::Relaxed) < 2 => Err(broken()),
            _ => Ok(()),
        };
        let scene = scene(domain, image, RING_LEN, Box::new(hook));
        let (journal, kept) = (&scene.journal, scene.geometry.max_len);
        let long = body(&scene, RING_LEN as usize / 8, 7);
        if image == ImageMode::InPlace {
            journal.commit_undo(&long, kept).unwrap();
            journal.applied(std::iter::empty());
        } else {
            let mut end = journal.appender();
            let txid = journal.append(&mut end, &long, Durability::Immediate).unwrap();
            end.publish();
            journal.wait_durable(txid, counts_here()).unwrap();
        }
        assert!(journal.alone_with_length().is_none(), "its body is needed");
        journal.checkpoint().unwrap();
        assert!(scene.memory.len().unwrap() > kept && journal.alone_with_length().is_none());
        assert!(journal.settle_spills().is_err_and(|error| is_broken(&error)));
        assert!(scene.memory.len().unwrap() > kept && journal.alone_with_length().is_none());
        journal.settle_spills().unwrap();
        assert!(scene.memory.len().unwrap() == kept && journal.alone_with_length().is_some());
    }
}

/// Catches a checkpoint that reads the ring beyond its end, or not from its beginning, and one that keeps bodies outside it.
#[test]
fn the_ring_is_used_lap_after_lap() {
    for domain in [Domain::Page, Domain::CacheLine] {
        let scene = scene(domain, ImageMode::Private, RING_LEN, quiet());
        let mut end = scene.journal.appender();
        let mut commit = |words: usize, value: u64| {
            let before = counts_here();
            let body = body(&scene, words, value);
            let txid = scene.journal.append(&mut end, &body, Durability::Immediate).unwrap();
            scene.journal.wait_durable(txid, before).unwrap();
        };
        // Records of several lengths, so that laps end differently.
        let commits = 4 * RING_LEN / 300;
        (1..=commits).for_each(|number| commit(7 + number as usize % 50, number));
        assert!(scene.journal.counts().checkpoints >= 3);
        assert_eq!(scene.recover(scene.memory.bytes()).1, commits, "{domain}");
        scene.journal.checkpoint().unwrap();
        // One that lies outside the ring, and one behind it that home does not have yet.
        commit(RING_LEN as usize / 16, commits + 1);
        commit(1, commits + 2);
        assert_eq!(scene.journal.lock().spills.len(), 1);
        assert_eq!(scene.recover(scene.memory.bytes()).1, commits + 2, "{domain}");
        scene.journal.checkpoint().unwrap();
        assert!(scene.journal.lock().spills.is_empty(), "{domain}");
        assert_eq!(scene.recover(scene.memory.bytes()), (0, commits + 2), "{domain}");
    }
}

/// Catches a thread that outlives its pool.
#[test]
fn the_background_ends_with_its_pool() {
    for (domain, image) in WAYS {
        let scene = scene(domain, image, RING_LEN, quiet());
        drop(Background::start(Arc::clone(&scene.journal)).unwrap());
        assert_eq!(Arc::strong_count(&scene.journal), 1);
    }
}
