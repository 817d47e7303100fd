//! Memory for the images of media that have no file.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::with_exposed_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::image::GRAIN;
use crate::ground::error::{Error, Result};

/// Memory that stays at one address as long as its medium lives, so that pools over it can be reopened.
pub(crate) struct Arena {
    /// Address of the first byte.
    pub(super) base: u64,
    pub(super) capacity: u64,
    /// Start and layout of the allocation; `base` is its first multiple of [`GRAIN`].
    allocation: u64,
    layout: Layout,
    /// An image uses it.
    pub(super) in_use: AtomicBool,
    /// Bytes from the start that may be other than zero.
    pub(super) used: AtomicU64,
}

impl Arena {
    /// An arena of `capacity` bytes, all zero.
    pub(crate) fn new(capacity: u64) -> Result<Arc<Self>> {
        // Asking for GRAIN as alignment would make the allocator touch (clear) every byte now; a plain zeroed
        // allocation of this size is untouched pages, so round up by hand.
        let layout = capacity
            .checked_next_multiple_of(GRAIN)
            .and_then(|len| len.checked_add(GRAIN))
            .and_then(|len| Layout::from_size_align(usize::try_from(len).ok()?, 8).ok())
            .ok_or(Error::TooLarge { requested: capacity })?;
        // SAFETY: the layout's size is at least GRAIN, so not zero.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            return Err(Error::TooLarge { requested: capacity });
        }
        let allocation = start.expose_provenance() as u64;
        let base = allocation.next_multiple_of(GRAIN);
        let capacity = capacity.next_multiple_of(GRAIN);
        let (in_use, used) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Arc::new(Self { base, capacity, allocation, layout, in_use, used }))
    }

    /// The first byte.
    pub(super) fn start(&self) -> *mut u8 {
        with_exposed_provenance_mut(self.base as usize)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout, exposed there; each image holds a count of the `Arc`, so none
        // is left.
        unsafe { dealloc(with_exposed_provenance_mut(self.allocation as usize), self.layout) }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({:#x}, {:#x} bytes)", self.base, self.capacity)
    }
}
