//! Memory for the images of media that have no file.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Image;
use super::image::GRAIN;
use crate::ground::error::{Error, Result};

/// A medium whose own bytes are the arena's memory, since it gave an image in place there.
pub(super) trait Tenant: Send + Sync {
    /// Takes the bytes out: the memory is about to be another's.
    fn move_out(&self);
}

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
    /// What an image in place held when it was shielded.
    shielded: Mutex<Option<Vec<u8>>>,
    tenant: Mutex<Option<Weak<dyn Tenant>>>,
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
        let (shielded, tenant) = (Mutex::new(None), Mutex::new(None));
        Ok(Arc::new(Self { base, capacity, allocation, layout, in_use, used, shielded, tenant }))
    }

    /// From here on, stores of the program do not count as the pool's own bytes.
    pub(super) fn shield(&self) {
        let len = self.used.load(Ordering::Relaxed) as usize;
        let mut now = vec![0; len];
        // SAFETY: `used` never exceeds the arena's capacity, and only the running transaction stores.
        unsafe { std::ptr::copy_nonoverlapping(self.start(), now.as_mut_ptr(), len) };
        *self.shielded() = Some(now);
    }

    /// Forgets what was stored since [`shield`](Self::shield).
    pub(super) fn unshield(&self) {
        if let Some(before) = self.shielded().take() {
            // SAFETY: as many bytes as there were; only the running transaction stores.
            unsafe { std::ptr::copy_nonoverlapping(before.as_ptr(), self.start(), before.len()) };
        }
    }

    fn shielded(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.shielded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the memory to a new image, which `make` makes. If it is to be in place, `tenant` is the medium whose bytes
    /// the memory is from then on; whose they were before takes them out.
    pub(super) fn lend(
        &self,
        tenant: Option<Weak<dyn Tenant>>,
        make: impl FnOnce() -> Result<Image>,
    ) -> Result<Image> {
        // Held to the end, so that images are made one at a time.
        let mut present = self.tenant.lock().unwrap_or_else(PoisonError::into_inner);
        if self.in_use.load(Ordering::Acquire) {
            return Err(Error::AddressTaken { base: self.base, len: self.capacity });
        }
        if let Some(old) = present.take().and_then(|old| old.upgrade()) {
            old.move_out();
        }
        let image = make()?;
        *present = tenant;
        Ok(image)
    }

    /// Reads the bytes that an image in place holds for the pool.
    pub(super) fn load(&self, offset: u64, into: &mut [u8]) {
        assert!(offset + into.len() as u64 <= self.capacity);
        let (start, len) = (offset as usize, into.len());
        match &*self.shielded() {
            Some(before) if start + len <= before.len() => into.copy_from_slice(&before[start..start + len]),
            // SAFETY: within the arena's memory, which is initialised. The caller is the thread of the running
            // transaction, or there is none, so no store races.
            _ => unsafe { std::ptr::copy_nonoverlapping(self.place(offset), into.as_mut_ptr(), len) },
        }
    }

    /// Changes the bytes that an image in place holds for the pool.
    pub(super) fn store(&self, offset: u64, bytes: &[u8]) {
        let (start, end) = (offset, offset + bytes.len() as u64);
        assert!(end <= self.capacity);
        self.used.fetch_max(end, Ordering::Relaxed);
        if let Some(before) = &mut *self.shielded() {
            let end = (end as usize).max(before.len());
            before.resize(end, 0);
            before[start as usize..start as usize + bytes.len()].copy_from_slice(bytes);
        }
        // SAFETY: within the arena's memory; the caller is the thread of the running transaction, or there is none.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.place(offset), bytes.len()) }
    }

    /// The first byte.
    pub(super) fn start(&self) -> *mut u8 {
        self.place(0)
    }

    fn place(&self, offset: u64) -> *mut u8 {
        with_exposed_provenance_mut((self.base + offset) as usize)
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
