//! Which transactions and read guards this thread has.
//!
//! Needed for these things: refusing what could only deadlock (a transaction inside a transaction of the same
//! pool, or under a read guard of it), letting read guards nest, and leading the `Drop` of a persistent pointer,
//! which has no argument, to its transaction. How cells are borrowed is kept here too, since it ends with them. Transactions on different pools may nest; the address tells which
//! one a pointer belongs to.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::{DropGlue, TxCore};
use crate::ground::error::{Error, Result};
use crate::media::MediaCounts;
use crate::pool::{PoolBody, PoolCore};

/// What a thread has.
struct Thread {
    running: RefCell<Vec<Rc<TxCore>>>,
    reading: RefCell<Vec<(usize, u32)>>,
    /// How the cells are borrowed that anybody has borrowed.
    borrows: RefCell<BTreeMap<CellKey, Borrows>>,
    has_borrows: Cell<bool>,
    /// What the last transaction has asked of its medium.
    last: Cell<(usize, MediaCounts)>,
    /// The memory of a transaction that has ended, for the next one.
    spare: Cell<Option<Rc<TxCore>>>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            running: RefCell::new(Vec::new()),
            reading: RefCell::new(Vec::new()),
            borrows: RefCell::new(BTreeMap::new()),
            has_borrows: Cell::new(false),
            last: Cell::new((0, MediaCounts::ZERO)),
            spare: Cell::new(None),
        }
    };
}

/// What identifies an open pool in this process.
fn key(pool: &PoolBody) -> usize {
    std::ptr::from_ref(pool).addr()
}

impl Thread {
    /// An error if a transaction on `pool` could never start on this thread.
    #[inline]
    fn check_free(&self, pool: &PoolBody) -> Result<()> {
        if self.running.borrow().iter().any(|tx| key(tx.pool()) == key(pool)) {
            return Err(Error::Nested);
        }
        if self.reading.borrow().iter().any(|(reader, _)| *reader == key(pool)) {
            return Err(Error::ReadGuardHeld);
        }
        Ok(())
    }
}

/// Begins a transaction on `pool`, unless it could never start on this thread. `start` makes it out of what is left of
/// an earlier one; it may wait.
#[inline]
pub(super) fn begin(pool: &PoolBody, start: impl FnOnce(Rc<TxCore>) -> Rc<TxCore>) -> Result<Rc<TxCore>> {
    THREAD.with(|thread| {
        thread.check_free(pool)?;
        let tx = start(thread.spare.take().unwrap_or_default());
        thread.running.borrow_mut().push(Rc::clone(&tx));
        Ok(tx)
    })
}

/// As [`begin`], where `start` must not wait: it gives back what it got if it would have to. `None` then.
#[inline]
pub(super) fn try_begin(
    pool: &PoolBody,
    start: impl FnOnce(Rc<TxCore>) -> Result<Rc<TxCore>, Rc<TxCore>>,
) -> Result<Option<Rc<TxCore>>> {
    THREAD.with(|thread| {
        thread.check_free(pool)?;
        match start(thread.spare.take().unwrap_or_default()) {
            Ok(tx) => {
                thread.running.borrow_mut().push(Rc::clone(&tx));
                Ok(Some(tx))
            }
            Err(spare) => {
                thread.spare.set(Some(spare));
                Ok(None)
            }
        }
    })
}

/// Takes `tx` from what runs, so that its hooks run outside of it, and keeps its memory. Gives back what it had of its
/// pool. `counts` is what it asked of its medium, if that is known by now.
#[inline]
pub(super) fn end(mut tx: Rc<TxCore>, counts: Option<MediaCounts>) -> Option<Arc<PoolBody>> {
    THREAD.with(|thread| {
        let mut running = thread.running.borrow_mut();
        // Transactions nest like the closures that run them.
        if running.last().is_some_and(|last| Rc::ptr_eq(last, &tx)) {
            running.pop();
            if running.is_empty() && thread.has_borrows.take() {
                thread.borrows.borrow_mut().clear();
            }
        }
        drop(running);
        // The last handle: the closure's `Tx` has been given back.
        let pool = Rc::get_mut(&mut tx).and_then(|core| core.pool.take());
        if let (Some(pool), Some(counts)) = (&pool, counts) {
            thread.last.set((key(pool), counts));
        }
        thread.spare.set(Some(tx));
        pool
    })
}

/// Leads a deferred drop to the transaction whose pool holds `addr`. Without one nothing happens: the block leaks,
/// as `mem::forget` leaks; no live value is ever freed.
pub(crate) fn defer_drop(addr: u64, count: u64, glue: Option<DropGlue>) {
    THREAD.with(|thread| {
        if let Some(tx) = thread.running.borrow().iter().rev().find(|tx| tx.covers(addr)) {
            tx.defer_drop(addr, count, glue);
        }
    });
}

/// As [`defer_drop`], for values in a block whose own end is recorded apart.
pub(crate) fn defer_values(addr: u64, count: u64, glue: DropGlue) {
    with_tx(addr, |tx| tx.defer_values(addr, count, glue));
}

/// Runs `act` with the transaction whose pool holds `addr`; does nothing without one, as [`defer_drop`].
pub(crate) fn with_tx(addr: u64, act: impl FnOnce(&TxCore)) {
    THREAD.with(|thread| {
        if let Some(tx) = thread.running.borrow().iter().rev().find(|tx| tx.covers(addr)) {
            act(tx);
        }
    });
}

/// What identifies a cell: two cells of one address differ in their type.
pub(crate) type CellKey = (usize, TypeId);

/// The state of a cell's borrows: so many shared ones, or one that may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Borrows {
    /// This many, at least one.
    Shared(u32),
    /// One that may change.
    Mutable,
}

/// Looks at the borrows of the cell `key`, and changes them to what `change` returns.
///
/// Gives `None` without a transaction on this thread: then nobody can borrow a cell for changing, and nothing needs to be
/// known. The states of all cells live as long as the thread's outermost transaction: whoever was given a guard in
/// it is gone by then, or was forgotten.
pub(crate) fn with_borrows<T>(key: CellKey, change: impl FnOnce(&mut Option<Borrows>) -> T) -> Option<T> {
    THREAD.with(|thread| {
        if thread.running.borrow().is_empty() {
            return None;
        }
        thread.has_borrows.set(true);
        let mut borrows = thread.borrows.borrow_mut();
        let mut state = borrows.get(&key).copied();
        let result = change(&mut state);
        match state {
            Some(state) => borrows.insert(key, state),
            None => borrows.remove(&key),
        };
        Some(result)
    })
}

/// Notes what a transaction that has ended asked of its medium.
#[inline]
pub(super) fn note_counts(pool: &PoolBody, counts: MediaCounts) {
    THREAD.with(|thread| thread.last.set((key(pool), counts)));
}

/// What the last transaction of this thread asked of its medium, if it was one of `pool`.
pub(crate) fn last_counts(pool: &PoolBody) -> MediaCounts {
    let (pool_key, counts) = THREAD.with(|thread| thread.last.get());
    if pool_key == key(pool) { counts } else { MediaCounts::default() }
}

/// Counts one more read guard of `pool` on this thread; enters the gate with the first.
pub(crate) fn begin_reading(pool: &PoolCore) -> Result<()> {
    let running = |thread: &Thread| thread.running.borrow().iter().any(|tx| key(tx.pool()) == key(pool));
    if THREAD.with(running) {
        return Err(Error::Nested);
    }
    let nested = THREAD.with(|thread| {
        let mut reading = thread.reading.borrow_mut();
        let known = reading.iter_mut().find(|(reader, _)| *reader == key(pool));
        known.map(|(_, count)| *count += 1).is_some()
    });
    if !nested {
        pool.gate.enter_reading();
        THREAD.with(|thread| thread.reading.borrow_mut().push((key(pool), 1)));
    }
    Ok(())
}

/// As [`begin_reading`] with the first guard, if nobody has to be waited for. False if somebody has.
#[inline]
pub(crate) fn try_begin_reading(pool: &PoolCore) -> Result<bool> {
    THREAD.with(|thread| {
        thread.check_free(pool)?;
        let free = pool.gate.try_enter_reading();
        if free {
            thread.reading.borrow_mut().push((key(pool), 1));
        }
        Ok(free)
    })
}

/// Counts one read guard less; leaves the gate with the last.
pub(crate) fn end_reading(pool: &PoolCore) {
    let last = THREAD.with(|thread| {
        let mut reading = thread.reading.borrow_mut();
        let Some(at) = reading.iter().position(|(reader, _)| *reader == key(pool)) else { return false };
        reading[at].1 -= 1;
        if reading[at].1 == 0 {
            reading.swap_remove(at);
            return true;
        }
        false
    });
    if last {
        pool.gate.leave_reading();
    }
}

/// The memory of the last transaction, so that a test can look at it.
#[cfg(test)]
pub(super) fn take_spare() -> Option<Rc<TxCore>> {
    THREAD.with(|thread| thread.spare.take())
}
