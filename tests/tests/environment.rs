//! What a process and its file system may do to a pool: other processes, forks, kills, odd paths, missing rights, limits.
//!
//! Catches: a lock that outlives its process or dies with a child, a reader that writes, an open that waits for a peer
//! or starts a device, a path that is taken for text.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pobj::{Durability, Error, Options};
use tests::support::{Chain, ChainPool, child, child_argument, directory, names_in, push, small};

fn chains() -> Options<Chain<'static>> {
    small(8 << 20)
}

fn make(path: &Path) {
    let pool = chains().create(path).unwrap();
    (1..=3).for_each(|value| push(&pool, value).unwrap());
    pool.close().unwrap();
}

fn with_pool() -> (tempfile::TempDir, PathBuf) {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    make(&path);
    (directory, path)
}

fn is_root() -> bool {
    // SAFETY: asks and changes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Starts a child and waits until it says that it is ready.
fn start(part: &str, argument: impl AsRef<std::ffi::OsStr>) -> (std::process::Child, impl BufRead) {
    let mut child = child(part, argument).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended early");
    }
    (child, output)
}

// ---- other processes ----

#[test]
fn part_holds_a_pool_until_killed() {
    let Some(path) = child_argument("part_holds_a_pool_until_killed") else { return };
    let pool = chains().open(path).unwrap();
    push(&pool, 4).unwrap();
    println!("\nready");
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

/// Catches a lock that is not the kernel's: it must hold against another process and vanish with a killed one.
#[test]
fn another_process_is_locked_out_until_the_holder_is_killed() {
    let (_directory, path) = with_pool();
    let (mut holder, _output) = start("part_holds_a_pool_until_killed", &path);
    let error = chains().open(&path).unwrap_err();
    assert!(matches!(&error, Error::Locked { path: named } if *named == path), "{error:?}");
    assert!(matches!(chains().open_read_only(&path), Err(Error::Locked { .. })));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let pool = chains().open(&path).unwrap();
    assert_eq!(pool.read().values(), [4, 3, 2, 1]);
    push(&pool, 5).unwrap();
}

/// Runs `act` in a forked child and gives its exit code.
fn in_fork(act: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `act` and ends with `_exit`. The C library makes its allocator usable after a fork of a
    // threaded process; the pool's own locks are free, because no other thread of this program uses the pool.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or(99);
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child died of a signal");
    libc::WEXITSTATUS(status)
}

/// Catches a child of a fork that writes into its parent's ring, releases its lock, or closes its pool.
#[test]
fn a_forked_child_is_refused_and_disturbs_nothing() {
    let (_directory, path) = with_pool();
    let pool = chains().open(&path).unwrap();
    push(&pool, 4).unwrap();
    let before = fs::read(&path).unwrap();
    let forked = |outcome: bool, code: i32| if outcome { 0 } else { code };
    let code = in_fork(|| {
        let mut wrong = forked(matches!(push(&pool, 5), Err(Error::Forked)), 1);
        wrong |= forked(matches!(pool.try_read(), Err(Error::Forked)), 2);
        wrong |= forked(matches!(pool.sync(), Err(Error::Forked)), 4);
        wrong |= forked(matches!(pool.checkpoint(), Err(Error::Forked)), 8);
        // The child's copy of the handle ends its life here, not by exit.
        // SAFETY: the original is never used again in this process.
        drop(unsafe { std::ptr::read(&pool) });
        wrong |= forked(matches!(chains().open(&path), Err(Error::Locked { .. })), 16);
        wrong
    });
    assert_eq!(code, 0, "bits: 1 write, 2 read, 4 sync, 8 checkpoint, 16 the lock was released");
    // The parent may have made space ready behind the pool meanwhile.
    assert!(fs::read(&path).unwrap().starts_with(&before), "the child wrote");
    assert!(matches!(chains().open(&path), Err(Error::Locked { .. })), "the child's end released the lock");
    push(&pool, 5).unwrap();
    pool.checkpoint().unwrap();
    pool.close().unwrap();
    assert_eq!(chains().open(&path).unwrap().read().values(), [5, 4, 3, 2, 1]);
}

/// Catches a child that holds its parent's lock beyond the parent's close: it has a copy of the descriptor.
#[test]
fn a_living_child_does_not_keep_the_lock() {
    let (_directory, path) = with_pool();
    let pool = chains().open(&path).unwrap();
    let mut sleeper = std::process::Command::new("sleep").arg("30").spawn().unwrap();
    // SAFETY: the child only sleeps and exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        std::thread::sleep(Duration::from_secs(30));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) }
    }
    pool.close().unwrap();
    let again = chains().open(&path);
    // SAFETY: `pid` is the child made above.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let mut status = 0;
    // SAFETY: waits for that child.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(again.unwrap().read().values(), [3, 2, 1]);
}

// ---- reading only ----

fn assert_reading_only_changes_nothing(path: &Path, expected: &[u64]) {
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    let (bytes, before) = (fs::read(path).unwrap(), fs::metadata(path).unwrap());
    let first = chains().open_read_only(path).unwrap();
    assert_eq!(first.read().values(), expected);
    assert!(first.stats().heap.live_blocks > expected.len() as u64);
    drop(first);
    let after = fs::metadata(path).unwrap();
    assert!(fs::read(path).unwrap() == bytes, "a reader changed the file");
    assert_eq!(after.modified().unwrap(), old, "a reader touched the file");
    assert_eq!((after.len(), after.ino()), (before.len(), before.ino()));
}

/// Catches a reader that recovers into the file, or does not recover at all.
#[test]
fn reading_only_changes_no_byte_even_with_a_journal_to_replay() {
    let (directory, path) = with_pool();
    assert_reading_only_changes_nothing(&path, &[3, 2, 1]);
    let pool = chains().open(&path).unwrap();
    (4..=30).for_each(|value| push(&pool, value).unwrap());
    // What a crash now would leave: the journal holds 27 transactions.
    let crashed = directory.path().join("crashed.pobj");
    fs::copy(&path, &crashed).unwrap();
    drop(pool);
    let expected: Vec<u64> = (1..=30).rev().collect();
    assert_reading_only_changes_nothing(&crashed, &expected);
    // No other right is needed.
    fs::set_permissions(&crashed, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(chains().open_read_only(&crashed).unwrap().read().values(), expected);
    fs::set_permissions(&crashed, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(chains().open(&crashed).unwrap().read().values(), expected);
}

#[test]
fn part_reads_and_waits() {
    let Some(path) = child_argument("part_reads_and_waits") else { return };
    let pool = chains().open_read_only(path).unwrap();
    println!("\nready {}", pool.read().values().len());
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

/// Catches readers that lock each other out, or that let a writer in.
#[test]
fn readers_share_and_keep_writers_out() {
    let (_directory, path) = with_pool();
    let (mut one, _one) = start("part_reads_and_waits", &path);
    let (mut two, _two) = start("part_reads_and_waits", &path);
    let here = chains().open_read_only(&path).unwrap();
    assert_eq!(here.read().values(), [3, 2, 1]);
    assert!(matches!(chains().open(&path), Err(Error::Locked { .. })));
    drop(here);
    for child in [&mut one, &mut two] {
        assert!(matches!(chains().open(&path), Err(Error::Locked { .. })));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    push(&chains().open(&path).unwrap(), 4).unwrap();
}

// ---- rights ----

/// Becomes nobody, if this process may.
fn become_nobody() {
    // SAFETY: changes this process's ids only; it is a child made for this.
    let done = unsafe { libc::setgroups(0, std::ptr::null()) | libc::setgid(65534) | libc::setuid(65534) };
    assert_eq!(done, 0, "cannot become nobody: {}", std::io::Error::last_os_error());
}

#[test]
fn part_opens_as_nobody() {
    let Some(path) = child_argument("part_opens_as_nobody") else { return };
    if is_root() {
        become_nobody();
    }
    let denied = |error: &Error| {
        matches!(error, Error::Io { source, path: Some(named), .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied && named.as_os_str().len() > 1)
    };
    let directory = Path::new(&path);
    for name in ["secret.pobj", "closed/a.pobj"] {
        let error = chains().open(directory.join(name)).unwrap_err();
        assert!(denied(&error), "{name}: {error:?}");
        let error = chains().open_read_only(directory.join(name)).unwrap_err();
        assert!(denied(&error), "{name}: {error:?}");
    }
    let readable = directory.join("readable.pobj");
    let error = chains().open(&readable).unwrap_err();
    assert!(denied(&error), "{error:?}");
    assert_eq!(chains().open_read_only(&readable).unwrap().read().values(), [3, 2, 1]);
    let error = chains().create(directory.join("new.pobj")).unwrap_err();
    assert!(denied(&error), "{error:?}");
    println!("\nrefused as it should be");
}

/// Catches an error without the path, or one that hides its cause: a file, a directory, a creation without the right.
#[test]
fn missing_rights_are_the_systems_error_with_the_path() {
    let directory = directory();
    let mode = |name: &str, mode| {
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(directory.path().join("closed")).unwrap();
    for name in ["secret.pobj", "readable.pobj", "closed/a.pobj"] {
        make(&directory.path().join(name));
    }
    mode("secret.pobj", 0o000);
    mode("readable.pobj", 0o444);
    mode("closed", 0o000);
    mode("", 0o555);
    let output = child("part_opens_as_nobody", directory.path()).output().unwrap();
    mode("", 0o755);
    mode("closed", 0o755);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("refused as it should be"), "{text}");
    assert_eq!(names_in(directory.path()), ["closed", "readable.pobj", "secret.pobj"]);
}

// ---- paths ----

/// Catches an open that waits for a FIFO's writer, starts a device, or reads a directory.
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let directory = directory();
    let fifo = directory.path().join("fifo");
    let name = std::ffi::CString::new(fifo.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is a C string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let begun = Instant::now();
    for (path, found) in [
        (directory.path(), "directory"),
        (&fifo, "FIFO"),
        (&socket, "socket"),
        (Path::new("/dev/null"), "device"),
        (Path::new("/dev/zero"), "device"),
    ] {
        for error in [chains().open(path).unwrap_err(), chains().open_read_only(path).map(drop).unwrap_err()]
        {
            assert!(
                matches!(&error, Error::NotAPool { path: named, found: what } if named == path && what.contains(found)),
                "{error:?}"
            );
        }
        assert!(matches!(chains().create(path), Err(Error::AlreadyExists { .. })), "{}", path.display());
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "something waited");
}

/// Catches a link that is not followed to its pool, gets a lock of its own, or is replaced by `create`.
#[test]
fn a_symlink_leads_to_its_pool() {
    let (directory, path) = with_pool();
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    let pool = chains().open(&link).unwrap();
    assert_eq!(pool.read().values(), [3, 2, 1]);
    assert!(matches!(chains().open(&path), Err(Error::Locked { .. })), "two locks for one file");
    drop(pool);
    assert!(matches!(chains().create(&link), Err(Error::AlreadyExists { .. })));
    let circle = directory.path().join("circle");
    symlink(&circle, &circle).unwrap();
    assert!(matches!(chains().open(&circle), Err(Error::Io { .. })));
    let dangling = directory.path().join("dangling");
    symlink(directory.path().join("nowhere"), &dangling).unwrap();
    assert!(matches!(chains().open(&dangling), Err(Error::NotFound { .. })));
}

/// Catches a path that is taken for text on its way.
#[test]
fn a_path_that_is_not_utf8_works() {
    let directory = directory();
    let path = directory.path().join(OsString::from_vec(b"\xFF\xFE umlaut \xE4 \n.pobj".to_vec()));
    make(&path);
    assert!(matches!(chains().create(&path), Err(Error::AlreadyExists { .. })));
    let pool = chains().open(&path).unwrap();
    let error = chains().open(&path).unwrap_err();
    assert!(error.to_string().contains("umlaut"), "{error}");
    push(&pool, 4).unwrap();
    pool.close().unwrap();
    assert_eq!(names_in(directory.path()).len(), 1);
}

/// Catches a buffer of fixed length: the longest path that the system takes, the longest name, and one byte more.
#[test]
fn the_longest_path_works_and_a_longer_one_is_an_error() {
    let directory = directory();
    let long_name = directory.path().join("n".repeat(255));
    make(&long_name);
    assert_eq!(chains().open(&long_name).unwrap().read().values(), [3, 2, 1]);
    assert!(matches!(chains().create(directory.path().join("n".repeat(256))), Err(Error::Io { .. })));

    // 4,095 bytes and the final zero are the most that the kernel takes; "./" lengthens a path without directories.
    let total = 4095;
    let mut path = directory.path().as_os_str().to_owned().into_vec();
    while path.len() + 2 + 7 < total {
        path.extend(b"/.");
    }
    path.push(b'/');
    path.resize(total, b'p');
    let path = PathBuf::from(OsString::from_vec(path));
    make(&path);
    assert_eq!(chains().open(&path).unwrap().read().values(), [3, 2, 1]);
    let longer = PathBuf::from(
        [path.as_os_str().as_bytes(), b"p"].concat().into_iter().map(char::from).collect::<String>(),
    );
    for error in
        [chains().create(&longer).map(drop).unwrap_err(), chains().open(&longer).map(drop).unwrap_err()]
    {
        assert!(
            matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ENAMETOOLONG)),
            "{error:?}"
        );
    }
    assert_eq!(names_in(directory.path()).len(), 2);
}

/// Catches a pool that follows its name: a file that was renamed or removed while open goes on, and its name is free.
#[test]
fn a_pool_outlives_its_name() {
    let (directory, path) = with_pool();
    let pool = chains().open(&path).unwrap();
    let moved = directory.path().join("moved.pobj");
    fs::rename(&path, &moved).unwrap();
    push(&pool, 4).unwrap();
    assert!(matches!(chains().open(&moved), Err(Error::Locked { .. })));
    make(&path);
    drop(pool);
    let pool = chains().open(&moved).unwrap();
    assert_eq!(pool.read().values(), [4, 3, 2, 1]);
    fs::remove_file(&moved).unwrap();
    push(&pool, 5).unwrap();
    pool.close().unwrap();
    assert_eq!(names_in(directory.path()), ["a.pobj"]);
    assert_eq!(chains().open(&path).unwrap().read().values(), [3, 2, 1]);
}

// ---- limits ----

fn limit(which: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` outlives the call; only this child is limited.
    assert_eq!(unsafe { libc::setrlimit(which, &limit) }, 0);
}

#[test]
fn part_meets_the_limit_of_file_sizes() {
    let Some(path) = child_argument("part_meets_the_limit_of_file_sizes") else { return };
    // The limit is an error instead of a signal.
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let pool: ChainPool = small(1 << 30).open(&path).unwrap();
    let base = pool.read().values().len();
    limit(libc::RLIMIT_FSIZE, fs::metadata(&path).unwrap().len());
    let mut filled = 0;
    let error = loop {
        match pool.write(|chain, tx| {
            tx.set_durability(Durability::Eventual);
            (0..1000).try_for_each(|value| chain.push(tx, value))
        }) {
            Ok(()) => filled += 1000,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::EFBIG)),
        "{error:?}"
    );
    assert_eq!(pool.read().values().len(), base + filled, "rolled back");
    for _ in 0..base + filled {
        let popped = pool.write(|chain, tx| {
            tx.set_durability(Durability::Eventual);
            Ok(chain.pop(tx))
        });
        assert!(popped.unwrap().is_some());
    }
    push(&pool, 77).unwrap();
    pool.close().unwrap();
    assert_eq!(small::<Chain>(1 << 30).open(&path).unwrap().read().values(), [77]);
    println!("\nwent on");
}

/// Catches growth whose failure kills the process (SIGXFSZ aside), poisons the pool, or leaves half a transaction.
#[test]
fn the_limit_of_file_sizes_is_an_error_and_the_pool_goes_on() {
    let directory = directory();
    let path = directory.path().join("a.pobj");
    let pool: ChainPool = small(1 << 30).create(&path).unwrap();
    push(&pool, 1).unwrap();
    pool.close().unwrap();
    let output = child("part_meets_the_limit_of_file_sizes", &path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("went on"), "{:?} {text}", output.status);
}

#[test]
fn part_has_no_descriptors_left() {
    let Some(path) = child_argument("part_has_no_descriptors_left") else { return };
    let path = Path::new(&path);
    let open = chains().open(path.join("a.pobj")).unwrap();
    limit(libc::RLIMIT_NOFILE, 64);
    let mut files = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        files.push(file);
    }
    let none_left = |error: &Error| matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::EMFILE));
    let error = chains().open(path.join("b.pobj")).unwrap_err();
    assert!(none_left(&error), "{error:?}");
    let error = chains().create(path.join("c.pobj")).unwrap_err();
    assert!(none_left(&error), "{error:?}");
    push(&open, 4).unwrap();
    drop(files);
    assert_eq!(chains().open(path.join("b.pobj")).unwrap().read().values(), [3, 2, 1]);
    println!("\nwent on");
}

/// Catches a panic where a descriptor is missing, and an open pool that needs more of them.
#[test]
fn no_descriptors_left_is_an_error() {
    let directory = directory();
    ["a.pobj", "b.pobj"].iter().for_each(|name| make(&directory.path().join(name)));
    let output = child("part_has_no_descriptors_left", directory.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("went on"), "{:?} {text}", output.status);
    assert_eq!(names_in(directory.path()), ["a.pobj", "b.pobj"]);
}

#[test]
fn part_has_no_address_space_left() {
    let Some(path) = child_argument("part_has_no_address_space_left") else { return };
    limit(libc::RLIMIT_AS, 2 << 30);
    let path = Path::new(&path);
    let error = small::<Chain>(64 << 30).open(path.join("large.pobj")).unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ENOMEM)),
        "{error:?}"
    );
    let error = small::<Chain>(64 << 30).create(path.join("new.pobj")).unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ENOMEM)),
        "{error:?}"
    );
    println!("\nrefused");
}

/// Catches a limit on address space taken for a range in use, or for a damaged file.
#[test]
fn no_address_space_left_is_the_systems_error() {
    let directory = directory();
    small::<Chain>(64 << 30).create(directory.path().join("large.pobj")).unwrap().close().unwrap();
    let output = child("part_has_no_address_space_left", directory.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("refused"), "{:?} {text}", output.status);
    assert_eq!(names_in(directory.path()), ["large.pobj"]);
}
