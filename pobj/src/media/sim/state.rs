//! What a simulated medium holds, and the image in place that may be the same bytes.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use super::fault::{Fault, Operation};
use super::pending::WORD;
use super::place::{self, Change};
use super::trace::{Event, Thread, Trace};
use super::{Arena, Domain, Error, Result};
use crate::ground::domain::CACHE_LINE;
use crate::media::arena::Tenant;
use crate::media::ram::part;

/// The image is compared in parts of this length.
const PART: usize = 4096;

/// What orders writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    Sync,
    Fence,
}

pub(super) struct State {
    /// What a reader sees: every write applied, and every store to an image in place up to the last look at it.
    pub(super) bytes: Vec<u8>,
    pub(super) trace: Trace,
    pub(super) ring: Range<u64>,
    pub(super) faults: Vec<Fault>,
    pub(super) counts: [u64; Operation::COUNT],
    pub(super) background: bool,
    /// Ranges that were taken away, when no sync has made that durable.
    pub(super) erased: Vec<Range<u64>>,
    /// Events before a planted bug first took effect.
    pub(super) first_hit: Option<usize>,
    /// What a planted change has put off until after the next write.
    late: Option<Barrier>,
    /// The arena holds the same as `bytes`, as far as it goes, but for what the program has stored there since.
    in_place: bool,
    arena: Arc<Arena>,
    threads: Vec<ThreadId>,
}

impl State {
    pub(super) fn new(trace: Trace, bytes: Vec<u8>, arena: Arc<Arena>) -> Self {
        // A trace begins with what a killed process has left pending.
        let erased = trace.events.iter().filter_map(Event::erases).collect();
        Self {
            bytes,
            trace,
            ring: 0..0,
            faults: Vec::new(),
            counts: [0; Operation::COUNT],
            background: false,
            erased,
            first_hit: None,
            late: None,
            in_place: false,
            arena,
            threads: Vec::new(),
        }
    }

    /// The calling thread's number.
    fn thread(&mut self) -> Thread {
        let id = std::thread::current().id();
        let known = self.threads.iter().position(|thread| *thread == id);
        let number = known.unwrap_or_else(|| {
            self.threads.push(id);
            self.threads.len() - 1
        });
        Thread(number.min(Thread::MAX) as u8)
    }

    /// Records that the calling thread did something.
    pub(super) fn push(&mut self, event: Event) {
        if place::took_effect() {
            self.first_hit.get_or_insert(self.trace.events.len());
        }
        match &event {
            Event::Synced { .. } => self.erased.clear(),
            other => self.erased.extend(other.erases()),
        }
        let thread = self.thread();
        self.trace.push(event, thread);
    }

    /// Counts an operation. An error if a planted fault makes this one fail.
    pub(super) fn begin(&mut self, operation: Operation) -> Result<u64> {
        let now = self.counts[operation as usize];
        self.counts[operation as usize] += 1;
        match self.faults.iter().find_map(|fault| fault.errno(operation, now)) {
            None => Ok(now),
            Some(errno) => {
                Err(Error::io("use the simulated medium", std::io::Error::from_raw_os_error(errno)))
            }
        }
    }

    /// Whether one of these bugs is planted, which takes effect now.
    pub(super) fn hits(&mut self, bugs: &[Fault]) -> bool {
        let hit = bugs.iter().any(|bug| self.faults.contains(bug));
        self.note_hit(hit)
    }

    fn note_hit(&mut self, hit: bool) -> bool {
        if hit {
            self.first_hit.get_or_insert(self.trace.events.len());
        }
        hit
    }

    /// Whether a planted change puts this off.
    pub(super) fn puts_off(&mut self, barrier: Barrier) -> bool {
        let late = self.note_hit(place::asks(Change::Late));
        if late {
            self.late = Some(barrier);
        }
        late
    }

    /// After a write: does what was put off.
    pub(super) fn settle_late(&mut self) {
        let begun = self.trace.events.len();
        match self.late.take() {
            None => {}
            Some(Barrier::Sync) => self.push(Event::Synced { begun }),
            Some(Barrier::Fence) => self.push(Event::Fenced { begun }),
        }
    }

    /// Whether the write of this number flushes what it stores.
    pub(super) fn flushes_itself(&mut self, operation: Operation, number: u64) -> bool {
        if !self.trace.domain.is_memory() {
            return true;
        }
        // Where caches are persistent there is no flush to leave out.
        let asked = self.trace.domain == Domain::CacheLine && place::asks(Change::Unflushed);
        !self.hits(&[Fault::DropWriteFlush { operation, number }]) && !self.note_hit(asked)
    }

    /// Applies a write to what a reader sees and records it.
    pub(super) fn record_write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        flushed: bool,
        event: fn(u64, Box<[u8]>) -> Event,
    ) -> Result<usize> {
        let range = part(&self.bytes, offset, bytes.len())?;
        self.bytes[range.clone()].copy_from_slice(bytes);
        self.mirror(range);
        let event = match flushed {
            true => event(offset, bytes.into()),
            false => Event::Store { runs: [(offset, bytes.len() as u64)].into(), bytes: bytes.into() },
        };
        self.push(event);
        Ok(self.trace.events.len() - 1)
    }

    /// Where a sync or fence takes effect that began at `begun`: before this thread's last write, if `swap` is planted.
    pub(super) fn swapped(&mut self, swap: Fault, begun: usize) -> usize {
        if !self.hits(&[swap]) && !self.note_hit(place::asks(Change::Early)) {
            return begun;
        }
        let me = self.thread();
        let is_write = |&at: &usize| {
            let event = &self.trace.events[at];
            matches!(event, Event::Write { .. } | Event::Ordered { .. } | Event::Store { .. })
                && self.trace.thread(at) == me
        };
        (0..begun).rev().find(is_write).unwrap_or(begun)
    }

    /// How much of the bytes an image in place shows.
    fn shown(&self) -> usize {
        if self.in_place { self.bytes.len().min(self.arena.capacity as usize) } else { 0 }
    }

    /// Shows a range of the bytes in the image in place.
    pub(super) fn mirror(&self, range: Range<usize>) {
        let end = range.end.min(self.shown());
        if range.start < end {
            self.arena.store(range.start as u64, &self.bytes[range.start..end]);
        }
    }

    /// From here on the arena's memory is this medium's bytes.
    pub(super) fn move_in(&mut self) {
        self.in_place = true;
        // The image has loaded its own part already; what lies behind it is the pool's too.
        self.mirror(0..self.bytes.len());
    }

    /// Before the lines of a range are flushed: while a hole is pending, what lies in them counts as stored. The program
    /// may have stored there what the hole reads as, which no comparison shows, and a line is written back whole.
    pub(super) fn observe_lines(&mut self, offset: u64, len: u64) {
        let end = (offset + len).next_multiple_of(CACHE_LINE).min(self.shown() as u64);
        let start = offset - offset % CACHE_LINE;
        if start < end && self.erased.iter().any(|hole| start < hole.end && hole.start < end) {
            let bytes = self.bytes[start as usize..end as usize].into();
            self.push(Event::Store { runs: [(start, end - start)].into(), bytes });
        }
    }

    /// Finds what the program has stored in the image since the last look, and records it.
    pub(super) fn observe(&mut self) {
        let (mut runs, mut stored): (Vec<(u64, u64)>, Vec<u8>) = (Vec::new(), Vec::new());
        let mut buffer = [0; PART];
        let end = self.shown();
        for start in (0..end).step_by(PART) {
            let known = &mut self.bytes[start..end.min(start + PART)];
            let now = &mut buffer[..known.len()];
            self.arena.load(start as u64, now);
            if known == now {
                continue;
            }
            let words = now.chunks(WORD as usize).zip(known.chunks_mut(WORD as usize)).enumerate();
            for (at, (now, known)) in words.filter(|(_, (now, known))| now != known) {
                known.copy_from_slice(now);
                stored.extend_from_slice(now);
                let offset = start as u64 + at as u64 * WORD;
                match runs.last_mut() {
                    Some((first, len)) if *first + *len == offset => *len += now.len() as u64,
                    _ => runs.push((offset, now.len() as u64)),
                }
            }
        }
        if !runs.is_empty() {
            self.push(Event::Store { runs: runs.into(), bytes: stored.into() });
        }
    }
}

impl Tenant for Mutex<State> {
    fn move_out(&self) {
        let mut state = self.lock().unwrap_or_else(PoisonError::into_inner);
        state.observe();
        state.in_place = false;
    }
}
