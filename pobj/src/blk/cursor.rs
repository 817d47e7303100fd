//! An array of blocks behind the standard traits of files.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::Blocks;
use crate::ground::error::Error;

/// Reads, writes and seeks in an array of blocks as in one file of
/// [`block_size`](Blocks::block_size) times [`count`](Blocks::count) bytes; made by [`Blocks::cursor`].
///
/// One call reads or writes within one block, and is atomic; a longer buffer takes several, as
/// [`read_exact`](Read::read_exact) and [`write_all`](Write::write_all) see to. So a longer write may be there in part after
/// a crash, cut between two blocks. A write of part of a block keeps the rest, so in a bad block it is
/// [`BadBlock`](crate::Error::BadBlock). The array never grows: at its end a write gives 0. Every cursor has a position of its own.
///
/// Changes have the durability of the pool; [`flush`](Write::flush) makes all of them durable. Errors of pobj are inside the
/// [`io::Error`] ([`get_ref`](io::Error::get_ref)), except the system's own, which come as they are.
///
/// ```
/// use std::io::{Read, Seek, Write};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("disk.pobj");
/// let blocks = pobj::blk::Blocks::create(&path, 4, 100)?;
/// let mut cursor = blocks.cursor();
/// cursor.seek(std::io::SeekFrom::Start(10))?;
/// cursor.write_all(b"across blocks")?;
/// cursor.flush()?;
///
/// cursor.rewind()?;
/// let mut text = [1; 24];
/// cursor.read_exact(&mut text)?;
/// assert_eq!(&text, b"\0\0\0\0\0\0\0\0\0\0across blocks\0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    blocks: &'a Blocks,
    position: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(blocks: &'a Blocks) -> Self {
        Self { blocks, position: 0 }
    }

    /// Where the next byte is read or written.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    fn end(&self) -> u64 {
        // The array was checked for this product.
        self.blocks.count * self.blocks.block_size as u64
    }

    /// The block at the position, the place in it, and how many of `len` bytes it has from there on: none at the end.
    fn place(&self, len: usize) -> (u64, usize, usize) {
        let size = self.blocks.block_size as u64;
        let (number, start) = (self.position / size, (self.position % size) as usize);
        let there = if self.position < self.end() { self.blocks.block_size - start } else { 0 };
        (number, start, len.min(there))
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (number, start, len) = self.place(into.len());
        if len != 0 {
            self.blocks.read_part(number, start, &mut into[..len]).map_err(other)?;
            self.position += len as u64;
        }
        Ok(len)
    }
}

impl Write for Cursor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (number, start, len) = self.place(bytes.len());
        if len != 0 {
            self.blocks.write_part(number, start, &bytes[..len]).map_err(other)?;
            self.position += len as u64;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.blocks.sync().map_err(other)
    }
}

impl Seek for Cursor<'_> {
    /// A position beyond the end is as good as the end.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.end().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a seek to before the first byte, or beyond all numbers",
            )
        })?;
        Ok(self.position)
    }
}

/// The crate's error as one of input and output: the system's own where there is one.
fn other(error: Error) -> io::Error {
    match error {
        Error::Io { source, .. } => source,
        error => io::Error::other(error),
    }
}
