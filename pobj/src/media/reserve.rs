//! Address space for images: a range of a given base or of a random one, never one that is in use.

use std::ffi::c_void;
use std::ptr::with_exposed_provenance_mut;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::image::GRAIN;
use crate::ground::error::{Error, Result};

/// Random bases are multiples of this, so that huge pages and short page tables stay possible.
pub(super) const BASE_ALIGN: u64 = 2 * 1024 * 1024;
/// The range of random bases: below it and above it the kernel places programs, heaps, stacks and libraries itself.
const BASE_FIRST: u64 = 0x1000_0000_0000;
/// End of the range of random bases.
const BASE_END: u64 = 0x5000_0000_0000;
/// How often a random base is tried before giving up: each miss needs an existing mapping in a range that is nearly
/// always empty.
const BASE_ATTEMPTS: u32 = 64;

/// The integer as a pointer into memory whose provenance was exposed (IM2), or that is about to be mapped.
pub(super) fn address(at: u64) -> *mut c_void {
    with_exposed_provenance_mut(at as usize)
}

/// Reserves exactly this range, or fails without touching what is there.
pub(super) fn reserve_at(base: u64, max_len: u64) -> Result<()> {
    if base == 0 || !base.is_multiple_of(GRAIN) || base.checked_add(max_len).is_none() {
        return Err(Error::corrupt(format!("{base:#x} cannot be a pool's base address"), 0));
    }
    let flags = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE | MapFlags::NORESERVE;
    // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping, and PROT_NONE memory cannot be accessed.
    let mapped =
        unsafe { rustix::mm::mmap_anonymous(address(base), max_len as usize, ProtFlags::empty(), flags) };
    let taken = Error::AddressTaken { base, len: max_len };
    match mapped {
        Ok(at) if at.addr() as u64 == base => Ok(()),
        // A kernel older than 4.17 takes the address as a hint only.
        Ok(elsewhere) => {
            // SAFETY: this range was made just now and nothing refers to it.
            let _ = unsafe { rustix::mm::munmap(elsewhere, max_len as usize) };
            Err(taken)
        }
        Err(Errno::EXIST) => Err(taken),
        Err(e) => Err(Error::io("reserve address space for the pool", e)),
    }
}

/// Reserves a range at a random base that nothing uses.
pub(super) fn reserve_anywhere(max_len: u64) -> Result<u64> {
    let places = (BASE_END - BASE_FIRST) / BASE_ALIGN;
    let mut taken = Error::AddressTaken { base: BASE_FIRST, len: max_len };
    for _ in 0..BASE_ATTEMPTS {
        let random = getrandom::u64().map_err(|e| Error::io("draw a random base address", e))?;
        let base = BASE_FIRST + random % places * BASE_ALIGN;
        match reserve_at(base, max_len) {
            Ok(()) => return Ok(base),
            Err(conflict @ Error::AddressTaken { .. }) => taken = conflict,
            Err(other) => return Err(other),
        }
    }
    Err(taken)
}
