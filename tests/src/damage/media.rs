//! A medium that remembers where it was written, so that it can be made again what it was.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pobj::Result;
use pobj::media::{Domain, Image, ImageMode, Media, Placement, RamMedia};

/// Memory that can be put back. Clones are handles to the same bytes. Not for images in place, which are written without
/// asking.
#[derive(Clone, Debug)]
pub struct Restorable {
    inner: RamMedia,
    written: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Restorable {
    /// Over bytes that are there.
    #[must_use]
    pub fn new(inner: RamMedia) -> Self {
        Self { inner, written: Arc::default() }
    }

    /// Makes the bytes `original` again, which they were at first.
    ///
    /// # Panics
    ///
    /// If the memory cannot be written.
    pub fn restore(&self, original: &[u8]) {
        let len = original.len() as u64;
        let now = self.inner.len().expect("memory has a length");
        if now < len {
            self.inner.grow(len).expect("memory grows");
            self.note(now, len - now);
        }
        self.inner.truncate(len).expect("memory is cut");
        for range in std::mem::take(&mut *self.written()) {
            let (start, end) = (range.start.min(len), range.end.min(len));
            let bytes = &original[start as usize..end as usize];
            self.inner.write(start, bytes).expect("memory is written");
        }
    }

    fn written(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, offset: u64, len: u64) {
        self.written().push(offset..offset.saturating_add(len));
    }
}

impl Media for Restorable {
    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.inner.read(offset, into)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.note(offset, bytes.len() as u64);
        self.inner.write(offset, bytes)
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }

    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }

    fn prepare_ring(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn domain(&self) -> Domain {
        self.inner.domain()
    }

    fn grow(&self, len: u64) -> Result<()> {
        self.inner.grow(len)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        // What is cut is put back when the length is, or written over when the pool has grown again.
        self.note(len, u64::MAX - len);
        self.inner.truncate(len)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.note(offset, len);
        self.inner.punch(offset, len)
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.inner.allocate(offset, len)
    }

    fn publish(&self) -> Result<()> {
        self.inner.publish()
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        self.inner.image(placement, len, max_len, mode)
    }

    fn block_len(&self) -> u64 {
        self.inner.block_len()
    }

    fn path(&self) -> PathBuf {
        self.inner.path()
    }

    fn background(&self) -> bool {
        false
    }
}
