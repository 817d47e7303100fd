//! [`LockBox`]: a value in a block of its own, behind a lock whose guards do not hold its owner borrowed.
//!
//! The owners of such values lie in a directory, behind a lock of its own. A transaction that wants a value looks its owner
//! up ([`PRwLock::peek`]), takes the value's lock, and leaves the directory, which others may change meanwhile: the value
//! stays where it is, wherever its owner goes. So nobody keeps the directory to the end of a transaction but who changes it.
//!
//! - **LB1** The value lives as long as a guard of it. An owner that is dropped frees the block when its transaction
//!   commits, and takes the value's lock alone before: it waits for all transactions that hold it. Guards of the dropping
//!   transaction itself end before it commits, by their borrow of `Tx`; so do those of a transaction that made the value and
//!   is rolled back.
//! - **LB2** A lock is taken through its owner, by a reference to it; so the owner has not been dropped, nor can be while
//!   the lock is waited for. Who cannot keep the owner borrowed while it waits, waits for the [`LockPlace`] only, which is
//!   a number, and looks for the owner again.

use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::{PRwLock, PRwLockReadGuard, PRwLockWriteGuard, ReadGuard, StaysOnItsThread, drop_values};
use crate::ground::error::Result;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::pool::locks::Claim;
use crate::tx::{Brand, Contents, Fate, Tx, TxCore, running};

/// The owner of a value behind a lock.
#[repr(transparent)]
pub(crate) struct LockBox<'p, T> {
    addr: NonZeroU64,
    brand: Brand<'p>,
    owns: PhantomData<PRwLock<'p, T>>,
    not_send: StaysOnItsThread,
}

static_assertions::assert_eq_size!(LockBox<'static, u64>, u64);

// SAFETY: a shared owner gives what a shared `PRwLock` gives (I4).
unsafe impl<'p, T> Sync for LockBox<'p, T> where PRwLock<'p, T>: Sync {}

impl<'p, T: Persistent<At<'p> = T>> LockBox<'p, T> {
    /// Moves `value` into a new block of the pool.
    pub(crate) fn new(tx: &Tx<'p>, value: T) -> Result<Self> {
        let (len, align) = (size_of::<PRwLock<'p, T>>() as u64, align_of::<PRwLock<'p, T>>() as u64);
        let addr = tx.core.alloc(len, align, Contents::Whole)?;
        // SAFETY: the block is fresh, aligned, at least as long, and known to nobody else.
        unsafe { with_exposed_provenance_mut::<PRwLock<'p, T>>(addr as usize).write(PRwLock::new(value)) };
        // SAFETY: `alloc` never gives address 0.
        let addr = unsafe { NonZeroU64::new_unchecked(addr) };
        Ok(Self { addr, brand: PhantomData, owns: PhantomData, not_send: StaysOnItsThread::HERE })
    }
}

impl<'p, T> LockBox<'p, T> {
    /// The lock, for as long as the transaction. Who takes it does so while `self` is borrowed (LB2).
    fn lock_in<'a>(&self, _: &'a Tx<'p>) -> &'a PRwLock<'p, T> {
        // SAFETY: T1, T2. The lock is alive while `self` is borrowed, and once it is held, to the end of its guards (LB1).
        unsafe { &*with_exposed_provenance(self.addr.get() as usize) }
    }

    /// The value beside a read guard.
    pub(crate) fn get<'a, R: Persistent>(&'a self, guard: &'a ReadGuard<'p, R>) -> &'a T {
        // SAFETY: T1, T2, T3: the owner, which is borrowed, keeps it.
        let lock: &'a PRwLock<'p, T> = unsafe { &*with_exposed_provenance(self.addr.get() as usize) };
        lock.get(guard)
    }

    /// As [`PRwLock::read`]; the guard outlives the borrow of the owner.
    pub(crate) fn read<'a>(&self, tx: &'a Tx<'p>) -> Result<PRwLockReadGuard<'a, 'p, T>> {
        self.lock_in(tx).read(tx)
    }

    /// As [`PRwLock::write`]; the guard outlives the borrow of the owner.
    pub(crate) fn write<'a>(&self, tx: &'a Tx<'p>) -> Result<PRwLockWriteGuard<'a, 'p, T>> {
        self.lock_in(tx).write(tx)
    }

    /// As [`read`](Self::read), if it need not wait.
    pub(crate) fn try_read<'a>(&self, tx: &'a Tx<'p>) -> Result<Option<PRwLockReadGuard<'a, 'p, T>>> {
        self.lock_in(tx).try_read(tx)
    }

    /// As [`write`](Self::write), if it need not wait.
    pub(crate) fn try_write<'a>(&self, tx: &'a Tx<'p>) -> Result<Option<PRwLockWriteGuard<'a, 'p, T>>> {
        self.lock_in(tx).try_write(tx)
    }

    /// The place that the lock is known by.
    pub(crate) fn place(&self) -> LockPlace {
        LockPlace { addr: self.addr.get() }
    }
}

/// Where a lock is, or was: something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockPlace {
    pub(super) addr: u64,
}

impl LockPlace {
    /// Waits until the lock is free for reading. It is held until [`let_go`](Self::let_go), or to the end of the transaction
    /// once a guard of it was there.
    pub(crate) fn wait_to_read(self, tx: &Tx<'_>) -> Result<()> {
        tx.core.wait_for(self.addr, Claim::Shared)
    }

    /// As [`wait_to_read`](Self::wait_to_read), until it is free for changing.
    pub(crate) fn wait_to_write(self, tx: &Tx<'_>) -> Result<()> {
        tx.core.wait_for(self.addr, Claim::Exclusive)
    }

    /// Ends the wait: gives the lock back, unless there was a guard of it.
    pub(crate) fn let_go(self, tx: &Tx<'_>) {
        tx.core.let_go(self.addr);
    }
}

impl<T> Drop for LockBox<'_, T> {
    fn drop(&mut self) {
        running::defer_drop(self.addr.get(), 1, Some(drop_locked::<T>));
    }
}

/// Takes a dead value apart once nobody else holds its lock (LB1).
fn drop_locked<T>(tx: &TxCore, addr: u64, _count: u64) -> Result<Fate> {
    tx.lock_for_change(addr)?;
    drop_values::<PRwLock<'_, T>>(addr, 1);
    Ok(Fate::Free)
}

// SAFETY: 8 bytes at any brand; validation claims the block and checks the value in it.
unsafe impl<'p, T: Persistent> Persistent for LockBox<'p, T> {
    type At<'q> = LockBox<'q, T::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.owned::<Self, PRwLock<'p, T>>("LockBox")
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.own::<PRwLock<'p, T>>(view.u64(0)?, 1)
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a directory that stays locked after a look, also after one that panics; a value that is freed while another
    //! transaction holds it; a lock that was only waited for and is kept, or one that was borrowed and is not.
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::{PBuf, persistent_struct};
    use super::*;
    use crate::ground::error::Error;
    use crate::layout::{View, Visit};
    use crate::media::RamMedia;
    use crate::{Durability, Pool};

    type Row<'p> = PBuf<'p, LockBox<'p, PBuf<'p, u64>>>;

    #[repr(C)]
    #[derive(Default)]
    struct Root<'p> {
        row: PRwLock<'p, Row<'p>>,
    }

    persistent_struct! {
        impl['p] Root['p] called "Root"[];
        at<'q> = Root<'q>;
        fields { row: PRwLock<'p, Row<'p>> }
        check = |view: View<'_>, visit: &mut Visit<'_>| {
            Root::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
        };
    }

    fn add<'p>(root: &Root<'p>, tx: &Tx<'p>, number: u64) -> Result<()> {
        let mut numbers = PBuf::new();
        numbers.push(tx, number)?;
        let owner = LockBox::new(tx, numbers)?;
        root.row.write(tx)?.push(tx, owner)
    }

    fn pool() -> (Arc<RamMedia>, Pool<Root<'static>>) {
        let media = Arc::new(RamMedia::new(1 << 20).unwrap());
        let options = Pool::<Root<'_>>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
        let options = options.durability(Durability::Eventual);
        let pool = options.create_on(media.clone(), |_| Ok(Root::default())).unwrap();
        pool.share(|root, tx| (0..3).try_for_each(|n| add(root, tx, n))).unwrap();
        (media, pool)
    }

    /// The guard of the value at `index`, which does not hold the row.
    fn guard<'a, 'p>(
        root: &Root<'p>,
        tx: &'a Tx<'p>,
        index: usize,
    ) -> Result<Option<PRwLockWriteGuard<'a, 'p, PBuf<'p, u64>>>> {
        let found =
            root.row.peek(tx, true, |row| row.as_slice().get(index).map(|owner| owner.try_write(tx)))?;
        found.flatten().transpose().map(Option::flatten)
    }

    #[test]
    fn a_guard_outlives_its_owner_in_one_transaction() {
        let (media, pool) = pool();
        let blocks = pool.stats().heap.live_blocks;
        for alone in [false, true] {
            fn body<'p>(root: &Root<'p>, tx: &Tx<'p>) -> Result<()> {
                let mut first = guard(root, tx, 0)?.ok_or(Error::Deadlock)?;
                drop(root.row.write(tx)?.swap_remove(0, tx));
                first.push(tx, 7)?;
                assert_eq!(first.as_slice().last(), Some(&7));
                assert!(matches!(guard(root, tx, 0), Ok(Some(_))), "another one is there now");
                Err(Error::abort("no"))
            }
            let outcome = if alone { pool.write(|root, tx| body(root, tx)) } else { pool.share(body) };
            assert!(matches!(outcome, Err(Error::Aborted(_))), "{outcome:?}");
        }
        pool.share(|root, tx| {
            let first = guard(root, tx, 0)?;
            drop(root.row.write(tx)?.swap_remove(0, tx));
            assert_eq!(first.map(|first| first.as_slice().to_vec()), Some(vec![0]));
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.stats().heap.live_blocks, blocks - 2);
        pool.close().unwrap();
        let pool = Pool::<Root<'_>>::options().validation_threads(1).open_on(media).unwrap();
        let root = pool.read();
        let left: Vec<u64> =
            root.row.get(&root).as_slice().iter().map(|owner| owner.get(&root).as_slice()[0]).collect();
        assert_eq!(left, [2, 1]);
    }

    #[test]
    fn who_drops_an_owner_waits_for_those_who_hold_the_value() {
        let (_, pool) = pool();
        let (held, hears) = channel();
        std::thread::scope(|scope| {
            let pool = &pool;
            scope.spawn(move || {
                pool.share(|root, tx| {
                    let mut first = guard(root, tx, 0)?.ok_or(Error::Deadlock)?;
                    held.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 100 }));
                    // The row is free for the other one, the block is not.
                    first.push(tx, 8)?;
                    assert_eq!(first.as_slice(), [0, 8]);
                    Ok(())
                })
                .unwrap();
            });
            hears.recv().unwrap();
            pool.share(|root, tx| {
                root.row.write(tx)?.swap_remove(0, tx);
                Ok(())
            })
            .unwrap();
            // What took its place may have its block.
            pool.share(|root, tx| add(root, tx, 9)).unwrap();
        });
        let root = pool.read();
        let left: Vec<u64> =
            root.row.get(&root).as_slice().iter().map(|owner| owner.get(&root).as_slice()[0]).collect();
        assert_eq!(left, [2, 1, 9]);
    }

    #[test]
    fn a_look_leaves_no_lock_and_a_guard_does() {
        let (_, pool) = pool();
        let others = |what: &str, row_is_free: bool, first_is_free: bool| {
            std::thread::scope(|scope| {
                let outcome = scope.spawn(|| {
                    pool.share(|root, tx| {
                        let row = root.row.try_write(tx)?.is_some();
                        Ok((row, row && guard(root, tx, 0)?.is_some()))
                    })
                });
                let outcome = outcome.join().unwrap().unwrap();
                assert_eq!(outcome, (row_is_free, row_is_free && first_is_free), "{what}");
            });
        };
        pool.share(|root, tx| {
            assert_eq!(root.row.peek(tx, true, |row| row.len())?, Some(3));
            others("after a look", true, true);
            drop(guard(root, tx, 0)?);
            others("with a value", true, false);
            let broken = catch_unwind(AssertUnwindSafe(|| root.row.peek(tx, true, |_| panic!("boom"))));
            assert!(broken.is_err());
            others("after a panic", true, false);
            drop(root.row.read(tx)?);
            root.row.peek(tx, true, |_| ())?;
            others("with the row", false, false);
            Ok(())
        })
        .unwrap();
        pool.share(|root, tx| {
            let place = root.row.peek(tx, true, |row| row.as_slice()[0].place())?.ok_or(Error::Deadlock)?;
            place.wait_to_write(tx)?;
            others("while it waits", true, false);
            place.let_go(tx);
            others("after a wait", true, true);
            place.wait_to_write(tx)?;
            drop(guard(root, tx, 0)?);
            place.let_go(tx);
            others("after a wait and a guard", true, false);
            let row = root.row.write(tx)?;
            assert!(matches!(root.row.peek(tx, true, |_| ()), Err(Error::AlreadyBorrowed)));
            drop(row);
            Ok(())
        })
        .unwrap();
    }

    /// A lock that was waited for, let go, and is busy again: what was not granted is not given back either.
    #[test]
    fn a_lock_that_is_busy_again_is_granted_later() {
        let (_, pool) = pool();
        fn read<'p>(root: &Root<'p>, tx: &Tx<'p>) -> Result<Option<u64>> {
            let found = root.row.peek(tx, true, |row| row.as_slice()[0].try_read(tx))?;
            Ok(found.transpose()?.flatten().map(|numbers| numbers.as_slice()[0]))
        }
        pool.share(|root, tx| {
            let place = root.row.peek(tx, true, |row| row.as_slice()[0].place())?.ok_or(Error::Deadlock)?;
            place.wait_to_read(tx)?;
            place.let_go(tx);
            std::thread::scope(|scope| {
                let ((held, hears), (end, ends)) = (channel(), channel::<()>());
                let pool = &pool;
                let other = scope.spawn(move || {
                    pool.share(|root, tx| {
                        let first = guard(root, tx, 0)?;
                        held.send(first.is_some()).unwrap();
                        ends.recv().unwrap();
                        Ok(())
                    })
                });
                assert!(hears.recv().unwrap());
                assert_eq!((read(root, tx)?, read(root, tx)?), (None, None));
                end.send(()).unwrap();
                other.join().unwrap()
            })?;
            assert_eq!(read(root, tx)?, Some(0));
            Ok(())
        })
        .unwrap();
    }
}
