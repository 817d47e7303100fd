//! [`LockBox`]: a value in a block of its own, behind a lock whose guards do not hold its owner borrowed.
//!
//! The owners of such values lie in a directory, behind a lock of its own. A transaction that wants a value looks its owner
//! up ([`PRwLock::peek`]), takes the value's lock, and leaves the directory, which others may change meanwhile: the value
//! stays where it is, wherever its owner goes. So nobody keeps the directory to the end of a transaction but who changes it.
//!
//! - **LB1** The value lives as long as a guard of it. An owner that is dropped frees the block when its transaction
//!   commits, and takes the value's lock alone before: it waits for all transactions that hold it. Guards of the dropping
//!   transaction itself end before it commits, by their borrow of `Tx`; so do those of a transaction that made the value and
//!   is rolled back.
//! - **LB2** A lock is taken through its owner, by a reference to it; so the owner has not been dropped, nor can be while
//!   the lock is waited for. Who cannot keep the owner borrowed while it waits, waits for the [`LockPlace`] only, which is
//!   a number, and looks for the owner again.

use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::{PRwLock, PRwLockReadGuard, PRwLockWriteGuard, ReadGuard, StaysOnItsThread, drop_values};
use crate::ground::error::Result;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::pool::locks::Claim;
use crate::tx::{Brand, Contents, Fate, Tx, TxCore, running};

/// The owner of a value behind a lock.
#[repr(transparent)]
pub(crate) struct LockBox<'p, T> {
    addr: NonZeroU64,
    brand: Brand<'p>,
    owns: PhantomData<PRwLock<'p, T>>,
    not_send: StaysOnItsThread,
}

static_assertions::assert_eq_size!(LockBox<'static, u64>, u64);

// SAFETY: a shared owner gives what a shared `PRwLock` gives (I4).
unsafe impl<'p, T> Sync for LockBox<'p, T> where PRwLock<'p, T>: Sync {}

impl<'p, T: Persistent<At<'p> = T>> LockBox<'p, T> {
    /// Moves `value` into a new block of the pool.
    pub(crate) fn new(tx: &Tx<'p>, value: T) -> Result<Self> {
        let (len, align) = (size_of::<PRwLock<'p, T>>() as u64, align_of::<PRwLock<'p, T>>() as u64);
        let addr = tx.core.alloc(len, align, Contents::Whole)?;
        // SAFETY: the block is fresh, aligned, at least as long, and known to nobody else.
        unsafe { with_exposed_provenance_mut::<PRwLock<'p, T>>(addr as usize).write(PRwLock::new(value)) };
        // SAFETY: `alloc` never gives address 0.
        let addr = unsafe { NonZeroU64::new_unchecked(addr) };
        Ok(Self { addr, brand: PhantomData, owns: PhantomData, not_send: StaysOnItsThread::HERE })
    }
}

impl<'p, T> LockBox<'p, T> {
    /// The lock, for as long as the transaction. Who takes it does so while `self` is borrowed (LB2).
    fn lock_in<'a>(&self, _: &'a Tx<'p>) -> &'a PRwLock<'p, T> {
        // SAFETY: T1, T2. The lock is alive while `self` is borrowed, and once it is held, to the end of its guards (LB1).
        unsafe { &*with_exposed_provenance(self.addr.get() as usize) }
    }

    /// The value beside a read guard.
    pub(crate) fn get<'a, R: Persistent>(&'a self, guard: &'a ReadGuard<'p, R>) -> &'a T {
        // SAFETY: T1, T2, T3: the owner, which is borrowed, keeps it.
        let lock: &'a PRwLock<'p, T> = unsafe { &*with_exposed_provenance(self.addr.get() as usize) };
        lock.get(guard)
    }

    /// As [`PRwLock::read`]; the guard outlives the borrow of the owner.
    pub(crate) fn read<'a>(&self, tx: &'a Tx<'p>) -> Result<PRwLockReadGuard<'a, 'p, T>> {
        self.lock_in(tx).read(tx)
    }

    /// As [`PRwLock::write`]; the guard outlives the borrow of the owner.
    pub(crate) fn write<'a>(&self, tx: &'a Tx<'p>) -> Result<PRwLockWriteGuard<'a, 'p, T>> {
        self.lock_in(tx).write(tx)
    }

    /// As [`read`](Self::read), if it need not wait.
    pub(crate) fn try_read<'a>(&self, tx: &'a Tx<'p>) -> Result<Option<PRwLockReadGuard<'a, 'p, T>>> {
        self.lock_in(tx).try_read(tx)
    }

    /// As [`write`](Self::write), if it need not wait.
    pub(crate) fn try_write<'a>(&self, tx: &'a Tx<'p>) -> Result<Option<PRwLockWriteGuard<'a, 'p, T>>> {
        self.lock_in(tx).try_write(tx)
    }

    /// The place that the lock is known by.
    pub(crate) fn place(&self) -> LockPlace {
        LockPlace { addr: self.addr.get() }
    }
}

/// Where a lock is, or was: something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockPlace {
    pub(super) addr: u64,
}

impl LockPlace {
    /// Waits until the lock is free for reading. It is held until [`let_go`](Self::let_go), or to the end of the transaction
    /// once a guard of it was there.
    pub(crate) fn wait_to_read(self, tx: &Tx<'_>) -> Result<()> {
        tx.core.wait_for(self.addr, Claim::Shared)
    }

    /// As [`wait_to_read`](Self::wait_to_read), until it is free for changing.
    pub(crate) fn wait_to_write(self, tx: &Tx<'_>) -> Result<()> {
        tx.core.wait_for(self.addr, Claim::Exclusive)
    }

    /// Ends the wait: gives the lock back, unless there was a guard of it.
    pub(crate) fn let_go(self, tx: &Tx<'_>) {
        tx.core.let_go(self.addr);
    }
}

impl<T> Drop for LockBox<'_, T> {
    fn drop(&mut self) {
        running::defer_drop(self.addr.get(), 1, Some(drop_locked::<T>));
    }
}

/// Takes a dead value apart once nobody else holds its lock (LB1).
fn drop_locked<T>(tx: &TxCore, addr: u64, _count: u64) -> Result<Fate> {
    tx.lock_for_change(addr)?;
    drop_values::<PRwLock<'_, T>>(addr, 1);
    Ok(Fate::Free)
}

// SAFETY: 8 bytes at any brand; validation claims the block and checks the value in it.
unsafe impl<'p, T: Persistent> Persistent for LockBox<'p, T> {
    type At<'q> = LockBox<'q, T::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.owned::<Self, PRwLock<'p, T>>("LockBox")
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.own::<PRwLock<'p, T>>(view.u64(0)?, 1)
    }
}
