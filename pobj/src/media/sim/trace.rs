//! What was done to a simulated medium, in order.

use std::ops::Range;

use super::crash::Cuts;
use crate::ground::domain::Domain;

/// One thing that happened to the medium. An operation that takes time is two events, so that a cut can fall inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A plain write.
    Write {
        /// Offset of the first byte.
        offset: u64,
        /// What was written.
        bytes: Box<[u8]>,
    },
    /// A write that survives a kill of the process, no more.
    Ordered {
        /// Offset of the first byte.
        offset: u64,
        /// What was written.
        bytes: Box<[u8]>,
    },
    /// Stores to persistent memory that nobody has flushed: those of [`Media::store`](crate::media::Media::store), the
    /// program's own into an image in place, found at the next operation, or a write whose flush was left out.
    Store {
        /// Offset and length of each run.
        runs: Box<[(u64, u64)]>,
        /// What was stored, one run after the other.
        bytes: Box<[u8]>,
    },
    /// A durable write began.
    DurableBegun {
        /// Offset of the first byte.
        offset: u64,
        /// What was written.
        bytes: Box<[u8]>,
    },
    /// A durable write to a file returned: its bytes are durable.
    DurableDone {
        /// Index of its beginning in the trace.
        write: usize,
    },
    /// A durable write returned an error: its bytes may or may not be there, whatever is synced later.
    DurableFailed {
        /// Index of its beginning in the trace.
        write: usize,
    },
    /// The lines of a range were flushed.
    Flushed {
        /// Offset of the first byte.
        offset: u64,
        /// Count of bytes.
        len: u64,
    },
    /// A fence returned: what its thread has flushed before it began is durable.
    Fenced {
        /// Events before it began.
        begun: usize,
    },
    /// A fence returned an error: what it should have covered may be lost although a later one succeeds.
    FenceFailed {
        /// Events before it began.
        begun: usize,
    },
    /// A sync returned: all that happened before it began is durable. On persistent memory: what its thread has
    /// flushed, everybody's changes of length and holes, and what a killed process left behind.
    Synced {
        /// Events before it began.
        begun: usize,
    },
    /// A sync returned an error: what it should have covered may be lost although a later sync succeeds (M5).
    SyncFailed {
        /// Events before it began.
        begun: usize,
    },
    /// The length grew.
    Grow {
        /// The new length.
        len: u64,
    },
    /// The length shrank.
    Truncate {
        /// The new length.
        len: u64,
    },
    /// A range was given back and reads as zero.
    Punch {
        /// Offset of the first byte.
        offset: u64,
        /// Count of bytes.
        len: u64,
    },
    /// The pool got its name, not yet durably.
    Renamed,
    /// The pool's name is durable.
    Published,
    /// The test's own mark.
    Mark(u64),
}

impl Event {
    /// Whether the event changes what is durable or pending.
    pub(super) fn changes_states(&self) -> bool {
        !matches!(self, Self::Flushed { .. } | Self::Renamed | Self::Published | Self::Mark(_))
    }

    /// The range that the event takes away.
    pub(super) fn erases(&self) -> Option<Range<u64>> {
        match *self {
            Self::Truncate { len } => Some(len..u64::MAX),
            Self::Punch { offset, len } => Some(offset..offset + len),
            _ => None,
        }
    }

    /// Whether the event adds pending items and does nothing else.
    pub(super) fn only_adds(&self) -> bool {
        matches!(
            self,
            Self::Write { .. }
                | Self::Ordered { .. }
                | Self::Store { .. }
                | Self::DurableBegun { .. }
                | Self::Grow { .. }
                | Self::Truncate { .. }
                | Self::Punch { .. }
        )
    }
}

/// Who did something: the threads of a medium by number, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread(pub(super) u8);

impl Thread {
    /// The highest number. Threads beyond share it, which makes the simulator more lenient and no stricter.
    pub(super) const MAX: usize = 63;
    /// A thread of a process that was killed: no fence is to come from it.
    pub(super) const DEAD: Self = Self(u8::MAX);

    /// The set that holds this thread alone.
    pub(super) fn bit(self) -> u64 {
        if self == Self::DEAD { 0 } else { 1 << self.0 }
    }
}

/// Everything that was done to a medium, from what it held at first.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) domain: Domain,
    pub(super) initial: Vec<u8>,
    /// The length that is durable at first; what `initial` holds beyond it is seen once the pool has grown.
    pub(super) initial_len: usize,
    pub(super) published: bool,
    pub(super) events: Vec<Event>,
    /// Who did each event.
    threads: Vec<Thread>,
}

impl Trace {
    pub(super) fn new(domain: Domain, initial: Vec<u8>, published: bool) -> Self {
        let initial_len = initial.len();
        Self { domain, initial, initial_len, published, events: Vec::new(), threads: Vec::new() }
    }

    pub(super) fn push(&mut self, event: Event, thread: Thread) {
        self.events.push(event);
        self.threads.push(thread);
    }

    /// The events in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Walks every moment at which the power could have been cut: before the first event, and after each.
    #[must_use]
    pub fn cuts(&self) -> Cuts<'_> {
        Cuts::new(self)
    }

    /// How far a store must travel.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// The bytes before the first event.
    #[must_use]
    pub fn initial(&self) -> &[u8] {
        &self.initial
    }

    /// The number of the thread that did an event, in the order in which threads came.
    ///
    /// # Panics
    ///
    /// If there is no such event.
    #[must_use]
    pub fn thread_number(&self, event: usize) -> u8 {
        self.threads[event].0
    }

    /// Who did an event.
    pub(super) fn thread(&self, event: usize) -> Thread {
        self.threads[event]
    }

    /// What the event wrote: its bytes, or `None` for zeros.
    pub(super) fn written(&self, event: usize) -> Option<&[u8]> {
        match &self.events[event] {
            Event::Write { bytes, .. }
            | Event::Ordered { bytes, .. }
            | Event::Store { bytes, .. }
            | Event::DurableBegun { bytes, .. } => Some(bytes),
            _ => None,
        }
    }
}
