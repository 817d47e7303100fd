//! [`PArc`] and [`PArcWeak`]: one value, several owners, also where transactions run beside each other.
//!
//! What differs from [`PRc`](super::PRc): whoever looks at the counts first takes the lock of their address for the
//! rest of its transaction, which may fail. So a drop, which cannot fail, counts at the commit.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use super::StaysOnItsThread;
use super::shared::{Shared, shared_pointer};
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::{Brand, Tx};

/// A value in the pool with several owners that may be shared between threads: `Arc` for persistent data.
///
/// As [`PRc`](crate::PRc), with two differences. It is `Sync` when the value is, so scoped threads may read through it,
/// and transactions that run beside each other may hold it. And its counts belong to one transaction at a time: what
/// looks at them takes their lock until the transaction ends, and gives a `Result`. A dropped pointer therefore
/// counts until the commit.
///
/// Like all owners it is not `Send`: a drop belongs to the thread of its transaction.
///
/// ```
/// # use pobj::{PArc, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     first: Option<PArc<'p, u64>>,
///     second: Option<PArc<'p, u64>>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     let shared = PArc::new(tx, 7)?;
///     app.first = Some(shared.clone(tx)?);
///     app.second = Some(shared);
///     std::thread::scope(|scope| {
///         scope.spawn(|| assert_eq!(app.first, app.second));
///     });
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Methods that look at the counts give what taking the lock gives; a transaction that runs alone needs no lock and
/// gets no error.
#[repr(transparent)]
pub struct PArc<'p, T> {
    shared: Shared<T>,
    brand: Brand<'p>,
    owns: PhantomData<T>,
    /// I4: a drop on another thread would miss the transaction.
    not_send: StaysOnItsThread,
}

/// A pointer to the value of a [`PArc`] that does not keep it alive: `sync::Weak` for persistent data.
///
/// It keeps the block, so its memory is free once the last weak pointer is gone as well.
///
/// ```
/// # use pobj::{PArc, PArcWeak, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     value: Option<PArc<'p, u64>>,
///     watcher: Option<PArcWeak<'p, u64>>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     let value = PArc::new(tx, 7)?;
///     app.watcher = Some(PArc::downgrade(&value, tx)?);
///     app.value = Some(value);
///     Ok(())
/// })?;
/// pool.write(|app, _| {
///     app.value = None;
///     Ok(())
/// })?;
/// pool.write(|app, tx| {
///     let watcher = app.watcher.as_ref().unwrap();
///     assert!(watcher.upgrade(tx)?.is_none());
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PArcWeak<'p, T> {
    shared: Shared<T>,
    brand: Brand<'p>,
    not_send: StaysOnItsThread,
}

// SAFETY: `&PArc<T>` gives `&T`, and a look at the counts to who has the `Tx`, under their lock (S5). Another
// transaction may drop the last one: dropping a `T` only records, so `Send` is not asked for (I4).
unsafe impl<T: Sync> Sync for PArc<'_, T> {}

// SAFETY: as for `PArc`, which it can become.
unsafe impl<T: Sync> Sync for PArcWeak<'_, T> {}

shared_pointer!(PArc, PArcWeak);

impl<'p, T: Persistent<At<'p> = T>> PArc<'p, T> {
    /// Moves `value` into a new block of the pool, with one owner. Cost: no ordering point; 16 bytes beside the value.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](crate::Error::PoolFull), or [`Io`](crate::Error::Io) when the file cannot grow.
    pub fn new(tx: &Tx<'p>, value: T) -> Result<Self> {
        // Nobody else knows the block, so its counts need no lock.
        let shared = Shared::reserve(&tx.core)?;
        shared.fill(&tx.core, value);
        Ok(Self::of(shared))
    }

    /// The value, for changing, if this is the only pointer to it, weak ones counted. Its bytes are remembered first (I1).
    /// Pointers that this transaction dropped still count.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn get_mut<'a>(this: &'a mut Self, tx: &Tx<'p>) -> Result<Option<&'a mut T>> {
        tx.core.lock_for_change(this.shared.addr())?;
        if !this.shared.is_unique() {
            return Ok(None);
        }
        let value = this.shared.value();
        tx.core.log(value.addr() as u64, size_of::<T>() as u64);
        // SAFETY: S4, T2; logged just now (I1); the borrow of the only pointer makes it unique.
        Ok(Some(unsafe { &mut *value }))
    }

    /// Moves the value out, if this is the only owner; otherwise drops this pointer.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn into_inner(this: Self, tx: &Tx<'p>) -> Result<Option<T>> {
        tx.core.lock_for_change(this.shared.addr())?;
        if this.shared.strong() != 1 {
            return Ok(None);
        }
        Ok(Some(ManuallyDrop::new(this).shared.take(&tx.core)))
    }
}

impl<'p, T> PArc<'p, T> {
    fn of(shared: Shared<T>) -> Self {
        Self { shared, brand: PhantomData, owns: PhantomData, not_send: StaysOnItsThread::HERE }
    }

    /// One more owner of the same value. Not `Clone`, because the count is in the pool and its old bytes are remembered.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn clone(&self, tx: &Tx<'p>) -> Result<Self> {
        tx.core.lock_for_change(self.shared.addr())?;
        self.shared.add_strong(&tx.core);
        Ok(Self::of(self.shared))
    }

    /// A pointer to the same value that does not keep it alive.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn downgrade(this: &Self, tx: &Tx<'p>) -> Result<PArcWeak<'p, T>> {
        tx.core.lock_for_change(this.shared.addr())?;
        this.shared.add_weak(&tx.core);
        Ok(PArcWeak::of(this.shared))
    }

    /// Owners of the value. Those that were dropped in this transaction count until the commit.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn strong_count(this: &Self, tx: &Tx<'p>) -> Result<u64> {
        tx.core.lock_for_change(this.shared.addr())?;
        Ok(this.shared.strong())
    }

    /// Weak pointers to the value, counted as [`strong_count`](Self::strong_count) counts.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn weak_count(this: &Self, tx: &Tx<'p>) -> Result<u64> {
        tx.core.lock_for_change(this.shared.addr())?;
        Ok(this.shared.weak_pointers())
    }

    /// True if both lead to the same value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.shared == other.shared
    }
}

impl<T> Drop for PArc<'_, T> {
    fn drop(&mut self) {
        self.shared.defer_strong();
    }
}

impl<'p, T> PArcWeak<'p, T> {
    fn of(shared: Shared<T>) -> Self {
        Self { shared, brand: PhantomData, not_send: StaysOnItsThread::HERE }
    }

    /// One more owner of the value, if it is still there.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn upgrade(&self, tx: &Tx<'p>) -> Result<Option<PArc<'p, T>>> {
        tx.core.lock_for_change(self.shared.addr())?;
        Ok(self.shared.try_add_strong(&tx.core).then(|| PArc::of(self.shared)))
    }

    /// One more weak pointer to the same value.
    ///
    /// # Errors
    ///
    /// That the lock of the counts could not be taken.
    pub fn clone(&self, tx: &Tx<'p>) -> Result<Self> {
        tx.core.lock_for_change(self.shared.addr())?;
        self.shared.add_weak(&tx.core);
        Ok(Self::of(self.shared))
    }

    /// True if both lead to the same value, alive or not.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.shared == other.shared
    }
}

impl<T> Drop for PArcWeak<'_, T> {
    fn drop(&mut self) {
        self.shared.defer_weak();
    }
}
