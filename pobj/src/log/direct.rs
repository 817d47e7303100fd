//! Appending on persistent memory: a place under the lock, everything else beside it.
//!
//! Under the lock an append takes its place behind the others, no more. Making the frames, their checksums and their way
//! to the medium follow outside, at the same time for several appenders, and a fence of the thread that stored them makes
//! them durable. A fence covers its own thread only, so each appender then waits for the word of the one before it and
//! gives its own: the chain of fences, as the journal has it.
//!
//! A place that is never filled would hold up everybody behind it. So whoever fails to fill it poisons the log, and
//! [`Place`] does so when it is dropped unfilled.

use super::core::{Batch, Core, Ends, Lap};
use super::frame::{HEAD_LEN, Hash, Head, Salt, State, framed_len};
use super::header::{AREA, End};
use crate::ground::domain::CACHE_LINE;
use crate::ground::error::Result;

/// Frames up to this length are put together first, and stored in one go.
pub(super) const SMALL: usize = 128;
const LINE: usize = CACHE_LINE as usize;
const HEAD: usize = HEAD_LEN as usize;

/// A place in the log that is spoken for.
struct Place<'c> {
    core: &'c Core,
    lap: Lap,
    offset: u64,
    filled: bool,
}

impl Place<'_> {
    #[inline]
    fn position(&self) -> u64 {
        self.lap.base + self.offset
    }

    /// How many bytes before it may not be durable.
    #[inline]
    fn unsettled(&self) -> u64 {
        self.position().saturating_sub(self.core.shown.horizon())
    }

    /// Makes what was stored here durable, and everything before it.
    #[inline(always)]
    fn fill(mut self, framed: u64) -> Result<(u64, u64)> {
        self.core.media.fence()?;
        self.core.shown.wait(self.position(), || self.core.check_poison())?;
        self.core.shown.reach(self.position() + framed);
        self.filled = true;
        Ok((self.lap.generation, self.offset))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.filled {
            self.core.poison();
        }
    }
}

impl Core {
    /// Appends one entry that with its frame is no longer than [`SMALL`], durable on return. Gives the generation and the
    /// offset.
    ///
    /// Few stores: they wait in the processor for the fence of the append before, and the lock's atomic instruction
    /// waits for them.
    #[inline]
    pub(super) fn append_small(&self, entry: &[u8], framed: u64) -> Result<(u64, u64)> {
        self.check_usable()?;
        // Whatever needs no place is done before the lock.
        let hash = Hash::of(entry);
        let mut frame = [[0; HEAD]; SMALL / HEAD];
        let (whole, rest) = entry.as_chunks();
        for (to, from) in frame[1..].iter_mut().zip(whole) {
            *to = *from;
        }
        if !rest.is_empty() {
            frame[1 + whole.len()][..rest.len()].copy_from_slice(rest);
        }
        let place = self.take(End { offset: framed, entries: 1, bytes: entry.len() as u64 })?;
        let state = State { unsettled: place.unsettled(), continues: false };
        let head = Head::new(place.lap.salt, place.offset, entry.len(), hash, state);
        frame[0] = head.encode();
        self.media.write(AREA + place.offset, &frame.as_flattened()[..framed as usize])?;
        place.fill(framed)
    }

    /// Appends, durable on return. Gives the generation and the offset.
    pub(super) fn append_direct(&self, batch: Batch<'_>) -> Result<(u64, u64)> {
        if batch.framed == 0 {
            // No place, and so no word to give: the next append has the same place and gives a later one.
            let ends = self.lock();
            let (generation, offset, position) = (ends.lap.generation, ends.end.offset, ends.position());
            drop(ends);
            self.shown.wait(position, || self.check_poison())?;
            return Ok((generation, offset));
        }
        let place = self.take(batch.extent())?;
        self.store(batch, place.lap.salt, place.offset, place.unsettled())?;
        place.fill(batch.framed)
    }

    /// A place behind the others for so much.
    #[inline(always)]
    fn take(&self, extent: End) -> Result<Place<'_>> {
        let mut ends = self.lock();
        self.reserve(&mut ends, extent.offset)?;
        let (offset, lap) = (ends.end.offset, ends.lap);
        ends.end = ends.end + extent;
        Ok(Place { core: self, lap, offset, filled: false })
    }

    fn store(&self, batch: Batch<'_>, salt: Salt, mut offset: u64, unsettled: u64) -> Result<()> {
        let first = offset;
        for (entry, hash, continues) in batch.entries() {
            let state = State { unsettled: unsettled + (offset - first), continues };
            let head = Head::new(salt, offset, entry.len(), hash, state);
            self.store_frame(offset, head, entry)?;
            offset += framed_len(entry.len() as u64, self.align);
        }
        Ok(())
    }

    /// Stores one frame. Whole lines go past the cache, and none is stored to twice.
    fn store_frame(&self, offset: u64, head: Head, entry: &[u8]) -> Result<()> {
        let total = framed_len(entry.len() as u64, self.align) as usize;
        // The first line holds the head, the last one zeros behind the entry; what is between is stored from where it is.
        let mut first = [0; LINE];
        let in_first = (LINE - HEAD).min(entry.len());
        first[..HEAD].copy_from_slice(&head.encode());
        first[HEAD..HEAD + in_first].copy_from_slice(&entry[..in_first]);
        self.media.write(AREA + offset, &first[..total.min(LINE)])?;
        let rest = &entry[in_first..];
        let (whole, last) = rest.split_at(rest.len() - rest.len() % LINE);
        if !whole.is_empty() {
            self.media.write(AREA + offset + LINE as u64, whole)?;
        }
        let padded = total.saturating_sub(LINE + whole.len()).min(LINE);
        if padded > 0 {
            let mut tail = [0; LINE];
            tail[..last.len()].copy_from_slice(last);
            self.media.write(AREA + offset + (LINE + whole.len()) as u64, &tail[..padded])?;
        }
        Ok(())
    }

    /// Makes the memory ready for frames up to `limit`. Everything before the end is durable then, since appenders who are
    /// at it need no lock any more. Gives the offset up to which a file's blocks are known to be written, which is
    /// no farther than before.
    pub(super) fn prepare_direct(&self, ends: &mut Ends, limit: u64) -> Result<u64> {
        let from = ends.end.offset;
        self.media.prepare(AREA + from, limit - from)?;
        self.shown.wait(ends.position(), || self.check_poison())?;
        ends.durable = ends.end;
        Ok(ends.header.written)
    }
}
