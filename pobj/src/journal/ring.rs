//! The ring: ordering, group commit, and the room between head and tail.
//!
//! Positions are logical (they only grow); a position's place in the file is `position % ring_len`. A record
//! never wraps: where it would, it begins at the next lap. A durable write begins at the next block, so a durable
//! record is never rewritten. A record therefore begins right behind its predecessor, at the next block, or at the next
//! lap, and recovery looks at these three places.
//!
//! ```text
//!   head          durable            tail
//!    |  in home's    |  ordered, not    |
//!    |  future       |  yet durable     |
//! ```
//!
//! *Ordered* means: has a place in the ring. The writer's lock may go then (J8). *Durable* means: a durable write
//! that covers it has returned. The first committer who finds no write in flight writes everything that is
//! ordered, and all others wait for it (group commit).
//!
//! The ring's bytes between head and tail are mirrored in memory, so neither the durable write nor the checkpoint
//! reads the file. Space is taken out of the ring only by the checkpoint, after home is durable (J6).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Durability;
use super::chain::Chain;
use super::direct::{Appender, Buffers, Progress};
use super::pace::Pace;
use super::record::{self, Header, Kind, Salt};
use super::spill::Spill;
use super::state::RingState;
use super::undo::InPlace;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::Geometry;
use crate::media::{ImageMode, Media, MediaCounts, Totals, counts_here};

/// A leader waits for other committers for at most this part of the last durable write's time.
const GATHER_PART: u32 = 2;

/// How records are made and become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Redo by durable writes of a file, shared by all who wait.
    File,
    /// Redo by non-temporal stores and a fence (see [`direct`](super::direct)).
    Direct,
    /// Undo (see [`undo`](super::undo)).
    InPlace,
}

/// What the journal has done since the pool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Records appended, one for each transaction that changed something.
    pub records: u64,
    /// Durable writes made on behalf of commits.
    pub durable_writes: u64,
    /// Bytes of those writes.
    pub durable_bytes: u64,
    /// Checkpoints that moved the ring's head.
    pub checkpoints: u64,
    /// Transactions larger than the ring takes.
    pub spills: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) records: AtomicU64,
    pub(super) durable_writes: AtomicU64,
    pub(super) durable_bytes: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) spills: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Where a record lies in the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) len: u64,
    pub(super) txid: u64,
}

/// What the ring's lock guards.
#[derive(Debug)]
pub(super) struct Ring {
    /// The ring's bytes by place; meaningful between head and tail.
    pub(super) mirror: Vec<u8>,
    pub(super) marks: VecDeque<Mark>,
    pub(super) spills: VecDeque<Spill>,
    /// Where the file is to end: space behind the pool could not be given back, and its bytes are not zero.
    pub(super) uncut: Option<u64>,
    pub(super) state: RingState,
    pub(super) tail: u64,
    pub(super) last_txid: u64,
    pub(super) durable_txid: u64,
    /// Up to here the records are in the file, so that a kill finds them.
    filed_txid: u64,
    pub(super) flushing: bool,
    pub(super) checkpointing: bool,
    /// Committers and checkpointers who wait for `changed`.
    pub(super) waiting: u32,
    /// Threads inside [`Journal::wait_durable`].
    committers: u32,
    /// How many there were when the last durable write ended.
    committers_expected: u32,
    /// How long it took.
    write_time: Duration,
    /// The background thread sleeps without a time limit.
    pub(super) background_idle: bool,
    pub(super) stopping: bool,
    scratch: Vec<u8>,
    /// The record that is being made.
    pub(super) encoded: Vec<u64>,
    pub(super) in_place: InPlace,
    pub(super) buffers: Buffers,
}

impl Ring {
    /// Bytes between head and tail.
    pub(super) fn used(&self) -> u64 {
        self.tail - self.state.head
    }
}

/// The journal of an open pool.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(super) media: Arc<dyn Media>,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) salt: Salt,
    pub(super) ring: Mutex<Ring>,
    /// Durable, head or stopping moved.
    pub(super) changed: Condvar,
    /// Work for the background thread.
    pub(super) work: Condvar,
    poisoned: AtomicBool,
    pub(super) counters: Counters,
    /// What the background thread has done.
    pub(crate) background_counts: Totals,
    /// What transactions have done.
    pub(crate) foreground: Chain,
    pub(super) mode: Mode,
    /// On persistent memory; on a file only what was appended.
    pub(super) progress: Arc<Progress>,
    pub(super) pace: Pace,
    /// Held by who makes the file longer: for growth, or for a body outside the ring.
    pub(super) length: Mutex<()>,
    /// Length beyond which the pool never grows.
    pub(super) max_len: u64,
}

impl Journal {
    /// The journal of a pool whose ring is empty, with `state` as stored on the medium.
    pub(crate) fn new(
        media: Arc<dyn Media>,
        pool_id: u64,
        geometry: &Geometry,
        state: RingState,
        image: ImageMode,
    ) -> Result<Self> {
        let (offset, len) = (geometry.ring_offset, geometry.ring_len);
        media.prepare_ring(offset, len)?;
        let mode = match (media.domain().is_memory(), image) {
            (_, ImageMode::InPlace) => Mode::InPlace,
            (true, ImageMode::Private) => Mode::Direct,
            (false, ImageMode::Private) => Mode::File,
        };
        let salt = Salt { pool_id, epoch: state.epoch };
        let ring = Ring {
            mirror: if mode == Mode::File { vec![0; len as usize] } else { Vec::new() },
            marks: VecDeque::new(),
            spills: VecDeque::new(),
            uncut: None,
            tail: state.head,
            last_txid: state.txid,
            durable_txid: state.txid,
            filed_txid: state.txid,
            state,
            flushing: false,
            checkpointing: false,
            waiting: 0,
            committers: 0,
            committers_expected: 0,
            write_time: Duration::ZERO,
            background_idle: false,
            stopping: false,
            scratch: Vec::new(),
            encoded: Vec::new(),
            in_place: InPlace::default(),
            buffers: Buffers::default(),
        };
        Ok(Self {
            media,
            offset,
            len,
            salt,
            ring: Mutex::new(ring),
            changed: Condvar::new(),
            work: Condvar::new(),
            poisoned: AtomicBool::new(false),
            counters: Counters::default(),
            background_counts: Totals::default(),
            foreground: Chain::new(state.txid),
            mode,
            progress: Arc::new(Progress::new(&state)),
            pace: Pace::new(),
            length: Mutex::new(()),
            max_len: geometry.max_len,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something about the ring changes.
    pub(super) fn wait<'a>(&self, mut ring: MutexGuard<'a, Ring>) -> MutexGuard<'a, Ring> {
        ring.waiting += 1;
        let mut ring = self.changed.wait(ring).unwrap_or_else(PoisonError::into_inner);
        ring.waiting -= 1;
        ring
    }

    /// Tells the waiting ones, if any: an unneeded wake would be a system call for each commit.
    pub(super) fn announce(&self, ring: &Ring) {
        if ring.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// True when it is time for a checkpoint.
    pub(super) fn is_half_full(&self, ring: &Ring) -> bool {
        ring.used() >= self.len / 2
    }

    #[inline]
    pub(crate) fn check_poison(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// After this, every commit fails (M5).
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Syncs what was written outside the ring. A failure poisons: it may have been the only report of a write of
    /// somebody else's that failed (M5).
    pub(crate) fn sync_medium(&self) -> Result<()> {
        self.media.sync().inspect_err(|_| self.poison())
    }

    /// Makes the file's new length durable, before a record depends on it (J9).
    pub(crate) fn sync_len(&self, len: u64) -> Result<()> {
        self.media.sync_len(len).inspect_err(|_| self.poison())
    }

    /// Orders one transaction. When it returns, the transaction comes before every later one; it is not yet
    /// durable. On an error nothing was ordered.
    #[inline]
    pub(crate) fn append(&self, end: &mut Appender, body: &[u64], durability: Durability) -> Result<u64> {
        if self.mode == Mode::Direct {
            return self.append_direct(end, body);
        }
        if record::padded_len(body.len()) > self.len / 2 {
            return self.append_spilled(body, durability);
        }
        self.append_record(Kind::Body, body, durability, None)
    }

    pub(super) fn append_record(
        &self,
        kind: Kind,
        body: &[u64],
        durability: Durability,
        spill: Option<Spill>,
    ) -> Result<u64> {
        let total = record::padded_len(body.len());
        let mut ring = self.lock();
        let position = loop {
            self.check_poison()?;
            let position = place(ring.tail, total, self.len);
            if position + total - ring.state.head <= self.len {
                break position;
            }
            ring = self.make_room(ring)?;
        };
        let header = Header {
            txid: ring.last_txid + 1,
            horizon: ring.durable_txid,
            len: record::HEADER_LEN + body.len() * 8,
            kind,
        };
        let at = (position % self.len) as usize;
        let Ring { mirror, encoded, .. } = &mut *ring;
        record::encode(encoded, self.salt, position, header, body);
        mirror[at..at + total as usize].copy_from_slice(bytemuck::cast_slice(encoded));
        if durability == Durability::Eventual {
            self.file_records(&ring)?;
            self.media.write_ordered(self.offset + at as u64, &ring.mirror[at..at + total as usize])?;
            ring.filed_txid = header.txid;
        }
        let used_before = ring.used();
        ring.tail = position + total;
        ring.last_txid = header.txid;
        self.progress.note_appended(header.txid);
        ring.marks.push_back(Mark { position, len: total, txid: header.txid });
        ring.spills.extend(spill.map(|spill| Spill { txid: header.txid, ..spill }));
        count(&self.counters.records, 1);
        self.pace.note(ring.tail);
        self.rouse(ring, used_before, durability);
        Ok(header.txid)
    }

    /// Puts records into the file that still wait for their durable write: were a kill to lose one of them, the next
    /// one, whose commit is about to return, would be lost with it. A durable write in flight may be writing the same
    /// bytes; the same values are all that can be there.
    fn file_records(&self, ring: &Ring) -> Result<()> {
        let filed = ring.filed_txid.max(ring.durable_txid);
        if filed >= ring.last_txid {
            return Ok(());
        }
        let first = ring.marks.partition_point(|mark| mark.txid <= filed);
        for mark in ring.marks.range(first..) {
            let at = (mark.position % self.len) as usize;
            let bytes = &ring.mirror[at..at + mark.len as usize];
            self.media.write_ordered(self.offset + at as u64, bytes)?;
        }
        Ok(())
    }

    /// Wakes the background thread where this append gives it something to do.
    fn rouse(&self, mut ring: MutexGuard<'_, Ring>, used_before: u64, durability: Durability) {
        let crossed = used_before < self.len / 2 && self.is_half_full(&ring);
        if crossed || (ring.background_idle && durability == Durability::Eventual) {
            ring.background_idle = false;
            drop(ring);
            self.work.notify_one();
        }
    }

    /// Frees ring space: by waiting for the checkpoint in flight, or by making one.
    fn make_room<'a>(&'a self, ring: MutexGuard<'a, Ring>) -> Result<MutexGuard<'a, Ring>> {
        if ring.checkpointing {
            return Ok(self.wait(ring));
        }
        drop(ring);
        self.checkpoint()?;
        Ok(self.lock())
    }

    /// Whether a commit of this durability waits until it is durable. On persistent memory all do: the fence must come
    /// from the thread that stored the record, and there is no cheaper promise than one fence.
    #[inline]
    pub(crate) fn waits(&self, durability: Durability) -> bool {
        match self.mode {
            Mode::File => durability == Durability::Immediate,
            Mode::Direct | Mode::InPlace => true,
        }
    }

    /// Whether a record becomes durable by one fence of the thread that appended it:
    /// [`fence_record`](Self::fence_record).
    #[inline]
    pub(crate) fn fences_alone(&self) -> bool {
        self.mode == Mode::Direct
    }

    /// Waits a moment if transactions come faster than home can take them (see [`pace`](super::pace)). For who has
    /// not waited for the medium, and holds nothing that others wait for.
    #[inline]
    pub(crate) fn keep_pace(&self) {
        self.pace.pay();
    }

    /// Returns when transaction `txid`, which this thread has appended, is durable. `before` is what this thread had
    /// asked of media when the transaction began.
    pub(crate) fn wait_durable(&self, txid: u64, before: MediaCounts) -> Result<()> {
        let outcome = match self.mode {
            Mode::Direct => return self.fence_record(txid, counts_here() - before + MediaCounts::FENCE),
            Mode::File => self.wait_written(txid),
            Mode::InPlace => self.check_durable(txid),
        };
        self.foreground.add(counts_here() - before);
        outcome
    }

    /// Returns when a durable write has covered transaction `txid`.
    fn wait_written(&self, txid: u64) -> Result<()> {
        let mut ring = self.lock();
        ring.committers += 1;
        loop {
            if ring.durable_txid >= txid || self.check_poison().is_err() {
                break;
            }
            if ring.flushing {
                ring = self.wait(ring);
                continue;
            }
            ring.flushing = true;
            ring = self.gather(ring);
            let (written, outcome) = self.write_ordered_records(ring);
            ring = written;
            if let Err(error) = outcome {
                ring.committers -= 1;
                return Err(error);
            }
        }
        ring.committers -= 1;
        if ring.durable_txid >= txid { Ok(()) } else { Err(Error::Poisoned) }
    }

    /// Lets the committers come back whom the last durable write has released, so that this one carries them
    /// too: without it, four threads fall into groups of one and three. Gives up after a small part of the time that a
    /// write takes; a lone committer never waits.
    fn gather<'a>(&'a self, ring: MutexGuard<'a, Ring>) -> MutexGuard<'a, Ring> {
        // Those whom the last write released are still counted as committers until they have woken; what tells who is
        // back is the number of records that wait.
        let enough = ring.durable_txid + u64::from(ring.committers_expected);
        if ring.last_txid >= enough {
            return ring;
        }
        let limit = ring.write_time / GATHER_PART;
        let start = Instant::now();
        drop(ring);
        // Without the lock, which those who come back need.
        while self.progress.appended() < enough && start.elapsed() < limit {
            std::thread::yield_now();
        }
        self.lock()
    }

    /// Makes everything ordered so far durable.
    pub(crate) fn sync(&self) -> Result<()> {
        match self.mode {
            Mode::File => {
                let last = self.lock().last_txid;
                self.wait_written(last)
            }
            Mode::Direct => self.wait_fenced(self.progress.appended()),
            Mode::InPlace => self.check_poison(),
        }
    }

    /// Writes all ordered records durably. The caller found that nobody else does.
    pub(super) fn flush<'a>(&'a self, mut ring: MutexGuard<'a, Ring>) -> Result<MutexGuard<'a, Ring>> {
        debug_assert!(!ring.flushing, "one durable write of the ring at a time");
        ring.flushing = true;
        let (ring, outcome) = self.write_ordered_records(ring);
        outcome.map(|()| ring)
    }

    /// The durable write itself; `flushing` is set and keeps others away.
    fn write_ordered_records<'a>(
        &'a self,
        mut ring: MutexGuard<'a, Ring>,
    ) -> (MutexGuard<'a, Ring>, Result<()>) {
        let last = ring.last_txid;
        let mut scratch = std::mem::take(&mut ring.scratch);
        // Where every record is in the file already, a sync makes them durable.
        let all_filed = ring.filed_txid >= last;
        let pieces = if all_filed { Vec::new() } else { self.take_ordered(&ring, &mut scratch) };
        self.close_block(&mut ring);
        drop(ring);
        let start = Instant::now();
        let outcome = self.write_pieces(&pieces, &scratch);
        let mut ring = self.lock();
        ring.flushing = false;
        ring.write_time = start.elapsed();
        ring.committers_expected = ring.committers;
        scratch.clear();
        ring.scratch = scratch;
        match outcome {
            Ok(()) => ring.durable_txid = ring.durable_txid.max(last),
            Err(_) => self.poison(),
        }
        self.announce(&ring);
        (ring, outcome)
    }

    /// Writes the pieces durably; without any, a sync covers what is written already.
    fn write_pieces(&self, pieces: &[(u64, usize)], mut bytes: &[u8]) -> Result<()> {
        if pieces.is_empty() {
            count(&self.counters.durable_writes, 1);
            return self.media.sync();
        }
        for (position, len) in pieces {
            let (piece, behind) = bytes.split_at(*len);
            bytes = behind;
            count(&self.counters.durable_writes, 1);
            count(&self.counters.durable_bytes, *len as u64);
            self.media.write_durable(self.offset + position % self.len, piece)?;
        }
        Ok(())
    }

    /// Lets the next record begin at the next block, so that no durable block is written again.
    fn close_block(&self, ring: &mut Ring) {
        let lap_end = ring.tail.next_multiple_of(self.len);
        ring.tail = ring.tail.next_multiple_of(self.media.block_len()).min(lap_end);
    }

    /// Copies the ordered bytes, to whole blocks. Gives (position, len) of each contiguous piece: one,
    /// or two where the ring wraps.
    fn take_ordered(&self, ring: &Ring, scratch: &mut Vec<u8>) -> Vec<(u64, usize)> {
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let first = ring.marks.partition_point(|mark| mark.txid <= ring.durable_txid);
        for mark in ring.marks.range(first..) {
            match pieces.last_mut() {
                Some((_, end)) if *end == mark.position && mark.position % self.len != 0 => *end += mark.len,
                _ => pieces.push((mark.position, mark.position + mark.len)),
            }
        }
        pieces
            .into_iter()
            .map(|(position, end)| {
                let at = (position % self.len) as usize;
                let len = (end - position) as usize;
                scratch.extend_from_slice(&ring.mirror[at..at + len]);
                // Whole blocks spare the kernel from reading the rest of a block that it does not hold.
                let whole = (end.next_multiple_of(self.media.block_len()) - position) as usize;
                scratch.resize(scratch.len() + (whole - len), 0);
                (position, whole)
            })
            .collect()
    }

    /// The last transaction that home holds.
    pub(crate) fn home_txid(&self) -> u64 {
        let ring = self.lock();
        if self.mode == Mode::InPlace { ring.last_txid } else { ring.state.txid }
    }

    /// The last transaction that is ordered.
    pub(crate) fn last_txid(&self) -> u64 {
        match self.mode {
            Mode::Direct => self.progress.appended(),
            Mode::File | Mode::InPlace => self.lock().last_txid,
        }
    }

    pub(crate) fn counts(&self) -> JournalCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JournalCounts {
            records: match self.mode {
                Mode::Direct => self.progress.records(),
                Mode::File | Mode::InPlace => load(&self.counters.records),
            },
            durable_writes: load(&self.counters.durable_writes),
            durable_bytes: load(&self.counters.durable_bytes),
            checkpoints: load(&self.counters.checkpoints),
            spills: load(&self.counters.spills),
        }
    }
}

/// Where a record of `total` bytes goes when the ring ends at `tail`.
pub(super) fn place(tail: u64, total: u64, ring_len: u64) -> u64 {
    let at = tail % ring_len;
    if at + total > ring_len { tail - at + ring_len } else { tail }
}
