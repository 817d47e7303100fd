//! What the killed key-value store holds: records of four threads, each numbered without a gap, and one that all put.

use pobj::Error;
use pobj::kv::{Engine, Options, Store};

use super::KillMode;
use super::mode::in_mode;

/// Threads that put.
pub const THREADS: usize = 4;
/// The key that all threads put.
pub const COMMON: &[u8] = b"common";

/// How the stores are made: a small ring, so that checkpoints are frequent.
#[must_use]
pub fn store_options<E: Engine>(mode: KillMode) -> Options<E> {
    let options = Store::<E>::options().size(64 << 10).max_size(64 << 20).ring_size(64 << 10);
    in_mode!(options, mode).image(mode.image()).validation_threads(1)
}

/// The key of a thread's record.
#[must_use]
pub fn key(thread: usize, number: u64) -> [u8; 9] {
    let mut key = [thread as u8; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Its value: of another length each time, and one that tells whether it is whole.
#[must_use]
pub fn value(thread: usize, number: u64) -> Vec<u8> {
    let start = (thread as u64) << 56 | number;
    let tail = (0..number % 120).map(|at| (number + at) as u8 ^ thread as u8);
    start.to_be_bytes().into_iter().chain(tail).collect()
}

/// How far each thread has come.
///
/// # Errors
///
/// If the store is not whole: a number is missing, a value is not what was put, a record is too many.
pub fn progress<E: Engine>(store: &Store<E>) -> Result<[u64; THREADS], Error> {
    let now = store.read()?;
    let mut done = [0; THREADS];
    let mut expected = usize::from(now.exists(COMMON));
    for (thread, done) in done.iter_mut().enumerate() {
        while let Some(found) = now.get(&key(thread, *done + 1)) {
            *done += 1;
            if found != value(thread, *done) {
                return Err(Error::abort(format!("record {done} of thread {thread} is {found:?}")));
            }
        }
        expected += *done as usize;
    }
    if let Some(&[thread, ref rest @ ..]) = now.get(COMMON) {
        let number = rest.iter().take(7).fold(0, |number, byte| number << 8 | u64::from(*byte));
        let whole = now.get(COMMON) == Some(&value(usize::from(thread), number)[..]);
        // A thread puts it after its own record.
        if !whole || done.get(usize::from(thread)).is_none_or(|done| number > *done) {
            return Err(Error::abort(format!("the common record is {number} of thread {thread}")));
        }
    }
    match (now.count(), now.iter().count()) {
        found if found == (expected, expected) => Ok(done),
        found => Err(Error::abort(format!("{found:?} records instead of {expected}"))),
    }
}
