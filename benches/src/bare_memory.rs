//! The stores that set the limits on persistent memory, without pobj: non-temporal, into a shared mapping of a file whose
//! every page is there, ordered by one fence.

use std::fs::OpenOptions;
use std::path::Path;

use memmap2::MmapMut;

use crate::Result;

const LINE_LEN: usize = 64;

/// A file that is written out and mapped, for bare stores as a journal or a checkpoint makes them.
#[derive(Debug)]
pub struct BareMemory {
    memory: MmapMut,
    /// Where the next line goes; the mapping is a ring.
    position: usize,
}

impl BareMemory {
    /// Makes and maps a file of `len` bytes, a multiple of a page.
    ///
    /// # Errors
    ///
    /// If it cannot be written or mapped.
    pub fn new(path: &Path, len: usize) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(len as u64)?;
        // SAFETY: nobody else knows the file, which is neither shortened nor stored to by others.
        let mut memory = unsafe { MmapMut::map_mut(&file) }?;
        memory.fill(0x5A);
        Ok(Self { memory, position: 0 })
    }

    /// Stores the next `count` lines past the cache, and waits until they are durable: one fence.
    #[inline]
    pub fn write_lines(&mut self, count: usize, value: u64) {
        for _ in 0..count {
            let at = self.position % self.memory.len();
            self.position += LINE_LEN;
            store::line(&mut self.memory[at..at + LINE_LEN], value);
        }
        store::fence();
    }

    /// Stores a word at each of these places (counted in words) past the cache, and waits until all are durable: one
    /// fence.
    #[inline]
    pub fn write_words(&mut self, places: &[u32], value: u64) {
        for place in places {
            let at = *place as usize * 8;
            store::word(&mut self.memory[at..at + 8], value);
        }
        store::fence();
    }
}

/// Non-temporal stores. Invariant **N1**: whoever calls one calls [`fence`] before anything reads what was stored.
#[cfg(target_arch = "x86_64")]
mod store {
    use std::arch::x86_64::{__m128i, _mm_set1_epi64x, _mm_sfence, _mm_stream_si64, _mm_stream_si128};

    #[inline]
    pub(super) fn line(line: &mut [u8], value: u64) {
        // SAFETY: every x86-64 processor has SSE2.
        let quarter = unsafe { _mm_set1_epi64x(value as i64) };
        // SAFETY: every bit pattern is a value of the type.
        let (_, quarters, _) = unsafe { line.align_to_mut::<__m128i>() };
        for place in quarters {
            // SAFETY: a reference is aligned and leads to memory of this caller's; N1.
            unsafe { _mm_stream_si128(place, quarter) };
        }
    }

    #[inline]
    pub(super) fn word(word: &mut [u8], value: u64) {
        // SAFETY: every bit pattern is a value of the type.
        let (_, words, _) = unsafe { word.align_to_mut::<i64>() };
        for place in words {
            // SAFETY: a reference is aligned and leads to memory of this caller's; N1.
            unsafe { _mm_stream_si64(place, value as i64) };
        }
    }

    #[inline]
    pub(super) fn fence() {
        // SAFETY: every x86-64 processor has it.
        unsafe { _mm_sfence() };
    }
}

/// Elsewhere: ordinary stores and a fence that waits for them, which is less than durability asks for.
#[cfg(not(target_arch = "x86_64"))]
mod store {
    use std::sync::atomic::Ordering;

    #[inline]
    pub(super) fn line(line: &mut [u8], value: u64) {
        line.copy_from_slice(std::hint::black_box([value.to_ne_bytes(); 8]).as_flattened());
    }

    #[inline]
    pub(super) fn word(word: &mut [u8], value: u64) {
        word.copy_from_slice(&std::hint::black_box(value).to_ne_bytes());
    }

    #[inline]
    pub(super) fn fence() {
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}
