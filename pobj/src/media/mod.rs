//! The seam between pobj and what keeps its bytes.
//!
//! Every durable write, every sync and every change of length passes through [`Media`]. The assumptions that
//! pobj makes about a medium are these, cited by number wherever the code rests on one:
//!
//! - **M1** An aligned 8-byte store to persistent memory is never torn.
//! - **M2** Until a fence completes, each 8-byte word of a stored line may or may not be durable.
//! - **M3** After store, flush and fence: durable.
//! - **M4** On a file, until a sync returns success any subset of the written bytes may be durable; bytes never
//!   written are untouched.
//! - **M5** After a failed sync the state of those bytes is unknown and a retry proves nothing.
//! - **M6** One process owns a pool for writing.

mod arena;
mod file;
mod fork;
mod image;
mod ram;
mod reserve;
#[cfg(feature = "sim")]
pub mod sim;

pub use file::FileMedia;
pub use image::Image;
pub use ram::RamMedia;

pub(crate) use fork::ForkSentinel;

use crate::ground::error::Result;

/// How a pool's address range is to be found when its image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A new pool: any free range; media that keep addresses across opens choose it at random.
    Anywhere,
    /// An existing pool: exactly this base address, or [`Error::AddressTaken`](crate::Error::AddressTaken).
    At(u64),
}

/// What keeps a pool's bytes. Offsets and lengths are in bytes from the start of the pool.
///
/// All methods take `&self`: the checkpoint writes home bytes while a committer writes the ring. Callers never
/// overlap two writes to the same bytes in time, unless both write the same values.
pub trait Media: Send + Sync + std::fmt::Debug {
    /// Current length of the pool's bytes.
    fn len(&self) -> Result<u64>;

    /// True where nothing has been written yet.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `into` from `offset`. Reading past the end is an error.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()>;

    /// Writes without durability: until [`sync`](Self::sync) returns, M4 holds for these bytes.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// One durable write: when it returns, exactly these bytes are durable (one request, no other sync needed).
    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Writes so that the bytes survive a kill of the process, cheaply and without durability.
    /// Only within the range given to [`prepare_ring`](Self::prepare_ring).
    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Names the ring's byte range, so that the medium can map it for [`write_ordered`](Self::write_ordered).
    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()>;

    /// Makes all earlier writes and length changes durable.
    fn sync(&self) -> Result<()>;

    /// Grows the pool's bytes to `len`; the new bytes are zero and their space is allocated, so that later writes
    /// cannot fail for lack of it. Not durable before [`sync`](Self::sync). Never shrinks.
    fn grow(&self, len: u64) -> Result<()>;

    /// Cuts the pool's bytes to `len`. Not durable before [`sync`](Self::sync).
    fn truncate(&self, len: u64) -> Result<()>;

    /// Gives the space of a range back; the bytes then read as zero. A medium without holes leaves the bytes.
    fn punch(&self, offset: u64, len: u64) -> Result<()>;

    /// Allocates the space of a range that may hold holes, contents unchanged.
    fn allocate(&self, offset: u64, len: u64) -> Result<()>;

    /// Makes a pool that was made under a temporary name visible under its own. Durable when it returns.
    fn publish(&self) -> Result<()>;

    /// Maps the first `len` bytes privately at `placement` inside a reservation of `max_len` bytes.
    fn image(&self, placement: Placement, len: u64, max_len: u64) -> Result<Image>;

    /// Granularity in bytes at which durable writes should start.
    fn block_len(&self) -> u64;

    /// What an error message calls this pool.
    fn path(&self) -> std::path::PathBuf;

    /// Whether the pool may run a background thread over this medium.
    fn background(&self) -> bool;
}
