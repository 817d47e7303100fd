//! What is behind [`PRc`](super::PRc) and [`PArc`](super::PArc): a block with two counts and a value.
//!
//! The counts change at once, as logged words, so rolling back restores them; what a count of 0 leads to waits for
//! the commit, as every drop does (I2). All strong pointers together hold one weak count, so the block is free
//! when the weak count is 0, whichever pointer goes last.
//!
//! - **S4** A [`Shared`] belongs to a pointer that one of the counts counts. So the block is allocated, and while the
//!   strong count is not 0 it holds a live value.
//! - **S5** Nobody has a reference to the counts: they are read and written through raw pointers, by the one
//!   thread that may (`PRc`), or under the block's lock (`PArc`).

use std::marker::PhantomData;
use std::mem::offset_of;
use std::num::NonZeroU64;
use std::ptr::with_exposed_provenance_mut;

use crate::ground::error::Result;
use crate::layout::shared::{COUNT_MAX, COUNTS_LEN, SharedBlock};
use crate::tx::{Contents, Fate, TxCore, running};

/// The address of a shared block. Copying it counts nothing.
#[repr(transparent)]
pub(super) struct Shared<T> {
    addr: NonZeroU64,
    /// Says nothing of threads: each kind of pointer does.
    target: PhantomData<fn() -> T>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr
    }
}

impl<T> Shared<T> {
    /// A block without a value, which one weak pointer counts twice: for itself, and for the strong ones to come.
    pub(super) fn reserve(tx: &TxCore) -> Result<Self> {
        let (len, align) = (size_of::<SharedBlock<T>>() as u64, align_of::<SharedBlock<T>>() as u64);
        let addr = tx.alloc(len, align, Contents::Whole)?;
        // SAFETY: `alloc` never gives address 0.
        let addr = unsafe { NonZeroU64::new_unchecked(addr) };
        let shared = Self { addr, target: PhantomData };
        shared.set(tx, 0, 1);
        Ok(shared)
    }

    /// Puts the value into a block that has none. The weak pointer that came with the block is from now on the strong
    /// ones'.
    pub(super) fn fill(self, tx: &TxCore, value: T) {
        // SAFETY: reserved for a `T` and aligned; nobody reads a value while the strong count is 0. The block is of this
        // transaction, so it is in the record whole (I1).
        unsafe { self.value().write(value) };
        self.set(tx, 1, self.weak());
    }

    pub(super) fn addr(self) -> u64 {
        self.addr.get()
    }

    #[inline(always)]
    pub(super) fn value(self) -> *mut T {
        with_exposed_provenance_mut((self.addr.get() + offset_of!(SharedBlock<T>, value) as u64) as usize)
    }

    fn strong_word(self) -> *mut u64 {
        with_exposed_provenance_mut(self.addr.get() as usize)
    }

    fn weak_word(self) -> *mut u64 {
        with_exposed_provenance_mut(self.addr.get() as usize + 8)
    }

    pub(super) fn strong(self) -> u64 {
        // SAFETY: S4, S5; T2.
        unsafe { self.strong_word().read() }
    }

    pub(super) fn weak(self) -> u64 {
        // SAFETY: S4, S5; T2.
        unsafe { self.weak_word().read() }
    }

    /// Weak pointers, without the one of the strong ones; 0 when there are no strong ones, as in `std`.
    pub(super) fn weak_pointers(self) -> u64 {
        if self.strong() == 0 { 0 } else { self.weak() - 1 }
    }

    fn set(self, tx: &TxCore, strong: u64, weak: u64) {
        // A pointer of another pool stops here, before anything is counted.
        assert!(tx.has(self.addr()), "a shared block is in a pool");
        tx.log(self.addr(), COUNTS_LEN);
        // SAFETY: S4, S5; T2; logged just now.
        unsafe { self.strong_word().write(strong) };
        // SAFETY: likewise.
        unsafe { self.weak_word().write(weak) };
    }

    /// Counts one more strong pointer. A count that a damaged file brought to its largest value stays there (S3).
    pub(super) fn add_strong(self, tx: &TxCore) {
        self.set(tx, (self.strong() + 1).min(COUNT_MAX), self.weak());
    }

    /// Counts one more weak pointer; as above.
    pub(super) fn add_weak(self, tx: &TxCore) {
        self.set(tx, self.strong(), (self.weak() + 1).min(COUNT_MAX));
    }

    /// Counts one more strong pointer, if the value is alive.
    pub(super) fn try_add_strong(self, tx: &TxCore) -> bool {
        let alive = self.strong() != 0;
        if alive {
            self.add_strong(tx);
        }
        alive
    }

    /// True if one pointer is all that leads here.
    pub(super) fn is_unique(self) -> bool {
        self.strong() == 1 && self.weak() == 1
    }

    /// Moves the value out from under its only strong pointer, which the caller forgets.
    pub(super) fn take(self, tx: &TxCore) -> T {
        // SAFETY: S4, T2; the only strong pointer is given up, so the value is moved once (I2). The block's bytes stay
        // until commit.
        let value = unsafe { self.value().read() };
        if self.weak() == 1 {
            tx.free(self.addr());
        } else {
            self.set(tx, 0, self.weak() - 1);
        }
        value
    }

    /// One strong pointer less, at once. The last one's value and block wait for the commit.
    pub(super) fn drop_strong(self) {
        running::with_tx(self.addr(), |tx| match (self.strong(), self.weak()) {
            // Nobody is left who could look at the counts, so a chain of a million values logs nothing.
            (1, 1) => tx.defer_drop(self.addr(), 1, Some(bury::<T>)),
            (1, weak) => {
                self.set(tx, 0, weak);
                tx.defer_drop(self.addr(), 1, Some(bury::<T>));
            }
            (strong, weak) => self.set(tx, strong - 1, weak),
        });
    }

    /// One weak pointer less, at once.
    pub(super) fn drop_weak(self) {
        running::with_tx(self.addr(), |tx| {
            if self.leave_weak(tx) == Fate::Free {
                tx.free(self.addr());
            }
        });
    }

    /// One strong pointer less, when the transaction commits.
    pub(super) fn defer_strong(self) {
        running::defer_drop(self.addr(), 1, Some(release_strong::<T>));
    }

    /// One weak pointer less, when the transaction commits.
    pub(super) fn defer_weak(self) {
        running::defer_drop(self.addr(), 1, Some(release_weak::<T>));
    }

    fn leave_weak(self, tx: &TxCore) -> Fate {
        match self.weak() {
            1 => Fate::Free,
            weak => {
                self.set(tx, self.strong(), weak - 1);
                Fate::Keep
            }
        }
    }
}

/// The block of a pointer that recorded its drop.
fn recorded<T>(addr: u64) -> Option<Shared<T>> {
    NonZeroU64::new(addr).map(|addr| Shared { addr, target: PhantomData })
}

/// Drops the value that lost its last strong pointer. Its weak pointers keep the block.
fn bury<T>(tx: &TxCore, addr: u64, _count: u64) -> Result<Fate> {
    let Some(shared) = recorded::<T>(addr) else { return Ok(Fate::Keep) };
    // SAFETY: the last strong pointer recorded the value as dead, so it is valid (S4) and nobody else will drop it (I2).
    // Dropping only counts and records.
    unsafe { shared.value().drop_in_place() };
    if shared.weak() == 1 {
        return Ok(Fate::Free);
    }
    shared.set(tx, 0, shared.weak() - 1);
    Ok(Fate::Keep)
}

/// One strong pointer less, under the block's lock.
fn release_strong<T>(tx: &TxCore, addr: u64, count: u64) -> Result<Fate> {
    tx.lock_for_change(addr)?;
    let Some(shared) = recorded::<T>(addr) else { return Ok(Fate::Keep) };
    match shared.strong() {
        1 => bury::<T>(tx, addr, count),
        strong => {
            shared.set(tx, strong - 1, shared.weak());
            Ok(Fate::Keep)
        }
    }
}

/// One weak pointer less, under the block's lock.
fn release_weak<T>(tx: &TxCore, addr: u64, _count: u64) -> Result<Fate> {
    tx.lock_for_change(addr)?;
    Ok(recorded::<T>(addr).map_or(Fate::Keep, |shared| shared.leave_weak(tx)))
}

/// What `PRc` and `PArc`, `PWeak` and `PArcWeak` have in common: reading, comparing, [`Persistent`].
///
/// [`Persistent`]: crate::layout::Persistent
macro_rules! shared_pointer {
    ($strong:ident, $weak:ident) => {
        impl<T> std::ops::Deref for $strong<'_, T> {
            type Target = T;

            #[inline(always)]
            fn deref(&self) -> &T {
                // SAFETY: S4, T2, T3: a strong pointer keeps the value, and a `&mut` to it has this pointer's only
                // owner borrowed.
                unsafe { &*self.shared.value() }
            }
        }

        impl<T> AsRef<T> for $strong<'_, T> {
            fn as_ref(&self) -> &T {
                self
            }
        }

        impl<T: std::fmt::Debug> std::fmt::Debug for $strong<'_, T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: std::fmt::Display> std::fmt::Display for $strong<'_, T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: PartialEq> PartialEq for $strong<'_, T> {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl<T: Eq> Eq for $strong<'_, T> {}

        impl<T: PartialOrd> PartialOrd for $strong<'_, T> {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                (**self).partial_cmp(&**other)
            }
        }

        impl<T: Ord> Ord for $strong<'_, T> {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                (**self).cmp(&**other)
            }
        }

        impl<T: std::hash::Hash> std::hash::Hash for $strong<'_, T> {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        impl<T> std::fmt::Debug for $weak<'_, T> {
            /// Nothing of the value, which may be gone.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("(Weak)")
            }
        }

        $crate::typed::shared::shared_pointer!(@persistent $strong, $strong, shared, Strong);
        $crate::typed::shared::shared_pointer!(@persistent $weak, $strong, weak, Weak);
    };
    (@persistent $name:ident, $strong:ident, $shape:ident, $hold:ident) => {
        static_assertions::assert_eq_size!(Option<$name<'static, u64>>, u64);

        // SAFETY: 8 bytes at any brand; validation claims the block once, has the value in it checked, and compares the
        // counts with the pointers.
        unsafe impl<'p, T: $crate::layout::Persistent> $crate::layout::Persistent for $name<'p, T> {
            type At<'q> = $name<'q, T::At<'q>>;

            fn describe(schema: &mut $crate::layout::SchemaBuilder) -> $crate::layout::TypeIndex {
                schema.$shape::<Self, T>(stringify!($name))
            }

            #[inline]
            fn validate(
                view: $crate::layout::View<'_>,
                visit: &mut $crate::layout::Visit<'_>,
            ) -> Result<(), $crate::layout::Invalid> {
                visit.share::<$strong<'p, T>, T>(view.u64(0)?, $crate::layout::shared::Hold::$hold)
            }
        }

        // SAFETY: transparent over `NonZeroU64`.
        unsafe impl<'p, T: $crate::layout::Persistent> $crate::layout::Niche for $name<'p, T> {
            type NicheAt<'q> = $name<'q, T::At<'q>>;
        }
    };
}
pub(super) use shared_pointer;
