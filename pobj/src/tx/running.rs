//! Which transactions and read guards this thread has.
//!
//! Needed for three things: refusing what could only deadlock (a transaction inside a transaction of the same
//! pool, or under a read guard of it), letting read guards nest, and leading the `Drop` of a persistent pointer,
//! which has no argument, to its transaction. Transactions on different pools may nest; the address tells which
//! one a pointer belongs to.

use std::cell::RefCell;
use std::rc::Rc;

use super::{DropGlue, TxCore};
use crate::ground::error::{Error, Result};
use crate::pool::PoolCore;

thread_local! {
    static RUNNING: RefCell<Vec<Rc<TxCore>>> = const { RefCell::new(Vec::new()) };
    static READING: RefCell<Vec<(usize, u32)>> = const { RefCell::new(Vec::new()) };
}

/// What identifies an open pool in this process.
fn key(pool: &PoolCore) -> usize {
    std::ptr::from_ref(pool).addr()
}

/// An error if a transaction on `pool` could never start on this thread.
pub(super) fn check_free(pool: &PoolCore) -> Result<()> {
    let running = RUNNING.with_borrow(|running| running.iter().any(|tx| key(tx.pool()) == key(pool)));
    if running {
        return Err(Error::Nested);
    }
    if READING.with_borrow(|reading| reading.iter().any(|(reader, _)| *reader == key(pool))) {
        return Err(Error::ReadGuardHeld);
    }
    Ok(())
}

pub(super) fn enter(tx: Rc<TxCore>) {
    RUNNING.with_borrow_mut(|running| running.push(tx));
}

pub(super) fn leave(tx: &Rc<TxCore>) {
    RUNNING.with_borrow_mut(|running| {
        // Transactions nest like the closures that run them.
        if running.last().is_some_and(|last| Rc::ptr_eq(last, tx)) {
            running.pop();
        }
    });
}

/// Leads a deferred drop to the transaction whose pool holds `addr`. Without one nothing happens: the block leaks,
/// as `mem::forget` leaks; no live value is ever freed.
pub(crate) fn defer_drop(addr: u64, count: u64, glue: Option<DropGlue>) {
    RUNNING.with_borrow(|running| {
        if let Some(tx) = running.iter().rev().find(|tx| tx.covers(addr)) {
            tx.defer_drop(addr, count, glue);
        }
    });
}

/// Counts one more read guard of `pool` on this thread; enters the gate with the first.
pub(crate) fn begin_reading(pool: &PoolCore) -> Result<()> {
    if RUNNING.with_borrow(|running| running.iter().any(|tx| key(tx.pool()) == key(pool))) {
        return Err(Error::Nested);
    }
    let nested = READING.with_borrow_mut(|reading| {
        let known = reading.iter_mut().find(|(reader, _)| *reader == key(pool));
        known.map(|(_, count)| *count += 1).is_some()
    });
    if !nested {
        pool.gate.enter_reading();
        READING.with_borrow_mut(|reading| reading.push((key(pool), 1)));
    }
    Ok(())
}

/// Counts one read guard less; leaves the gate with the last.
pub(crate) fn end_reading(pool: &PoolCore) {
    let last = READING.with_borrow_mut(|reading| {
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
