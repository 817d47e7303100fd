//! x86-64: flushes of lines, non-temporal stores of three widths, and `SFENCE`.
//!
//! - `CLWB` writes a line back and may keep it; `CLFLUSHOPT` evicts it; both are ordered by a fence only. `CLFLUSH`,
//!   which every processor has, evicts it and is ordered by itself, one line after the other.
//! - A non-temporal store goes to a write-combining buffer and from there to the memory. It needs no flush, and the
//!   fence waits for it. The thread that stored sees its stores at once, in program order; another thread may see a
//!   later ordinary store before them, until the fence.
//!
//! Written as assembly. For the flushes there is no stable intrinsic. For the stores there is one, but its
//! contract forbids even the storing thread to read before the fence, which the processor's manual allows and
//! `memmove` among unfenced stores needs.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _mm256_zeroupper};

use super::lines::LINE;

/// Whether [`Flush`] reaches the medium.
pub(crate) const FLUSHES: bool = true;

/// The ways to flush a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Writes the line back and may keep it in the cache.
    Clwb,
    /// Writes the line back and evicts it.
    Clflushopt,
    /// As `Clflushopt`, but never two at a time.
    Clflush,
}

/// The sub-leaf 0 of leaf 7 of CPUID tells of both optional instructions, in EBX.
const FEATURES_LEAF: u32 = 7;
const CLFLUSHOPT_BIT: u32 = 1 << 23;
const CLWB_BIT: u32 = 1 << 24;

fn extended_features() -> u32 {
    if __cpuid(0).eax < FEATURES_LEAF { 0 } else { __cpuid_count(FEATURES_LEAF, 0).ebx }
}

impl Flush {
    /// Best first.
    pub(crate) const ALL: [Self; 3] = [Self::Clwb, Self::Clflushopt, Self::Clflush];

    pub(crate) fn available(self) -> bool {
        match self {
            Self::Clwb => extended_features() & CLWB_BIT != 0,
            Self::Clflushopt => extended_features() & CLFLUSHOPT_BIT != 0,
            Self::Clflush => true,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clwb => "clwb",
            Self::Clflushopt => "clflushopt",
            Self::Clflush => "clflush",
        }
    }

    /// Flushes `count` lines from `first`, which is aligned to a line.
    ///
    /// # Safety
    /// The lines are mapped, and the instruction is [`available`](Self::available).
    #[inline]
    pub(crate) unsafe fn lines(self, first: *const u8, count: usize) {
        let lines = (0..count).map(|line| first.wrapping_add(line * LINE));
        // The blocks may touch memory as far as the compiler knows: no earlier store moves below them.
        match self {
            Self::Clwb => lines.for_each(|at| {
                // SAFETY: the caller's promise; no byte, register or flag changes.
                unsafe { asm!("clwb [{0}]", in(reg) at, options(nostack, preserves_flags)) }
            }),
            Self::Clflushopt => lines.for_each(|at| {
                // SAFETY: the caller's promise; no byte, register or flag changes.
                unsafe { asm!("clflushopt [{0}]", in(reg) at, options(nostack, preserves_flags)) }
            }),
            Self::Clflush => lines.for_each(|at| {
                // SAFETY: the caller's promise; no byte, register or flag changes.
                unsafe { asm!("clflush [{0}]", in(reg) at, options(nostack, preserves_flags)) }
            }),
        }
    }
}

/// The ways to store whole lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// One non-temporal store of 64 bytes.
    Avx512,
    /// Two of 32 bytes.
    Avx,
    /// Four of 16 bytes.
    Sse2,
    /// Ordinary stores, which must be flushed.
    Temporal,
}

impl Stores {
    /// Best first.
    pub(crate) const ALL: [Self; 4] = [Self::Avx512, Self::Avx, Self::Sse2, Self::Temporal];

    pub(crate) fn available(self) -> bool {
        match self {
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            Self::Avx => is_x86_feature_detected!("avx"),
            Self::Sse2 | Self::Temporal => true,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx => "avx",
            Self::Sse2 => "sse2",
            Self::Temporal => "temporal",
        }
    }

    /// Copies `count` lines, the last one first if `backwards`. Each line is loaded before it is stored, so ranges
    /// may overlap if the direction is right for them.
    ///
    /// # Safety
    /// `from` is readable and `to` writable for as many lines, `to` is aligned to a line, and the width is
    /// [`available`](Self::available). Other threads reach the bytes only after a [`fence`] of this one.
    #[inline]
    pub(crate) unsafe fn copy_lines(self, to: *mut u8, from: *const u8, count: usize, backwards: bool) {
        if count <= 2 && self != Self::Temporal {
            // The record of a small transaction. Here the widths are equally fast, and this one needs no call; and what was
            // put together just now by stores of its width need not reach the cache before it is loaded.
            // SAFETY: the caller's promises; SSE2 is part of x86-64.
            return unsafe { copy_sse2(to, from, count, backwards) };
        }
        match self {
            // SAFETY: the caller's promises are the function's, the width among them.
            Self::Avx512 => unsafe { copy_avx512(to, from, count, backwards) },
            // SAFETY: as above.
            Self::Avx => unsafe { copy_avx(to, from, count, backwards) },
            // SAFETY: as above.
            Self::Sse2 => unsafe { copy_sse2(to, from, count, backwards) },
            // SAFETY: as above.
            Self::Temporal => unsafe { std::ptr::copy(from, to, count * LINE) },
        }
    }

    /// Sets every byte of `count` lines.
    ///
    /// # Safety
    /// As for [`copy_lines`](Self::copy_lines).
    #[inline]
    pub(crate) unsafe fn fill_lines(self, to: *mut u8, byte: u8, count: usize) {
        let line = Line([byte; LINE]);
        for i in 0..count {
            // SAFETY: the caller's promises, and the source is one readable line.
            unsafe { self.copy_lines(to.wrapping_add(i * LINE), line.0.as_ptr(), 1, false) };
        }
    }
}

/// One line's worth of bytes, aligned as a line.
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// The offsets of `count` lines in the order of copying.
#[inline(always)]
fn order(count: usize, backwards: bool) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| if backwards { count - 1 - i } else { i } * LINE)
}

#[inline]
unsafe fn copy_sse2(to: *mut u8, from: *const u8, count: usize, backwards: bool) {
    for at in order(count, backwards) {
        // SAFETY: `copy_lines` promises the two ranges; nothing else changes but the four registers named.
        unsafe {
            asm!(
                "movdqu {a}, [{from}]",
                "movdqu {b}, [{from} + 16]",
                "movdqu {c}, [{from} + 32]",
                "movdqu {d}, [{from} + 48]",
                "movntdq [{to}], {a}",
                "movntdq [{to} + 16], {b}",
                "movntdq [{to} + 32], {c}",
                "movntdq [{to} + 48], {d}",
                from = in(reg) from.wrapping_add(at),
                to = in(reg) to.wrapping_add(at),
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    }
}

#[target_feature(enable = "avx")]
unsafe fn copy_avx(to: *mut u8, from: *const u8, count: usize, backwards: bool) {
    for at in order(count, backwards) {
        // SAFETY: `copy_lines` promises the two ranges; nothing else changes but the two registers named.
        unsafe {
            asm!(
                "vmovdqu {a}, [{from}]",
                "vmovdqu {b}, [{from} + 32]",
                "vmovntdq [{to}], {a}",
                "vmovntdq [{to} + 32], {b}",
                from = in(reg) from.wrapping_add(at),
                to = in(reg) to.wrapping_add(at),
                a = out(ymm_reg) _,
                b = out(ymm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    }
    leave_wide_registers();
}

#[target_feature(enable = "avx512f")]
unsafe fn copy_avx512(to: *mut u8, from: *const u8, count: usize, backwards: bool) {
    for at in order(count, backwards) {
        // SAFETY: `copy_lines` promises the two ranges; nothing else changes but the register named.
        unsafe {
            asm!(
                "vmovdqu64 {a}, [{from}]",
                "vmovntdq [{to}], {a}",
                from = in(reg) from.wrapping_add(at),
                to = in(reg) to.wrapping_add(at),
                a = out(zmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    }
    leave_wide_registers();
}

/// Clears the upper halves of the wide registers, which slow down narrow instructions while they hold something. The
/// compiler does so by itself only after wide instructions of its own.
#[inline]
#[target_feature(enable = "avx")]
fn leave_wide_registers() {
    _mm256_zeroupper();
}

/// Waits until this thread's flushes and stores, non-temporal ones included, have reached the memory controller (M3).
#[inline]
pub(crate) fn fence() {
    // SAFETY: a fence changes neither memory nor registers.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) }
}
