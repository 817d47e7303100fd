//! [`PMutex`]: a value that transactions which run at once change one after another.
//!
//! What makes the locks of this floor sound:
//!
//! - **L1** A reference to the value is given out only to (a) a transaction that holds its lock in the pool's table, or
//!   that has the pool alone, and whose guards exclude each other by the transaction's own list of borrows; (b) the
//!   holder of a read guard of the same pool, beside which nobody writes or shares; (c) the holder of the only
//!   reference to the lock itself. A lock outside the pool's image (a local variable) can be reached by one transaction
//!   only, since no two have the same `'p`, so its borrows are enough.
//! - **L2** A value begins at a multiple of 8 bytes and shares none of its words with anything else (`repr(C, align(8))`):
//!   remembering, recording and restoring work in whole words, and must not touch what another transaction may change.
//! - **L3** A lock is kept to the end of its transaction: after the old words are back or the record is ordered. So nobody
//!   sees what may be taken back, and who sees what was written comes later in the journal.
//! - **L4** Sharing a lock between threads needs values that are `Sync`, and not that they are `Send`. Owners of pool
//!   memory are not `Send` for one reason (I4): to drop one records a free in the transaction of the running thread. A
//!   guard gives its value to a transaction of this very pool on this very thread, so that is as it should be,
//!   whichever thread made the value. Types that two transactions must not use even one after the other (shared counts,
//!   cells) are not `Sync`.
//! - **L5** Under a lock that is given back before the transaction ends nothing was changed, and no reference is left: it
//!   served a look at what was committed ([`PRwLock::peek`](super::PRwLock)), or only to wait. So L1 and L3 are not touched.
//!
//! The lock itself is nowhere in the pool: its state is in the pool's table in ordinary memory, by the address of the
//! value, as long as somebody holds it. So there is nothing to repair after a crash.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use super::ReadGuard;
use crate::ground::error::Result;
use crate::layout::persistent::Member;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::pool::locks::{Claim, Patience};
use crate::tx::{Brand, Tx};

/// A value and the place that its lock is known by: what [`PMutex`] and [`PRwLock`](super::PRwLock) are made of.
#[repr(C, align(8))]
pub(super) struct Locked<'p, T> {
    value: UnsafeCell<T>,
    brand: Brand<'p>,
}

impl<'p, T> Locked<'p, T> {
    /// Without bytes there is no address of one's own, and so no lock.
    const HAS_BYTES: () = assert!(size_of::<T>() > 0, "a lock protects a value that has bytes");

    pub(super) const fn new(value: T) -> Self {
        const { Self::HAS_BYTES };
        Self { value: UnsafeCell::new(value), brand: PhantomData }
    }

    pub(super) fn addr(&self) -> u64 {
        self.value.get().addr() as u64
    }

    /// Shows the value to `look` under a shared lock that ends with the look, unless it was held before. `None` where patience
    /// ends before it is free.
    pub(super) fn peek<R>(
        &self,
        tx: &Tx<'p>,
        patience: Patience,
        look: impl FnOnce(&T) -> R,
    ) -> Result<Option<R>> {
        /// Ends the look also where it panics.
        struct Look<'a, 'p>(&'a Tx<'p>, u64);
        impl Drop for Look<'_, '_> {
            fn drop(&mut self) {
                self.0.core.end_look(self.1);
            }
        }
        const { Self::HAS_BYTES };
        if !tx.core.begin_look(self.addr(), patience)? {
            return Ok(None);
        }
        let _look = Look(tx, self.addr());
        // SAFETY: L1 (a), as long as the look lasts, and nothing that it gives borrows from the value (L5).
        Ok(Some(look(unsafe { &*self.value.get() })))
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// The value beside a read guard.
    pub(super) fn get<'a, R: Persistent>(&'a self, guard: &'a ReadGuard<'p, R>) -> &'a T {
        assert!(
            guard.covers(self.addr()),
            "a lock can be read under a read guard of its own pool; this guard is of another one"
        );
        // SAFETY: L1 (b): the guard is of this pool.
        unsafe { &*self.value.get() }
    }

    /// Takes the lock. `None` where patience ends before it is free.
    pub(super) fn borrow<'a>(
        &'a self,
        tx: &'a Tx<'p>,
        claim: Claim,
        patience: Patience,
    ) -> Result<Option<Borrow<'a, 'p, T>>> {
        const { Self::HAS_BYTES };
        let granted = tx.core.borrow(self.addr(), claim, patience)?;
        // One that was not granted must not be made: its end would give back what nobody has borrowed.
        Ok(granted.then(|| Borrow { locked: self, tx, claim, logged: false }))
    }
}

/// How long `wait` from now is, for a lock.
pub(super) fn patience(wait: Duration) -> Patience {
    // A wait beyond what the clock can count has no end.
    Instant::now().checked_add(wait).map_or(Patience::Endless, Patience::Until)
}

/// A borrow of a locked value. Ends when it is dropped; the lock stays.
pub(super) struct Borrow<'a, 'p, T> {
    locked: &'a Locked<'p, T>,
    tx: &'a Tx<'p>,
    claim: Claim,
    logged: bool,
}

impl<T> Borrow<'_, '_, T> {
    #[inline]
    pub(super) fn value(&self) -> &T {
        // SAFETY: L1 (a), for the kind of borrow that this is: it changes the value through `&mut self` only.
        unsafe { &*self.locked.value.get() }
    }

    /// The value for changing. Of an exclusive borrow only, which its callers see to.
    #[inline]
    pub(super) fn value_mut(&mut self) -> &mut T {
        debug_assert!(self.claim == Claim::Exclusive, "a shared borrow changes nothing");
        if !self.logged {
            self.tx.core.log_if_inside(self.locked.addr(), size_of::<T>() as u64);
            self.logged = true;
        }
        // SAFETY: L1 (a): exclusive, by the callers; all bytes logged if they are in the pool (I1).
        unsafe { &mut *self.locked.value.get() }
    }
}

impl<T> Drop for Borrow<'_, '_, T> {
    fn drop(&mut self) {
        self.tx.core.give_back(self.locked.addr(), self.claim);
    }
}

/// Describes and checks a lock named `$name` with the parts of its one value.
macro_rules! persistent_lock {
    ($name:ident) => {
        // SAFETY: the value and nothing else, in 8-byte words of its own (L2); the same at every lifetime. It is changed
        // through the transaction (L1). The brand has no bytes.
        unsafe impl<'p, T: Persistent> Persistent for $name<'p, T> {
            type At<'q> = $name<'q, T::At<'q>>;
            const PLAIN: bool = T::PLAIN;
            const MEMBERS: &'static [Member] = &[Member::of::<T>("value", 0)];

            fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
                schema.structure::<Self>(stringify!($name), Self::MEMBERS, |arguments| {
                    arguments.of_type::<T>();
                })
            }

            #[inline]
            fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
                T::validate(view.field(0, size_of::<T>() as u64)?, visit)
            }
        }

        static_assertions::assert_eq_size!($name<'static, u8>, u64);
        static_assertions::assert_eq_align!($name<'static, u8>, u64);
    };
}

pub(super) use persistent_lock;

/// A value that transactions which run at once take turns with: `Mutex` for persistent data.
///
/// As large as its value, in whole words of eight bytes. The lock is held to the end of the transaction, whatever became
/// of the guard, so that nobody sees what may still be rolled back. Where the transaction has the pool alone
/// ([`write`](crate::Pool::write)) there is nothing to wait for.
///
/// Cost of a free lock: some tens of nanoseconds to take and to give back, no ordering point. A transaction that would
/// wait for itself through others gets [`Error::Deadlock`](crate::Error::Deadlock), is rolled back, and runs again.
///
/// ```
/// # use pobj::{PMutex, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Bank<'p> {
///     accounts: [PMutex<'p, i64>; 2],
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Bank>::create(dir.path().join("bank.pobj"))?;
/// std::thread::scope(|scope| {
///     for (from, to) in [(0, 1), (1, 0)] {
///         let pool = &pool;
///         scope.spawn(move || {
///             pool.share(|bank, tx| {
///                 *bank.accounts[from].lock(tx)? -= 10;
///                 *bank.accounts[to].lock(tx)? += 10;
///                 Ok(())
///             })
///         });
///     }
/// });
/// let bank = pool.read();
/// assert_eq!(bank.accounts.each_ref().map(|account| *account.get(&bank)), [0, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct PMutex<'p, T> {
    locked: Locked<'p, T>,
}

// SAFETY: L1, L4.
unsafe impl<T: Persistent + Sync> Sync for PMutex<'_, T> {}

persistent_lock!(PMutex);

impl<'p, T> PMutex<'p, T> {
    /// A mutex with this value.
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

    /// Takes the lock, to the end of the transaction. Waits for other transactions that hold it, in the order of arrival.
    ///
    /// # Errors
    ///
    /// [`AlreadyBorrowed`](crate::Error::AlreadyBorrowed) while an earlier guard of this transaction is there;
    /// [`Deadlock`](crate::Error::Deadlock) if the transaction must begin again: pass it on.
    pub fn lock<'a>(&'a self, tx: &'a Tx<'p>) -> Result<PMutexGuard<'a, 'p, T>> {
        loop {
            if let Some(borrow) = self.locked.borrow(tx, Claim::Exclusive, Patience::Endless)? {
                return Ok(PMutexGuard { borrow });
            }
        }
    }

    /// Takes the lock if no other transaction holds it; `None` otherwise.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock<'a>(&'a self, tx: &'a Tx<'p>) -> Result<Option<PMutexGuard<'a, 'p, T>>> {
        let borrow = self.locked.borrow(tx, Claim::Exclusive, Patience::None)?;
        Ok(borrow.map(|borrow| PMutexGuard { borrow }))
    }

    /// Takes the lock if it comes free within `wait`; `None` otherwise.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout<'a>(
        &'a self,
        tx: &'a Tx<'p>,
        wait: Duration,
    ) -> Result<Option<PMutexGuard<'a, 'p, T>>> {
        let borrow = self.locked.borrow(tx, Claim::Exclusive, patience(wait))?;
        Ok(borrow.map(|borrow| PMutexGuard { borrow }))
    }
}

impl<T: Default> Default for PMutex<'_, T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for PMutex<'_, T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> fmt::Debug for PMutex<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PMutex").finish_non_exhaustive()
    }
}

/// The value of a [`PMutex`] while this transaction has borrowed it. Borrowing it for changing remembers its bytes first.
#[must_use = "the lock is held to the end of the transaction, but only the guard gives the value"]
pub struct PMutexGuard<'a, 'p, T> {
    borrow: Borrow<'a, 'p, T>,
}

impl<T> Deref for PMutexGuard<'_, '_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.borrow.value()
    }
}

impl<T> DerefMut for PMutexGuard<'_, '_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.borrow.value_mut()
    }
}

impl<T: fmt::Debug> fmt::Debug for PMutexGuard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
