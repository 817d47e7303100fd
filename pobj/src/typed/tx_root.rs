//! [`TxRoot`]: the root inside `tx!`, remembered only as far as it is changed.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use std::rc::Rc;

use crate::layout::Persistent;
use crate::tx::{Tx, TxCore};

/// The root of a pool inside a [`tx!`](crate::tx) block. Reading derefs; borrowing it for changing remembers the whole
/// root first; assigning to a field remembers that field alone.
pub struct TxRoot<'p, R: Persistent> {
    core: Rc<TxCore>,
    logged: bool,
    root: PhantomData<R::At<'p>>,
}

impl<'p, R: Persistent> TxRoot<'p, R> {
    pub(super) fn new(core: Rc<TxCore>) -> Self {
        Self { core, logged: false, root: PhantomData }
    }

    fn addr(&self) -> usize {
        self.core.pool().root_addr() as usize
    }

    /// The root for naming a place in it, before that place is logged.
    ///
    /// # Safety
    ///
    /// The reference is used only to compute the address of a place, which is logged before it is written.
    #[doc(hidden)]
    pub unsafe fn __fields(&mut self) -> &mut R::At<'p> {
        // SAFETY: T1, T2, T3; unique by the borrow of `self`; nothing is written through it (caller).
        unsafe { &mut *with_exposed_provenance_mut(self.addr()) }
    }
}

impl<'p, R: Persistent> Deref for TxRoot<'p, R> {
    type Target = R::At<'p>;

    fn deref(&self) -> &R::At<'p> {
        // SAFETY: T1, T2, T3.
        unsafe { &*with_exposed_provenance(self.addr()) }
    }
}

impl<'p, R: Persistent> DerefMut for TxRoot<'p, R> {
    fn deref_mut(&mut self) -> &mut R::At<'p> {
        if !self.logged {
            self.core.log(self.addr() as u64, size_of::<R>() as u64);
            self.logged = true;
        }
        // SAFETY: T1, T2, T3; logged (I1); unique by the borrow of `self`.
        unsafe { &mut *with_exposed_provenance_mut(self.addr()) }
    }
}

impl Tx<'_> {
    /// Remembers the bytes of the place that `place` points to (I1).
    ///
    /// # Safety
    ///
    /// `place` points into the root of this transaction's pool.
    #[doc(hidden)]
    pub unsafe fn __log_place<F>(&self, place: *mut F) {
        self.core.log(place.expose_provenance() as u64, size_of::<F>() as u64);
    }
}
