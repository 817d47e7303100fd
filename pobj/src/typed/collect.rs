//! [`Pool::collect`]: freeing what nothing reaches.

use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::pool::Pool;
use crate::tx::{Collected, commit};

impl<R: Persistent> Pool<R> {
    /// Frees every block that nothing reaches from the root: what `mem::forget` left behind, and cycles of
    /// [`PRc`](crate::PRc) that nobody holds any more. Counts of shared values that are too high are corrected.
    ///
    /// A value to which only weak pointers lead dies; its weak pointers find nothing from then on. What a
    /// [`PPtr`](crate::PPtr) leads to is kept, with all that hangs on it.
    ///
    /// Runs alone, as one transaction: after a crash all of it has happened, or nothing. Cost: a walk over everything
    /// reachable, as validation at open, with as many threads; 8 bytes of memory for each block that is freed, 24 for each
    /// pointer to a shared value.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write) before its closure runs; [`Error::Corrupt`](crate::Error::Corrupt) if the pool
    /// contradicts itself, or a `PPtr` leads to a block that nothing owns and that holds no value of its type. Then nothing
    /// is freed.
    ///
    /// ```
    /// # use pobj::{PBox, Persistent, Pool};
    /// #[derive(Persistent, Default)]
    /// #[repr(C)]
    /// struct App<'p> {
    ///     head: Option<PBox<'p, u64>>,
    /// }
    /// # let dir = tempfile::tempdir()?;
    /// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
    /// pool.write(|_, tx| {
    ///     std::mem::forget(PBox::new(tx, 7)?);
    ///     Ok(())
    /// })?;
    /// assert_eq!(pool.collect()?.blocks, 1);
    /// assert_eq!(pool.collect()?.blocks, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn collect(&self) -> Result<Collected> {
        commit::run(&self.core, |tx| tx.collect::<R>()).map(|committed| committed.value)
    }
}
