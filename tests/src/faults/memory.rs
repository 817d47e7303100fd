//! Requests of memory that are refused, and signals that interrupt.
//!
//! A Rust program that gets no memory for its own values ends (`handle_alloc_error`): pobj promises no more than any
//! other code. What it must see to is that such an end is no worse than a kill.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed};

use super::board::Board;

/// The system's allocator, which counts on a board while [`count`] runs, and refuses from a request on. For the program
/// that injects faults.
pub struct Refusing;

static BOARD: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());
static FIRST: AtomicU64 = AtomicU64::new(u64::MAX);
static COUNTING: AtomicBool = AtomicBool::new(false);

fn refused() -> bool {
    if !COUNTING.load(Relaxed) {
        return false;
    }
    // SAFETY: null, or a board, which lives as long as the process.
    let Some(board) = (unsafe { BOARD.load(Relaxed).as_ref() }) else { return false };
    let refused = board.requests.fetch_add(1, Relaxed) >= FIRST.load(Relaxed);
    if refused {
        board.fired.fetch_add(1, Relaxed);
    }
    refused
}

// SAFETY: the system's allocator does it all, or nothing is given.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refused() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refused() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        if refused() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, len) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Refuses the request of this number, and all later ones, that [`count`] sees.
pub fn refuse_from(board: &'static Board, number: u64) {
    BOARD.store(std::ptr::from_ref(board).cast_mut(), Relaxed);
    FIRST.store(number, Relaxed);
}

/// Counts requests while `act` runs. (If it panics, the child ends.)
pub fn count(board: &'static Board, act: impl FnOnce()) {
    BOARD.store(std::ptr::from_ref(board).cast_mut(), Relaxed);
    COUNTING.store(true, Relaxed);
    act();
    COUNTING.store(false, Relaxed);
}

/// Signals until a child counts as one that hangs.
static PATIENCE: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_alarm(_: i32) {
    if PATIENCE.fetch_sub(1, Relaxed) == 0 {
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(102) };
    }
}

/// Interrupts this process every so many microseconds, by a signal whose handler does nothing. System calls are not
/// restarted after it.
///
/// # Errors
///
/// The system's.
pub fn interrupt_every(micros: u32) -> io::Result<()> {
    PATIENCE.store(u64::from(super::SECONDS_MAX) * 1_000_000 / u64::from(micros), Relaxed);
    // SAFETY: all zeros is a valid action: no flags, so without SA_RESTART.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_alarm as *const () as usize;
    // SAFETY: the handler does only what a handler may.
    let done = unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) };
    let period = libc::timeval { tv_sec: 0, tv_usec: micros.into() };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: the timer outlives the call.
    let done = done | unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
