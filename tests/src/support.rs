//! What the behaviour suites share: two persistent types, small pools, scratch directories, random numbers that a seed
//! repeats, and child processes that play a part of a test.

pub mod bags;
pub mod board;
pub mod counting;
pub mod pairs;
pub mod panics;
pub mod zoo;

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use pobj::{Options, PBox, Persistent, Pool, Result, Tx};
use tempfile::TempDir;

/// Whether `POBJ_IMAGE` has the suites run in place, where new memory needs no room in the ring.
#[must_use]
pub fn in_place() -> bool {
    env::var("POBJ_IMAGE").is_ok_and(|image| image == "in-place")
}

/// A link of a [`Chain`].
#[derive(Persistent)]
#[repr(C)]
pub struct Link<'p> {
    /// What it keeps.
    pub value: u64,
    /// The one behind it.
    pub next: Option<PBox<'p, Link<'p>>>,
}

/// A root with a list: the first link is the youngest.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Chain<'p> {
    /// The first link.
    pub head: Option<PBox<'p, Link<'p>>>,
    /// How many there are.
    pub count: u64,
}

impl<'p> Chain<'p> {
    /// Puts a link in front.
    ///
    /// # Errors
    ///
    /// What taking memory returns.
    pub fn push(&mut self, tx: &Tx<'p>, value: u64) -> Result<()> {
        let next = self.head.take();
        self.head = Some(PBox::new(tx, Link { value, next })?);
        self.count += 1;
        Ok(())
    }

    /// Takes the first link away.
    pub fn pop(&mut self, tx: &Tx<'p>) -> Option<u64> {
        let Link { value, next } = self.head.take()?.into_inner(tx);
        self.head = next;
        self.count -= 1;
        Some(value)
    }

    /// All values, the youngest first.
    #[must_use]
    pub fn values(&self) -> Vec<u64> {
        let mut values = Vec::new();
        let mut link = self.head.as_deref();
        while let Some(Link { value, next }) = link {
            values.push(*value);
            link = next.as_deref();
        }
        assert_eq!(values.len() as u64, self.count, "the list and its count disagree");
        values
    }
}

/// A pool of [`Chain`] as most tests use it.
pub type ChainPool = Pool<Chain<'static>>;

/// Pushes one value in a transaction of its own.
///
/// # Errors
///
/// What the transaction returns.
pub fn push(pool: &ChainPool, value: u64) -> Result<()> {
    pool.write(|chain, tx| chain.push(tx, value))
}

/// Options for a pool that is small and quick: a ring of 64 KiB, and at most `max_size` bytes.
pub fn small<R>(max_size: u64) -> Options<R> {
    Pool::<R>::options().size(64 << 10).max_size(max_size).ring_size(64 << 10).validation_threads(1)
}

/// The smallest `max_size` that [`small`] can have with a schema of at most 4 KiB: the fixed parts in two chunks, one
/// chunk of metadata, one of objects.
pub const SMALLEST: u64 = 256 << 10;

/// A directory on an ordinary disk, removed at the end.
#[must_use]
pub fn directory() -> TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

/// A directory in memory where the system has one, so that a suite may open tens of thousands of pools.
#[must_use]
pub fn quick_directory() -> TempDir {
    tempfile::Builder::new().tempdir_in("/dev/shm").unwrap_or_else(|_| directory())
}

/// The number that an environment variable holds.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// The seed of a random suite: `POBJ_SEED`, or a new one. Prints it.
#[must_use]
pub fn seed(suite: &str) -> u64 {
    let seed = number("POBJ_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        u64::from(since.subsec_nanos()) ^ u64::from(std::process::id()) << 32
    });
    println!("{suite}: POBJ_SEED={seed}");
    seed
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }
}

const PART: &str = "POBJ_CHILD_PART";
const ARGUMENT: &str = "POBJ_CHILD_ARGUMENT";

/// A child process that runs the test `part` of the calling test program and nothing else. The part asks
/// [`child_argument`] whether it is meant; its standard output is piped.
#[must_use]
pub fn child(part: &str, argument: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command
        .args(["--exact", part, "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(PART, part)
        .env(ARGUMENT, argument)
        .stdout(Stdio::piped());
    command
}

/// The argument for the child that plays `part`, or `None` in any other process.
#[must_use]
pub fn child_argument(part: &str) -> Option<std::ffi::OsString> {
    (env::var_os(PART)? == part).then(|| env::var_os(ARGUMENT)).flatten()
}

/// Space that a file takes, in blocks of 512 bytes.
#[must_use]
pub fn blocks_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).expect("the file is there").blocks()
}

/// Names in a directory, sorted.
#[must_use]
pub fn names_in(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(directory).expect("the directory can be read");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}
