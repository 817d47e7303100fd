//! The checkpoint: home catches up with the journal, then the ring's head moves.
//!
//! Only durable records are applied, so home never runs ahead of the journal. Home is synced before the head's
//! slot is written (J9), and the ring's space is reused only after that slot is durable. The superblock
//! carries the id of the last transaction that home may hold; recovery compares it with what the journal can
//! replay, so a lost slot cannot roll home back unseen.

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::apply::Applier;
use super::record::{self, Entry};
use super::recover::Scan;
use super::ring::{Journal, Mode, count};
use super::spill::Spill;
use super::state::RingState;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::HOME_TXID;
use crate::media::counts_here;

/// How long an `Eventual` transaction may wait for its background sync.
const SYNC_INTERVAL: Duration = Duration::from_millis(20);

/// After so many bytes of records the checkpoint offers its processor to others. Otherwise it would keep it for a turn of
/// milliseconds, and a transaction would wait for that.
pub(super) const TURN_LEN: u64 = 64 << 10;

impl Journal {
    /// Makes everything ordered durable, brings home up to date and empties the ring so far.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        match self.mode {
            Mode::File => self.checkpoint_file(),
            Mode::Direct => self.checkpoint_direct(),
            Mode::InPlace => {
                self.check_poison()?;
                self.move_head(&mut self.lock()).map(drop)
            }
        }
    }

    fn checkpoint_file(&self) -> Result<()> {
        let mut ring = self.lock();
        let target = ring.last_txid;
        let mut begun = false;
        loop {
            self.check_poison()?;
            if ring.state.txid >= target {
                return Ok(());
            }
            if ring.checkpointing || ring.flushing {
                ring = self.wait(ring);
                continue;
            }
            if !std::mem::replace(&mut begun, true) {
                self.pace.begin(ring.used(), ring.tail, self.len.saturating_sub(ring.used()));
            }
            if ring.durable_txid >= target {
                break;
            }
            ring = self.flush(ring)?;
        }
        ring.checkpointing = true;
        let mut state = ring.state;
        let target = ring.durable_txid;
        let spills: Vec<Spill> = ring.spills.iter().filter(|spill| spill.txid <= target).cloned().collect();
        drop(ring);
        let outcome = self
            .bring_home(&mut state, target, &spills)
            .and_then(|()| state.store(&*self.media, self.salt.pool_id));
        self.cut_spills(&spills, &outcome);
        self.finish_checkpoint(state, outcome)
    }

    /// Writes the records up to `target` home, which are durable, and notes in `state` that home has them. They are read
    /// back from the file: to copy them out of the mirror, its lock would have to be held meanwhile.
    fn bring_home(&self, state: &mut RingState, target: u64, spills: &[Spill]) -> Result<()> {
        let mut applier = Applier::new(&*self.media);
        let mut scan = Scan::new(&*self.media, self.offset..self.offset + self.len, self.salt, state);
        self.read_back(&mut scan, target, spills, |entry| applier.add(entry).map(drop))?;
        applier.write_out()?;
        (state.head, state.txid) = (scan.end(), target);
        self.media.sync()
    }

    /// Gives `add` what home lacks up to transaction `target`: the entries of the ring's records, and that home has them.
    pub(super) fn read_back(
        &self,
        scan: &mut Scan<'_>,
        target: u64,
        spills: &[Spill],
        mut add: impl FnMut(Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let lost = || Error::corrupt("a record in the ring is gone", self.offset);
        let mut spills = spills.iter();
        let mut turn_ends = scan.end() + TURN_LEN;
        while scan.txid() < target {
            if scan.end() >= turn_ends {
                turn_ends = scan.end() + TURN_LEN;
                std::thread::yield_now();
            }
            let (kind, body) = scan.next_body()?.ok_or_else(lost)?;
            let body = match kind.is_spilled() {
                false => body,
                true => bytemuck::cast_slice(&spills.next().ok_or_else(lost)?.body),
            };
            for entry in record::entries(body) {
                add(entry.map_err(|what| Error::corrupt(what, self.offset))?)?;
            }
        }
        add(Entry::Words { offset: HOME_TXID, words: &target.to_le_bytes() })
    }

    /// Gives the space of the bodies outside the ring back, if home has them now.
    pub(super) fn cut_spills(&self, spills: &[Spill], outcome: &Result<()>) {
        if let (Ok(()), Some(spill)) = (outcome, spills.first()) {
            let uncut = self.cut(spill.restore_len);
            self.lock().uncut = uncut;
        }
    }

    pub(super) fn finish_checkpoint(&self, state: RingState, outcome: Result<()>) -> Result<()> {
        let mut ring = self.lock();
        ring.checkpointing = false;
        self.pace.end();
        match &outcome {
            Ok(()) => {
                ring.state = state;
                let gone = ring.marks.partition_point(|mark| mark.txid <= state.txid);
                ring.marks.drain(..gone);
                ring.spills.retain(|spill| spill.txid > state.txid);
                count(&self.counters.checkpoints, 1);
            }
            Err(_) => self.poison(),
        }
        self.announce(&ring);
        outcome
    }

    /// Checkpoints everything and notes that the ring is empty, so that the next open need not scan it.
    pub(crate) fn close(&self) -> Result<()> {
        self.checkpoint()?;
        let mut ring = self.lock();
        let mut state = ring.state;
        if state.clean == 1 {
            return Ok(());
        }
        state.clean = 1;
        state.store(&*self.media, self.salt.pool_id)?;
        ring.state = state;
        Ok(())
    }

    /// What the background thread does next: `false` when it is to end.
    fn background_step(&self) -> bool {
        let mut ring = self.lock();
        if ring.stopping || self.check_poison().is_err() {
            return false;
        }
        let due = match self.mode {
            Mode::Direct => self.progress.used() >= self.len / 2,
            Mode::File | Mode::InPlace => self.is_half_full(&ring),
        };
        if due {
            drop(ring);
            // A failure has poisoned the journal; the committers report it.
            return self.checkpoint().is_ok();
        }
        if self.mode != Mode::File || ring.durable_txid == ring.last_txid {
            ring.background_idle = true;
            drop(self.work.wait(ring).unwrap_or_else(PoisonError::into_inner));
            return true;
        }
        let before = ring.last_txid;
        let (ring, _) = self.work.wait_timeout(ring, SYNC_INTERVAL).unwrap_or_else(PoisonError::into_inner);
        if ring.durable_txid < before && !ring.flushing && !ring.stopping && !self.is_half_full(&ring) {
            return self.flush(ring).is_ok();
        }
        true
    }
}

/// The thread that syncs `Eventual` transactions and makes checkpoints; ends when dropped.
#[derive(Debug)]
pub(crate) struct Background {
    journal: Arc<Journal>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(journal: Arc<Journal>) -> Result<Self> {
        let worker = journal.clone();
        let thread = std::thread::Builder::new()
            .name("pobj-checkpoint".into())
            .spawn(move || {
                let mut before = counts_here();
                while worker.background_step() {
                    let now = counts_here();
                    worker.background_counts.add(now - before);
                    before = now;
                }
            })
            .map_err(|error| Error::io("start the checkpoint thread", error))?;
        Ok(Self { journal, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.journal.lock().stopping = true;
        self.journal.work.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic; were it to, its journal is poisoned no less.
            let _ = thread.join();
        }
    }
}
