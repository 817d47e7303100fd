//! Transactions: the untyped end. What a transaction remembers, how it commits, how it rolls back.
//!
//! A transaction owns the pool's [`Owner`] (heap) while it runs, or shares it with others (see [`share`]). Before a `&mut` is handed out, the old bytes of
//! its range are remembered here, in ordinary memory (I1); the typed floor sees to that. At commit the ranges are
//! compared with what is there now, and only changed words go into the record (see [`commit`]). Abort copies the
//! old bytes back: no I/O.
//!
//! Dropping a persistent pointer records a *deferred drop*; the values behind it are taken apart at commit, from a
//! work list, so a long list does not recurse; on abort the record is forgotten (I2).

mod collect;
pub(crate) mod commit;
mod held;
mod in_place;
mod ranges;
pub(crate) mod running;
pub(crate) mod share;
#[cfg(feature = "sim")]
mod unlogged;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::ground::error::{Error, Result};
use crate::heap::{AllocError, Change, Reservation};
use crate::journal::{Body, Durability};
use crate::media::{MediaCounts, counts_here, is_in_a_pool};
use crate::pool::{Owner, PoolBody, PoolCore};
pub use collect::Collected;
pub use commit::Committed;
use in_place::InPlace;
use ranges::Ranges;
use share::Standing;

/// Makes a type invariant in `'p`, so that two brands never unify.
pub(crate) type Brand<'p> = PhantomData<fn(&'p ()) -> &'p ()>;

/// A running transaction: the witness that memory may be taken and that old bytes are remembered.
///
/// `'p` is fresh for each transaction, so nothing that was made in one can leave it. It is neither `Send` nor `Sync`: a
/// transaction belongs to the thread that runs its closure.
pub struct Tx<'p> {
    pub(crate) core: Rc<TxCore>,
    brand: Brand<'p>,
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("durability", &self.core.durability.get()).finish_non_exhaustive()
    }
}

/// Takes `count` dead values at an address apart: drops each in place. Says what becomes of their block. Set by the
/// typed floor. An error fails the commit.
pub(crate) type DropGlue = fn(tx: &TxCore, addr: u64, count: u64) -> Result<Fate>;

/// What becomes of a block when the values in it have been taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is free.
    Free,
    /// Somebody else holds it.
    Keep,
}

/// `count` values at `addr` that died in this transaction, and their block.
#[derive(Clone, Copy)]
struct Deferred {
    /// The block to free; 0 where it has an entry of its own.
    block: u64,
    addr: u64,
    count: u64,
    /// Absent where the values own nothing.
    glue: Option<DropGlue>,
}

/// What a new block's record must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// The whole block as it is at commit.
    Whole,
    /// Only the ranges that [`TxCore::log_new`] names.
    Named,
}

#[derive(Clone, Copy)]
struct Fresh {
    offset: u64,
    words: usize,
}

impl Fresh {
    /// Its first offset, and the one behind it.
    #[cfg(feature = "sim")]
    fn span(&self) -> (u64, u64) {
        (self.offset, self.offset + self.words as u64 * 8)
    }

    /// Whether `start .. end` lies in it.
    #[inline]
    fn covers(&self, start: u64, end: u64) -> bool {
        self.offset <= start && end <= self.offset + self.words as u64 * 8
    }
}

type Hook = Box<dyn FnOnce()>;

/// What a running transaction works with.
#[derive(Default)]
struct Work {
    /// Present while a transaction runs that has the pool alone.
    owner: Option<Box<Owner>>,
    standing: Standing,
    ranges: Ranges,
    in_place: InPlace,
    reservation: Reservation,
    drops: Vec<Deferred>,
    fresh: Vec<Fresh>,
    /// The whole blocks that this transaction has taken, longer perhaps than was asked for.
    #[cfg(feature = "sim")]
    taken: Vec<Fresh>,
    body: Body,
    changes: Vec<Change>,
    /// Why the commit failed.
    failure: Option<Error>,
    on_commit: Vec<Hook>,
    on_abort: Vec<Hook>,
}

impl Work {
    /// Forgets everything but the owner. Gives the hooks that are due.
    #[inline]
    fn clear(&mut self, committed: bool) -> Vec<Hook> {
        self.ranges.clear();
        self.drops.clear();
        self.fresh.clear();
        #[cfg(feature = "sim")]
        self.taken.clear();
        self.body.clear();
        self.changes.clear();
        if self.on_commit.is_empty() && self.on_abort.is_empty() {
            return Vec::new();
        }
        let (on_commit, on_abort) = (std::mem::take(&mut self.on_commit), std::mem::take(&mut self.on_abort));
        let (mut due, moot) = if committed { (on_commit, on_abort) } else { (on_abort, on_commit) };
        if !moot.is_empty() {
            // Dropping what they hold is the user's code too: it has to wait until the transaction has ended.
            due.push(Box::new(move || drop(moot)));
        }
        due
    }
}

/// A running transaction without its brand.
///
/// A thread keeps the last one's memory for the next, whichever pool that is on.
#[derive(Default)]
pub(crate) struct TxCore {
    /// Present while the transaction runs.
    pool: Option<Arc<PoolBody>>,
    durability: Cell<Durability>,
    /// What this thread had asked of media when the transaction began.
    counts_before: MediaCounts,
    work: RefCell<Work>,
}

impl TxCore {
    #[inline]
    fn begin(core: &PoolCore) -> Result<Rc<Self>> {
        running::begin(core, |tx| {
            let mut owner = core.gate.enter_writing();
            let pool = owner.body.take().unwrap_or_else(|| core.body());
            Self::prepared(tx, core, pool, |work| work.owner = Some(owner))
        })
    }

    /// A transaction on a pool, with nothing in it but what `place` puts there.
    #[inline]
    fn prepared(
        mut tx: Rc<Self>,
        core: &PoolCore,
        pool: Arc<PoolBody>,
        place: impl FnOnce(&mut Work),
    ) -> Rc<Self> {
        if Rc::get_mut(&mut tx).is_none() {
            // Cannot be: a spare is put there by its last handle.
            tx = Rc::default();
        }
        if let Some(fresh) = Rc::get_mut(&mut tx) {
            fresh.pool = Some(pool);
            fresh.durability.set(core.durability());
            fresh.counts_before = counts_here();
            place(fresh.work.get_mut());
        }
        tx
    }

    #[inline]
    pub(crate) fn pool(&self) -> &PoolBody {
        match &self.pool {
            Some(pool) => pool,
            // Who has a handle runs the transaction.
            None => unreachable!("a transaction without its pool"),
        }
    }

    /// Runs `act` with the work and the heap's owner; `None` once the transaction has ended.
    #[inline]
    fn with<T>(&self, act: impl FnOnce(&mut Work, &mut Owner) -> T) -> Option<T> {
        let mut work = self.work.borrow_mut();
        let Some(mut owner) = work.owner.take() else { return self.with_shared(&mut work, act) };
        let result = act(&mut work, &mut owner);
        work.owner = Some(owner);
        Some(result)
    }

    /// Whether `addr` lies in this transaction's pool.
    pub(crate) fn covers(&self, addr: u64) -> bool {
        self.pool().image.covers(addr)
    }

    /// Whether `addr` lies in this transaction's pool; if not, it must be ordinary memory.
    ///
    /// # Panics
    ///
    /// If it lies in another pool: see [`is_in_a_pool`] for how it comes to be asked.
    #[inline]
    pub(crate) fn has(&self, addr: u64) -> bool {
        if self.covers(addr) {
            return true;
        }
        assert!(
            !is_in_a_pool(addr),
            "a transaction changes values of its own pool; this one is in another pool"
        );
        false
    }

    /// Takes a zeroed block. Gives its address.
    pub(crate) fn alloc(&self, len: u64, align: u64, contents: Contents) -> Result<u64> {
        if len == 0 {
            // A value without bytes needs no block; its address only has to be aligned and not null.
            return Ok(align);
        }
        let image = &self.pool().image;
        let offset = self.with(|work, owner| {
            let offset = loop {
                match owner.heap.alloc(image, &mut work.reservation, len, align) {
                    Ok(offset) => break offset,
                    Err(AllocError::NeedSpace { least_len, new_len }) => {
                        self.pool().grow(owner, least_len, new_len)?;
                    }
                    Err(AllocError::NeedBacking { range }) => self.pool().allocate(owner, &range)?,
                    Err(AllocError::Full { requested }) => {
                        return Err(Error::PoolFull { requested, max_len: image.max_len() });
                    }
                    Err(AllocError::Io(error)) => return Err(error),
                }
            };
            let words = len.div_ceil(8) as usize;
            #[cfg(feature = "sim")]
            work.taken.push(Fresh { offset, words: owner.heap.block_len(offset) as usize / 8 });
            match contents {
                Contents::Whole => work.fresh.push(Fresh { offset, words }),
                Contents::Named if self.pool().in_place => work.in_place.add_named(offset, words),
                Contents::Named => {}
            }
            Ok(offset)
        });
        Ok(image.base() + offset.unwrap_or(Err(Error::Nested))?)
    }

    /// Frees the block at `addr` at commit.
    pub(crate) fn free(&self, addr: u64) {
        let image = &self.pool().image;
        self.with(|work, owner| {
            owner.heap.free(image, &mut work.reservation, addr.wrapping_sub(image.base()))
        });
    }

    /// Length in bytes of the block at `addr`, at least what was asked for.
    pub(crate) fn block_len(&self, addr: u64) -> u64 {
        let offset = addr.wrapping_sub(self.pool().image.base());
        self.with(|_, owner| owner.heap.block_len(offset)).unwrap_or(0)
    }

    /// Remembers the bytes of a range, before they are changed (I1).
    #[inline]
    pub(crate) fn log(&self, addr: u64, len: u64) {
        self.remember(addr, len, false);
    }

    /// As [`log`](Self::log), for a range that home may hold other bytes of than the image: memory of a block that
    /// was taken with [`Contents::Named`]. All of it goes into the record.
    #[inline]
    pub(crate) fn log_new(&self, addr: u64, len: u64) {
        self.remember(addr, len, true);
    }

    #[inline]
    fn remember(&self, addr: u64, len: u64, all: bool) {
        if len == 0 {
            return;
        }
        let offset = addr.wrapping_sub(self.pool().image.base());
        let start = offset & !7;
        let words = ((offset + len).next_multiple_of(8) - start) as usize / 8;
        let end = start + words as u64 * 8;
        let work = &mut *self.work.borrow_mut();
        // A block that was just taken is in the record whole, and rolling back forgets it.
        if !work.fresh.iter().rev().take(RECENT).any(|block| block.covers(start, end)) {
            let added = work.ranges.add(&self.pool().image, start, words, all);
            if added && self.pool().in_place {
                self.log_undo(work, start, end);
            }
        }
    }

    /// Records that `count` values at `addr` and their block die if this transaction commits.
    pub(crate) fn defer_drop(&self, addr: u64, count: u64, glue: Option<DropGlue>) {
        self.work.borrow_mut().drops.push(Deferred { block: addr, addr, count, glue });
    }

    /// Records that `count` values at `addr` die if this transaction commits, in a block of which that is recorded apart.
    pub(crate) fn defer_values(&self, addr: u64, count: u64, glue: DropGlue) {
        self.work.borrow_mut().drops.push(Deferred { block: 0, addr, count, glue: Some(glue) });
    }

    fn hook(&self, list: impl FnOnce(&mut Work) -> &mut Vec<Hook>, hook: Hook) {
        list(&mut self.work.borrow_mut()).push(hook);
    }
}

/// So many of the newest blocks are looked at before a range is remembered.
const RECENT: usize = 4;

impl<'p> Tx<'p> {
    /// Brands a running transaction. The caller chooses `'p` fresh.
    pub(crate) fn new(core: Rc<TxCore>) -> Self {
        Self { core, brand: PhantomData }
    }

    /// Chooses when this transaction's commit returns, instead of the pool's default.
    pub fn set_durability(&self, durability: Durability) {
        self.core.durability.set(durability);
    }

    /// Runs `hook` once after this transaction has committed (and, under [`Durability::Immediate`], is durable). Hooks
    /// run in the order of their registration, outside the transaction.
    pub fn on_commit(&self, hook: impl FnOnce() + 'static) {
        self.core.hook(|work| &mut work.on_commit, Box::new(hook));
    }

    /// Runs `hook` once after this transaction has rolled back, whatever the reason.
    pub fn on_abort(&self, hook: impl FnOnce() + 'static) {
        self.core.hook(|work| &mut work.on_abort, Box::new(hook));
    }
}
