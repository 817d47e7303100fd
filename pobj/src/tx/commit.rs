//! Running a transaction to its end.
//!
//! Commit: take dead values apart; turn ranges, new blocks and allocator changes into one record; order it; update
//! the allocator's bytes in the image; let the next writer in (J8); wait until it is durable. An error before the
//! record is ordered rolls back as if the closure had failed. An empty record is not written at all.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::{Fate, Fresh, Hook, TxCore, Work, running};
use crate::ground::error::{Error, Result};
use crate::heap::Change;
use crate::journal::Body;
use crate::media::{Image, MediaCounts, counts_here};
use crate::pool::{Owner, PoolCore};

/// What a committed transaction gives: [`Pool::write_with_id`](crate::Pool::write_with_id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed<T> {
    /// What the closure returned.
    pub value: T,
    /// Id of the transaction; `None` if it changed nothing, so that there is nothing of it in the pool.
    pub id: Option<u64>,
}

/// Runs `body` as a transaction on `pool`.
pub(crate) fn run<T, E: From<Error>>(
    pool: &PoolCore,
    body: impl FnOnce(&Rc<TxCore>) -> Result<T, E>,
) -> Result<Committed<T>, E> {
    pool.check_usable()?;
    run_begun(pool, TxCore::begin(pool)?, body)
}

/// Runs `body` in the transaction `tx`, which has the pool alone.
#[inline]
pub(super) fn run_begun<T, E: From<Error>>(
    pool: &PoolCore,
    tx: Rc<TxCore>,
    body: impl FnOnce(&Rc<TxCore>) -> Result<T, E>,
) -> Result<Committed<T>, E> {
    match catch_unwind(AssertUnwindSafe(|| body(&tx))) {
        Ok(Ok(value)) => match tx.commit(pool) {
            Ok(id) => Ok(Committed { value, id }),
            Err(error) => Err(error.into()),
        },
        Ok(Err(error)) => {
            tx.roll_back(pool);
            Err(error)
        }
        Err(panic) => {
            tx.roll_back(pool);
            resume_unwind(panic)
        }
    }
}

/// What came of ordering a transaction. Small: a `Result` goes through memory in pieces, and copying it whole waits for
/// all of them.
#[derive(Clone, Copy)]
pub(super) enum Ordered {
    /// It changed nothing.
    Nothing,
    /// It has this id.
    At(u64),
    /// It failed; why is in [`Work::failure`].
    Failed,
}

impl Work {
    #[cold]
    fn fail(&mut self, error: Error) -> Ordered {
        self.failure = Some(error);
        Ordered::Failed
    }
}

impl TxCore {
    pub(super) fn commit(self: Rc<Self>, pool: &PoolCore) -> Result<Option<u64>> {
        let txid = match self.order() {
            Ordered::Nothing => None,
            Ordered::At(txid) => Some(txid),
            Ordered::Failed => {
                let failure = self.work.borrow_mut().failure.take();
                self.roll_back(pool);
                return Err(failure.unwrap_or(Error::Poisoned));
            }
        };
        let (durability, before) = (self.durability.get(), self.counts_before);
        let Some(awaited) = txid.filter(|_| pool.journal.waits(durability)) else {
            let counts = counts_here() - before;
            pool.journal.foreground.add(counts);
            let hooks = self.finish(pool, true, Some(counts));
            pool.journal.keep_pace();
            hooks.into_iter().for_each(|hook| hook());
            return Ok(txid);
        };
        if pool.journal.fences_alone() {
            // As much as can be before the fence: behind it the caller waits for every instruction, and here for none,
            // because the record is on its way.
            let counts = counts_here() - before + MediaCounts::FENCE;
            let hooks = self.finish(pool, true, Some(counts));
            pool.journal.fence_record(awaited, counts)?;
            pool.journal.keep_pace();
            if !hooks.is_empty() {
                hooks.into_iter().for_each(|hook| hook());
            }
            return Ok(txid);
        }
        let hooks = self.finish(pool, true, None);
        let durable = pool.journal.wait_durable(awaited, before);
        running::note_counts(pool, counts_here() - before);
        durable?;
        hooks.into_iter().for_each(|hook| hook());
        Ok(txid)
    }

    /// Takes everything apart that died, the newest first: a value's own pointers join the list (I2). So the list holds
    /// what is beside the way down to the value at hand, never a whole level: one entry for a chain of any length. A
    /// block may be freed before all values in it are taken apart; its bytes stay until the transaction has ended.
    pub(super) fn drop_dead_values(&self) -> Result<()> {
        loop {
            let next = self.work.borrow_mut().drops.pop();
            let Some(dead) = next else { return Ok(()) };
            let fate = match dead.glue {
                Some(glue) => glue(self, dead.addr, dead.count)?,
                None => Fate::Free,
            };
            if fate == Fate::Free && dead.block != 0 {
                self.free(dead.block);
            }
        }
    }

    /// Makes the record, orders it and brings the heap up to date. `None` if nothing changed.
    #[inline]
    fn order(&self) -> Ordered {
        if !self.work.borrow().drops.is_empty()
            && let Err(error) = self.drop_dead_values()
        {
            return self.work.borrow_mut().fail(error);
        }
        let ordered = self.with(|work, owner| match self.order_alone(work, owner) {
            Ok(ordered) => ordered,
            Err(error) => work.fail(error),
        });
        ordered.unwrap_or(Ordered::Nothing)
    }

    #[inline(always)]
    fn order_alone(&self, work: &mut Work, owner: &mut Owner) -> Result<Ordered> {
        if self.pool().in_place {
            let txid = self.order_in_place(work, owner)?;
            return Ok(txid.map_or(Ordered::Nothing, Ordered::At));
        }
        let image = &self.pool().image;
        work.ranges.record(image, &mut work.body);
        for Fresh { offset, words } in &work.fresh {
            if owner.heap.frees(&mut work.reservation, *offset) {
                continue;
            }
            image.read_words(*offset, *words, |now| work.body.contents(*offset, now));
        }
        if !work.reservation.is_empty() {
            owner.heap.prepare(image, &mut work.reservation, &mut work.changes);
            add_changes(image, &work.changes, &mut work.body);
        }
        if let Some(offset) = image.fault() {
            return Err(Error::corrupt("a pointer leads out of the pool", offset));
        }
        #[cfg(feature = "sim")]
        self.check_unlogged(work, owner)?;
        if work.body.is_empty() {
            if !work.reservation.is_empty() {
                // Whatever it allocated it freed again; the heap must forget it, and the reservation is reused.
                owner.heap.rollback(image, &mut work.reservation);
            }
            return Ok(Ordered::Nothing);
        }
        let durability = self.durability.get();
        let txid = self.pool().journal.append(&mut owner.end, work.body.words(), durability)?;
        self.pool().heap_committed(owner, &mut work.reservation, txid);
        #[cfg(feature = "sim")]
        self.settle_unlogged(work);
        Ok(Ordered::At(txid))
    }

    pub(super) fn roll_back(self: Rc<Self>, pool: &PoolCore) {
        self.with(|work, owner| {
            if self.pool().in_place {
                self.roll_back_in_place(work);
            } else {
                work.ranges.restore(&self.pool().image);
                #[cfg(feature = "sim")]
                {
                    work.changes.clear();
                    self.settle_unlogged(work);
                }
            }
            owner.heap.rollback(&self.pool().image, &mut work.reservation);
        });
        let counts = counts_here() - self.counts_before;
        pool.failed.add(counts);
        self.finish(pool, false, Some(counts)).into_iter().for_each(|hook| hook());
    }

    /// Ends the transaction: lets the next writer in, keeps the buffers, gives the hooks that are due.
    #[inline]
    pub(super) fn finish(
        self: Rc<Self>,
        pool: &PoolCore,
        committed: bool,
        counts: Option<MediaCounts>,
    ) -> Vec<Hook> {
        let (hooks, owner, seat) = {
            let mut work = self.work.borrow_mut();
            // Whoever gets these locks sees what this transaction ordered, or its old words again.
            work.standing.release(pool);
            (work.clear(committed), work.owner.take(), work.standing.seat.take())
        };
        let body = running::end(self, counts);
        if let Some(mut owner) = owner {
            owner.body = body;
            // Last, because it is an atomic instruction, and that waits for the record on its way to persistent memory.
            pool.gate.leave_writing(owner);
        } else {
            pool.keep_body(seat, body);
        }
        hooks
    }
}

/// Adds the heap's changes as the resulting words, so that home is written without being read (J1).
pub(super) fn add_changes(image: &Image, changes: &[Change], body: &mut Body) {
    // A word may be set and cleared in two changes side by side.
    let mut last = (u64::MAX, 0);
    for change in changes {
        let now = |offset| if last.0 == offset { last.1 } else { image.load_u64(offset) };
        last = match *change {
            Change::Word { offset, value } => (offset, value),
            Change::Set { offset, mask } => (offset, now(offset) | mask),
            Change::Clear { offset, mask } => (offset, now(offset) & !mask),
            Change::Zeros { offset, count } => {
                body.zeros(offset, count);
                continue;
            }
        };
        body.word(last.0, last.1);
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a drop that puts a whole structure on the work list at once: that of ten million nodes would need
    //! hundreds of megabytes to be freed.
    use std::sync::Arc;

    use super::super::running;
    use crate::layout::{Persistent, View, Visit};
    use crate::media::RamMedia;
    use crate::typed::persistent_struct;
    use crate::{Durability, PBox, PDeque, PList, PVec, Pool, Result, Tx};

    #[repr(C)]
    #[derive(Default)]
    struct Node<'p> {
        next: Option<PBox<'p, Node<'p>>>,
    }

    persistent_struct! {
        impl['p] Node['p] called "Node"[];
        at<'q> = Node<'q>;
        fields { next: Option<PBox<'p, Node<'p>>> }
        check = |view: View<'_>, visit: &mut Visit<'_>| Option::<PBox<'_, Node<'_>>>::validate(view, visit);
    }

    type Boxes<'p> = PVec<'p, PBox<'p, u64>>;

    /// Makes a root, kills it in a transaction of its own, and gives the most entries that the work list had room for.
    fn longest_list<R>(blocks: u64, fill: impl for<'p> Fn(&mut R::At<'p>, &Tx<'p>) -> Result<()>) -> usize
    where
        R: Persistent,
        for<'p> R::At<'p>: Default,
    {
        let max_size = if cfg!(miri) { 4 << 20 } else { 256 << 20 };
        let media = Arc::new(RamMedia::new(max_size).unwrap());
        let options = Pool::<R>::options().max_size(max_size).size(128 << 10).ring_size(64 << 10);
        let pool =
            options.durability(Durability::Eventual).create_on(media, |_| Ok(Default::default())).unwrap();
        let baseline = pool.stats().heap.live_blocks;
        pool.write(|root, tx| fill(root, tx)).unwrap();
        assert!(pool.stats().heap.live_blocks >= baseline + blocks);
        // What the thread keeps from the transactions before does not count.
        running::take_spare();
        pool.write(|root, _| {
            *root = Default::default();
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.stats().heap.live_blocks, baseline);
        let spare = running::take_spare().expect("the transaction's memory");
        spare.work.borrow().drops.capacity()
    }

    const COUNT: u64 = if cfg!(miri) { 300 } else { 300_000 };
    /// A few steps of values for each level of what is dropped.
    const ENTRIES_MAX: usize = 512;

    #[test]
    fn the_work_list_of_a_chain_has_one_entry() {
        let longest = longest_list::<Node<'_>>(COUNT, |root, tx| {
            for _ in 0..COUNT {
                let next = root.next.take();
                root.next = Some(PBox::new(tx, Node { next })?);
            }
            Ok(())
        });
        assert!(longest <= 4, "room for {longest} entries");
    }

    #[test]
    fn the_work_list_of_a_wide_block_is_short() {
        let longest = longest_list::<Boxes<'_>>(COUNT, |root, tx| {
            (0..COUNT).try_for_each(|n| root.push(tx, PBox::new(tx, n)?))
        });
        assert!(longest <= ENTRIES_MAX, "a vector: room for {longest} entries");
        let longest = longest_list::<PDeque<'_, Boxes<'_>>>(COUNT, |root, tx| {
            for n in 0..COUNT / 100 {
                let mut boxes = PVec::new();
                (0..100).try_for_each(|n| boxes.push(tx, PBox::new(tx, n)?))?;
                if n % 2 == 0 { root.push_front(tx, boxes)? } else { root.push_back(tx, boxes)? }
            }
            Ok(())
        });
        assert!(longest <= ENTRIES_MAX, "a queue of vectors: room for {longest} entries");
        let longest = longest_list::<PList<'_, PBox<'_, u64>>>(COUNT, |root, tx| {
            (0..COUNT).try_for_each(|n| root.push_back(tx, PBox::new(tx, n)?).map(drop))
        });
        assert!(longest <= ENTRIES_MAX, "a list: room for {longest} entries");
    }
}
