//! The cases that mount something, in a view of the mounts that ends with their process.

use std::fs;
use std::io::Write;
use std::path::Path;

use pobj::log::Log;
use pobj::media::{Domain, ImageMode};
use pobj::{Durability, Error, Options};

use super::cases::{fill, goes_on, mounts};
use super::process::{End, in_child, mount_ext4, mount_memory, run};
use super::{
    Said, assert_names, both, check_log, check_pool, is, make_log, make_pool, only, options, says,
    subdirectory, words,
};
use crate::support::bags::{Bags, bag, bags};
use crate::support::{ChainPool, small};

/// Goes on with the value, or ends the case: it is skipped.
macro_rules! need {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(reason) => return Said::from(reason),
        }
    };
}

impl From<String> for Said {
    fn from(reason: String) -> Self {
        Self::Skipped(reason)
    }
}

pub(super) fn read_only_mount(dir: &Path) -> Said {
    need!(mounts());
    let at = subdirectory(dir, "disk").expect("a directory");
    need!(mount_memory(&at, 8));
    let (pool, log) = (make_pool(&at), make_log(&at));
    need!(run("mount", &[&"-o", &"remount,ro", &at]));
    let read_only = is(libc::EROFS);
    let said = (says(options().open(&pool), dir, &read_only), says(Log::open(&log), dir, &read_only));
    says(options().create(at.join("new")), dir, &read_only);
    assert_eq!(options().open_read_only(&pool).expect("it can be read").read().values(), [3, 2, 1]);
    super::check_reader(&log);
    both(said.0 + "; to be read it opens", &said.1)
}

pub(super) fn full_at_creation(dir: &Path) -> Said {
    need!(mounts());
    let at = subdirectory(dir, "disk").expect("a directory");
    need!(mount_memory(&at, 8));
    let full = is(libc::ENOSPC);
    let said = says(small::<crate::support::Chain>(1 << 30).size(9 << 20).create(at.join("a")), dir, &full);
    let log = says(Log::create(at.join("b"), 9 << 20), dir, &full);
    assert_names(&at, &[]);
    both(said, &log)
}

/// Fills the disk by growth; then the pool goes on.
fn full_by_growth(dir: &Path, at: &Path) -> Said {
    let path = at.join("a.pobj");
    let pool: ChainPool = small(1 << 30).create(&path).expect("a pool");
    let (_, error) = fill(&pool);
    assert!(is(libc::ENOSPC)(&error), "{error:?}");
    let log = says(Log::create(at.join("b"), 1 << 20), dir, is(libc::ENOSPC));
    goes_on(pool, &path);
    assert_names(at, if at.join("lost+found").exists() { &["a.pobj", "lost+found"] } else { &["a.pobj"] });
    both(words(&error, dir) + "; rolled back, and goes on", &log)
}

pub(super) fn full_at_growth(dir: &Path) -> Said {
    need!(mounts());
    let at = subdirectory(dir, "disk").expect("a directory");
    need!(mount_memory(&at, 4));
    full_by_growth(dir, &at)
}

pub(super) fn full_ext4(dir: &Path) -> Said {
    need!(mounts());
    let at = subdirectory(dir, "disk").expect("a directory");
    need!(mount_ext4(&dir.join("image"), &at, 16));
    full_by_growth(dir, &at)
}

/// The pool has holes, and somebody else has taken their space.
fn full_hole(dir: &Path, options: &Options<Bags<'static>>) -> Said {
    need!(mounts());
    let at = subdirectory(dir, "disk").expect("a directory");
    need!(mount_memory(&at, 8));
    let pool = options.create(at.join("a.pobj")).expect("a pool");
    let add = |len: usize| {
        pool.write(|root, tx| {
            let bag = bag(tx, len, 1)?;
            root.bags.push(tx, bag)
        })
    };
    (0..8).for_each(|_| add(300_000).expect("room"));
    pool.write(|root, _| {
        root.bags.clear();
        Ok(())
    })
    .expect("freeing");
    pool.checkpoint().expect("a checkpoint");
    // Finds the moment to punch.
    add(100).expect("room");
    let other = at.join("other");
    let mut file = fs::File::create(&other).expect("a file");
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    let error = add(1_500_000).expect_err("there is no space");
    assert!(is(libc::ENOSPC)(&error), "{error:?}");
    assert_eq!(pool.read().bags.len(), 1);
    fs::remove_file(other).expect("it can be removed");
    add(1_500_000).expect("there is space again");
    assert!(pool.read().bags[1].iter().all(|byte| *byte == 1));
    pool.close().expect("the pool closes");
    only(words(&error, dir) + "; no signal, and the pool goes on")
}

pub(super) fn full_at_a_hole(dir: &Path) -> Said {
    full_hole(dir, &bags(1 << 30).durability(Durability::Immediate))
}

pub(super) fn full_at_a_hole_in_place(dir: &Path) -> Said {
    let options = bags(1 << 30).force_domain(Domain::CacheLine).image(ImageMode::InPlace);
    full_hole(dir, &options)
}

/// An ext4 whose device has not the space that it claims: what was written to the cache cannot be written back. A second
/// sync would succeed, so the pool must not ask for one.
pub(super) fn write_back_fails(dir: &Path) -> Said {
    need!(mounts());
    let (small_disk, at) =
        (subdirectory(dir, "below").expect("a directory"), subdirectory(dir, "disk").expect("one"));
    need!(mount_memory(&small_disk, 12));
    let image = small_disk.join("image");
    need!(mount_ext4(&image, &at, 96));
    let path = at.join("a.pobj");
    let options = || bags(64 << 20).force_domain(Domain::Page).durability(Durability::Immediate);
    let told = dir.join("told");
    let end = in_child(|| {
        let pool = options().create(&path).expect("a pool");
        let mut committed = 0;
        let error = loop {
            let outcome = pool.write(|root, tx| {
                let bag = bag(tx, 150_000, committed as u8)?;
                root.bags.push(tx, bag)
            });
            match outcome.and_then(|()| pool.checkpoint()) {
                Ok(()) => committed += 1,
                Err(error) => break error,
            }
            assert!(committed < 300, "the device has space for everything");
        };
        for _ in 0..3 {
            let again =
                pool.write(|root, tx| root.bags.push(tx, pobj::PVec::default())).expect_err("it is poisoned");
            assert!(matches!(again, Error::Poisoned), "{again:?}");
            assert!(
                matches!(pool.sync(), Err(Error::Poisoned))
                    && matches!(pool.checkpoint(), Err(Error::Poisoned))
            );
        }
        assert!(pool.close().is_err());
        fs::write(&told, format!("{committed}\n{}", words(&error, dir))).expect("a file");
    });
    assert_eq!(end, End::Exit(0));
    let text = fs::read_to_string(&told).expect("the child has said it");
    let (committed, error) = text.split_once('\n').expect("two lines");
    let committed: usize = committed.parse().expect("a number");
    // The device gets its space, and forgets what it was not given.
    need!(run("mount", &[&"-o", &"remount,size=200m", &small_disk]));
    need!(run("umount", &[&at]));
    need!(run("mount", &[&"-o", &"loop", &image, &at]));
    let pool = options().open(&path).expect("the pool opens");
    let found = pool.read().bags.len();
    assert!(found == committed || found == committed + 1, "{found} of {committed}");
    for (number, bag) in pool.read().bags.iter().enumerate() {
        assert!(bag.len() == 150_000 && bag.iter().all(|byte| *byte == number as u8), "bag {number}");
    }
    only(format!("{error}; then Poisoned; after {committed} commits the reopened pool has {found}"))
}

/// Everything works there.
fn works(at: &Path, what: &str) -> Said {
    let (pool, log) = (make_pool(at), make_log(at));
    let held = options().open(&pool).expect("free");
    assert!(matches!(options().open(&pool), Err(Error::Locked { .. })));
    drop(held);
    check_pool(&pool, &[3, 2, 1]);
    check_log(&log);
    only(what.to_owned())
}

pub(super) fn tmpfs(dir: &Path) -> Said {
    need!(mounts());
    let at = subdirectory(dir, "disk").expect("a directory");
    need!(mount_memory(&at, 16));
    works(&at, "works, for as long as the memory is there")
}

pub(super) fn overlayfs(dir: &Path) -> Said {
    need!(mounts());
    let at = subdirectory(dir, "disk").expect("a directory");
    need!(mount_memory(&at, 32));
    let [lower, upper, work, merged] =
        ["lower", "upper", "work", "merged"].map(|name| subdirectory(&at, name).expect("a directory"));
    let below = make_pool(&lower);
    let shown = |path: &Path| path.display().to_string();
    let layers = format!("lowerdir={},upperdir={},workdir={}", shown(&lower), shown(&upper), shown(&work));
    need!(run("mount", &[&"-t", &"overlay", &"overlay", &"-o", &layers, &merged]));
    // A pool of the lower layer is copied up when it is opened to be changed.
    check_pool(&merged.join("a.pobj"), &[3, 2, 1]);
    check_pool(&below, &[3, 2, 1]);
    fs::remove_file(merged.join("a.pobj")).expect("it can be removed");
    works(&merged, "works; a pool of the lower layer is copied up")
}

#[path = "../../tests/bad_medium/fuse.rs"]
mod fuse_disk;

pub(super) fn fuse(dir: &Path) -> Said {
    need!(mounts());
    let contents = fs::read(make_pool(dir)).expect("it can be read");
    let at = subdirectory(dir, "disk").expect("a directory");
    let blocks = contents.len() / fuse_disk::BLOCK;
    let _disk = need!(fuse_disk::BadDisk::mount(&at, contents));
    // The name is the number of a block that cannot be read; this one is beyond the end.
    check_pool(&at.join((blocks + 100).to_string()), &[3, 2, 1]);
    let said = says(options().open(at.join("0")), dir, |error| matches!(error, Error::Unreadable { .. }));
    only(format!("works, without fallocate; a bad block: {said}"))
}
