//! The two doors to a pool's root: [`Pool::read`] and [`Pool::write`].
//!
//! Each call chooses a fresh `'p`: reading bounds it by the guard, writing by a closure that must work for any `'p`.
//! So nothing of brand `'p` can be returned, captured, kept in a static or sent away: compile errors, all of them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use std::rc::Rc;

use super::{StaysOnItsThread, TxRoot};
use crate::ground::error::{Error, Result};
use crate::layout::Persistent;
use crate::layout::geometry::{ROOT_ADDR, ROOT_LEN};
use crate::pool::{Pool, PoolCore, ReadOnlyPool, Stats};
use crate::tx::{Committed, Contents, Tx, TxCore, commit, running};

/// Shared access to a pool's root: `Deref` to it. Writers wait until all guards are gone.
///
/// Guards nest on one thread. A guard is not `Send`; the `&T` that it gives may go to scoped threads.
pub struct ReadGuard<'g, R: Persistent> {
    core: &'g PoolCore,
    addr: u64,
    root: PhantomData<R::At<'g>>,
    _not_send: StaysOnItsThread,
}

impl<'g, R: Persistent> ReadGuard<'g, R> {
    fn new(core: &'g PoolCore) -> Result<Self> {
        core.check_readable()?;
        running::begin_reading(core)?;
        Ok(Self { core, addr: core.root_addr(), root: PhantomData, _not_send: StaysOnItsThread::HERE })
    }

    /// As [`new`](Self::new), if nobody has to be waited for and this thread has none.
    #[inline]
    pub(super) fn new_if_free(core: &'g PoolCore) -> Result<Option<Self>> {
        core.check_readable()?;
        let free = running::try_begin_reading(core)?;
        let addr = core.root_addr();
        // A guard that may not be must not be made: its end would end somebody else's.
        Ok(free.then(|| Self { core, addr, root: PhantomData, _not_send: StaysOnItsThread::HERE }))
    }

    /// Whether `addr` lies in the pool that this guard is of.
    #[inline]
    pub(super) fn covers(&self, addr: u64) -> bool {
        self.core.image.covers(addr)
    }
}

impl<'g, R: Persistent> Deref for ReadGuard<'g, R> {
    type Target = R::At<'g>;

    #[inline]
    fn deref(&self) -> &R::At<'g> {
        // SAFETY: the root was made or validated as an `R` (T1), which is laid out as any `R::At`; the guard borrows
        // the pool (T2) and holds the gate (T3).
        unsafe { &*with_exposed_provenance(self.addr as usize) }
    }
}

impl<R: Persistent> Drop for ReadGuard<'_, R> {
    fn drop(&mut self) {
        running::end_reading(self.core);
    }
}

impl<'g, R: Persistent> fmt::Debug for ReadGuard<'g, R>
where
    R::At<'g>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<R: Persistent> Pool<R> {
    /// The root, for reading. Waits for a writer, never for the medium.
    ///
    /// # Panics
    ///
    /// Where [`try_read`](Self::try_read) gives an error: inside a transaction on the same pool (use its `root`), or
    /// in the child of a fork.
    pub fn read(&self) -> ReadGuard<'_, R> {
        match self.try_read() {
            Ok(guard) => guard,
            Err(error) => panic!("Pool::read: {error}"),
        }
    }

    /// The root, for reading.
    ///
    /// # Errors
    ///
    /// [`Error::Nested`] inside a transaction on the same pool on this thread, [`Error::Forked`] in the child of a
    /// fork.
    pub fn try_read(&self) -> Result<ReadGuard<'_, R>> {
        ReadGuard::new(&self.core)
    }

    /// Runs `body` as a transaction: alone, with the root for changing. `Ok` commits, `Err` or a panic rolls back.
    ///
    /// Cost: remembering the root's bytes, one record, and under [`Immediate`](crate::Durability::Immediate) one
    /// durable write, shared with all transactions that arrive while the previous one is in flight. A transaction that
    /// changes nothing writes nothing.
    ///
    /// # Errors
    ///
    /// What `body` returns; [`Error::Nested`], [`Error::ReadGuardHeld`], [`Error::Poisoned`], [`Error::Forked`]
    /// before it runs; [`Error::PoolFull`] or [`Error::Io`] if the commit fails. After an I/O error of the durable write
    /// itself the pool is poisoned, and whether the transaction survives is known when the pool is opened again.
    pub fn write<T>(&self, body: impl for<'p> FnOnce(&mut R::At<'p>, &Tx<'p>) -> Result<T>) -> Result<T> {
        self.try_write(body)
    }

    /// [`write`](Self::write) for closures with an error type of their own.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn try_write<T, E: From<Error>>(
        &self,
        body: impl for<'p> FnOnce(&mut R::At<'p>, &Tx<'p>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_root(body).map(|committed| committed.value)
    }

    /// As [`write`](Self::write), and gives the transaction's id as well: a program that notes it outside the pool can tell
    /// after a crash whether the transaction is there, by comparing it with [`last_committed`](Self::last_committed).
    ///
    /// ```
    /// # use pobj::{Persistent, Pool};
    /// # #[derive(Persistent, Default)]
    /// # #[repr(C)]
    /// # struct App {
    /// #     hits: u64,
    /// # }
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("app.pobj");
    /// let pool = Pool::<App>::create(&path)?;
    /// let request = pool.write_with_id(|app, _| {
    ///     app.hits += 1;
    ///     Ok(())
    /// })?;
    /// drop(pool);
    /// let pool = Pool::<App>::open(&path)?;
    /// assert!(request.id.is_some_and(|id| id <= pool.last_committed()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_with_id<T>(
        &self,
        body: impl for<'p> FnOnce(&mut R::At<'p>, &Tx<'p>) -> Result<T>,
    ) -> Result<Committed<T>> {
        self.write_root(body)
    }

    #[inline]
    fn write_root<T, E: From<Error>>(
        &self,
        body: impl for<'p> FnOnce(&mut R::At<'p>, &Tx<'p>) -> Result<T, E>,
    ) -> Result<Committed<T>, E> {
        commit::run(&self.core, |core| {
            let addr = core.pool().root_addr();
            core.log(addr, size_of::<R>() as u64);
            let tx = Tx::new(Rc::clone(core));
            // SAFETY: as for reading, and logged just now (I1); the gate gives this thread the pool alone (T3).
            let root = unsafe { &mut *with_exposed_provenance_mut::<R::At<'_>>(addr as usize) };
            body(root, &tx)
        })
    }

    /// What the pool holds and has done since it was opened. Waits for a writer; inside a transaction on this thread
    /// the heap's figures are the last known ones.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let _no_writer = self.try_read();
        Stats { last_transaction: running::last_counts(&self.core), ..self.core.stats() }
    }

    /// What `tx!` expands to: the root is remembered when it is first borrowed for changing, an assigned field alone.
    #[doc(hidden)]
    pub fn write_fields<T>(
        &self,
        body: impl for<'p> FnOnce(&mut TxRoot<'p, R>, &Tx<'p>) -> Result<T>,
    ) -> Result<T> {
        commit::run(&self.core, |core| {
            let tx = Tx::new(Rc::clone(core));
            let mut root = TxRoot::new(Rc::clone(core));
            body(&mut root, &tx)
        })
        .map(|committed| committed.value)
    }
}

impl<R: Persistent> ReadOnlyPool<R> {
    /// What the pool holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The root, for reading.
    ///
    /// # Panics
    ///
    /// In the child of a fork.
    pub fn read(&self) -> ReadGuard<'_, R> {
        match self.try_read() {
            Ok(guard) => guard,
            Err(error) => panic!("ReadOnlyPool::read: {error}"),
        }
    }

    /// The root, for reading.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`] in the child of a fork.
    pub fn try_read(&self) -> Result<ReadGuard<'_, R>> {
        ReadGuard::new(&self.core)
    }
}

/// Makes the root of a new pool from what `init` returns.
pub(super) fn make_root<R: Persistent, E: From<Error>>(
    core: &Rc<TxCore>,
    init: impl for<'p> FnOnce(&Tx<'p>) -> Result<R::At<'p>, E>,
) -> Result<(), E> {
    let tx = Tx::new(Rc::clone(core));
    let value = init(&tx)?;
    let len = size_of::<R>() as u64;
    let addr = core.alloc(len, align_of::<R>() as u64, Contents::Whole)?;
    // SAFETY: a fresh block of the right size and alignment, known to nobody else.
    unsafe { with_exposed_provenance_mut::<R::At<'_>>(addr as usize).write(value) };
    let image = &core.pool().image;
    core.log(image.base() + ROOT_ADDR, 16);
    image.store_u64(ROOT_ADDR, addr);
    image.store_u64(ROOT_LEN, len);
    Ok(())
}

/// Re-brands a root value that was made outside any transaction, and so holds no pointer.
pub(super) fn rebrand<'p, R: Persistent>(value: R) -> R::At<'p> {
    let value = std::mem::ManuallyDrop::new(value);
    // SAFETY: `R` and `R::At` have the same layout and valid bytes (contract 1 of `Persistent`); the original is
    // forgotten, so the value is moved.
    unsafe { std::ptr::from_ref(&value).cast::<R::At<'p>>().read() }
}
