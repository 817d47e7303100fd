//! Typed pointers into a pool, and the doors to its root: reading, writing, sharing.
//!
//! This floor turns addresses into references, so it holds the upper end of the crate's `unsafe`. What makes
//! it sound, by number:
//!
//! - **I1** A `&mut T` into a pool exists only if all bytes of that `T` are logged in the running transaction.
//! - **I2** Ownership is Rust's: each block has one owner; dropping an owner records a free and touches nothing.
//! - **I4** Owners are not `Send`, so a drop happens on the transaction's thread; they are `Sync` when their
//!   content is.
//! - **T1** Every address in a value of type `At<'p>` that safe code can reach was made by this floor in this pool,
//!   or was validated at open; so it is non-null, aligned, in the image, and holds a live value of its type.
//! - **T2** While a value of brand `'p` lives, its pool is mapped: `'p` is bounded by the guard or the closure
//!   that borrows the pool. The image's provenance is exposed (IM2).
//! - **T3** Readers, sharers and the writer exclude each other by the gate; one transaction's references follow the
//!   borrows of the root, as in any Rust program. Sharers have the root as `&`, and change what is behind locks by L1 to L4
//!   of [`lock`].

mod atomic;
mod boxed;
mod buf;
mod doors;
mod lock;
mod open;
mod persist;
mod pptr;
mod rw_lock;
mod share;
mod text;
mod tx_root;

pub use atomic::{
    PAtomic, PAtomicBool, PAtomicI8, PAtomicI16, PAtomicI32, PAtomicI64, PAtomicU8, PAtomicU16, PAtomicU32,
    PAtomicU64,
};
pub use boxed::PBox;
pub(crate) use buf::PBuf;
pub use doors::ReadGuard;
pub use lock::{PMutex, PMutexGuard};
pub(crate) use persist::{persistent_slice, persistent_struct};
pub use pptr::PPtr;
pub use rw_lock::{PRwLock, PRwLockReadGuard, PRwLockWriteGuard};
pub(crate) use text::PText;
pub use tx_root::TxRoot;

/// I4 in a name that the compiler's message shows: an owner of pool memory belongs to its transaction's thread.
pub struct StaysOnItsThread(std::marker::PhantomData<*const ()>);

impl StaysOnItsThread {
    const HERE: Self = Self(std::marker::PhantomData);
}

/// Drops `count` values of `T` at `addr` in place, which records the frees of what they own.
fn drop_values<T>(addr: u64, count: u64) {
    let first = std::ptr::with_exposed_provenance_mut::<T>(addr as usize);
    // SAFETY: the owner of these values recorded them as dead and was itself forgotten or dropped, so they are valid
    // (T1), mapped (T2), and nobody else will drop them (I2). Dropping only records frees.
    unsafe { std::ptr::slice_from_raw_parts_mut(first, count as usize).drop_in_place() }
}

/// [`drop_values`] for `T`, if its values own anything.
const fn glue<T>() -> Option<crate::tx::DropGlue> {
    if std::mem::needs_drop::<T>() { Some(drop_values::<T>) } else { None }
}
