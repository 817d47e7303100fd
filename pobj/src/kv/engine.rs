//! [`Engine`]: what a kind of map has to do, so that [`Map`](super::Map) and [`Store`](super::Store) can be one type for all.
//!
//! An engine is a name ([`Hash`](super::Hash)); its [`Table`] is what lies in the pool. Tables are families as all persistent
//! types are, so the engine names the member for each `'p`. A table's methods take `&self`: it locks its parts itself, by
//! [`PRwLock`](crate::PRwLock), and holds them to the end of the transaction.
//!
//! What every table keeps:
//!
//! - **E1** A key is there once.
//! - **E2** An operation that gives an error has changed nothing that a look at the table could tell.
//! - **E3** What a guard or a closure is lent stays as it is meanwhile: beside a read guard nobody writes, and beside a borrow
//!   of a part nobody has that part for changing. A closure that asks for it gets
//!   [`AlreadyBorrowed`](crate::Error::AlreadyBorrowed).

use std::ops::{ControlFlow, Range};

use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{Pair, ReadGuard};

/// What an engine's module implements it with; nobody else can.
pub trait Sealed {}

/// A way to keep records: [`Hash`](super::Hash) for looking keys up, [`Ordered`](super::Ordered) for ranges too.
///
/// Engines are types without values: they stand in the place of a parameter, `Store<Hash>`, `Map<'p, Hash>`. They are the
/// library's; the trait only names them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an engine of `pobj::kv`",
    label = "use `pobj::kv::Hash` or `pobj::kv::Ordered` here"
)]
pub trait Engine: Sealed + Sized + 'static {
    /// What lies in the pool. All of its members for different `'p` are laid out alike.
    #[doc(hidden)]
    type Table<'p>: Table<'p>;
}

/// What lies in the pool, and what it can do. `look`, `fill` and `change` see bytes in place.
#[doc(hidden)]
pub trait Table<'p>: Persistent<At<'p> = Self> + Default + Sync {
    /// An empty table with as many locks as threads may want.
    fn new(tx: &Tx<'p>) -> Result<Self>;

    /// The value of `key`, beside a guard.
    fn get<'a, R: Persistent>(&'a self, key: &[u8], guard: &'a ReadGuard<'p, R>) -> Option<&'a [u8]>;

    /// All records, beside a guard.
    fn iter<'a, R: Persistent>(
        &'a self,
        guard: &'a ReadGuard<'p, R>,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'p, R, Self>;

    /// Number of records, beside a guard.
    fn count<R: Persistent>(&self, guard: &ReadGuard<'p, R>) -> usize;

    /// Lends the value of `key` to `look`, if there is one.
    fn get_with<T>(&self, key: &[u8], tx: &Tx<'p>, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>>;

    /// Sets the value of `key`. True if the key is new.
    fn put(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool>;

    /// As [`put`](Self::put), for a record that is there already. The one in its place goes.
    fn put_pair(&self, tx: &Tx<'p>, pair: Pair<'p>) -> Result<bool>;

    /// Adds a record unless its key is there. True if it was added.
    fn insert_if_absent(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool>;

    /// Lends a part of the value of `key` to `change`; `range` says which, from the value's length. The part alone is
    /// remembered.
    fn update<T>(
        &self,
        key: &[u8],
        tx: &Tx<'p>,
        range: impl FnOnce(usize) -> Result<Range<usize>>,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>>;

    /// Removes the record of `key`. True if there was one.
    fn remove(&self, key: &[u8], tx: &Tx<'p>) -> Result<bool>;

    /// Number of records. Nobody adds or removes one before the transaction has ended.
    fn len(&self, tx: &Tx<'p>) -> Result<usize>;

    /// Shows all records to `each`, until it breaks off.
    fn for_each<B>(
        &self,
        tx: &Tx<'p>,
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>>;

    /// Removes all records.
    fn clear(&self, tx: &Tx<'p>) -> Result<()>;

    /// Sorts changes, given with their keys, so that transactions that make many do not wait for each other in a circle. Those
    /// of one key stay in their order.
    fn sort<T>(&self, changes: &mut [(&[u8], T)]);
}
