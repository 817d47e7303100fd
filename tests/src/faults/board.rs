//! What a child says of itself while it may die at any moment: memory that it shares with its parent.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::inject::COUNT;

/// Steps that a script may have.
pub const STEPS_MAX: usize = 64;
const MESSAGE_MAX: usize = 2000;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It was not tried.
    None,
    /// It began, and the child is gone.
    Began,
    /// It was acknowledged.
    Done,
    /// It returned an error.
    Failed,
    /// It returned `Poisoned`.
    Poisoned,
}

/// The shared memory.
pub struct Board {
    /// Calls of each kind so far.
    pub calls: [AtomicU64; COUNT],
    /// Faults that have hit.
    pub fired: AtomicU64,
    /// Those of them after which nobody can know what is durable.
    pub lost: AtomicU64,
    /// Requests of memory so far.
    pub requests: AtomicU64,
    armed: AtomicU8,
    outcomes: [AtomicU8; STEPS_MAX],
    message: [AtomicU8; MESSAGE_MAX],
}

impl Board {
    /// A new one, shared with every child that is forked from now on.
    ///
    /// # Panics
    ///
    /// If there is no memory for it.
    #[must_use]
    pub fn new() -> &'static Self {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Self>(), access, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED, "no memory to share");
        // SAFETY: a whole page or more, zeroed, which is valid for atomics, and never unmapped.
        unsafe { &*memory.cast::<Self>() }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.calls.iter().for_each(|count| count.store(0, Relaxed));
        [&self.fired, &self.lost, &self.requests].into_iter().for_each(|count| count.store(0, Relaxed));
        self.outcomes.iter().chain(&self.message).for_each(|byte| byte.store(0, Relaxed));
        self.arm(false);
    }

    /// Whether faults hit now, and calls are counted.
    pub fn is_armed(&self) -> bool {
        self.armed.load(Relaxed) != 0
    }

    /// Lets faults hit, or no longer.
    pub fn arm(&self, armed: bool) {
        self.armed.store(u8::from(armed), Relaxed);
    }

    /// Notes what became of a step.
    pub fn note(&self, step: usize, outcome: Outcome) {
        self.outcomes[step].store(outcome as u8, Relaxed);
    }

    /// What became of a step.
    #[must_use]
    pub fn outcome(&self, step: usize) -> Outcome {
        match self.outcomes[step].load(Relaxed) {
            0 => Outcome::None,
            1 => Outcome::Began,
            2 => Outcome::Done,
            3 => Outcome::Failed,
            _ => Outcome::Poisoned,
        }
    }

    /// Says what is wrong, for whoever reads the board. What was said first stays.
    pub fn complain(&self, text: &str) {
        if self.complaint().is_none() {
            for (place, byte) in self.message[..MESSAGE_MAX - 1].iter().zip(text.bytes()) {
                place.store(byte, Relaxed);
            }
        }
    }

    /// What was said to be wrong.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let bytes = self.message.iter().map(|byte| byte.load(Relaxed)).take_while(|byte| *byte != 0);
        let bytes: Vec<u8> = bytes.collect();
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}
