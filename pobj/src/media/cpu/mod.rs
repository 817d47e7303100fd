//! What the processor offers to make stores durable: flushes, fences and non-temporal stores.
//!
//! One interface; one file for each architecture behind it. The best instructions are chosen once, when they are
//! first asked for ([`Cpu::get`]), and can be overridden for tests and measurements:
//!
//! - `POBJ_FLUSH` is `clwb`, `clflushopt` or `clflush` (Arm: `cvap`, `cvadp`, `cvac`);
//! - `POBJ_STORES` is `avx512`, `avx`, `sse2` or `temporal`.
//!
//! A name that is unknown, or that this processor cannot execute, is ignored.
//!
//! # How a store becomes durable
//!
//! In [`Domain::CacheLine`]: an ordinary store and a flush of its line, or a non-temporal store; then a fence of the
//! same thread (M3). In [`Domain::Byte`] the caches survive: an ordinary store and a fence. [`Cpu::copy`] and its
//! relatives do the first half, for whichever domain they are told, and [`Cpu::fence`] the second.
//!
//! # Other threads
//!
//! Non-temporal stores are not part of the ordering that Rust's atomics promise. So each function that may store so
//! has the condition that other threads reach the bytes only after a fence of the storing thread.

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod aarch64;
mod lines;
#[cfg(any(test, miri, not(any(target_arch = "aarch64", target_arch = "x86_64"))))]
mod portable;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86_64;

#[cfg(all(target_arch = "aarch64", not(miri)))]
use self::aarch64 as arch;
#[cfg(any(miri, not(any(target_arch = "aarch64", target_arch = "x86_64"))))]
use self::portable as arch;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use self::x86_64 as arch;

use std::fmt;
use std::sync::OnceLock;

pub(crate) use self::arch::{Flush, Stores};
pub(crate) use self::lines::LINE;
use self::lines::{Cut, cut, touched, within};
use super::counts;
use crate::ground::domain::Domain;

/// From this length on a copy without a hint is non-temporal, as in libpmem. Measured, storing past the cache is faster
/// from one whole line on (104 ns against 168 ns, fence included); but the next read of the line then misses the
/// cache, and what is short is likely to be read soon.
const NON_TEMPORAL_FROM: usize = 256;

/// Whether stored bytes should stay in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// By length: short copies are cached, long ones are not.
    #[default]
    Auto,
    /// The bytes will be read soon: through the cache.
    Temporal,
    /// The bytes will not be read soon: past the cache, wherever they fill whole lines.
    NonTemporal,
}

/// The processor's instructions for durable stores. Copied, not shared: it is two bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpu {
    flush: Flush,
    stores: Stores,
}

impl Cpu {
    /// The best of this machine, or what the environment says.
    pub(crate) fn get() -> Self {
        static CHOSEN: OnceLock<Cpu> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let variable = |name| std::env::var(name).unwrap_or_default();
            Self::choose(&variable("POBJ_FLUSH"), &variable("POBJ_STORES"))
        })
    }

    /// The named instructions where they exist here, else the best.
    fn choose(flush: &str, stores: &str) -> Self {
        let all = Self::all();
        let wanted = |cpu: &Self| (cpu.flush.name() == flush, cpu.stores.name() == stores);
        let best = all[0];
        Self {
            flush: all.iter().find(|cpu| wanted(cpu).0).map_or(best.flush, |cpu| cpu.flush),
            stores: all.iter().find(|cpu| wanted(cpu).1).map_or(best.stores, |cpu| cpu.stores),
        }
    }

    /// This combination, if this machine can execute it.
    pub(crate) fn with(flush: Flush, stores: Stores) -> Option<Self> {
        (flush.available() && stores.available()).then_some(Self { flush, stores })
    }

    /// Every combination that this machine can execute, the best first.
    pub(crate) fn all() -> Vec<Self> {
        let with_flush = |flush| Stores::ALL.iter().filter_map(move |stores| Self::with(flush, *stores));
        Flush::ALL.iter().flat_map(|flush| with_flush(*flush)).collect()
    }

    /// Whether a flush and a fence of this processor make persistent memory durable.
    pub(crate) fn flushes(self) -> bool {
        arch::FLUSHES
    }

    /// Starts to write back the lines of `len` bytes from `start`, and returns how many they are. Durable with the next
    /// [`fence`](Self::fence) of this thread.
    ///
    /// # Safety
    /// The bytes are mapped.
    #[inline]
    pub(crate) unsafe fn flush(self, start: *const u8, len: usize) -> u64 {
        let count = touched(start.addr(), len);
        // SAFETY: each line holds one of the caller's bytes, so it is mapped; `with` made sure of the instruction.
        unsafe { self.flush.lines(start.wrapping_sub(within(start.addr())), count) };
        counts::flushed(count as u64);
        count as u64
    }

    /// Waits until this thread's flushes and non-temporal stores are durable (M3).
    #[inline]
    pub(crate) fn fence(self) {
        arch::fence();
        counts::fenced();
    }

    /// Copies `len` bytes, durable with the next [`fence`](Self::fence) of this thread (in [`Domain::Page`]: merely
    /// stored).
    ///
    /// # Safety
    /// `from` is readable and `to` writable for `len` bytes, and they do not overlap. Other threads reach the bytes
    /// only after a fence of this one.
    #[inline]
    pub(crate) unsafe fn copy(self, to: *mut u8, from: *const u8, len: usize, domain: Domain, hint: Hint) {
        counts::wrote(len as u64);
        if self.is_temporal(len, domain, hint) {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
            // SAFETY: the bytes are the caller's.
            return unsafe { self.flush_in(to, len, domain) };
        }
        // SAFETY: the caller's promise, which is more than is needed.
        unsafe { self.copy_past_cache(to, from, len, false) }
    }

    /// Whether [`copy_few`](Self::copy_few) may copy these bytes: one or two aligned lines, past the cache.
    #[inline]
    pub(crate) fn is_few_lines(self, to: *mut u8, len: usize, domain: Domain) -> bool {
        (len == LINE || len == 2 * LINE)
            && to.addr().is_multiple_of(LINE)
            && !self.is_temporal(len, domain, Hint::NonTemporal)
    }

    /// As [`copy`](Self::copy), for few lines past the cache: the record of a small transaction, a small entry of a log.
    ///
    /// # Safety
    /// As for [`copy`](Self::copy), and [`is_few_lines`](Self::is_few_lines) says so.
    #[inline]
    pub(crate) unsafe fn copy_few(self, to: *mut u8, from: *const u8, len: usize) {
        counts::wrote(len as u64);
        // SAFETY: the caller's promise; `with` made sure of the instructions.
        unsafe { self.stores.copy_lines(to, from, 1, false) }
        if len > LINE {
            // SAFETY: the caller's promise: there is a second one.
            unsafe { self.stores.copy_lines(to.wrapping_add(LINE), from.wrapping_add(LINE), 1, false) }
        }
    }

    /// As [`copy`](Self::copy), where the two ranges may overlap.
    ///
    /// # Safety
    /// `from` is readable and `to` writable for `len` bytes. Other threads reach the bytes only after a fence of this
    /// one.
    #[inline]
    pub(crate) unsafe fn move_(self, to: *mut u8, from: *const u8, len: usize, domain: Domain, hint: Hint) {
        counts::wrote(len as u64);
        if self.is_temporal(len, domain, hint) {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy(from, to, len) };
            // SAFETY: the bytes are the caller's.
            return unsafe { self.flush_in(to, len, domain) };
        }
        // SAFETY: the caller's promise; a target behind its source is copied from its end, so that no byte is
        // overwritten before it is read.
        unsafe { self.copy_past_cache(to, from, len, to.addr() > from.addr()) }
    }

    /// Sets `len` bytes to `byte`, durable with the next [`fence`](Self::fence) of this thread.
    ///
    /// # Safety
    /// `to` is writable for `len` bytes. Other threads reach the bytes only after a fence of this one.
    #[inline]
    pub(crate) unsafe fn fill(self, to: *mut u8, byte: u8, len: usize, domain: Domain, hint: Hint) {
        counts::wrote(len as u64);
        if self.is_temporal(len, domain, hint) {
            // SAFETY: the caller's promise.
            unsafe { to.write_bytes(byte, len) };
            // SAFETY: the bytes are the caller's.
            return unsafe { self.flush_in(to, len, domain) };
        }
        let Cut { head, lines, tail } = cut(to.addr(), len);
        let body = to.wrapping_add(head);
        let end = body.wrapping_add(len - head - tail);
        // SAFETY: the parts of the caller's range; `cut` aligned `body`, and `with` made sure of the instructions.
        unsafe { self.stores.fill_lines(body, byte, lines) };
        for (at, count) in [(to, head), (end, tail)] {
            if count > 0 {
                // SAFETY: a part of the caller's range.
                unsafe { at.write_bytes(byte, count) };
                // SAFETY: as above.
                unsafe { self.flush(at, count) };
            }
        }
    }

    /// Whether these bytes go through the cache.
    #[inline]
    fn is_temporal(self, len: usize, domain: Domain, hint: Hint) -> bool {
        domain != Domain::CacheLine
            || self.stores == Stores::Temporal
            || match hint {
                Hint::Auto => len < NON_TEMPORAL_FROM,
                Hint::Temporal => true,
                Hint::NonTemporal => false,
            }
    }

    /// Flushes where the domain asks for it.
    ///
    /// # Safety
    /// As for [`flush`](Self::flush).
    #[inline]
    unsafe fn flush_in(self, start: *const u8, len: usize, domain: Domain) {
        if domain == Domain::CacheLine {
            // SAFETY: the caller's promise.
            unsafe { self.flush(start, len) };
        }
    }

    /// Whole lines past the cache; what is left at the ends through it, and flushed.
    ///
    /// # Safety
    /// As for [`move_`](Self::move_), with the direction that the overlap needs.
    #[inline]
    unsafe fn copy_past_cache(self, to: *mut u8, from: *const u8, len: usize, backwards: bool) {
        let Cut { head, lines, tail } = cut(to.addr(), len);
        if head | tail == 0 {
            // SAFETY: the caller's range; `cut` found `to` aligned, and `with` made sure of the instructions.
            return unsafe { self.stores.copy_lines(to, from, lines, backwards) };
        }
        let (first, last) =
            if backwards { ((len - tail, tail), (0, head)) } else { ((0, head), (len - tail, tail)) };
        // SAFETY: a part of the caller's range, in the order that the overlap needs.
        unsafe { self.copy_end(to, from, first) };
        // SAFETY: as above; `cut` aligned `to + head`, and `with` made sure of the instructions.
        unsafe { self.stores.copy_lines(to.wrapping_add(head), from.wrapping_add(head), lines, backwards) };
        // SAFETY: as above.
        unsafe { self.copy_end(to, from, last) };
    }

    /// Copies and flushes `part` of a range: its offset and length.
    ///
    /// # Safety
    /// As for [`move_`](Self::move_), for this part.
    #[inline]
    unsafe fn copy_end(self, to: *mut u8, from: *const u8, part: (usize, usize)) {
        let (offset, len) = part;
        if len > 0 {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy(from.wrapping_add(offset), to.wrapping_add(offset), len) };
            // SAFETY: the bytes just written are mapped.
            unsafe { self.flush(to.wrapping_add(offset), len) };
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} + {}", self.flush.name(), self.stores.name())
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cpu({self})")
    }
}

#[cfg(test)]
mod tests;
