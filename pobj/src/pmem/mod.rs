//! Persistent memory without pools: a file's bytes as memory, and the steps that make them durable. libpmem's job.
//!
//! A [`MappedFile`] is a file that the program reads and writes as a slice of bytes. Nothing here is a transaction: a
//! crash may leave any part of what was stored since the last [`persist`](MappedFile::persist). Programs that
//! want all or nothing use a [`Pool`](crate::Pool).
//!
//! ```
//! use pobj::pmem::MappedFile;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("numbers");
//! let mut map = MappedFile::create(&path, 4096)?;
//! map.as_mut_slice_of::<i32>(0..40)?[7] = 42;
//! map.persist(28..32)?;
//! drop(map);
//!
//! let map = MappedFile::open_read_only(&path)?;
//! assert_eq!(map.as_slice_of::<i32>(..)?[7], 42);
//! println!("stores here become durable by {}", map.domain());
//! # Ok::<(), pobj::Error>(())
//! ```
//!
//! # How a store becomes durable
//!
//! It depends on the file's persistence [`Domain`], and the calls are the same in each:
//!
//! | | [`Domain::Byte`] | [`Domain::CacheLine`] | [`Domain::Page`] |
//! |---|---|---|---|
//! | [`flush`](MappedFile::flush) | nothing | starts to write back the lines | notes the pages |
//! | [`drain`](MappedFile::drain) | one fence | one fence | one `msync` of the noted pages |
//! | [`persist`](MappedFile::persist) | both | both | both |
//!
//! A flush and its drain belong to one thread: a fence waits for what its own thread has flushed. (An `msync` is for
//! everybody.)
//!
//! What a killed process stored and did not persist may be read after opening, and still be lost in a later power cut:
//! persist what you build on.
//!
//! An ordinary file is in the domain of pages. A file on a DAX file system is finer if the kernel grants `MAP_SYNC`
//! for it. [`MapOptions::require_domain`] refuses what is too coarse; [`MapOptions::force_domain`] and the
//! environment variable `POBJ_DOMAIN` overrule the kernel, for tests.
//!
//! # What is assumed
//!
//! A writer locks the file exclusively and readers share it (`flock`), as pools do. A program that ignores the lock and
//! writes or shortens the file meanwhile is outside of what is promised here: references into the mapping could
//! then see bytes change, and a page beyond the end of the file ends the process with `SIGBUS`.

mod cursor;
mod guards;
mod options;
mod ranges;

use std::ops::{Range, RangeBounds};
use std::path::Path;

use bytemuck::{AnyBitPattern, NoUninit};
use static_assertions::assert_impl_all;

pub use self::cursor::Cursor;
pub use self::guards::{DrainGuard, FlushGuard};
pub use self::options::MapOptions;
use self::ranges::{Duty, byte_range};
use crate::ground::error::{Error, Result};
use crate::media::mapping::{Mapping, read_only};
pub use crate::media::{Domain, Hint, MediaCounts};

/// What this thread has asked of persistent memory and of files so far, here and through pools: the difference of two
/// readings counts the flushes and fences between them.
///
/// ```
/// use pobj::pmem::{Domain, MapOptions, counts};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("counted");
/// let map = MapOptions::new().size(4096).force_domain(Domain::CacheLine).create(&path)?;
/// let before = counts();
/// map.persist(60..70)?;
/// let cost = counts() - before;
/// assert_eq!((cost.flushes, cost.fences), (2, 1));
/// # Ok::<(), pobj::Error>(())
/// ```
#[must_use]
pub fn counts() -> MediaCounts {
    crate::media::counts_here()
}

/// A file as memory. Dropping it unmaps the file and gives up its lock; it makes nothing durable by itself.
///
/// Offsets and ranges are in bytes from the start of the file. A range that is not inside gives
/// [`Error::OutOfRange`].
#[derive(Debug)]
pub struct MappedFile {
    // Dropped in this order: the lock goes last.
    mapping: Mapping,
    duty: Duty,
}

impl MappedFile {
    /// Maps an existing file for reading and writing, with default [`MapOptions`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        MapOptions::new().open(path)
    }

    /// Makes a file of `size` zero bytes, all of its space allocated, and maps it. [`Error::AlreadyExists`] if there is
    /// one.
    pub fn create(path: impl AsRef<Path>, size: u64) -> Result<Self> {
        MapOptions::new().size(size).create(path)
    }

    /// Maps the file, which is made with `size` bytes if it is missing and lengthened if it is shorter.
    pub fn open_or_create(path: impl AsRef<Path>, size: u64) -> Result<Self> {
        MapOptions::new().size(size).open_or_create(path)
    }

    /// Maps an existing file for reading. Several readers may share it.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        MapOptions::new().open_read_only(path)
    }

    /// Maps an existing file for a dry run: stores change a private copy, and the file never.
    pub fn open_private(path: impl AsRef<Path>) -> Result<Self> {
        MapOptions::new().open_private(path)
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Whether there are no bytes: only after a guard was leaked, see [`DrainGuard`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How stores become durable. Of a file that was opened privately: how they would.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.duty.domain()
    }

    /// The path that was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.duty.path()
    }

    /// All bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.mapping.bytes()
    }

    /// All bytes, to store to. What is stored is durable after [`persist`](Self::persist).
    pub fn as_mut_slice(&mut self) -> Result<&mut [u8]> {
        self.slice_mut(..)
    }

    /// The bytes of a range.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<&[u8]> {
        let range = self.range(range)?;
        Ok(&self.mapping.bytes()[range])
    }

    /// The bytes of a range, to store to.
    pub fn slice_mut(&mut self, range: impl RangeBounds<usize>) -> Result<&mut [u8]> {
        slice_mut(&mut self.mapping, range)
    }

    /// The bytes of a range as values of `T`. [`Error::Misaligned`] unless they are whole, aligned values; the mapping
    /// starts at a page.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("values");
    /// let map = pobj::pmem::MappedFile::create(&path, 4096)?;
    /// assert_eq!(map.as_slice_of::<u16>(8..12)?, [0, 0]);
    /// assert!(map.as_slice_of::<u16>(9..11).is_err());
    /// # Ok::<(), pobj::Error>(())
    /// ```
    pub fn as_slice_of<T: AnyBitPattern>(&self, range: impl RangeBounds<usize>) -> Result<&[T]> {
        let bytes = self.slice(range)?;
        bytemuck::try_cast_slice(bytes).map_err(|_| misaligned::<T>(bytes.as_ptr().addr(), bytes.len()))
    }

    /// The bytes of a range as values of `T`, to store to.
    pub fn as_mut_slice_of<T: AnyBitPattern + NoUninit>(
        &mut self,
        range: impl RangeBounds<usize>,
    ) -> Result<&mut [T]> {
        values_mut(self.slice_mut(range)?)
    }

    /// Where a value lies that was reached through this mapping. [`Error::OutOfRange`] if it lies elsewhere.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("values");
    /// let mut map = pobj::pmem::MappedFile::create(&path, 4096)?;
    /// map.as_mut_slice_of::<u64>(..)?[3] = 7;
    /// let third = &map.as_slice_of::<u64>(..)?[3];
    /// assert_eq!(map.range_of(third)?, 24..32);
    /// map.persist(map.range_of(third)?)?;
    /// assert!(map.range_of(&7_u64).is_err());
    /// # Ok::<(), pobj::Error>(())
    /// ```
    pub fn range_of<T: ?Sized>(&self, value: &T) -> Result<Range<usize>> {
        let first = std::ptr::from_ref(value).cast::<u8>().addr();
        let start = first.wrapping_sub(self.as_slice().as_ptr().addr());
        self.mapping.check(start..start.saturating_add(size_of_val(value)))
    }

    /// Starts to make a range durable. Completed by the next [`drain`](Self::drain) of this thread.
    pub fn flush(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let range = self.range(range)?;
        self.duty.flush(&self.mapping, range)
    }

    /// Waits until all that this thread has flushed is durable.
    ///
    /// In the domain of pages this is a system call, which can fail; what is durable is unknown then, and this and every
    /// later call is [`Error::Poisoned`] or the failure itself (M5).
    pub fn drain(&self) -> Result<()> {
        self.duty.drain(&self.mapping)
    }

    /// Makes a range durable: [`flush`](Self::flush) and [`drain`](Self::drain).
    pub fn persist(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.flush(range)?;
        self.drain()
    }

    /// Takes a range to the medium itself, beyond the domain, by a system call. For the rare byte that must
    /// survive even where the platform fails to save what its domain promises.
    pub fn deep_persist(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let range = self.range(range)?;
        self.duty.deep_persist(&self.mapping, range)
    }

    /// Copies `bytes` to `offset`; durable on return.
    pub fn copy_at(&mut self, offset: usize, bytes: &[u8], hint: Hint) -> Result<()> {
        self.duty.ready()?;
        self.mapping.copy(offset, bytes, hint)?;
        self.duty.stored(&self.mapping, offset..offset + bytes.len())
    }

    /// Sets every byte of a range; durable on return.
    pub fn fill(&mut self, range: impl RangeBounds<usize>, byte: u8, hint: Hint) -> Result<()> {
        self.duty.ready()?;
        let range = self.range(range)?;
        self.mapping.fill(range.clone(), byte, hint)?;
        self.duty.stored(&self.mapping, range)
    }

    /// Copies a range to the place `to`, which may overlap it; durable on return.
    pub fn move_within(&mut self, range: impl RangeBounds<usize>, to: usize, hint: Hint) -> Result<()> {
        self.duty.ready()?;
        let range = self.range(range)?;
        let target = to..to.saturating_add(range.len());
        self.mapping.move_within(range, to, hint)?;
        self.duty.stored(&self.mapping, target)
    }

    /// A place for stores whose ranges are flushed when it ends.
    pub fn flush_guard(&mut self) -> FlushGuard<'_> {
        FlushGuard::new(&mut self.mapping, &self.duty)
    }

    /// A place for stores and flushes that share one drain, when it ends.
    pub fn drain_guard(&mut self) -> DrainGuard<'_> {
        DrainGuard::new(&mut self.mapping, &self.duty)
    }

    /// Reads and writes from the start, like a file. (To read a shared map, [`std::io::Cursor`] over
    /// [`as_slice`](Self::as_slice) does.)
    pub fn cursor(&mut self) -> Cursor<'_> {
        Cursor::new(self)
    }

    fn range(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        self.mapping.check(byte_range(range, self.len()))
    }
}

assert_impl_all!(MappedFile: Send, Sync);

fn slice_mut(mapping: &mut Mapping, range: impl RangeBounds<usize>) -> Result<&mut [u8]> {
    let range = mapping.check(byte_range(range, mapping.len()))?;
    mapping.bytes_mut().map(|bytes| &mut bytes[range]).ok_or_else(read_only)
}

fn values_mut<T: AnyBitPattern + NoUninit>(bytes: &mut [u8]) -> Result<&mut [T]> {
    let (address, len) = (bytes.as_ptr().addr(), bytes.len());
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| misaligned::<T>(address, len))
}

fn misaligned<T>(address: usize, len: usize) -> Error {
    let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    Error::Misaligned { address: address as u64, len: len as u64, size, align }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// After a failed sync nothing may claim that something is durable (M5).
    #[test]
    fn a_poisoned_mapping_refuses_every_promise() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("poisoned");
        let mut map = MapOptions::new().size(4096).force_domain(Domain::Page).create(&path).unwrap();
        let mut guard = map.drain_guard();
        guard.copy_at(0, &[1], Hint::Auto).unwrap();
        drop(guard);
        let failed = Err(Error::io("sync the mapped pages", std::io::Error::other("the disk is gone")));
        assert!(matches!(map.duty.attend(failed), Err(Error::Io { .. })));
        let before = counts();
        let poisoned = |result: Result<()>| assert!(matches!(result, Err(Error::Poisoned)), "{result:?}");
        poisoned(map.flush(..));
        poisoned(map.drain());
        poisoned(map.persist(..));
        poisoned(map.deep_persist(..));
        poisoned(map.copy_at(0, &[2], Hint::Auto));
        poisoned(map.fill(.., 2, Hint::Auto));
        poisoned(map.move_within(..1, 1, Hint::Auto));
        poisoned(map.drain_guard().finish());
        poisoned(map.drain_guard().flush(..));
        poisoned(map.drain_guard().copy_at(0, &[2], Hint::Auto));
        let mut stores = map.flush_guard();
        stores.slice_mut(..1).unwrap()[0] = 3;
        poisoned(stores.finish());
        let mut cursor = map.cursor();
        std::io::Write::write_all(&mut cursor, b"x").unwrap();
        std::io::Write::flush(&mut cursor).unwrap_err();
        drop(cursor);
        assert_eq!(counts(), before, "nothing was even tried");
        drop(map);
        assert_eq!(MappedFile::open(&path).unwrap().as_slice()[0], b'x');
    }
}
