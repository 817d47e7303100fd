//! The environment table (row R12): what other programs, rights, limits, disks and file systems may do to a pool or a
//! log, and what pobj says or does then. Each case runs in a process of its own, which gives up rights and mounts as it
//! likes; see [`cases::ALL`].

pub mod cases;
pub mod disks;
pub mod process;

use std::path::{Path, PathBuf};
use std::{fs, io};

use pobj::log::Log;
use pobj::{Error, Options};

use crate::support::{Chain, ChainPool, push, small};

/// What a case comes to: what pobj said or did, or why this machine cannot try it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// pobj's words, or the promise that it kept.
    This(String),
    /// The reason.
    Skipped(String),
}

/// A case: runs in a directory of its own. What must not happen is a panic.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What happens.
    pub run: fn(&Path) -> Said,
}

/// The error that was expected, in pobj's words, without the directory.
fn words(error: &Error, directory: &Path) -> String {
    error.to_string().replace(&*directory.to_string_lossy(), "DIR").replace('\n', "\\n")
}

/// Says what the error says, if it is the one that was expected.
fn says<T>(outcome: Result<T, Error>, directory: &Path, expected: impl Fn(&Error) -> bool) -> String {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(error) => {
            assert!(expected(&error), "another error: {error:?}");
            words(&error, directory)
        }
    }
}

/// Whether it is this error of the system.
fn is(errno: i32) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(errno))
}

fn options() -> Options<Chain<'static>> {
    small(8 << 20)
}

/// A closed pool of three links.
fn make_pool(directory: &Path) -> PathBuf {
    let path = directory.join("a.pobj");
    let pool = options().create(&path).expect("a pool");
    (1..=3).for_each(|value| push(&pool, value).expect("room"));
    pool.close().expect("a pool closes");
    path
}

/// It opens, and has what was put there; then it is used.
fn check_pool(path: &Path, values: &[u64]) {
    let pool: ChainPool = options().open(path).expect("the pool opens");
    assert_eq!(pool.read().values(), values);
    push(&pool, 100).expect("the pool can be used");
    pool.write(|chain, tx| Ok(chain.pop(tx))).expect("the pool can be used");
    pool.close().expect("the pool closes");
}

/// A closed log of two entries.
fn make_log(directory: &Path) -> PathBuf {
    let path = directory.join("a.log");
    let log = Log::create(&path, 64 << 10).expect("a log");
    log.append(b"one").expect("room");
    log.append(b"two").expect("room");
    log.close().expect("a log closes");
    path
}

/// It opens, and has what was put there.
fn check_log(path: &Path) {
    let log = Log::open(path).expect("the log opens");
    let entries: Vec<_> = log.entries().map(|entry| entry.expect("an entry").1).collect();
    assert_eq!(entries, [b"one".to_vec(), b"two".to_vec()]);
    log.close().expect("the log closes");
}

/// It can be read, and has what was put there.
fn check_reader(path: &Path) {
    let mut reader = Log::open_read_only(path).expect("the log can be read");
    for _ in 0..2 {
        assert!(reader.next_entry().expect("an entry").is_some());
    }
    assert!(reader.next_entry().expect("the end").is_none());
}

/// Several things that were said.
fn both(pool: String, log: &str) -> Said {
    Said::This(if pool == log { pool } else { format!("{pool}; a log: {log}") })
}

fn only(pool: String) -> Said {
    Said::This(pool)
}

/// The names in a directory are these and no others: nothing half made stays.
fn assert_names(directory: &Path, names: &[&str]) {
    assert_eq!(crate::support::names_in(directory), names, "something stays behind");
}

/// Makes a directory in this one.
fn subdirectory(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let made = directory.join(name);
    fs::create_dir(&made)?;
    Ok(made)
}
