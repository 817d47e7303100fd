//! `pobj::pmem` from outside: making and mapping files, what each call costs in each domain, guards, the cursor,
//! typed slices, and a process that is killed right after it persisted.
//!
//! Would catch a call that claims durability without its flush or fence, a range that reaches beyond the mapping,
//! a read-only or private mapping that changes the file, and a guard that forgets its duty on a panic.

#![cfg(not(miri))]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pobj::Error;
use pobj::pmem::{Domain, Hint, MapOptions, MappedFile, MediaCounts, counts};
use proptest::prelude::*;

const LEN: usize = 64 * 1024;
const DOMAINS: [Domain; 3] = [Domain::Byte, Domain::CacheLine, Domain::Page];
const HINTS: [Hint; 3] = [Hint::Auto, Hint::Temporal, Hint::NonTemporal];

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn map(&self, domain: Domain) -> MappedFile {
        let path = self.path(&format!("{domain}"));
        MapOptions::new().size(LEN as u64).force_domain(domain).create(path).expect("a mapping")
    }
}

/// What `run` cost.
fn cost(run: impl FnOnce()) -> MediaCounts {
    let before = counts();
    run();
    counts() - before
}

fn flushes_fences_syncs(cost: MediaCounts) -> (u64, u64, u64) {
    (cost.flushes, cost.fences, cost.durable_writes)
}

// ---------------------------------------------------------------------------------------------------- files

#[test]
fn what_was_persisted_is_there_again() {
    let scratch = Scratch::new();
    for name in ["plain", "with spaces", "gr\u{fc}n-\u{6f22}\u{5b57}"] {
        let path = scratch.path(name);
        let mut map = MappedFile::create(&path, LEN as u64).unwrap();
        assert_eq!((map.len(), map.is_empty(), map.path()), (LEN, false, path.as_path()));
        assert!(map.as_slice().iter().all(|byte| *byte == 0));
        map.as_mut_slice().unwrap()[10..15].copy_from_slice(b"hel\0o");
        map.persist(10..15).unwrap();
        drop(map);
        assert_eq!(&MappedFile::open(&path).unwrap().as_slice()[9..16], b"\0hel\0o\0");
        assert_eq!(&fs::read(&path).unwrap()[9..16], b"\0hel\0o\0");
    }
}

#[test]
fn a_file_is_made_exclusively_or_opened_or_either() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    assert!(matches!(MappedFile::open(&path), Err(Error::NotFound { path: named }) if named == path));
    assert!(matches!(MapOptions::new().open_read_only(&path), Err(Error::NotFound { .. })));
    drop(MappedFile::open_or_create(&path, 5000).unwrap());
    assert!(
        matches!(MappedFile::create(&path, 5000), Err(Error::AlreadyExists { path: named }) if named == path)
    );
    assert_eq!(MappedFile::open_or_create(&path, 5000).unwrap().len(), 5000);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn lengths_that_cannot_work_are_errors() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    let size = |result: Result<MappedFile, Error>| {
        assert!(matches!(result, Err(Error::InvalidOption { option: "size", .. })), "{result:?}");
    };
    size(MapOptions::new().create(&path));
    size(MappedFile::create(&path, 0));
    size(MapOptions::new().open_or_create(&path));
    assert!(matches!(MappedFile::create(&path, u64::MAX), Err(Error::TooLarge { requested: u64::MAX })));
    assert!(matches!(MappedFile::create(&path, 1 << 62), Err(Error::Io { .. })));
    assert!(!path.exists());
    File::create(&path).unwrap();
    size(MappedFile::open(&path));
    size(MappedFile::open_read_only(&path));
    size(MappedFile::open_private(&path));
    assert!(MappedFile::open(scratch.path(".")).is_err(), "a directory");
    assert!(MappedFile::open("/dev/null").is_err(), "a device");
}

#[test]
fn a_file_is_lengthened_and_cut_only_if_asked() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    let mut map = MappedFile::create(&path, 10_000).unwrap();
    map.fill(.., 7, Hint::Auto).unwrap();
    drop(map);
    assert_eq!(MappedFile::open(&path).unwrap().len(), 10_000);
    assert_eq!(MapOptions::new().size(100).open(&path).unwrap().len(), 10_000, "not cut");
    assert_eq!(MapOptions::new().size(100).open_read_only(&path).unwrap().len(), 10_000);
    let map = MapOptions::new().size(20_000).open(&path).unwrap();
    assert_eq!(map.len(), 20_000);
    assert!(map.as_slice()[..10_000].iter().all(|byte| *byte == 7));
    assert!(map.as_slice()[10_000..].iter().all(|byte| *byte == 0));
    drop(map);
    assert_eq!(MapOptions::new().size(100).truncate(true).open(&path).unwrap().as_slice(), [7; 100]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 100);
    assert_eq!(MapOptions::new().truncate(true).open(&path).unwrap().len(), 100, "no size, no cut");
    drop(MapOptions::new().size(200).open(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap(), [[7; 100], [0; 100]].concat(), "what was cut does not come back");
}

#[test]
fn space_is_allocated_unless_the_file_may_be_sparse() {
    let scratch = Scratch::new();
    let blocks = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
    let (full, sparse) = (scratch.path("full"), scratch.path("sparse"));
    drop(MappedFile::create(&full, 1 << 20).unwrap());
    assert!(blocks(&full) >= 1 << 20);
    drop(MapOptions::new().size(1 << 20).sparse(true).create(&sparse).unwrap());
    assert!(blocks(&sparse) < 1 << 19);
    drop(MapOptions::new().sparse(true).open(&sparse).unwrap());
    drop(MappedFile::open_read_only(&sparse).unwrap());
    assert!(blocks(&sparse) < 1 << 19);
    drop(MappedFile::open(&sparse).unwrap());
    assert!(blocks(&sparse) >= 1 << 20, "opened to be written without asking for holes");
}

#[test]
fn one_writer_or_many_readers() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    let locked = |result: Result<MappedFile, Error>| {
        assert!(matches!(result, Err(Error::Locked { path: ref named }) if *named == path), "{result:?}");
    };
    let writer = MappedFile::create(&path, 4096).unwrap();
    locked(MappedFile::open(&path));
    locked(MappedFile::open_read_only(&path));
    locked(MappedFile::open_private(&path));
    drop(writer);
    let readers = [MappedFile::open_read_only(&path).unwrap(), MappedFile::open_private(&path).unwrap()];
    locked(MappedFile::open(&path));
    drop(readers);
    MappedFile::open(&path).unwrap();
}

#[test]
fn a_read_only_mapping_is_only_read() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    MappedFile::create(&path, 4096).unwrap().copy_at(0, b"kept", Hint::Auto).unwrap();
    let mut map = MappedFile::open_read_only(&path).unwrap();
    let refused = |result: Result<(), Error>| {
        let Err(Error::Io { source, .. }) = result else { panic!("{result:?}") };
        assert_eq!(source.kind(), io::ErrorKind::ReadOnlyFilesystem);
    };
    refused(map.as_mut_slice().map(|_| ()));
    refused(map.slice_mut(0..1).map(|_| ()));
    refused(map.as_mut_slice_of::<u8>(0..1).map(|_| ()));
    refused(map.copy_at(0, b"x", Hint::Auto));
    refused(map.fill(0..1, 1, Hint::Auto));
    refused(map.move_within(0..1, 1, Hint::Auto));
    refused(map.flush_guard().slice_mut(0..1).map(|_| ()));
    refused(map.drain_guard().copy_at(0, b"x", Hint::Auto));
    assert_eq!(map.cursor().write(b"x").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    map.persist(..).unwrap();
    map.deep_persist(..).unwrap();
    let mut word = [0; 4];
    map.cursor().read_exact(&mut word).unwrap();
    assert_eq!((&word, &map.as_slice()[..4]), (b"kept", b"kept".as_slice()));
}

#[test]
fn a_private_mapping_never_reaches_the_file() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    MappedFile::create(&path, 4096).unwrap().copy_at(0, b"kept", Hint::Auto).unwrap();
    for domain in DOMAINS {
        let mut map = MapOptions::new().force_domain(domain).open_private(&path).unwrap();
        map.as_mut_slice().unwrap()[1] = b'?';
        map.copy_at(2, b"??", Hint::NonTemporal).unwrap();
        let spent = cost(|| {
            map.persist(..).unwrap();
            map.deep_persist(..).unwrap();
        });
        assert_eq!((map.domain(), flushes_fences_syncs(spent)), (domain, (0, 0, 0)));
        assert_eq!(&map.as_slice()[..4], b"k???");
        drop(map);
        assert_eq!(&fs::read(&path).unwrap()[..4], b"kept");
    }
}

// --------------------------------------------------------------------------------------------------- domains

#[test]
fn a_domain_is_found_forced_or_refused() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    let found = MappedFile::create(&path, 4096).unwrap().domain();
    if found != Domain::Page {
        println!("skipped: the temporary directory lies on persistent memory");
        return;
    }
    let refused = MapOptions::new().require_domain(Domain::CacheLine).open(&path);
    assert!(
        matches!(refused, Err(Error::Domain { needed: Domain::CacheLine, found: Domain::Page, .. })),
        "{refused:?}"
    );
    for forced in DOMAINS {
        for required in DOMAINS {
            let opened = MapOptions::new().force_domain(forced).require_domain(required).open(&path);
            assert_eq!(opened.is_ok(), forced <= required, "{forced} where {required} is needed");
            assert!(opened.map_or(true, |map| map.domain() == forced));
        }
    }
    // A refusal makes no file.
    let path = scratch.path("refused");
    MapOptions::new().size(4096).require_domain(Domain::Byte).create(&path).unwrap_err();
    assert!(!path.exists());
}

/// The cost of each call: flushed lines, fences, syncs.
#[test]
fn each_call_costs_what_its_domain_asks_for() {
    let scratch = Scratch::new();
    let table = [
        // flush, drain, persist, deep_persist, copy of two ragged ends, copy of whole lines, guard.
        (Domain::Byte, [(0, 0, 0), (0, 1, 0), (0, 1, 0), (0, 1, 1), (0, 1, 0), (0, 1, 0), (0, 1, 0)]),
        (Domain::CacheLine, [(3, 0, 0), (0, 1, 0), (3, 1, 0), (3, 1, 1), (2, 1, 0), (0, 1, 0), (5, 1, 0)]),
        (Domain::Page, [(0, 0, 0), (0, 0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 1)]),
    ];
    for (domain, mut wanted) in table {
        let mut map = scratch.map(domain);
        let cached = cost(|| map.copy_at(64, &[1; 64], Hint::NonTemporal).unwrap()).flushes > 0;
        if cached {
            // A processor without stores past the cache flushes every line.
            wanted[4].0 = 4;
            wanted[5].0 = 64;
            wanted[6].0 = 7;
        }
        let calls = [
            cost(|| map.flush(60..130).unwrap()),
            cost(|| map.drain().unwrap()),
            cost(|| map.persist(60..130).unwrap()),
            cost(|| map.deep_persist(60..130).unwrap()),
            cost(|| map.copy_at(60, &[1; 136], Hint::NonTemporal).unwrap()),
            cost(|| map.copy_at(64, &[1; 4096], Hint::NonTemporal).unwrap()),
            cost(|| {
                let mut guard = map.drain_guard();
                guard.copy_at(64, &[1; 128], Hint::NonTemporal).unwrap();
                guard.copy_at(1000, &[1; 8], Hint::Auto).unwrap();
                guard.flush(2000..2200).unwrap();
            }),
        ];
        assert_eq!(calls.map(flushes_fences_syncs), wanted, "{domain}");
        if domain == Domain::CacheLine {
            assert_eq!(calls[5].bytes, 4096);
        }
    }
}

/// A second drain has nothing to wait for, and pages that were synced are not synced again.
#[test]
fn a_drain_is_paid_once() {
    let scratch = Scratch::new();
    for (domain, wanted) in
        [(Domain::Byte, (0, 1, 0)), (Domain::CacheLine, (0, 1, 0)), (Domain::Page, (0, 0, 0))]
    {
        let map = scratch.map(domain);
        map.persist(..100).unwrap();
        assert_eq!(flushes_fences_syncs(cost(|| map.drain().unwrap())), wanted, "{domain}");
    }
}

#[test]
fn copies_fills_and_moves_are_those_of_a_slice() {
    let scratch = Scratch::new();
    for domain in DOMAINS {
        let mut map = scratch.map(domain);
        let mut model = vec![0; LEN];
        for hint in HINTS {
            for (at, len) in [(0, 1), (1, 63), (64, 64), (100, 1000), (LEN - 4097, 4097), (LEN, 0)] {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + at) as u8).collect();
                map.copy_at(at, &bytes, hint).unwrap();
                model[at..at + len].copy_from_slice(&bytes);
                assert!(map.as_slice() == model);
            }
            map.fill(77..5000, 0xee, hint).unwrap();
            model[77..5000].fill(0xee);
            for (from, len, to) in [(0, 5000, 33), (33, 5000, 0), (10, 0, 10), (50, 300, 50)] {
                map.move_within(from..from + len, to, hint).unwrap();
                model.copy_within(from..from + len, to);
                assert!(map.as_slice() == model);
            }
        }
        map.fill(.., 1, Hint::Auto).unwrap();
        assert!(map.as_slice().iter().all(|byte| *byte == 1));
    }
}

#[test]
fn a_range_outside_is_an_error_everywhere() {
    let scratch = Scratch::new();
    let outside = |result: Result<(), Error>, place: usize| {
        let Err(Error::OutOfRange { index, len }) = result else { panic!("{result:?}") };
        assert_eq!((index, len), (place as u64, LEN as u64));
    };
    for domain in DOMAINS {
        let mut map = scratch.map(domain);
        let spent = cost(|| {
            for (start, end) in [(0, LEN + 1), (LEN + 1, LEN + 1), (LEN, LEN + 9), (5, usize::MAX)] {
                outside(map.flush(start..end), end);
                outside(map.persist(start..end), end);
                outside(map.deep_persist(start..end), end);
                outside(map.slice(start..end).map(|_| ()), end);
                outside(map.slice_mut(start..end).map(|_| ()), end);
                outside(map.as_slice_of::<u8>(start..end).map(|_| ()), end);
                outside(map.as_mut_slice_of::<u8>(start..end).map(|_| ()), end);
                outside(map.fill(start..end, 1, Hint::Auto), end);
                outside(map.move_within(start..end, 0, Hint::Auto), end);
                outside(map.flush_guard().slice_mut(start..end).map(|_| ()), end);
            }
            outside(map.copy_at(LEN, b"x", Hint::Auto), LEN + 1);
            outside(map.copy_at(usize::MAX, b"x", Hint::Auto), usize::MAX);
            outside(map.move_within(0..2, LEN - 1, Hint::Auto), LEN + 1);
            outside(map.flush(..=LEN), LEN + 1);
            // A range that ends before it starts.
            outside(map.persist(std::ops::Range { start: 9, end: 8 }), 9);
        });
        assert_eq!(spent, MediaCounts::default(), "{domain}");
        let mut guard = map.drain_guard();
        outside(guard.copy_at(LEN, b"x", Hint::Auto), LEN + 1);
        outside(guard.fill(LEN..LEN + 1, 1, Hint::Auto), LEN + 1);
        outside(guard.move_within(0..LEN + 1, 0, Hint::Auto), LEN + 1);
        outside(guard.flush(LEN + 1..), LEN + 1);
        outside(guard.slice_mut(LEN + 1..).map(|_| ()), LEN + 1);
        drop(guard);
        assert!(map.as_slice().iter().all(|byte| *byte == 0));
        map.persist(LEN..LEN).unwrap();
    }
}

#[test]
fn a_value_has_a_range_and_a_foreign_one_has_none() {
    let scratch = Scratch::new();
    let (map, other) = (scratch.map(Domain::CacheLine), scratch.map(Domain::Byte));
    let values = map.as_slice_of::<u64>(..).unwrap();
    assert_eq!(map.range_of(values).unwrap(), 0..LEN);
    assert_eq!(map.range_of(&values[9]).unwrap(), 72..80);
    assert_eq!(map.range_of(&values[7..10]).unwrap(), 56..80);
    let spent = cost(|| map.persist(map.range_of(&values[7..10]).unwrap()).unwrap());
    assert_eq!(flushes_fences_syncs(spent), (2, 1, 0));
    let foreign = |found: Result<std::ops::Range<usize>, Error>| {
        assert!(matches!(found, Err(Error::OutOfRange { .. })), "{found:?}");
    };
    foreign(other.range_of(&values[9]));
    foreign(map.range_of(other.as_slice()));
    foreign(map.range_of(&LEN));
    foreign(map.range_of("static"));
}

#[test]
fn threads_share_a_mapping() {
    let scratch = Scratch::new();
    for domain in DOMAINS {
        let map = scratch.map(domain);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let map = &map;
                scope.spawn(move || {
                    for round in 0..50 {
                        let start = (thread * 50 + round) * 64;
                        map.flush(start..start + 64).unwrap();
                        map.drain().unwrap();
                        assert_eq!(map.slice(start..start + 1).unwrap(), [0]);
                    }
                });
            }
        });
    }
}

// ---------------------------------------------------------------------------------------------------- guards

#[test]
fn a_flush_guard_flushes_what_it_gave_out() {
    let scratch = Scratch::new();
    let mut map = scratch.map(Domain::CacheLine);
    let spent = cost(|| {
        let mut stores = map.flush_guard();
        stores.slice_mut(0..10).unwrap()[0] = 1;
        stores.slice_mut(10..70).unwrap()[0] = 2;
        stores.slice_mut(640..641).unwrap()[0] = 3;
        stores.as_mut_slice_of::<u64>(1024..1032).unwrap()[0] = 4;
        stores.slice_mut(9999..9999).unwrap();
    });
    assert_eq!(flushes_fences_syncs(spent), (4, 0, 0));
    assert_eq!(flushes_fences_syncs(cost(|| map.drain().unwrap())), (0, 1, 0));
    let spent = cost(|| {
        let mut batch = map.drain_guard();
        batch.flush_guard().slice_mut(0..64).unwrap().fill(1);
        batch.flush_guard().slice_mut(64..128).unwrap().fill(2);
        batch.finish().unwrap();
    });
    assert_eq!(flushes_fences_syncs(spent), (2, 1, 0));
}

#[test]
fn guards_end_on_a_panic_as_they_always_do() {
    let scratch = Scratch::new();
    for (domain, wanted) in [(Domain::CacheLine, (2, 1, 0)), (Domain::Page, (0, 0, 1))] {
        let mut map = scratch.map(domain);
        let spent = cost(|| {
            let result = catch_unwind(AssertUnwindSafe(|| {
                let mut batch = map.drain_guard();
                batch.copy_at(0, b"half", Hint::Temporal).unwrap();
                let mut stores = batch.flush_guard();
                stores.slice_mut(100..104).unwrap().copy_from_slice(b"done");
                panic!("in the middle");
            }));
            assert!(result.is_err());
        });
        let (flushes, fences, syncs) = flushes_fences_syncs(spent);
        // One more fence where bytes are given out after a copy.
        assert_eq!((flushes, fences.min(1), syncs), wanted, "{domain}");
        assert_eq!(
            (&map.as_slice()[..4], &map.as_slice()[100..104]),
            (b"half".as_slice(), b"done".as_slice())
        );
        let spent = cost(|| {
            let result = catch_unwind(AssertUnwindSafe(|| {
                let mut cursor = map.cursor();
                cursor.write_all(&[1; 70]).unwrap();
                panic!("in the middle");
            }));
            assert!(result.is_err());
        });
        assert_eq!(flushes_fences_syncs(spent), wanted, "{domain}");
    }
}

#[test]
fn a_leaked_drain_guard_keeps_the_mapping() {
    let scratch = Scratch::new();
    let mut map = scratch.map(Domain::CacheLine);
    std::mem::forget(map.drain_guard());
    assert!(map.is_empty());
    assert!(matches!(map.persist(0..1), Err(Error::OutOfRange { index: 1, len: 0 })));
    map.persist(..).unwrap();
    // The file is as good as ever.
    let path = map.path().to_owned();
    drop(map);
    assert_eq!(MappedFile::open(path).unwrap().len(), LEN);
}

// ---------------------------------------------------------------------------------------------------- cursor

#[test]
fn a_cursor_is_a_file() {
    let scratch = Scratch::new();
    let mut map = scratch.map(Domain::Page);
    let mut cursor = map.cursor();
    assert_eq!(cursor.position(), 0);
    cursor.write_all(b"one two\0three").unwrap();
    assert_eq!(cursor.seek(SeekFrom::Start(4)).unwrap(), 4);
    let mut word = [0; 9];
    cursor.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"two\0three");
    assert_eq!(cursor.seek(SeekFrom::Current(-5)).unwrap(), 8);
    cursor.write_all(b"THREE").unwrap();
    assert_eq!(cursor.seek(SeekFrom::End(-3)).unwrap(), LEN as u64 - 3);
    assert_eq!(cursor.write(b"12345").unwrap(), 3, "as many as fit");
    assert_eq!(cursor.write_all(b"4").unwrap_err().kind(), io::ErrorKind::WriteZero);
    assert_eq!(cursor.read(&mut word).unwrap(), 0, "at the end");
    assert_eq!(cursor.read_exact(&mut word).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    for impossible in [SeekFrom::Current(i64::MIN), SeekFrom::End(-(LEN as i64) - 1)] {
        assert_eq!(cursor.seek(impossible).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(cursor.position(), LEN as u64, "a seek that fails moves nothing");
    for beyond in [SeekFrom::Start(u64::MAX), SeekFrom::End(1)] {
        cursor.seek(beyond).unwrap();
        assert_eq!(cursor.read(&mut word).unwrap(), 0);
        assert_eq!(cursor.write(b"x").unwrap(), 0);
    }
    cursor.seek(SeekFrom::Start(0)).unwrap();
    let mut lines = String::new();
    BufReader::new(&mut cursor).take(13).read_line(&mut lines).unwrap();
    assert_eq!(lines, "one two\0THREE");
    drop(cursor);
    assert_eq!(&map.as_slice()[LEN - 3..], b"123");
}

#[test]
fn a_cursor_makes_durable_what_it_wrote_and_no_more() {
    let scratch = Scratch::new();
    let mut map = scratch.map(Domain::CacheLine);
    let mut cursor = map.cursor();
    let spent = cost(|| {
        cursor.write_all(&[1; 100]).unwrap();
        cursor.write_all(&[2; 100]).unwrap();
    });
    assert_eq!(flushes_fences_syncs(spent), (0, 0, 0), "stores");
    assert_eq!(flushes_fences_syncs(cost(|| cursor.flush().unwrap())), (4, 1, 0));
    assert_eq!(flushes_fences_syncs(cost(|| cursor.flush().unwrap())), (0, 0, 0), "nothing to do");
    cursor.seek(SeekFrom::Start(1000)).unwrap();
    cursor.write_all(&[3; 8]).unwrap();
    let spent = cost(|| {
        cursor.seek(SeekFrom::Start(2000)).unwrap();
        cursor.write_all(&[4; 8]).unwrap();
    });
    assert_eq!(flushes_fences_syncs(spent), (1, 0, 0), "a write elsewhere flushes the one before");
    assert_eq!(flushes_fences_syncs(cost(|| drop(cursor))), (1, 1, 0));
    let mut cursor = map.cursor();
    let mut byte = [0];
    cursor.read_exact(&mut byte).unwrap();
    assert_eq!(flushes_fences_syncs(cost(|| drop(cursor))), (0, 0, 0), "reading costs nothing");
}

// ------------------------------------------------------------------------------------------------- typed slices

#[test]
fn bytes_are_seen_as_values() {
    let scratch = Scratch::new();
    let mut map = scratch.map(Domain::Page);
    for (i, value) in map.as_mut_slice_of::<i32>(..).unwrap().iter_mut().enumerate() {
        *value = -(i as i32);
    }
    assert_eq!(map.as_slice_of::<i32>(8..20).unwrap(), [-2, -3, -4]);
    assert_eq!(map.as_slice_of::<[i32; 3]>(8..20).unwrap(), [[-2, -3, -4]]);
    assert_eq!(map.as_slice_of::<f64>(LEN..).unwrap(), []);
    for (range, size, align) in [(1..5, 4, 4), (2..6, 4, 4), (0..3, 4, 4)] {
        let misaligned = |result: Result<(), Error>| {
            let Err(Error::Misaligned { len, size: found_size, align: found_align, .. }) = result else {
                panic!("{result:?}")
            };
            assert_eq!((len, found_size, found_align), (range.len() as u64, size, align));
        };
        misaligned(map.as_slice_of::<i32>(range.clone()).map(|_| ()));
        misaligned(map.as_mut_slice_of::<i32>(range.clone()).map(|_| ()));
        misaligned(map.flush_guard().as_mut_slice_of::<i32>(range.clone()).map(|_| ()));
    }
    let error = map.as_slice_of::<u64>(4..9).unwrap_err().to_string();
    assert!(
        error.starts_with("5 bytes at address 0x")
            && error.ends_with("whole values of 8 bytes that start at a multiple of 8"),
        "{error}"
    );
}

// ----------------------------------------------------------------------------------------------------- model

#[derive(Clone, Debug)]
enum Step {
    Copy(usize, Vec<u8>, usize),
    Fill(usize, usize, u8, usize),
    Move(usize, usize, usize, usize),
    Store(usize, u8),
    Write(usize, Vec<u8>),
    Batch(Vec<(usize, Vec<u8>)>),
    Reopen,
}

const MODEL_LEN: usize = 3000;

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..600);
    prop_oneof![
        (0..MODEL_LEN + 50, bytes(), 0usize..3).prop_map(|(at, bytes, hint)| Step::Copy(at, bytes, hint)),
        (0..MODEL_LEN, 0usize..700, any::<u8>(), 0usize..3)
            .prop_map(|(at, len, byte, hint)| Step::Fill(at, len, byte, hint)),
        (0..MODEL_LEN, 0usize..900, 0..MODEL_LEN, 0usize..3)
            .prop_map(|(at, len, to, hint)| Step::Move(at, len, to, hint)),
        (0..MODEL_LEN, any::<u8>()).prop_map(|(at, byte)| Step::Store(at, byte)),
        (0..MODEL_LEN, bytes()).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        prop::collection::vec((0..MODEL_LEN, bytes()), 0..5).prop_map(Step::Batch),
        Just(Step::Reopen),
    ]
}

/// What a vector says to the same copy.
fn copied(model: &mut [u8], at: usize, bytes: &[u8]) -> bool {
    let place = model.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
    place.map(|place| place.copy_from_slice(bytes)).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_mapping_is_a_vector_that_lasts(domain in 0usize..3, steps in prop::collection::vec(step(), 1..40)) {
        let scratch = Scratch::new();
        let path = scratch.path("model");
        let options = MapOptions::new().size(MODEL_LEN as u64).force_domain(DOMAINS[domain]);
        let mut map = options.create(&path).unwrap();
        let mut model = vec![0; MODEL_LEN];
        for step in steps {
            match step {
                Step::Copy(at, bytes, hint) => {
                    let result = map.copy_at(at, &bytes, HINTS[hint]);
                    prop_assert_eq!(result.is_ok(), copied(&mut model, at, &bytes));
                }
                Step::Fill(at, len, byte, hint) => {
                    let result = map.fill(at..at + len, byte, HINTS[hint]);
                    prop_assert_eq!(result.is_ok(), copied(&mut model, at, &vec![byte; len]));
                }
                Step::Move(at, len, to, hint) => {
                    let result = map.move_within(at..at + len, to, HINTS[hint]);
                    let bytes = model.get(at..at + len).map(<[u8]>::to_vec);
                    let wanted = bytes.is_some_and(|bytes| copied(&mut model, to, &bytes));
                    prop_assert_eq!(result.is_ok(), wanted);
                }
                Step::Store(at, byte) => {
                    map.as_mut_slice().unwrap()[at] = byte;
                    map.persist(at..=at).unwrap();
                    model[at] = byte;
                }
                Step::Write(at, mut bytes) => {
                    let mut cursor = map.cursor();
                    cursor.seek(SeekFrom::Start(at as u64)).unwrap();
                    bytes.truncate(cursor.write(&bytes).unwrap());
                    prop_assert!(copied(&mut model, at, &bytes));
                }
                Step::Batch(parts) => {
                    let mut guard = map.drain_guard();
                    for (at, bytes) in parts {
                        let result = guard.copy_at(at, &bytes, Hint::NonTemporal);
                        prop_assert_eq!(result.is_ok(), copied(&mut model, at, &bytes));
                    }
                    guard.finish().unwrap();
                }
                Step::Reopen => {
                    drop(map);
                    map = options.open(&path).unwrap();
                }
            }
            prop_assert!(map.as_slice() == model);
        }
        drop(map);
        prop_assert!(fs::read(&path).unwrap() == model);
    }
}

// -------------------------------------------------------------------------------------------------- processes

/// The variable that turns [`child_process`] into a child: what to do, and on which file.
const CHILD: &str = "POBJ_TEST_PMEM_CHILD";
const ROUNDS: u64 = 40;

fn child(task: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "child_process", "--nocapture"]);
    command.env(CHILD, format!("{task} {}", path.display())).stdout(Stdio::piped());
    command
}

/// Not a test of its own: what the children of the tests below do.
#[test]
fn child_process() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (task, path) = order.split_once(' ').expect("a task and a path");
    let options = MapOptions::new().size(LEN as u64);
    match task {
        "domain" => println!(
            "\ndomain {}",
            options.create(path).map_or("refused".into(), |map| map.domain().to_string())
        ),
        domain => {
            let domain = domain.parse().expect("a domain");
            let mut map = options.force_domain(domain).open_or_create(path).expect("a mapping");
            let round = map.as_slice_of::<u64>(..8).expect("a word")[0] + 1;
            map.fill(64.., round as u8, Hint::Auto).expect("a fill");
            map.as_mut_slice_of::<u64>(..8).expect("a word")[0] = round;
            map.persist(..8).expect("a persist");
            println!("\npersisted {round}");
            // Half done when the kill comes: stored, and not flushed.
            map.as_mut_slice_of::<u64>(8..16).expect("a word")[0] = round;
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
    }
}

/// The first line of a child's output that starts with `word`, without it.
fn answer(output: impl Read, word: &str) -> Option<String> {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.find_map(|line| line.strip_prefix(word).map(str::to_owned))
}

fn kill_after_persist(directory: &Path, domain: Domain) {
    let path = directory.join("killed");
    for round in 1..=ROUNDS {
        let mut writer = child(&domain.to_string(), &path).spawn().expect("a child");
        let said = answer(writer.stdout.take().expect("its output"), "persisted ");
        writer.kill().expect("SIGKILL");
        writer.wait().expect("its end");
        assert_eq!(said, Some(round.to_string()));
        let map = MappedFile::open_read_only(&path).expect("the lock is free");
        assert_eq!(map.as_slice_of::<u64>(..8).unwrap(), [round]);
        assert!(map.as_slice()[64..].iter().all(|byte| *byte == round as u8));
    }
}

#[test]
fn what_a_killed_process_persisted_is_there() {
    kill_after_persist(Scratch::new().0.path(), Domain::Page);
    let memory = Path::new("/dev/shm");
    match tempfile::tempdir_in(memory) {
        Ok(directory) => {
            kill_after_persist(directory.path(), Domain::CacheLine);
            fs::remove_file(directory.path().join("killed")).unwrap();
            kill_after_persist(directory.path(), Domain::Byte);
        }
        Err(e) => println!("skipped: no file system in memory at {} ({e})", memory.display()),
    }
}

#[test]
fn the_environment_forces_a_domain() {
    let scratch = Scratch::new();
    for (name, wanted) in [("byte", "byte"), ("line", "line"), ("page", "page"), ("slow", "refused")] {
        let output = child("domain", &scratch.path(name)).env("POBJ_DOMAIN", name).output().expect("a child");
        assert_eq!(answer(output.stdout.as_slice(), "domain ").as_deref(), Some(wanted));
    }
}
