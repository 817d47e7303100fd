//! Typed pointers into a pool, and the doors to its root: reading, writing, sharing.
//!
//! This floor turns addresses into references, so it holds the upper end of the crate's `unsafe`. What makes
//! it sound, by number:
//!
//! - **I1** A `&mut T` into a pool exists only if all bytes of that `T` are logged in the running transaction.
//! - **I2** Ownership is Rust's: each block has one owner, or is counted ([`shared`]); dropping an owner records a
//!   free, or counts, and touches nothing else.
//! - **I4** Owners are not `Send`, so a drop happens on the transaction's thread; they are `Sync` when their
//!   content is.
//! - **T1** Every address in a value of type `At<'p>` that safe code can reach was made by this floor in this pool,
//!   or was validated at open; so it is non-null, aligned, in the image, and holds a live value of its type.
//! - **T2** While a value of brand `'p` lives, its pool is mapped: `'p` is bounded by the guard or the closure
//!   that borrows the pool. The image's provenance is exposed (IM2).
//! - **T3** Readers, sharers and the writer exclude each other by the gate; one transaction's references follow the
//!   borrows of the root, as in any Rust program. Sharers have the root as `&`, and change what is behind locks by L1 to L4
//!   of [`lock`].

mod arc;
mod atomic;
mod boxed;
mod buf;
mod cell;
mod collect;
mod companion;
mod doors;
mod label;
mod lock;
mod lock_box;
mod node;
mod open;
mod option;
mod pair;
mod persist;
mod pptr;
mod rc;
mod ref_cell;
mod ring;
mod rw_lock;
mod share;
mod shared;
mod text;
mod tree;
mod tx_root;

pub use arc::{PArc, PArcWeak};
pub use atomic::{
    PAtomic, PAtomicBool, PAtomicI8, PAtomicI16, PAtomicI32, PAtomicI64, PAtomicU8, PAtomicU16, PAtomicU32,
    PAtomicU64,
};
pub use boxed::PBox;
pub(crate) use buf::PBuf;
pub use cell::PCell;
pub use companion::Companion;
pub use doors::ReadGuard;
pub(crate) use label::{Label, Labelled};
pub use lock::{PMutex, PMutexGuard};
pub(crate) use lock_box::{LockBox, LockPlace};
pub use node::PListKey;
pub(crate) use node::{LINKS, Links, Node, USED, VACANT};
pub use option::POption;
pub(crate) use pair::Pair;
pub(crate) use persist::{persistent_slice, persistent_struct};
pub use pptr::PPtr;
pub use rc::{PRc, PWeak};
pub use ref_cell::{PRef, PRefCell, PRefMut};
pub(crate) use ring::PRing;
pub use rw_lock::{PRwLock, PRwLockReadGuard, PRwLockWriteGuard};
pub(crate) use text::PText;
pub(crate) use tree::{Form, LEVELS, NodeBox, NodeMut, NodeRef, RunMut, Walk, WalkMut, Way};
pub use tx_root::TxRoot;

use crate::ground::error::Result;
use crate::tx::{DropGlue, Fate, Tx, TxCore};

/// I4 in a name that the compiler's message shows: an owner of pool memory belongs to its transaction's thread.
pub struct StaysOnItsThread(std::marker::PhantomData<*const ()>);

impl StaysOnItsThread {
    const HERE: Self = Self(std::marker::PhantomData);
}

/// Remembers the bytes of a cell before they change. One in ordinary memory has none to remember (C3).
fn remember_cell<'p, C>(cell: &C, tx: &Tx<'p>) {
    let addr = std::ptr::from_ref(cell).addr() as u64;
    tx.core.log_if_inside(addr, size_of::<C>() as u64);
}

/// Implements [`Persistent`](crate::layout::Persistent) for a `repr(C)` struct of one `UnsafeCell` and the brand.
macro_rules! cell_type {
    ($name:ident) => {
        // SAFETY: `repr(C)`, with the content at offset 0, whose check is the cell's. It changes under C1 to C3 only, so not
        // past the transaction.
        unsafe impl<'p, T: Persistent> Persistent for $name<'p, T> {
            type At<'q> = $name<'q, T::At<'q>>;
            const PLAIN: bool = T::PLAIN;
            const MEMBERS: &'static [$crate::layout::persistent::Member] =
                &[$crate::layout::persistent::Member::of::<T>("value", std::mem::offset_of!(Self, value))];

            fn describe(schema: &mut $crate::layout::SchemaBuilder) -> $crate::layout::TypeIndex {
                schema
                    .structure::<Self>(stringify!($name), Self::MEMBERS, |arguments| arguments.of_type::<T>())
            }

            #[inline]
            fn validate(
                view: $crate::layout::View<'_>,
                visit: &mut $crate::layout::Visit<'_>,
            ) -> Result<(), $crate::layout::Invalid> {
                Self::MEMBERS[0].validate(view, visit)
            }
        }
    };
}
use cell_type;

/// Drops `count` values of `T` at `addr` in place, which records the frees of what they own.
fn drop_values<T>(addr: u64, count: u64) {
    let first = std::ptr::with_exposed_provenance_mut::<T>(addr as usize);
    // SAFETY: the owner of these values recorded them as dead and was itself forgotten or dropped, so they are valid
    // (T1), mapped (T2), and nobody else will drop them (I2). Dropping only records frees.
    unsafe { std::ptr::slice_from_raw_parts_mut(first, count as usize).drop_in_place() }
}

/// So many values of a dead block are taken apart at a time, so that the list of what they own stays short.
const DROP_STEP: u64 = 64;

/// [`drop_values`] for values whose block is dead: nobody writes to it any more, so most of them can wait.
fn drop_dead_values<T>(_: &TxCore, addr: u64, count: u64) -> Result<Fate> {
    let now = count.min(DROP_STEP);
    if count > now {
        let rest = addr + now * size_of::<T>() as u64;
        crate::tx::running::defer_values(rest, count - now, drop_dead_values::<T>);
    }
    drop_values::<T>(addr, now);
    Ok(Fate::Free)
}

/// Takes values of a dead block apart, if values of `T` own anything; their block is free then.
const fn glue<T>() -> Option<DropGlue> {
    if std::mem::needs_drop::<T>() { Some(drop_dead_values::<T>) } else { None }
}
