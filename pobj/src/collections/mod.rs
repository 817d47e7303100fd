//! Collections with the names and signatures of `std`, kept in a pool.
//!
//! What differs from `std`, everywhere and for one reason: a method takes `tx` exactly where it takes memory or
//! must remember old bytes, and returns `Result` exactly where it takes memory. Each operation is part of the caller's
//! transaction and rolls back with it. A method that returns an error has changed nothing, unless it says otherwise.
//!
//! Nothing here is `unsafe`: the collections are built on `PBuf`, a growing run of values, of the typed floor. So
//! whatever the bytes of a pool say, an operation may give a wrong answer, but it ends, and stays within the pool.

pub mod btree_map;
pub mod btree_set;
mod concurrent_map;
pub mod deque;
mod hash;
pub mod hash_map;
pub mod hash_set;
pub mod list;
pub(crate) mod pages;
pub mod string;
pub mod vec;

pub use btree_map::PBTreeMap;
pub use btree_set::PBTreeSet;
pub use concurrent_map::PConcurrentMap;
pub use deque::PDeque;
pub use hash::{PHash, PHasher};
pub use hash_map::PHashMap;
pub use hash_set::PHashSet;
pub use list::PList;
pub use string::PString;
pub use vec::PVec;
