//! Where no instruction is known that takes a line to the medium: ordinary stores and the strongest fence of the
//! language.
//!
//! Nothing here makes a store durable, so no persistent memory is ever claimed on such a processor
//! ([`FLUSHES`] is false): pools and mappings are in the domain of pages. Forced into a finer domain, for a
//! test, the code runs and the counters count. Miri takes this path too, because it interprets no assembly.

use std::sync::atomic::{Ordering, fence as ordering_fence};

use super::lines::LINE;

/// Whether [`Flush`] reaches the medium.
pub(crate) const FLUSHES: bool = false;

/// The ways to flush a line: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Nothing.
    None,
}

impl Flush {
    /// Best first.
    pub(crate) const ALL: [Self; 1] = [Self::None];

    pub(crate) fn available(self) -> bool {
        true
    }

    pub(crate) fn name(self) -> &'static str {
        "none"
    }

    /// Does nothing with `count` lines from `first`.
    ///
    /// # Safety
    /// None is needed; other processors' versions need the lines to be mapped.
    #[inline]
    pub(crate) unsafe fn lines(self, _first: *const u8, _count: usize) {}
}

/// The ways to store whole lines: the ordinary one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// Ordinary stores.
    Temporal,
}

impl Stores {
    /// Best first.
    pub(crate) const ALL: [Self; 1] = [Self::Temporal];

    pub(crate) fn available(self) -> bool {
        true
    }

    pub(crate) fn name(self) -> &'static str {
        "temporal"
    }

    /// Copies `count` lines, right where the two ranges overlap too.
    ///
    /// # Safety
    /// `from` is readable and `to` writable for as many lines.
    pub(crate) unsafe fn copy_lines(self, to: *mut u8, from: *const u8, count: usize, _backwards: bool) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy(from, to, count * LINE) }
    }

    /// Sets every byte of `count` lines.
    ///
    /// # Safety
    /// `to` is writable for as many lines.
    pub(crate) unsafe fn fill_lines(self, to: *mut u8, byte: u8, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { to.write_bytes(byte, count * LINE) }
    }
}

/// Orders all earlier loads and stores of this thread before all later ones.
#[inline]
pub(crate) fn fence() {
    ordering_fence(Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_copied_and_filled() {
        let from: Vec<u8> = (0..3 * LINE).map(|i| i as u8).collect();
        let mut to = vec![0; 3 * LINE];
        // SAFETY: both vectors hold three lines.
        unsafe { Stores::Temporal.copy_lines(to.as_mut_ptr(), from.as_ptr(), 3, false) };
        assert_eq!(to, from);
        // SAFETY: the vector holds three lines.
        unsafe { Stores::Temporal.fill_lines(to.as_mut_ptr(), 7, 2) };
        assert!(to[..2 * LINE].iter().all(|byte| *byte == 7));
        assert_eq!(to[2 * LINE..], from[2 * LINE..]);
        // SAFETY: does nothing.
        unsafe { Flush::None.lines(to.as_ptr(), 3) };
        fence();
        assert!(Flush::None.available() && Stores::Temporal.available());
        assert_eq!((Flush::ALL[0].name(), Stores::ALL[0].name(), FLUSHES), ("none", "temporal", false));
    }
}
