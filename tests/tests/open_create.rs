//! Creating and opening: what is refused, with which error, and what is left behind.
//!
//! Catches: a half-made pool that stays, a file that is replaced, a second owner, a pool opened at another address or
//! under another type, a transaction that waits for itself.

#![allow(clippy::unit_arg, reason = "a transaction of one statement stays one expression")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};

use pobj::{Error, PBox, Persistent, Pool};
use tests::support::{Chain, ChainPool, SMALLEST, directory, names_in, push, small};

fn chains() -> pobj::Options<Chain<'static>> {
    small(8 << 20)
}

/// A directory with a closed pool of three links.
fn with_pool() -> (tempfile::TempDir, PathBuf) {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    let pool = chains().create(&path).unwrap();
    (1..=3).for_each(|value| push(&pool, value).unwrap());
    pool.close().unwrap();
    (directory, path)
}

fn assert_open(path: &Path, values: &[u64]) {
    let pool = chains().open(path).unwrap();
    assert_eq!(pool.read().values(), values);
    pool.close().unwrap();
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

// ---- create: A1, B1 ----

/// Catches a directory that is made on the way, or an error that does not name the path.
#[test]
fn create_in_a_missing_directory_is_an_error_and_makes_none() {
    let directory = directory();
    let path = directory.path().join("missing/a.pobj");
    let error = chains().create(&path).unwrap_err();
    assert!(is_not_found(&error), "{error:?}");
    assert!(error.to_string().contains("missing/a.pobj"), "{error}");
    assert!(names_in(directory.path()).is_empty());
}

/// Catches a limit that is off by one: the smallest pool works, one chunk less is refused, and nothing is left.
#[test]
fn the_smallest_pool_works_and_a_smaller_one_is_refused() {
    let directory = directory();
    let path = directory.path().join("min.pobj");
    for max_size in [0, 1, 4096, SMALLEST - (64 << 10), SMALLEST - 1] {
        let error = small::<Chain>(max_size).size(0).create(&path).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { option: "max_size", .. }), "{max_size}: {error:?}");
        assert!(names_in(directory.path()).is_empty(), "{max_size}: something was left");
    }
    for max_size in [SMALLEST, SMALLEST + 1] {
        let pool = small::<Chain>(max_size).size(0).create(&path).unwrap();
        (0..1000).for_each(|value| push(&pool, value).unwrap());
        assert_eq!(pool.stats().max_len, SMALLEST);
        pool.close().unwrap();
        assert_eq!(chains().open(&path).unwrap().read().values().len(), 1000);
        fs::remove_file(&path).unwrap();
    }
}

/// Catches a limit of the ring that differs from what the documentation of `ring_size` promises.
#[test]
fn the_smallest_ring_works_and_a_smaller_one_is_refused() {
    let directory = directory();
    let path = directory.path().join("ring.pobj");
    for ring in [0, 1, 4096, (64 << 10) - 4096, (64 << 10) - 1, (1 << 30) + 1, u64::MAX] {
        let error = chains().ring_size(ring).create(&path).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { option: "ring_size", .. }), "{ring}: {error:?}");
        assert!(names_in(directory.path()).is_empty());
    }
    let pool = chains().ring_size(64 << 10).create(&path).unwrap();
    push(&pool, 1).unwrap();
}

/// Catches sums that overflow, and address space that is taken before the length is checked.
#[test]
fn a_huge_pool_is_refused_or_costs_address_space_only() {
    let directory = directory();
    let path = directory.path().join("huge.pobj");
    for max_size in [(4 << 40) + 1, 1 << 46, 1 << 62, u64::MAX] {
        let error = chains().max_size(max_size).create(&path).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { option: "max_size", .. }), "{max_size}: {error:?}");
    }
    for size in [(8 << 20) + 1, 1 << 50, u64::MAX] {
        let error = chains().size(size).create(&path).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { option: "size", .. }), "{size}: {error:?}");
    }
    assert!(names_in(directory.path()).is_empty());
    let pool = chains().max_size(4 << 40).create(&path).unwrap();
    push(&pool, 1).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 16 << 20, "address space was paid for with disk");
    pool.close().unwrap();
    assert_open(&path, &[1]);
}

/// Catches a size that the file system cannot give, taken for success: more than any disk holds.
#[test]
fn a_size_beyond_the_disk_is_the_systems_error_and_leaves_nothing() {
    let directory = directory();
    let path = directory.path().join("large.pobj");
    let error = chains().max_size(4 << 40).size(4 << 40).create(&path).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(names_in(directory.path()).is_empty(), "{:?}", names_in(directory.path()));
}

/// Catches `create` writing into what is there (A5): a pool, any file, an empty one, a directory, a dangling link.
#[test]
fn create_never_replaces_what_is_there() {
    let (directory, path) = with_pool();
    let before = fs::read(&path).unwrap();
    assert!(matches!(chains().create(&path), Err(Error::AlreadyExists { path: named }) if named == path));
    assert!(fs::read(&path).unwrap() == before);
    for content in ["", "a letter to someone"] {
        let other = directory.path().join("other");
        fs::write(&other, content).unwrap();
        assert!(matches!(chains().create(&other), Err(Error::AlreadyExists { .. })));
        assert_eq!(fs::read_to_string(&other).unwrap(), content);
    }
    assert!(matches!(chains().create(directory.path()), Err(Error::AlreadyExists { .. })));
    let link = directory.path().join("link");
    symlink(directory.path().join("nowhere"), &link).unwrap();
    assert!(matches!(chains().create(&link), Err(Error::AlreadyExists { .. })));
    assert!(!directory.path().join("nowhere").exists());
    assert_eq!(names_in(directory.path()), ["a.pobj", "link", "other"]);
    assert_open(&path, &[3, 2, 1]);
}

/// Catches a pool that stands in the way of its own creation: somebody takes the name while `init` runs.
#[test]
fn a_name_taken_during_creation_is_not_replaced() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    let result = chains().create_with(&path, |_| {
        fs::write(&path, "mine")?;
        Ok(Chain::default())
    });
    assert!(matches!(result, Err(Error::AlreadyExists { .. })), "{result:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(names_in(directory.path()), ["a.pobj"]);
}

/// Catches a half-made pool that others can see (A7): an `init` that fails, panics, or runs out of space.
#[test]
fn a_failing_init_leaves_no_file() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    let error = chains().create_with(&path, |_| Err(Error::abort("no"))).unwrap_err();
    assert_eq!(error.to_string(), "transaction aborted: no");
    assert!(names_in(directory.path()).is_empty());

    let outcome = std::panic::catch_unwind(|| chains().create_with(&path, |_| panic!("on purpose")));
    assert!(outcome.is_err());
    assert!(names_in(directory.path()).is_empty());

    let error = small::<Chain>(SMALLEST)
        .create_with(&path, |tx| {
            let mut chain = Chain::default();
            loop {
                chain.push(tx, 7)?;
            }
        })
        .unwrap_err();
    assert!(matches!(error, Error::PoolFull { max_len: SMALLEST, .. }), "{error:?}");
    assert!(names_in(directory.path()).is_empty());
}

/// Catches a root that is made again, or not as `init` made it (B3).
#[test]
fn the_root_is_made_once_and_stays() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    let mut calls = 0;
    let pool = chains()
        .create_with(&path, |tx| {
            calls += 1;
            let mut chain = Chain::default();
            chain.push(tx, 41)?;
            chain.push(tx, 42)?;
            Ok(chain)
        })
        .unwrap();
    assert_eq!((calls, pool.read().values()), (1, vec![42, 41]));
    // Nobody closes: the root must be durable when `create` returns.
    drop(pool);
    assert_open(&path, &[42, 41]);
    assert_open(&path, &[42, 41]);
}

/// Catches a root without bytes beyond its default (B3): all fields are those of `Default`.
#[test]
fn a_default_root_is_that_of_the_type() {
    #[derive(Persistent)]
    #[repr(C)]
    struct Odd {
        first: u64,
        flag: bool,
        letter: char,
    }
    impl Default for Odd {
        fn default() -> Self {
            Self { first: 0xDEAD, flag: true, letter: 'x' }
        }
    }
    let directory = directory();
    let path = directory.path().join("odd.pobj");
    drop(Pool::<Odd>::create(&path).unwrap());
    let pool = Pool::<Odd>::open(&path).unwrap();
    let odd = pool.read();
    assert_eq!((odd.first, odd.flag, odd.letter), (0xDEAD, true, 'x'));
}

// ---- open: A2, B1, B2 ----

/// Catches `open` creating, and an error that cannot be told from others.
#[test]
fn open_of_a_missing_file_is_not_found_and_makes_none() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    assert!(matches!(chains().open(&path), Err(Error::NotFound { path: named }) if named == path));
    assert!(matches!(chains().open_read_only(&path), Err(Error::NotFound { .. })));
    assert!(names_in(directory.path()).is_empty());
    assert!(matches!(chains().open(""), Err(Error::NotFound { .. } | Error::Io { .. })));
    assert!(chains().create("").is_err());
}

/// Catches `open_or_create` losing what is there, or replacing what it cannot read (B2).
#[test]
fn open_or_create_creates_once_and_then_opens() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    for round in 1..=3 {
        let pool = chains().open_or_create(&path).unwrap();
        push(&pool, round).unwrap();
        pool.close().unwrap();
    }
    assert_open(&path, &[3, 2, 1]);
    let other = directory.path().join("letter");
    fs::write(&other, "Dear Sir or Madam, I am not a pool").unwrap();
    assert!(matches!(chains().open_or_create(&other), Err(Error::NotAPool { .. })));
    assert_eq!(fs::read_to_string(&other).unwrap(), "Dear Sir or Madam, I am not a pool");
}

/// Catches a refused open that has already changed the file, for each thing that open refuses.
#[test]
fn a_refused_open_leaves_the_file_as_it_was() {
    let (directory, path) = with_pool();
    let good = fs::read(&path).unwrap();
    let wrong_version = {
        let mut bytes = good.clone();
        for slot in [0, 4096] {
            bytes[slot + 8] = 9;
            let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[slot..slot + 504], 0x706F_626A_2068_6472);
            bytes[slot + 504..slot + 512].copy_from_slice(&sum.to_le_bytes());
        }
        bytes
    };
    let garbage = {
        let mut bytes = good.clone();
        bytes[..8192].fill(0xA5);
        bytes
    };
    type Expected = fn(&Error) -> bool;
    let cases: [(&str, Vec<u8>, Expected); 4] = [
        ("empty", Vec::new(), |error| matches!(error, Error::NotAPool { .. })),
        ("garbage", garbage, |error| matches!(error, Error::NotAPool { .. })),
        ("version", wrong_version, |error| {
            matches!(error, Error::UnsupportedFormat { what: "format version", found: 9, supported: 1 })
        }),
        ("cut in the header", good[..300].to_vec(), |error| matches!(error, Error::Corrupt { .. })),
    ];
    for (name, bytes, expected) in cases {
        let path = directory.path().join(name);
        fs::write(&path, &bytes).unwrap();
        for error in [chains().open(&path).unwrap_err(), chains().open_or_create(&path).unwrap_err()] {
            assert!(expected(&error), "{name}: {error:?}");
        }
        assert!(fs::read(&path).unwrap() == bytes, "{name}: the file was changed");
    }
}

/// Catches an open that cuts away what it does not understand: a damaged length makes the pool look shorter than its
/// file, whose tail holds the objects.
#[test]
fn a_refused_open_never_shortens_the_file() {
    let (directory, path) = with_pool();
    let good = fs::read(&path).unwrap();
    let mut bytes = good.clone();
    let heap_len = u64::from_le_bytes(bytes[0x4008..0x4010].try_into().unwrap());
    assert_eq!(heap_len, good.len() as u64, "word 1 of the superblock is the pool's length");
    bytes[0x4008..0x4010].copy_from_slice(&(heap_len - (64 << 10)).to_le_bytes());
    let path = directory.path().join("short");
    fs::write(&path, &bytes).unwrap();
    let error = chains().open(&path).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(fs::metadata(&path).unwrap().len(), heap_len, "the objects were cut off");
}

/// Catches types that are taken for others: the message names each field that differs.
#[test]
fn another_root_type_is_refused_with_the_fields_that_differ() {
    mod program {
        use pobj::{PBox, Persistent};
        #[derive(Persistent, Default)]
        #[repr(C)]
        pub struct App<'p> {
            pub hits: u64,
            pub age: u64,
            pub next: Option<PBox<'p, u64>>,
        }
    }
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct App<'p> {
        hits: u64,
        age: u32,
        next: Option<PBox<'p, u64>>,
    }
    let directory = directory();
    let path = directory.path().join("a.pobj");
    Pool::<App>::create(&path).unwrap().write(|app, _| Ok(app.age = 7)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Pool::<program::App>::open(&path).unwrap_err();
    assert!(error.to_string().contains("App.age: u32 in the pool, u64 in the program"), "{error}");
    let Error::SchemaMismatch { differences } = error else { panic!("{error:?}") };
    assert!(
        !differences.iter().any(|line| line.contains("hits") || line.contains("next")),
        "{differences:?}"
    );
    let error = Pool::<u64>::open(&path).unwrap_err();
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error:?}");
    let error = Pool::<App>::open_read_only(&path).map(|pool| pool.read().age);
    assert_eq!(error.unwrap(), 7);
    assert!(fs::read(&path).unwrap() == before, "a refused open changed the file");
}

// ---- the lock: A3, B4 ----

/// Catches a second owner in the same process, and a lock that outlives its pool.
#[test]
fn a_second_open_is_locked_until_the_first_closes() {
    let (_directory, path) = with_pool();
    let first = chains().open(&path).unwrap();
    for error in [
        chains().open(&path).unwrap_err(),
        chains().open_or_create(&path).unwrap_err(),
        chains().open_read_only(&path).map(drop).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Locked { path: named } if *named == path), "{error:?}");
        assert!(error.to_string().contains("a.pobj"), "{error}");
    }
    push(&first, 4).unwrap();
    first.close().unwrap();
    let second = chains().open(&path).unwrap();
    assert_eq!(second.read().values(), [4, 3, 2, 1]);
    drop(second);
    assert_open(&path, &[4, 3, 2, 1]);
}

/// Catches a race between threads for the lock (A4): exactly one owner at a time, and no error but `Locked`.
#[test]
fn threads_that_open_and_close_take_turns() {
    let (_directory, path) = with_pool();
    let pushed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut pushed = 0;
                    for _ in 0..40 {
                        match chains().open(&path) {
                            Ok(pool) => {
                                push(&pool, 9).unwrap();
                                pushed += 1;
                                pool.close().unwrap();
                            }
                            Err(Error::Locked { .. }) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    }
                    pushed
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(pushed > 0);
    assert_eq!(chains().open(&path).unwrap().read().values().len(), 3 + pushed);
}

/// Catches two winners among threads that create the same name, and temporary files that stay (A4).
#[test]
fn of_many_creators_one_wins() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    let start = Barrier::new(8);
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    match chains().create(&path) {
                        Ok(pool) => {
                            pool.close().unwrap();
                            1
                        }
                        Err(Error::AlreadyExists { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(made, 1);
    assert_eq!(names_in(directory.path()), ["a.pobj"]);
}

// ---- addresses ----

/// Catches an open that puts the pool elsewhere, or writes before it knows: two copies cannot both have the range.
#[test]
fn a_copy_of_an_open_pool_is_refused_by_address_and_untouched() {
    let (directory, path) = with_pool();
    let copy = directory.path().join("copy.pobj");
    fs::copy(&path, &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    let pool = chains().open(&path).unwrap();
    let error = chains().open(&copy).unwrap_err();
    let (base, len) = (pool.stats().base, pool.stats().max_len);
    assert!(matches!(error, Error::AddressTaken { base: b, len: l } if (b, l) == (base, len)), "{error:?}");
    assert!(error.to_string().contains(&format!("{base:#x}..{:#x}", base + len)), "{error}");
    assert!(fs::read(&copy).unwrap() == before, "the copy was changed");
    assert!(matches!(chains().open_read_only(&copy), Err(Error::AddressTaken { .. })));
    drop(pool);
    assert_open(&copy, &[3, 2, 1]);
}

/// Catches the same with a journal to recover: recovery must not begin before the range is known to be free.
#[test]
fn a_copy_with_a_journal_is_refused_before_it_is_recovered() {
    let (directory, path) = with_pool();
    let pool = chains().open(&path).unwrap();
    (4..=9).for_each(|value| push(&pool, value).unwrap());
    let copy = directory.path().join("copy.pobj");
    fs::copy(&path, &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    assert!(matches!(chains().open(&copy), Err(Error::AddressTaken { .. })));
    assert!(fs::read(&copy).unwrap() == before, "the copy was changed");
    drop(pool);
    assert_open(&copy, &[9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

/// Catches a range that is replaced: somebody else's mapping there stays as it is.
#[test]
fn a_foreign_mapping_in_the_range_survives() {
    let (_directory, path) = with_pool();
    let pool = chains().open(&path).unwrap();
    let (base, len) = (pool.stats().base, pool.stats().max_len);
    drop(pool);
    let place = base + len / 2;
    // SAFETY: MAP_FIXED_NOREPLACE touches no existing mapping.
    let page = unsafe {
        libc::mmap(
            place as *mut libc::c_void,
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        )
    };
    assert_eq!(page as u64, place);
    // SAFETY: the page was mapped just now, for reading and writing.
    unsafe { page.cast::<u64>().write(0xFEED) };
    assert!(matches!(chains().open(&path), Err(Error::AddressTaken { base: b, .. }) if b == base));
    // SAFETY: still mapped; that its content is still there is what is tested.
    assert_eq!(unsafe { page.cast::<u64>().read() }, 0xFEED);
    // SAFETY: mapped above, and nothing refers to it.
    unsafe { libc::munmap(page, 4096) };
    assert_open(&path, &[3, 2, 1]);
}

// ---- several pools, nesting ----

/// Catches two pools that share anything, and a transaction that takes another pool's for its own.
#[test]
fn two_pools_are_independent_and_their_writes_nest() {
    let directory = directory();
    let [a, b] = ["a.pobj", "b.pobj"].map(|name| chains().create(directory.path().join(name)).unwrap());
    assert_ne!(a.stats().base, b.stats().base);
    a.write(|chain, tx| {
        chain.push(tx, 1)?;
        b.write(|other, other_tx| {
            other.push(other_tx, 10)?;
            // A read of a third kind: the outer pool is being written, the inner one too.
            assert!(matches!(a.try_read(), Err(Error::Nested)));
            other.push(other_tx, 11)
        })?;
        // The inner transaction is over: it stays, whatever becomes of the outer one.
        let refused = b.write(|other, other_tx| {
            other.pop(other_tx);
            Err::<(), _>(Error::abort("inner"))
        });
        assert!(matches!(refused, Err(Error::Aborted(_))));
        assert_eq!(b.read().values(), [11, 10]);
        Err::<(), _>(Error::abort("outer"))
    })
    .unwrap_err();
    assert_eq!((a.read().values(), b.read().values()), (vec![], vec![11, 10]));
    assert_eq!(a.stats().heap.live_blocks, 1, "only the root");
    assert_eq!(b.stats().heap.live_blocks, 3);
}

/// Catches a deadlock: what can never start is refused at once, and the outer transaction goes on.
#[test]
fn a_nested_transaction_on_one_pool_is_an_error() {
    let directory = directory();
    let pool = chains().create(directory.path().join("a.pobj")).unwrap();
    pool.write(|chain, tx| {
        chain.push(tx, 1)?;
        assert!(matches!(push(&pool, 2), Err(Error::Nested)));
        assert!(matches!(pool.try_read(), Err(Error::Nested)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.read().count)).is_err());
        chain.push(tx, 3)
    })
    .unwrap();
    assert_eq!(pool.read().values(), [3, 1]);
}

/// Catches the other deadlock: a writer that waits for its own thread's read guard.
#[test]
fn a_write_under_a_read_guard_is_an_error() {
    let directory = directory();
    let pool = chains().create(directory.path().join("a.pobj")).unwrap();
    let guard = pool.read();
    assert!(matches!(push(&pool, 1), Err(Error::ReadGuardHeld)));
    let second = pool.read();
    drop(guard);
    assert!(matches!(push(&pool, 1), Err(Error::ReadGuardHeld)), "one guard is left");
    assert_eq!(second.count, 0);
    drop(second);
    push(&pool, 1).unwrap();
    // Another thread's guard is no obstacle but a reason to wait.
    std::thread::scope(|scope| {
        let guard = pool.read();
        let writer = scope.spawn(|| push(&pool, 2));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(guard.values(), [1]);
        drop(guard);
        writer.join().unwrap().unwrap();
    });
    assert_eq!(pool.read().values(), [2, 1]);
}

/// Catches threads that see different roots (A7), and a reader that sees half a transaction (B48's kind).
#[test]
fn all_threads_see_one_root_and_whole_transactions() {
    let directory = directory();
    let pool: Arc<ChainPool> = Arc::new(chains().create(directory.path().join("a.pobj")).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    // `values` insists that the list and its count agree.
                    assert_eq!(pool.read().values().len() % 2, 0);
                }
            });
        }
        for value in 0..100 {
            pool.write(|chain, tx| {
                chain.push(tx, value)?;
                chain.push(tx, value)
            })
            .unwrap();
        }
    });
    let here = std::ptr::from_ref(&*pool.read()).addr();
    let there =
        std::thread::scope(|scope| scope.spawn(|| std::ptr::from_ref(&*pool.read()).addr()).join().unwrap());
    assert_eq!(here, there);
    assert_eq!(pool.read().count, 200);
}
