//! A mapped file behind the standard traits of files.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::ops::Range;

use static_assertions::assert_not_impl_any;

use super::MappedFile;
use crate::ground::error::Error;

/// Reads, writes and seeks in a [`MappedFile`].
///
/// What was written is durable after [`flush`](Write::flush), or when the cursor is dropped (on unwinding too); if the
/// latter fails, the next call on the file is [`Error::Poisoned`]. A write ends at the end of the mapping,
/// which never grows: [`write_all`](Write::write_all) of more gives [`WriteZero`](io::ErrorKind::WriteZero).
///
/// ```
/// use std::io::{Read, Seek, Write};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// let mut map = pobj::pmem::MappedFile::create(&path, 4096)?;
/// let mut cursor = map.cursor();
/// cursor.write_all(b"hello")?;
/// cursor.flush()?;
/// cursor.rewind()?;
/// let mut word = [0; 5];
/// cursor.read_exact(&mut word)?;
/// assert_eq!(&word, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cursor<'a> {
    map: &'a mut MappedFile,
    position: u64,
    /// Written and not yet durable; writes elsewhere are flushed at once.
    written: Range<usize>,
    /// Neither `Send` nor `Sync`: a flush belongs to the thread that drains.
    here: PhantomData<*const ()>,
}

assert_not_impl_any!(Cursor<'static>: Send, Sync);

impl<'a> Cursor<'a> {
    pub(super) fn new(map: &'a mut MappedFile) -> Self {
        Self { map, position: 0, written: 0..0, here: PhantomData }
    }

    /// Where the next byte is read or written.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The position as a place in the mapping: its end for all beyond.
    fn place(&self) -> usize {
        usize::try_from(self.position).map_or(self.map.len(), |place| place.min(self.map.len()))
    }

    /// Remembers that a range was written, as part of what was written before if the two touch.
    fn note(&mut self, range: Range<usize>) -> io::Result<()> {
        if self.written.end == range.start {
            self.written.end = range.end;
            return Ok(());
        }
        let before = std::mem::replace(&mut self.written, range);
        self.map.flush(before).map_err(other)
    }

    fn persist(&mut self) -> Result<(), Error> {
        if self.written.is_empty() {
            return Ok(());
        }
        let written = std::mem::replace(&mut self.written, 0..0);
        self.map.persist(written)
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = (&self.map.as_slice()[self.place()..]).read(into)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Cursor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = self.place();
        let count = bytes.len().min(self.map.len() - start);
        let range = start..start + count;
        self.map.slice_mut(range.clone()).map_err(other)?.copy_from_slice(&bytes[..count]);
        if count > 0 {
            self.note(range)?;
            self.position += count as u64;
        }
        Ok(count)
    }

    /// Makes what was written durable.
    fn flush(&mut self) -> io::Result<()> {
        self.persist().map_err(other)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(offset) => (self.position, offset),
            SeekFrom::End(offset) => (self.map.len() as u64, offset),
        };
        self.position = base.checked_add_signed(offset).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a position before the start or beyond all numbers")
        })?;
        Ok(self.position)
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // A failure poisons the mapping, so it is not lost.
        let _ = self.persist();
    }
}

/// The crate's error as one of input and output: the system's own where there is one.
fn other(error: Error) -> io::Error {
    match error {
        Error::Io { source, .. } => source,
        error => io::Error::other(error),
    }
}
