//! The crash simulator: a medium that behaves like a file while it runs, records every operation, and can afterwards
//! rebuild every state that a power cut could have left (assumption M4).
//!
//! A test runs a script over a [`SimMedia`], takes its [`Trace`], and walks the trace's [`Cuts`]. A cut is a moment
//! between two events. There the medium holds a *durable base*, the bytes that M4 promises, and *pending* items, each of
//! which may or may not have reached it: the 512-byte pieces of each write that no sync has covered, and changes of
//! the length. [`CrashPoint::choices`] enumerates the subsets, all of them where they are few, and
//! [`CrashPoint::build`] makes the bytes of one. [`SimMedia::with_bytes`] turns them into a medium to open, at the
//! addresses of the first so that pointers stay right, and since that medium records too, a crash in the
//! recovery from a crash is tested in the same way.
//!
//! [`Fault`]s are planted to prove that a harness would notice (a dropped sync, a durable write made plain, a
//! wrong order) and to test what the pool does when the medium fails.

mod choice;
mod crash;
mod trace;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::arena::Arena;
use super::ram::part;
use super::{Image, Media, Placement, RamMedia};
use crate::ground::checksum::checksum;
use crate::ground::error::{Error, Result};

pub use choice::Choice;
pub use crash::{CrashPoint, Cuts, Presence};
pub use trace::{Event, Trace};

/// The operations that a [`Fault`] can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`Media::write`]
    Write,
    /// [`Media::write_durable`]
    WriteDurable,
    /// [`Media::write_ordered`]
    WriteOrdered,
    /// [`Media::sync`]
    Sync,
    /// [`Media::grow`]
    Grow,
    /// [`Media::truncate`]
    Truncate,
    /// [`Media::punch`]
    Punch,
    /// [`Media::publish`]
    Publish,
}

const OPERATIONS: usize = 8;

/// A bug to plant or a failure to meet. Operations of one kind are counted from 0, from the medium's making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sync of this number succeeds without doing anything, as if the code had left it out.
    DropSync(u64),
    /// Every durable write is a plain one.
    DropDurability,
    /// The durable write of this number is a plain one.
    DropOneDurability(u64),
    /// The sync of this number takes effect before the write that precedes it, as if the code had swapped the two.
    SwapSync(u64),
    /// The operation of this number, and all later ones if `forever`, do nothing and return the system error `errno`.
    /// A failed sync leaves the bytes it should have covered beyond the reach of later syncs (M5).
    Fail {
        /// The kind of operation.
        operation: Operation,
        /// Which one.
        number: u64,
        /// The error of the operating system, for example 5 (EIO) or 28 (ENOSPC).
        errno: i32,
        /// Whether all later operations of this kind fail too.
        forever: bool,
    },
}

thread_local! {
    static SKIP_CHECKSUMS: Cell<bool> = const { Cell::new(false) };
}

/// Plants the bug that records count without a look at their checksums, on this thread only, or takes it out again.
pub fn skip_checksums(skip: bool) {
    SKIP_CHECKSUMS.set(skip);
}

/// Whether that bug is planted.
pub(crate) fn checksums_skipped() -> bool {
    SKIP_CHECKSUMS.get()
}

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
}

struct State {
    /// What a reader sees: every write applied.
    bytes: Vec<u8>,
    trace: Trace,
    ring: std::ops::Range<u64>,
    faults: Vec<Fault>,
    counts: [u64; OPERATIONS],
    background: bool,
}

impl SimMedia {
    /// An empty medium, not yet published, for a pool of at most `max_len` bytes.
    pub fn new(max_len: u64) -> Result<Self> {
        Ok(Self::from_parts(Vec::new(), false, Arena::new(max_len)?))
    }

    fn from_parts(bytes: Vec<u8>, published: bool, arena: Arc<Arena>) -> Self {
        let trace = Trace::new(bytes.clone(), published);
        let state = State {
            bytes,
            trace,
            ring: 0..0,
            faults: Vec::new(),
            counts: [0; OPERATIONS],
            background: false,
        };
        Self { state: Arc::new(Mutex::new(state)), arena }
    }

    /// Another medium that durably holds `bytes`, with a trace of its own. It uses the same addresses, so only one of
    /// the two can have an open pool at a time.
    #[must_use]
    pub fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        Self::from_parts(bytes, true, Arc::clone(&self.arena))
    }

    /// Another medium in the state in which a kill of the process leaves this one at `point`: a reader sees all that was
    /// written, and what was pending is pending still, so that a power cut may yet lose it.
    #[must_use]
    pub fn killed_at(&self, point: &CrashPoint<'_>) -> Self {
        let trace = point.killed();
        let published = trace.published;
        let media = Self::from_parts(point.after_kill(), published, Arc::clone(&self.arena));
        media.state().trace = trace;
        media
    }

    /// Like [`with_bytes`](Self::with_bytes), without a trace.
    #[must_use]
    pub fn ram_with_bytes(&self, bytes: Vec<u8>) -> RamMedia {
        RamMedia::from_parts(bytes, Arc::clone(&self.arena))
    }

    /// Lets the pools that are opened from now on run their background thread. The trace is then not the same each time.
    pub fn allow_background(&self) {
        self.state().background = true;
    }

    /// Plants a fault from now on.
    pub fn plant(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Puts a mark of the test's own into the trace, such as "transaction 7 was acknowledged".
    pub fn mark(&self, mark: u64) {
        self.state().trace.events.push(Event::Mark(mark));
    }

    /// A copy of the events so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    /// A copy of the bytes that a reader sees now.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
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
}

impl State {
    /// Counts an operation. An error if a planted fault makes this one fail.
    fn begin(&mut self, operation: Operation) -> Result<u64> {
        let now = self.counts[operation as usize];
        self.counts[operation as usize] += 1;
        for fault in &self.faults {
            if let Fault::Fail { operation: hit, number, errno, forever } = *fault
                && hit == operation
                && (now == number || (forever && now > number))
            {
                let source = std::io::Error::from_raw_os_error(errno);
                return Err(Error::io("use the simulated medium", source));
            }
        }
        Ok(now)
    }

    /// Applies a write to what a reader sees and records it.
    fn record_write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        event: fn(u64, Box<[u8]>) -> Event,
    ) -> Result<usize> {
        let range = part(&self.bytes, offset, bytes.len())?;
        self.bytes[range].copy_from_slice(bytes);
        self.trace.events.push(event(offset, bytes.into()));
        Ok(self.trace.events.len() - 1)
    }
}

impl std::fmt::Debug for SimMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(f, "SimMedia({} bytes, {} events)", state.bytes.len(), state.trace.events.len())
    }
}

impl Media for SimMedia {
    fn len(&self) -> Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let state = self.state();
        into.copy_from_slice(&state.bytes[part(&state.bytes, offset, into.len())?]);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Write)?;
        state.record_write(offset, bytes, |offset, bytes| Event::Write { offset, bytes }).map(drop)
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let begun = state.begin(Operation::WriteDurable);
        // A durable write that fails may still have written: its bytes stay pending for good.
        let event = |offset, bytes| Event::DurableBegun { offset, bytes };
        let write = state.record_write(offset, bytes, event)?;
        drop(state);
        // Other threads may do something while the write is in flight.
        std::thread::yield_now();
        let mut state = self.state();
        match begun {
            Err(e) => {
                state.trace.events.push(Event::DurableFailed { write });
                return Err(e);
            }
            Ok(number) => {
                let dropped = [Fault::DropDurability, Fault::DropOneDurability(number)];
                if !dropped.iter().any(|fault| state.faults.contains(fault)) {
                    state.trace.events.push(Event::DurableDone { write });
                }
            }
        }
        Ok(())
    }

    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::WriteOrdered)?;
        let end = offset.saturating_add(bytes.len() as u64);
        if offset < state.ring.start || end > state.ring.end {
            let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
            return Err(Error::io("write in order outside the ring", source));
        }
        state.record_write(offset, bytes, |offset, bytes| Event::Ordered { offset, bytes }).map(drop)
    }

    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()> {
        self.state().ring = offset..offset.saturating_add(len);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.state();
        let outcome = state.begin(Operation::Sync);
        let begun = state.trace.events.len();
        drop(state);
        // Other threads may do something while the sync is in flight.
        std::thread::yield_now();
        let mut state = self.state();
        let number = match outcome {
            Ok(number) => number,
            Err(e) => {
                state.trace.events.push(Event::SyncFailed { begun });
                return Err(e);
            }
        };
        if state.faults.contains(&Fault::DropSync(number)) {
            return Ok(());
        }
        let is_write = |event: &Event| matches!(event, Event::Write { .. });
        let last_write = state.trace.events[..begun].iter().rposition(is_write);
        let swapped = state.faults.contains(&Fault::SwapSync(number));
        let begun = last_write.filter(|_| swapped).unwrap_or(begun);
        state.trace.events.push(Event::Synced { begun });
        Ok(())
    }

    fn grow(&self, len: u64) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Grow)?;
        let target = usize::try_from(len).map_err(|_| Error::TooLarge { requested: len })?;
        if target > state.bytes.len() {
            state.bytes.resize(target, 0);
            state.trace.events.push(Event::Grow { len });
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Truncate)?;
        if len < state.bytes.len() as u64 {
            state.bytes.truncate(len as usize);
            state.trace.events.push(Event::Truncate { len });
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Punch)?;
        let range = part(&state.bytes, offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        state.bytes[range].fill(0);
        state.trace.events.push(Event::Punch { offset, len });
        Ok(())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    /// As a file does it: sync, then rename, then sync the directory. A crash in between finds the pool whole or not
    /// at all.
    fn publish(&self) -> Result<()> {
        let mut state = self.state();
        state.begin(Operation::Publish)?;
        drop(state);
        // Counts as a sync, so that faults can hit it.
        self.sync()?;
        let mut state = self.state();
        state.trace.events.push(Event::Renamed);
        state.trace.events.push(Event::Published);
        Ok(())
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64) -> Result<Image> {
        Image::in_arena(&self.arena, placement, len, max_len, |into| self.read(0, into))
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
mod tests;
