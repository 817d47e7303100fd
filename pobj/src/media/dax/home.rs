//! The shared mapping of a pool's own bytes, at an address of its own, growing in place.

use std::fs::File;
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::super::image::GRAIN;
use super::super::reserve::{address, reserve_anywhere};
use crate::ground::error::{Error, Result};

/// Address space for all of a pool's bytes, mapped as far as the file goes.
#[derive(Debug)]
pub(super) struct Home {
    base: u64,
    max_len: u64,
    /// Mapped bytes that the file has.
    len: AtomicU64,
}

impl Home {
    /// Reserves address space for `max_len` bytes.
    pub(super) fn reserve(max_len: u64) -> Result<Self> {
        let max_len = max_len.next_multiple_of(GRAIN);
        Ok(Self { base: reserve_anywhere(max_len)?, max_len, len: AtomicU64::new(0) })
    }

    /// Maps the file up to `len`, or as far as the reservation goes.
    pub(super) fn extend(&self, file: &File, len: u64, map_sync: bool) -> Result<()> {
        let len = len.min(self.max_len);
        // Whole grains only, so that no page is mapped twice; the last one may be beyond the file's end for now.
        let old = self.len.load(Ordering::Acquire) / GRAIN * GRAIN;
        if len <= old {
            self.len.fetch_max(len, Ordering::AcqRel);
            return Ok(());
        }
        let end = len.next_multiple_of(GRAIN).min(self.max_len);
        // SAFETY: the range lies in this object's own reservation, and replacing a shared mapping by the same mapping of
        // the same bytes changes nothing for who uses it.
        let mapped = unsafe {
            rustix::mm::mmap(
                address(self.base + old),
                (end - old) as usize,
                ProtFlags::READ | ProtFlags::WRITE,
                shared_flags(map_sync),
                file,
                old,
            )
        };
        let _ = mapped.map_err(|e| Error::io("map the pool's persistent memory", e))?.expose_provenance();
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    /// Forgets what lies beyond `len`.
    pub(super) fn shorten(&self, len: u64) {
        self.len.fetch_min(len, Ordering::AcqRel);
    }

    /// Where `len` bytes at `offset` are, if all are mapped.
    #[inline]
    pub(super) fn place(&self, offset: u64, len: usize) -> Option<*mut u8> {
        let mapped = self.len.load(Ordering::Acquire);
        let len = len as u64;
        (len <= mapped && offset <= mapped - len)
            .then(|| with_exposed_provenance_mut((self.base + offset) as usize))
    }

    /// Brings a range into memory; an error if the medium does not give it. Kernels before 5.14 cannot be asked.
    pub(super) fn show(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let page = rustix::param::page_size() as u64;
        let (first, end) = (offset - offset % page, offset + len);
        if self.place(first, (end - first) as usize).is_none() {
            return Ok(());
        }
        let (start, count) = (address(self.base + first), (end - first) as usize);
        // SAFETY: the range is mapped, and populating changes no byte.
        match unsafe { rustix::mm::madvise(start, count, Advice::LinuxPopulateRead) } {
            Err(e @ (Errno::FAULT | Errno::HWPOISON)) => Err(e),
            _ => Ok(()),
        }
    }

    /// Makes the pages of a range present. Best effort.
    pub(super) fn populate(&self, offset: u64, len: u64) {
        let page = rustix::param::page_size() as u64;
        let (first, end) = (offset - offset % page, offset + len);
        if self.place(first, (end - first) as usize).is_some() {
            // SAFETY: the range is mapped, and populating changes no byte.
            let _ = unsafe {
                rustix::mm::madvise(
                    address(self.base + first),
                    (end - first) as usize,
                    Advice::LinuxPopulateWrite,
                )
            };
        }
    }
}

/// A shared mapping at a fixed place, with the kernel's promise that stores alone suffice where that is asked for.
pub(in crate::media) fn shared_flags(map_sync: bool) -> MapFlags {
    if map_sync {
        MapFlags::SHARED_VALIDATE | MapFlags::SYNC | MapFlags::FIXED
    } else {
        MapFlags::SHARED | MapFlags::FIXED
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // SAFETY: the reservation is this object's own, and its addresses are handed out for single copies only.
        let _ = unsafe { rustix::mm::munmap(address(self.base), self.max_len as usize) };
    }
}
