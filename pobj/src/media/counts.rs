//! What this thread has asked of its media: flushes, fences, durable writes, bytes.
//!
//! Counted in the thread's own cells, so that counting costs an addition and is always on. The floors above take
//! the difference between two readings: a transaction's, or a background thread's.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

/// Flushes, fences and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaCounts {
    /// Cache lines flushed. A non-temporal store needs no flush and counts none.
    pub flushes: u64,
    /// Store fences.
    pub fences: u64,
    /// Durable writes and syncs of a file: requests that wait for the device.
    pub durable_writes: u64,
    /// Bytes written, in whatever way.
    pub bytes: u64,
}

impl MediaCounts {
    /// Nothing asked.
    pub(crate) const ZERO: Self = Self { flushes: 0, fences: 0, durable_writes: 0, bytes: 0 };
    /// One fence.
    pub(crate) const FENCE: Self = Self { fences: 1, ..Self::ZERO };
}

impl Add for MediaCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            flushes: self.flushes + other.flushes,
            fences: self.fences + other.fences,
            durable_writes: self.durable_writes + other.durable_writes,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Sub for MediaCounts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            flushes: self.flushes - earlier.flushes,
            fences: self.fences - earlier.fences,
            durable_writes: self.durable_writes - earlier.durable_writes,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

/// The sum of what several threads have counted.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    flushes: AtomicU64,
    fences: AtomicU64,
    durable_writes: AtomicU64,
    bytes: AtomicU64,
}

impl Totals {
    /// Each total beside what is to be added to it.
    #[inline]
    fn each(&self, more: MediaCounts) -> [(&AtomicU64, u64); 4] {
        [
            (&self.flushes, more.flushes),
            (&self.fences, more.fences),
            (&self.durable_writes, more.durable_writes),
            (&self.bytes, more.bytes),
        ]
    }

    pub(crate) fn add(&self, more: MediaCounts) {
        for (total, more) in self.each(more) {
            if more > 0 {
                total.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// As [`add`](Self::add), by the only one who adds now: plain loads and stores.
    #[inline]
    pub(crate) fn add_alone(&self, more: MediaCounts) {
        for (total, more) in self.each(more) {
            if more > 0 {
                total.store(total.load(Ordering::Relaxed) + more, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn total(&self) -> MediaCounts {
        MediaCounts {
            flushes: self.flushes.load(Ordering::Relaxed),
            fences: self.fences.load(Ordering::Relaxed),
            durable_writes: self.durable_writes.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

thread_local! {
    static COUNTS: Cell<MediaCounts> = const { Cell::new(MediaCounts::ZERO) };
}

/// What this thread has done so far.
#[inline]
pub(crate) fn here() -> MediaCounts {
    COUNTS.get()
}

#[inline]
pub(crate) fn flushed(lines: u64) {
    let now = COUNTS.get();
    COUNTS.set(MediaCounts { flushes: now.flushes + lines, ..now });
}

#[inline]
pub(crate) fn fenced() {
    let now = COUNTS.get();
    COUNTS.set(MediaCounts { fences: now.fences + 1, ..now });
}

#[inline]
pub(crate) fn wrote_durably() {
    let now = COUNTS.get();
    COUNTS.set(MediaCounts { durable_writes: now.durable_writes + 1, ..now });
}

#[inline]
pub(crate) fn wrote(bytes: u64) {
    let now = COUNTS.get();
    COUNTS.set(MediaCounts { bytes: now.bytes + bytes, ..now });
}
