//! Locks and atomics for what is checked by loom: those of `std`, or under `--cfg loom` in tests those of loom, which
//! runs a small program in every order that the memory model allows.
//!
//! The gate, the hand-off of the owner, the table of locks and the chain of fences use these. All else uses `std`
//! itself.

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64},
};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64},
};

use std::sync::PoisonError;

/// The lock, whatever became of the thread that held it last: what these locks guard is whole between two statements.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps until `condvar` is notified.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Between saying something and looking at what others have said, where both are `SeqCst` and one of the two must see the
/// other. For `std` that order is enough; loom takes `SeqCst` operations for acquire and release, and knows fences.
#[inline(always)]
pub(crate) fn then_look() {
    #[cfg(all(loom, test))]
    loom::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Lets others run while this thread looks again and again. `looks` counts how often it has.
#[inline]
pub(crate) fn look_again(looks: u32, spins: u32) {
    #[cfg(all(loom, test))]
    {
        let _ = (looks, spins);
        loom::thread::yield_now();
    }
    #[cfg(not(all(loom, test)))]
    if looks < spins {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// A value on cache lines of its own, neighbours that the processor fetches along included.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Alone<T>(pub(crate) T);
