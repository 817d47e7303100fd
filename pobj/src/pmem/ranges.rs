//! Ranges of bytes, and what is owed to the medium for them.

use std::ops::{Bound, Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ground::error::{Error, Result};
use crate::ground::span::span;
use crate::media::mapping::{Access, Mapping};
use crate::media::{Domain, FileMedia, Media};

/// A range in numbers, for a mapping of `len` bytes. Not checked; what exceeds the numbers ends beyond every mapping.
pub(super) fn byte_range(range: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let to_end = range.end_bound() == Bound::Unbounded;
    let Range { start, end } = span(range, len);
    let end = if to_end { end.max(start) } else { end };
    start..end
}

/// The least range that holds both, an empty one holding nothing.
fn hull(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// What a mapping owes its medium, and how it is paid.
#[derive(Debug)]
pub(super) struct Duty {
    domain: Domain,
    access: Access,
    /// In the domain of pages: the range that was flushed and not yet synced. One range, since one `msync` costs a
    /// commit of the file system, and clean pages inside cost nothing.
    noted: Mutex<Range<usize>>,
    /// A sync has failed (M5).
    poisoned: AtomicBool,
    path: PathBuf,
    /// Holds the lock.
    file: FileMedia,
}

impl Duty {
    pub(super) fn new(file: FileMedia, domain: Domain, access: Access) -> Self {
        let (noted, poisoned) = (Mutex::new(0..0), AtomicBool::new(false));
        Self { domain, access, noted, poisoned, path: file.path(), file }
    }

    pub(super) fn domain(&self) -> Domain {
        self.domain
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error once a sync has failed.
    pub(super) fn ready(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Starts to make a range durable.
    pub(super) fn flush(&self, mapping: &Mapping, range: Range<usize>) -> Result<()> {
        self.ready()?;
        let range = mapping.check(range)?;
        self.note(range.clone());
        mapping.flush(range)
    }

    /// Notes a range whose lines need no flush, such as one that was stored past the cache.
    pub(super) fn note(&self, range: Range<usize>) {
        if self.domain == Domain::Page && self.access == Access::Shared {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            *noted = hull(noted.clone(), range);
        }
    }

    /// Waits for what was flushed.
    pub(super) fn drain(&self, mapping: &Mapping) -> Result<()> {
        self.ready()?;
        mapping.fence();
        self.settle(mapping)
    }

    /// As [`drain`](Self::drain) after a range was stored and, where that is all it takes, fenced.
    pub(super) fn stored(&self, mapping: &Mapping, range: Range<usize>) -> Result<()> {
        self.note(range);
        self.settle(mapping)
    }

    /// Syncs the noted pages, if there are any.
    pub(super) fn settle(&self, mapping: &Mapping) -> Result<()> {
        if self.domain != Domain::Page {
            return Ok(());
        }
        // Held during the sync: whoever drains meanwhile must not return before the pages that it found noted are safe.
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        self.ready()?;
        let synced = self.attend(mapping.sync(noted.clone()));
        *noted = 0..0;
        synced
    }

    /// Takes a range to the medium whatever the domain.
    pub(super) fn deep_persist(&self, mapping: &Mapping, range: Range<usize>) -> Result<()> {
        self.ready()?;
        mapping.flush(range.clone())?;
        mapping.fence();
        self.attend(mapping.sync(range))
    }

    /// Makes the file's length durable.
    pub(super) fn sync_file(&self) -> Result<()> {
        self.attend(self.file.sync())
    }

    /// Remembers that a sync has failed.
    pub(super) fn attend(&self, synced: Result<()>) -> Result<()> {
        if synced.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_range() {
        assert_eq!(byte_range(.., 10), 0..10);
        assert_eq!(byte_range(3.., 10), 3..10);
        assert_eq!(byte_range(..4, 10), 0..4);
        assert_eq!(byte_range(2..=4, 10), 2..5);
        assert_eq!(byte_range((Bound::Excluded(2), Bound::Unbounded), 10), 3..10);
        assert_eq!(byte_range(12.., 10), 12..12);
        assert_eq!(byte_range(0..=usize::MAX, 10), 0..usize::MAX);
    }

    #[test]
    fn a_hull_ignores_the_empty() {
        assert_eq!(hull(0..0, 5..7), 5..7);
        assert_eq!(hull(5..7, 9..9), 5..7);
        assert_eq!(hull(5..7, 1..2), 1..7);
        assert_eq!(hull(1..9, 2..3), 1..9);
    }
}
