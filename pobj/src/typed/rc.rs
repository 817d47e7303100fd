//! [`PRc`] and [`PWeak`]: one value, several owners.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use super::StaysOnItsThread;
use super::shared::{Shared, shared_pointer};
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::{Brand, Tx};

/// A value in the pool with several owners: `Rc` for persistent data.
///
/// Eight bytes, never null. Reading is one load, as through [`PBox`](crate::PBox). [`clone`](Self::clone) makes one more
/// owner; the value is dropped when the last one is, at the commit. Cycles of owners are never freed by themselves: break
/// them with [`PWeak`], or let [`Pool::collect`](crate::Pool::collect) find them.
///
/// The counts change with the transaction, and go back with it. A drop counts at once; what the dropped *value* owned
/// is let go at the commit.
///
/// Neither `Send` nor `Sync`, so a root that holds one is changed by one transaction at a time: see
/// [`PArc`](crate::PArc).
///
/// ```
/// # use pobj::{PRc, PWeak, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     first: Option<PRc<'p, u64>>,
///     second: Option<PRc<'p, u64>>,
///     watcher: Option<PWeak<'p, u64>>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     let shared = PRc::new(tx, 7)?;
///     app.watcher = Some(PRc::downgrade(&shared, tx));
///     app.first = Some(shared.clone(tx));
///     app.second = Some(shared);
///     Ok(())
/// })?;
/// pool.write(|app, tx| {
///     app.first = None;
///     let watcher = app.watcher.as_ref().unwrap();
///     assert_eq!(watcher.upgrade(tx).as_deref(), Some(&7));
///     app.second = None;
///     assert!(watcher.upgrade(tx).is_none());
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PRc<'p, T> {
    shared: Shared<T>,
    brand: Brand<'p>,
    owns: PhantomData<T>,
    /// I4, and S5: neither `Send` nor `Sync`.
    stays: StaysOnItsThread,
}

/// A pointer to the value of a [`PRc`] that does not keep it alive: `rc::Weak` for persistent data.
///
/// It keeps the block, so its memory is free once the last weak pointer is gone as well. For an example see [`PRc`].
#[repr(transparent)]
pub struct PWeak<'p, T> {
    shared: Shared<T>,
    brand: Brand<'p>,
    stays: StaysOnItsThread,
}

shared_pointer!(PRc, PWeak);

impl<'p, T: Persistent<At<'p> = T>> PRc<'p, T> {
    /// Moves `value` into a new block of the pool, with one owner. Cost: no ordering point; 16 bytes beside the value.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](crate::Error::PoolFull), or [`Io`](crate::Error::Io) when the file cannot grow.
    pub fn new(tx: &Tx<'p>, value: T) -> Result<Self> {
        let shared = Shared::reserve(&tx.core)?;
        shared.fill(&tx.core, value);
        Ok(Self::of(shared))
    }

    /// As [`new`](Self::new), for a value that holds weak pointers to itself: `make` gets one, which cannot be upgraded
    /// before `new_cyclic` returns.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), and what `make` returns.
    pub fn new_cyclic(tx: &Tx<'p>, make: impl FnOnce(&PWeak<'p, T>) -> Result<T>) -> Result<Self> {
        let shared = Shared::reserve(&tx.core)?;
        // Dropped if `make` fails or panics: then the weak pointers that it kept find no value.
        let weak = PWeak::of(shared);
        let value = make(&weak)?;
        shared.fill(&tx.core, value);
        std::mem::forget(weak);
        Ok(Self::of(shared))
    }

    /// The value, for changing, if this is the only pointer to it, weak ones counted. Its bytes are remembered first (I1).
    pub fn get_mut<'a>(this: &'a mut Self, tx: &Tx<'p>) -> Option<&'a mut T> {
        if !this.shared.is_unique() {
            return None;
        }
        let value = this.shared.value();
        tx.core.log(value.addr() as u64, size_of::<T>() as u64);
        // SAFETY: S4, T2; logged just now (I1); the borrow of the only pointer makes it unique.
        Some(unsafe { &mut *value })
    }

    /// The value, for changing; where others hold it too, a copy of its own first.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn make_mut<'a>(this: &'a mut Self, tx: &Tx<'p>) -> Result<&'a mut T>
    where
        T: Clone,
    {
        if !this.shared.is_unique() {
            *this = Self::new(tx, (**this).clone())?;
        }
        let value = this.shared.value();
        tx.core.log(value.addr() as u64, size_of::<T>() as u64);
        // SAFETY: as in `get_mut`: unique now.
        Ok(unsafe { &mut *value })
    }

    /// Moves the value out, if this is the only owner. Weak pointers find no value afterwards.
    ///
    /// # Errors
    ///
    /// The pointer itself, if there are other owners.
    pub fn try_unwrap(this: Self, tx: &Tx<'p>) -> Result<T, Self> {
        if this.shared.strong() == 1 { Ok(ManuallyDrop::new(this).shared.take(&tx.core)) } else { Err(this) }
    }

    /// Moves the value out, if this is the only owner; otherwise drops this pointer.
    pub fn into_inner(this: Self, tx: &Tx<'p>) -> Option<T> {
        Self::try_unwrap(this, tx).ok()
    }
}

impl<'p, T> PRc<'p, T> {
    fn of(shared: Shared<T>) -> Self {
        Self { shared, brand: PhantomData, owns: PhantomData, stays: StaysOnItsThread::HERE }
    }

    /// One more owner of the same value. Not `Clone`, because the count is in the pool and its old bytes are remembered.
    #[must_use]
    pub fn clone(&self, tx: &Tx<'p>) -> Self {
        self.shared.add_strong(&tx.core);
        Self::of(self.shared)
    }

    /// A pointer to the same value that does not keep it alive.
    #[must_use]
    pub fn downgrade(this: &Self, tx: &Tx<'p>) -> PWeak<'p, T> {
        this.shared.add_weak(&tx.core);
        PWeak::of(this.shared)
    }

    /// Owners of the value. What a value owned that died in this transaction counts until the commit; what
    /// `mem::forget` took counts until [`Pool::collect`](crate::Pool::collect).
    #[must_use]
    pub fn strong_count(this: &Self) -> u64 {
        this.shared.strong()
    }

    /// Weak pointers to the value, counted as [`strong_count`](Self::strong_count) counts.
    #[must_use]
    pub fn weak_count(this: &Self) -> u64 {
        this.shared.weak_pointers()
    }

    /// True if both lead to the same value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.shared == other.shared
    }
}

impl<T> Drop for PRc<'_, T> {
    fn drop(&mut self) {
        self.shared.drop_strong();
    }
}

impl<'p, T> PWeak<'p, T> {
    fn of(shared: Shared<T>) -> Self {
        Self { shared, brand: PhantomData, stays: StaysOnItsThread::HERE }
    }

    /// One more owner of the value, if it is still there.
    #[must_use]
    pub fn upgrade(&self, tx: &Tx<'p>) -> Option<PRc<'p, T>> {
        self.shared.try_add_strong(&tx.core).then(|| PRc::of(self.shared))
    }

    /// One more weak pointer to the same value.
    #[must_use]
    pub fn clone(&self, tx: &Tx<'p>) -> Self {
        self.shared.add_weak(&tx.core);
        Self::of(self.shared)
    }

    /// Owners of the value; 0 once it is dropped.
    #[must_use]
    pub fn strong_count(&self) -> u64 {
        self.shared.strong()
    }

    /// Weak pointers to the value, this one included; 0 once it is dropped, as in `std`.
    #[must_use]
    pub fn weak_count(&self) -> u64 {
        self.shared.weak_pointers()
    }

    /// True if both lead to the same value, alive or not.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.shared == other.shared
    }
}

impl<T> Drop for PWeak<'_, T> {
    fn drop(&mut self) {
        self.shared.drop_weak();
    }
}
