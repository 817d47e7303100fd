//! A pool in an ordinary file, on any SSD and any Linux file system.
//!
//! - **One durable write** is `pwritev2(RWF_DSYNC)`, which takes its own bytes to the medium and no other dirty page
//!   of the file. File systems that lack it get `pwrite` and `fdatasync`; the lack is remembered.
//! - **Ordered writes** (a commit that need only survive a kill) are copies into a shared mapping of the ring: the
//!   page cache keeps them when the process dies, and no system call is made.
//! - **Ownership** (M6) is a `flock` on the open file, exclusive for a writer and shared for read-only users. The
//!   kernel drops it when the last descriptor goes, however the process ends.
//! - **Creation** happens under a temporary name in the same directory, locked from its first moment, and
//!   [`publish`](Media::publish) renames it without ever replacing a file. So nobody sees a half-made pool.
//! - Descriptors are close-on-exec, and nothing but a regular file is ever opened.
//!
//! A failed sync is reported, never retried (M5): poisoning the pool is the business of the floors above.

mod naming;
mod opening;

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, fdatasync, flock, fstat, fsync, ftruncate};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use self::naming::Unpublished;
use self::opening::Claim;
use super::{Image, ImageMode, Media, Placement, counts, refuse_in_place};
use crate::ground::error::{Error, Result};

/// Durable writes start at multiples of this: the block of the usual file systems, and a multiple of the sector of
/// the usual devices.
const BLOCK_LEN: u64 = 4096;
/// How much space one `fallocate` asks for once a signal has interrupted the whole, so that signals cannot hold it up
/// for ever.
const GROW_STEP: u64 = 256 * 1024 * 1024;
/// Zeros are written in pieces of this length where `fallocate` is missing.
const ZEROS_LEN: usize = 1024 * 1024;

/// A pool in an ordinary file.
#[derive(Debug)]
pub struct FileMedia {
    file: File,
    path: PathBuf,
    read_only: bool,
    /// The file system refused `RWF_DSYNC`.
    no_dsync: AtomicBool,
    ring: OnceLock<Ring>,
    unpublished: Mutex<Option<Unpublished>>,
    /// The process that opened the file: a forked child must not give up its parent's lock.
    process: u32,
}

/// The range for ordered writes and its shared mapping, made at the first of them.
#[derive(Debug)]
struct Ring {
    offset: u64,
    len: u64,
    /// `None` where the file cannot be mapped shared.
    mapping: OnceLock<Option<MmapRaw>>,
    /// Something was stored there since the last sync.
    stored: AtomicBool,
}

impl Ring {
    /// Takes what was stored out of the page tables; the page cache has it. A sync would do so page by page, and
    /// interrupt all other processors for each of them, which costs them more than the sync itself. Best effort.
    fn let_go(&self) {
        if let Some(Some(mapping)) = self.mapping.get()
            && self.stored.swap(false, Ordering::Relaxed)
        {
            // SAFETY: of a shared mapping of a file nothing is lost: whoever comes there next, at the same time too, gets
            // the same page of the page cache.
            let _ = unsafe { mapping.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }
}

impl FileMedia {
    /// Makes an empty file for a pool that [`publish`](Media::publish) will make visible at `path`. Until then it has
    /// a temporary name, and is removed when dropped.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let (file, unpublished) = naming::create(path.as_ref())?;
        Ok(Self::new(file, path.as_ref(), false, Some(unpublished)))
    }

    /// Opens the file of a pool for reading and writing and takes it for this handle alone.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = opening::open(path.as_ref(), Claim::Alone)?;
        Ok(Self::new(file, path.as_ref(), false, None))
    }

    /// Opens the file of a pool for reading. Several may do so at once, but not beside a writer.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        let file = opening::open(path.as_ref(), Claim::Shared)?;
        Ok(Self::new(file, path.as_ref(), true, None))
    }

    /// Opens a file for reading whatever others do with it meanwhile, a writer among them. Only for who takes no byte on
    /// trust.
    pub(crate) fn open_beside_writer(path: impl AsRef<Path>) -> Result<Self> {
        let file = opening::open(path.as_ref(), Claim::None)?;
        Ok(Self::new(file, path.as_ref(), true, None))
    }

    fn new(file: File, path: &Path, read_only: bool, unpublished: Option<Unpublished>) -> Self {
        Self {
            file,
            path: path.to_owned(),
            read_only,
            no_dsync: AtomicBool::new(false),
            ring: OnceLock::new(),
            unpublished: Mutex::new(unpublished),
            process: std::process::id(),
        }
    }

    /// This file's error.
    fn failed(&self, doing: &'static str, e: Errno) -> Error {
        io_error(doing, &self.path, e)
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(self.failed("change a pool that was opened read-only", Errno::ROFS));
        }
        Ok(())
    }

    /// The place for `len` bytes at `offset` in the shared mapping, if there is one. They are about to be stored.
    fn ring_place(&self, offset: u64, len: usize) -> Option<*mut u8> {
        let ring = self.ring.get()?;
        let start = offset.checked_sub(ring.offset)?;
        if start.checked_add(len as u64)? > ring.len {
            return None;
        }
        let mapping = ring.mapping.get_or_init(|| {
            let length = fstat(&self.file).ok()?.st_size as u64;
            if ring.offset.checked_add(ring.len)? > length {
                return None; // Stores beyond the end of the file would raise SIGBUS.
            }
            MmapOptions::new().offset(ring.offset).len(ring.len as usize).map_raw(&self.file).ok()
        });
        let mapping = mapping.as_ref()?;
        ring.stored.store(true, Ordering::Relaxed);
        // The test above keeps start + len within the mapping.
        Some(mapping.as_mut_ptr().wrapping_add(start as usize))
    }

    /// Appends zeros up to `len` where space cannot be allocated otherwise.
    fn grow_by_writing(&self, from: u64, len: u64) -> Result<(), Errno> {
        let zeros = vec![0; ZEROS_LEN.min((len - from) as usize)];
        let mut offset = from;
        while offset < len {
            let count = zeros.len().min((len - offset) as usize);
            write_all(&zeros[..count], offset, |bytes, at| rustix::io::pwrite(&self.file, bytes, at))?;
            offset += count as u64;
        }
        Ok(())
    }

    fn grow_from(&self, from: u64, len: u64) -> Result<(), Errno> {
        let (mut end, mut step) = (from, len - from);
        while end < len {
            step = step.min(len - end);
            match fallocate(&self.file, FallocateFlags::empty(), end, step) {
                Ok(()) => end += step,
                Err(Errno::INTR) => step = GROW_STEP,
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return self.grow_by_writing(end, len),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Media for FileMedia {
    fn len(&self) -> Result<u64> {
        let stat = fstat(&self.file).map_err(|e| self.failed("look at the pool file", e))?;
        Ok(stat.st_size as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        use std::os::unix::fs::FileExt;
        let len = into.len() as u64;
        self.file.read_exact_at(into, offset).map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::IO | Errno::HWPOISON) => {
                Error::Unreadable { path: self.path.clone(), offset, len, source }
            }
            _ => Error::Io { doing: "read the pool file", path: Some(self.path.clone()), source },
        })
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_writable()?;
        counts::wrote(bytes.len() as u64);
        write_all(bytes, offset, |bytes, at| rustix::io::pwrite(&self.file, bytes, at))
            .map_err(|e| self.failed("write the pool file", e))
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_writable()?;
        let doing = "write the pool file durably";
        counts::wrote(bytes.len() as u64);
        counts::wrote_durably();
        if !self.no_dsync.load(Ordering::Relaxed) {
            let written = write_all(bytes, offset, |bytes, at| {
                rustix::io::pwritev2(&self.file, &[IoSlice::new(bytes)], at, ReadWriteFlags::DSYNC)
            });
            match written {
                Ok(()) => return Ok(()),
                // What was written before the refusal is written again below: same bytes, then a sync of all.
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    self.no_dsync.store(true, Ordering::Relaxed)
                }
                Err(e) => return Err(self.failed(doing, e)),
            }
        }
        write_all(bytes, offset, |bytes, at| rustix::io::pwrite(&self.file, bytes, at))
            .and_then(|()| fdatasync(&self.file))
            .map_err(|e| self.failed(doing, e))
    }

    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_writable()?;
        let Some(to) = self.ring_place(offset, bytes.len()) else {
            return self.write(offset, bytes);
        };
        counts::wrote(bytes.len() as u64);
        // SAFETY: `ring_place` found the whole range inside the shared mapping, which lives as long as `self`. No
        // reference to it exists, and callers do not overlap writes of different values in time (trait contract).
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()> {
        let ring = self.ring.get_or_init(|| Ring {
            offset,
            len,
            mapping: OnceLock::new(),
            stored: AtomicBool::new(false),
        });
        if (ring.offset, ring.len) != (offset, len) {
            return Err(self.failed("move the ring of an open pool", Errno::INVAL));
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.check_writable()?;
        counts::wrote_durably();
        self.ring.get().into_iter().for_each(Ring::let_go);
        // Not repeated after EINTR: a sync that failed once proves nothing when it succeeds later (M5).
        fdatasync(&self.file).map_err(|e| self.failed("sync the pool file", e))
    }

    /// By a durable write of its last word: a sync of the file would wait for all that the checkpoint has written, tens of
    /// milliseconds in the middle of somebody's transaction.
    fn sync_len(&self, len: u64) -> Result<()> {
        self.write_durable(len - 8, &[0; 8])
    }

    fn grow(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        let old = Media::len(self)?;
        if len <= old {
            return Ok(());
        }
        self.grow_from(old, len).map_err(|e| {
            // Gives back what was allocated before the failure; if even that fails, the file is merely longer.
            let _ = retry_on_intr(|| ftruncate(&self.file, old));
            self.failed("grow the pool file", e)
        })
    }

    fn stretch(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        if len <= Media::len(self)? {
            return Ok(());
        }
        retry_on_intr(|| ftruncate(&self.file, len)).map_err(|e| self.failed("lengthen the pool file", e))
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        if len >= Media::len(self)? {
            return Ok(());
        }
        retry_on_intr(|| ftruncate(&self.file, len)).map_err(|e| self.failed("shorten the pool file", e))
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        self.fallocate_range(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
            .map_err(|e| self.failed("give space of the pool file back", e))
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        self.fallocate_range(FallocateFlags::KEEP_SIZE, offset, len)
            .map_err(|e| self.failed("allocate space for the pool file", e))
    }

    fn publish(&self) -> Result<()> {
        let mut guard = self.unpublished.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(made) = guard.as_mut() else {
            return Ok(());
        };
        fsync(&self.file).map_err(|e| self.failed("sync the new pool file", e))?;
        match made.rename() {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(Error::AlreadyExists { path: self.path.clone() });
            }
            Err(e) => return Err(self.failed("give the new pool file its name", e)),
        }
        let synced = made.sync_directory();
        *guard = None;
        synced.map_err(|e| self.failed("sync the pool's directory", e))
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        refuse_in_place(self, mode)?;
        let on_medium = Media::len(self)?;
        if on_medium < len {
            return Err(Error::corrupt(format!("the file ends here, the pool has {len} bytes"), on_medium));
        }
        Image::map_file(&self.file, placement, len, max_len)
    }

    fn block_len(&self) -> u64 {
        BLOCK_LEN
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn background(&self) -> bool {
        true
    }
}

impl FileMedia {
    /// `fallocate` on an existing range, where a file system without the operation does nothing.
    fn fallocate_range(&self, mode: FallocateFlags, offset: u64, len: u64) -> Result<(), Errno> {
        if len == 0 {
            return Ok(());
        }
        loop {
            match fallocate(&self.file, mode, offset, len) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                other => return other,
            }
        }
    }
}

impl Drop for FileMedia {
    /// Gives the lock up now. Merely closing the file would not while another process holds a copy of the descriptor,
    /// as each child does between its fork and its exec.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}

/// Writes all of `bytes` with as many calls of `write` as it takes. Signals interrupt nothing for good.
fn write_all(
    mut bytes: &[u8],
    mut offset: u64,
    mut write: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(bytes, offset) {
            // POSIX gives no reason for an empty write; a full device is the usual one.
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => {
                let count = count.min(bytes.len());
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn io_error(doing: &'static str, path: &Path, e: Errno) -> Error {
    Error::Io { doing, path: Some(path.to_owned()), source: io::Error::from(e) }
}

// Miri has no files of this kind.
#[cfg(all(test, not(miri)))]
mod tests;
