//! The crash simulator: a medium that behaves like a file or like persistent memory while it runs, records every
//! operation, and can afterwards rebuild every state that a power cut could have left (assumptions M1 to M4).
//!
//! A test runs a script over a [`SimMedia`], takes its [`Trace`], and walks the trace's [`Cuts`]. A cut is a moment
//! between two events. There the medium holds a *durable base*, the bytes that the assumptions promise, and *pending*
//! items, each of which may or may not have reached it: the pieces of each write that nothing has covered (512 bytes
//! on a file, words on persistent memory), and changes of the length. [`CrashPoint::choices`] enumerates the subsets, all
//! of them where they are few, and [`CrashPoint::build`] makes the bytes of one. [`SimMedia::with_bytes`] turns them into
//! a medium to open, at the addresses of the first so that pointers stay right, and since that medium records too, a
//! crash in the recovery from a crash is tested in the same way. Where millions of states are tried,
//! [`CrashPoint::variants`] tells them place by place, and a [`Scratch`] holds one after the other.
//!
//! An image in place is the medium's own bytes, so the program stores there without asking. At each operation the
//! simulator compares the image with what it knew and records what has changed as stores of the calling thread, not
//! yet flushed. It therefore wants what pobj in place does: that whoever stores also makes the operations.
//!
//! [`Fault`]s are planted to prove that a harness would notice (a dropped sync or fence, a durable write made plain, a
//! wrong order) and to test what the pool does when the medium fails.

mod choice;
mod crash;
mod fault;
mod pending;
pub mod place;
mod scratch;
mod state;
mod trace;
mod variants;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::arena::Arena;
use super::ram::{lines, part};
use super::{Domain, Image, ImageMode, Media, Placement, RamMedia, counts, refuse_in_place};
use crate::ground::checksum::checksum;
use crate::ground::error::{Error, Result};

pub use choice::Choice;
pub use crash::{CrashPoint, Cuts, Presence};
pub(crate) use fault::checksums_skipped;
pub use fault::{Fault, Operation, skip_checksums};
pub use scratch::Scratch;
use state::{Barrier, State};
pub use trace::{Event, Trace};
pub use variants::{Place, Variants};

/// Threads that do nothing for so long wait for something.
const QUIET: Duration = Duration::from_millis(100);

/// A checksum of a state, to tell whether it was tried before.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    checksum(0, bytes)
}

/// A medium in memory that records what is done to it. Clones are handles to the same medium.
#[derive(Clone)]
pub struct SimMedia {
    state: Arc<Mutex<State>>,
    arena: Arc<Arena>,
    domain: Domain,
}

impl SimMedia {
    /// An empty file, not yet published, for a pool of at most `max_len` bytes.
    pub fn new(max_len: u64) -> Result<Self> {
        Self::with_domain(max_len, Domain::Page)
    }

    /// The same on a medium of this persistence domain.
    pub fn with_domain(max_len: u64, domain: Domain) -> Result<Self> {
        let arena = Arena::new(max_len)?;
        Ok(Self::from_trace(Trace::new(domain, Vec::new(), false), Vec::new(), arena))
    }

    fn from_trace(trace: Trace, bytes: Vec<u8>, arena: Arc<Arena>) -> Self {
        let domain = trace.domain;
        let state = State::new(trace, bytes, Arc::clone(&arena));
        Self { state: Arc::new(Mutex::new(state)), arena, domain }
    }

    /// Another medium that durably holds `bytes`, with a trace of its own. It uses the same addresses, so only one of
    /// the two can have an open pool at a time.
    #[must_use]
    pub fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        let trace = Trace::new(self.domain, bytes.clone(), true);
        Self::from_trace(trace, bytes, Arc::clone(&self.arena))
    }

    /// Another medium in the state in which a kill of the process leaves this one at `point`: a reader sees all that was
    /// written, and what was pending is pending still, so that a power cut may yet lose it. On persistent memory no
    /// fence of the next process covers it, unless that process flushes or rewrites it; a sync does, because then the
    /// kernel writes back what any process left in the caches.
    #[must_use]
    pub fn killed_at(&self, point: &CrashPoint<'_>) -> Self {
        Self::from_trace(point.killed(), point.after_kill(), Arc::clone(&self.arena))
    }

    /// Like [`with_bytes`](Self::with_bytes), without a trace.
    #[must_use]
    pub fn ram_with_bytes(&self, bytes: Vec<u8>) -> RamMedia {
        RamMedia::from_parts(bytes, Arc::clone(&self.arena)).with_domain(self.domain)
    }

    /// Lets the pools that are opened from now on run their background thread. The trace is then not the same each time.
    pub fn allow_background(&self) {
        self.state().background = true;
    }

    /// Plants a fault from now on.
    pub fn plant(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// How many events there were before a planted bug first took effect; `None` if none did. Failures are no bugs.
    #[must_use]
    pub fn first_hit(&self) -> Option<usize> {
        self.state().first_hit
    }

    /// Puts a mark of the test's own into the trace, such as "transaction 7 was acknowledged".
    pub fn mark(&self, mark: u64) {
        // No look at the image: the thread that marks need not be the one that stores.
        self.state().push(Event::Mark(mark));
    }

    /// A copy of the events so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.observed().trace.clone()
    }

    /// A copy of the bytes that a reader sees now.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.observed().bytes.clone()
    }

    /// How many operations of this kind there were.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.state().counts[operation as usize]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done: each method finishes its change before it can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state after a look at the image, with which every operation begins.
    fn observed(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.observe();
        state
    }

    /// Between the beginning and the end of an operation that takes time: other threads may do something. If it is slow,
    /// they do what they can: it goes on when they have done nothing for a while.
    fn meanwhile<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        operation: Operation,
        begun: &Result<u64>,
    ) -> MutexGuard<'a, State> {
        let slow = |number: &u64| state.faults.contains(&Fault::Slow { operation, number: *number });
        if !begun.as_ref().is_ok_and(slow) {
            drop(state);
            std::thread::yield_now();
            return self.state();
        }
        loop {
            let before = state.trace.events.len();
            drop(state);
            std::thread::sleep(QUIET);
            state = self.state();
            if state.trace.events.len() == before {
                return state;
            }
        }
    }

    fn count_barrier(&self) {
        if self.domain.is_memory() { counts::fenced() } else { counts::wrote_durably() }
    }
}

impl std::fmt::Debug for SimMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(
            f,
            "SimMedia({}, {} bytes, {} events)",
            self.domain,
            state.bytes.len(),
            state.trace.events.len()
        )
    }
}

impl Media for SimMedia {
    fn len(&self) -> Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let state = self.observed();
        into.copy_from_slice(&state.bytes[part(&state.bytes, offset, into.len())?]);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        counts::wrote(bytes.len() as u64);
        let mut state = self.observed();
        let number = state.begin(Operation::Write)?;
        let flushed = state.flushes_itself(Operation::Write, number);
        state.record_write(offset, bytes, flushed, |offset, bytes| Event::Write { offset, bytes })?;
        state.settle_late();
        Ok(())
    }

    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        counts::wrote(bytes.len() as u64);
        let mut state = self.observed();
        state.begin(Operation::Store)?;
        let flushed = !self.domain.is_memory();
        state.record_write(offset, bytes, flushed, |offset, bytes| Event::Write { offset, bytes })?;
        state.settle_late();
        Ok(())
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        counts::wrote(bytes.len() as u64);
        self.count_barrier();
        let mut state = self.observed();
        let begun = state.begin(Operation::WriteDurable);
        let flushed =
            begun.as_ref().map_or(true, |number| state.flushes_itself(Operation::WriteDurable, *number));
        // A durable write that fails may still have written: its bytes stay pending for good.
        let event = |offset, bytes| Event::DurableBegun { offset, bytes };
        let write = state.record_write(offset, bytes, flushed, event)?;
        let mut state = self.meanwhile(state, Operation::WriteDurable, &begun);
        let number = begun.inspect_err(|_| state.push(Event::DurableFailed { write }))?;
        if state.hits(&[Fault::DropDurability, Fault::DropOneDurability(number)]) {
            return Ok(());
        }
        let begun = state.trace.events.len();
        let done =
            if self.domain.is_memory() { Event::Fenced { begun } } else { Event::DurableDone { write } };
        state.push(done);
        state.settle_late();
        Ok(())
    }

    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        counts::wrote(bytes.len() as u64);
        let mut state = self.observed();
        let number = state.begin(Operation::WriteOrdered)?;
        let end = offset.saturating_add(bytes.len() as u64);
        if offset < state.ring.start || end > state.ring.end {
            let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
            return Err(Error::io("write in order outside the ring", source));
        }
        let flushed = state.flushes_itself(Operation::WriteOrdered, number);
        state.record_write(offset, bytes, flushed, |offset, bytes| Event::Ordered { offset, bytes })?;
        state.settle_late();
        Ok(())
    }

    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()> {
        self.state().ring = offset..offset.saturating_add(len);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.count_barrier();
        let mut state = self.observed();
        let outcome = state.begin(Operation::Sync);
        let begun = state.trace.events.len();
        let mut state = self.meanwhile(state, Operation::Sync, &outcome);
        let number = outcome.inspect_err(|_| state.push(Event::SyncFailed { begun }))?;
        if !state.hits(&[Fault::DropSync(number)]) && !state.puts_off(Barrier::Sync) {
            let begun = state.swapped(Fault::SwapSync(number), begun);
            state.push(Event::Synced { begun });
        }
        Ok(())
    }

    fn domain(&self) -> Domain {
        self.domain
    }

    fn fence(&self) -> Result<()> {
        if !self.domain.is_memory() {
            return self.sync();
        }
        self.count_barrier();
        let mut state = self.observed();
        let outcome = state.begin(Operation::Fence);
        let begun = state.trace.events.len();
        let mut state = self.meanwhile(state, Operation::Fence, &outcome);
        let number = outcome.inspect_err(|_| state.push(Event::FenceFailed { begun }))?;
        if !state.hits(&[Fault::DropFences, Fault::DropFence(number)]) && !state.puts_off(Barrier::Fence) {
            let begun = state.swapped(Fault::SwapFence(number), begun);
            state.push(Event::Fenced { begun });
        }
        Ok(())
    }

    fn flush(&self, offset: u64, len: u64) -> Result<()> {
        if self.domain == Domain::CacheLine {
            counts::flushed(lines(offset, len));
        }
        let mut state = self.observed();
        let number = state.begin(Operation::Flush)?;
        let dropped = state.hits(&[Fault::DropFlushes, Fault::DropFlush(number)]);
        // Where caches are persistent a flush does nothing, and leaving it out changes nothing.
        if self.domain == Domain::Byte || !dropped {
            state.observe_lines(offset, len);
        }
        if self.domain == Domain::CacheLine && !dropped {
            state.push(Event::Flushed { offset, len });
        }
        Ok(())
    }

    fn grow(&self, len: u64) -> Result<()> {
        let mut state = self.observed();
        state.begin(Operation::Grow)?;
        let target = usize::try_from(len).map_err(|_| Error::TooLarge { requested: len })?;
        let old = state.bytes.len();
        if target > old {
            state.bytes.resize(target, 0);
            state.mirror(old..target);
            state.push(Event::Grow { len });
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let mut state = self.observed();
        state.begin(Operation::Truncate)?;
        let old = state.bytes.len();
        if len < old as u64 {
            state.bytes[len as usize..].fill(0);
            state.mirror(len as usize..old);
            state.bytes.truncate(len as usize);
            state.push(Event::Truncate { len });
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let mut state = self.observed();
        state.begin(Operation::Punch)?;
        let range = part(&state.bytes, offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        state.bytes[range.clone()].fill(0);
        state.mirror(range);
        state.push(Event::Punch { offset, len });
        Ok(())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    /// As a file does it: sync, then rename, then sync the directory. A crash in between finds the pool whole or not
    /// at all.
    fn publish(&self) -> Result<()> {
        self.state().begin(Operation::Publish)?;
        // Counts as a sync, so that faults can hit it.
        self.sync()?;
        let mut state = self.state();
        state.push(Event::Renamed);
        state.push(Event::Published);
        Ok(())
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        let in_place = mode == ImageMode::InPlace;
        if !self.domain.is_memory() {
            refuse_in_place(self, mode)?;
        }
        let tenant = Arc::downgrade(&self.state);
        let image = self.arena.lend(in_place.then_some(tenant as Weak<_>), || {
            Image::in_arena(&self.arena, placement, len, max_len, |into| self.read(0, into))
        })?;
        if in_place {
            self.state().move_in();
        }
        Ok(image)
    }

    fn block_len(&self) -> u64 {
        4096
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("(simulation)")
    }

    fn background(&self) -> bool {
        self.state().background
    }
}

// No unsafe code here, and thousands of states: nothing for Miri.
#[cfg(all(test, not(miri)))]
mod memory_tests;
#[cfg(all(test, not(miri)))]
mod tests;
