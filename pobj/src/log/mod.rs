//! An append-only log in a file of its own: libpmemlog's job, with entries, checksums, many appenders and followers.
//!
//! An entry is any bytes. Appending is all or nothing, and durable on return unless you choose otherwise; after a crash the
//! log holds a prefix of what was appended, with everything that was acknowledged as durable.
//!
//! ```
//! use pobj::log::Log;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("app.log");
//! let log = Log::create(&path, 1 << 20)?;
//! log.append(b"started")?;
//! log.append_all([b"two entries".as_slice(), b"or none"])?;
//! log.close()?;
//!
//! let log = Log::open(&path)?;
//! for entry in log.entries() {
//!     let (position, bytes) = entry?;
//!     println!("{}: {}", position.offset(), bytes.escape_ascii());
//! }
//! assert_eq!((log.count(), log.tell()), (3, 25));
//! # Ok::<(), pobj::Error>(())
//! ```
//!
//! # What an append costs
//!
//! On a file one durable write, shared by all who arrive while another is in flight; on persistent memory one store fence.
//! Nothing is written twice. An entry takes 16 bytes besides its own, rounded up to the log's
//! [alignment](Options::align).
//!
//! # The house
//!
//! [`frame`] is an entry as bytes, [`header`] what the file says of itself; [`scan`] reads frames and [`recover`] finds their
//! end after a crash; [`core`] is the open log, appended to by [`file`] or [`direct`]; [`read`] is for readers.

mod core;
mod direct;
mod file;
mod frame;
mod header;
mod options;
mod read;
mod recover;
mod scan;

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use static_assertions::assert_impl_all;

use self::core::{Batch, Core, longest};
use self::direct::SMALL;
use self::frame::{Hash, framed_len};
use self::header::AREA;
pub use self::options::Options;
pub use self::read::{Entries, Entry, Reader};
use crate::ground::error::{Error, Result};
use crate::journal::Durability;

/// A place in a log: where an entry begins, or where the next one will. Later entries have greater positions.
///
/// A position outlives the process: keep its two numbers, and a reader goes on from there with [`Reader::seek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    generation: u64,
    offset: u64,
}

impl Position {
    /// The position of these two numbers, which a log has given.
    #[must_use]
    pub fn new(generation: u64, offset: u64) -> Self {
        Self { generation, offset }
    }

    /// How often the log had been rewound, plus one.
    #[must_use]
    pub fn generation(self) -> u64 {
        self.generation
    }

    /// Bytes from the beginning of the log, frames included.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.offset
    }
}

/// What [`Log::check`] has looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An open log. All methods take `&self`, and any number of threads may append and read at once.
///
/// One handle at a time owns the file; others follow it with [`open_read_only`](Self::open_read_only). Dropping the
/// handle closes the log and ignores errors; call [`close`](Self::close) to see them.
///
/// After a failed write or sync what is durable is unknown: every later append gives [`Error::Poisoned`]. Reading goes on;
/// opening the log again recovers.
#[derive(Debug)]
pub struct Log {
    core: Core,
}

assert_impl_all!(Log: Send, Sync);
assert_impl_all!(Reader<'static>: Send, Sync);

impl Log {
    /// Makes a log with default [`Options`]; see [`Options::create`].
    ///
    /// # Errors
    ///
    /// As [`Options::create`].
    pub fn create(path: impl AsRef<Path>, capacity: u64) -> Result<Self> {
        Options::new().create(path, capacity)
    }

    /// Opens a log; see [`Options::open`].
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    /// Opens a log or makes it; see [`Options::open_or_create`].
    ///
    /// # Errors
    ///
    /// As [`Options::open_or_create`].
    pub fn open_or_create(path: impl AsRef<Path>, capacity: u64) -> Result<Self> {
        Options::new().open_or_create(path, capacity)
    }

    /// Opens a log to read and follow it, whether or not another process has it open for appending. Never writes a byte.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotALog`], [`Error::UnsupportedFormat`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Reader<'static>> {
        Reader::open(path.as_ref())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.core.media.path()
    }

    /// Bytes that all entries together can take, frames included.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.core.capacity
    }

    /// Bytes of the longest entry that still fits.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        longest(self.core.capacity - self.core.lock().end.offset)
    }

    /// Bytes that were appended since the log was made or rewound, without what frames add. Counts appends of other threads that are
    /// about to return.
    #[must_use]
    pub fn tell(&self) -> u64 {
        self.core.lock().end.bytes
    }

    /// Whether nothing was appended since the log was made or rewound, not even an empty entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Entries that were appended since the log was made or rewound.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.core.lock().end.entries
    }

    /// Where the next entry will begin.
    #[must_use]
    pub fn end(&self) -> Position {
        let ends = self.core.lock();
        Position { generation: ends.lap.generation, offset: ends.end.offset }
    }

    /// Appends one entry, all or nothing, and says where it is. Durable on return unless the log's
    /// [durability](Options::durability) is `Eventual`. Cost: one durable write, shared with who appends at the same time; on
    /// persistent memory one store fence.
    ///
    /// # Errors
    ///
    /// [`Error::LogFull`] and [`Error::TooLarge`] (4 GiB and more): nothing was appended. [`Error::Io`] if the medium fails and
    /// [`Error::Poisoned`] from then on; [`Error::Forked`].
    pub fn append(&self, entry: &[u8]) -> Result<Position> {
        self.with(self.core.durability).append(entry)
    }

    /// Appends one entry that lies in pieces, as [`append`](Self::append) does. Copies the pieces together.
    ///
    /// ```
    /// use std::io::IoSlice;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let log = pobj::log::Log::create(directory.path().join("app.log"), 1 << 20)?;
    /// log.append_vectored(&[IoSlice::new(b"a head, "), IoSlice::new(b"and a body")])?;
    /// assert_eq!(log.count(), 1);
    /// # Ok::<(), pobj::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_vectored(&self, pieces: &[IoSlice<'_>]) -> Result<Position> {
        self.with(self.core.durability).append_vectored(pieces)
    }

    /// Appends several entries, all or none of them, and says where the first is. They follow each other in the log. Costs one
    /// append.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_all<E: AsRef<[u8]>>(&self, entries: impl IntoIterator<Item = E>) -> Result<Position> {
        self.with(self.core.durability).append_all(entries)
    }

    /// The same appends with another durability than the log's.
    ///
    /// ```
    /// use pobj::Durability::Eventual;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let log = pobj::log::Log::create(directory.path().join("app.log"), 1 << 20)?;
    /// log.with(Eventual).append(b"quick")?;
    /// log.append(b"durable, and so is what came before")?;
    /// # Ok::<(), pobj::Error>(())
    /// ```
    #[must_use]
    pub fn with(&self, durability: Durability) -> Appender<'_> {
        Appender { core: &self.core, durability }
    }

    /// Makes everything durable that was appended. Cost: one durable write, none if everything is.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Poisoned`], [`Error::Forked`].
    pub fn sync(&self) -> Result<()> {
        self.core.sync()
    }

    /// Empties the log: one durable write, whatever it held. After a crash the log is empty or as it was. Waits for appends that
    /// are under way; readers of what was there get [`Error::Rewound`].
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub fn rewind(&self) -> Result<()> {
        self.core.rewind()
    }

    /// Gives everything that was appended to `each` in pieces of exactly `chunk` bytes, the last one shorter, whatever the
    /// entries' lengths; with a `chunk` of 0 all of it at once. Ends when `each` breaks, and reports that.
    ///
    /// Sees the log as it was at the beginning. `each` may append and even rewind. Cost: one pass over the bytes; a `chunk` of 0
    /// needs memory for all of them.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let log = pobj::log::Log::create(directory.path().join("app.log"), 1 << 20)?;
    /// log.append(b"abcde")?;
    /// log.append(b"fgh")?;
    /// let mut pieces = Vec::new();
    /// let ended = log.walk(3, |piece| {
    ///     pieces.push(piece.to_vec());
    ///     if piece == b"def" { ControlFlow::Break("found") } else { ControlFlow::Continue(()) }
    /// })?;
    /// assert_eq!(pieces, [b"abc", b"def"]);
    /// assert_eq!(ended, ControlFlow::Break("found"));
    /// # Ok::<(), pobj::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] with the offset of an entry whose checksum does not fit; [`Error::Rewound`] if the log was rewound
    /// meanwhile; [`Error::Io`].
    pub fn walk<B>(&self, chunk: usize, each: impl FnMut(&[u8]) -> ControlFlow<B>) -> Result<ControlFlow<B>> {
        let len = if chunk == 0 { self.tell() } else { 0 };
        self.entries().walk(chunk, len, each)
    }

    /// The entries that the log holds now.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries::new(&self.core)
    }

    /// Those of them that begin at `position`, which this log has given, or later.
    ///
    /// # Errors
    ///
    /// [`Error::Rewound`] if the position is from before the last rewind, [`Error::OutOfRange`] if it lies beyond the end.
    pub fn entries_from(&self, position: Position) -> Result<Entries<'_>> {
        Entries::from(&self.core, position)
    }

    /// Follows the log from its beginning: what is there, and what will be appended. [`Reader::seek`] begins elsewhere.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::here(&self.core)
    }

    /// Verifies every entry.
    ///
    /// # Errors
    ///
    /// As [`walk`](Self::walk).
    pub fn check(&self) -> Result<Checked> {
        let ends = self.core.lock();
        let end = Position { generation: ends.lap.generation, offset: ends.end.offset };
        let expected = Checked { entries: ends.end.entries, bytes: ends.end.bytes };
        drop(ends);
        let mut entries = self.entries();
        let mut checked = Checked { entries: 0, bytes: 0 };
        while let Some(entry) = entries.next_entry()? {
            checked.entries += 1;
            checked.bytes += entry.bytes.len() as u64;
        }
        if entries.end() == end && checked != expected {
            let what = format!("{expected:?} were counted, {checked:?} are there");
            return Err(Error::corrupt(what, AREA));
        }
        Ok(checked)
    }

    /// Makes everything durable and closes the log, so that the next open has nothing to look for.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync). The log is closed in any case.
    pub fn close(self) -> Result<()> {
        self.core.close()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // `close` reports errors; what it could not note the next open finds.
        let _ = self.core.close();
    }
}

/// Appends with a durability of its own; from [`Log::with`].
#[derive(Clone, Copy, Debug)]
pub struct Appender<'l> {
    core: &'l Core,
    durability: Durability,
}

impl Appender<'_> {
    /// See [`Log::append`].
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    #[inline]
    pub fn append(self, entry: &[u8]) -> Result<Position> {
        let framed = framed_len(entry.len() as u64, self.core.align);
        if self.core.direct && framed <= SMALL as u64 {
            let (generation, offset) = self.core.append_small(entry, framed)?;
            return Ok(Position { generation, offset });
        }
        self.append_hashed(&[(entry, Hash::of(entry))])
    }

    /// See [`Log::append_vectored`].
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn append_vectored(self, pieces: &[IoSlice<'_>]) -> Result<Position> {
        match pieces {
            [piece] => self.append(piece),
            pieces => {
                let slices: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
                self.append(&slices.concat())
            }
        }
    }

    /// See [`Log::append_all`].
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn append_all<E: AsRef<[u8]>>(self, entries: impl IntoIterator<Item = E>) -> Result<Position> {
        let entries: Vec<E> = entries.into_iter().collect();
        let hashed: Vec<(&[u8], Hash)> =
            entries.iter().map(AsRef::as_ref).map(|entry| (entry, Hash::of(entry))).collect();
        self.append_hashed(&hashed)
    }

    #[inline]
    fn append_hashed(self, entries: &[(&[u8], Hash)]) -> Result<Position> {
        let batch = Batch::new(entries, self.core.align)?;
        let (generation, offset) = self.core.append(batch, self.durability)?;
        Ok(Position { generation, offset })
    }
}
