//! The cases that need no disk of their own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pobj::log::Log;
use pobj::{Durability, Error};

use super::process::{
    End, become_nobody, holder, in_child, is_root, kill, limit, own_mounts, run, set_signal, told_by_child,
};
use super::{
    Case, Said, assert_names, both, check_log, check_pool, disks, is, make_log, make_pool, only, options,
    says, subdirectory, words,
};
use crate::support::{ChainPool, push, small};

const fn case(name: &'static str, run: fn(&Path) -> Said) -> Case {
    Case { name, run }
}

/// All cases, in the order of the table.
pub const ALL: [Case; 37] = [
    case("a second process opens", second_process),
    case("the holder of the lock is SIGKILLed", killed_holder),
    case("the same process opens twice", same_process),
    case("a forked child uses an open pool", forked_child),
    case("read-only file, as nobody", read_only_file),
    case("read-only directory, as nobody", read_only_directory),
    case("permission denied, as nobody", no_permission),
    case("read-only mount", disks::read_only_mount),
    case("immutable file (chattr +i)", immutable),
    case("disk full at creation", disks::full_at_creation),
    case("disk full at growth", disks::full_at_growth),
    case("disk full at growth, ext4", disks::full_ext4),
    case("disk full at a hole under the mapping", disks::full_at_a_hole),
    case("disk full at a hole, in place", disks::full_at_a_hole_in_place),
    case("write-back fails (ext4 larger than what holds it)", disks::write_back_fails),
    case("limit of file sizes, SIGXFSZ ignored", file_sizes),
    case("limit of file sizes, SIGXFSZ as it is", file_sizes_by_signal),
    case("no descriptors left", no_descriptors),
    case("no address space left", no_address_space),
    case("no threads left, as nobody", no_threads),
    case("cut short by another program while open", cut_short),
    case("cut short by another program while closed", cut_short_closed),
    case("replaced by another program while open", replaced),
    case("removed while open", removed),
    case("a symlink", a_symlink),
    case("a dangling symlink", dangling),
    case("a second hard link", hard_link),
    case("a FIFO", fifo),
    case("a device", device),
    case("a directory", a_directory),
    case("the clock was set back", clock),
    case("a path of 4,095 bytes, and one of 4,096", long_path),
    case("a path that is not UTF-8", odd_path),
    case("a missing directory", missing),
    case("tmpfs", disks::tmpfs),
    case("overlayfs", disks::overlayfs),
    case("FUSE", disks::fuse),
];

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Locked { .. })
}

fn is_no_pool(error: &Error) -> bool {
    matches!(error, Error::NotAPool { .. } | Error::NotALog { .. })
}

fn second_process(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    let (held_pool, held_log) = (pool.clone(), log.clone());
    let pid = holder(move || {
        Box::new((options().open(held_pool).expect("free"), Log::open(held_log).expect("free")))
    });
    let said = (
        says(options().open(&pool), dir, is_locked),
        says(Log::open(&log), dir, is_locked),
        says(options().open_read_only(&pool), dir, is_locked),
    );
    kill(pid);
    both(said.0, &said.1)
}

fn killed_holder(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    let (held_pool, held_log) = (pool.clone(), log.clone());
    let pid = holder(move || {
        let held = options().open(held_pool).expect("free");
        push(&held, 4).expect("room");
        Box::new((held, Log::open(held_log).expect("free")))
    });
    assert!(is_locked(&options().open(&pool).expect_err("it is held")));
    kill(pid);
    check_pool(&pool, &[4, 3, 2, 1]);
    check_log(&log);
    only("opens at once, and holds what was committed".to_owned())
}

fn same_process(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    let _held = (options().open(&pool).expect("free"), Log::open(&log).expect("free"));
    both(says(options().open(&pool), dir, is_locked), &says(Log::open(&log), dir, is_locked))
}

fn forked_child(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    let (open, open_log) = (options().open(&pool).expect("free"), Log::open(&log).expect("free"));
    let forked = |error: &Error| matches!(error, Error::Forked);
    let said = told_by_child(|| {
        let read = says(open.try_read().map(drop), dir, forked);
        assert_eq!(says(push(&open, 9), dir, forked), read);
        assert_eq!(says(open.sync(), dir, forked), read);
        read + "; a log: " + &says(open_log.append(b"three"), dir, forked)
    });
    push(&open, 4).expect("the parent goes on");
    open.close().expect("the pool closes");
    open_log.close().expect("the log closes");
    check_pool(&pool, &[4, 3, 2, 1]);
    check_log(&log);
    only(said)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("rights can be changed");
}

fn read_only_file(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    [&pool, &log].iter().for_each(|path| set_mode(path, 0o444));
    let said = told_by_child(|| {
        become_nobody();
        assert_eq!(options().open_read_only(&pool).expect("it can be read").read().values(), [3, 2, 1]);
        super::check_reader(&log);
        let said = says(options().open(&pool), dir, is(libc::EACCES));
        said + "; to be read it opens; a log: " + &says(Log::open(&log), dir, is(libc::EACCES))
    });
    only(said)
}

fn read_only_directory(dir: &Path) -> Said {
    let (pool, closed) = (make_pool(dir), subdirectory(dir, "closed").expect("a directory"));
    set_mode(&closed, 0o555);
    set_mode(&pool, 0o666);
    set_mode(dir, 0o555);
    let said = told_by_child(|| {
        become_nobody();
        check_pool(&pool, &[3, 2, 1]);
        let said = says(options().create(closed.join("new")), dir, is(libc::EACCES));
        says(Log::create(closed.join("new"), 64 << 10), dir, is(libc::EACCES));
        said + "; what is there opens"
    });
    set_mode(dir, 0o755);
    assert_names(&closed, &[]);
    only(said)
}

fn no_permission(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    [&pool, &log].iter().for_each(|path| set_mode(path, 0));
    let said = told_by_child(|| {
        become_nobody();
        let denied = is(libc::EACCES);
        says(options().open_read_only(&pool), dir, &denied);
        says(options().open(&pool), dir, &denied) + "; a log: " + &says(Log::open(&log), dir, &denied)
    });
    only(said)
}

fn immutable(dir: &Path) -> Said {
    let pool = make_pool(dir);
    if !is_root() {
        return Said::Skipped("only root makes files immutable".to_owned());
    }
    if let Err(reason) = run("chattr", &[&"+i", &pool]) {
        return Said::Skipped(reason);
    }
    let opened = options().open(&pool);
    let read = options().open_read_only(&pool).map(|pool| pool.read().values());
    run("chattr", &[&"-i", &pool]).expect("it was possible to make it so");
    assert_eq!(read.expect("it can be read"), [3, 2, 1]);
    let said = says(opened, dir, is(libc::EPERM));
    check_pool(&pool, &[3, 2, 1]);
    only(said + "; to be read it opens")
}

/// Pushes until something is refused; gives how many links there are.
pub(super) fn fill(pool: &ChainPool) -> (usize, Error) {
    let before = pool.read().count as usize;
    let mut filled = before;
    loop {
        let outcome = pool.write(|chain, tx| {
            tx.set_durability(Durability::Eventual);
            (0..500).try_for_each(|value| chain.push(tx, value))
        });
        match outcome {
            Ok(()) => filled += 500,
            Err(error) => {
                assert_eq!(pool.read().values().len(), filled, "it rolled back");
                return (filled, error);
            }
        }
    }
}

/// After a refusal the pool frees, and goes on.
pub(super) fn goes_on(pool: ChainPool, path: &Path) {
    while pool.read().count > 0 {
        let popped = pool.write(|chain, tx| {
            tx.set_durability(Durability::Eventual);
            Ok((0..500).filter_map(|_| chain.pop(tx)).count())
        });
        assert!(popped.expect("freeing needs no space") > 0);
    }
    push(&pool, 77).expect("there is room again");
    pool.close().expect("the pool closes");
    let pool: ChainPool = small(1 << 30).open(path).expect("the pool opens");
    assert_eq!(pool.read().values(), [77]);
}

/// A pool that may grow up to a limit of this process.
fn limited(dir: &Path) -> (PathBuf, ChainPool) {
    let path = dir.join("b.pobj");
    let pool: ChainPool = small(1 << 30).create(&path).expect("a pool");
    push(&pool, 1).expect("room");
    limit(libc::RLIMIT_FSIZE, fs::metadata(&path).expect("it is there").len() + (1 << 20));
    (path, pool)
}

fn file_sizes(dir: &Path) -> Said {
    set_signal(libc::SIGXFSZ, libc::SIG_IGN);
    let (path, pool) = limited(dir);
    let (_, error) = fill(&pool);
    assert!(is(libc::EFBIG)(&error), "{error:?}");
    goes_on(pool, &path);
    let log = says(Log::create(dir.join("large.log"), 64 << 20), dir, is(libc::EFBIG));
    assert_names(dir, &["b.pobj"]);
    both(words(&error, dir), &log)
}

fn file_sizes_by_signal(dir: &Path) -> Said {
    let end = in_child(|| {
        set_signal(libc::SIGXFSZ, libc::SIG_DFL);
        let (_, pool) = limited(dir);
        fill(&pool);
    });
    assert_eq!(end, End::Signal(libc::SIGXFSZ));
    let pool: ChainPool = small(1 << 30).open(dir.join("b.pobj")).expect("the pool opens");
    assert!(pool.read().values().len() % 500 == 1, "whole transactions");
    only(
        "the process ends with SIGXFSZ, which is the system's default; what was committed is there"
            .to_owned(),
    )
}

fn no_descriptors(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    let other = dir.join("other");
    let open: ChainPool = options().create(&other).expect("a pool");
    limit(libc::RLIMIT_NOFILE, 64);
    let mut files = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        files.push(file);
    }
    let none_left = is(libc::EMFILE);
    let said = (says(options().open(&pool), dir, &none_left), says(Log::open(&log), dir, &none_left));
    says(options().create(dir.join("new")), dir, &none_left);
    push(&open, 1).expect("an open pool needs none");
    drop(files);
    check_pool(&pool, &[3, 2, 1]);
    assert_names(dir, &["a.log", "a.pobj", "other"]);
    both(said.0, &said.1)
}

fn no_address_space(dir: &Path) -> Said {
    let path = dir.join("large.pobj");
    let pool: ChainPool = small(64 << 30).create(&path).expect("a pool");
    pool.close().expect("the pool closes");
    limit(libc::RLIMIT_AS, 2 << 30);
    let said = says(small::<crate::support::Chain>(64 << 30).open(&path), dir, is(libc::ENOMEM));
    says(small::<crate::support::Chain>(64 << 30).create(dir.join("new")), dir, is(libc::ENOMEM));
    assert_names(dir, &["large.pobj"]);
    only(said)
}

fn no_threads(dir: &Path) -> Said {
    if !is_root() {
        return Said::Skipped("another user is needed who has no processes".to_owned());
    }
    set_mode(dir, 0o777);
    let pool = make_pool(dir);
    set_mode(&pool, 0o666);
    let said = told_by_child(|| {
        limit(libc::RLIMIT_NPROC, 1);
        become_nobody();
        let open = small::<crate::support::Chain>(8 << 20).validation_threads(4).open(&pool);
        match open {
            // A thread of the pool could not start.
            Err(error) if is(libc::EAGAIN)(&error) => words(&error, dir),
            Err(error) => panic!("another error: {error:?}"),
            Ok(_) => "skipped".to_owned(),
        }
    });
    check_pool(&pool, &[3, 2, 1]);
    if said == "skipped" {
        Said::Skipped("the limit of processes does not hold here".to_owned())
    } else {
        only(said)
    }
}

/// Another program takes the file's bytes away.
fn cut(path: &Path) {
    fs::File::options().write(true).open(path).and_then(|file| file.set_len(20_000)).expect("it can be cut");
}

fn cut_short(dir: &Path) -> Said {
    let path = make_pool(dir);
    let end = in_child(|| {
        let pool = options().open(&path).expect("free");
        cut(&path);
        assert_eq!(pool.read().values().len(), 3);
    });
    // What is in this process's own pages can still be read.
    assert!(matches!(end, End::Signal(libc::SIGBUS) | End::Exit(0)), "{end:?}");
    only(format!("the process may end with SIGBUS (book, limits); here: {end:?}"))
}

fn cut_short_closed(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    [&pool, &log].into_iter().for_each(|path| cut(path));
    let corrupt = |error: &Error| matches!(error, Error::Corrupt { .. });
    both(says(options().open(&pool), dir, corrupt), &says(Log::open(&log).map(drop), dir, corrupt))
}

fn replaced(dir: &Path) -> Said {
    let path = make_pool(dir);
    let pool = options().open(&path).expect("free");
    let other = subdirectory(dir, "other").expect("a directory");
    let new = make_pool(&other);
    fs::rename(&path, dir.join("old")).expect("it can be renamed");
    fs::rename(new, &path).expect("it can be replaced");
    push(&pool, 4).expect("the open pool goes on");
    assert!(is_locked(&options().open(dir.join("old")).expect_err("it is held")));
    check_pool(&path, &[3, 2, 1]);
    pool.close().expect("the pool closes");
    check_pool(&dir.join("old"), &[4, 3, 2, 1]);
    only("each pool goes with its own file".to_owned())
}

fn removed(dir: &Path) -> Said {
    let (path, log_path) = (make_pool(dir), make_log(dir));
    let (pool, log) = (options().open(&path).expect("free"), Log::open(&log_path).expect("free"));
    [&path, &log_path].into_iter().for_each(|path| fs::remove_file(path).expect("it can be removed"));
    push(&pool, 4).expect("the open pool goes on");
    log.append(b"three").expect("the open log goes on");
    make_pool(dir);
    pool.close().expect("the pool closes");
    log.close().expect("the log closes");
    check_pool(&path, &[3, 2, 1]);
    only("goes on until it is closed; the name is free".to_owned())
}

fn a_symlink(dir: &Path) -> Said {
    let (path, link) = (make_pool(dir), dir.join("link"));
    symlink(&path, &link).expect("a link");
    let pool = options().open(&link).expect("it leads to the pool");
    assert!(is_locked(&options().open(&path).expect_err("it is held")));
    drop(pool);
    check_pool(&link, &[3, 2, 1]);
    only("leads to its pool, which has one lock".to_owned())
}

fn dangling(dir: &Path) -> Said {
    let link = dir.join("link");
    symlink(dir.join("nowhere"), &link).expect("a link");
    let said = says(options().open(&link), dir, |error| matches!(error, Error::NotFound { .. }));
    says(options().create(&link), dir, |error| matches!(error, Error::AlreadyExists { .. }));
    both(said, &says(Log::open(&link).map(drop), dir, |error| matches!(error, Error::NotFound { .. })))
}

fn hard_link(dir: &Path) -> Said {
    let (path, link) = (make_pool(dir), dir.join("link"));
    fs::hard_link(&path, &link).expect("a link");
    let _held = options().open(&path).expect("free");
    only(says(options().open(&link), dir, is_locked))
}

/// What is no regular file is refused, and not waited for.
fn refused(dir: &Path, path: &Path) -> Said {
    let begun = std::time::Instant::now();
    let pool = says(options().open(path), dir, is_no_pool);
    assert_eq!(says(options().open_read_only(path), dir, is_no_pool), pool);
    let log = says(Log::open(path).map(drop), dir, is_no_pool);
    says(options().create(path), dir, |error| matches!(error, Error::AlreadyExists { .. }));
    assert!(begun.elapsed() < Duration::from_secs(5), "something waited");
    both(pool, &log)
}

fn fifo(dir: &Path) -> Said {
    let path = dir.join("fifo");
    run("mkfifo", &[&path]).expect("a FIFO");
    refused(dir, &path)
}

fn device(dir: &Path) -> Said {
    refused(dir, Path::new("/dev/zero"))
}

fn a_directory(dir: &Path) -> Said {
    refused(dir, dir)
}

fn clock(dir: &Path) -> Said {
    let (pool, log) = (make_pool(dir), make_log(dir));
    // Made and changed a hundred years from now, or before the system's time began, as it looks after such a change.
    for time in [
        SystemTime::now() + Duration::from_secs(100 * 365 * 86_400),
        SystemTime::UNIX_EPOCH - Duration::from_secs(86_400),
    ] {
        for path in [&pool, &log] {
            let file = fs::File::options().write(true).open(path).expect("it can be opened");
            file.set_modified(time).expect("its time can be set");
        }
        check_pool(&pool, &[3, 2, 1]);
        check_log(&log);
    }
    only("no difference: pobj keeps no times, and measures its own waits by the monotonic clock".to_owned())
}

fn long_path(dir: &Path) -> Said {
    // "./" lengthens a path without directories.
    let mut path = dir.as_os_str().to_owned().into_vec();
    while path.len() + 2 + 7 < 4095 {
        path.extend(b"/.");
    }
    path.push(b'/');
    path.resize(4095, b'p');
    let longer = PathBuf::from(OsString::from_vec([&path[..], b"p"].concat()));
    let path = PathBuf::from(OsString::from_vec(path));
    let pool = options().create(&path).expect("the longest path");
    push(&pool, 1).expect("room");
    pool.close().expect("the pool closes");
    check_pool(&path, &[1]);
    let long = is(libc::ENAMETOOLONG);
    says(options().create(&longer), dir, &long);
    let Err(error) = options().open(&longer) else { panic!("it opens") };
    assert!(long(&error));
    let Error::Io { doing, source, .. } = error else { panic!("{error:?}") };
    only(format!("works; cannot {doing} (...): {source}"))
}

fn odd_path(dir: &Path) -> Said {
    let path = dir.join(OsString::from_vec(b"\xFF\xFE \n.pobj".to_vec()));
    let pool = options().create(&path).expect("any name");
    let said = says(options().open(&path), dir, is_locked);
    pool.close().expect("the pool closes");
    assert_eq!(crate::support::names_in(dir), [path.file_name().expect("a name")]);
    check_pool(&path, &[]);
    assert!(path.as_os_str().as_bytes().contains(&0xFF));
    only(format!("works; shown as: {}", said.escape_debug()))
}

fn missing(dir: &Path) -> Said {
    let path = dir.join("none/a.pobj");
    let said = says(options().open(&path), dir, |error| matches!(error, Error::NotFound { .. }));
    let made = says(options().create(&path), dir, is(libc::ENOENT));
    assert_names(dir, &[]);
    only(format!("{said}; at creation: {made}"))
}

/// Own mounts, or the reason to skip.
pub(super) fn mounts() -> Result<(), Said> {
    own_mounts().map_err(Said::Skipped)
}
