//! Finding the type of the values at an address, for a message: the walk over all objects says what it comes by.
//!
//! Compiled with the crash simulator only, because a walk in use is to be fast.

use std::cell::Cell;

thread_local! {
    static SOUGHT: Cell<Option<u64>> = const { Cell::new(None) };
    static FOUND: Cell<Option<Found>> = const { Cell::new(None) };
}

/// A block that the sought address lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Address of its first value.
    pub(crate) addr: u64,
    /// Name of the values' type.
    pub(crate) name: &'static str,
}

/// Gives the block around `addr` that `walk`, a walk on this thread, claims.
pub(crate) fn block_around(addr: u64, walk: impl FnOnce()) -> Option<Found> {
    FOUND.set(None);
    SOUGHT.set(Some(addr));
    walk();
    SOUGHT.set(None);
    FOUND.take()
}

/// A walk on this thread claims `len` bytes of values of `T`.
pub(super) fn note<T>(addr: u64, len: u64) {
    if SOUGHT.get().is_some_and(|sought| sought >= addr && sought - addr < len) {
        FOUND.set(Some(Found { addr, name: std::any::type_name::<T>() }));
    }
}
