//! The side of the gate for many at once: the owned state in a mutex, and who is inside counted by seats.
//!
//! Transactions that run at once would, with one counter, hand its cache line from core to core at each entry and
//! each exit. So there are several counters on lines of their own, and a thread counts itself in the one that its
//! number chooses.
//!
//! A *session* begins when the owned box is put here and ends when it is taken out. Who wants in counts itself first
//! and then looks whether the session is open; who wants the session to end closes it first and looks at the counts
//! then. All of that is in one total order, so either the one sees the session closed, or the other sees it counted.
//!
//! A session is sticky: it stays open though nobody is inside, until a writer or a reader wants the box.
//!
//! One of those inside may hold the mutex for long: where the ring is full it waits for the records of others, who pass the
//! gate's lock on their way out. So nobody waits for the mutex with the gate's lock while somebody is inside.

use std::sync::atomic::Ordering;

use crate::ground::sync::{Alone, AtomicBool, AtomicU32, Mutex, MutexGuard, lock, then_look};

/// Counters. More threads than these share them.
#[cfg(not(all(loom, test)))]
pub(crate) const SEATS: usize = 16;
#[cfg(all(loom, test))]
pub(crate) const SEATS: usize = 2;

/// What is owned, and told when it is no longer shared.
pub(crate) trait Shareable {
    /// Nobody shares this any more.
    fn end_sharing(&mut self) {}
}

/// Where the owned state lies while many work with it.
#[derive(Debug)]
pub(crate) struct Sharing<W> {
    open: Alone<AtomicBool>,
    /// The box is here. Changed and looked at under the gate's lock.
    begun: AtomicBool,
    seats: [Alone<AtomicU32>; SEATS],
    /// By value, so that a lock and what it is taken for most come with one cache line.
    owned: Alone<Mutex<Option<W>>>,
}

impl<W: Shareable> Sharing<W> {
    pub(crate) fn new() -> Self {
        Self {
            open: Alone(AtomicBool::new(false)),
            begun: AtomicBool::new(false),
            seats: std::array::from_fn(|_| Alone(AtomicU32::new(0))),
            owned: Alone(Mutex::new(None)),
        }
    }

    /// The owned state, for one of those inside. `None` where nobody is.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<W>> {
        lock(&self.owned.0)
    }

    /// Whether the session is open: soon after, it may not be.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open.0.load(Ordering::Relaxed)
    }

    /// Counts one more inside, if the session is open.
    #[inline]
    pub(super) fn enter(&self, seat: usize) -> bool {
        self.seats[seat].0.fetch_add(1, Ordering::SeqCst);
        then_look();
        if self.open.0.load(Ordering::SeqCst) {
            return true;
        }
        self.leave(seat);
        false
    }

    #[inline]
    pub(super) fn leave(&self, seat: usize) {
        let before = self.seats[seat].0.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "somebody leaves who never entered");
    }

    /// Begins a session with `count` inside. The caller holds the gate's lock, as for everything below.
    pub(super) fn begin(&self, owned: W, seat: usize, count: u32, open: bool) {
        *self.lock() = Some(owned);
        self.begun.store(true, Ordering::Relaxed);
        self.seats[seat].0.fetch_add(count, Ordering::SeqCst);
        self.open.0.store(open, Ordering::SeqCst);
    }

    /// Counts one more inside a session that has begun, even if it is closed. False if there is none.
    pub(super) fn join(&self, seat: usize, open: bool) -> bool {
        if !self.begun.load(Ordering::Relaxed) {
            return false;
        }
        self.seats[seat].0.fetch_add(1, Ordering::SeqCst);
        self.open.0.store(open, Ordering::SeqCst);
        true
    }

    /// Lets nobody else in, and takes the box once nobody is inside.
    pub(super) fn close(&self) -> Option<Box<W>> {
        self.open.0.store(false, Ordering::SeqCst);
        then_look();
        if self.seats.iter().any(|seat| seat.0.load(Ordering::SeqCst) > 0) {
            return None;
        }
        let mut owned = self.lock();
        owned.as_mut()?.end_sharing();
        self.begun.store(false, Ordering::Relaxed);
        owned.take().map(Box::new)
    }
}
