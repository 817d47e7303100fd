//! The heap: which bytes of the pool are in use.
//!
//! The file is cut into chunks of 64 KiB. A chunk is free, or a run of equal small blocks, or part of a large object,
//! or metadata. No block has a header: a run's bitmap and the count of a large object's chunks lie out of line, in
//! the slots of metadata chunks (see [`slots`]), so a 64-byte object costs 64.5 bytes and two objects share no
//! cache line with bookkeeping.
//!
//! **Reserve, then commit.** [`Heap::alloc`] and [`Heap::free`] touch volatile memory only, and the transaction's
//! [`Reservation`]. [`Heap::prepare`] says which words of metadata the transaction's record must change,
//! [`Heap::commit`] changes them in the image once the record is ordered, [`Heap::rollback`] forgets. Until then the
//! file says what it said before, so a crash leaks nothing, and allocation needs no ordering point of its own.
//!
//! Invariants, for the heap `h` and every moment between two calls:
//! - **H1** A block is handed out only if its bit is clear in the volatile bitmap; that bit is then set until the
//!   block's reservation rolls back or a free of it commits. So no two live blocks overlap, whatever the number of
//!   open reservations, and a block that a transaction frees is not reused before that transaction commits.
//! - **H2** With no reservation open, volatile and persistent state agree, but for space that was grown and
//!   metadata chunks that were placed by transactions that rolled back; the next record carries those.
//! - **H3** Every run, large object and metadata chunk begins in a group that has metadata.
//! - **H4** No chunk is taken while the file may have a hole there ([`AllocError::NeedBacking`]), so nothing is stored in one.
//!
//! **Contract.** Calls are serialised, and between `prepare` and `commit` of one reservation comes no call for another.
//! Several reservations may be open at once.
//!
//! The parts: [`classes`] (arithmetic of sizes), [`slots`] (the file's words), `table` (a word for each chunk), `runs`
//! (volatile bitmaps), `extents` (free chunks), `chunks` (taking and growing), `load`, `commit`, `punch`, `checker`
//! (for validation), `stats`.

#[cfg(feature = "sim")]
mod around;
mod checker;
mod chunks;
mod classes;
mod commit;
mod extents;
mod load;
mod punch;
mod reservation;
mod runs;
mod slots;
mod stats;
mod table;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;

use crate::ground::error::Error;
use crate::layout::geometry::CHUNK;
use crate::media::Image;

#[cfg(feature = "sim")]
pub(crate) use around::Around;
pub(crate) use reservation::Reservation;
pub use stats::HeapStats;

use classes::{ALIGN_MAX, CLASS_COUNT, CLASSES};
use extents::Extents;
use punch::Freed;
use reservation::WordKey;
use runs::{NO_RUN, Run, Runs, Supply};
use slots::{Place, bitmap_word};
use table::{Entry, State};

/// A change of the file's metadata that a record must hold. Offsets are those of aligned 8-byte words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The word has this value.
    Word {
        /// Offset of the word.
        offset: u64,
        /// Its new value.
        value: u64,
    },
    /// These bits of the word become 1.
    Set {
        /// Offset of the word.
        offset: u64,
        /// The bits.
        mask: u64,
    },
    /// These bits of the word become 0.
    Clear {
        /// Offset of the word.
        offset: u64,
        /// The bits.
        mask: u64,
    },
    /// This many words become 0.
    Zeros {
        /// Offset of the first word.
        offset: u64,
        /// Number of words.
        count: u64,
    },
}

impl Change {
    /// Offset and length of the bytes that it changes.
    pub(crate) fn range(&self) -> (u64, u64) {
        match *self {
            Self::Word { offset, .. } | Self::Set { offset, .. } | Self::Clear { offset, .. } => (offset, 8),
            Self::Zeros { offset, count } => (offset, count * 8),
        }
    }
}

/// Why there is no block.
#[derive(Debug)]
pub(crate) enum AllocError {
    /// Grow the file and the image to `new_len` bytes, call [`Heap::add_space`], and ask again.
    NeedSpace {
        /// The length that will do.
        least_len: u64,
        /// The length of the pool that is asked for.
        new_len: u64,
    },
    /// Pass the range to `Media::allocate` and to [`Heap::backed`], and ask again.
    NeedBacking {
        /// Offsets of chunks that the file may lack.
        range: std::ops::Range<u64>,
    },
    /// The pool may not grow as far as this needs.
    Full {
        /// Bytes that were asked for.
        requested: u64,
    },
    /// The request can never be served.
    Io(Error),
}

/// The volatile side of a pool's heap.
#[derive(Debug)]
pub(crate) struct Heap {
    place: Place,
    /// One entry for each chunk of the pool's present length.
    table: Vec<Entry>,
    /// For each group the number of its metadata chunk, or [`NO_METADATA`].
    groups: Vec<u32>,
    /// Groups whose metadata chunk no record holds yet.
    unpublished: Vec<u32>,
    extents: Extents,
    runs: Runs,
    supplies: [Supply; CLASS_COUNT],
    /// Chunks of published runs that may be without any block, because of a rollback or a crash: the next record
    /// frees those that are.
    idle: Vec<u32>,
    /// Chunks that wait to be punched.
    freed: VecDeque<Freed>,
    /// Chunks that are being punched.
    punching: u64,
    /// The free space at the end has run short.
    is_short: bool,
    /// Length of the image when the heap was loaded; memory beyond it was zero.
    loaded_len: u64,
    /// The newest transaction that committed here.
    last_txid: u64,
    /// What committed transactions have allocated.
    live: Live,
}

/// Committed blocks. Those of runs that nobody has looked at since the open are not in it yet.
#[derive(Clone, Copy, Debug, Default)]
struct Live {
    large_objects: u64,
    large_chunks: u64,
    small_blocks: u64,
    small_bytes: u64,
    /// True once every run is counted.
    complete: bool,
}

impl Live {
    fn add_small(&mut self, class: u8, blocks: u64) {
        self.small_blocks += blocks;
        self.small_bytes += blocks * u64::from(CLASSES[usize::from(class)].size);
    }

    fn remove_small(&mut self, class: u8, blocks: u64) {
        self.small_blocks -= blocks;
        self.small_bytes -= blocks * u64::from(CLASSES[usize::from(class)].size);
    }
}

/// Length of the block that serves a request.
#[cfg(test)]
pub(crate) fn block_len_for(len: u64, align: u64) -> u64 {
    classes::class_for(len, align).map_or(len.next_multiple_of(CHUNK), |class| u64::from(CLASSES[class].size))
}

/// Stands for no metadata chunk.
const NO_METADATA: u32 = u32::MAX;

impl Heap {
    /// Reserves a zeroed block of at least `len` bytes; returns its offset.
    ///
    /// `align` must be a power of two up to 4096.
    pub(crate) fn alloc(
        &mut self,
        image: &Image,
        reservation: &mut Reservation,
        len: u64,
        align: u64,
    ) -> Result<u64, AllocError> {
        if align > ALIGN_MAX || !align.is_power_of_two() {
            return Err(AllocError::Io(Error::InvalidOption {
                option: "align",
                reason: format!("an alignment is a power of two up to {ALIGN_MAX}, not {align}"),
            }));
        }
        let Some(class) = classes::class_for(len, align) else {
            return self.alloc_large(image, reservation, len);
        };
        loop {
            let current = self.supplies[class].current;
            if let Some(run) = self.runs.get_mut(current)
                && let Some((word, bit)) = run.take()
            {
                let size = u64::from(CLASSES[class].size);
                let offset = self.place.chunk_offset(run.chunk) + u64::from(word * 64 + bit) * size;
                reservation.note_allocated(WordKey::new(run.chunk, word), bit);
                image.zero(offset, size);
                return Ok(offset);
            }
            self.next_run(image, class, len)?;
        }
    }

    /// Records that the block at `offset` is free once the transaction has committed. What is not the start of an
    /// allocated block is ignored: validation at open has refused it, or the caller vouched for the pool.
    pub(crate) fn free(&mut self, image: &Image, reservation: &mut Reservation, offset: u64) {
        let Some((chunk, within)) = self.place.locate(offset) else {
            return;
        };
        let Some(&entry) = self.table.get(chunk) else {
            return;
        };
        match entry.state() {
            State::Run => {
                if self.runs.get(entry.number()).is_some_and(Run::is_unread) {
                    self.read_run(image, entry.number());
                }
                if let Some(run) = self.runs.get(entry.number())
                    && let Some(block) = run.info().block_at(within)
                    && run.word(block / 64) >> (block % 64) & 1 == 1
                {
                    reservation.note_freed(WordKey::new(run.chunk, block / 64), block % 64);
                }
            }
            State::Large if within == 0 => reservation.note_large(chunk as u32, true),
            _ => {}
        }
    }

    /// Size of the block that begins at `offset`, 0 if none can begin there.
    #[inline]
    pub(crate) fn block_len(&self, offset: u64) -> u64 {
        let Some((chunk, within)) = self.place.locate(offset) else {
            return 0;
        };
        let Some(&entry) = self.table.get(chunk) else {
            return 0;
        };
        match entry.state() {
            State::Run => {
                let info = self.runs.get(entry.number()).map(Run::info);
                info.filter(|info| info.block_at(within).is_some()).map_or(0, |info| u64::from(info.size))
            }
            State::Large if within == 0 => u64::from(entry.number()) * CHUNK,
            _ => 0,
        }
    }

    /// Offset of its first byte.
    #[cfg(feature = "sim")]
    pub(crate) fn start(&self) -> u64 {
        self.place.heap_start
    }

    /// Length of the pool that the heap uses, committed or not.
    pub(crate) fn heap_len(&self) -> u64 {
        self.place.chunk_offset(self.table.len() as u32)
    }

    /// Makes a run with room the current one of a class.
    #[cold]
    fn next_run(&mut self, image: &Image, class: usize, requested: u64) -> Result<(), AllocError> {
        self.supplies[class].current = NO_RUN;
        while let Some(Reverse(chunk)) = self.supplies[class].queue.pop() {
            // The queue may hold chunks that have become something else, or a run of another class, and some twice.
            let is_queued =
                |run: &mut Run| usize::from(run.class) == class && std::mem::replace(&mut run.queued, false);
            let index =
                self.run_index(chunk).filter(|&index| self.runs.get_mut(index).is_some_and(is_queued));
            let Some(index) = index else {
                continue;
            };
            if self.runs.get(index).is_some_and(Run::is_unread) {
                self.read_run(image, index);
            }
            if self.runs.get(index).is_some_and(Run::has_room) {
                self.supplies[class].current = index;
                return Ok(());
            }
        }
        let chunk = self.take_chunks(image, 1, requested)?;
        let index = self.runs.insert(Run::fresh(chunk, class as u8));
        let offset = self.place.chunk_offset(chunk);
        let entry = &mut self.table[chunk as usize];
        entry.set(State::Run, index);
        entry.set_dirty();
        if !entry.is_populated() {
            entry.set_populated();
            image.populate(offset, CHUNK);
        }
        self.supplies[class].current = index;
        Ok(())
    }

    fn alloc_large(
        &mut self,
        image: &Image,
        reservation: &mut Reservation,
        len: u64,
    ) -> Result<u64, AllocError> {
        let count = len.div_ceil(CHUNK);
        if count > u64::from(self.place.chunks_max) {
            return Err(AllocError::Full { requested: len });
        }
        let count = count as u32;
        let start = self.take_chunks(image, count, len)?;
        let mut chunk = start;
        while chunk < start + count {
            let dirty = chunk;
            while chunk < start + count && !self.table[chunk as usize].is_clean() {
                chunk += 1;
            }
            image.zero(self.place.chunk_offset(dirty), u64::from(chunk - dirty) * CHUNK);
            while chunk < start + count && self.table[chunk as usize].is_clean() {
                chunk += 1;
            }
        }
        for chunk in start..start + count {
            let entry = &mut self.table[chunk as usize];
            entry.set(State::LargeRest, 0);
            entry.set_dirty();
        }
        self.table[start as usize].set(State::Large, count);
        reservation.note_large(start, false);
        Ok(self.place.chunk_offset(start))
    }

    /// Index of the run in a chunk, if the chunk is one.
    fn run_index(&self, chunk: u32) -> Option<u32> {
        let entry = self.table.get(chunk as usize)?;
        (entry.state() == State::Run).then(|| entry.number())
    }

    /// The run in a chunk, if the chunk is one.
    fn run_at(&self, chunk: u32) -> Option<&Run> {
        self.runs.get(self.run_index(chunk)?)
    }

    fn run_at_mut(&mut self, chunk: u32) -> Option<&mut Run> {
        self.runs.get_mut(self.run_index(chunk)?)
    }

    /// Offset of a chunk's slot, if its group has metadata.
    fn slot_offset(&self, chunk: u32) -> Option<u64> {
        let metadata = *self.groups.get(slots::group_of(chunk) as usize)?;
        (metadata != NO_METADATA).then(|| self.place.slot_offset(metadata, chunk))
    }

    /// Copies the bitmap of an unread run.
    #[cold]
    fn read_run(&mut self, image: &Image, index: u32) {
        let slot = self.runs.get(index).and_then(|run| self.slot_offset(run.chunk));
        let Some((run, slot)) = self.runs.get_mut(index).zip(slot) else { return };
        run.read(|word| image.load_u64(bitmap_word(slot, word)));
        if run.used == 0 {
            self.idle.push(run.chunk);
        }
        if !std::mem::replace(&mut run.counted, true) {
            self.live.add_small(run.class, u64::from(run.used));
        }
    }
}
