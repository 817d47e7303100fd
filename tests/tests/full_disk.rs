//! A real full disk, as small as a mount can make it: at creation, at growth, for a transaction larger than the ring,
//! and when a hole is filled again.
//!
//! Catches: a signal (SIGBUS in a hole), a pool that is poisoned, leaks or holds half a transaction, a free that needs
//! space.

#![allow(clippy::unit_arg, reason = "a transaction of one statement stays one expression")]

use std::fs;
use std::path::{Path, PathBuf};

use pobj::{Durability, Error, Pool};
use tests::support::bags::{Bags, bag, bags};
use tests::support::{child, child_argument, directory};

const MIB: u64 = 1 << 20;

/// Mounts a small disk in memory for this process alone; says why if that is not permitted.
fn mount_small_disk(at: &Path, bytes: u64) -> std::result::Result<(), String> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let at = CString::new(at.as_os_str().as_bytes()).unwrap();
    let options = CString::new(format!("size={bytes}")).unwrap();
    let failed = |what: &str| Err(format!("{what}: {}", std::io::Error::last_os_error()));
    // SAFETY: gives this process, a child made for this, its own view of the mounts.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return failed("no mount namespace");
    }
    let none = std::ptr::null();
    // SAFETY: keeps later mounts to this view; all arguments are C strings or null where the call allows it.
    if unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) } != 0 {
        return failed("no private mounts");
    }
    // SAFETY: all arguments are C strings.
    if unsafe { libc::mount(c"tmpfs".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()) }
        != 0
    {
        return failed("no tmpfs");
    }
    Ok(())
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ENOSPC))
}

#[test]
fn part_fills_a_small_disk() {
    let Some(directory) = child_argument("part_fills_a_small_disk") else { return };
    let directory = PathBuf::from(directory);
    if let Err(reason) = mount_small_disk(&directory, 8 * MIB) {
        println!("\nskipped: {reason}");
        return;
    }
    let path = directory.join("a.pobj");
    // Creating: too large for the disk, and nothing stays.
    let error = bags(1 << 30).size(9 * MIB).create(&path).unwrap_err();
    assert!(is_full(&error), "{error:?}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);

    let mut pool = bags(1 << 30).durability(Durability::Immediate).create(&path).unwrap();
    let mut count = 0;
    for round in 0..3 {
        // Growing.
        let error = loop {
            let outcome = pool.write(|root, tx| {
                let bag = bag(tx, 300_000, count as u8)?;
                root.bags.push(tx, bag)
            });
            match outcome {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(is_full(&error), "{error:?}");
        assert!(count >= 10, "only {count} bags of 300,000 bytes on 8 MiB");
        let blocks = pool.stats().heap.live_blocks;
        // A transaction larger than the ring, of which nothing can be kept.
        let refused = pool.write(|root, tx| {
            for bag in root.bags.iter_mut(tx) {
                bag.iter_mut(tx).for_each(|byte| *byte ^= 0xFF);
            }
            Ok(())
        });
        assert!(refused.as_ref().err().is_none_or(is_full), "{refused:?}");
        let flip = if refused.is_ok() { 0xFF } else { 0 };
        // An error that the closure swallows: what it committed is whole, and nothing leaks.
        pool.write(|_, tx| {
            for _ in 0..3 {
                assert!(bag(tx, 3_000_000, 1).is_err_and(|error| is_full(&error)));
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.stats().heap.live_blocks, blocks);
        let check = |pool: &Pool<Bags<'static>>| {
            let root = pool.read();
            assert_eq!(root.bags.len(), count);
            for (index, bag) in root.bags.iter().enumerate() {
                assert!(
                    bag.len() == 300_000 && bag.iter().all(|byte| *byte == index as u8 ^ flip),
                    "bag {index}"
                );
            }
        };
        check(&pool);
        // Closing and opening need no space.
        pool.close().unwrap();
        pool = bags(1 << 30).durability(Durability::Immediate).open(&path).unwrap();
        check(&pool);
        // Freeing always works; its room, holes included, can be used again.
        while count > 4 {
            pool.write(|root, _| Ok(drop(root.bags.pop()))).unwrap();
            count -= 1;
        }
        pool.checkpoint().unwrap();
        pool.write(|root, _| {
            root.bags.clear();
            Ok(())
        })
        .unwrap();
        count = 0;
        pool.checkpoint().unwrap();
        println!("round {round}: {blocks} blocks on a full disk");
    }
    fill_holes_on_a_full_disk(&pool, &directory);
    pool.close().unwrap();
    println!("\nwent on");
}

/// The pool has holes, and somebody else has taken their space: each block that would lie in one is refused, and a
/// closure that goes on without it leaks nothing.
fn fill_holes_on_a_full_disk(pool: &Pool<Bags<'static>>, directory: &Path) {
    let add = |len: usize| {
        pool.write(|root, tx| {
            let bag = bag(tx, len, 1)?;
            root.bags.push(tx, bag)
        })
    };
    (0..8).for_each(|_| add(300_000).unwrap());
    pool.write(|root, _| Ok(root.bags.clear())).unwrap();
    pool.checkpoint().unwrap();
    // Finds the moment to punch.
    add(100).unwrap();
    let other = directory.join("other");
    let mut file = fs::File::create(&other).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    let blocks = pool.stats().heap.live_blocks;
    for swallow in [false, true, true] {
        let outcome = pool.write(|root, tx| match bag(tx, 1_500_000, 7) {
            Ok(_) => Err(Error::abort("there is no space for this")),
            Err(error) if swallow && is_full(&error) => {
                if let Some(byte) = root.bags.get_mut(0, tx).and_then(|bag| bag.get_mut(0, tx)) {
                    *byte ^= 1;
                }
                Ok(())
            }
            Err(error) => Err(error),
        });
        assert!(if swallow { outcome.is_ok() } else { outcome.as_ref().is_err_and(is_full) }, "{outcome:?}");
        assert_eq!(pool.stats().heap.live_blocks, blocks, "a block that was refused leaks");
    }
    drop(file);
    fs::remove_file(other).unwrap();
    add(1_500_000).unwrap();
    assert!(pool.read().bags[1].iter().all(|byte| *byte == 1));
}

/// Catches a full disk that kills (SIGBUS in a hole), poisons, leaks, or leaves half a transaction: at creation, at
/// growth, for a transaction larger than the ring, and when a hole is filled again.
#[test]
fn a_full_disk_is_an_error_and_the_pool_goes_on() {
    let directory = directory();
    let output = child("part_fills_a_small_disk", directory.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(reason) = text.lines().find(|line| line.starts_with("skipped")) {
        println!("{reason}");
        return;
    }
    assert!(
        output.status.success() && text.contains("went on"),
        "{:?} {text} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
