//! The gate of a pool: many readers, or one writer who takes the guarded state with it.
//!
//! The writer's state (`W`) travels by value in a box: it is absent while a writer works, so that "only the
//! writer touches it" is a matter of ownership and no lock is taken for each of its operations. A waiting
//! writer holds back new readers, so readers cannot starve it. Nobody is woken unless somebody waits: waking
//! is a system call.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Many readers or one writer, who owns `W` meanwhile.
#[derive(Debug)]
pub(crate) struct Gate<W> {
    state: Mutex<State<W>>,
    opened: Condvar,
}

#[derive(Debug)]
struct State<W> {
    /// Absent while a writer works.
    owned: Option<Box<W>>,
    readers: u32,
    writers_waiting: u32,
    readers_waiting: u32,
}

impl<W> Gate<W> {
    pub(crate) fn new(owned: Box<W>) -> Self {
        Self {
            state: Mutex::new(State {
                owned: Some(owned),
                readers: 0,
                writers_waiting: 0,
                readers_waiting: 0,
            }),
            opened: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        // A panic cannot happen between two field writes here, so the state is whole even when poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody reads or writes, and takes the writer's state.
    pub(crate) fn enter_writing(&self) -> Box<W> {
        let mut state = self.lock();
        loop {
            if state.readers == 0
                && let Some(owned) = state.owned.take()
            {
                return owned;
            }
            state.writers_waiting += 1;
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.writers_waiting -= 1;
        }
    }

    /// Returns the writer's state and lets others in.
    pub(crate) fn leave_writing(&self, owned: Box<W>) {
        let mut state = self.lock();
        debug_assert!(state.owned.is_none() && state.readers == 0, "one writer at a time");
        state.owned = Some(owned);
        let wake = state.writers_waiting > 0 || state.readers_waiting > 0;
        drop(state);
        if wake {
            self.opened.notify_all();
        }
    }

    /// Looks at the writer's state, unless a writer has it.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&mut W) -> T) -> Option<T> {
        self.lock().owned.as_deref_mut().map(look)
    }

    /// Waits until nobody writes or waits to write, and counts one more reader.
    pub(crate) fn enter_reading(&self) {
        let mut state = self.lock();
        while state.owned.is_none() || state.writers_waiting > 0 {
            state.readers_waiting += 1;
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.readers_waiting -= 1;
        }
        state.readers += 1;
    }

    /// Counts one reader less.
    pub(crate) fn leave_reading(&self) {
        let mut state = self.lock();
        debug_assert!(state.readers > 0, "a reader leaves that never entered");
        state.readers -= 1;
        let wake = state.readers == 0 && state.writers_waiting > 0;
        drop(state);
        if wake {
            self.opened.notify_all();
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
}
