//! The open log: its ends, and what moves them.
//!
//! ```text
//!   header's tail     durable        shown        end        limit
//!        |   durable     |   in file   |  in memory |  nothing  |  other generations, zeros
//! ```
//!
//! *End* is where the next frame goes; it moves under the lock, so entries have one order. *Shown* is what readers may
//! see: what was acknowledged. *Limit* is the header's: no frame goes beyond before a header that says so is durable. It
//! moves in steps, each of which notes how far the log is durable, so that an open has at most a step to look through.
//!
//! How a frame becomes durable depends on the medium: see [`file`](super::file) and [`direct`](super::direct).
//!
//! Offsets begin anew with each generation. What threads tell each other are therefore *positions*, which only grow: an
//! offset and the `base` of its generation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::file::Unwritten;
use super::frame::{HEAD_LEN, Hash, LEN_MAX, Salt, framed_len};
use super::header::{ALIGN_MAX, AREA, End, Header};
use super::recover::recover;
use super::scan::Source;
use crate::ground::error::{Error, Result};
use crate::journal::{Chain, Durability};
use crate::media::{ForkSentinel, Media};

/// The limit moves by at least so much, or less in a small log, and by at most so much for what may be appended later.
const STEP: u64 = 1 << 20;
const STEP_MAX: u64 = 64 << 20;
/// Steps of a small log.
const STEPS: u64 = 16;
/// A step is such a part of what is in the log.
const STEP_PART: u64 = 8;
/// Zeros are written in pieces of this length.
const ZEROS_LEN: u64 = if cfg!(miri) { 4096 } else { 1 << 20 };

/// Which generation counts, and where its positions begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lap {
    pub(super) generation: u64,
    pub(super) salt: Salt,
    pub(super) base: u64,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) lap: Lap,
    /// Where the next frame goes.
    pub(super) end: End,
    /// Up to here everything is durable. On persistent memory [`Core::shown`] says so.
    pub(super) durable: End,
    /// The header in force.
    pub(super) header: Header,
    pub(super) unwritten: Unwritten,
}

impl Ends {
    /// Position of the end.
    pub(super) fn position(&self) -> u64 {
        self.lap.base + self.end.offset
    }
}

/// The log without its interface.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) media: Arc<dyn Media>,
    pub(super) log_id: u64,
    pub(super) capacity: u64,
    pub(super) align: u64,
    /// On persistent memory: each appender stores and fences for itself.
    pub(super) direct: bool,
    pub(super) durability: Durability,
    /// Held by who reads from the medium, against a rewind that makes room for other bytes there.
    lap: RwLock<Lap>,
    ends: Mutex<Ends>,
    /// A durable write has ended.
    pub(super) changed: Condvar,
    /// Position up to which readers see.
    pub(super) shown: Chain,
    poisoned: AtomicBool,
    fork: ForkSentinel,
}

impl Core {
    /// Formats a log on an empty medium, and makes it visible.
    pub(super) fn create(media: Arc<dyn Media>, header: Header, durability: Durability) -> Result<Self> {
        media.grow(header.file_len())?;
        let header = header.format(&*media)?;
        let core = Self::assemble(media, header, durability)?;
        core.media.publish()?;
        Ok(core)
    }

    /// Opens what [`create`](Self::create) has made, whatever happened to it since.
    pub(super) fn open(media: Arc<dyn Media>, durability: Durability) -> Result<Self> {
        let header = Header::load(&*media, true)?;
        let end = recover(&*media, &header)?;
        // What is shown from here on must stay, though a killed process may have left it in no more than a cache.
        media.sync()?;
        let recovered = Header { tail: end, limit: end.offset, ..header };
        let header = if recovered == header { header } else { recovered.store(&*media)? };
        Self::assemble(media, header, durability)
    }

    fn assemble(media: Arc<dyn Media>, header: Header, durability: Durability) -> Result<Self> {
        let direct = media.domain().is_memory();
        if direct {
            media.prepare(0, AREA)?;
        } else {
            media.prepare_ring(AREA, header.capacity)?;
        }
        let salt = Salt::new(header.log_id, header.generation);
        let lap = Lap { generation: header.generation, salt, base: 0 };
        let end = header.tail;
        let ends = Ends { lap, end, durable: end, header, unwritten: Unwritten::new(end) };
        Ok(Self {
            media,
            log_id: header.log_id,
            capacity: header.capacity,
            align: header.align,
            direct,
            durability,
            lap: RwLock::new(lap),
            ends: Mutex::new(ends),
            changed: Condvar::new(),
            shown: Chain::new(end.offset),
            poisoned: AtomicBool::new(false),
            fork: ForkSentinel::new()?,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ends> {
        // Whoever panics under this lock has changed nothing, or poisons the log.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation that counts, and no rewind while the result lives.
    pub(super) fn lap(&self) -> RwLockReadGuard<'_, Lap> {
        self.lap.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error where nothing can be appended: after a fork, after a failed write.
    #[inline]
    pub(super) fn check_usable(&self) -> Result<()> {
        if !self.fork.in_owner() {
            return Err(Error::Forked);
        }
        self.check_poison()
    }

    #[inline]
    pub(super) fn check_poison(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// After this nothing is appended (M5), and waiting ones give up.
    #[cold]
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Makes entries of these lengths one append. The frames are made by `fill`; see [`file`](super::file).
    #[inline]
    pub(super) fn append(&self, batch: Batch<'_>, durability: Durability) -> Result<(u64, u64)> {
        self.check_usable()?;
        if self.direct { self.append_direct(batch) } else { self.append_file(batch, durability) }
    }

    /// Makes room for an append that takes `needed` bytes, or says that there is none.
    #[inline]
    pub(super) fn reserve(&self, ends: &mut Ends, needed: u64) -> Result<()> {
        self.check_poison()?;
        let available = self.capacity - ends.end.offset;
        if needed > available {
            return Err(Error::LogFull { needed, available });
        }
        if ends.end.offset + needed > ends.header.limit {
            self.move_limit(ends, ends.end.offset + needed)?;
        }
        Ok(())
    }

    /// Moves the limit to `needed` at least, durably.
    #[cold]
    fn move_limit(&self, ends: &mut Ends, needed: u64) -> Result<()> {
        let least = (self.capacity / STEPS).clamp(ALIGN_MAX, STEP);
        let step = (needed / STEP_PART).clamp(least, STEP_MAX);
        // Whole blocks, and so whole frames.
        let limit = (needed + step).min(self.capacity) / ALIGN_MAX * ALIGN_MAX;
        let moved =
            if self.direct { self.prepare_direct(ends, limit) } else { self.prepare_file(ends, limit) };
        let stored = moved.and_then(|written| {
            let header = Header { tail: ends.durable, limit, written, ..ends.header };
            header.store(&*self.media)
        });
        // A failed sync may have been the only report of a write of somebody else's (M5).
        ends.header = stored.inspect_err(|_| self.poison())?;
        Ok(())
    }

    /// Writes zeros up to `limit` where nothing was ever written, so that no durable write has to allocate. Whether it did.
    pub(super) fn write_out(&self, from: u64, limit: u64) -> Result<bool> {
        if from >= limit {
            return Ok(false);
        }
        let zeros = vec![0; ZEROS_LEN.min(limit - from) as usize];
        let mut at = from;
        while at < limit {
            let len = (limit - at).min(zeros.len() as u64);
            self.media.write(AREA + at, &zeros[..len as usize])?;
            at += len;
        }
        Ok(true)
    }

    /// Makes everything durable that was appended.
    pub(super) fn sync(&self) -> Result<()> {
        self.check_usable()?;
        if self.direct {
            let position = self.lock().position();
            return self.shown.wait(position, || self.check_poison());
        }
        let ends = self.lock();
        let position = ends.position();
        self.settle(ends, position)
    }

    /// Begins a new generation, which is empty. Atomic: one durable write of a header.
    pub(super) fn rewind(&self) -> Result<()> {
        self.check_usable()?;
        let mut lap = self.lap.write().unwrap_or_else(PoisonError::into_inner);
        let mut ends = self.quiet()?;
        let generation = ends.lap.generation + 1;
        let header = Header { generation, tail: End::default(), limit: 0, ..ends.header };
        ends.header = header.store(&*self.media).inspect_err(|_| self.poison())?;
        *lap = Lap { generation, salt: Salt::new(self.log_id, generation), base: ends.position() };
        ends.lap = *lap;
        (ends.end, ends.durable) = (End::default(), End::default());
        ends.unwritten = Unwritten::new(End::default());
        Ok(())
    }

    /// The lock, at a moment at which everything is durable and nobody is writing.
    fn quiet(&self) -> Result<MutexGuard<'_, Ends>> {
        let mut ends = self.lock();
        if self.direct {
            self.check_poison()?;
            self.shown.wait(ends.position(), || self.check_poison())?;
            ends.durable = ends.end;
            return Ok(ends);
        }
        loop {
            self.check_poison()?;
            if ends.is_settled() {
                return Ok(ends);
            }
            ends = self.advance(ends)?;
        }
    }

    /// Makes everything durable and notes where the log ends, so that the next open has nothing to look for.
    pub(super) fn close(&self) -> Result<()> {
        // A forked child has no right to write; after a failed write nobody knows where the end is.
        self.check_usable()?;
        let mut ends = self.quiet()?;
        if ends.header.limit != ends.end.offset {
            let header = Header { tail: ends.end, limit: ends.end.offset, ..ends.header };
            ends.header = header.store(&*self.media).inspect_err(|_| self.poison())?;
        }
        Ok(())
    }

    /// What readers may see now: the generation, and the offset up to which.
    pub(super) fn view(&self) -> (Lap, u64) {
        let lap = *self.lap();
        (lap, self.shown.fenced().saturating_sub(lap.base))
    }
}

/// The medium, while the generation that the reader is in lasts.
impl Source for (&Core, Lap) {
    fn fill(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let (core, mine) = self;
        let lap = core.lap();
        if lap.generation != mine.generation {
            return Err(Error::Rewound);
        }
        core.media.read(AREA + offset, into)
    }
}

/// The entries of one append, checked to be such as a log can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    entries: &'a [(&'a [u8], Hash)],
    /// Bytes that they take in the log.
    pub(super) framed: u64,
    /// Bytes that they have.
    pub(super) bytes: u64,
}

impl<'a> Batch<'a> {
    #[inline]
    pub(super) fn new(entries: &'a [(&'a [u8], Hash)], align: u64) -> Result<Self> {
        let (mut framed, mut bytes) = (0u64, 0u64);
        for (entry, _) in entries {
            let len = entry.len() as u64;
            if len > LEN_MAX {
                return Err(Error::TooLarge { requested: len });
            }
            // The sum of lengths of slices in memory, which many times over may be one slice.
            framed = framed.saturating_add(framed_len(len, align));
            bytes = bytes.saturating_add(len);
        }
        Ok(Self { entries, framed, bytes })
    }

    /// Each entry with its hash, and whether another one follows.
    #[inline]
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a [u8], Hash, bool)> {
        let count = self.entries.len();
        self.entries.iter().enumerate().map(move |(at, (entry, hash))| (*entry, *hash, at + 1 < count))
    }

    /// How much it moves the end.
    #[inline]
    pub(super) fn extent(&self) -> End {
        End { offset: self.framed, entries: self.entries.len() as u64, bytes: self.bytes }
    }
}

/// Longest entry that fits into `room` bytes.
pub(super) fn longest(room: u64) -> u64 {
    room.saturating_sub(HEAD_LEN).min(LEN_MAX)
}
