//! [`PRwLock`]: a value that many transactions read at once and one changes. Sound by L1 to L4 (see [`lock`](super::lock)).

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::ReadGuard;
use super::lock::{Borrow, Locked, patience, persistent_lock};
use super::lock_box::LockPlace;
use crate::ground::error::Result;
use crate::layout::persistent::Member;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::pool::locks::{Claim, Patience};
use crate::tx::Tx;

/// A value that transactions which run at once read together and change one after another: `RwLock` for persistent data.
///
/// As large as its value, in whole words of eight bytes. As with [`PMutex`](crate::PMutex) the lock is held to the end of
/// the transaction. A transaction that has read may go on to write; it then waits until it is the only reader. Where two
/// do that at once, one is rolled back and runs again: who knows that it will write had better ask for that first.
///
/// ```
/// # use pobj::{PRwLock, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Shop<'p> {
///     price: PRwLock<'p, u64>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Shop>::create(dir.path().join("shop.pobj"))?;
/// pool.share(|shop, tx| {
///     if *shop.price.read(tx)? == 0 {
///         *shop.price.write(tx)? = 12;
///     }
///     Ok(())
/// })?;
/// let shop = pool.read();
/// assert_eq!(*shop.price.get(&shop), 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PRwLock<'p, T> {
    locked: Locked<'p, T>,
}

// SAFETY: L1, L4; what readers have at once is `&T`, which `Sync` allows.
unsafe impl<T: Persistent + Sync> Sync for PRwLock<'_, T> {}

persistent_lock!(PRwLock);

impl<'p, T> PRwLock<'p, T> {
    /// A lock with this value.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { locked: Locked::new(value) }
    }

    /// The value, for changing, without a lock: nobody else can have one.
    pub fn get_mut(&mut self) -> &mut T {
        self.locked.get_mut()
    }

    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.locked.into_inner()
    }

    /// The value beside a read guard, which keeps everybody away who could change it.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool.
    #[must_use]
    pub fn get<'a, R: Persistent>(&'a self, guard: &'a ReadGuard<'p, R>) -> &'a T {
        self.locked.get(guard)
    }

    /// Takes the lock for reading, to the end of the transaction. Waits for another transaction that changes the value, and
    /// for those that wait for it already.
    ///
    /// # Errors
    ///
    /// [`AlreadyBorrowed`](crate::Error::AlreadyBorrowed) while this transaction has a guard for changing;
    /// [`Deadlock`](crate::Error::Deadlock) if the transaction must begin again: pass it on.
    pub fn read<'a>(&'a self, tx: &'a Tx<'p>) -> Result<PRwLockReadGuard<'a, 'p, T>> {
        loop {
            if let Some(borrow) = self.locked.borrow(tx, Claim::Shared, Patience::Endless)? {
                return Ok(PRwLockReadGuard { borrow });
            }
        }
    }

    /// Takes the lock for changing the value, to the end of the transaction. Waits for all others that hold it.
    ///
    /// # Errors
    ///
    /// [`AlreadyBorrowed`](crate::Error::AlreadyBorrowed) while this transaction has another guard;
    /// [`Deadlock`](crate::Error::Deadlock) if the transaction must begin again: pass it on.
    pub fn write<'a>(&'a self, tx: &'a Tx<'p>) -> Result<PRwLockWriteGuard<'a, 'p, T>> {
        loop {
            if let Some(borrow) = self.locked.borrow(tx, Claim::Exclusive, Patience::Endless)? {
                return Ok(PRwLockWriteGuard { borrow });
            }
        }
    }

    /// Shows the value to `look` under a shared lock that is given back with the end of the look (L5): for what leads to
    /// other locks. Whatever matters later must be under one of those. `None` if it would have to wait and may not.
    pub(crate) fn peek<R>(&self, tx: &Tx<'p>, waits: bool, look: impl FnOnce(&T) -> R) -> Result<Option<R>> {
        self.locked.peek(tx, if waits { Patience::Endless } else { Patience::None }, look)
    }

    /// The place that the lock is known by.
    pub(crate) fn place(&self) -> LockPlace {
        LockPlace { addr: self.locked.addr() }
    }

    /// As [`read`](Self::read), if it need not wait; `None` otherwise.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn try_read<'a>(&'a self, tx: &'a Tx<'p>) -> Result<Option<PRwLockReadGuard<'a, 'p, T>>> {
        let borrow = self.locked.borrow(tx, Claim::Shared, Patience::None)?;
        Ok(borrow.map(|borrow| PRwLockReadGuard { borrow }))
    }

    /// As [`write`](Self::write), if it need not wait; `None` otherwise.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn try_write<'a>(&'a self, tx: &'a Tx<'p>) -> Result<Option<PRwLockWriteGuard<'a, 'p, T>>> {
        let borrow = self.locked.borrow(tx, Claim::Exclusive, Patience::None)?;
        Ok(borrow.map(|borrow| PRwLockWriteGuard { borrow }))
    }

    /// As [`read`](Self::read), if the lock is there within `wait`; `None` otherwise.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_timeout<'a>(
        &'a self,
        tx: &'a Tx<'p>,
        wait: Duration,
    ) -> Result<Option<PRwLockReadGuard<'a, 'p, T>>> {
        let borrow = self.locked.borrow(tx, Claim::Shared, patience(wait))?;
        Ok(borrow.map(|borrow| PRwLockReadGuard { borrow }))
    }

    /// As [`write`](Self::write), if the lock is there within `wait`; `None` otherwise.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_timeout<'a>(
        &'a self,
        tx: &'a Tx<'p>,
        wait: Duration,
    ) -> Result<Option<PRwLockWriteGuard<'a, 'p, T>>> {
        let borrow = self.locked.borrow(tx, Claim::Exclusive, patience(wait))?;
        Ok(borrow.map(|borrow| PRwLockWriteGuard { borrow }))
    }
}

impl<T: Default> Default for PRwLock<'_, T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for PRwLock<'_, T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> fmt::Debug for PRwLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PRwLock").finish_non_exhaustive()
    }
}

/// The value of a [`PRwLock`] while this transaction reads it.
#[must_use = "the lock is held to the end of the transaction, but only the guard gives the value"]
pub struct PRwLockReadGuard<'a, 'p, T> {
    borrow: Borrow<'a, 'p, T>,
}

impl<T> Deref for PRwLockReadGuard<'_, '_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.borrow.value()
    }
}

impl<T: fmt::Debug> fmt::Debug for PRwLockReadGuard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The value of a [`PRwLock`] while this transaction may change it. Borrowing it for changing remembers its bytes first.
#[must_use = "the lock is held to the end of the transaction, but only the guard gives the value"]
pub struct PRwLockWriteGuard<'a, 'p, T> {
    borrow: Borrow<'a, 'p, T>,
}

impl<T> Deref for PRwLockWriteGuard<'_, '_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.borrow.value()
    }
}

impl<T> DerefMut for PRwLockWriteGuard<'_, '_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.borrow.value_mut()
    }
}

impl<T: fmt::Debug> fmt::Debug for PRwLockWriteGuard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
