//! Reading frames one after the other, through a window over the area.
//!
//! Whoever reads gives a [`Source`]: recovery the medium, a reader in the owner's process the medium while no rewind is
//! under way, one in another process its own handle of the file. Nothing that comes from there is trusted before its
//! checksum is right. The window is small at first and grows while the reading goes on, so that a look at the end costs a
//! block and a long walk few calls.

use std::ops::Range;

use super::frame::{HEAD_LEN, Head, Salt};
use super::header::AREA;
use crate::ground::error::Result;
use crate::media::Media;

/// Most that is read at once, unless a frame is longer: it should stay in the processor's cache until it is used.
const REACH_MAX: u64 = if cfg!(miri) { 4096 } else { 256 << 10 };
/// Least that is read at once.
const REACH_MIN: u64 = 4096;

/// Where bytes of the area come from.
pub(super) trait Source {
    /// Fills `into` from this offset in the area.
    fn fill(&self, offset: u64, into: &mut [u8]) -> Result<()>;
}

impl Source for &dyn Media {
    fn fill(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.read_checked(AREA + offset, into)
    }
}

/// A part of the area in memory.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    start: u64,
    /// So many of `bytes` are filled.
    len: usize,
    /// So much is read next.
    reach: u64,
}

/// A whole frame in a window.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) head: Head,
    /// Its entry's place in the window.
    pub(super) entry: Range<usize>,
}

impl Window {
    /// Forgets what was read, which may have changed.
    pub(super) fn forget(&mut self) {
        (self.len, self.reach) = (0, REACH_MIN);
    }

    /// The place in the window of `len` bytes at `offset`, read if they are not there. The caller made sure that they lie
    /// before `end`, beyond which nothing is read.
    #[inline]
    pub(super) fn place(
        &mut self,
        source: &impl Source,
        offset: u64,
        len: u64,
        end: u64,
    ) -> Result<Range<usize>> {
        let filled = self.start..self.start + self.len as u64;
        if offset < filled.start || offset + len > filled.end {
            self.read(source, offset, len, end)?;
        }
        let at = (offset - self.start) as usize;
        Ok(at..at + len as usize)
    }

    /// Reads a stretch that begins with these bytes.
    #[cold]
    fn read(&mut self, source: &impl Source, offset: u64, len: u64, end: u64) -> Result<()> {
        let wanted = self.reach.max(REACH_MIN).max(len).min(end - offset);
        // What is long is rare: its memory is not kept.
        if self.bytes.len() as u64 > 2 * REACH_MAX.max(wanted) {
            self.bytes = Vec::new();
        }
        if (self.bytes.len() as u64) < wanted {
            self.bytes.resize(wanted as usize, 0);
        }
        self.len = 0;
        source.fill(offset, &mut self.bytes[..wanted as usize])?;
        (self.start, self.len) = (offset, wanted as usize);
        self.reach = (2 * wanted).min(REACH_MAX);
        Ok(())
    }

    /// Bytes of the window at a place that it gave last.
    #[inline]
    pub(super) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
    }

    /// The frame at `offset`, if a whole one of this salt lies there and ends by `end`.
    #[inline]
    pub(super) fn frame(
        &mut self,
        source: &impl Source,
        salt: Salt,
        offset: u64,
        end: u64,
    ) -> Result<Option<Frame>> {
        let room = end.saturating_sub(offset);
        if room < HEAD_LEN {
            return Ok(None);
        }
        let place = self.place(source, offset, HEAD_LEN, end)?;
        let Some(head) = Head::decode(&self.bytes[place]).filter(|head| head.len() <= room - HEAD_LEN) else {
            return Ok(None);
        };
        let place = self.place(source, offset, HEAD_LEN + head.len(), end)?;
        let entry = place.start + HEAD_LEN as usize..place.end;
        Ok(head.fits(salt, offset, &self.bytes[entry.clone()]).then_some(Frame { head, entry }))
    }
}
