//! The walk over every object that is reachable from the root, which safe `open` makes before it hands out `&T`.
//!
//! A validator ([`Persistent::validate`]) looks at one object and hands the blocks that it owns to its [`Visit`]:
//! [`Visit::own`] claims the block (allocated, large enough, owned by nobody else) and puts the objects in it on a
//! list of work. The walk is a loop over that list, never a recursion, so a list of ten million nodes needs no
//! stack. Objects wait a moment in a short window between the list and their check, in which their cache lines
//! are fetched; that is what makes shuffled small objects cheap.
//!
//! [`check_all`] runs the loop on several threads. A thread without work makes itself known, and the next busy
//! thread to notice moves half of its list to a shared one.
//! Pointers that share a block are noted, and judged at the end of the walk ([`super::shared`]).
//!
//! - **B1** A range that a [`Blocks`] accepts is mapped, readable, of exposed provenance, and not written during the
//!   visit; what the allocator has not handed out since is initialised.
//! - **B2** A block is claimed at most once, so an owner graph that passes is a forest.
//! - **B3** A [`Job`] exists only for a range that was claimed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub use super::invalid::Invalid;
use super::persistent::Persistent;
use super::prefetch::prefetch;
use super::schema::erased_type_id;
use super::shared::{Hold, Note, SharedBlock};
use super::view::View;

/// What the walk asks the heap. The implementer upholds B1 and B2.
pub(crate) trait Blocks: Sync {
    /// Accepts `addr` as the start of an allocated block of at least `len` bytes, aligned to `align`, that nobody
    /// claimed before, and marks it claimed.
    fn claim(&self, addr: u64, len: u64, align: u64) -> Result<(), Invalid>;

    /// As [`claim`](Self::claim), for a block that may be claimed again: whether this is the first claim.
    fn claim_shared(&self, addr: u64, len: u64, align: u64) -> Result<bool, Invalid>;

    /// The same test without the claim: for pointers that do not own.
    fn known(&self, addr: u64, len: u64, align: u64) -> Result<(), Invalid>;

    /// Bytes that the blocks have together, at most.
    fn heap_len(&self) -> u64;

    /// Makes sure that the medium gives these bytes, which are in a known block, before they are looked at.
    fn show(&self, _addr: u64, _len: u64) -> Result<(), Invalid> {
        Ok(())
    }
}

/// A block that is not a value of one Rust type, with a length and a check of its own.
pub(crate) trait Block {
    /// Bytes of the block.
    const LEN: u64;
    /// What its address is a multiple of.
    const ALIGN: u64;

    /// Checks the block's bytes, as [`Persistent::validate`] does a value's.
    fn check(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid>;
}

/// Checks `count` values side by side at `addr`. The range must have been claimed (B3).
type Check = fn(addr: u64, count: u64, visit: &mut Visit<'_>) -> Result<(), Invalid>;

/// Values that were claimed and are still to be checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    addr: u64,
    count: u64,
    size: u64,
    check: Check,
}

/// Alignments that a pool honours; the address of a value without bytes is below this too.
pub(crate) const ALIGN_MAX: u64 = 4096;
/// Objects between the list and their check: enough for their cache lines to arrive, few enough to stay there.
const WINDOW: usize = if cfg!(miri) { 2 } else { 8 };
/// Bytes of a dense block that are checked before its rest goes back to the list, where other threads may take it.
const STEP: u64 = if cfg!(miri) { 64 } else { 16 * 1024 };
/// Checks between two looks at whether a thread is without work.
const SHARE_EVERY: u32 = if cfg!(miri) { 2 } else { 64 };

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Checking everything that a program could get at.
    Check,
    /// Finding what must be kept: weak pointers keep no value, pointers that own nothing are noted.
    Collect,
}

/// What a walk has found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// What has been claimed.
    pub(crate) totals: Totals,
    /// Pointers to shared blocks.
    pub(crate) shared: Vec<Note>,
    /// Targets of pointers that own nothing, in a walk that collects.
    points: Vec<Job>,
}

impl Walk {
    fn add(&mut self, other: Self) {
        self.totals += other.totals;
        self.shared.extend(other.shared);
        self.points.extend(other.points);
    }
}

/// The state of one thread's walk.
pub struct Visit<'v> {
    blocks: &'v dyn Blocks,
    purpose: Purpose,
    /// A block that is claimed already is no fault, and is not looked at again.
    lenient: bool,
    list: Vec<Job>,
    window: [Option<Job>; WINDOW],
    oldest: usize,
    waiting: usize,
    /// What this thread has found.
    found: Walk,
}

/// What a walk has claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Blocks with an owner.
    pub(crate) blocks: u64,
    /// Values in them that an owner counts as initialised.
    pub(crate) objects: u64,
    /// Bytes of those values.
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.objects = self.objects.saturating_add(other.objects);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl<'v> Visit<'v> {
    /// A walk that has not started.
    pub(crate) fn new(blocks: &'v dyn Blocks, purpose: Purpose) -> Self {
        Self {
            blocks,
            purpose,
            lenient: false,
            list: Vec::new(),
            window: [None; WINDOW],
            oldest: 0,
            waiting: 0,
            found: Walk::default(),
        }
    }

    /// Claims the block at `addr` for `count` values of `T`, and checks them later in the walk.
    ///
    /// `count` 0 claims the block without checking anything in it, unless `addr` is the placeholder of an owner
    /// that has no block (not zero, aligned, below 4096).
    ///
    /// # Errors
    ///
    /// [`Invalid`] if `addr` is not the start of an allocated block with room for them, or has another owner.
    #[inline]
    pub fn own<T: Persistent>(&mut self, addr: u64, count: u64) -> Result<(), Invalid> {
        if let Some(len) = block_len::<T>(addr, count)? {
            prefetch(addr);
            if let Err(refused) = self.blocks.claim(addr, len, align_of::<T>() as u64) {
                return self.forgive(addr, len, refused);
            }
            #[cfg(feature = "sim")]
            super::seek::note::<T>(addr, len);
            self.found.totals += Totals { blocks: 1, objects: count, bytes: len };
            if !T::PLAIN && count != 0 {
                self.list.push(Job { addr, count, size: size_of::<T>() as u64, check: check::<T> });
            }
        }
        Ok(())
    }

    /// Claims the block at `addr` for a ring of `places` values of `T`, and checks later in the walk the `count` of them
    /// that begin at place `first` and go on at place 0.
    ///
    /// # Errors
    ///
    /// Those of [`own`](Self::own); [`Invalid`] if `first` or `count` is more than the ring has.
    pub fn own_ring<T: Persistent>(
        &mut self,
        addr: u64,
        places: u64,
        first: u64,
        count: u64,
    ) -> Result<(), Invalid> {
        if first >= places || count > places {
            let what = format!("a ring of {places} places holds {count} values from place {first} on");
            return Err(Invalid::new(what, addr));
        }
        if let Some(len) = block_len::<T>(addr, places)? {
            if let Err(refused) = self.blocks.claim(addr, len, align_of::<T>() as u64) {
                return self.forgive(addr, len, refused);
            }
            let size = size_of::<T>() as u64;
            #[cfg(feature = "sim")]
            super::seek::note::<T>(addr, len);
            self.found.totals += Totals { blocks: 1, objects: count, bytes: size * count };
            if !T::PLAIN {
                let front = count.min(places - first);
                for (place, count) in [(first, front), (0, count - front)] {
                    if count != 0 {
                        self.list.push(Job { addr: addr + place * size, count, size, check: check::<T> });
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that `addr` is the start of an allocated block with room for `count` values of `T`, without
    /// claiming it: for pointers that do not own their target.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if it is not.
    #[inline]
    pub fn point<T: Persistent>(&mut self, addr: u64, count: u64) -> Result<(), Invalid> {
        if let Some(len) = block_len::<T>(addr, count)? {
            self.blocks.known(addr, len, align_of::<T>() as u64)?;
            if self.purpose == Purpose::Collect {
                self.found.points.push(Job { addr, count, size: size_of::<T>() as u64, check: check::<T> });
            }
        }
        Ok(())
    }

    /// Notes a pointer of type `P` to the [`SharedBlock<T>`] at `addr`. The first one claims it and has its value
    /// checked; whether the counts fit is found out at the end of the walk.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if `addr` is not the start of an allocated block with room for it.
    pub(crate) fn share<P, T: Persistent>(&mut self, addr: u64, hold: Hold) -> Result<(), Invalid> {
        let Some(len) = block_len::<SharedBlock<T>>(addr, 1)? else {
            return Err(Invalid::new(format!("a shared pointer is {addr:#x}"), addr));
        };
        let align = align_of::<SharedBlock<T>>() as u64;
        let first = if hold == Hold::Weak && self.purpose == Purpose::Collect {
            self.blocks.known(addr, len, align)?;
            false
        } else {
            self.blocks.claim_shared(addr, len, align)?
        };
        self.found.shared.push(Note::new(addr, hold, first, erased_type_id::<P>()));
        if !first {
            return Ok(());
        }
        self.blocks.show(addr, len)?;
        // SAFETY: claimed just now, so V1 follows from B1.
        let block = unsafe { View::new(addr, len) };
        let alive = block.u64(0)? != 0;
        self.found.totals += Totals { blocks: 1, objects: u64::from(alive), bytes: len };
        if alive && !T::PLAIN {
            let value = addr + std::mem::offset_of!(SharedBlock<T>, value) as u64;
            self.list.push(Job { addr: value, count: 1, size: size_of::<T>() as u64, check: check::<T> });
        }
        Ok(())
    }

    /// Bytes that all blocks have together, at most: a bound for numbers that nothing else checks.
    pub(crate) fn heap_len(&self) -> u64 {
        self.blocks.heap_len()
    }

    /// A claim that was refused: only a lenient walk may pass, over a block that it knows.
    #[cold]
    fn forgive(&self, addr: u64, len: u64, refused: Invalid) -> Result<(), Invalid> {
        if self.lenient { self.blocks.known(addr, len, 1) } else { Err(refused) }
    }

    /// Claims a block of `len` bytes like [`own`](Self::own) and gives a view of them, for a check that looks into
    /// them at once (is this text UTF-8?).
    ///
    /// # Errors
    ///
    /// Those of [`own`](Self::own).
    pub fn own_bytes(&mut self, addr: u64, len: u64) -> Result<View<'v>, Invalid> {
        self.own_view::<u8>(addr, len)
    }

    /// As [`own`](Self::own), and gives a view of the `count` values at once, which are not checked yet: for a check
    /// that spans several blocks.
    ///
    /// # Errors
    ///
    /// Those of [`own`](Self::own).
    pub fn own_view<T: Persistent>(&mut self, addr: u64, count: u64) -> Result<View<'v>, Invalid> {
        self.own::<T>(addr, count)?;
        // `own` found that the product does not overflow.
        let len = size_of::<T>() as u64 * count;
        self.blocks.show(addr, len)?;
        // SAFETY: the range has just been claimed (or is empty), so V1 follows from B1.
        Ok(unsafe { View::new(addr, len) })
    }

    /// Claims a block at `addr`, checks it later in the walk, and gives a view of it at once.
    pub(crate) fn own_block<B: Block>(&mut self, addr: u64) -> Result<View<'v>, Invalid> {
        if addr == 0 || !addr.is_multiple_of(B::ALIGN) {
            return Err(Invalid::new(format!("a pointer to a block is {addr:#x}"), addr));
        }
        prefetch(addr);
        match self.blocks.claim(addr, B::LEN, B::ALIGN) {
            Ok(()) => {
                #[cfg(feature = "sim")]
                super::seek::note::<B>(addr, B::LEN);
                self.found.totals += Totals { blocks: 1, objects: 1, bytes: B::LEN };
                self.list.push(Job { addr, count: 1, size: B::LEN, check: check_block::<B> });
            }
            Err(refused) => self.forgive(addr, B::LEN, refused)?,
        }
        self.blocks.show(addr, B::LEN)?;
        // SAFETY: the range has just been claimed, or was before, so V1 follows from B1.
        Ok(unsafe { View::new(addr, B::LEN) })
    }

    /// The block in `view` has `len` bytes, more than its kind has at least: those behind the view are its own, too.
    pub(crate) fn extend(&mut self, view: View<'_>, len: u64) -> Result<(), Invalid> {
        self.blocks.known(view.addr(), len, 1)?;
        self.blocks.show(view.addr(), len)?;
        self.found.totals.bytes += len - view.len();
        Ok(())
    }

    /// Checks everything on the list, and everything that puts on it.
    pub(crate) fn run(&mut self) -> Result<(), Invalid> {
        while self.step()? {}
        Ok(())
    }

    /// Keeps what pointers lead to that own nothing, and everything that hangs on it, as far as nothing else did.
    fn keep_points(&mut self) -> Result<(), Invalid> {
        while let Some(job) = self.found.points.pop() {
            let len = job.size * job.count;
            if self.blocks.claim_shared(job.addr, len, 1)? {
                self.found.totals += Totals { blocks: 1, objects: job.count, bytes: len };
                self.list.push(job);
                self.run()?;
            }
        }
        Ok(())
    }

    /// Checks the job that waited longest; false if there is none.
    #[inline]
    fn step(&mut self) -> Result<bool, Invalid> {
        while self.waiting < WINDOW {
            let Some(mut job) = self.list.pop() else {
                break;
            };
            self.split(&mut job);
            self.blocks.show(job.addr, job.size * job.count)?;
            prefetch(job.addr);
            self.window[(self.oldest + self.waiting) % WINDOW] = Some(job);
            self.waiting += 1;
        }
        let Some(job) = self.window[self.oldest].take() else {
            return Ok(false);
        };
        self.oldest = (self.oldest + 1) % WINDOW;
        self.waiting -= 1;
        (job.check)(job.addr, job.count, self)?;
        Ok(true)
    }

    /// Leaves one step of a long job and returns its rest to the list, so that the list stays short (one entry
    /// for each level, not one for each element) and the rest can be taken by another thread.
    #[inline]
    fn split(&mut self, job: &mut Job) {
        let now = (STEP / job.size.max(1)).max(1);
        if job.count > now {
            self.list.push(Job { addr: job.addr + now * job.size, count: job.count - now, ..*job });
            job.count = now;
        }
    }
}

/// Length of the block that `count` values of `T` at `addr` need; `None` for the placeholder of no block.
#[inline]
fn block_len<T>(addr: u64, count: u64) -> Result<Option<u64>, Invalid> {
    let align = align_of::<T>() as u64;
    if addr == 0 || !addr.is_multiple_of(align) {
        return Err(Invalid::new(format!("a pointer to a type with alignment {align} is {addr:#x}"), addr));
    }
    match (size_of::<T>() as u64).checked_mul(count) {
        Some(0) if addr <= ALIGN_MAX => Ok(None),
        Some(len) => Ok(Some(len)),
        None => {
            Err(Invalid::new(format!("a block is said to hold {count} values, more than any pool can"), addr))
        }
    }
}

/// The [`Check`] of `T`.
fn check<T: Persistent>(addr: u64, count: u64, visit: &mut Visit<'_>) -> Result<(), Invalid> {
    let size = size_of::<T>() as u64;
    // All values without bytes are the same value.
    let count = if size == 0 { count.min(1) } else { count };
    for index in 0..count {
        // SAFETY: B3: the range was claimed, so V1 follows from B1; the sum cannot overflow within a claimed range.
        let view = unsafe { View::new(addr + index * size, size) };
        T::validate(view, visit)?;
    }
    Ok(())
}

/// The [`Check`] of the blocks `B`.
fn check_block<B: Block>(addr: u64, _count: u64, visit: &mut Visit<'_>) -> Result<(), Invalid> {
    // SAFETY: B3: the block was claimed, so V1 follows from B1.
    B::check(unsafe { View::new(addr, B::LEN) }, visit)
}

/// The first job of a walk: claims the root.
///
/// # Errors
///
/// [`Invalid`] if the root's block cannot be claimed.
pub(crate) fn root_job<T: Persistent>(blocks: &dyn Blocks, addr: u64) -> Result<Vec<Job>, Invalid> {
    let mut visit = Visit::new(blocks, Purpose::Check);
    visit.own::<T>(addr, 1)?;
    Ok(visit.list)
}

/// Walks everything reachable from the jobs in `roots` with `threads` threads, this one among them.
///
/// # Errors
///
/// The first [`Invalid`] that any thread met.
pub(crate) fn check_all(
    blocks: &dyn Blocks,
    purpose: Purpose,
    roots: Vec<Job>,
    threads: usize,
) -> Result<Walk, Invalid> {
    let mut walk = Walk::default();
    for root in &roots {
        let bytes = root.count.saturating_mul(root.size);
        walk.totals += Totals { blocks: 1, objects: root.count, bytes };
    }
    if threads <= 1 {
        let mut visit = Visit::new(blocks, purpose);
        visit.list = roots;
        visit.run()?;
        walk.add(visit.found);
        return Ok(walk);
    }
    let shared = Shared {
        purpose,
        state: Mutex::new(SharedState { list: roots, threads, idle: 0, finished: false, failure: None }),
        wake: Condvar::new(),
        hungry: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let start = |_| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || shared.work(blocks));
            // Where the system has no more threads, those there are do the work.
            thread.inspect_err(|_| shared.lock().threads -= 1).ok()
        };
        let workers: Vec<_> = (1..threads).filter_map(start).collect();
        walk.add(shared.work(blocks));
        for worker in workers {
            match worker.join() {
                Ok(found) => walk.add(found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    match shared.lock().failure.take() {
        Some(failure) => Err(failure),
        None => Ok(walk),
    }
}

/// The second part of a walk that collects: what pointers lead to that own nothing is kept as well.
///
/// # Errors
///
/// [`Invalid`] if such a pointer leads to what is not a value of its type, though nothing owns it.
pub(crate) fn keep_points(blocks: &dyn Blocks, walk: Walk) -> Result<Walk, Invalid> {
    let mut visit = Visit::new(blocks, Purpose::Collect);
    visit.lenient = true;
    visit.found = walk;
    visit.keep_points()?;
    Ok(visit.found)
}

/// What the threads of one walk share.
struct Shared {
    purpose: Purpose,
    state: Mutex<SharedState>,
    wake: Condvar,
    /// Threads that wait for work: busy ones look here without taking the lock.
    hungry: AtomicUsize,
    /// Set once a thread failed; the others give up at their next look.
    stop: AtomicBool,
}

struct SharedState {
    list: Vec<Job>,
    /// Threads that work, or soon will; this one's own is the last to begin, so they are never all idle before.
    threads: usize,
    idle: usize,
    finished: bool,
    failure: Option<Invalid>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SharedState> {
        // The state is whole between any two statements that hold the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread: take, walk, share, until nobody has work.
    fn work(&self, blocks: &dyn Blocks) -> Walk {
        let mut visit = Visit::new(blocks, self.purpose);
        while self.take(&mut visit.list) {
            let mut since_look = 0;
            loop {
                match visit.step() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(failure) => {
                        self.fail(failure);
                        return visit.found;
                    }
                }
                since_look += 1;
                if since_look >= SHARE_EVERY {
                    since_look = 0;
                    if self.stop.load(Ordering::Relaxed) {
                        return visit.found;
                    }
                    if self.hungry.load(Ordering::Relaxed) > 0 {
                        self.share(&mut visit.list);
                    }
                }
            }
        }
        visit.found
    }

    /// Waits for work on the shared list and takes half of it; false when the walk is over.
    fn take(&self, into: &mut Vec<Job>) -> bool {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            if state.finished {
                return false;
            }
            if !state.list.is_empty() {
                let keep = state.list.len() / 2;
                into.extend(state.list.drain(keep..));
                state.idle -= 1;
                return true;
            }
            if state.idle == state.threads {
                state.finished = true;
                self.wake.notify_all();
                return false;
            }
            self.hungry.fetch_add(1, Ordering::Relaxed);
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            self.hungry.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Moves the older half of a thread's list to the shared one: the older a job, the more hangs below it.
    fn share(&self, list: &mut Vec<Job>) {
        if list.len() == 1 && list[0].count > 1 {
            let whole = list[0];
            let half = whole.count / 2;
            list[0].count = half;
            list.push(Job { addr: whole.addr + half * whole.size, count: whole.count - half, ..whole });
        }
        if list.len() < 2 {
            return;
        }
        let give = list.len() / 2;
        self.lock().list.extend(list.drain(..give));
        self.wake.notify_all();
    }

    fn fail(&self, failure: Invalid) {
        self.stop.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        state.failure.get_or_insert(failure);
        state.finished = true;
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::samples::Owner;
    use super::super::schema::{SchemaBuilder, TypeIndex};
    use super::*;

    /// Blocks of `u64`s in one allocation, as the heap would know them.
    struct TestHeap {
        words: Vec<u64>,
        blocks: BTreeMap<u64, (u64, AtomicBool)>,
    }

    impl TestHeap {
        fn new(words: Vec<u64>) -> Self {
            words.as_ptr().expose_provenance();
            Self { words, blocks: BTreeMap::new() }
        }

        fn addr(&self, word: usize) -> u64 {
            self.words.as_ptr().addr() as u64 + word as u64 * 8
        }

        fn block(&mut self, word: usize, words: usize) {
            self.blocks.insert(self.addr(word), (words as u64 * 8, AtomicBool::new(false)));
        }

        fn check<T: Persistent>(&self, root: usize, threads: usize) -> Result<Totals, Invalid> {
            for (_, claimed) in self.blocks.values() {
                claimed.store(false, Ordering::Relaxed);
            }
            let roots = root_job::<T>(self, self.addr(root))?;
            check_all(self, Purpose::Check, roots, threads).map(|walk| walk.totals)
        }
    }

    impl Blocks for TestHeap {
        fn claim(&self, addr: u64, len: u64, align: u64) -> Result<(), Invalid> {
            self.known(addr, len, align)?;
            match self.blocks[&addr].1.swap(true, Ordering::Relaxed) {
                false => Ok(()),
                true => Err(Invalid::new("owned twice", addr)),
            }
        }

        fn claim_shared(&self, addr: u64, len: u64, align: u64) -> Result<bool, Invalid> {
            self.known(addr, len, align)?;
            Ok(!self.blocks[&addr].1.swap(true, Ordering::Relaxed))
        }

        fn known(&self, addr: u64, len: u64, _align: u64) -> Result<(), Invalid> {
            match self.blocks.get(&addr) {
                Some((block, _)) if *block >= len => Ok(()),
                _ => Err(Invalid::new("not a block", addr)),
            }
        }

        fn heap_len(&self) -> u64 {
            self.words.len() as u64 * 8
        }
    }

    /// Two words: a number that is not 13, and the next node.
    #[repr(C)]
    struct Node {
        value: u64,
        next: Option<Owner<Node>>,
    }

    // SAFETY: a test type, checked field by field.
    unsafe impl Persistent for Node {
        type At<'q> = Node;
        fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
            schema.structure::<Self>("Node", &[], |_| {})
        }
        fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
            if view.u64(0)? == 13 {
                return Err(Invalid::new("thirteen", view.addr()));
            }
            Option::<Owner<Node>>::validate(view.field(8, 8)?, visit)
        }
    }

    /// Address and count of nodes.
    #[repr(C)]
    struct Nodes([u64; 2]);

    // SAFETY: a test type, checked as an owned slice.
    unsafe impl Persistent for Nodes {
        type At<'q> = Nodes;
        fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
            schema.slice::<Self, Node>("Nodes")
        }
        fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
            visit.own::<Node>(view.u64(0)?, view.u64(8)?)
        }
    }

    /// A list of `len` nodes, the first at word 0.
    fn list(len: usize) -> TestHeap {
        let mut heap = TestHeap::new(vec![0; len * 2]);
        for node in 0..len {
            heap.block(node * 2, 2);
            let next = if node + 1 < len { heap.addr(node * 2 + 2) } else { 0 };
            heap.words[node * 2 + 1] = next;
        }
        heap
    }

    /// A slice (words 0 and 1) of `len` nodes, each of which owns one more node.
    fn comb(len: usize) -> TestHeap {
        let mut heap = TestHeap::new(vec![0; 2 + len * 4]);
        heap.block(0, 2);
        heap.block(2, len * 2);
        (heap.words[0], heap.words[1]) = (heap.addr(2), len as u64);
        for node in 0..len {
            let tooth = 2 + len * 2 + node * 2;
            heap.block(tooth, 2);
            heap.words[2 + node * 2 + 1] = heap.addr(tooth);
        }
        heap
    }

    const MANY: usize = if cfg!(miri) { 40 } else { 20_000 };

    #[test]
    fn a_list_is_walked_without_recursion() {
        let totals = list(MANY).check::<Node>(0, 1).unwrap();
        assert_eq!(totals, Totals { blocks: MANY as u64, objects: MANY as u64, bytes: MANY as u64 * 16 });
    }

    #[test]
    fn every_number_of_threads_claims_the_same() {
        let heap = comb(MANY);
        let alone = heap.check::<Nodes>(0, 1).unwrap();
        assert_eq!(alone.objects, 2 * MANY as u64 + 1);
        for threads in [2, 3, 8] {
            assert_eq!(heap.check::<Nodes>(0, threads).unwrap(), alone, "{threads} threads");
        }
    }

    #[test]
    fn a_fault_anywhere_is_found_by_every_number_of_threads() {
        for threads in [1, 2, 4] {
            for node in [0, MANY / 2, MANY - 1] {
                let mut heap = comb(MANY);
                let word = 2 + MANY * 2 + node * 2;
                heap.words[word] = 13;
                let expected = Invalid::new("thirteen", heap.addr(word));
                assert_eq!(heap.check::<Nodes>(0, threads), Err(expected), "node {node}, {threads} threads");
            }
        }
    }

    #[test]
    fn cycles_shared_blocks_and_stray_pointers_are_refused() {
        let mut heap = list(8);
        heap.words[15] = heap.addr(0);
        assert_eq!(heap.check::<Node>(0, 1).unwrap_err().what, "owned twice");
        heap.words[15] = heap.addr(1);
        assert_eq!(heap.check::<Node>(0, 1).unwrap_err().what, "not a block");
        heap.words[15] = heap.addr(1) + 1;
        assert!(heap.check::<Node>(0, 1).unwrap_err().what.contains("alignment 8"));
    }

    #[test]
    fn counts_beyond_the_block_are_refused_without_overflow() {
        for count in [4, u64::MAX / 16, u64::MAX / 16 + 2, u64::MAX] {
            let mut heap = comb(3);
            heap.words[1] = count;
            assert!(heap.check::<Nodes>(0, 1).is_err(), "{count}");
        }
    }

    /// Address, count, first place and number of places of a ring of nodes.
    #[repr(C)]
    struct Ring([u64; 4]);

    // SAFETY: a test type, checked as an owned ring.
    unsafe impl Persistent for Ring {
        type At<'q> = Ring;
        fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
            schema.ring::<Self, Node>("Ring")
        }
        fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
            visit.own_ring::<Node>(view.u64(0)?, view.u64(24)?, view.u64(16)?, view.u64(8)?)
        }
    }

    #[test]
    fn a_ring_is_checked_where_it_has_values_and_nowhere_else() {
        for (first, count, thirteen, refused) in [
            (0, 4, 4, false),
            (2, 4, 3, true),
            (2, 4, 2, true),
            (2, 4, 0, true),
            (4, 3, 2, false),
            (4, 3, 1, true),
            (4, 5, 99, false),
            (5, 0, 99, true),
            (5, 1, 99, true),
            (0, 6, 99, true),
            (u64::MAX, 1, 99, true),
            (0, u64::MAX, 99, true),
        ] {
            // Room for five nodes at word 4.
            let mut heap = TestHeap::new(vec![0; 4 + 5 * 2]);
            heap.block(0, 4);
            heap.block(4, 10);
            let header = [heap.addr(4), count, first, 5];
            heap.words[..4].copy_from_slice(&header);
            if let Some(word) = heap.words.get_mut(4 + 2 * thirteen) {
                *word = 13;
            }
            let found = heap.check::<Ring>(0, 1);
            assert_eq!(found.is_err(), refused, "{first} {count} {thirteen}: {found:?}");
        }
    }

    #[test]
    fn an_empty_owner_has_a_placeholder_or_a_block() {
        let mut heap = comb(3);
        heap.words[1] = 0;
        assert_eq!(heap.check::<Nodes>(0, 1).unwrap().blocks, 2);
        heap.words[0] = 8;
        assert_eq!(heap.check::<Nodes>(0, 1).unwrap().blocks, 1);
        heap.words[0] = 0;
        assert!(heap.check::<Nodes>(0, 1).is_err());
    }

    /// Prints the rate for a person; the benchmarks hold it to the budget.
    #[test]
    #[ignore = "a measurement"]
    fn rate() {
        struct Everything(u64, Vec<std::sync::atomic::AtomicU64>);
        impl Blocks for Everything {
            fn claim(&self, addr: u64, len: u64, _align: u64) -> Result<(), Invalid> {
                let bit = (addr - self.0) / 16;
                let mask = 1 << (bit % 64);
                match self.1.get((bit / 64) as usize) {
                    Some(word) if len <= 64 && word.fetch_or(mask, Ordering::Relaxed) & mask == 0 => Ok(()),
                    _ => Err(Invalid::new("owned twice", addr)),
                }
            }
            fn claim_shared(&self, addr: u64, len: u64, align: u64) -> Result<bool, Invalid> {
                self.claim(addr, len, align).map(|()| true)
            }
            fn known(&self, _: u64, _: u64, _: u64) -> Result<(), Invalid> {
                Ok(())
            }
            fn heap_len(&self) -> u64 {
                u64::MAX
            }
        }
        const COUNT: usize = 1 << 20;
        let mut words = vec![0u64; COUNT * 8];
        let base = words.as_ptr().expose_provenance() as u64;
        let (mut at, mut state) = (0, 0usize);
        for _ in 0..COUNT - 1 {
            state = (state.wrapping_mul(1_664_525 * 4 + 1).wrapping_add(1_013_904_223)) % COUNT;
            words[at * 8 + 1] = base + state as u64 * 64;
            at = state;
        }
        words[at * 8 + 1] = 0;
        let heap = Everything(base, (0..COUNT * 64 / 16 / 64 + 1).map(|_| Default::default()).collect());
        let start = std::time::Instant::now();
        let roots = root_job::<Node>(&heap, base).unwrap();
        let totals = check_all(&heap, Purpose::Check, roots, 1).map(|walk| walk.totals);
        println!("{totals:?} {:?}", start.elapsed());
        let start = std::time::Instant::now();
        let (mut at, mut count) = (0, 0);
        loop {
            count += 1;
            match words[at * 8 + 1] {
                0 => break,
                next => at = ((next - base) / 64) as usize,
            }
        }
        println!("the chase alone: {count} {:?}", start.elapsed());
    }
}
