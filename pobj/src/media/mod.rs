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
mod counts;
mod cpu;
mod dax;
mod detect;
mod file;
mod fork;
mod handoff;
#[cfg(test)]
pub(crate) mod hooked;
mod image;
mod images;
pub(crate) mod mapping;
mod ram;
mod reserve;
#[cfg(feature = "sim")]
pub mod sim;

pub use counts::MediaCounts;
pub use cpu::Hint;
pub use file::FileMedia;
pub use image::Image;
pub(crate) use images::is_in_a_pool;
pub use ram::RamMedia;

pub(crate) use counts::{Totals, here as counts_here};
pub(crate) use dax::{DomainChoice, choose};
pub(crate) use fork::ForkSentinel;
pub(crate) use handoff::Handoff;

pub use crate::ground::domain::Domain;
use crate::ground::error::{Error, Result};

/// How a pool's address range is to be found when its image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A new pool: any free range; media that keep addresses across opens choose it at random.
    Anywhere,
    /// An existing pool: exactly this base address, or [`Error::AddressTaken`].
    At(u64),
}

/// What the bytes are that a program reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageMode {
    /// A private copy of the pool's bytes: what is stored there cannot reach the medium by itself. Commits write what
    /// changed (redo).
    #[default]
    Private,
    /// The pool's own bytes, for pools larger than memory: old bytes are made durable before they change (undo). On
    /// persistent memory only.
    InPlace,
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

    /// As [`read`](Self::read), of what this process wrote not long ago: out of memory where the medium is mapped.
    fn read_back(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.read(offset, into)
    }

    /// An error if the medium does not give a range back, where bytes are written by stores: there a bad block under one
    /// would be a signal. Recovery asks before it writes.
    fn show(&self, offset: u64, len: u64) -> Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Makes a range quick to write for the first time, where that takes something: mapped, its pages present.
    fn prepare(&self, offset: u64, len: u64) -> Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Stores without starting to write back, where stores are how the medium is written; [`flush`](Self::flush) is to
    /// follow. Elsewhere as [`write`](Self::write). For who changes a line several times.
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }

    /// Writes without durability: until [`sync`](Self::sync) returns, M4 holds for these bytes.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// One durable write: when it returns, exactly these bytes are durable (one request, no other sync needed).
    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Writes so that the bytes survive a kill of the process, cheaply and without durability.
    /// Only within the range given to [`prepare_ring`](Self::prepare_ring).
    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Names the ring's byte range, so that the medium can map it for [`write_ordered`](Self::write_ordered).
    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()>;

    /// Makes all earlier writes and length changes durable: on a file everybody's writes; on persistent memory those of
    /// this thread, and with the first sync of an opened medium whatever a killed process left behind.
    fn sync(&self) -> Result<()>;

    /// Makes the pool's length, `len` by an earlier [`grow`](Self::grow), durable; its last bytes are still zero. May do
    /// more.
    fn sync_len(&self, len: u64) -> Result<()> {
        let _ = len;
        self.sync()
    }

    /// How far a store must travel on this medium to be durable.
    fn domain(&self) -> Domain {
        Domain::Page
    }

    /// Makes what this thread has written and flushed so far durable (M3). One store fence; changes of the length are not
    /// covered. Only in the domains of persistent memory; elsewhere as [`sync`](Self::sync).
    fn fence(&self) -> Result<()> {
        self.sync()
    }

    /// Starts to write back the lines of a range of the pool's own bytes, after stores there: [`store`](Self::store), or
    /// the program's through an image in place. Durable with the next [`fence`](Self::fence) of this thread.
    fn flush(&self, offset: u64, len: u64) -> Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// What the platform says of its unsafe shutdowns, as a number that changes with each; 0 where it says nothing.
    fn shutdown_mark(&self) -> u64 {
        0
    }

    /// Grows the pool's bytes to `len`; the new bytes are zero and their space is allocated, so that later writes
    /// cannot fail for lack of it. Not durable before [`sync`](Self::sync). Never shrinks.
    fn grow(&self, len: u64) -> Result<()>;

    /// Lengthens the pool's bytes to `len` where possible without taking space. Not durable before
    /// [`sync`](Self::sync). Never shrinks.
    fn stretch(&self, len: u64) -> Result<()> {
        self.grow(len)
    }

    /// Cuts the pool's bytes to `len`. Not durable before [`sync`](Self::sync).
    fn truncate(&self, len: u64) -> Result<()>;

    /// Gives the space of a range back; the bytes then read as zero. A medium without holes leaves the bytes.
    fn punch(&self, offset: u64, len: u64) -> Result<()>;

    /// Allocates the space of a range that may hold holes, contents unchanged.
    fn allocate(&self, offset: u64, len: u64) -> Result<()>;

    /// Makes a pool that was made under a temporary name durable, as [`sync`](Self::sync) does, and visible under its own
    /// name. That is durable, too, when it returns.
    fn publish(&self) -> Result<()>;

    /// Maps the first `len` bytes at `placement` inside a reservation of `max_len` bytes: privately, or in place where
    /// the medium can, else [`Error::Domain`].
    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image>;

    /// Granularity in bytes at which durable writes should start.
    fn block_len(&self) -> u64;

    /// What an error message calls this pool.
    fn path(&self) -> std::path::PathBuf;

    /// Whether the pool may run a background thread over this medium.
    fn background(&self) -> bool;
}

/// The error of a medium that cannot give an image in place.
fn refuse_in_place(media: &dyn Media, mode: ImageMode) -> Result<()> {
    match mode {
        ImageMode::Private => Ok(()),
        ImageMode::InPlace => {
            Err(Error::Domain { path: media.path(), needed: Domain::CacheLine, found: media.domain() })
        }
    }
}
