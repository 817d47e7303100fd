//! The third door to a pool's root: [`Pool::share`], for many at once.
//!
//! The root comes as `&`, so everything that is reachable without a lock is as it was when the first of the sharers came
//! in: nothing changes it before the last has left. What may change is behind locks (L1). Threads have the root at the
//! same time, hence the bound on its type.

use std::ptr::with_exposed_provenance;
use std::rc::Rc;

use super::ReadGuard;
use crate::ground::error::{Error, Result};
use crate::layout::Persistent;
use crate::pool::Pool;
use crate::tx::{Committed, Tx, share};

impl<R: Persistent> Pool<R> {
    /// Runs `body` as a transaction beside other `share`s, on this thread. It sees the root as `&`, and changes what it
    /// holds a lock of: [`PMutex`](crate::PMutex), [`PRwLock`](crate::PRwLock), [`PAtomic`](crate::PAtomic), and collections
    /// made for it. `Ok` commits, `Err` or a panic rolls back. [`write`](Self::write)s and read guards wait until those
    /// who share have left, and are not kept waiting by new ones.
    ///
    /// Transactions that would wait for each other's locks for ever do not: one of them gets [`Error::Deadlock`] from the
    /// lock, and whatever `body` answers then, it is rolled back and **run again**, up to 100 times. So what `body` does
    /// outside the pool it may do more than once; see [`on_commit`](Tx::on_commit). A hook of
    /// [`on_abort`](Tx::on_abort) runs for each time that is rolled back.
    ///
    /// Cost: as [`write`](Self::write), without remembering the root, and with the locks. On persistent memory records are
    /// made and written at the same time, so transactions on different locks scale. Where the image is the pool's own
    /// bytes ([`ImageMode::InPlace`](crate::media::ImageMode::InPlace)) one runs after the other.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); [`Error::Deadlock`] if the transaction was in others' way each time.
    pub fn share<T>(&self, body: impl for<'p> FnMut(&R::At<'p>, &Tx<'p>) -> Result<T>) -> Result<T>
    where
        for<'p> R::At<'p>: Sync,
    {
        self.try_share(body)
    }

    /// [`share`](Self::share) for closures with an error type of their own.
    ///
    /// # Errors
    ///
    /// As [`share`](Self::share).
    pub fn try_share<T, E: From<Error>>(
        &self,
        body: impl for<'p> FnMut(&R::At<'p>, &Tx<'p>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        for<'p> R::At<'p>: Sync,
    {
        self.share_root(body).map(|committed| committed.value)
    }

    /// As [`share`](Self::share), and gives the transaction's id as well; see [`write_with_id`](Self::write_with_id).
    ///
    /// # Errors
    ///
    /// As [`share`](Self::share).
    pub fn share_with_id<T>(
        &self,
        body: impl for<'p> FnMut(&R::At<'p>, &Tx<'p>) -> Result<T>,
    ) -> Result<Committed<T>>
    where
        for<'p> R::At<'p>: Sync,
    {
        self.share_root(body)
    }

    /// As [`try_share`](Self::try_share), for what is short: alone if nobody else is there.
    #[inline]
    pub(crate) fn share_briefly<T, E: From<Error>>(
        &self,
        mut body: impl for<'p> FnMut(&R::At<'p>, &Tx<'p>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        for<'p> R::At<'p>: Sync,
    {
        share::run_lone(&self.core, |core| {
            let addr = core.pool().root_addr();
            let tx = Tx::new(Rc::clone(core));
            // SAFETY: as in `share_root`; a transaction that has the pool alone has it beside nobody (T3).
            let root = unsafe { &*with_exposed_provenance::<R::At<'_>>(addr as usize) };
            body(root, &tx)
        })
        .map(|committed| committed.value)
    }

    /// A read guard, if nobody has to be waited for and this thread has none.
    #[inline]
    pub(crate) fn read_if_free(&self) -> Result<Option<ReadGuard<'_, R>>> {
        let guard = ReadGuard::new_if_free(&self.core)?;
        if guard.is_none() {
            share::look_for_others(&self.core);
        }
        Ok(guard)
    }

    fn share_root<T, E: From<Error>>(
        &self,
        mut body: impl for<'p> FnMut(&R::At<'p>, &Tx<'p>) -> Result<T, E>,
    ) -> Result<Committed<T>, E>
    where
        for<'p> R::At<'p>: Sync,
    {
        share::run_shared(&self.core, |core| {
            let addr = core.pool().root_addr();
            let tx = Tx::new(Rc::clone(core));
            // SAFETY: T1, T2 as for reading. The gate keeps out who has the root for changing (T3), and the root is `Sync`.
            let root = unsafe { &*with_exposed_provenance::<R::At<'_>>(addr as usize) };
            body(root, &tx)
        })
    }
}
