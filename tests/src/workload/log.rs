//! What a killed log holds: entries of four threads, numbered without a gap since the last rewind.

use pobj::Error;
use pobj::log::{Log, Options, Position};

use super::KillMode;
use super::mode::in_mode;

/// Threads that append.
pub const THREADS: usize = 4;
/// Bytes of the logs.
pub const CAPACITY: u64 = 256 << 10;
/// No entry is longer.
pub const LONGEST: u64 = 300;

/// How the logs are made.
#[must_use]
pub fn log_options(mode: KillMode) -> Options {
    in_mode!(Options::new(), mode)
}

/// Thread, its number of the append, and filling whose length follows from the number.
#[must_use]
pub fn entry(thread: usize, number: u64) -> Vec<u8> {
    let len = 16 + (number * 37 % 200) as usize;
    let mut bytes = vec![thread as u8; len];
    bytes[..8].copy_from_slice(&(thread as u64).to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Thread and number of an entry, if it is one.
///
/// # Errors
///
/// If it is not what that thread appended.
pub fn origin(bytes: &[u8]) -> Result<(usize, u64), String> {
    let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let (Some(thread), Some(number)) = (word(0), word(8)) else { return Err("a short entry".to_owned()) };
    let thread = thread as usize;
    if thread >= THREADS || bytes != entry(thread, number) {
        return Err(format!("not what thread {thread} appended as its number {number}"));
    }
    Ok((thread, number))
}

/// The last number of each thread, if the log holds all from 1 to it, or from where the last rewind has left it.
///
/// # Errors
///
/// If the log is not whole.
pub fn survey(log: &Log) -> Result<[Option<u64>; THREADS], String> {
    let text = |error: Error| error.to_string();
    log.check().map_err(text)?;
    let mut last = [None; THREADS];
    for found in log.entries() {
        let (thread, number) = origin(&found.map_err(text)?.1)?;
        match last[thread].replace(number) {
            Some(before) if number != before + 1 => {
                return Err(format!("thread {thread}: {number} follows {before}"));
            }
            _ => {}
        }
    }
    Ok(last)
}

/// Appends, or gives `None` if the log is full.
///
/// # Errors
///
/// As [`Log::append`].
pub fn append(log: &Log, thread: usize, number: u64) -> Result<Option<Position>, Error> {
    match log.append(&entry(thread, number)) {
        Err(Error::LogFull { .. }) => Ok(None),
        other => other.map(Some),
    }
}
