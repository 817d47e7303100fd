//! A key-value store of bytes: two engines behind one type, alone in a pool or in a structure of your own.
//!
//! ```
//! use pobj::kv::{Hash, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # std::env::set_current_dir(&dir)?;
//! let store = Store::<Hash>::open_or_create("ages.pobj")?;
//! store.put(b"bob", b"41")?;
//! store.update(b"bob", 1..2, |digits| digits[0] += 1)?;
//! assert_eq!(store.get(b"bob", |age| age == b"42")?, Some(true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Three ways in, from the outside to the inside:
//!
//! - [`Store`] is a pool with one map in it. Each call is a transaction of its own; [`Store::batch`] and [`Batch`] make
//!   several calls one transaction; [`Store::read`] gives a guard beside which everything is lent in place.
//! - [`Typed`] is a store whose keys and values are your types, by a [`Code`].
//! - [`Map`] is the map itself: a field of a root of yours, beside other maps and other structures, in your transactions.
//!
//! The engine is a type parameter: [`Hash`](struct@Hash) finds a key in constant time, [`Ordered`] keeps keys
//! in order: in that of their bytes, or in an [`Order`] of your own. What an engine is, says [`Engine`].
//!
//! A record is one block that holds key and value side by side; the engine holds eight bytes that lead to it. All methods
//! take `&self`: an engine is cut into parts, each with a lock of its own, which a transaction holds to its end. So threads
//! put, get and remove at the same time, and a reader sees the old value or the new one, never a part of each.

mod batch;
mod code;
mod engine;
mod hash;
mod map;
mod ordered;
mod snapshot;
mod store;
mod typed;
mod writer;

pub use batch::Batch;
pub use code::{Code, Plain};
pub use engine::Engine;
pub use hash::Hash;
pub use map::Map;
pub use ordered::{Bounds, Bytewise, KeyRange, Order, Ordered, Seek};
pub use snapshot::Snapshot;
pub use store::{Options, Store};
pub use typed::Typed;
pub use writer::{StoreTx, Writer};
