//! A file's bytes as memory, for [`pmem`](crate::pmem): the raw mapping behind methods that check their ranges.
//!
//! memmap2 cannot ask for `MAP_SYNC`, so the mapping is made here.
//!
//! # Invariants
//!
//! - **MM1** `start .. start + len` is this mapping's own, readable, and writable unless the access is
//!   [`Access::ReadOnly`], until it is dropped.
//! - **MM2** Nobody else changes these bytes: the file is locked (M6), and references to them borrow this object.
//! - **MM3** When a borrow of this object ends, its thread has fenced whatever it stored past the cache, so any
//!   thread may be next. [`Unfenced`] stretches this over several stores.

use std::marker::PhantomData;
use std::ops::Range;

use rustix::mm::{MapFlags, MsyncFlags, ProtFlags};

use super::cpu::{Cpu, Hint};
use super::{FileMedia, Media, counts, detect};
use crate::ground::domain::Domain;
use crate::ground::error::{Error, Result};

/// The domain of a file, and whether to ask for `MAP_SYNC`. What the caller does not force, the environment may.
pub(crate) fn choose_domain(
    file: &FileMedia,
    forced: Option<Domain>,
    required: Option<Domain>,
) -> Result<(Domain, bool)> {
    let forced = match forced {
        Some(domain) => Some(domain),
        None => detect::forced_by_environment()?,
    };
    let probe = detect::probe(file.file());
    let domain = detect::decide(&file.path(), &probe, forced, required)?;
    Ok((domain, probe.map_sync && domain.is_memory()))
}

/// What may be done with the bytes, and where stores go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Loads only.
    ReadOnly,
    /// Stores change the file.
    Shared,
    /// Stores change a copy of the page in this process.
    Private,
}

/// The mapped bytes of a file.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut u8,
    len: usize,
    access: Access,
    /// How stores reach the medium; [`Domain::Page`] for a private mapping, whose stores never do.
    domain: Domain,
    cpu: Cpu,
}

// SAFETY: the memory belongs to the process, not to a thread, and stores are fenced before another has them (MM3).
unsafe impl Send for Mapping {}
// SAFETY: all methods that store take `&mut self`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of a file, which is not empty.
    pub(crate) fn of(file: &FileMedia, access: Access, domain: Domain, map_sync: bool) -> Result<Self> {
        let len = Media::len(file)?;
        let len = usize::try_from(len).map_err(|_| Error::TooLarge { requested: len })?;
        let shared = if map_sync { MapFlags::SHARED_VALIDATE | MapFlags::SYNC } else { MapFlags::SHARED };
        let (protection, flags, domain) = match access {
            Access::ReadOnly => (ProtFlags::READ, shared, domain),
            Access::Shared => (ProtFlags::READ | ProtFlags::WRITE, shared, domain),
            Access::Private => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE, Domain::Page),
        };
        // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
        let mapped =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, flags, file.file(), 0) };
        let start = mapped.map_err(|e| Error::Io {
            doing: "map the file",
            path: Some(file.path()),
            source: e.into(),
        })?;
        Ok(Self { start: start.cast(), len, access, domain, cpu: Cpu::get() })
    }

    /// No bytes.
    fn empty(cpu: Cpu) -> Self {
        let start = std::ptr::dangling_mut();
        Self { start, len: 0, access: Access::ReadOnly, domain: Domain::Page, cpu }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: MM1, and MM2 while the result borrows this object. Mapped bytes are initialised.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// All bytes for writing; none unless they are writable.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if self.access == Access::ReadOnly {
            return None;
        }
        // SAFETY: MM1, and MM2 while the result borrows this object alone.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start, self.len) })
    }

    /// The range as it is, if it is one and inside.
    #[inline]
    pub(crate) fn check(&self, range: Range<usize>) -> Result<Range<usize>> {
        if range.start <= range.end && range.end <= self.len {
            return Ok(range);
        }
        Err(Error::OutOfRange { index: range.start.max(range.end) as u64, len: self.len as u64 })
    }

    /// Starts to write back the lines of a range; the range is checked.
    #[inline]
    pub(crate) fn flush(&self, range: Range<usize>) -> Result<()> {
        let Range { start, end } = self.check(range)?;
        if self.domain == Domain::CacheLine {
            // SAFETY: the range was checked (MM1).
            unsafe { self.cpu.flush(self.start.wrapping_add(start), end - start) };
        }
        Ok(())
    }

    /// Waits for this thread's flushes and stores, where that makes them durable.
    #[inline]
    pub(crate) fn fence(&self) {
        if self.domain.is_memory() {
            self.cpu.fence();
        }
    }

    /// Waits until the pages of a range are on the medium, whatever the domain.
    pub(crate) fn sync(&self, range: Range<usize>) -> Result<()> {
        let Range { start, end } = self.check(range)?;
        let first = start - start % rustix::param::page_size();
        if self.access != Access::Shared || start == end {
            return Ok(());
        }
        counts::wrote_durably();
        let at = self.start.wrapping_add(first);
        // SAFETY: the range was checked (MM1), and pages are not smaller than the system's; no byte changes.
        unsafe { rustix::mm::msync(at.cast(), end - first, MsyncFlags::SYNC) }
            .map_err(|e| Error::io("sync the mapped pages", e))
    }

    /// Copies `bytes` to `offset`, durable on return in the domains of memory. One fence.
    pub(crate) fn copy(&mut self, offset: usize, bytes: &[u8], hint: Hint) -> Result<()> {
        Unfenced::over(self).copy(offset, bytes, hint)
    }

    /// Sets a range to `byte`, as [`copy`](Self::copy).
    pub(crate) fn fill(&mut self, range: Range<usize>, byte: u8, hint: Hint) -> Result<()> {
        Unfenced::over(self).fill(range, byte, hint)
    }

    /// Copies a range of this mapping to another place in it, which may overlap, as [`copy`](Self::copy).
    pub(crate) fn move_within(&mut self, range: Range<usize>, to: usize, hint: Hint) -> Result<()> {
        Unfenced::over(self).move_within(range, to, hint)
    }

    /// The checked place for `len` bytes from `offset`.
    fn place(&mut self, offset: usize, len: usize) -> Result<*mut u8> {
        let end = offset.saturating_add(len);
        self.check(offset..end)?;
        if self.access == Access::ReadOnly {
            return Err(read_only());
        }
        Ok(self.start.wrapping_add(offset))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the range is this object's own (MM1), and whoever referred to it borrowed this object.
            let _ = unsafe { rustix::mm::munmap(self.start.cast(), self.len) };
        }
    }
}

/// The error of a change that is not allowed.
pub(crate) fn read_only() -> Error {
    Error::io("change a mapping that was opened read-only", rustix::io::Errno::ROFS)
}

/// A mapping that is stored to without a fence after each store; one follows when this is dropped.
///
/// Stores past the cache are outside of what Rust's atomics order, so safe code must never get to hand such bytes to
/// another thread before the fence (MM3). Hence this object stays on its thread, and it keeps the mapping to
/// itself: whoever leaks it is left with an empty mapping.
pub(crate) struct Unfenced<'a> {
    home: &'a mut Mapping,
    mapping: Mapping,
    /// Something was stored since the last fence.
    pending: bool,
    /// Neither `Send` nor `Sync`.
    here: PhantomData<*const ()>,
}

impl<'a> Unfenced<'a> {
    pub(crate) fn over(home: &'a mut Mapping) -> Self {
        let empty = Mapping::empty(home.cpu);
        let mapping = std::mem::replace(home, empty);
        Self { home, mapping, pending: false, here: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.mapping.len()
    }

    /// The mapping; what was stored is fenced first.
    pub(crate) fn settled(&mut self) -> &mut Mapping {
        if self.pending {
            self.fence();
        }
        &mut self.mapping
    }

    /// Waits for this thread's flushes and stores.
    pub(crate) fn fence(&mut self) {
        self.mapping.fence();
        self.pending = false;
    }

    /// Starts to write back a range.
    pub(crate) fn flush(&mut self, range: Range<usize>) -> Result<()> {
        self.mapping.flush(range)
    }

    /// The range as it is, if it is one and inside.
    pub(crate) fn check(&self, range: Range<usize>) -> Result<Range<usize>> {
        self.mapping.check(range)
    }

    /// Copies `bytes` to `offset`.
    pub(crate) fn copy(&mut self, offset: usize, bytes: &[u8], hint: Hint) -> Result<()> {
        let to = self.mapping.place(offset, bytes.len())?;
        let Mapping { cpu, domain, .. } = self.mapping;
        self.pending = true;
        // SAFETY: `place` checked the target, and `bytes` is none of it (MM2). The condition on other threads is what
        // this object is for.
        unsafe { cpu.copy(to, bytes.as_ptr(), bytes.len(), domain, hint) };
        Ok(())
    }

    /// Sets a range to `byte`.
    pub(crate) fn fill(&mut self, range: Range<usize>, byte: u8, hint: Hint) -> Result<()> {
        let Range { start, end } = self.mapping.check(range)?;
        let to = self.mapping.place(start, end - start)?;
        let Mapping { cpu, domain, .. } = self.mapping;
        self.pending = true;
        // SAFETY: `place` checked the target. The condition on other threads is what this object is for.
        unsafe { cpu.fill(to, byte, end - start, domain, hint) };
        Ok(())
    }

    /// Copies a range to another place, which may overlap.
    pub(crate) fn move_within(&mut self, range: Range<usize>, to: usize, hint: Hint) -> Result<()> {
        let Range { start, end } = self.mapping.check(range)?;
        let target = self.mapping.place(to, end - start)?;
        let source = self.mapping.start.wrapping_add(start);
        let Mapping { cpu, domain, .. } = self.mapping;
        self.pending = true;
        // SAFETY: both ranges were checked; what this thread stored before, it can read (`cpu`). The condition on other
        // threads is what this object is for.
        unsafe { cpu.move_(target, source, end - start, domain, hint) };
        Ok(())
    }
}

impl Drop for Unfenced<'_> {
    fn drop(&mut self) {
        if self.pending {
            self.fence();
        }
        std::mem::swap(self.home, &mut self.mapping);
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    const LEN: u64 = 64 * 1024;

    fn mapping(domain: Domain) -> (tempfile::TempDir, FileMedia, Mapping) {
        let directory = tempfile::tempdir().unwrap();
        let file = FileMedia::create(directory.path().join("mapped")).unwrap();
        Media::grow(&file, LEN).unwrap();
        let mapping = Mapping::of(&file, Access::Shared, domain, false).unwrap();
        (directory, file, mapping)
    }

    /// Bytes that were stored past the cache must not reach another thread unfenced, not even by a leaked guard.
    #[test]
    fn a_leaked_unfenced_mapping_is_lost() {
        let (_directory, _file, mut mapping) = mapping(Domain::CacheLine);
        let mut unfenced = Unfenced::over(&mut mapping);
        unfenced.copy(0, &[1; 4096], Hint::NonTemporal).unwrap();
        std::mem::forget(unfenced);
        assert_eq!((mapping.len(), mapping.bytes()), (0, &[][..]));
        assert!(matches!(mapping.copy(0, &[1], Hint::Auto), Err(Error::OutOfRange { index: 1, len: 0 })));
    }

    #[test]
    fn one_fence_for_many_stores_and_one_before_they_are_seen() {
        let (_directory, _file, mut mapping) = mapping(Domain::CacheLine);
        let before = counts::here();
        let mut unfenced = Unfenced::over(&mut mapping);
        unfenced.copy(0, &[1; 4096], Hint::NonTemporal).unwrap();
        unfenced.fill(4096..8192, 2, Hint::NonTemporal).unwrap();
        unfenced.move_within(4000..5000, 10_000, Hint::NonTemporal).unwrap();
        assert_eq!((counts::here() - before).fences, 0);
        assert_eq!(unfenced.settled().bytes()[10_000..10_097], [[1; 96].as_slice(), &[2]].concat());
        assert_eq!((counts::here() - before).fences, 1);
        unfenced.fill(0..64, 3, Hint::NonTemporal).unwrap();
        drop(unfenced);
        assert_eq!((counts::here() - before).fences, 2);
        assert_eq!(mapping.len() as u64, LEN);
    }

    #[test]
    fn a_refused_store_stores_nothing() {
        let (_directory, _file, mut mapping) = mapping(Domain::Byte);
        let (len, before) = (LEN as usize, counts::here());
        assert!(mapping.copy(len - 1, &[1, 1], Hint::Auto).is_err());
        assert!(mapping.copy(usize::MAX, &[1, 1], Hint::Auto).is_err());
        assert!(mapping.fill(len..len + 1, 1, Hint::Auto).is_err());
        assert!(mapping.move_within(0..2, len - 1, Hint::Auto).is_err());
        assert!(mapping.move_within(len - 1..len + 1, 0, Hint::Auto).is_err());
        assert!(mapping.flush(1..usize::MAX).is_err());
        assert!(mapping.bytes().iter().all(|byte| *byte == 0));
        assert_eq!(counts::here(), before);
    }
}
