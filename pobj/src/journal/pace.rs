//! Pacing: commits slow down a little before the ring is full, so that none of them has to wait for a whole checkpoint.
//!
//! While a checkpoint runs, the ring fills. If transactions come faster than home can take them, then without this the
//! one that finds the ring full waits until the checkpoint is done: tens of milliseconds on a disk, behind
//! thousands of commits of a microsecond. Here each of those pays a share. From the last checkpoint's rate follows how
//! long the running one will take, `T`. By the time `t` commits may have used the part `1 - 2^(-2t/T)` of the room that
//! was left: three quarters by the time that the checkpoint should be done, the rest ever more slowly. A commit that runs
//! ahead sleeps, but never for long, after its transaction has let others in, and only where it would not have
//! waited for the medium anyway.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No commit sleeps longer, as long as there is room at all.
const SLEEP_MAX: Duration = Duration::from_micros(500);
/// Less is not worth a sleep, which takes longer than that by itself; it adds up.
const SLEEP_MIN: Duration = Duration::from_micros(50);
/// Commits that use less than this part of the room are not looked at.
const FREE_PART: u64 = 8;
/// A look for each such part of the room.
const LOOKS: u64 = 256;
/// What the first checkpoint is expected to take, in picoseconds for each byte: 100 MB/s.
const FIRST_RATE: u64 = 10_000;

/// What a running checkpoint leaves to commits. Written by the checkpoint, read by commits; that a commit may see a
/// part of the next state is harmless.
#[derive(Debug)]
pub(super) struct Pace {
    origin: Instant,
    /// When the running checkpoint began, in nanoseconds since `origin`; 0 if none runs.
    began: AtomicU64,
    /// The tail at that time, and the bytes that were free behind it.
    tail: AtomicU64,
    room: AtomicU64,
    /// How many bytes it brings home, and how long that should take, in nanoseconds.
    len: AtomicU64,
    expected: AtomicU64,
    /// Picoseconds for each byte of the last one.
    rate: AtomicU64,
    /// The tail at which to look again: reading the clock at each commit would cost more than the commits.
    look_at: AtomicU64,
    /// What the next commit to look is to sleep, in nanoseconds.
    owed: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            began: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            room: AtomicU64::new(0),
            len: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            rate: AtomicU64::new(FIRST_RATE),
            look_at: AtomicU64::new(u64::MAX),
            owed: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64 + 1
    }

    /// A checkpoint of `len` bytes begins, while the ring ends at `tail` and has `room` bytes left.
    pub(super) fn begin(&self, len: u64, tail: u64, room: u64) {
        self.tail.store(tail, Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        let expected = u128::from(len) * u128::from(self.rate.load(Ordering::Relaxed)) / 1000;
        self.expected.store(expected as u64, Ordering::Relaxed);
        self.began.store(self.now(), Ordering::Relaxed);
        self.look_at.store(tail + room / FREE_PART, Ordering::Release);
    }

    /// It has ended.
    pub(super) fn end(&self) {
        self.look_at.store(u64::MAX, Ordering::Relaxed);
        let took = self.now().saturating_sub(self.began.swap(0, Ordering::AcqRel));
        // A short one says little: what a checkpoint costs however small it is would count for each byte.
        let len = self.len.load(Ordering::Relaxed).max(1 << 16);
        self.rate.store((u128::from(took) * 1000 / u128::from(len)) as u64, Ordering::Relaxed);
        self.owed.store(0, Ordering::Relaxed);
    }

    /// The ring ends at `tail` now: notes what commits owe, if they run ahead.
    #[inline]
    pub(super) fn note(&self, tail: u64) {
        if tail >= self.look_at.load(Ordering::Acquire) {
            self.look(tail);
        }
    }

    #[cold]
    fn look(&self, tail: u64) {
        let began = self.began.load(Ordering::Relaxed);
        let used = tail.saturating_sub(self.tail.load(Ordering::Relaxed));
        let room = self.room.load(Ordering::Relaxed);
        self.look_at.store(tail + room / LOOKS, Ordering::Relaxed);
        if began != 0 {
            let due = due(used, room, self.expected.load(Ordering::Relaxed));
            self.owed.store((began + due).saturating_sub(self.now()), Ordering::Relaxed);
        }
    }

    /// Whether a checkpoint has begun and not ended.
    #[cfg(test)]
    pub(super) fn runs(&self) -> bool {
        self.began.load(Ordering::Relaxed) != 0
    }

    /// Sleeps what is owed, if anything. The caller holds nothing that others wait for.
    #[inline]
    pub(super) fn pay(&self) {
        if self.owed.load(Ordering::Relaxed) >= SLEEP_MIN.as_nanos() as u64 {
            self.sleep();
        }
    }

    #[cold]
    fn sleep(&self) {
        let owed = Duration::from_nanos(self.owed.swap(0, Ordering::Relaxed));
        std::thread::sleep(owed.min(SLEEP_MAX));
    }
}

/// When `used` bytes of `room` may be used, in nanoseconds since the beginning of a checkpoint that should take
/// `expected`.
fn due(used: u64, room: u64, expected: u64) -> u64 {
    let left = room.saturating_sub(used).max(room / 64).max(1) as f64 / room.max(1) as f64;
    (expected as f64 / 2.0 * -left.log2()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a pace at which the room is gone before the checkpoint is done.
    #[test]
    fn the_room_outlasts_the_checkpoint() {
        assert_eq!(due(0, 1000, 500), 0);
        assert_eq!(due(500, 1000, 500), 250);
        assert_eq!(due(750, 1000, 500), 500);
        assert!(due(1000, 1000, 500) <= 1600 && due(5000, 1000, 500) == due(1000, 1000, 500));
        assert_eq!(due(0, 0, 500), 0);
    }

    #[test]
    fn nobody_owes_before_it_runs_ahead() {
        let pace = Pace::new();
        pace.note(1 << 40);
        assert_eq!(pace.owed.load(Ordering::Relaxed), 0);
        pace.begin(1 << 20, 100, 1 << 20);
        pace.note(100 + (1 << 16));
        assert_eq!(pace.owed.load(Ordering::Relaxed), 0);
        pace.note(100 + (1 << 19));
        let owed = pace.owed.load(Ordering::Relaxed);
        assert!(owed > 1_000_000, "half a mebibyte in no time owes some milliseconds, not {owed} ns");
        let before = Instant::now();
        pace.pay();
        assert!(before.elapsed() >= SLEEP_MAX);
        pace.end();
        assert_eq!(pace.owed.load(Ordering::Relaxed), 0);
    }

    /// Catches a pace that looks at the wrong times, expects the wrong time of a checkpoint, or learns nothing from it.
    #[test]
    fn the_last_checkpoint_says_how_long_the_next_will_take() {
        let pace = Pace::new();
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        pace.begin(1 << 20, 1000, 1 << 13);
        assert_eq!(get(&pace.expected), (1 << 20) * FIRST_RATE / 1000);
        let first_look = 1000 + (1 << 13) / FREE_PART;
        assert_eq!(get(&pace.look_at), first_look);
        pace.note(first_look - 1);
        assert_eq!(get(&pace.look_at), first_look);
        pace.note(first_look);
        assert_eq!(get(&pace.look_at), first_look + (1 << 13) / LOOKS);
        std::thread::sleep(Duration::from_millis(5));
        assert!(pace.runs());
        pace.end();
        assert!(!pace.runs());
        assert_eq!(get(&pace.look_at), u64::MAX);
        let rate = get(&pace.rate);
        assert!(
            (5_000_000_000 / (1 << 20)..1_000_000_000_000 / (1 << 20)).contains(&rate),
            "{rate} ps for a byte"
        );
        // One byte in two milliseconds does not mean two seconds for a kibibyte.
        pace.begin(1, 0, 100);
        assert_eq!(get(&pace.expected), rate / 1000);
        std::thread::sleep(Duration::from_millis(2));
        pace.end();
        assert!((2_000_000_000 / (1 << 16)..1_000_000_000).contains(&get(&pace.rate)));
        // Nothing runs, nobody owes.
        pace.look(1 << 40);
        assert_eq!(get(&pace.owed), 0);
    }

    /// Catches commits that pay what has been paid by waiting for something else, that sleep for nothing, or too long.
    #[test]
    fn what_is_owed_is_what_is_left() {
        let pace = Pace::new();
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        pace.begin(10 << 20, 0, 1 << 20);
        let half = get(&pace.expected) / 2;
        std::thread::sleep(Duration::from_millis(20));
        pace.note(1 << 19);
        assert!(get(&pace.owed) <= half - 20_000_000, "{} of {half} ns", get(&pace.owed));
        let least = SLEEP_MIN.as_nanos() as u64;
        for (owed, left) in [(least - 1, least - 1), (least, 0), (3_600_000_000_000, 0)] {
            pace.owed.store(owed, Ordering::Relaxed);
            let before = Instant::now();
            pace.pay();
            assert!(before.elapsed() < Duration::from_secs(20));
            assert_eq!(get(&pace.owed), left);
        }
    }
}
