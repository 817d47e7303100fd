//! Transactions on an image that is the pool's own bytes: old words are durable before they change.
//!
//! [`TxCore::log`] makes each new range durable in the journal before its `&mut` exists (I1, strengthened), and a
//! block of this transaction's own needs none: it is free in the pool until the commit. Commit flushes the lines
//! that may have changed and lets the journal do the rest; rolling back stores the old words, flushes and fences.
//!
//! Logging cannot fail where a `&mut` is handed out, because that never fails. If the journal cannot take the old
//! words (the file system is full), the transaction is *doomed*: the image is mapped privately from then on, so
//! that nothing more reaches the pool; the commit gives the error, and rolling back maps the pool again.

use super::{Fresh, RECENT, TxCore, Work};
use crate::ground::error::{Error, Result};
use crate::pool::Owner;

/// What a transaction in place knows beyond any other.
#[derive(Default)]
pub(super) struct InPlace {
    undo: crate::journal::UndoLog,
    /// Blocks of this transaction whose contents are named range by range.
    named: Vec<Fresh>,
    /// Something was logged.
    logged: bool,
    /// Why the transaction cannot commit.
    doom: Option<Error>,
}

impl InPlace {
    fn is_named(&self, start: u64, end: u64) -> bool {
        self.named.iter().rev().take(RECENT).any(|block| block.covers(start, end))
    }

    pub(super) fn add_named(&mut self, offset: u64, words: usize) {
        self.named.push(Fresh { offset, words });
    }
}

impl TxCore {
    /// Makes the newest words that `work` remembers durable.
    pub(super) fn log_undo(&self, work: &mut Work, start: u64, end: u64) {
        if work.in_place.doom.is_some() || work.in_place.is_named(start, end) {
            return;
        }
        work.in_place.logged = true;
        let old = work.ranges.last_old((end - start) as usize / 8);
        let logged = self.pool().journal.log_undo(&mut work.in_place.undo, start, old);
        let Err(error) = logged else { return };
        work.in_place.doom = Some(match self.pool().image.shield() {
            Ok(()) => error,
            // The old words are not durable and the new ones would be: only the end of the process keeps them apart.
            // What is in the journal rolls back at the next open.
            Err(_) => std::process::abort(),
        });
    }

    /// Flushes what may have changed, makes the commit record durable, and brings the heap up to date.
    pub(super) fn order_in_place(&self, work: &mut Work, owner: &mut Owner) -> Result<Option<u64>> {
        let (image, journal) = (&self.pool().image, &self.pool().journal);
        if let Some(error) = work.in_place.doom.take() {
            work.in_place.doom = Some(Error::Poisoned);
            return Err(error);
        }
        let mut changed = work.ranges.have_changed(image);
        for Fresh { offset, words } in &work.fresh {
            if !owner.heap.frees(&mut work.reservation, *offset) {
                work.ranges.flush_too(*offset, *words as u64 * 8);
                changed = true;
            }
        }
        owner.heap.prepare(image, &mut work.reservation, &mut work.changes);
        super::commit::add_changes(image, &work.changes, &mut work.body);
        if let Some(offset) = image.fault() {
            return Err(Error::corrupt("a pointer leads out of the pool", offset));
        }
        if !changed && work.body.is_empty() {
            owner.heap.rollback(image, &mut work.reservation);
            work.ranges.flush_all(|offset, len| {
                journal.owe_flush(offset, len);
                Ok(())
            })?;
            self.end_in_place(work);
            return Ok(None);
        }
        // All of them: a word that changed and changed back may have been on the medium in between.
        work.ranges.flush_all(|offset, len| journal.flush_lines(offset, len))?;
        let txid = journal.commit_undo(work.body.words(), self.pool().kept_len())?;
        if journal.check_poison().is_err() {
            // Whether the record is durable is not known, so what must follow it may not be stored. Nor is there a way
            // back; the next open decides.
            owner.heap.rollback(image, &mut work.reservation);
            self.end_in_place(work);
            return Ok(Some(txid));
        }
        let stored: Vec<(u64, u64)> = work.changes.iter().map(crate::heap::Change::range).collect();
        self.pool().heap_committed(owner, &mut work.reservation, txid);
        journal.applied(stored.into_iter());
        self.end_in_place(work);
        Ok(Some(txid))
    }

    /// Puts the old words back, durably.
    pub(super) fn roll_back_in_place(&self, work: &mut Work) {
        let (image, journal) = (&self.pool().image, &self.pool().journal);
        if work.in_place.doom.is_some() && image.unshield().is_err() {
            // The image stays private: readers see the old words, and nobody writes any more. The pool's own bytes are
            // rolled back at the next open.
            journal.poison();
        }
        work.ranges.restore(image);
        if work.in_place.logged {
            // A failure poisons; the next open rolls back.
            let _ = work.ranges.flush_all(|offset, len| journal.flush_lines(offset, len));
            let _ = journal.fence();
        }
        self.end_in_place(work);
    }

    fn end_in_place(&self, work: &mut Work) {
        let state = &mut work.in_place;
        if state.logged {
            self.pool().journal.end_undo(&mut state.undo, self.pool().kept_len());
        }
        state.named.clear();
        state.logged = false;
        state.doom = None;
    }
}
