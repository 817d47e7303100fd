//! The image: the mapped bytes of a pool, at an address that never changes while it lives.
//!
//! What the program reads and writes is never the pool's durable bytes but a private copy of them. An [`Image`]
//! owns the address range of that copy: `max_len` bytes are reserved at once, the first [`len`](Image::len) of them
//! are backed, and [`extend`](Image::extend) backs more at the same place. Because nothing ever moves, a persistent
//! pointer is the plain 64-bit address (design, *Native pointers*).
//!
//! Two backings exist:
//!
//! - A **reservation**: `PROT_NONE` address space in which the file is mapped privately. Growth maps anonymous
//!   memory, which is right because home is zeros there at that moment.
//! - An **arena**: memory of the global allocator, for media without a file. Pools store absolute addresses, so the
//!   medium keeps the arena alive and hands the same addresses to each image that is opened over it, one at a time.
//!
//! # Access
//!
//! Bytes are named by offset from the pool's start. Every access is checked against the backed length with one
//! comparison. An access out of range is a bug of the caller (whatever comes from a file is checked by
//! [`check`](Image::check) first): debug builds stop there; release builds read zeros, write nothing, and remember
//! the offset in [`fault`](Image::fault), which the commit and `open` turn into [`Error::Corrupt`].
//!
//! # Invariants
//!
//! - **IM1** `base .. base + len` is readable and writable memory until the image is dropped, and `len` never shrinks.
//! - **IM2** The provenance of that memory was exposed when it was made, so any integer in the range may be turned
//!   back into a pointer.
//! - **IM3** The pool's gate excludes readers while a transaction stores, and only the thread of the running transaction
//!   stores. Where transactions share the pool, each loads and stores what nobody else does meanwhile: what it holds a
//!   lock of, blocks that it has just taken, and under the mutex of the heap the heap's words. So no access here races
//!   with another, which is what makes `Image: Sync` true.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::Placement;
use super::arena::Arena;
use super::dax::shared_flags;
use super::images;
use super::reserve::{address, reserve_anywhere, reserve_at};
use crate::ground::error::{Error, Result};

/// Lengths of an image are multiples of this: the largest page that a supported kernel uses, and the heap's chunk.
pub(crate) const GRAIN: u64 = 64 * 1024;

/// Memory that is made ready ends at a multiple of this, the usual size of large pages.
const LARGE_PAGE: u64 = 2 * 1024 * 1024;

/// "No fault yet" in [`Image::fault`].
const NO_FAULT: u64 = u64::MAX;

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "pobj needs 64-bit addresses");

/// The mapped bytes of a pool.
pub struct Image {
    base: u64,
    /// Backed bytes, a multiple of [`GRAIN`].
    len: AtomicU64,
    max_len: u64,
    /// Mapped bytes of a reservation: some beyond `len` may be ready for the next growth.
    mapped: Mutex<u64>,
    /// First offset of an access out of range, or [`NO_FAULT`].
    fault: AtomicU64,
    backing: Backing,
    /// One bit for each [`GRAIN`] that was mapped from the file: it has been brought into memory without a fault.
    shown: Box<[AtomicU64]>,
}

/// What holds the bytes, and hence what [`Image::extend`] and dropping must do.
enum Backing {
    /// Address space of this process from `base`, `max_len` bytes, with the file mapped privately.
    Reservation,
    /// The same, with the file mapped shared: the image is the pool's own bytes.
    InPlace {
        /// What is mapped, for growth.
        file: File,
        map_sync: bool,
    },
    /// Memory that the medium keeps for the next image.
    Arena(Arc<Arena>),
}

impl Image {
    /// Maps the first `len` bytes of `file` privately inside a reservation of `max_len` bytes.
    pub(crate) fn map_file(file: &File, placement: Placement, len: u64, max_len: u64) -> Result<Self> {
        check_lengths(len, max_len)?;
        let base = reserve(placement, max_len)?;
        // From here on, dropping `image` gives the reservation back on every path.
        let mut image = Self::new(base, max_len, Backing::Reservation);
        image.shown = nothing_shown(len);
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: MAP_FIXED replaces only the start of the reservation made above (len <= max_len), which nothing
        // else refers to yet.
        let mapped = unsafe {
            rustix::mm::mmap(address(base), len as usize, ProtFlags::READ | ProtFlags::WRITE, flags, file, 0)
        };
        let mapped = mapped.map_err(|e| Error::io("map the pool file", e))?;
        let _ = mapped.expose_provenance();
        image.len.store(len, Ordering::Release);
        *image.mapped() = len;
        Ok(image)
    }

    /// Maps the first `len` bytes of `file` shared inside a reservation of `max_len` bytes: stores go to the file.
    pub(crate) fn map_file_in_place(
        file: &File,
        placement: Placement,
        len: u64,
        max_len: u64,
        map_sync: bool,
    ) -> Result<Self> {
        check_lengths(len, max_len)?;
        let file = file.try_clone().map_err(|e| Error::io("keep the pool file for its growth", e))?;
        let base = reserve(placement, max_len)?;
        let mut image = Self::new(base, max_len, Backing::InPlace { file, map_sync });
        image.shown = nothing_shown(len);
        image.extend(len)?;
        Ok(image)
    }

    /// Uses `arena`, with its first `len` bytes filled by `load` and everything used before beyond them zeroed.
    pub(crate) fn in_arena(
        arena: &Arc<Arena>,
        placement: Placement,
        len: u64,
        max_len: u64,
        load: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<Self> {
        let image = Self::claim_arena(arena, placement, len, max_len)?;
        let used = arena.used.swap(len, Ordering::Relaxed).max(len);
        // SAFETY: `used` never exceeds the arena's capacity, its bytes are initialised (they come zeroed), and the
        // flag `in_use` gives this image the arena for itself.
        let bytes = unsafe { std::slice::from_raw_parts_mut(arena.start(), used as usize) };
        let (head, stale) = bytes.split_at_mut(len as usize);
        load(head)?;
        stale.fill(0);
        Ok(image)
    }

    /// Uses `arena` with what happens to be in it.
    pub(crate) fn claim_arena(
        arena: &Arc<Arena>,
        placement: Placement,
        len: u64,
        max_len: u64,
    ) -> Result<Self> {
        check_lengths(len, max_len)?;
        if max_len > arena.capacity {
            return Err(Error::InvalidOption {
                option: "max_size",
                reason: format!("{max_len} bytes are more than the medium's {}", arena.capacity),
            });
        }
        let taken = Error::AddressTaken { base: arena.base, len: max_len };
        match placement {
            Placement::At(base) if base != arena.base => {
                return Err(Error::AddressTaken { base, len: max_len });
            }
            _ if arena.in_use.swap(true, Ordering::Acquire) => return Err(taken),
            _ => {}
        }
        // From here on, dropping `image` gives the arena back on every path.
        let image = Self::new(arena.base, max_len, Backing::Arena(Arc::clone(arena)));
        image.len.store(len, Ordering::Release);
        Ok(image)
    }

    fn new(base: u64, max_len: u64, backing: Backing) -> Self {
        images::enter(base, max_len);
        let (len, mapped, fault) = (AtomicU64::new(0), Mutex::new(0), AtomicU64::new(NO_FAULT));
        Self { base, len, max_len, mapped, fault, backing, shown: Box::default() }
    }

    /// Address of the pool's first byte.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Bytes that are backed now.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Bytes that are reserved.
    #[inline]
    pub(crate) fn max_len(&self) -> u64 {
        self.max_len
    }

    /// Whether `addr` is one of the addresses reserved for this pool.
    #[inline]
    pub(crate) fn covers(&self, addr: u64) -> bool {
        addr.wrapping_sub(self.base) < self.max_len
    }

    /// Backs the range up to `len` with zeros. Nothing moves. A `len` not beyond the present one changes nothing.
    pub(crate) fn extend(&self, len: u64) -> Result<()> {
        check_lengths(len, self.max_len)?;
        let old = self.len();
        if len <= old {
            return Ok(());
        }
        match &self.backing {
            Backing::Reservation => {
                self.map_zeros(len).map_err(|e| Error::io("map memory for the pool's growth", e))?;
            }
            Backing::InPlace { file, map_sync } => self.map_shared(file, old, len, *map_sync)?,
            // Beyond `len` an arena is zero: fresh from the allocator, or zeroed when this image was made.
            Backing::Arena(arena) => {
                arena.used.fetch_max(len, Ordering::Relaxed);
            }
        }
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    fn mapped(&self) -> MutexGuard<'_, u64> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Maps memory up to `len` in the reservation, as far as that is not done. Gives what is new.
    fn map_zeros(&self, len: u64) -> Result<Range<u64>, Errno> {
        let mut mapped = self.mapped();
        let new = *mapped..len.max(*mapped);
        if new.is_empty() {
            return Ok(new);
        }
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        let (start, count) = (address(self.base + new.start), (new.end - new.start) as usize);
        // SAFETY: the range lies in this image's own reservation, beyond the mapped bytes, so nothing refers to what
        // MAP_FIXED replaces.
        let memory =
            unsafe { rustix::mm::mmap_anonymous(start, count, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
        let _ = memory.expose_provenance();
        *mapped = new.end;
        Ok(new)
    }

    /// Makes memory ready that [`extend`](Self::extend) will back later, up to `len` at least: large pages, present. Best
    /// effort, and beside whatever else happens to the image.
    pub(crate) fn prepare(&self, len: u64) {
        let Backing::Reservation = self.backing else { return };
        let end = len.next_multiple_of(LARGE_PAGE).min(self.max_len);
        let Ok(new) = self.map_zeros(end) else { return };
        // Piece by piece, so that whoever comes here first finds either a large page or small ones.
        for piece in new.clone().step_by(LARGE_PAGE as usize) {
            let (start, count) = (address(self.base + piece), (new.end - piece).min(LARGE_PAGE) as usize);
            for advice in [Advice::LinuxHugepage, Advice::LinuxPopulateWrite] {
                // SAFETY: the range was mapped just now (IM1); neither advice changes a byte.
                let _ = unsafe { rustix::mm::madvise(start, count, advice) };
            }
            // As after each step of the file's growth.
            std::thread::yield_now();
        }
    }

    /// Maps `old .. len` of the file shared at its place.
    fn map_shared(&self, file: &File, old: u64, len: u64, map_sync: bool) -> Result<()> {
        let (start, count) = (address(self.base + old), (len - old) as usize);
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, shared_flags(map_sync));
        // SAFETY: the range lies in this image's own reservation. It is beyond the backed bytes, or holds the same file
        // privately and becomes what it was before (`unshield`), which the running transaction alone can see.
        let mapped = unsafe { rustix::mm::mmap(start, count, access, flags, file, old) };
        let _ = mapped.map_err(|e| Error::io("map the pool's persistent memory", e))?.expose_provenance();
        Ok(())
    }

    /// Turns an image in place into a private one, as it is now: later stores do not reach the pool's own bytes.
    /// [`unshield`](Self::unshield) forgets them.
    pub(crate) fn shield(&self) -> Result<()> {
        match &self.backing {
            Backing::Reservation => Ok(()),
            Backing::InPlace { file, .. } => {
                let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
                let (access, len) = (ProtFlags::READ | ProtFlags::WRITE, self.len() as usize);
                // SAFETY: the range is this image's own, and the bytes there stay the same; only where later stores go
                // changes.
                let mapped = unsafe { rustix::mm::mmap(address(self.base), len, access, flags, file, 0) };
                let _ = mapped.map_err(|e| Error::io("map the pool privately", e))?.expose_provenance();
                Ok(())
            }
            Backing::Arena(arena) => {
                arena.shield();
                Ok(())
            }
        }
    }

    /// Undoes [`shield`](Self::shield): the image is the pool's own bytes again, and what was stored meanwhile is gone.
    pub(crate) fn unshield(&self) -> Result<()> {
        match &self.backing {
            Backing::Reservation => Ok(()),
            Backing::InPlace { file, map_sync } => self.map_shared(file, 0, self.len(), *map_sync),
            Backing::Arena(arena) => {
                arena.unshield();
                Ok(())
            }
        }
    }

    /// An error unless `offset .. offset + len` is backed. For whatever comes from a file.
    pub(crate) fn check(&self, offset: u64, len: u64) -> Result<()> {
        let backed = self.len();
        if len > backed || offset > backed - len {
            return Err(Error::corrupt(format!("{len} bytes here lie beyond the pool's {backed}"), offset));
        }
        Ok(())
    }

    /// First offset of an access that was out of range, if there was one: the pool contradicts itself.
    #[inline]
    pub(crate) fn fault(&self) -> Option<u64> {
        match self.fault.load(Ordering::Relaxed) {
            NO_FAULT => None,
            offset => Some(offset),
        }
    }

    /// The 8-byte word at the 8-aligned `offset`, one that pobj itself wrote (for words that may hold a program
    /// type's padding, see [`read_words`](Self::read_words)).
    #[inline]
    pub(crate) fn load_u64(&self, offset: u64) -> u64 {
        match self.word(offset) {
            // SAFETY: in range and aligned by `word` (IM1); no store races (IM3).
            Some(word) => unsafe { word.read() },
            None => 0,
        }
    }

    /// Stores the 8-byte word at the 8-aligned `offset`.
    #[inline]
    pub(crate) fn store_u64(&self, offset: u64, value: u64) {
        if let Some(word) = self.word(offset) {
            // SAFETY: in range and aligned by `word` (IM1); the caller is the running transaction (IM3).
            unsafe { word.write(value) }
        }
    }

    /// Copies the bytes from `offset` into `into`. Padding inside them has some value.
    #[inline]
    pub(crate) fn load(&self, offset: u64, into: &mut [u8]) {
        let Some(from) = self.range(offset, into.len() as u64) else {
            into.fill(0);
            return;
        };
        // SAFETY: in range by `range` (IM1); `into` is ordinary memory, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(freeze(from), into.as_mut_ptr(), into.len()) }
    }

    /// Copies `bytes` to `offset`.
    #[inline]
    pub(crate) fn store(&self, offset: u64, bytes: &[u8]) {
        if let Some(to) = self.range(offset, bytes.len() as u64) {
            // SAFETY: in range by `range` (IM1); the caller is the running transaction (IM3). `copy` because `bytes`
            // might come from the image.
            unsafe { std::ptr::copy(bytes.as_ptr(), to, bytes.len()) }
        }
    }

    /// Sets `len` bytes from `offset` to zero.
    #[inline]
    pub(crate) fn zero(&self, offset: u64, len: u64) {
        if let Some(to) = self.range(offset, len) {
            // SAFETY: in range by `range` (IM1); the caller is the running transaction (IM3).
            unsafe { to.write_bytes(0, len as usize) }
        }
    }

    /// Hands `count` words from the 8-aligned `offset` to `read`: an empty slice when they are out of range.
    ///
    /// The words may hold padding of a program's type, which Rust counts as uninitialised although the memory behind
    /// it always has a value. See [`freeze`] for why reading it as integers is sound.
    #[inline]
    pub(crate) fn read_words<R>(&self, offset: u64, count: usize, read: impl FnOnce(&[u64]) -> R) -> R {
        let bytes = (count as u64).saturating_mul(8);
        let Some(first) = self.range(offset, bytes).filter(|first| first.cast::<u64>().is_aligned()) else {
            self.set_fault(offset);
            return read(&[]);
        };
        // SAFETY: in range and aligned (IM1), initialised by `freeze`, and no store happens while `read` runs (IM3).
        read(unsafe { std::slice::from_raw_parts(freeze(first).cast::<u64>(), count) })
    }

    /// Brings a range into memory before it is looked at for the first time, so that a block which the medium does not
    /// give back is an error here; a load would end in SIGBUS. Costs a system call for each [`GRAIN`], once, which saves as
    /// many page faults. Kernels before 5.14 cannot be asked this way.
    #[inline]
    pub(crate) fn show(&self, offset: u64, len: u64) -> Result<()> {
        let last = offset.saturating_add(len.max(1) - 1) / GRAIN;
        for grain in offset / GRAIN..=last {
            // What was mapped later is memory of this process.
            let Some(word) = self.shown.get((grain / 64) as usize) else { break };
            if word.load(Ordering::Relaxed) >> (grain % 64) & 1 == 0 {
                if self.bring(grain * GRAIN, GRAIN).is_err() {
                    // Perhaps what is bad lies beside the range.
                    return self.bring(offset, len);
                }
                word.fetch_or(1 << (grain % 64), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    #[cold]
    fn bring(&self, offset: u64, len: u64) -> Result<()> {
        let page = rustix::param::page_size() as u64;
        let (first, end) = (offset - offset % page, offset.saturating_add(len).next_multiple_of(page));
        if self.check(first, end - first).is_err() {
            return Ok(()); // Whoever looks there finds out.
        }
        let (start, count) = (address(self.base + first), (end - first) as usize);
        // SAFETY: the range is backed (IM1), and populating changes no byte.
        match unsafe { rustix::mm::madvise(start, count, Advice::LinuxPopulateRead) } {
            Err(e @ (Errno::FAULT | Errno::HWPOISON)) => {
                let (path, source) = (PathBuf::new(), std::io::Error::from(e));
                Err(Error::Unreadable { path, offset: first, len: end - first, source })
            }
            _ => Ok(()),
        }
    }

    /// Makes the pages of a range present and private, so that the first stores there do not fault one by one.
    /// Best effort.
    pub(crate) fn populate(&self, offset: u64, len: u64) {
        if matches!(self.backing, Backing::Arena(_)) || len == 0 || self.check(offset, len).is_err() {
            return;
        }
        let page = rustix::param::page_size() as u64;
        let (first, end) = (offset - offset % page, (offset + len).next_multiple_of(page).min(self.len()));
        // SAFETY: the range is backed (IM1), and populating changes no byte.
        let _ = unsafe {
            rustix::mm::madvise(
                address(self.base + first),
                (end - first) as usize,
                Advice::LinuxPopulateWrite,
            )
        };
    }

    /// The aligned word at `offset`, if it is one and in range. Rotation moves the low three bits to the top, so one
    /// comparison tests both.
    #[inline]
    fn word(&self, offset: u64) -> Option<*mut u64> {
        if offset.rotate_right(3) < self.len.load(Ordering::Relaxed) >> 3 {
            Some(with_exposed_provenance_mut((self.base + offset) as usize))
        } else {
            self.set_fault(offset);
            None
        }
    }

    /// The bytes at `offset`, if all are in range.
    #[inline]
    fn range(&self, offset: u64, len: u64) -> Option<*mut u8> {
        let backed = self.len.load(Ordering::Relaxed);
        if len <= backed && offset <= backed - len {
            Some(with_exposed_provenance_mut((self.base + offset) as usize))
        } else {
            self.set_fault(offset);
            None
        }
    }

    #[cold]
    fn set_fault(&self, offset: u64) {
        debug_assert!(
            false,
            "access out of the image or not aligned: offset {offset:#x}, len {:#x}",
            self.len()
        );
        let _ = self.fault.compare_exchange(NO_FAULT, offset, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        images::leave(self.base, self.max_len);
        match &self.backing {
            // SAFETY: the reservation is this image's own, and whoever could refer into it borrows the pool that
            // owns the image.
            Backing::Reservation | Backing::InPlace { .. } => unsafe {
                let _ = rustix::mm::munmap(address(self.base), self.max_len as usize);
            },
            Backing::Arena(arena) => arena.in_use.store(false, Ordering::Release),
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({:#x}, {:#x} of {:#x} bytes)", self.base, self.len(), self.max_len)
    }
}

/// Hides from the compiler where the bytes behind `bytes` came from, so that padding counts as initialised.
///
/// A store of a struct leaves its padding bytes *uninitialised* in Rust's terms: the optimiser may assume that nobody
/// reads them. The empty assembly block takes the pointer and declares that it may read and write any memory whose
/// address has been exposed, which the image's has (IM2). The compiler must therefore assume that the block wrote
/// some value to each of these bytes, as real assembly could, and what is read after it is that value: an
/// arbitrary but fixed one, which is all that comparing and logging need. No instruction is emitted. Miri
/// interprets no assembly; under it the types in tests have no padding.
#[inline(always)]
fn freeze(bytes: *const u8) -> *const u8 {
    #[cfg(not(miri))]
    {
        let mut hidden = bytes;
        // SAFETY: the block is empty; it changes neither memory, stack, flags nor the pointer.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) hidden, options(nostack, preserves_flags)) };
        hidden
    }
    #[cfg(miri)]
    bytes
}

/// [`Image::shown`] for `len` bytes.
fn nothing_shown(len: u64) -> Box<[AtomicU64]> {
    (0..(len / GRAIN).div_ceil(64)).map(|_| AtomicU64::new(0)).collect()
}

/// Reserves address space, and gives its base.
fn reserve(placement: Placement, max_len: u64) -> Result<u64> {
    match placement {
        Placement::At(base) => reserve_at(base, max_len).map(|()| base),
        Placement::Anywhere => reserve_anywhere(max_len),
    }
}

fn check_lengths(len: u64, max_len: u64) -> Result<()> {
    if len == 0 || !len.is_multiple_of(GRAIN) || !max_len.is_multiple_of(GRAIN) {
        return Err(Error::corrupt(
            format!("a pool's lengths are multiples of {GRAIN}, not {len} and {max_len}"),
            0,
        ));
    }
    if len > max_len {
        return Err(Error::PoolFull { requested: len, max_len });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
