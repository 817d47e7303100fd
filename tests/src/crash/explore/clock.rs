//! How much of a core the calling thread has used: on a machine that others use too, the clock on the wall says little.

use std::time::{Duration, Instant};

/// A clock of one thread's work.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    begun: Instant,
    used: Option<Duration>,
}

impl Clock {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self { begun: Instant::now(), used: used() }
    }

    /// Time that the thread has run since; where the system does not say, time that has passed.
    #[must_use]
    pub fn worked(&self) -> Duration {
        match (self.used, used()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.begun.elapsed(),
        }
    }
}

/// What the system says that this thread has run.
fn used() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
