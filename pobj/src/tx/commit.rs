//! Running a transaction to its end.
//!
//! Commit: take dead values apart; turn ranges, new blocks and allocator changes into one record; order it; update
//! the allocator's bytes in the image; let the next writer in (J8); wait until it is durable. An error before the
//! record is ordered rolls back as if the closure had failed. An empty record is not written at all.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::{Fresh, Hook, SPARE, TxCore, running};
use crate::ground::error::{Error, Result};
use crate::heap::Change;
use crate::journal::Body;
use crate::media::{Image, counts_here};
use crate::pool::PoolCore;

/// Runs `body` as a transaction on `pool`.
pub(crate) fn run<T, E: From<Error>>(
    pool: &PoolCore,
    body: impl FnOnce(&Rc<TxCore>) -> Result<T, E>,
) -> Result<T, E> {
    pool.check_usable()?;
    running::check_free(pool)?;
    let tx = TxCore::begin(pool);
    running::enter(tx.clone());
    match catch_unwind(AssertUnwindSafe(|| body(&tx))) {
        Ok(Ok(value)) => match tx.commit(pool) {
            Ok(()) => Ok(value),
            Err(error) => Err(error.into()),
        },
        Ok(Err(error)) => {
            tx.roll_back(pool);
            Err(error)
        }
        Err(panic) => {
            tx.roll_back(pool);
            resume_unwind(panic)
        }
    }
}

impl TxCore {
    pub(super) fn commit(self: Rc<Self>, pool: &PoolCore) -> Result<()> {
        self.drop_dead_values();
        let ordered = self.order();
        let txid = match ordered {
            Ok(txid) => txid,
            Err(error) => {
                self.roll_back(pool);
                return Err(error);
            }
        };
        running::leave(&self);
        let (durability, before) = (self.durability.get(), self.counts_before);
        let hooks = self.finish(pool, true);
        let durable = match txid {
            Some(txid) if pool.journal.waits(durability) => pool.journal.wait_durable(txid, before),
            _ => {
                pool.journal.foreground.add(counts_here() - before);
                Ok(())
            }
        };
        running::note_counts(pool, counts_here() - before);
        durable?;
        if !hooks.is_empty() {
            hooks.into_iter().for_each(|hook| hook());
        }
        Ok(())
    }

    /// Takes everything apart that died, in work-list order: a value's own pointers join the list (I2).
    pub(super) fn drop_dead_values(&self) {
        loop {
            let next = self.work.borrow_mut().as_deref_mut().and_then(|work| work.drops.pop());
            let Some(dead) = next else { break };
            if let Some(glue) = dead.glue {
                glue(dead.addr, dead.count);
            }
            self.free(dead.addr);
        }
    }

    /// Makes the record, orders it and brings the heap up to date. `None` if nothing changed.
    fn order(&self) -> Result<Option<u64>> {
        let image = &self.pool().image;
        let ordered = self.with(|work, owner| {
            if self.pool().in_place {
                return self.order_in_place(work, owner);
            }
            work.ranges.record(image, &mut work.body);
            for Fresh { offset, words } in &work.fresh {
                if owner.heap.frees(&mut work.reservation, *offset) {
                    continue;
                }
                image.read_words(*offset, *words, |now| work.body.contents(*offset, now));
            }
            if !work.reservation.is_empty() {
                owner.heap.prepare(image, &mut work.reservation, &mut work.changes);
                add_changes(image, &work.changes, &mut work.body);
            }
            if let Some(offset) = image.fault() {
                return Err(Error::corrupt("a pointer leads out of the pool", offset));
            }
            if work.body.is_empty() {
                // Whatever it allocated it freed again; the heap must forget it, and the reservation is reused.
                owner.heap.rollback(image, &mut work.reservation);
                return Ok(None);
            }
            let durability = self.durability.get();
            let txid = self.pool().journal.append(&mut owner.end, work.body.words(), durability)?;
            self.pool().heap_committed(owner, &mut work.reservation, txid);
            Ok(Some(txid))
        });
        ordered.unwrap_or(Ok(None))
    }

    pub(super) fn roll_back(self: Rc<Self>, pool: &PoolCore) {
        running::leave(&self);
        self.with(|work, owner| {
            if self.pool().in_place {
                self.roll_back_in_place(work);
            } else {
                work.ranges.restore(&self.pool().image);
            }
            owner.heap.rollback(&self.pool().image, &mut work.reservation);
        });
        let before = self.counts_before;
        let hooks = self.finish(pool, false);
        let counts = counts_here() - before;
        pool.failed.add(counts);
        running::note_counts(pool, counts);
        hooks.into_iter().for_each(|hook| hook());
    }

    /// Ends the transaction: lets the next writer in, keeps the buffers, gives the hooks that are due.
    pub(super) fn finish(mut self: Rc<Self>, pool: &PoolCore, committed: bool) -> Vec<Hook> {
        let Some(mut work) = self.work.borrow_mut().take() else { return Vec::new() };
        // Whoever gets these locks sees what this transaction ordered, or its old words again.
        work.standing.release(pool);
        let hooks = work.clear(committed);
        let owner = work.owner.take();
        let seat = work.standing.seat.take();
        // The last handle: the closure's `Tx` and this thread's list have given theirs back.
        let body = Rc::get_mut(&mut self).and_then(|core| {
            core.work = RefCell::new(Some(work));
            core.pool.take()
        });
        SPARE.set(Some(self));
        if let Some(mut owner) = owner {
            owner.body = body;
            // Last, because it is an atomic instruction, and that waits for the record on its way to persistent memory.
            pool.gate.leave_writing(owner);
        } else {
            pool.keep_body(seat, body);
        }
        hooks
    }
}

/// Adds the heap's changes as the resulting words, so that home is written without being read (J1).
pub(super) fn add_changes(image: &Image, changes: &[Change], body: &mut Body) {
    // A word may be set and cleared in two changes side by side.
    let mut last = (u64::MAX, 0);
    for change in changes {
        let now = |offset| if last.0 == offset { last.1 } else { image.load_u64(offset) };
        last = match *change {
            Change::Word { offset, value } => (offset, value),
            Change::Set { offset, mask } => (offset, now(offset) | mask),
            Change::Clear { offset, mask } => (offset, now(offset) & !mask),
            Change::Zeros { offset, count } => {
                body.zeros(offset, count);
                continue;
            }
        };
        body.word(last.0, last.1);
    }
}
