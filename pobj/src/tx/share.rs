//! Transactions that share the pool: many at once, each changing only what it holds a lock of.
//!
//! What is different from a transaction that has the pool alone:
//!
//! - The heap and the ring's end lie in a mutex of the pool, which is taken for each call and never held across one.
//! - Before bytes are changed their lock is taken (the typed floor sees to that), so old words, new words and rolling
//!   back concern nobody else. Locks are held to the transaction's end: after its record is ordered, so that whoever
//!   sees what it wrote comes after it in the journal, and so after a power cut is not there without it; or after its old
//!   words are back.
//! - Who would close a circle of waiting transactions is told so, whatever it answers is rolled back, and it runs again.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::commit::{Committed, add_changes};
use super::held::{Held, HeldLocks};
use super::{Fresh, TxCore, Work, commit, running};
use crate::ground::error::{Error, Result};
use crate::heap::Heap;
use crate::media::counts_here;
use crate::pool::locks::{Claim, Outcome, Party, Patience};
use crate::pool::{Owner, PoolCore, SEATS};

/// A transaction that is refused a lock for the sake of the others runs so many times before the caller hears of it.
pub(crate) const ATTEMPTS_MAX: u32 = 100;
/// The longest pause before it runs again.
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// What a transaction knows about itself beyond its ranges and blocks.
#[derive(Default)]
pub(super) struct Standing {
    /// Where it is counted; `None` if it has the pool alone.
    pub(super) seat: Option<usize>,
    /// It is counted there, and may hold locks.
    inside: bool,
    /// It was refused a lock, and must not commit.
    pub(super) refused: bool,
    pub(super) held: HeldLocks,
    /// The record on its way.
    scratch: Vec<u64>,
}

/// So many transactions that might have run alone run beside others before one looks whether there are others. If there are
/// it costs them a sleep.
const LONE_EVERY: u32 = 1024;

thread_local! {
    static LONE: Cell<u32> = const { Cell::new(0) };
    static PARTY: Party = {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

fn party() -> Party {
    PARTY.with(|party| *party)
}

/// Runs `body` as a transaction beside others, and again if it was refused a lock.
pub(crate) fn run_shared<T, E: From<Error>>(
    pool: &PoolCore,
    mut body: impl FnMut(&Rc<TxCore>) -> Result<T, E>,
) -> Result<Committed<T>, E> {
    for attempt in 0..ATTEMPTS_MAX {
        pause(attempt);
        match run_once(pool, &mut body)? {
            Some(value) => return Ok(value),
            None => continue,
        }
    }
    Err(Error::Deadlock.into())
}

/// As [`run_shared`], for a short transaction: alone where nobody else is there, which costs less.
pub(crate) fn run_lone<T, E: From<Error>>(
    pool: &PoolCore,
    mut body: impl FnMut(&Rc<TxCore>) -> Result<T, E>,
) -> Result<Committed<T>, E> {
    if pool.in_place {
        return commit::run(pool, body);
    }
    pool.check_usable()?;
    if let Some(tx) = TxCore::try_begin_alone(pool)? {
        return commit::run_begun(pool, tx, |tx| body(tx));
    }
    let committed = run_shared(pool, body);
    look_for_others(pool);
    committed
}

/// Now and then looks whether others are still there: a session of theirs stays open when they have gone.
#[inline]
pub(crate) fn look_for_others(pool: &PoolCore) {
    let count = LONE.with(|count| {
        count.set(count.get().wrapping_add(1));
        count.get()
    });
    if count.is_multiple_of(LONE_EVERY) {
        pool.gate.end_idle_session();
    }
}

/// `None` if it was refused a lock and is rolled back.
fn run_once<T, E: From<Error>>(
    pool: &PoolCore,
    body: &mut impl FnMut(&Rc<TxCore>) -> Result<T, E>,
) -> Result<Option<Committed<T>>, E> {
    pool.check_usable()?;
    let tx = TxCore::begin_shared(pool)?;
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&tx)));
    let refused = tx.is_refused();
    match outcome {
        Ok(Ok(value)) if !refused => match tx.commit_shared(pool) {
            Ok(id) => Ok(Some(Committed { value, id })),
            // Values that die at the commit may need locks of their own.
            Err(Error::Deadlock) => Ok(None),
            Err(error) => Err(error.into()),
        },
        Ok(outcome) => {
            tx.roll_back(pool);
            if refused { Ok(None) } else { outcome.map(|value| Some(Committed { value, id: None })) }
        }
        Err(panic) => {
            tx.roll_back(pool);
            resume_unwind(panic)
        }
    }
}

/// Gives those who were in the way the time to go on. Longer each time, and not the same for all.
fn pause(attempt: u32) {
    match attempt {
        0 => {}
        1..4 => std::thread::yield_now(),
        _ => {
            let micros = 10 * u64::from(attempt) + u64::from(party() % 8) * 5;
            std::thread::sleep(Duration::from_micros(micros).min(PAUSE_MAX));
        }
    }
}

impl TxCore {
    fn begin_shared(core: &PoolCore) -> Result<Rc<Self>> {
        if core.in_place {
            // The old words of one transaction at a time have room in the journal.
            return Self::begin(core);
        }
        running::begin(core, |tx| {
            let seat = core.gate.enter_sharing(party() as usize % SEATS);
            Self::prepared(tx, core, core.body_at(seat), |work| {
                work.standing.seat = Some(seat);
                work.standing.inside = true;
            })
        })
    }

    /// As [`begin`](Self::begin), if nobody else is there.
    #[inline]
    fn try_begin_alone(core: &PoolCore) -> Result<Option<Rc<Self>>> {
        running::try_begin(core, |tx| match core.gate.try_enter_writing() {
            Some(mut owner) => {
                let pool = owner.body.take().unwrap_or_else(|| core.body());
                Ok(Self::prepared(tx, core, pool, |work| work.owner = Some(owner)))
            }
            None => Err(tx),
        })
    }

    fn is_refused(&self) -> bool {
        self.work.borrow().standing.refused
    }

    /// As [`with`](Self::with), for a transaction that shares the pool.
    pub(super) fn with_shared<T>(
        &self,
        work: &mut Work,
        act: impl FnOnce(&mut Work, &mut Owner) -> T,
    ) -> Option<T> {
        if !work.standing.inside {
            return None;
        }
        let mut owner = self.pool().sharing.lock();
        owner.as_mut().map(|owner| act(work, owner))
    }

    /// Takes the lock of the place at `addr`, unless the transaction has the pool alone, and notes a guard's borrow.
    /// False if another transaction holds it and patience is at its end.
    pub(crate) fn borrow(&self, addr: u64, claim: Claim, patience: Patience) -> Result<bool> {
        let work = &mut *self.work.borrow_mut();
        let mut held = work.standing.held.get(addr).unwrap_or(Held::new(addr));
        if !held.is_free_for(claim) {
            return Err(Error::AlreadyBorrowed);
        }
        if !self.lock(&mut work.standing, &mut held, claim, patience)? {
            return Ok(false);
        }
        held.borrow(claim);
        held.kept = true;
        work.standing.held.set(held);
        Ok(true)
    }

    /// As [`borrow`](Self::borrow), shared, for a look that ends with [`end_look`](Self::end_look), and the lock with it.
    pub(crate) fn begin_look(&self, addr: u64, patience: Patience) -> Result<bool> {
        let work = &mut *self.work.borrow_mut();
        let mut held = work.standing.held.get(addr).unwrap_or(Held::new(addr));
        if !held.is_free_for(Claim::Shared) {
            return Err(Error::AlreadyBorrowed);
        }
        if !self.lock(&mut work.standing, &mut held, Claim::Shared, patience)? {
            return Ok(false);
        }
        held.borrow(Claim::Shared);
        work.standing.held.set(held);
        Ok(true)
    }

    /// Ends a look. The lock goes too, unless it was held before.
    pub(crate) fn end_look(&self, addr: u64) {
        if let Ok(mut work) = self.work.try_borrow_mut()
            && let Some(mut held) = work.standing.held.get(addr)
        {
            held.give_back(Claim::Shared);
            self.set_or_release(&mut work.standing, held);
        }
    }

    /// Waits until the lock of the place at `addr` is free, whatever is there by then. It is held until
    /// [`let_go`](Self::let_go), or to the end of the transaction if it is borrowed before.
    pub(crate) fn wait_for(&self, addr: u64, claim: Claim) -> Result<()> {
        let work = &mut *self.work.borrow_mut();
        let mut held = work.standing.held.get(addr).unwrap_or(Held::new(addr));
        while !self.lock(&mut work.standing, &mut held, claim, Patience::Endless)? {}
        Ok(())
    }

    /// Gives a lock back that was only waited for.
    pub(crate) fn let_go(&self, addr: u64) {
        let work = &mut *self.work.borrow_mut();
        if let Some(held) = work.standing.held.get(addr) {
            self.set_or_release(&mut work.standing, held);
        }
    }

    fn set_or_release(&self, standing: &mut Standing, mut held: Held) {
        if held.may_go() {
            held.claim = None;
            self.pool().locks.release(held.addr, party());
        }
        standing.held.set(held);
    }

    fn lock(
        &self,
        standing: &mut Standing,
        held: &mut Held,
        claim: Claim,
        patience: Patience,
    ) -> Result<bool> {
        if !self.has(held.addr) || !standing.inside || held.covers(claim) {
            return Ok(true);
        }
        if standing.refused {
            return Err(Error::Deadlock);
        }
        match self.pool().locks.acquire(held.addr, claim, party(), patience) {
            Outcome::Granted => {
                held.claim = Some(claim);
                standing.held.set(*held);
                Ok(true)
            }
            Outcome::Busy => Ok(false),
            Outcome::Deadlock => {
                standing.refused = true;
                Err(Error::Deadlock)
            }
        }
    }

    /// Takes the lock of the place at `addr` for changing it, without a guard: for what is changed word by word and never
    /// borrowed. Nothing to do where the transaction has the pool alone.
    pub(crate) fn lock_for_change(&self, addr: u64) -> Result<()> {
        let work = &mut *self.work.borrow_mut();
        if !work.standing.inside {
            return Ok(());
        }
        let mut held = work.standing.held.get(addr).unwrap_or(Held::new(addr));
        held.kept = true;
        self.lock(&mut work.standing, &mut held, Claim::Exclusive, Patience::Endless)?;
        // What it holds already, it keeps from now on.
        work.standing.held.set(held);
        Ok(())
    }

    /// Ends a guard's borrow. The lock stays.
    pub(crate) fn give_back(&self, addr: u64, claim: Claim) {
        // A guard may be dropped while the transaction's end takes dead values apart; none is then borrowed.
        if let Ok(mut work) = self.work.try_borrow_mut() {
            work.standing.held.give_back(addr, claim);
        }
    }

    /// Remembers the bytes of a value that may lie outside the pool, where they need not be remembered.
    pub(crate) fn log_if_inside(&self, addr: u64, len: u64) {
        if self.has(addr) {
            self.log(addr, len);
        }
    }

    /// As [`commit`](Self::commit), for a transaction that shares the pool: it has left the pool before its fence.
    fn commit_shared(self: Rc<Self>, pool: &PoolCore) -> Result<Option<u64>> {
        if pool.in_place {
            return self.commit(pool);
        }
        let ordered = match self.drop_dead_values().and_then(|()| self.order_shared(pool)) {
            Ok(ordered) => ordered,
            Err(error) => {
                self.roll_back(pool);
                return Err(error);
            }
        };
        let (durability, before) = (self.durability.get(), self.counts_before);
        let durable = match ordered {
            Some(txid) if pool.journal.waits(durability) => pool.journal.wait_durable(txid, before),
            _ => {
                pool.journal.foreground.add(counts_here() - before);
                Ok(())
            }
        };
        let hooks = self.finish(pool, true, Some(counts_here() - before));
        durable?;
        pool.journal.keep_pace();
        hooks.into_iter().for_each(|hook| hook());
        Ok(ordered)
    }

    /// Makes the record, orders it, brings the heap up to date, and sends the record on its way. `None` if nothing
    /// changed. Under the mutex is only what must be.
    ///
    /// Locks are given back, and the gate is left, before the record is on its way: an atomic instruction would wait for
    /// it.
    pub(super) fn order_shared(&self, core: &PoolCore) -> Result<Option<u64>> {
        let pool = self.pool();
        let image = &pool.image;
        let work = &mut *self.work.borrow_mut();
        if work.standing.refused {
            return Err(Error::Deadlock);
        }
        work.ranges.record(image, &mut work.body);
        let none_freed = !work.reservation.has_frees();
        if none_freed {
            self.add_fresh(work, None);
        }
        if let Some(offset) = image.fault() {
            return Err(Error::corrupt("a pointer leads out of the pool", offset));
        }
        if work.body.is_empty() && work.reservation.is_empty() {
            return Ok(None);
        }
        let mut place = pool.sharing.lock();
        let Some(owner) = place.as_mut() else { return Err(Error::Poisoned) };
        if !none_freed {
            self.add_fresh(work, Some(&owner.heap));
        }
        if !work.reservation.is_empty() {
            owner.heap.prepare(image, &mut work.reservation, &mut work.changes);
            add_changes(image, &work.changes, &mut work.body);
        }
        if work.body.is_empty() {
            owner.heap.rollback(image, &mut work.reservation);
            return Ok(None);
        }
        let reserved = pool.journal.reserve(&mut owner.end, work.body.words(), self.durability.get())?;
        let txid = reserved.txid();
        pool.heap_committed(owner, &mut work.reservation, txid);
        #[cfg(feature = "sim")]
        self.settle_unlogged(work);
        drop(place);
        work.standing.release(core);
        if let Err(error) = reserved.fill(&mut work.standing.scratch, work.body.words()) {
            // The journal is poisoned; the next open decides. The heap is past this transaction, so there is no way back.
            work.ranges.clear();
            return Err(error);
        }
        if work.standing.scratch.capacity() > 1 << 17 {
            work.standing.scratch = Vec::new();
        }
        Ok(Some(txid))
    }

    /// Adds the new blocks to the record, without those that `heap` knows to be freed again.
    fn add_fresh(&self, work: &mut Work, heap: Option<&Heap>) {
        for Fresh { offset, words } in &work.fresh {
            if heap.is_some_and(|heap| heap.frees(&mut work.reservation, *offset)) {
                continue;
            }
            self.pool().image.read_words(*offset, *words, |now| work.body.contents(*offset, now));
        }
    }
}

impl Standing {
    /// Gives the transaction's locks back, and lets others in who wait for nobody to be inside.
    #[inline]
    pub(super) fn release(&mut self, pool: &PoolCore) {
        self.refused = false;
        if !std::mem::take(&mut self.inside) {
            return self.held.clear(|_| {});
        }
        let party = party();
        self.held.clear(|addr| pool.locks.release(addr, party));
        if let Some(seat) = self.seat {
            pool.gate.leave_sharing(seat);
        }
    }
}
