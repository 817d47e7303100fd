//! [`PBox`]: the owning pointer.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::{PPtr, StaysOnItsThread, glue};
use crate::ground::error::Result;
use crate::layout::{Invalid, Niche, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::{Brand, Contents, Tx, running};

/// An owned value in the pool: `Box` for persistent data.
///
/// Eight bytes, never null, so `Option<PBox<T>>` is eight bytes too. Following it is one load (P4). Dropping it
/// records a free in the running transaction; the block is free once that commits.
///
/// ```
/// # use pobj::{PBox, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     answer: Option<PBox<'p, u64>>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     app.answer = Some(PBox::new(tx, 41)?);
///     if let Some(answer) = &mut app.answer {
///         *answer.get_mut(tx) += 1;
///     }
///     Ok(())
/// })?;
/// assert_eq!(pool.read().answer.as_deref(), Some(&42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PBox<'p, T> {
    addr: NonZeroU64,
    brand: Brand<'p>,
    owns: PhantomData<T>,
    /// I4: a drop on another thread would miss the transaction.
    not_send: StaysOnItsThread,
}

static_assertions::assert_eq_size!(Option<PBox<'static, u64>>, u64);

// SAFETY: `&PBox<T>` gives `&T` and nothing else (I4).
unsafe impl<T: Sync> Sync for PBox<'_, T> {}

impl<'p, T: Persistent<At<'p> = T>> PBox<'p, T> {
    /// Moves `value` into a new block of the pool. Cost: no ordering point; the block joins the commit's record.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](crate::Error::PoolFull), or [`Io`](crate::Error::Io) when the file cannot grow.
    pub fn new(tx: &Tx<'p>, value: T) -> Result<Self> {
        let addr = tx.core.alloc(size_of::<T>() as u64, align_of::<T>() as u64, Contents::Whole)?;
        // SAFETY: the block is fresh, aligned for `T`, at least as long, and known to nobody else.
        unsafe { with_exposed_provenance_mut::<T>(addr as usize).write(value) };
        // SAFETY: `alloc` never gives address 0.
        let addr = unsafe { NonZeroU64::new_unchecked(addr) };
        Ok(Self::from_addr(addr))
    }

    /// The value, for changing. Its bytes are remembered first (I1); the commit records those that changed.
    pub fn get_mut(&mut self, tx: &Tx<'p>) -> &mut T {
        tx.core.log(self.addr.get(), size_of::<T>() as u64);
        // SAFETY: T1, T2; logged just now (I1); the borrow of the only owner makes it unique (I2).
        unsafe { &mut *with_exposed_provenance_mut(self.addr.get() as usize) }
    }

    /// Moves the value out; the block is free once the transaction commits.
    pub fn into_inner(self, tx: &Tx<'p>) -> T {
        let addr = ManuallyDrop::new(self).addr.get();
        tx.core.free(addr);
        // SAFETY: T1, T2; the owner is gone, so the value is moved once (I2). The block's bytes stay until commit.
        unsafe { with_exposed_provenance::<T>(addr as usize).read() }
    }
}

impl<'p, T> PBox<'p, T> {
    fn from_addr(addr: NonZeroU64) -> Self {
        Self { addr, brand: PhantomData, owns: PhantomData, not_send: StaysOnItsThread::HERE }
    }

    /// A pointer to the value that does not own it.
    #[must_use]
    pub fn as_ptr(&self) -> PPtr<'p, T> {
        PPtr::from_addr(self.addr)
    }

    /// Gives up ownership: the value stays until the pointer becomes a box again.
    #[must_use]
    pub fn into_ptr(self) -> PPtr<'p, T> {
        PPtr::from_addr(ManuallyDrop::new(self).addr)
    }

    /// Takes ownership of the value behind `pointer`.
    ///
    /// # Safety
    ///
    /// `pointer` holds a live value of `T` in a block of its own, and no other owner of it exists or will be made.
    #[must_use]
    pub unsafe fn from_ptr(pointer: PPtr<'p, T>) -> Self {
        Self::from_addr(pointer.addr())
    }
}

impl<T> Drop for PBox<'_, T> {
    fn drop(&mut self) {
        running::defer_drop(self.addr.get(), 1, glue::<T>());
    }
}

impl<T> Deref for PBox<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: T1, T2, T3.
        unsafe { &*with_exposed_provenance(self.addr.get() as usize) }
    }
}

impl<T> AsRef<T> for PBox<'_, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for PBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for PBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for PBox<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for PBox<'_, T> {}

// SAFETY: 8 bytes at any brand; validation claims the block and checks the value in it.
unsafe impl<'p, T: Persistent> Persistent for PBox<'p, T> {
    type At<'q> = PBox<'q, T::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.owned::<Self, T>("PBox")
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.own::<T>(view.u64(0)?, 1)
    }
}

// SAFETY: transparent over `NonZeroU64`.
unsafe impl<'p, T: Persistent> Niche for PBox<'p, T> {
    type NicheAt<'q> = PBox<'q, T::At<'q>>;
}
