//! Scopes that flush or drain when they end, however they end.
//!
//! Both act on unwinding too. A panic in the middle leaves half of the stores; what is half done in memory may
//! become durable at any time anyway (M2), so leaving it unflushed would protect nothing, and the half that other
//! code relies on is at least where that code believes it to be.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};

use bytemuck::{AnyBitPattern, NoUninit};
use static_assertions::assert_not_impl_any;

use super::ranges::{Duty, byte_range};
use super::{slice_mut, values_mut};
use crate::ground::error::Result;
use crate::media::Hint;
use crate::media::mapping::{Mapping, Unfenced};

/// Flushes at its end every range that it gave out for storing. The drain is the caller's.
///
/// Ends on unwinding too, and stays on its thread. Made by [`MappedFile::flush_guard`](super::MappedFile::flush_guard) and
/// [`DrainGuard::flush_guard`].
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// let mut map = pobj::pmem::MappedFile::create(&path, 4096)?;
/// let mut stores = map.flush_guard();
/// stores.slice_mut(0..3)?.copy_from_slice(b"one");
/// stores.slice_mut(100..103)?.copy_from_slice(b"two");
/// drop(stores);
/// map.drain()?;
/// # Ok::<(), pobj::Error>(())
/// ```
pub struct FlushGuard<'a> {
    mapping: &'a mut Mapping,
    duty: &'a Duty,
    ranges: Vec<Range<usize>>,
    /// Neither `Send` nor `Sync`: a flush belongs to the thread that drains.
    here: PhantomData<*const ()>,
}

impl<'a> FlushGuard<'a> {
    pub(super) fn new(mapping: &'a mut Mapping, duty: &'a Duty) -> Self {
        Self { mapping, duty, ranges: Vec::new(), here: PhantomData }
    }

    /// The bytes of a range, to store to.
    pub fn slice_mut(&mut self, range: impl RangeBounds<usize>) -> Result<&mut [u8]> {
        let range = byte_range(range, self.mapping.len());
        let bytes = slice_mut(self.mapping, range.clone())?;
        match self.ranges.last_mut() {
            Some(last) if last.start <= range.start && range.start <= last.end => {
                last.end = last.end.max(range.end);
            }
            _ => self.ranges.push(range),
        }
        Ok(bytes)
    }

    /// The bytes of a range as values of `T`, to store to.
    pub fn as_mut_slice_of<T: AnyBitPattern + NoUninit>(
        &mut self,
        range: impl RangeBounds<usize>,
    ) -> Result<&mut [T]> {
        values_mut(self.slice_mut(range)?)
    }

    /// Ends here, and says so if the mapping is [`Poisoned`](crate::Error::Poisoned).
    pub fn finish(mut self) -> Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        for range in std::mem::take(&mut self.ranges) {
            self.duty.flush(self.mapping, range)?;
        }
        Ok(())
    }
}

impl Drop for FlushGuard<'_> {
    fn drop(&mut self) {
        // The ranges were checked when they were given out. What is left is that the mapping is poisoned, which the
        // caller's drain will say.
        let _ = self.flush();
    }
}

assert_not_impl_any!(FlushGuard<'static>: Send, Sync);

impl fmt::Debug for FlushGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlushGuard").field("ranges", &self.ranges).finish_non_exhaustive()
    }
}

/// Drains once at its end for all the stores and flushes that were made through it.
///
/// Ends on unwinding too, and stays on its thread. [`finish`](Self::finish) ends it with a result; if it is dropped and the drain
/// fails, the next call on the mapping is [`Error::Poisoned`](crate::Error::Poisoned). Leaked (by
/// [`std::mem::forget`]), it takes the mapping along, whose length is 0 from then on: bytes that were stored past the
/// cache must not reach another thread before a fence.
///
/// ```
/// use pobj::pmem::{Hint, MappedFile};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// let mut map = MappedFile::create(&path, 1 << 16)?;
/// let mut batch = map.drain_guard();
/// for record in 0..8 {
///     batch.copy_at(record * 4096, &[record as u8; 4096], Hint::Auto)?;
/// }
/// batch.finish()?;
/// assert_eq!(map.as_slice()[7 * 4096], 7);
/// # Ok::<(), pobj::Error>(())
/// ```
pub struct DrainGuard<'a> {
    unfenced: Unfenced<'a>,
    duty: &'a Duty,
    done: bool,
}

impl<'a> DrainGuard<'a> {
    pub(super) fn new(mapping: &'a mut Mapping, duty: &'a Duty) -> Self {
        Self { unfenced: Unfenced::over(mapping), duty, done: false }
    }

    /// The bytes of a range, to store to and to [`flush`](Self::flush). Costs a fence if something was copied, filled or
    /// moved before.
    pub fn slice_mut(&mut self, range: impl RangeBounds<usize>) -> Result<&mut [u8]> {
        slice_mut(self.unfenced.settled(), range)
    }

    /// A place for stores whose ranges are flushed when it ends. Costs a fence if something was copied, filled or moved
    /// before.
    pub fn flush_guard(&mut self) -> FlushGuard<'_> {
        FlushGuard::new(self.unfenced.settled(), self.duty)
    }

    /// Starts to make a range durable.
    pub fn flush(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        self.duty.ready()?;
        let range = self.range(range)?;
        self.duty.note(range.clone());
        self.unfenced.flush(range)
    }

    /// Copies `bytes` to `offset`.
    pub fn copy_at(&mut self, offset: usize, bytes: &[u8], hint: Hint) -> Result<()> {
        self.duty.ready()?;
        self.unfenced.copy(offset, bytes, hint)?;
        self.duty.note(offset..offset + bytes.len());
        Ok(())
    }

    /// Sets every byte of a range.
    pub fn fill(&mut self, range: impl RangeBounds<usize>, byte: u8, hint: Hint) -> Result<()> {
        self.duty.ready()?;
        let range = self.range(range)?;
        self.unfenced.fill(range.clone(), byte, hint)?;
        self.duty.note(range);
        Ok(())
    }

    /// Copies a range to the place `to`, which may overlap it.
    pub fn move_within(&mut self, range: impl RangeBounds<usize>, to: usize, hint: Hint) -> Result<()> {
        self.duty.ready()?;
        let range = self.range(range)?;
        let target = to..to.saturating_add(range.len());
        self.unfenced.move_within(range, to, hint)?;
        self.duty.note(target);
        Ok(())
    }

    /// Drains and ends.
    pub fn finish(mut self) -> Result<()> {
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        self.done = true;
        self.duty.ready()?;
        self.unfenced.fence();
        self.duty.settle(self.unfenced.settled())
    }

    fn range(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        self.unfenced.check(byte_range(range, self.unfenced.len()))
    }
}

impl Drop for DrainGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            // A failure poisons the mapping, so it is not lost.
            let _ = self.drain();
        }
    }
}

assert_not_impl_any!(DrainGuard<'static>: Send, Sync);

impl fmt::Debug for DrainGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainGuard").field("len", &self.unfenced.len()).finish_non_exhaustive()
    }
}
