//! What was done to a simulated medium, in order.

use super::crash::Cuts;

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
    /// A durable write began.
    DurableBegun {
        /// Offset of the first byte.
        offset: u64,
        /// What was written.
        bytes: Box<[u8]>,
    },
    /// A durable write returned: its bytes are durable.
    DurableDone {
        /// Index of its beginning in the trace.
        write: usize,
    },
    /// A durable write returned an error: its bytes may or may not be there, whatever is synced later.
    DurableFailed {
        /// Index of its beginning in the trace.
        write: usize,
    },
    /// A sync returned: all that happened before it began is durable.
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

/// Everything that was done to a medium, from what it held at first.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) initial: Vec<u8>,
    pub(super) published: bool,
    pub(super) events: Vec<Event>,
}

impl Trace {
    pub(super) fn new(initial: Vec<u8>, published: bool) -> Self {
        Self { initial, published, events: Vec::new() }
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

    /// What the event wrote from `offset`: its bytes, or `None` for zeros.
    pub(super) fn written(&self, event: usize) -> Option<&[u8]> {
        match &self.events[event] {
            Event::Write { bytes, .. } | Event::Ordered { bytes, .. } | Event::DurableBegun { bytes, .. } => {
                Some(bytes)
            }
            _ => None,
        }
    }
}
