//! The journal by itself, over a medium that can be watched, held up and made to fail.

mod recovery;
mod waits;

use std::path::PathBuf;

use crate::ground::error::Result;
use crate::layout::geometry::Geometry;
use crate::media::{Domain, Image, ImageMode, Media, Placement, RamMedia};

const POOL: u64 = 77;
const EPOCH: u64 = 5;
const RING_LEN: u64 = 64 << 10;

fn geometry(ring_len: u64) -> Geometry {
    Geometry::new(ring_len + (1 << 20), ring_len, 100).unwrap()
}

/// What is asked of a medium, by name, and its offset or length; an error is what it then answers.
type Hook = dyn Fn(&'static str, u64) -> Result<()> + Send + Sync;

/// A medium in memory that tells a hook of everything before it does it.
struct Hooked {
    memory: RamMedia,
    hook: Box<Hook>,
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
