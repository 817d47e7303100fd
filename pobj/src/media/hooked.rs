//! A medium that can be watched, held up and made to fail, for the tests of what is built on media.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Domain, Image, ImageMode, Media, Placement, RamMedia};
use crate::ground::error::Result;

/// What is asked of a medium, by name, and its offset or length; an error is what it then answers.
pub(crate) type Hook = dyn Fn(&'static str, u64) -> Result<()> + Send + Sync;

/// A medium in memory that tells a hook of everything before it does it.
pub(crate) struct Hooked {
    pub(crate) memory: RamMedia,
    pub(crate) hook: Box<Hook>,
}

/// What a medium was asked, in order, and where.
pub(crate) type Notes = Arc<Mutex<Vec<(&'static str, u64)>>>;

/// A hook that notes everything.
pub(crate) fn noting() -> (Box<Hook>, Notes) {
    let asked = Notes::default();
    let notes = Arc::clone(&asked);
    let hook = move |what, at| {
        notes.lock().unwrap().push((what, at));
        Ok(())
    };
    (Box::new(hook), asked)
}

/// How long a test waits for what is to happen before it fails. `POBJ_PATIENCE`, in seconds, is for who expects failures.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("POBJ_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Holds up the first operation of a name at or behind an offset, until it is told how that is to end.
pub(crate) fn held(name: &'static str, from: u64) -> (Box<Hook>, Receiver<()>, Sender<Result<()>>) {
    let (reached, is_reached) = channel();
    let (end, ends) = channel();
    let ends = Mutex::new(ends);
    let met = AtomicBool::new(false);
    let hook = move |what: &'static str, at: u64| {
        if what == name && at >= from && !met.swap(true, Ordering::Relaxed) {
            reached.send(()).unwrap();
            // A test that has failed does not come back to it.
            return ends.lock().unwrap().recv_timeout(patience()).unwrap();
        }
        Ok(())
    };
    (Box::new(hook), is_reached, end)
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.memory.fmt(f)
    }
}

impl Media for Hooked {
    fn len(&self) -> Result<u64> {
        self.memory.len()
    }
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        (self.hook)("read", offset)?;
        self.memory.read(offset, into)
    }
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        (self.hook)("store", offset)?;
        self.memory.store(offset, bytes)
    }
    fn flush(&self, offset: u64, len: u64) -> Result<()> {
        (self.hook)("flush", offset)?;
        self.memory.flush(offset, len)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        (self.hook)("write", offset)?;
        self.memory.write(offset, bytes)
    }
    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        (self.hook)("write_durable", offset)?;
        self.memory.write_durable(offset, bytes)
    }
    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        (self.hook)("write_ordered", offset)?;
        self.memory.write_ordered(offset, bytes)
    }
    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()> {
        self.memory.prepare_ring(offset, len)
    }
    fn sync(&self) -> Result<()> {
        (self.hook)("sync", 0)?;
        self.memory.sync()
    }
    fn fence(&self) -> Result<()> {
        (self.hook)("fence", 0)?;
        self.memory.fence()
    }
    fn domain(&self) -> Domain {
        self.memory.domain()
    }
    fn grow(&self, len: u64) -> Result<()> {
        (self.hook)("grow", len)?;
        self.memory.grow(len)
    }
    fn truncate(&self, len: u64) -> Result<()> {
        (self.hook)("truncate", len)?;
        self.memory.truncate(len)
    }
    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.memory.punch(offset, len)
    }
    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.memory.allocate(offset, len)
    }
    fn publish(&self) -> Result<()> {
        self.memory.publish()
    }
    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        self.memory.image(placement, len, max_len, mode)
    }
    fn block_len(&self) -> u64 {
        self.memory.block_len()
    }
    fn path(&self) -> PathBuf {
        self.memory.path()
    }
    fn background(&self) -> bool {
        self.memory.background()
    }
}
