//! Detects that the process was forked after a pool was opened.
//!
//! A fork duplicates the private image and shares the file and its lock. Two processes would then append to one
//! ring, against assumption M6. A process id would tell them apart, but asking for it is a system call, too much for
//! each transaction. Instead one page of memory holds a mark that the kernel wipes in the child (`MADV_WIPEONFORK`,
//! Linux 4.14), so that the test is one load.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::ground::error::{Error, Result};

/// True in the process that made it, false in any forked from it.
#[derive(Debug)]
pub(crate) enum ForkSentinel {
    /// A page of this process's own that holds 1 and is wiped by a fork.
    Page(NonNull<AtomicU64>),
    /// Where the kernel has no such page: the maker's process id.
    Process(u32),
}

// SAFETY: the page is owned by the sentinel and accessed only as an atomic, shared by reference.
unsafe impl Send for ForkSentinel {}
// SAFETY: as for `Send`.
unsafe impl Sync for ForkSentinel {}

impl ForkSentinel {
    /// Marks this process as the owner.
    pub(crate) fn new() -> Result<Self> {
        if cfg!(miri) {
            return Ok(Self::Process(std::process::id()));
        }
        let len = rustix::param::page_size();
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no existing memory.
        let page = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, access, MapFlags::PRIVATE)
        };
        let page = page.map_err(|e| Error::io("map the page that detects a fork", e))?;
        // SAFETY: the page was mapped just now and is this sentinel's own.
        let wiped = unsafe { rustix::mm::madvise(page, len, Advice::LinuxWipeOnFork) };
        match (wiped, NonNull::new(page.cast::<AtomicU64>())) {
            (Ok(()), Some(mark)) => {
                // SAFETY: mapped, aligned to a page, and zero, which is a valid AtomicU64.
                unsafe { mark.as_ref() }.store(1, Ordering::Relaxed);
                Ok(Self::Page(mark))
            }
            _ => {
                // SAFETY: the page was mapped just now and nothing refers to it.
                let _ = unsafe { rustix::mm::munmap(page, len) };
                Ok(Self::Process(std::process::id()))
            }
        }
    }

    /// Whether the calling process is the one that made the sentinel. About one nanosecond.
    #[inline]
    pub(crate) fn in_owner(&self) -> bool {
        match self {
            // SAFETY: the page stays mapped until the sentinel is dropped.
            Self::Page(mark) => unsafe { mark.as_ref() }.load(Ordering::Relaxed) == 1,
            Self::Process(owner) => cfg!(miri) || std::process::id() == *owner,
        }
    }
}

impl Drop for ForkSentinel {
    fn drop(&mut self) {
        if let Self::Page(mark) = self {
            // SAFETY: mapped by `new` with this length; `&mut self` proves that no reference is left.
            let _ = unsafe { rustix::mm::munmap(mark.as_ptr().cast(), rustix::param::page_size()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maker_is_the_owner() {
        assert!(ForkSentinel::new().unwrap().in_owner());
    }

    /// Catches: a mark that survives the fork, by which a child would write into its parent's pool.
    #[test]
    #[cfg_attr(miri, ignore = "Miri cannot fork")]
    fn a_forked_child_is_not() {
        let wiped = ForkSentinel::new().unwrap();
        assert!(matches!(wiped, ForkSentinel::Page(_)), "this kernel has MADV_WIPEONFORK");
        let by_process = ForkSentinel::Process(std::process::id());
        // SAFETY: the child only loads, asks for its id and exits: nothing that is unsafe after a fork.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(wiped.in_owner()) + 2 * i32::from(by_process.in_owner());
            // SAFETY: ends the child at once without running the parent's exit handlers.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above; `status` outlives the call.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(waited, child);
        assert!(libc::WIFEXITED(status));
        assert_eq!(
            libc::WEXITSTATUS(status),
            0,
            "1: the page was not wiped, 2: the process id is the parent's"
        );
        assert!(wiped.in_owner() && by_process.in_owner());
    }
}
