//! Appending on a file: frames collect in memory, and one durable write takes all that have come.
//!
//! Who appends puts its frames behind the others under the lock. The first one who then finds no write in flight writes
//! everything that is there, durably; whoever comes meanwhile joins the next write (group commit, no timer). Bytes are
//! written once: a durable write begins where the last one ended.
//!
//! An `Eventual` append copies its frames to the file at once, without durability, and before them whatever is not there
//! yet: were a kill to lose an earlier frame, this one, which is about to be acknowledged, would be lost with it.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::core::{Batch, Core, Ends};
use super::frame::{Head, Salt, State};
use super::header::{AREA, End};
use crate::ground::error::Result;
use crate::journal::Durability;

/// A buffer that has grown beyond this is not kept.
const SPARE_MAX: usize = 1 << 20;

/// Frames that are not known to be durable.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Frames that nobody has written: from `from` to the end.
    pending: Vec<u8>,
    from: u64,
    /// Frames whose durable write is in flight, and where they begin.
    flight: Option<(u64, Arc<Vec<u8>>)>,
    /// Up to here frames are in the file, so that a kill finds them.
    filed: End,
    spare: Vec<u8>,
    waiting: u32,
}

impl Unwritten {
    /// Nothing, in a log that is durable up to `end`.
    pub(super) fn new(end: End) -> Self {
        Self {
            pending: Vec::new(),
            from: end.offset,
            flight: None,
            filed: end,
            spare: Vec::new(),
            waiting: 0,
        }
    }

    /// Adds the frames of an append that begins at `offset`, with `durable` bytes durable before it.
    fn add(&mut self, batch: Batch<'_>, salt: Salt, mut offset: u64, durable: u64, align: u64) {
        for (entry, hash, continues) in batch.entries() {
            let state = State { unsettled: offset - durable, continues };
            let head = Head::new(salt, offset, entry.len(), hash, state);
            let start = self.pending.len();
            self.pending.extend_from_slice(&head.encode());
            self.pending.extend_from_slice(entry);
            let framed = (self.pending.len() - start).next_multiple_of(align as usize);
            self.pending.resize(start + framed, 0);
            offset += framed as u64;
        }
    }
}

impl Ends {
    /// Whether everything is durable, and nobody is writing.
    pub(super) fn is_settled(&self) -> bool {
        self.unwritten.flight.is_none() && self.durable == self.end
    }
}

impl Core {
    /// Appends, and waits until that is durable unless it is `Eventual`. Gives the offset and its generation.
    pub(super) fn append_file(&self, batch: Batch<'_>, durability: Durability) -> Result<(u64, u64)> {
        let mut ends = self.lock();
        self.reserve(&mut ends, batch.framed)?;
        let (offset, lap, durable) = (ends.end.offset, ends.lap, ends.durable.offset);
        ends.unwritten.add(batch, lap.salt, offset, durable, self.align);
        ends.end = ends.end + batch.extent();
        if durability == Durability::Eventual {
            self.file(&mut ends).inspect_err(|_| self.poison())?;
        } else {
            let position = ends.position();
            self.settle(ends, position)?;
        }
        Ok((lap.generation, offset))
    }

    /// Puts everything into the file that is not there yet. A durable write in flight may be writing the same bytes; the
    /// same values are all that can be there.
    fn file(&self, ends: &mut Ends) -> Result<()> {
        let end = ends.end;
        let unwritten = &mut ends.unwritten;
        if let Some((offset, bytes)) = &unwritten.flight
            && unwritten.filed.offset < *offset + bytes.len() as u64
        {
            self.media.write_ordered(AREA + offset, bytes)?;
        }
        if !unwritten.pending.is_empty() {
            self.media.write_ordered(AREA + unwritten.from, &unwritten.pending)?;
            unwritten.pending.clear();
        }
        (unwritten.from, unwritten.filed) = (end.offset, end);
        self.shown.reach(ends.position());
        Ok(())
    }

    /// Returns when everything before `position` is durable.
    pub(super) fn settle<'a>(&'a self, mut ends: MutexGuard<'a, Ends>, position: u64) -> Result<()> {
        while ends.lap.base + ends.durable.offset < position {
            self.check_poison()?;
            ends = self.advance(ends)?;
        }
        Ok(())
    }

    /// Makes everything durable that is there now, or waits for who is at it.
    pub(super) fn advance<'a>(&'a self, mut ends: MutexGuard<'a, Ends>) -> Result<MutexGuard<'a, Ends>> {
        if ends.unwritten.flight.is_some() {
            ends.unwritten.waiting += 1;
            let mut ends = self.changed.wait(ends).unwrap_or_else(PoisonError::into_inner);
            ends.unwritten.waiting -= 1;
            return Ok(ends);
        }
        let (goal, filed_too) = (ends.end, ends.unwritten.filed.offset > ends.durable.offset);
        let unwritten = &mut ends.unwritten;
        let spare = std::mem::take(&mut unwritten.spare);
        let (from, bytes) = (unwritten.from, Arc::new(std::mem::replace(&mut unwritten.pending, spare)));
        unwritten.from = goal.offset;
        unwritten.flight = Some((from, Arc::clone(&bytes)));
        drop(ends);
        let written = self.write_flight(from, &bytes, filed_too);
        let mut ends = self.lock();
        ends.unwritten.flight = None;
        match &written {
            Ok(()) => {
                // None of this was rewound: a rewind waits for the flight. But a sync may have come farther meanwhile.
                if goal.offset > ends.durable.offset {
                    ends.durable = goal;
                }
                if goal.offset >= ends.unwritten.filed.offset {
                    ends.unwritten.filed = goal;
                    self.shown.reach(ends.lap.base + goal.offset);
                }
            }
            Err(_) => self.poison(),
        }
        if let Ok(mut bytes) = Arc::try_unwrap(bytes)
            && bytes.capacity() <= SPARE_MAX
        {
            bytes.clear();
            ends.unwritten.spare = bytes;
        }
        if ends.unwritten.waiting > 0 {
            self.changed.notify_all();
        }
        written.map(|()| ends)
    }

    /// Writes frames durably, and whatever is in the file already.
    fn write_flight(&self, from: u64, bytes: &[u8], filed_too: bool) -> Result<()> {
        match (bytes.is_empty(), filed_too) {
            (false, false) => self.media.write_durable(AREA + from, bytes),
            (false, true) => self.media.write(AREA + from, bytes).and_then(|()| self.media.sync()),
            (true, _) => self.media.sync(),
        }
    }

    /// Makes the file ready for frames up to `limit`: every block written, so that no append waits for the file system
    /// to allocate one. Gives the offset up to which blocks are written.
    pub(super) fn prepare_file(&self, ends: &mut Ends, limit: u64) -> Result<u64> {
        let written = ends.header.written;
        let wrote = self.write_out(written.max(ends.end.offset), limit)?;
        let filed = ends.unwritten.filed;
        if wrote || filed.offset > ends.durable.offset {
            self.media.sync()?;
        }
        if filed.offset > ends.durable.offset {
            ends.durable = filed;
        }
        Ok(written.max(limit))
    }
}

#[cfg(test)]
mod tests {
    //! Would catch an append that a kill loses after it has returned, because what is before it is still on its way.
    use std::thread;

    use super::super::Log;
    use super::super::header::Header;
    use super::*;
    use crate::media::hooked::{Hooked, held};
    use crate::media::{Domain, RamMedia};

    #[test]
    fn what_is_appended_beside_a_durable_write_survives_a_kill() {
        let header = Header::new(42, 1 << 20, 8);
        let memory = RamMedia::new(header.file_len()).unwrap().with_domain(Domain::Page);
        drop(Core::create(Arc::new(memory.clone()), header, Durability::Immediate).unwrap());
        let (hook, reached, end) = held("write_durable", AREA);
        let media = Hooked { memory: memory.clone(), hook };
        let log = Log { core: Core::open(Arc::new(media), Durability::Immediate).unwrap() };
        let killed = thread::scope(|scope| {
            scope.spawn(|| log.append(b"on its way").unwrap());
            reached.recv().unwrap();
            log.with(Durability::Eventual).append(b"returned").unwrap();
            let killed = memory.bytes();
            end.send(Ok(())).unwrap();
            killed
        });
        let opened = Core::open(Arc::new(memory.with_bytes(killed)), Durability::Immediate).unwrap();
        assert_eq!(opened.lock().end.entries, 2);
    }
}
