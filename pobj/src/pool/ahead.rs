//! Growing ahead: the next piece of the file is made before somebody needs it.
//!
//! What growth costs (space from the file system, a durable length, the first touch of fresh pages) takes milliseconds,
//! and without this whoever asks for the block that no longer fits pays it inside its transaction. Here a thread of the
//! pool makes the file longer than the pool and maps and populates the memory behind the image; growing is then a matter
//! of saying so. Populated by large pages where the kernel gives them, which faults on demand would make worse: one of
//! them takes as long as hundreds of small ones.
//!
//! A file that is longer than its pool is what a crash may leave anyway: the pool's length is in the superblock, and
//! `open` cuts the rest. So does closing.
//!
//! The bodies of large transactions also lie behind the pool for a while. While there is one, nothing is made ahead
//! ([`Journal::alone_with_length`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::PoolBody;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::CHUNK;

/// So much is made ahead: this part of the pool,
const PART: u64 = 16;
/// at least this, which lasts while the next piece is made (the crash harness has small pools),
const LEN_MIN: u64 = if cfg!(feature = "sim") { 2 * CHUNK } else { 4 << 20 };
/// and at most this, for it is memory.
const LEN_MAX: u64 = 32 << 20;
/// In steps of this.
const STEP: u64 = 2 << 20;

/// What is ready behind the pool, and what is asked for.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The file has this length durably. 0 before the first time.
    ready: AtomicU64,
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    len: u64,
    /// Somebody does it.
    served: bool,
    stopping: bool,
}

impl Ahead {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolBody {
    /// The file is ready for a pool of this length.
    pub(super) fn ready_len(&self) -> u64 {
        self.ahead.ready.load(Ordering::Acquire)
    }

    /// The file is not cut below this.
    pub(crate) fn kept_len(&self) -> u64 {
        self.image.len().max(self.ready_len())
    }

    /// How far to be ready when the pool has `len` bytes.
    fn beyond(&self, len: u64) -> u64 {
        let more = (len / PART).clamp(LEN_MIN, LEN_MAX) / CHUNK * CHUNK;
        (len + more).min(self.image.max_len())
    }

    /// Makes ready what the thread would.
    #[cfg(feature = "sim")]
    pub(super) fn make_ready_beyond(&self) -> Result<()> {
        self.make_ready(self.beyond(self.image.len()))
    }

    /// Asks for space behind a pool of `len` bytes.
    pub(super) fn want_beyond(&self, len: u64) {
        let wanted = self.beyond(len);
        if wanted <= len || wanted <= self.ready_len() {
            return;
        }
        let mut state = self.ahead.lock();
        if state.served && state.len < wanted {
            state.len = wanted;
            self.ahead.changed.notify_one();
        }
    }

    /// Makes the file `len` bytes long and the image's memory ready, if nothing is in the way.
    pub(super) fn make_ready(&self, len: u64) -> Result<()> {
        {
            let Some(_alone) = self.journal.alone_with_length() else { return Ok(()) };
            let before = self.media.len()?;
            if before >= len {
                // The pool has grown by itself; its bytes there are no longer zero.
                return Ok(());
            }
            self.lengthen_by_steps(before, len).inspect_err(|_| {
                // Failing only leaves the file longer than it needs to be.
                let _ = self.media.truncate(before);
            })?;
            self.journal.sync_len(len)?;
            self.ahead.ready.store(len, Ordering::Release);
        }
        self.image.prepare(len);
        Ok(())
    }

    fn lengthen_by_steps(&self, mut at: u64, len: u64) -> Result<()> {
        while at < len {
            at = (at + STEP).min(len);
            self.media.grow(at)?;
            // Whoever has more to do gets the processor now, and not at the end of this thread's turn of milliseconds.
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Gives the space back that nobody needed. A failure leaves the file longer; open cuts it.
    pub(super) fn give_ready_back(&self) {
        let Some(_alone) = self.journal.alone_with_length() else { return };
        if self.ahead.ready.swap(0, Ordering::AcqRel) > self.image.len() {
            let _ = self.media.truncate(self.image.len());
        }
    }

    fn serve(&self) {
        let mut state = self.ahead.lock();
        while !state.stopping {
            let len = state.len;
            if len <= self.ready_len() || self.journal.check_poison().is_err() {
                state = self.ahead.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            // Whoever needs the space meets the same error and can report it.
            let made = self.make_ready(len);
            state = self.ahead.lock();
            let failed = made.is_err() || len > self.ready_len();
            if failed && state.len == len {
                // Until somebody asks again.
                state.len = 0;
            }
        }
    }
}

/// The thread that makes space ready; ends when dropped.
pub(super) struct Growth {
    body: Arc<PoolBody>,
    thread: Option<JoinHandle<()>>,
}

impl Growth {
    pub(super) fn start(body: &Arc<PoolBody>) -> Result<Self> {
        let worker = Arc::clone(body);
        let thread = std::thread::Builder::new()
            .name("pobj-growth".into())
            .spawn(move || worker.serve())
            .map_err(|error| Error::io("start the growth thread", error))?;
        body.ahead.lock().served = true;
        Ok(Self { body: Arc::clone(body), thread: Some(thread) })
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        let mut state = self.body.ahead.lock();
        (state.stopping, state.served) = (true, false);
        drop(state);
        self.body.ahead.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic.
            let _ = thread.join();
        }
    }
}
