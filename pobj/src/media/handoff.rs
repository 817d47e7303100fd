//! A box that goes from hand to hand with one atomic instruction.
//!
//! A `Mutex<Option<Box<T>>>` would take two to give and two to take; the gate of a pool does both in each
//! transaction, and on persistent memory that would be a tenth of a commit.

use std::marker::PhantomData;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use crate::ground::sync::{AtomicPtr, Mutex};

/// A place that holds a box or nothing. Shared between threads if its content may be sent.
#[derive(Debug)]
pub(crate) struct Handoff<T> {
    place: AtomicPtr<T>,
    /// As a mutex of it, for who may share and send this.
    content: PhantomData<Mutex<T>>,
}

impl<T> Handoff<T> {
    pub(crate) fn new(content: Box<T>) -> Self {
        Self { place: AtomicPtr::new(Box::into_raw(content)), content: PhantomData }
    }

    /// Takes the box, if it is there.
    #[inline]
    pub(crate) fn take(&self) -> Option<Box<T>> {
        let content = self.place.swap(null_mut(), Ordering::SeqCst);
        // SAFETY: a pointer in `place` came from `Box::into_raw`, and the swap gave it to this caller alone.
        (!content.is_null()).then(|| unsafe { Box::from_raw(content) })
    }

    /// Puts the box back. Who took it puts it back, so the place is empty.
    #[inline]
    pub(crate) fn put(&self, content: Box<T>) {
        let before = self.place.swap(Box::into_raw(content), Ordering::SeqCst);
        debug_assert!(before.is_null(), "two boxes for one place");
        if !before.is_null() {
            // SAFETY: as in `take`.
            drop(unsafe { Box::from_raw(before) });
        }
    }
}

impl<T> Drop for Handoff<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Catches a box that two threads hold at once, one that is lost, and one that is dropped twice (which Miri sees).
    #[test]
    fn one_hand_at_a_time() {
        let place = Arc::new(Handoff::new(Box::new(0u64)));
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let place = Arc::clone(&place);
                std::thread::spawn(move || {
                    for _ in 0..rounds {
                        let mut content = loop {
                            match place.take() {
                                Some(content) => break content,
                                None => std::thread::yield_now(),
                            }
                        };
                        *content += 1;
                        place.put(content);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(place.take().as_deref(), Some(&(3 * rounds)));
        assert!(place.take().is_none());
    }
}
