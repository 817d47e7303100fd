//! [`Companion`]: what a program keeps in ordinary memory beside a pool's data, made once each time the pool is open.

use std::fmt;

use super::ReadGuard;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::pool::{Companions, Pool, ReadOnlyPool};

/// A value in ordinary memory that belongs to an open pool: a cache, an index that is cheaper to rebuild than to store, a
/// lock, a connection.
///
/// The pool makes it when it is first asked for ([`Pool::companion`]), once, whichever thread asks first, and drops it
/// when it is closed. So nothing of it outlives the run, and nothing of it can be stale at the next open. It is shared by
/// all threads; what changes in it goes into a lock or an atomic.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// # use pobj::{Companion, PVec, Persistent, Pool};
///
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     scores: PVec<'p, u64>,
/// }
///
/// /// Where each score stands.
/// struct Places(Mutex<HashMap<u64, usize>>);
///
/// impl Companion<App<'static>> for Places {
///     fn build(app: &App<'_>) -> Self {
///         Self(Mutex::new(app.scores.iter().copied().zip(0..).collect()))
///     }
/// }
///
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| app.scores.extend(tx, [30, 10, 20]))?;
/// assert_eq!(pool.companion::<Places>().0.lock().unwrap().get(&20), Some(&2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Companion<R: Persistent>: Send + Sync + Sized + 'static {
    /// Makes the companion of a pool whose root is `root`. No transaction changes the pool meanwhile.
    fn build(root: &R::At<'_>) -> Self;
}

/// The companion, made under a read guard if it is not there.
///
/// The guard is taken first: who waits for another thread's `build` then cannot be what that thread waits for.
fn companion<'a, R: Persistent, C: Companion<R>>(
    companions: &'a Companions,
    guard: impl FnOnce() -> Result<ReadGuard<'a, R>>,
) -> Result<&'a C> {
    if let Some(companion) = companions.get() {
        return Ok(companion);
    }
    let root = guard()?;
    match companions.get_or_build(|| C::build(&root)) {
        Some(companion) => Ok(companion),
        None => unreachable!("a companion of another type"),
    }
}

#[cold]
fn fail(error: impl fmt::Display) -> ! {
    panic!("companion: {error}")
}

impl<R: Persistent> Pool<R> {
    /// The pool's companion of type `C`; made now if nobody has asked for it since the pool was opened. Others who ask
    /// meanwhile wait, and get the same.
    ///
    /// Cost once it is made: a few loads. If `build` panics, the panic continues here, and the next who asks builds.
    ///
    /// # Panics
    ///
    /// Where [`try_companion`](Self::try_companion) gives an error.
    pub fn companion<C: Companion<R>>(&self) -> &C {
        self.try_companion().unwrap_or_else(|error| fail(error))
    }

    /// As [`companion`](Self::companion).
    ///
    /// # Errors
    ///
    /// [`Error::Nested`](crate::Error::Nested) inside a transaction on this pool, if the companion is not there yet: it must not be made of what
    /// may be rolled back. Ask for it once before. [`Error::Forked`](crate::Error::Forked) in the child of a fork.
    pub fn try_companion<C: Companion<R>>(&self) -> Result<&C> {
        companion(&self.companions, || self.try_read())
    }
}

impl<R: Persistent> ReadOnlyPool<R> {
    /// As [`Pool::companion`].
    ///
    /// # Panics
    ///
    /// In the child of a fork.
    pub fn companion<C: Companion<R>>(&self) -> &C {
        self.try_companion().unwrap_or_else(|error| fail(error))
    }

    /// As [`Pool::try_companion`].
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked) in the child of a fork.
    pub fn try_companion<C: Companion<R>>(&self) -> Result<&C> {
        companion(&self.companions, || self.try_read())
    }
}
