//! How an array of blocks is made and opened.

use std::path::Path;
use std::sync::Arc;

use super::Blocks;
use super::array::{Array, is_possible};
use crate::ground::error::{Error, Result};
use crate::journal::Durability;
use crate::media::{Domain, ImageMode, Media};
use crate::pool;
use crate::pool::options::MAX_SIZE_MAX;

/// Builder for [`Blocks`]; made by [`Blocks::options`].
///
/// Everything but the shape is the pool's own; see [`pobj::Options`](crate::Options).
///
/// ```
/// use pobj::Durability;
/// use pobj::blk::Blocks;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("disk.pobj");
/// let blocks = Blocks::options().durability(Durability::Eventual).open_or_create(&path, 4096, 1000)?;
/// assert_eq!((blocks.block_size(), blocks.count()), (4096, 1000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    pool: pool::Options<Array<'static>>,
    /// The caller has chosen `max_size`.
    bounded: bool,
}

impl Options {
    /// Space that a new array has for blocks before its file grows (default 1 MiB).
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.pool = self.pool.size(bytes);
        self
    }

    /// Length beyond which the file never grows. By default there is room for all blocks. With less, a write that finds no
    /// room gives [`PoolFull`](Error::PoolFull), and an array may be larger than any disk.
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.pool = self.pool.max_size(bytes);
        self.bounded = true;
        self
    }

    /// Length of the journal's ring; see [`pobj::Options::ring_size`](crate::Options::ring_size).
    #[must_use]
    pub fn ring_size(mut self, bytes: u64) -> Self {
        self.pool = self.pool.ring_size(bytes);
        self
    }

    /// When changes return, unless a write chooses for itself (default [`Durability::Immediate`]).
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.pool = self.pool.durability(durability);
        self
    }

    /// Whether the blocks are read and written in memory or on the medium; see
    /// [`pobj::Options::image`](crate::Options::image).
    #[must_use]
    pub fn image(mut self, mode: ImageMode) -> Self {
        self.pool = self.pool.image(mode);
        self
    }

    /// The coarsest persistence domain that will do (default: any).
    #[must_use]
    pub fn require_domain(mut self, coarsest: Domain) -> Self {
        self.pool = self.pool.require_domain(coarsest);
        self
    }

    /// Treats the medium as this domain whatever it is; see
    /// [`pobj::Options::force_domain`](crate::Options::force_domain).
    #[must_use]
    pub fn force_domain(mut self, domain: Domain) -> Self {
        self.pool = self.pool.force_domain(domain);
        self
    }

    /// Threads that validate the file at open (default: one for each core).
    #[must_use]
    pub fn validation_threads(mut self, threads: usize) -> Self {
        self.pool = self.pool.validation_threads(threads);
        self
    }

    /// Creates an array of `count` blocks of `block_size` bytes, all of them zero, at `path`. Takes the space of an empty
    /// pool, whatever the shape.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](Error::InvalidOption) for a shape that cannot be: no blocks, no bytes, or more than the largest
    /// pool holds (unless [`max_size`](Self::max_size) was chosen); [`AlreadyExists`](Error::AlreadyExists),
    /// [`Io`](Error::Io).
    pub fn create(&self, path: impl AsRef<Path>, block_size: usize, count: u64) -> Result<Blocks> {
        let options = self.shaped(block_size, count)?;
        Ok(Blocks::over(options.create_with(path, |_| Ok(Array::new(block_size as u64, count)))?))
    }

    /// Creates an array on a medium of your own.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_on(&self, media: Arc<dyn Media>, block_size: usize, count: u64) -> Result<Blocks> {
        let options = self.shaped(block_size, count)?;
        Ok(Blocks::over(options.create_on(media, |_| Ok(Array::new(block_size as u64, count)))?))
    }

    /// Opens the array at `path`, with blocks of `block_size` bytes, or of any size for `None`. Recovers and validates as
    /// [`pobj::Options::open`](crate::Options::open).
    ///
    /// # Errors
    ///
    /// Those of [`pobj::Options::open`](crate::Options::open): [`SchemaMismatch`](Error::SchemaMismatch) for a pool of
    /// something else, [`Corrupt`](Error::Corrupt) for a damaged one; [`BlockShape`](Error::BlockShape) if its blocks are of
    /// another size.
    pub fn open(&self, path: impl AsRef<Path>, block_size: Option<usize>) -> Result<Blocks> {
        let blocks = Blocks::over(self.pool.open(path.as_ref())?);
        blocks.expect(path.as_ref(), block_size, None)?;
        Ok(blocks)
    }

    /// Opens an array on a medium of your own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(&self, media: Arc<dyn Media>, block_size: Option<usize>) -> Result<Blocks> {
        let path = media.path();
        let blocks = Blocks::over(self.pool.open_on(media)?);
        blocks.expect(&path, block_size, None)?;
        Ok(blocks)
    }

    /// Opens the array at `path`, or creates it if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and [`create`](Self::create); [`BlockShape`](Error::BlockShape) too if the array that
    /// is there has another number of blocks.
    pub fn open_or_create(&self, path: impl AsRef<Path>, block_size: usize, count: u64) -> Result<Blocks> {
        let path = path.as_ref();
        let open = || {
            let blocks = Blocks::over(self.pool.open(path)?);
            blocks.expect(path, Some(block_size), Some(count))?;
            Ok(blocks)
        };
        match open() {
            Err(Error::NotFound { .. }) => match self.create(path, block_size, count) {
                // Somebody else was faster.
                Err(Error::AlreadyExists { .. }) => open(),
                other => other,
            },
            other => other,
        }
    }

    /// The pool's options for an array of this shape.
    fn shaped(&self, block_size: usize, count: u64) -> Result<pool::Options<Array<'static>>> {
        let block_size = block_size as u64;
        let refuse = |why| {
            let reason = format!("{count} blocks of {block_size} bytes {why}");
            Err(Error::InvalidOption { option: "block_size, count", reason })
        };
        if !is_possible(block_size, count) {
            return refuse("is not an array");
        }
        if self.bounded {
            return Ok(self.pool.clone());
        }
        let Some(needed) = room(block_size, count).filter(|room| *room <= 2 * MAX_SIZE_MAX) else {
            return refuse("do not fit in the largest pool; choose max_size if most will never be written");
        };
        let default = self.pool.settings.max_size;
        // Half of what is needed is caution, and costs address space only.
        Ok(self.pool.clone().max_size(needed.clamp(default, MAX_SIZE_MAX)))
    }
}

/// Twice the space that all blocks can take, with their slots.
fn room(block_size: u64, count: u64) -> Option<u64> {
    const LARGE: u64 = 32 << 10;
    const CHUNK: u64 = 64 << 10;
    const SLACK: u64 = 64 << 20;
    let each =
        if block_size <= LARGE { block_size + 16 } else { block_size.checked_next_multiple_of(CHUNK)? };
    each.checked_add(32)?.checked_mul(count)?.checked_mul(2)?.checked_add(SLACK)
}
