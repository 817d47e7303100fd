//! [`PPtr`]: the pointer that owns nothing, for building data structures.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use crate::ground::error::Result;
use crate::layout::{Invalid, Niche, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::{Brand, Tx};

/// Eight bytes that say where a `T` is in the pool: `Copy`, never null, owns nothing.
///
/// Following one is `unsafe`, because nothing keeps its target alive. Validation at open checks that it
/// points to an allocated block that could hold a `T`, not that a `T` is there.
#[repr(transparent)]
pub struct PPtr<'p, T> {
    addr: NonZeroU64,
    brand: Brand<'p>,
    target: PhantomData<*const T>,
}

// SAFETY: a shared `PPtr` gives safe code nothing but its address; what `unsafe` code does with it is its own duty.
unsafe impl<T: Sync> Sync for PPtr<'_, T> {}

impl<T> Clone for PPtr<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PPtr<'_, T> {}

impl<'p, T> PPtr<'p, T> {
    pub(super) fn from_addr(addr: NonZeroU64) -> Self {
        Self { addr, brand: PhantomData, target: PhantomData }
    }

    /// The address in the image.
    #[must_use]
    pub fn addr(self) -> NonZeroU64 {
        self.addr
    }

    /// The value.
    ///
    /// # Safety
    ///
    /// The target is alive and nobody changes it for `'a`.
    #[must_use]
    pub unsafe fn as_ref<'a>(self) -> &'a T
    where
        'p: 'a,
    {
        // SAFETY: the caller's promise; T2.
        unsafe { &*with_exposed_provenance(self.addr.get() as usize) }
    }

    /// The value, for changing; its bytes are remembered first (I1).
    ///
    /// # Safety
    ///
    /// The target is alive and nothing else refers to it for `'a`.
    #[must_use]
    pub unsafe fn as_mut<'a>(self, tx: &Tx<'p>) -> &'a mut T
    where
        'p: 'a,
    {
        tx.core.log(self.addr.get(), size_of::<T>() as u64);
        // SAFETY: the caller's promise; logged just now (I1); T2.
        unsafe { &mut *with_exposed_provenance_mut(self.addr.get() as usize) }
    }
}

impl<T> PartialEq for PPtr<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr
    }
}

impl<T> Eq for PPtr<'_, T> {}

impl<T> fmt::Debug for PPtr<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PPtr({:#x})", self.addr)
    }
}

// SAFETY: 8 bytes at any brand; following it is `unsafe`, so validation need not know the target's type.
unsafe impl<'p, T: Persistent> Persistent for PPtr<'p, T> {
    type At<'q> = PPtr<'q, T::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.pointer::<Self, T>("PPtr")
    }

    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.point::<T>(view.u64(0)?, 1)
    }
}

// SAFETY: transparent over `NonZeroU64`.
unsafe impl<'p, T: Persistent> Niche for PPtr<'p, T> {
    type NicheAt<'q> = PPtr<'q, T::At<'q>>;
}
