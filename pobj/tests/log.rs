//! `pobj::log` as its users meet it: on files, on (forced) persistent memory, and in memory under a model.
//!
//! Catches: an append that is cut or half there, bytes that are not what was appended (zero bytes, empty entries, entries
//! longer than what is read at once), pieces of a walk that are too long or get lost between entries, an early stop that
//! is not reported, a rewind that leaves something behind, appends of several threads that mix, a follower that sees half of
//! an append or loses its place, a damaged file that panics or gives bytes that nobody appended (B37, B41, B50, A56).

use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pobj::log::{Log, Options, Position};
use pobj::media::{Domain, Media, RamMedia};
use pobj::{Durability, Error};
use proptest::prelude::*;

const DOMAINS: [Domain; 3] = [Domain::Page, Domain::CacheLine, Domain::Byte];
const KIB: u64 = 1024;

fn ram(domain: Domain) -> RamMedia {
    RamMedia::new(4 << 20).unwrap().with_domain(domain)
}

fn create_on(media: &RamMedia, capacity: u64) -> Log {
    Options::new().create_on(Arc::new(media.clone()), capacity).unwrap()
}

fn open_on(media: &RamMedia) -> pobj::Result<Log> {
    Options::new().open_on(Arc::new(media.clone()))
}

fn contents(log: &Log) -> Vec<Vec<u8>> {
    log.entries().map(|entry| entry.unwrap().1).collect()
}

/// Bytes that differ from entry to entry and within each.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (seed.wrapping_mul(0x9E37_79B9).wrapping_add(at * 131) >> 3) as u8).collect()
}

/// Runs on a log in memory, and on files where there are files.
fn everywhere(capacity: u64, test: impl Fn(Log, &dyn Fn() -> Log)) {
    for domain in DOMAINS {
        let media = ram(domain);
        test(create_on(&media, capacity), &|| open_on(&media).unwrap());
        if cfg!(miri) {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.log");
        let options = Options::new().force_domain(domain);
        test(options.create(&path, capacity).unwrap(), &|| options.open(&path).unwrap());
    }
}

#[test]
fn entries_come_back_byte_for_byte() {
    everywhere(2 << 20, |log, open| {
        let long = if cfg!(miri) { 9000 } else { 700_000 };
        let entries: Vec<Vec<u8>> = [0, 1, 7, 8, 47, 48, 49, 64, 240, 241, 255, 256, 257, 4096, long, 0, 3]
            .iter()
            .enumerate()
            .map(|(at, len)| if at % 3 == 0 { vec![0; *len] } else { bytes(at as u64, *len) })
            .collect();
        let positions: Vec<Position> = entries.iter().map(|entry| log.append(entry).unwrap()).collect();
        assert!(positions.is_sorted() && positions[0].offset() == 0);
        assert_eq!(contents(&log), entries);
        let sum = entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
        assert_eq!((log.count(), log.tell(), log.is_empty()), (17, sum, false));
        let checked = log.check().unwrap();
        assert_eq!((checked.entries, checked.bytes), (17, sum));
        for (at, position) in positions.iter().enumerate() {
            let found: Vec<_> = log.entries_from(*position).unwrap().map(Result::unwrap).collect();
            assert_eq!(found.len(), 17 - at);
            assert_eq!((found[0].0, &found[0].1), (*position, &entries[at]));
        }
        assert_eq!(log.entries_from(log.end()).unwrap().count(), 0);
        log.close().unwrap();
        let log = open();
        assert_eq!(contents(&log), entries);
        assert_eq!((log.count(), log.tell()), (17, sum));
        log.append(b"more").unwrap();
        drop(log);
        assert_eq!(contents(&open()).last().unwrap(), b"more");
    });
}

#[test]
fn vectored_and_several_at_once() {
    everywhere(64 * KIB, |log, open| {
        let pieces = [b"one ".as_slice(), b"", b"entry", &[0; 300]];
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        log.append_vectored(&slices).unwrap();
        log.append_vectored(&[]).unwrap();
        let first = log.append_all(["a", "", "ccc"]).unwrap();
        let nothing = log.append_all(Vec::<Vec<u8>>::new()).unwrap();
        assert_eq!(nothing, log.end());
        let expected = vec![pieces.concat(), vec![], b"a".to_vec(), vec![], b"ccc".to_vec()];
        assert_eq!(contents(&log), expected);
        let found = log.entries_from(first).unwrap().next().unwrap().unwrap();
        assert_eq!(found, (first, b"a".to_vec()));
        drop(log);
        assert_eq!(contents(&open()), expected);
    });
}

#[test]
fn a_full_log_is_an_error_and_changes_nothing() {
    everywhere(8 * KIB, |log, open| {
        let mut expected = Vec::new();
        let error = loop {
            let entry = bytes(expected.len() as u64, 300);
            match log.append(&entry) {
                Ok(_) => expected.push(entry),
                Err(error) => break error,
            }
        };
        let Error::LogFull { needed, available } = error else { panic!("{error}") };
        assert!(needed > available && available < 400 && expected.len() > 20, "{needed} {available}");
        assert_eq!(contents(&log), expected);
        // Several entries: all or none of them.
        assert!(matches!(log.append_all([[0; 8].as_slice(), &[0; 400]]), Err(Error::LogFull { .. })));
        assert_eq!(log.count() as usize, expected.len());
        // What is said to remain fits, one byte more does not.
        let remaining = log.remaining();
        assert!(matches!(log.append(&vec![1; remaining as usize + 1]), Err(Error::LogFull { .. })));
        log.append(&vec![1; remaining as usize]).unwrap();
        expected.push(vec![1; remaining as usize]);
        assert_eq!(log.remaining(), 0);
        assert!(matches!(log.append(b""), Err(Error::LogFull { available: 0, .. })));
        drop(log);
        let log = open();
        assert_eq!(contents(&log), expected);
        log.rewind().unwrap();
        log.append(b"room again").unwrap();
        drop(log);
        assert_eq!(contents(&open()), [b"room again"]);
    });
}

#[test]
fn walks_give_pieces_of_exactly_the_length() {
    everywhere(256 * KIB, |log, _| {
        let mut empty = 0;
        let ended = log.walk(0, |piece| {
            empty += 1;
            assert!(piece.is_empty());
            ControlFlow::<()>::Continue(())
        });
        assert_eq!((ended.unwrap(), empty), (ControlFlow::Continue(()), 1), "everything at once");
        assert_eq!(
            log.walk(4, |_| ControlFlow::Break(())).unwrap(),
            ControlFlow::Continue(()),
            "no pieces of nothing"
        );
        for at in 0..40 {
            log.append(&bytes(at, at as usize * 7 % 61)).unwrap();
        }
        log.append(&bytes(99, 5000)).unwrap();
        let all = contents(&log).concat();
        for chunk in [0, 1, 2, 3, 8, 60, 61, 1000, 4999, 5000, 5001, all.len() - 1, all.len(), all.len() + 1]
        {
            if cfg!(miri) && chunk < 60 && chunk > 0 {
                continue;
            }
            let mut pieces = Vec::new();
            let ended = log.walk(chunk, |piece| {
                pieces.push(piece.to_vec());
                ControlFlow::<()>::Continue(())
            });
            assert_eq!(ended.unwrap(), ControlFlow::Continue(()));
            assert_eq!(pieces.concat(), all, "chunk {chunk}");
            let chunk = if chunk == 0 { all.len() } else { chunk };
            assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() == chunk), "chunk {chunk}");
            assert!(pieces.last().unwrap().len() <= chunk);
        }
    });
}

#[test]
fn an_early_stop_is_reported() {
    everywhere(64 * KIB, |log, _| {
        log.append_all(["abc", "defgh", "ijk"]).unwrap();
        for (stop, chunk) in [(1, 2), (2, 2), (3, 4), (6, 2), (1, 0)] {
            let mut seen = 0;
            let ended = log.walk(chunk, |_| {
                seen += 1;
                if seen == stop { ControlFlow::Break(stop) } else { ControlFlow::Continue(()) }
            });
            assert_eq!((ended.unwrap(), seen), (ControlFlow::Break(stop), stop));
        }
    });
}

/// The callback holds no lock: it may append and rewind. A walk sees the log as it was at its beginning.
#[test]
fn a_walk_may_append_and_rewind() {
    everywhere(64 * KIB, |log, _| {
        for at in 0..100 {
            log.append(&bytes(at, 100)).unwrap();
        }
        let mut pieces = 0;
        let ended = log.walk(100, |_| {
            pieces += 1;
            log.append(b"meanwhile").unwrap();
            ControlFlow::<()>::Continue(())
        });
        assert_eq!((ended.unwrap(), pieces, log.count()), (ControlFlow::Continue(()), 100, 200));
        let mut entries = log.entries();
        entries.next_entry().unwrap().unwrap();
        log.rewind().unwrap();
        log.append(&[1; 5000]).unwrap();
        let last = entries.by_ref().find_map(Result::err);
        assert!(matches!(last, Some(Error::Rewound)), "{last:?}");
        assert!(entries.next().is_none(), "nothing follows an error");
    });
}

/// A callback that panics leaves nothing locked.
#[test]
fn a_panicking_callback_leaves_the_log_usable() {
    everywhere(64 * KIB, |log, _| {
        log.append(b"entry").unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = log.walk(0, |_| -> ControlFlow<()> { std::panic::resume_unwind(Box::new(())) });
        }));
        assert!(panicked.is_err());
        log.append(b"another").unwrap();
        log.rewind().unwrap();
        log.append(b"third").unwrap();
        assert_eq!(contents(&log), [b"third"]);
    });
}

#[test]
fn rewind_empties_and_old_positions_say_so() {
    everywhere(64 * KIB, |log, open| {
        let old = log.append(b"old").unwrap();
        let before = log.end();
        log.append(b"older").unwrap();
        log.rewind().unwrap();
        assert!(log.is_empty() && log.tell() == 0 && contents(&log).is_empty());
        assert!(matches!(log.entries_from(old), Err(Error::Rewound)));
        // Exactly over the old frames.
        let new = log.append(b"new").unwrap();
        assert!(new > before && new.generation() == old.generation() + 1 && new.offset() == old.offset());
        assert_eq!(contents(&log), [b"new"]);
        drop(log);
        let log = open();
        assert_eq!(contents(&log), [b"new"], "the frame behind it is of another generation");
        assert!(matches!(log.entries_from(before), Err(Error::Rewound)));
        let beyond = Position::new(new.generation(), 1 << 20);
        assert!(matches!(log.entries_from(beyond), Err(Error::OutOfRange { .. })));
        let inside = Position::new(new.generation(), new.offset() + 4);
        assert!(matches!(log.entries_from(inside), Err(Error::OutOfRange { .. })));
    });
}

/// Counts what durability costs: one fence, one durable write, or nothing until the sync.
#[test]
fn durability_costs_what_it_says() {
    let count = || pobj::pmem::counts();
    let memory = create_on(&ram(Domain::CacheLine), 64 * KIB);
    memory.append(b"moves the limit").unwrap();
    let before = count();
    memory.append(&[7; 64]).unwrap();
    memory.append_all([[7; 300], [8; 300]]).unwrap();
    let cost = count() - before;
    assert_eq!((cost.fences, cost.bytes), (2, 128 + 2 * 320));

    let file = create_on(&ram(Domain::Page), 64 * KIB);
    file.append(b"moves the limit").unwrap();
    let before = count();
    file.append(&[7; 64]).unwrap();
    file.append_all([[7; 300], [8; 300]]).unwrap();
    let cost = count() - before;
    assert_eq!((cost.durable_writes, cost.bytes), (2, 80 + 2 * 320));
    let before = count();
    for _ in 0..10 {
        file.with(Durability::Eventual).append(&[7; 64]).unwrap();
    }
    assert_eq!((count() - before).durable_writes, 0);
    file.sync().unwrap();
    file.sync().unwrap();
    let cost = count() - before;
    assert_eq!((cost.durable_writes, cost.bytes), (1, 800), "nothing is written twice");
}

#[test]
fn appenders_do_not_mix() {
    const THREADS: u64 = 4;
    let each = if cfg!(miri) { 5 } else { 300 };
    everywhere(1 << 20, |log, open| {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let log = &log;
                scope.spawn(move || {
                    let mut last = None;
                    for number in 0..each {
                        let durability =
                            if number % 3 == 1 { Durability::Eventual } else { Durability::Immediate };
                        let entry =
                            [&thread.to_le_bytes()[..], &u64::to_le_bytes(number), &bytes(thread, 40)]
                                .concat();
                        let pair = [entry.clone(), entry];
                        let entries = &pair[..1 + (number % 2) as usize];
                        let position = log.with(durability).append_all(entries).unwrap();
                        assert!(Some(position) > last);
                        last = Some(position);
                    }
                });
            }
        });
        let judge = |log: &Log| {
            let mut next = HashMap::new();
            let entries = contents(log);
            let mut at = 0;
            while at < entries.len() {
                let word = |from| u64::from_le_bytes(entries[at][from..from + 8].try_into().unwrap());
                let (thread, number) = (word(0), word(8));
                assert_eq!(entries[at][16..], bytes(thread, 40));
                let expected: &mut u64 = next.entry(thread).or_default();
                assert_eq!(number, *expected, "thread {thread}");
                *expected += 1;
                if number % 2 == 1 {
                    assert_eq!(entries[at], entries[at + 1], "an append of two");
                    at += 1;
                }
                at += 1;
            }
            assert!(next.len() == THREADS as usize && next.values().all(|count| *count == each));
        };
        judge(&log);
        drop(log);
        judge(&open());
    });
}

/// Catches an append of nothing that takes the word back which others have given: the next one then waits for ever.
#[test]
fn an_append_of_nothing_changes_nothing() {
    for domain in DOMAINS.repeat(3) {
        let media = ram(domain);
        let log = create_on(&media, 2 << 20);
        let rounds: usize = if cfg!(miri) { 50 } else { 10_000 };
        let none: [&[u8]; 0] = [];
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..rounds).for_each(|_| assert!(log.append_all(none).is_ok())));
                scope.spawn(|| (0..rounds).for_each(|_| assert!(log.append(b"").is_ok())));
            }
        });
        assert_eq!((log.count(), log.entries().count()), (2 * rounds as u64, 2 * rounds));
    }
}

/// Appends, rewinds and walks at the same time: nobody sees what another generation has.
#[test]
fn readers_beside_appends_and_rewinds() {
    let rounds = if cfg!(miri) { 2 } else { 40 };
    everywhere(64 * KIB, |log, _| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut seen, mut rewound) = (0, 0);
                while !done.load(Ordering::Acquire) || seen + rewound == 0 {
                    let mut number = 0;
                    for entry in log.entries() {
                        match entry {
                            Ok((position, bytes)) => {
                                assert_eq!(bytes[..8], position.generation().to_le_bytes());
                                assert_eq!(bytes[8..16], u64::to_le_bytes(number));
                                number += 1;
                                seen += 1;
                            }
                            Err(Error::Rewound) => rewound += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
                seen
            });
            for _ in 0..rounds {
                for number in 0..20u64 {
                    let generation = log.end().generation();
                    let entry = [generation.to_le_bytes(), number.to_le_bytes()].concat();
                    log.append(&entry).unwrap();
                }
                log.rewind().unwrap();
            }
            log.append(&[log.end().generation().to_le_bytes(), [0; 8]].concat()).unwrap();
            done.store(true, Ordering::Release);
            reader.join().unwrap();
        });
    });
}

#[test]
fn a_reader_follows_in_the_same_process() {
    everywhere(256 * KIB, |log, _| {
        let each = if cfg!(miri) { 10 } else { 500 };
        std::thread::scope(|scope| {
            let mut reader = log.reader();
            let following = scope.spawn(move || {
                let mut number = 0;
                while number < each {
                    assert!(reader.wait(Duration::from_secs(20)).unwrap(), "nothing came");
                    while let Some(entry) = reader.next_entry().unwrap() {
                        assert_eq!(entry.bytes, bytes(number, number as usize % 90));
                        number += 1;
                    }
                }
                reader.position()
            });
            for number in 0..each {
                log.append(&bytes(number, number as usize % 90)).unwrap();
            }
            assert_eq!(following.join().unwrap(), log.end());
        });
        let mut reader = log.reader();
        let kept = log.end();
        reader.seek(kept).unwrap();
        assert!(reader.next_entry().unwrap().is_none());
        assert!(!reader.wait(Duration::from_millis(2)).unwrap());
        log.rewind().unwrap();
        log.append(b"after").unwrap();
        assert!(matches!(reader.next_entry(), Err(Error::Rewound)));
        assert_eq!(reader.next_entry().unwrap().unwrap().bytes, b"after");
        assert!(matches!(reader.seek(kept), Err(Error::Rewound)));
    });
}

/// As another process would, by its own handle of the file: no lock, no shared memory.
#[test]
#[cfg_attr(miri, ignore)]
fn a_reader_follows_from_outside() {
    for domain in DOMAINS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.log");
        let log = Options::new().force_domain(domain).create(&path, 64 * KIB).unwrap();
        let mut reader = Log::open_read_only(&path).unwrap();
        assert!(reader.next_entry().unwrap().is_none());
        assert!(
            matches!(Log::open(&path), Err(Error::Locked { .. })),
            "the reader took no lock, the owner did"
        );
        let mut kept = None;
        for round in 0..300u64 {
            let entries = [bytes(round, 20), bytes(round + 1, 30)];
            match log.append_all(&entries[..1 + (round % 2) as usize]) {
                Ok(position) => kept = kept.or(Some(position)),
                Err(Error::LogFull { .. }) => {
                    log.rewind().unwrap();
                    assert!(matches!(reader.next_entry(), Err(Error::Rewound)));
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            for entry in &entries[..1 + (round % 2) as usize] {
                assert_eq!(reader.next_entry().unwrap().unwrap().bytes, entry);
            }
            assert!(reader.next_entry().unwrap().is_none());
        }
        log.rewind().unwrap();
        log.append(&[3; 9000]).unwrap();
        assert!(matches!(reader.wait(Duration::ZERO), Err(Error::Rewound)));
        assert_eq!(reader.next_entry().unwrap().unwrap().bytes, [3; 9000]);
        assert!(matches!(reader.seek(kept.unwrap()), Err(Error::Rewound)));
        log.close().unwrap();
        // A reader keeps nobody from opening, and sees what the next owner appends.
        let log = Log::open(&path).unwrap();
        log.append(b"next owner").unwrap();
        assert_eq!(reader.next_entry().unwrap().unwrap().bytes, b"next owner");
    }
}

#[test]
fn refusals_name_what_is_wrong() {
    let media = ram(Domain::Page);
    let on = || Arc::new(media.clone());
    let refuse = |options: Options, capacity| options.create_on(on(), capacity).unwrap_err();
    assert!(matches!(refuse(Options::new(), 0), Error::InvalidOption { option: "capacity", .. }));
    assert!(matches!(refuse(Options::new(), u64::MAX), Error::InvalidOption { option: "capacity", .. }));
    assert!(matches!(refuse(Options::new().align(24), 4096), Error::InvalidOption { option: "align", .. }));
    let log = create_on(&media, 1);
    assert_eq!(log.capacity(), 4096);
    assert!(matches!(refuse(Options::new(), 4096), Error::AlreadyExists { .. }));
    drop(log);
    let foreign = media.with_bytes(b"#!/bin/sh".to_vec());
    let error = open_on(&foreign).unwrap_err();
    assert!(matches!(error, Error::NotALog { .. }) && error.to_string().contains("23 21"), "{error}");
    assert!(matches!(open_on(&media.with_bytes(Vec::new())), Err(Error::NotALog { .. })));
}

#[test]
#[cfg_attr(miri, ignore)]
fn files_and_their_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.log");
    assert!(matches!(Log::open(&path), Err(Error::NotFound { .. })));
    assert!(matches!(Log::open_read_only(&path), Err(Error::NotFound { .. })));
    let log = Log::open_or_create(&path, 10_000).unwrap();
    assert_eq!((log.capacity(), log.path()), (12_288, path.clone()));
    assert!(matches!(Log::create(&path, 1), Err(Error::AlreadyExists { .. })));
    assert!(matches!(Log::open(&path), Err(Error::Locked { .. })));
    log.append(b"x").unwrap();
    drop(log);
    assert_eq!(Log::open_or_create(&path, 1).unwrap().count(), 1);
    let page = Options::new().force_domain(Domain::Page).require_domain(Domain::CacheLine);
    assert!(matches!(page.open(&path), Err(Error::Domain { .. })));
    // A pool is no log, and a log no pool.
    let pool = directory.path().join("pool");
    drop(pobj::Pool::<u64>::create(&pool).unwrap());
    assert!(matches!(Log::open(&pool), Err(Error::NotALog { .. })));
    assert!(matches!(pobj::Pool::<u64>::open(&path), Err(Error::NotAPool { .. })));
    assert!(matches!(Log::create(directory.path().join("huge"), 1 << 46), Err(Error::Io { .. })));
    assert!(!directory.path().join("huge").exists());
}

/// What another program cuts off is an error of the reader, not the end of the process (A56).
#[test]
#[cfg_attr(miri, ignore)]
fn a_file_cut_under_a_reader_is_an_error() {
    for domain in DOMAINS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.log");
        let log = Options::new().force_domain(domain).create(&path, 2 << 20).unwrap();
        for at in 0..20 {
            log.append(&bytes(at, 50_000)).unwrap();
        }
        let mut outside = Log::open_read_only(&path).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100_000).unwrap();
        assert!(log.entries().any(|entry| matches!(entry, Err(Error::Io { .. }))), "{domain}");
        let mut found = outside.next_entry().map(|_| ());
        while found.is_ok() {
            found = outside.next_entry().map(|_| ());
        }
        assert!(matches!(found, Err(Error::Io { .. } | Error::Corrupt { .. })), "{domain}: {found:?}");
        std::mem::forget(log); // on persistent memory its end would store to what is cut off
    }
}

/// A forked child has the handle and not the right to use it.
#[test]
#[cfg_attr(miri, ignore)]
fn a_forked_child_cannot_append() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::create(directory.path().join("test.log"), 4096).unwrap();
    log.append(b"parent").unwrap();
    // SAFETY: the child makes no call that another thread of the parent could hold a lock for, and ends at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = [log.append(b"child").map(drop), log.sync(), log.rewind()];
        let all = refused.iter().all(|result| matches!(result, Err(Error::Forked)));
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(i32::from(!all)) };
    }
    let mut status = 0;
    // SAFETY: `status` is this function's own.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    log.append(b"parent again").unwrap();
    assert_eq!(log.count(), 2);
}

#[derive(Clone, Debug)]
enum Op {
    Append(usize, bool),
    Vectored(usize, usize),
    All(Vec<usize>, bool),
    Rewind,
    Sync,
    /// Close, or drop, or leave as a kill would; then open.
    Reopen(u8),
    Walk(usize),
    Follow(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..400usize, any::<bool>()).prop_map(|(len, eventual)| Op::Append(len, eventual)),
        1 => (3000..9000usize, any::<bool>()).prop_map(|(len, eventual)| Op::Append(len, eventual)),
        2 => (0..100usize, 0..300usize).prop_map(|(a, b)| Op::Vectored(a, b)),
        2 => (proptest::collection::vec(0..200usize, 0..6), any::<bool>()).prop_map(|(lens, eventual)| Op::All(lens, eventual)),
        1 => Just(Op::Rewind),
        1 => Just(Op::Sync),
        2 => (0..3u8).prop_map(Op::Reopen),
        1 => (0..700usize).prop_map(Op::Walk),
        2 => (0..20usize).prop_map(Op::Follow),
    ]
}

/// Runs the operations on a log and on a vector.
fn compare(domain: Domain, align: u64, ops: &[Op]) {
    let options = Options::new().align(align);
    let media = ram(domain);
    let mut log = options.create_on(Arc::new(media.clone()), 40 * KIB).unwrap();
    let mut model: Vec<Vec<u8>> = Vec::new();
    let mut outside = options.open_read_only_on(Arc::new(media.clone())).unwrap();
    let (mut followed, mut number) = (0, 0);
    for op in ops {
        number += 1;
        let kind = |eventual: &bool| if *eventual { Durability::Eventual } else { Durability::Immediate };
        let (added, outcome) = match op {
            Op::Append(len, eventual) => {
                let entry = bytes(number, *len);
                let outcome = log.with(kind(eventual)).append(&entry);
                (vec![entry], outcome)
            }
            Op::Vectored(a, b) => {
                let (a, b) = (bytes(number, *a), bytes(number + 1, *b));
                let outcome = log.append_vectored(&[IoSlice::new(&a), IoSlice::new(&b)]);
                (vec![[a, b].concat()], outcome)
            }
            Op::All(lens, eventual) => {
                let entries: Vec<_> = lens.iter().map(|len| bytes(number + *len as u64, *len)).collect();
                let outcome = log.with(kind(eventual)).append_all(&entries);
                (entries, outcome)
            }
            Op::Rewind => {
                log.rewind().unwrap();
                let before = std::mem::take(&mut model);
                // It may have read ahead, and then gives that first.
                let rewound = loop {
                    match outside.next_entry() {
                        Ok(Some(entry)) => {
                            assert_eq!(Some(entry.bytes), before.get(followed).map(Vec::as_slice))
                        }
                        Ok(None) => panic!("a rewind that nobody noticed"),
                        Err(error) => break error,
                    }
                    followed += 1;
                };
                assert!(matches!(rewound, Error::Rewound), "{rewound}");
                assert_eq!(outside.position(), log.end());
                followed = 0;
                continue;
            }
            Op::Sync => {
                log.sync().unwrap();
                continue;
            }
            Op::Reopen(how) => {
                match how {
                    0 => log.close().unwrap(),
                    1 => drop(log),
                    _ => std::mem::forget(log),
                }
                log = options.open_on(Arc::new(media.clone())).unwrap();
                assert_eq!(contents(&log), model);
                assert_eq!(log.tell(), model.iter().map(|entry| entry.len() as u64).sum::<u64>());
                log.check().unwrap();
                continue;
            }
            Op::Walk(chunk) => {
                let mut all = Vec::new();
                let ended = log.walk(*chunk, |piece| {
                    all.extend_from_slice(piece);
                    ControlFlow::<()>::Continue(())
                });
                assert_eq!(ended.unwrap(), ControlFlow::Continue(()));
                assert_eq!(all, model.concat());
                continue;
            }
            Op::Follow(count) => {
                for _ in 0..*count {
                    let found = outside.next_entry().unwrap().map(|entry| entry.bytes.to_vec());
                    assert_eq!(found.as_ref(), model.get(followed));
                    followed += usize::from(found.is_some());
                }
                continue;
            }
        };
        match outcome {
            Ok(_) => model.extend(added),
            Err(Error::LogFull { needed, available }) => assert!(needed > available),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(log.count() as usize, model.len());
    }
    assert_eq!(contents(&log), model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 150 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// A log that is left without closing and opened again is what a kill leaves: nothing may be missing.
    #[test]
    fn a_log_is_a_vector_of_entries(
        ops in proptest::collection::vec(op(), 1..if cfg!(miri) { 12 } else { 60 }),
        domain in 0..3usize,
        align in prop_oneof![Just(8u64), Just(64), Just(512), Just(4096)],
    ) {
        compare(DOMAINS[domain], align, &ops);
    }
}

/// A log of a few generations, closed or left open, what it held, and where its last append lies.
fn sample(closed: bool) -> (RamMedia, Vec<Vec<u8>>, std::ops::Range<usize>) {
    let media = ram(Domain::Page);
    let log = create_on(&media, 16 * KIB);
    for at in 0..40 {
        log.append(&bytes(at, 100)).unwrap();
    }
    log.rewind().unwrap();
    let (mut model, mut last) = (Vec::new(), 0);
    for at in 0..12 {
        let entries = [bytes(at, at as usize * 13 % 70), bytes(at + 100, 5)];
        let entries = &entries[..1 + at as usize % 2];
        last = log.append_all(entries).unwrap().offset();
        model.extend_from_slice(entries);
    }
    let last = 8192 + last as usize..8192 + log.end().offset() as usize;
    if closed {
        log.close().unwrap()
    } else {
        std::mem::forget(log)
    }
    (media, model, last)
}

/// Opens damaged bytes: a typed error, or a prefix of what was there, which can be used.
fn judge_damaged(media: &RamMedia, bytes: Vec<u8>, model: &[Vec<u8>], place: &str) -> bool {
    let damaged = media.with_bytes(bytes);
    let log = match open_on(&damaged) {
        Ok(log) => log,
        Err(
            Error::Corrupt { .. }
            | Error::UnsupportedFormat { .. }
            | Error::NotALog { .. }
            | Error::Io { .. },
        ) => {
            return true;
        }
        Err(error) => panic!("{place}: {error}"),
    };
    let mut found = Vec::new();
    let mut noticed = false;
    for entry in log.entries() {
        match entry {
            Ok((_, bytes)) => found.push(bytes),
            Err(Error::Corrupt { .. }) => noticed = true,
            Err(error) => panic!("{place}: {error}"),
        }
    }
    assert!(found.len() <= model.len() && found[..] == model[..found.len()], "{place}: {found:?}");
    assert_eq!(log.check().is_err(), noticed, "{place}");
    let mut reader = log.reader();
    let mut followed = 0;
    while let Ok(Some(_)) = reader.next_entry() {
        followed += 1;
    }
    assert_eq!(followed, found.len(), "{place}");
    let full = found.len() == model.len();
    log.append(b"still a log").unwrap();
    log.close().unwrap();
    assert_eq!(
        open_on(&damaged).unwrap().entries().filter_map(Result::ok).count(),
        found.len() + usize::from(!noticed)
    );
    noticed || full
}

/// In a closed log everything is known to have been durable: no flipped bit is passed over, wherever it counts.
#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    for closed in [true, false] {
        let (media, model, last) = sample(closed);
        let whole = media.bytes();
        let end = 8192 + 1600;
        let step = if cfg!(miri) { 4001 } else { 1 };
        let (mut cut, mut tried) = (0, 0);
        for bit in (0..end * 8).step_by(step).filter(|bit| !(2048..32768).contains(bit) || bit % 97 == 0) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let known = judge_damaged(&media, bytes, &model, &format!("closed {closed}, bit {bit}"));
            tried += 1;
            if !known {
                cut += 1;
                // Only what the last append wrote may be taken for in flight, and that only where nobody closed the log.
                assert!(!closed && last.contains(&(bit / 8)), "bit {bit} cut the log in silence, {last:?}");
            }
        }
        println!("closed {closed}: {tried} flipped bits, {cut} of them ended an unclosed log early");
    }
}

#[test]
fn every_truncation_is_an_error() {
    for closed in [true, false] {
        let (media, model, _) = sample(closed);
        let whole = media.bytes();
        for len in (0..whole.len()).step_by(if cfg!(miri) { 5000 } else { 61 }) {
            let refused = judge_damaged(&media, whole[..len].to_vec(), &model, &format!("cut to {len}"));
            assert!(refused, "cut to {len}");
            assert!(open_on(&media.with_bytes(whole[..len].to_vec())).is_err());
        }
    }
}

/// Random bytes over random places, and one log's frames in another log.
#[test]
fn crafted_areas_are_errors_or_prefixes() {
    let (media, model, _) = sample(false);
    let (whole, other) = (media.bytes(), sample(false).0.bytes());
    let mut random = 1u64;
    for round in 0..if cfg!(miri) { 4 } else { 3000 } {
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        let mut bytes = whole.clone();
        let at = 8192 + next(2000);
        let len = 1 + next(200);
        match round % 3 {
            0 => bytes[at..at + len].copy_from_slice(&other[at..at + len]),
            1 => bytes[at..at + len].fill([0, 0xFF][next(2)]),
            _ => (0..len).for_each(|byte| bytes[at + byte] = next(256) as u8),
        }
        judge_damaged(&media, bytes, &model, &format!("round {round}"));
    }
}

/// The proof of damage: an entry that was durable is gone, a later one says so.
#[test]
fn a_lost_durable_entry_is_damage_and_no_early_end() {
    for domain in DOMAINS {
        let media = ram(domain);
        let log = create_on(&media, 64 * KIB);
        let positions: Vec<Position> = (0..6).map(|at| log.append(&bytes(at, 30)).unwrap()).collect();
        std::mem::forget(log);
        let lost = |at: usize| {
            let mut bytes = media.bytes();
            bytes[8192 + positions[at].offset() as usize + 20] ^= 1;
            open_on(&media.with_bytes(bytes)).map(|log| log.count())
        };
        for (at, position) in positions.iter().enumerate().take(5) {
            let refused = lost(at);
            let expected = 8192 + position.offset();
            assert!(
                matches!(refused, Err(Error::Corrupt { offset, .. }) if offset == expected),
                "{at}: {refused:?}"
            );
        }
        assert_eq!(lost(5).unwrap(), 5, "the last one may have been in flight");
    }
}

/// Old frames of the same generation behind a lost one never come back.
#[test]
fn what_was_lost_with_its_predecessor_stays_lost() {
    let media = ram(Domain::Page);
    let log = create_on(&media, 64 * KIB);
    let eventual = log.with(Durability::Eventual);
    eventual.append(b"kept").unwrap();
    let lost = eventual.append(b"torn").unwrap();
    eventual.append(b"behind").unwrap();
    std::mem::forget(log);
    let mut bytes = media.bytes();
    bytes[8192 + lost.offset() as usize + 16] ^= 1;
    let torn = media.with_bytes(bytes);
    let log = open_on(&torn).unwrap();
    assert_eq!(contents(&log), [b"kept"]);
    // The same bytes again, in the same place: what lay behind them must not count.
    log.append(b"torn").unwrap();
    std::mem::forget(log);
    assert_eq!(contents(&open_on(&torn).unwrap()), [b"kept", b"torn"]);
    assert!(torn.len().unwrap() > 0);
}
