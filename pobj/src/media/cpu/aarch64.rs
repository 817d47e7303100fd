//! Arm, 64 bits: cleaning lines by address, and the barrier that waits for it.
//!
//! `DC CVADP` cleans to the point of deep persistence, `DC CVAP` to the point of persistence. On a processor with
//! neither, `DC CVAC` cleans to the point of coherency, behind which such a machine's persistent memory lies.
//! Linux lets programs execute all three and reports the first two as the features `dpb2` and `dpb`. They are given
//! by their encodings, since the assembler takes the names only when it compiles for such a processor.
//!
//! Arm has no store that passes the caches by and needs no cleaning (`STNP` is a hint only), so lines are
//! stored the ordinary way and cleaned.

use std::arch::{asm, is_aarch64_feature_detected};

use super::lines::LINE;

/// Whether [`Flush`] reaches the medium.
pub(crate) const FLUSHES: bool = true;

/// The ways to clean a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// To the point of deep persistence.
    Cvadp,
    /// To the point of persistence.
    Cvap,
    /// To the point of coherency.
    Cvac,
}

impl Flush {
    /// Best first. `CVAP` comes before `CVADP`: the point of persistence is what a power cut asks for.
    pub(crate) const ALL: [Self; 3] = [Self::Cvap, Self::Cvadp, Self::Cvac];

    pub(crate) fn available(self) -> bool {
        match self {
            Self::Cvadp => is_aarch64_feature_detected!("dpb2"),
            Self::Cvap => is_aarch64_feature_detected!("dpb"),
            Self::Cvac => true,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cvadp => "cvadp",
            Self::Cvap => "cvap",
            Self::Cvac => "cvac",
        }
    }

    /// Cleans `count` lines from `first`, which is aligned to a line. The architecture orders each cleaning after the
    /// earlier stores to its line.
    ///
    /// # Safety
    /// The lines are mapped, and the instruction is [`available`](Self::available).
    #[inline]
    pub(crate) unsafe fn lines(self, first: *const u8, count: usize) {
        let step = shortest_line();
        let mut at = first;
        let end = first.wrapping_add(count * LINE);
        while at < end {
            match self {
                // SAFETY: the caller's promise; cleaning changes no byte and no register.
                Self::Cvadp => unsafe {
                    asm!("sys #3, c7, c13, #1, {0}", in(reg) at, options(nostack, preserves_flags));
                },
                // SAFETY: as above.
                Self::Cvap => unsafe {
                    asm!("sys #3, c7, c12, #1, {0}", in(reg) at, options(nostack, preserves_flags));
                },
                // SAFETY: as above.
                Self::Cvac => unsafe {
                    asm!("dc cvac, {0}", in(reg) at, options(nostack, preserves_flags));
                },
            }
            at = at.wrapping_add(step);
        }
    }
}

/// The distance from line to line, at most [`LINE`]: the field `DminLine` of `CTR_EL0`, which Linux lets programs read
/// and which holds for the processor with the shortest lines in the machine.
#[inline]
fn shortest_line() -> usize {
    let cache_type: u64;
    // SAFETY: reading the register changes nothing.
    unsafe {
        asm!("mrs {0}, ctr_el0", out(reg) cache_type, options(nomem, nostack, preserves_flags));
    }
    (4_usize << (cache_type >> 16 & 0xf)).min(LINE)
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

/// Waits until the stores and the cleanings of this thread are complete.
///
/// `DSB SY`, neither `DMB` nor `DSB ISHST`: a `DMB` orders and does not wait. The manual's section on the completion
/// of cache instructions says that where it asks for a DSB it means one for loads and stores alike, so the store-only
/// kind completes no cleaning. `SY`, because the medium's shareability is not known to a program and the
/// full system includes every one.
#[inline]
pub(crate) fn fence() {
    // SAFETY: a barrier changes neither memory nor registers.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
}
