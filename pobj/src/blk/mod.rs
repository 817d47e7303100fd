//! An array of blocks of one size: each is read and written whole, or not at all.
//!
//! [`Blocks`] is a file with so many blocks. A write replaces a block at one moment: after a power cut the block
//! is the old one or the new one, and whoever reads it meanwhile on another thread gets one of the two as well, never some
//! of each. [`write_many`](Blocks::write_many) does so for several blocks together.
//!
//! ```
//! use pobj::Error;
//! use pobj::blk::{Blocks, State};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("disk.pobj");
//! let blocks = Blocks::create(&path, 512, 1_000_000)?;
//! let mut block = vec![0; blocks.block_size()];
//! block.fill(b'x');
//! blocks.write(7, &block)?;
//!
//! blocks.read(8, &mut block)?;
//! assert_eq!(block, [0; 512], "never written: zeros, and no space taken");
//! blocks.read(7, &mut block)?;
//! assert_eq!(block, [b'x'; 512]);
//!
//! blocks.set_error(7)?;
//! assert!(matches!(blocks.read(7, &mut block), Err(Error::BadBlock { number: 7 })));
//! blocks.set_zero(7)?;
//! assert_eq!(blocks.state(7)?, State::Zero);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The file is a pool whose root is the array ([`mod@array`]): each block is an object of the pool, and each change a
//! transaction. So it works wherever pools do, in every [`ImageMode`](crate::media::ImageMode), and nothing here is
//! `unsafe`. What two writes do to two blocks they do at the same time; see [`Pool::share`](crate::Pool::share).

mod array;
mod cursor;
mod options;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

pub use array::State;
use array::{Array, Slot};
pub use cursor::Cursor;
pub use options::Options;

use crate::ground::error::{Error, Result};
use crate::journal::Durability;
use crate::pool::{Pool, Stats};
use crate::tx::Tx;

/// An open array of blocks.
///
/// All methods take `&self`; share it between threads by reference or in an `Arc`. A block is known by its number, from 0 to
/// [`count`](Self::count) less 1.
///
/// Cost: a write is one transaction, hence one store fence on persistent memory and one durable write on a file, shared with
/// the writes of other threads that arrive meanwhile. A read waits for nothing but a write of the same block that is just
/// being made, and never for the medium. 24 bytes of the table for each block, in steps of 512 blocks when the first of them
/// is written; then the block itself, in the heap's size class. Blocks of less than some hundred bytes take more for
/// that than for their bytes: put several records in one.
///
/// Dropping it closes the file and ignores errors; call [`close`](Self::close) to see them.
pub struct Blocks {
    pool: Pool<Array<'static>>,
    block_size: usize,
    count: u64,
}

static_assertions::assert_impl_all!(Blocks: Send, Sync);

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("block_size", &self.block_size)
            .field("count", &self.count)
            .field("pool", &self.pool)
            .finish()
    }
}

/// Making and opening.
impl Blocks {
    /// Options for creating or opening an array.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    /// Creates an array of `count` blocks of `block_size` bytes; see [`Options::create`].
    ///
    /// # Errors
    ///
    /// As [`Options::create`].
    pub fn create(path: impl AsRef<Path>, block_size: usize, count: u64) -> Result<Self> {
        Self::options().create(path, block_size, count)
    }

    /// Opens an array, and insists on a block size unless it is `None`; see [`Options::open`].
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>, block_size: Option<usize>) -> Result<Self> {
        Self::options().open(path, block_size)
    }

    /// Opens an array or creates it; see [`Options::open_or_create`].
    ///
    /// # Errors
    ///
    /// As [`Options::open_or_create`].
    pub fn open_or_create(path: impl AsRef<Path>, block_size: usize, count: u64) -> Result<Self> {
        Self::options().open_or_create(path, block_size, count)
    }

    /// Makes everything durable and closes the file, so that the next open has nothing to recover.
    ///
    /// # Errors
    ///
    /// As [`Pool::close`].
    pub fn close(self) -> Result<()> {
        self.pool.close()
    }

    fn over(pool: Pool<Array<'static>>) -> Self {
        let array = pool.read();
        // A validated size fits: it is at most `isize::MAX`.
        let (block_size, count) = (array.block_size as usize, array.count);
        drop(array);
        Self { pool, block_size, count }
    }

    fn expect(&self, path: &Path, block_size: Option<usize>, count: Option<u64>) -> Result<()> {
        let shape = [
            ("block size", block_size.map(|size| size as u64), self.block_size as u64),
            ("number of blocks", count, self.count),
        ];
        for (what, expected, found) in shape {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(Error::BlockShape { path: path.to_owned(), what, expected, found });
            }
        }
        Ok(())
    }
}

/// Blocks.
impl Blocks {
    /// Bytes in each block.
    #[must_use]
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Number of blocks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Copies a block into `into`, which is as long as a block. One that was never written is zeros.
    ///
    /// # Errors
    ///
    /// [`BadBlock`](Error::BadBlock) after [`set_error`](Self::set_error); [`Unreadable`](Error::Unreadable) if the medium
    /// does not give the block back; [`OutOfRange`](Error::OutOfRange), [`BufferLen`](Error::BufferLen). On an error `into` is unchanged.
    pub fn read(&self, number: u64, into: &mut [u8]) -> Result<()> {
        self.check_len(into.len())?;
        self.read_part(number, 0, into)
    }

    /// Replaces a block, all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange), [`BufferLen`](Error::BufferLen); [`PoolFull`](Error::PoolFull) for a block that
    /// has no memory yet, and [`Io`](Error::Io) if the file cannot grow; [`Unreadable`](Error::Unreadable) if the medium does
    /// not give the old block back. Then the block is the old one.
    /// [`Poisoned`](Error::Poisoned) after a failed write to the medium, as for any transaction; blocks can still be
    /// read.
    pub fn write(&self, number: u64, bytes: &[u8]) -> Result<()> {
        self.put(None, &[(number, bytes)])
    }

    /// As [`write`](Self::write), with a durability of its own.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_with(&self, durability: Durability, number: u64, bytes: &[u8]) -> Result<()> {
        self.put(Some(durability), &[(number, bytes)])
    }

    /// Replaces several blocks, all of them or none, at one moment for whoever reads them after a crash. If one is named
    /// twice, the last one counts.
    ///
    /// Other threads see each block old or new. One that reads two of them, one after the other, may see the first one old
    /// and the second one new.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("disk.pobj");
    /// let blocks = pobj::blk::Blocks::create(&path, 4, 10)?;
    /// blocks.write_many(&[(0, b"head"), (9, b"tail")])?;
    /// # let mut block = [0; 4];
    /// # blocks.read(9, &mut block)?;
    /// # assert_eq!(&block, b"tail");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); none is changed then.
    pub fn write_many<B: AsRef<[u8]>>(&self, writes: &[(u64, B)]) -> Result<()> {
        self.put(None, &in_order(writes))
    }

    /// As [`write_many`](Self::write_many), with a durability of its own.
    ///
    /// # Errors
    ///
    /// As [`write_many`](Self::write_many).
    pub fn write_many_with<B: AsRef<[u8]>>(&self, durability: Durability, writes: &[(u64, B)]) -> Result<()> {
        self.put(Some(durability), &in_order(writes))
    }

    /// Makes a block zeros and gives its memory back to the pool. No block is written, only what says where it is.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange); [`Poisoned`](Error::Poisoned) as for [`write`](Self::write).
    pub fn set_zero(&self, number: u64) -> Result<()> {
        self.check(number)?;
        self.pool.share(|array, tx| array.set_zero(number, tx))
    }

    /// Marks a block as bad, and gives its memory back to the pool: reading it is [`BadBlock`](Error::BadBlock) until it is
    /// written or set to zero. For what a program knows to be wrong, for example a block that could not be copied from
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// As [`set_zero`](Self::set_zero); [`PoolFull`](Error::PoolFull) if none of the 512 blocks around it was ever
    /// written.
    pub fn set_error(&self, number: u64) -> Result<()> {
        self.change(None, std::iter::once(number), |array, tx| array.set_error(number, tx))
    }

    /// What is known of a block without reading it.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](Error::OutOfRange).
    pub fn state(&self, number: u64) -> Result<State> {
        self.look(number, |slot| Ok(slot.map_or(State::Zero, Slot::state)))
    }

    /// A place in the array as one long file: reads, writes and seeks by bytes, across blocks.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self)
    }

    fn check(&self, number: u64) -> Result<()> {
        if number < self.count { Ok(()) } else { Err(Error::OutOfRange { index: number, len: self.count }) }
    }

    fn check_len(&self, len: usize) -> Result<()> {
        if len == self.block_size {
            return Ok(());
        }
        Err(Error::BufferLen { expected: self.block_size as u64, found: len as u64 })
    }

    /// Copies the bytes of a block from `start` on; all of them are in the block.
    fn read_part(&self, number: u64, start: usize, into: &mut [u8]) -> Result<()> {
        self.look(number, |slot| match slot {
            Some(slot) => slot.read(&self.pool.core, (number, self.block_size), start, into),
            None => {
                into.fill(0);
                Ok(())
            }
        })
    }

    /// Replaces the bytes of a block from `start` on; all of them are in the block.
    fn write_part(&self, number: u64, start: usize, bytes: &[u8]) -> Result<()> {
        self.change(None, std::iter::once(number), |array, tx| array.write_part(number, tx, start, bytes))
    }

    /// Shows a block's slot, if it has one, while nobody changes it.
    fn look<T>(&self, number: u64, mut look: impl FnMut(Option<&Slot<'_>>) -> Result<T>) -> Result<T> {
        self.check(number)?;
        if !self.pool.core.in_place {
            let looked = self.pool.share(|array, tx| match array.slot(number) {
                Some(slot) => look(Some(&*slot.read(tx)?)),
                None => look(None),
            });
            if !matches!(looked, Err(Error::Poisoned)) {
                return looked;
            }
        }
        // In place those who share the pool take turns, and readers do not; and a pool that is poisoned can be read.
        let array = self.pool.try_read()?;
        look(array.slot(number).map(|slot| slot.get(&array)))
    }

    /// Replaces blocks, given in the order in which their locks are taken.
    fn put(&self, durability: Option<Durability>, writes: &[(u64, &[u8])]) -> Result<()> {
        writes.iter().try_for_each(|(_, bytes)| self.check_len(bytes.len()))?;
        let numbers = writes.iter().map(|(number, _)| *number);
        self.change(durability, numbers, |array, tx| {
            writes.iter().try_for_each(|(number, bytes)| array.write(*number, tx, bytes))
        })
    }

    /// Changes blocks whose parts of the table are there, or are made first.
    fn change(
        &self,
        durability: Option<Durability>,
        numbers: impl Iterator<Item = u64> + Clone,
        mut act: impl for<'p> FnMut(&Array<'p>, &Tx<'p>) -> Result<()>,
    ) -> Result<()> {
        numbers.clone().try_for_each(|number| self.check(number))?;
        loop {
            let all_there = self.pool.share(|array, tx| {
                let all_there = numbers.clone().all(|number| array.slot(number).is_some());
                if all_there {
                    tx.set_durability(durability.unwrap_or(self.pool.core.durability()));
                    act(array, tx)?;
                }
                Ok(all_there)
            })?;
            if all_there {
                return Ok(());
            }
            self.pool.write(|array, tx| {
                // What follows is durable after this, so nobody need wait for this alone.
                tx.set_durability(Durability::Eventual);
                numbers.clone().try_for_each(|number| array.make_part(number, tx))
            })?;
        }
    }
}

/// Durability and the pool.
impl Blocks {
    /// Makes every change durable that has returned. Cost: one durable write, none if all are durable already.
    ///
    /// # Errors
    ///
    /// As [`Pool::sync`].
    pub fn sync(&self) -> Result<()> {
        self.pool.sync()
    }

    /// Empties the journal; see [`Pool::checkpoint`].
    ///
    /// # Errors
    ///
    /// As [`Pool::checkpoint`].
    pub fn checkpoint(&self) -> Result<()> {
        self.pool.checkpoint()
    }

    /// What the pool underneath holds and has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }
}

/// Writes in the order of their blocks, so that no two threads wait for each other's locks; those of one block in their
/// own order.
fn in_order<B: AsRef<[u8]>>(writes: &[(u64, B)]) -> Vec<(u64, &[u8])> {
    let mut writes: Vec<_> = writes.iter().map(|(number, bytes)| (*number, bytes.as_ref())).collect();
    writes.sort_by_key(|(number, _)| *number);
    writes
}
