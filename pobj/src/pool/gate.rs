//! The gate of a pool: many readers, or one writer who takes the guarded state with it.
//!
//! The writer's state (`W`) travels by value in a box: it is absent while a writer works, so that "only the
//! writer touches it" is a matter of ownership and no lock is taken for each of its operations. A waiting
//! writer holds back new readers, so readers cannot starve it. Nobody is woken unless somebody waits: waking
//! is a system call.
//!
//! Who finds the way free passes with one atomic instruction (a writer) or three (a reader):
//!
//! - A writer takes the box and then sees no readers. A reader counts itself and then finds the box there, which
//!   it takes for a moment to see that. Each does first what the other looks for last, in one total order, so never do
//!   both pass.
//! - Who cannot pass counts itself as waiting and tries again under a lock, before it sleeps. Whoever puts the box back,
//!   or leaves as the last reader, looks at the waiting ones afterwards, and wakes them under that lock. So either
//!   the one sees the way free, or the other sees it waiting.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::media::Handoff;

/// Many readers or one writer, who owns `W` meanwhile.
#[derive(Debug)]
pub(crate) struct Gate<W> {
    /// Empty while a writer works, or while somebody looks.
    owned: Handoff<W>,
    readers: AtomicU32,
    /// Threads that sleep or are about to.
    waiting: AtomicU32,
    writers_waiting: AtomicU32,
    sleepers: Mutex<()>,
    opened: Condvar,
}

impl<W> Gate<W> {
    pub(crate) fn new(owned: Box<W>) -> Self {
        Self {
            owned: Handoff::new(owned),
            readers: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            writers_waiting: AtomicU32::new(0),
            sleepers: Mutex::new(()),
            opened: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait, if any: they look again.
    #[inline]
    fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        drop(self.lock());
        self.opened.notify_all();
    }

    /// Sleeps until `attempt` gives something. It tries under the lock; what it takes for a moment can disturb only who
    /// does not sleep yet, and comes here to try again.
    #[cold]
    fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut lock = self.lock();
        let result = loop {
            if let Some(result) = attempt() {
                break result;
            }
            lock = self.opened.wait(lock).unwrap_or_else(PoisonError::into_inner);
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// Takes the box if nobody reads or writes.
    #[inline]
    fn try_writing(&self) -> Option<Box<W>> {
        let owned = self.owned.take()?;
        if self.readers.load(Ordering::SeqCst) == 0 {
            return Some(owned);
        }
        self.owned.put(owned);
        None
    }

    /// Waits until nobody reads or writes, and takes the writer's state.
    #[inline]
    pub(crate) fn enter_writing(&self) -> Box<W> {
        match self.try_writing() {
            Some(owned) => owned,
            None => self.wait_writing(),
        }
    }

    #[cold]
    fn wait_writing(&self) -> Box<W> {
        // The attempt that failed may have held the box when somebody else looked for it.
        self.wake();
        self.writers_waiting.fetch_add(1, Ordering::SeqCst);
        let owned = self.wait_for(|| self.try_writing());
        // Readers that wait for this one to be gone are woken when it leaves.
        self.writers_waiting.fetch_sub(1, Ordering::SeqCst);
        owned
    }

    /// Returns the writer's state and lets others in.
    #[inline]
    pub(crate) fn leave_writing(&self, owned: Box<W>) {
        self.owned.put(owned);
        self.wake();
    }

    /// Looks at the writer's state, unless a writer has it.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&mut W) -> T) -> Option<T> {
        let mut owned = self.owned.take()?;
        let result = look(&mut owned);
        self.owned.put(owned);
        self.wake();
        Some(result)
    }

    /// Counts a reader if nobody writes or waits to write.
    fn try_reading(&self) -> Option<()> {
        if self.writers_waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.readers.fetch_add(1, Ordering::SeqCst);
        if let Some(owned) = self.owned.take() {
            self.owned.put(owned);
            return Some(());
        }
        self.readers.fetch_sub(1, Ordering::SeqCst);
        None
    }

    /// Waits until nobody writes or waits to write, and counts one more reader.
    pub(crate) fn enter_reading(&self) {
        let free = self.try_reading();
        // Another one may have found the box gone, or this reader there, for that moment.
        self.wake();
        if free.is_none() {
            self.wait_for(|| self.try_reading());
        }
    }

    /// Counts one reader less.
    pub(crate) fn leave_reading(&self) {
        let before = self.readers.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "a reader leaves that never entered");
        if before == 1 {
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Catches: two writers at once, a reader beside a writer, a lost wake-up (which hangs the test).
    #[test]
    fn a_writer_is_alone() {
        let gate = Arc::new(Gate::new(Box::new(0u64)));
        let inside = Arc::new(AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (gate, inside) = (gate.clone(), inside.clone());
                scope.spawn(move || {
                    for _ in 0..200 {
                        let mut owned = gate.enter_writing();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        *owned += 1;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        gate.leave_writing(owned);
                        gate.enter_reading();
                        assert_eq!(inside.load(Ordering::SeqCst), 0);
                        gate.leave_reading();
                    }
                });
            }
        });
        assert_eq!(*gate.enter_writing(), 600);
    }
    /// As above, with readers and writers that stay inside for a while and overlap: most go to sleep.
    #[test]
    fn sleepers_are_woken() {
        let gate = Arc::new(Gate::new(Box::new(0u64)));
        let rounds = if cfg!(miri) { 3 } else { 300 };
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let gate = gate.clone();
                scope.spawn(move || {
                    for round in 0..rounds {
                        if (thread + round) % 2 == 0 {
                            let mut owned = gate.enter_writing();
                            std::thread::sleep(std::time::Duration::from_micros(20));
                            *owned += 1;
                            gate.leave_writing(owned);
                        } else {
                            gate.enter_reading();
                            std::thread::yield_now();
                            // Takes what others look for, for a moment.
                            let _ = gate.peek(|owned| *owned);
                            gate.leave_reading();
                        }
                    }
                });
            }
        });
        assert_eq!(*gate.enter_writing(), rounds * 2);
    }
}
