//! [`PAtomic`]: one small value that transactions which run at once read and change without guards.
//!
//! A plain atomic would not do: a transaction that rolls back would take back what others have added since. So a change
//! holds the value's lock to the end of its transaction, and so does a look, beside other looks; what is atomic is each
//! operation within its transaction.

use std::fmt;

use super::{PRwLock, ReadGuard};
use crate::ground::error::Result;
use crate::layout::persistent::Member;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::Tx;

/// A value that transactions which run at once change by single operations: `AtomicU64` and its kin for persistent data.
///
/// In words of eight bytes of its own. Every operation takes a lock that lasts to the end of the transaction, as with
/// [`PRwLock`]: looks go together, changes one after another. A counter that every transaction changes thus makes
/// them run one after another; where that hurts, keep several counters and add them up.
///
/// ```
/// # use pobj::{PAtomicU64, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Site<'p> {
///     hits: PAtomicU64<'p>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Site>::create(dir.path().join("site.pobj"))?;
/// let before = pool.share(|site, tx| site.hits.fetch_add(3, tx))?;
/// let site = pool.read();
/// assert_eq!((before, site.hits.get(&site)), (0, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
#[derive(Default)]
pub struct PAtomic<'p, T> {
    value: PRwLock<'p, T>,
}

// SAFETY: transparent over a lock, which describes and checks itself; the same at every lifetime.
unsafe impl<'p, T: Persistent> Persistent for PAtomic<'p, T> {
    type At<'q> = PAtomic<'q, T::At<'q>>;
    const PLAIN: bool = T::PLAIN;
    const MEMBERS: &'static [Member] = &[Member::of::<T>("value", 0)];

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.structure::<Self>("PAtomic", Self::MEMBERS, |arguments| {
            arguments.of_type::<T>();
        })
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        PRwLock::<'p, T>::validate(view, visit)
    }
}

impl<'p, T: Copy> PAtomic<'p, T> {
    /// A cell with this value.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { value: PRwLock::new(value) }
    }

    /// The value, for changing, without a lock: nobody else can have one.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value beside a read guard.
    ///
    /// # Panics
    ///
    /// If `guard` is of another pool.
    #[must_use]
    pub fn get<R: Persistent>(&self, guard: &ReadGuard<'p, R>) -> T {
        *self.value.get(guard)
    }

    /// The value. No other transaction changes it before this one has ended.
    ///
    /// # Errors
    ///
    /// [`Deadlock`](crate::Error::Deadlock) if the transaction must begin again: pass it on. So for every method.
    pub fn load(&self, tx: &Tx<'p>) -> Result<T> {
        Ok(*self.value.read(tx)?)
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn store(&self, value: T, tx: &Tx<'p>) -> Result<()> {
        self.swap(value, tx).map(drop)
    }

    /// Sets the value and gives the one before.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn swap(&self, value: T, tx: &Tx<'p>) -> Result<T> {
        Ok(std::mem::replace(&mut *self.value.write(tx)?, value))
    }

    /// Sets the value to what `change` makes of it, and gives the one before.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn fetch_update(&self, tx: &Tx<'p>, change: impl FnOnce(T) -> T) -> Result<T> {
        let mut value = self.value.write(tx)?;
        let new = change(*value);
        Ok(std::mem::replace(&mut *value, new))
    }

    /// Sets the value to `new` if it is `current`. Gives the value before: `Ok` of it if it was `current`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn compare_exchange(&self, current: T, new: T, tx: &Tx<'p>) -> Result<std::result::Result<T, T>>
    where
        T: PartialEq,
    {
        let mut value = self.value.write(tx)?;
        if *value != current {
            return Ok(Err(*value));
        }
        Ok(Ok(std::mem::replace(&mut *value, new)))
    }
}

impl<T> fmt::Debug for PAtomic<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PAtomic").finish_non_exhaustive()
    }
}

/// Operations of integers, which wrap around as those of `std` do.
macro_rules! integers {
    ($($ty:ty => $name:ident),* $(,)?) => {$(
        #[doc = concat!("A [`PAtomic`] of `", stringify!($ty), "`.")]
        pub type $name<'p> = PAtomic<'p, $ty>;

        impl<'p> PAtomic<'p, $ty> {
            /// Adds, around the end of the numbers, and gives the value before.
            ///
            /// # Errors
            ///
            /// As [`load`](Self::load).
            pub fn fetch_add(&self, more: $ty, tx: &Tx<'p>) -> Result<$ty> {
                self.fetch_update(tx, |value| value.wrapping_add(more))
            }

            /// Subtracts, around the end of the numbers, and gives the value before.
            ///
            /// # Errors
            ///
            /// As [`load`](Self::load).
            pub fn fetch_sub(&self, less: $ty, tx: &Tx<'p>) -> Result<$ty> {
                self.fetch_update(tx, |value| value.wrapping_sub(less))
            }

            /// Sets the value to the larger of the two, and gives the value before.
            ///
            /// # Errors
            ///
            /// As [`load`](Self::load).
            pub fn fetch_max(&self, other: $ty, tx: &Tx<'p>) -> Result<$ty> {
                self.fetch_update(tx, |value| value.max(other))
            }

            /// Sets the value to the smaller of the two, and gives the value before.
            ///
            /// # Errors
            ///
            /// As [`load`](Self::load).
            pub fn fetch_min(&self, other: $ty, tx: &Tx<'p>) -> Result<$ty> {
                self.fetch_update(tx, |value| value.min(other))
            }
        }
    )*};
}

integers! {
    u8 => PAtomicU8, u16 => PAtomicU16, u32 => PAtomicU32, u64 => PAtomicU64,
    i8 => PAtomicI8, i16 => PAtomicI16, i32 => PAtomicI32, i64 => PAtomicI64,
}

/// A [`PAtomic`] of `bool`.
pub type PAtomicBool<'p> = PAtomic<'p, bool>;
