//! An allocator that counts, for suites that ask how much memory a damaged file may cost.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting what is in use.
pub struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

fn note(size: usize) {
    let now = IN_USE.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(now, Ordering::Relaxed);
    LARGEST.fetch_max(size, Ordering::Relaxed);
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What is in use now; the peak is taken anew from here.
#[must_use]
pub fn mark() -> usize {
    let now = IN_USE.load(Ordering::Relaxed);
    PEAK.store(now, Ordering::Relaxed);
    now
}

/// How much more than at the mark was in use at most; 0 where this allocator is not the program's.
#[must_use]
pub fn most_since(mark: usize) -> usize {
    PEAK.load(Ordering::Relaxed).saturating_sub(mark)
}

/// No damage may ask for more at once: the files have less than 1 MiB.
const LARGEST_MAX: usize = 4 << 20;
/// All suites of this file together, which run side by side.
const PEAK_MAX: usize = 128 << 20;

/// Fails if any damage has asked for more than it may.
///
/// # Panics
///
/// As said.
pub fn assert_modest() {
    let (largest, peak) = (LARGEST.load(Ordering::Relaxed), PEAK.load(Ordering::Relaxed));
    assert!(largest <= LARGEST_MAX, "{largest} bytes were asked for at once");
    assert!(peak <= PEAK_MAX, "{peak} bytes were in use");
}
