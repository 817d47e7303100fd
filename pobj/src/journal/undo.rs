//! Undo in place: old words are durable before they change.
//!
//! Where the image is the pool's own bytes, whatever the program stores may reach the medium at any moment. So the
//! old words of a range go into the ring first, at one fence a range, and only then is the range handed out.
//!
//! ```text
//! ring:  ... | undo t | undo t | undo t | commit t | undo t+1 | ...
//! ```
//!
//! - **Commit**: the logged lines are flushed, a fence, the *commit record* of transaction `t`, a fence. So `S` logged
//!   ranges cost `S + 2` fences. The commit record holds the allocator's words as any record does; they are stored after
//!   it is durable, so it both retires the undo records and redoes the allocation.
//! - **Recovery** replays the commit records, and if undo records follow the last of them it puts their words back, the
//!   newest first. Putting them back twice is harmless (J4).
//! - **Abort** puts the old words back, flushes and fences. Its undo records may stay: they now say what is there.
//! - **The head** moves up to the running transaction's first undo record, once the allocator's words of the commits
//!   before it are flushed and fenced.
//! - A transaction whose old words exceed a quarter of the ring goes on in *extents* of the file beyond the pool's
//!   largest length, named by a record in the ring, and each twice as long as the one before (J5). They are cut
//!   off when the transaction ends.
//!
//! One thread writes at a time, and makes all its fences itself.

use super::record::{self, Body, Header, Kind, Salt};
use super::ring::{Journal, Ring, count, place};
use super::spill::Spill;
use crate::ground::checksum::mix;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::{BLOCK, HOME_TXID};

/// Words of the record that names an extent: offset, length, nonce.
pub(super) const EXTENT_WORDS: usize = 3;
/// Undo records of one transaction, and one record, take at most this part of the ring. So with the rest of a lap that a
/// record does not fit into, there is always room for the commit record.
const RING_PART: u64 = 4;
/// Extents grow up to this length, unless one range needs more.
const EXTENT_LEN_MAX: u64 = 1 << 30;

/// A part of the file beyond the pool that holds undo records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Makes stale records of an earlier use fail their checksums.
    pub(super) nonce: u64,
}

impl Extent {
    /// From the body of the record that names it.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let words: [u8; EXTENT_WORDS * 8] = body.try_into().ok()?;
        let [offset, len, nonce]: [u64; EXTENT_WORDS] = bytemuck::cast(words);
        Some(Self { offset, len, nonce })
    }

    pub(super) fn salt(&self, ring: Salt) -> Salt {
        Salt { epoch: mix(ring.epoch, self.nonce), ..ring }
    }
}

/// What a running transaction has logged.
#[derive(Debug, Default)]
pub(crate) struct UndoLog {
    /// The extent in use, and how many of its bytes are.
    extent: Option<(Extent, u64)>,
    body: Body,
}

/// The part of the ring's state that is used in place only.
#[derive(Debug, Default)]
pub(super) struct InPlace {
    /// Position of the running transaction's first undo record.
    undo_start: Option<u64>,
    /// Position of a commit record whose words are not yet in home.
    unapplied: Option<u64>,
    /// Ranges that were stored and not yet flushed and fenced by who moves the head.
    dirty: Vec<(u64, u64)>,
    /// Ranges of transactions that changed nothing in the end. They may have been on the medium with other words; their
    /// undo records put that right, until the next commit retires them.
    owed: Vec<(u64, u64)>,
    /// Why the last commit may not be durable.
    failure: Option<Error>,
}

impl Journal {
    /// Makes the words `old` from `offset` on durable, so that they may change. One fence.
    pub(crate) fn log_undo(&self, log: &mut UndoLog, offset: u64, old: &[u64]) -> Result<()> {
        let mut body = std::mem::take(&mut log.body);
        body.clear();
        body.words_at(offset, old);
        let logged = self.log_body(log, body.words());
        log.body = body;
        logged
    }

    fn log_body(&self, log: &mut UndoLog, body: &[u64]) -> Result<()> {
        let total = record::padded_len(body.len());
        if log.extent.is_none() {
            let mut ring = self.lock();
            let start = ring.in_place.undo_start.unwrap_or(ring.tail);
            if place(ring.tail, total, self.len) + total - start <= self.len / RING_PART {
                let position = self.put(&mut ring, Kind::Undo, body)?;
                ring.in_place.undo_start.get_or_insert(position);
                return self.fence();
            }
        }
        self.log_in_extent(log, body, total)
    }

    fn log_in_extent(&self, log: &mut UndoLog, body: &[u64], total: u64) -> Result<()> {
        let (extent, used) = match log.extent {
            Some((extent, used)) if used + total <= extent.len => (extent, used),
            full => (self.open_extent(log, full.map(|(extent, _)| extent), total)?, 0),
        };
        let position = extent.offset + used;
        let mut ring = self.lock();
        let header = self.header(&ring, Kind::Undo, body.len());
        record::encode(&mut ring.encoded, extent.salt(self.salt), position, header, body);
        self.media.write(position, bytemuck::cast_slice(&ring.encoded))?;
        drop(ring);
        // Beyond the pool's bytes there is no mapping, so this is a system call. A transaction of this size has other
        // costs.
        self.sync_medium()?;
        log.extent = Some((extent, used + total));
        Ok(())
    }

    /// Makes an extent, and names it in the ring. Its length is not durable yet: the sync of the first record in it covers
    /// that, and before it nothing depends on the length.
    fn open_extent(&self, log: &mut UndoLog, last: Option<Extent>, needed: u64) -> Result<Extent> {
        // The checkpoint that gives their space back cuts off everything behind the pool. As long as this transaction
        // runs there are no new ones.
        self.settle_spills()?;
        let before = self.media.len()?;
        let offset = before.max(self.max_len).next_multiple_of(BLOCK);
        let twice = last.map_or(self.len, |last| last.len * 2).min(EXTENT_LEN_MAX);
        let len = twice.max(needed).next_multiple_of(BLOCK);
        let nonce = getrandom::u64().map_err(|error| Error::io("get random bytes", error))?;
        let extent = Extent { offset, len, nonce };
        let made = self.media.stretch(offset).and_then(|()| self.media.grow(offset + len));
        made.inspect_err(|_| {
            let uncut = self.cut(before);
            self.lock().uncut = uncut;
        })?;
        let mut ring = self.lock();
        let position = self.put(&mut ring, Kind::Extent, &[offset, len, nonce])?;
        ring.in_place.undo_start.get_or_insert(position);
        // Each record of a transaction says of those before it that they are durable.
        self.fence()?;
        log.extent = Some((extent, 0));
        Ok(extent)
    }

    /// Commits: the transaction's own stores are flushed already. Two fences. The words of `body` are to be stored in the
    /// image afterwards, and then [`applied`](Self::applied) is to be told. The file keeps `kept_len` bytes.
    pub(crate) fn commit_undo(&self, body: &[u64], kept_len: u64) -> Result<u64> {
        let spill = match record::padded_len(body.len()) > self.len / RING_PART {
            true => {
                self.settle_spills()?;
                Some(self.write_spill(body, kept_len)?)
            }
            false => None,
        };
        let owed = std::mem::take(&mut self.lock().in_place.owed);
        owed.into_iter().try_for_each(|(offset, len)| self.flush_lines(offset, len))?;
        self.fence()?;
        let mut ring = self.lock();
        let txid = ring.last_txid + 1;
        let position = match &spill {
            Some((place, _)) => self.put(&mut ring, Kind::CommitSpill, place)?,
            None => self.put(&mut ring, Kind::Commit, body)?,
        };
        // From here on there is no way back: whether the record is durable is known when the pool is opened again.
        match self.media.fence() {
            Ok(()) => self.foreground.reach(txid),
            Err(error) => {
                self.poison();
                ring.in_place.failure = Some(error);
            }
        }
        ring.last_txid = txid;
        ring.in_place.undo_start = None;
        ring.in_place.unapplied = Some(position);
        ring.spills.extend(spill.map(|(_, spill)| Spill { txid, ..spill }));
        count(&self.counters.records, 1);
        drop(ring);
        Ok(txid)
    }

    /// Whether transaction `txid`, which this thread has committed, is durable.
    pub(super) fn check_durable(&self, txid: u64) -> Result<()> {
        if self.foreground.fenced() >= txid {
            return Ok(());
        }
        Err(self.lock().in_place.failure.take().unwrap_or(Error::Poisoned))
    }

    /// The words of the last commit record are stored in these ranges.
    pub(crate) fn applied(&self, ranges: impl Iterator<Item = (u64, u64)>) {
        let mut ring = self.lock();
        ring.in_place.dirty.extend(ranges);
        ring.in_place.unapplied = None;
    }

    /// Has the next commit, or whoever moves the head before, write back the lines of a range.
    pub(crate) fn owe_flush(&self, offset: u64, len: u64) {
        self.lock().in_place.owed.push((offset, len));
    }

    /// Starts to write back the lines of a range.
    pub(crate) fn flush_lines(&self, offset: u64, len: u64) -> Result<()> {
        self.media.flush(offset, len).inspect_err(|_| self.poison())
    }

    /// Makes everything that this thread has flushed durable.
    pub(crate) fn fence(&self) -> Result<()> {
        self.media.fence().inspect_err(|_| self.poison())
    }

    /// Ends a transaction: what it logged is no longer needed, because it is committed or says what is there.
    pub(crate) fn end_undo(&self, log: &mut UndoLog, kept_len: u64) {
        let extent = log.extent.take();
        let mut ring = self.lock();
        if self.check_poison().is_err() {
            // How it ended is not durable, so the next open may need the old words.
            return;
        }
        ring.in_place.undo_start = None;
        // Where the commit record's body lies behind the extents, they go with it.
        if extent.is_some() && ring.spills.is_empty() {
            ring.uncut = self.cut(kept_len);
        }
    }

    fn header(&self, ring: &Ring, kind: Kind, body_words: usize) -> Header {
        let len = record::HEADER_LEN + body_words * 8;
        Header { txid: ring.last_txid + 1, horizon: ring.last_txid, len, kind }
    }

    /// Puts one record at the ring's tail, on its way. Gives its position.
    fn put(&self, ring: &mut Ring, kind: Kind, body: &[u64]) -> Result<u64> {
        let total = record::padded_len(body.len());
        let position = loop {
            self.check_poison()?;
            let position = place(ring.tail, total, self.len);
            if position + total - ring.state.head <= self.len {
                break position;
            }
            if !self.move_head(ring)? {
                // Cannot be: the limits above keep room.
                return Err(Error::TooLarge { requested: total });
            }
        };
        let header = self.header(ring, kind, body.len());
        record::encode(&mut ring.encoded, self.salt, position, header, body);
        let bytes = bytemuck::cast_slice(&ring.encoded);
        self.media.write_ordered(self.offset + position % self.len, bytes)?;
        ring.tail = position + total;
        Ok(position)
    }

    /// Moves the head past all that home holds durably. `false` if it is there already.
    pub(super) fn move_head(&self, ring: &mut Ring) -> Result<bool> {
        let running = ring.in_place.undo_start.unwrap_or(ring.tail);
        let head = running.min(ring.in_place.unapplied.unwrap_or(ring.tail));
        if head == ring.state.head {
            return Ok(false);
        }
        let txid = ring.last_txid - u64::from(ring.in_place.unapplied.is_some());
        let mut state = ring.state;
        state.head = head;
        state.txid = txid;
        state.clean = 0;
        let moved = self.settle_words(ring, txid).and_then(|()| state.store(&*self.media, self.salt.pool_id));
        moved.inspect_err(|_| self.poison())?;
        ring.state = state;
        ring.in_place.dirty.clear();
        ring.in_place.owed.clear();
        count(&self.counters.checkpoints, 1);
        if let Some(spill) = ring.spills.front().filter(|spill| spill.txid <= txid) {
            ring.uncut = self.cut(spill.restore_len);
        }
        ring.spills.retain(|spill| spill.txid > txid);
        Ok(true)
    }

    /// Makes the allocator's words of the commits so far durable.
    fn settle_words(&self, ring: &Ring, txid: u64) -> Result<()> {
        for (offset, len) in ring.in_place.dirty.iter().chain(&ring.in_place.owed) {
            self.media.flush(*offset, *len)?;
        }
        self.media.write(HOME_TXID, &txid.to_le_bytes())?;
        self.media.sync()
    }
}
