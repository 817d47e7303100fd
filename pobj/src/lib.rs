//! A transactional persistent object heap: your structs live in a pool file, transactions change them, and after any
//! crash the pool holds exactly the committed ones.
//!
//! ```
//! use pobj::{PBox, Persistent, Pool};
//!
//! #[derive(Persistent)]
//! #[repr(C)]
//! struct Node<'p> {
//!     value: u64,
//!     next: Option<PBox<'p, Node<'p>>>,
//! }
//!
//! #[derive(Persistent, Default)]
//! #[repr(C)]
//! struct App<'p> {
//!     head: Option<PBox<'p, Node<'p>>>,
//!     hits: u64,
//! }
//!
//! # let dir = tempfile::tempdir()?;
//! # std::env::set_current_dir(&dir)?;
//! let pool = Pool::<App>::open_or_create("app.pobj")?;
//! pool.write(|app, tx| {
//!     let node = PBox::new(tx, Node { value: 7, next: app.head.take() })?;
//!     app.head = Some(node);
//!     app.hits += 1;
//!     Ok(())
//! })?;
//! assert_eq!(pool.read().hits, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! - A transaction is all or nothing, and durable when `write` returns (or soon after, if you choose
//!   [`Durability::Eventual`]).
//! - Following a [`PBox`] is one load: no lookup, no base, no lock, no copy.
//! - Safe code cannot write unlogged, keep a pointer past its transaction, mix pools, or store what a pool cannot
//!   hold. These are compile errors. (One way to mix pools that the compiler cannot see, through a pool in a `static`, is a
//!   panic.)
//! - A damaged file is an [`Error`] at open, never undefined behaviour.
//!
//! # The house
//!
//! Each module imports lower ones only: `ground`, `media` (the seam to what keeps bytes), `pmem` (mapped files with
//! flush and fence), `layout` (what a persistent type is), `journal` (records and recovery), `heap` (which bytes are in
//! use), `pool`, `tx`, `typed` (pointers, cells, locks, and the doors to the root), `collections`; and above them the
//! facilities, strangers to each other: [`blk`] (an array of blocks), [`kv`] (a key-value store) and [`log`], which needs no
//! heap. `unsafe` lives in `media`, `layout` and `typed` only.

#![warn(missing_docs)]
// Module headers lead to the private parts that they explain; for readers of the source the links work.
#![allow(rustdoc::private_intra_doc_links)]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod blk;
mod collections;
mod ground;
mod heap;
mod journal;
pub mod kv;
pub mod layout;
pub mod log;
pub mod media;
pub mod pmem;
mod pool;
mod tx;
mod typed;

pub use collections::{
    PBTreeMap, PBTreeSet, PConcurrentMap, PDeque, PHash, PHashMap, PHashSet, PHasher, PList, PString, PVec,
    btree_map, btree_set, deque, hash_map, hash_set, list, string, vec,
};
pub use ground::error::{Error, Result};
pub use heap::HeapStats;
pub use journal::{Durability, JournalCounts};
pub use layout::Persistent;
#[cfg(feature = "derive")]
pub use pobj_derive::{Persistent, tx};
pub use pool::{Opened, Options, Pool, ReadOnlyPool, Stats};
pub use tx::{Collected, Committed, Tx};
pub use typed::{
    Companion, PArc, PArcWeak, PAtomic, PAtomicBool, PAtomicI8, PAtomicI16, PAtomicI32, PAtomicI64,
    PAtomicU8, PAtomicU16, PAtomicU32, PAtomicU64, PBox, PCell, PListKey, PMutex, PMutexGuard, POption, PPtr,
    PRc, PRef, PRefCell, PRefMut, PRwLock, PRwLockReadGuard, PRwLockWriteGuard, PWeak, ReadGuard, TxRoot,
};
