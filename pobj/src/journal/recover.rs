//! Recovery: what the journal holds beyond home, found and replayed.
//!
//! From the head on, records are taken in order while each is whole, in its place and next in number. The first
//! that is not ends the journal (J3): it was in flight. Unless a later record proves otherwise: one that
//! is whole and says that the missing one was durable when it was made. Then the medium has lost bytes, and cutting the
//! tail would drop committed transactions in silence; that is reported as damage instead. So is a home that is
//! ahead of everything the journal can replay.
//!
//! Recovery ends by storing a new head under a new epoch, so nothing found in the ring can be found again. A crash
//! anywhere in it leaves the old state, and the next recovery starts over (J4).

use std::ops::Range;

use super::apply::Applier;
use super::record::{self, Entry, Kind, Salt};
use super::spill::SPILL_WORDS;
use super::state::RingState;
use crate::ground::checksum::checksum;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::HOME_TXID;
use crate::media::{Image, Media};

/// The search for a proof of corruption hashes at most this many times the ring's length.
const PROOF_LAPS_MAX: u64 = 4;

/// Where a pool's journal lies and what it may write.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) pool_id: u64,
    pub(crate) ring: Range<u64>,
    /// The bytes that records may change: superblock and directory, heap.
    pub(crate) home: [Range<u64>; 2],
}

/// What recovery found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) state: RingState,
    /// Transactions that were replayed.
    pub(crate) replayed: u64,
}

/// The ring is read in windows of this length, or of a record's where that is longer.
const WINDOW_LEN: usize = if cfg!(miri) { 4096 } else { 1 << 20 };

/// A part of the ring in memory: what is read is used at once and not kept.
struct Window<'m> {
    media: &'m dyn Media,
    ring: Range<u64>,
    start: usize,
    bytes: Vec<u8>,
}

impl Window<'_> {
    fn ring_len(&self) -> usize {
        (self.ring.end - self.ring.start) as usize
    }

    /// The bytes from `at` on: at least `len` of them, unless the ring ends before.
    fn from(&mut self, at: usize, len: usize) -> Result<&[u8]> {
        let ring_len = self.ring_len();
        let wanted = len.min(ring_len - at);
        if at < self.start || at + wanted > self.start + self.bytes.len() {
            self.bytes.resize(len.max(WINDOW_LEN).min(ring_len - at), 0);
            self.start = at;
            self.media.read(self.ring.start + at as u64, &mut self.bytes)?;
        }
        Ok(&self.bytes[at - self.start..])
    }
}

/// The walk over the journal's records.
struct Scan<'m> {
    window: Window<'m>,
    salt: Salt,
    /// Position of the head.
    head: u64,
    /// Position behind the last record that was found.
    end: u64,
    txid: u64,
}

impl<'m> Scan<'m> {
    /// Finds the journal's end, and gives `sink` the entries on the way for as long as it has room. Gives the
    /// place up to which it did.
    fn run(
        media: &'m dyn Media,
        place: &Place,
        state: &RingState,
        sink: &mut impl Sink,
    ) -> Result<(Self, (u64, u64))> {
        let salt = Salt { pool_id: place.pool_id, epoch: state.epoch };
        let window = Window { media, ring: place.ring.clone(), start: 0, bytes: Vec::new() };
        let mut scan = Self { window, salt, head: state.head, end: state.head, txid: state.txid };
        let mut given = (scan.end, scan.txid);
        if state.clean == 1 {
            return Ok((scan, given));
        }
        let mut giving = true;
        while let Some((kind, range)) = scan.advance()? {
            giving = giving && kind == Kind::Body && {
                let body = &scan.window.from(range.start, range.len())?[..range.len()];
                place.give(body, sink)?
            };
            if giving {
                given = (scan.end, scan.txid);
            }
        }
        scan.refuse_lost_records()?;
        Ok((scan, given))
    }

    /// Steps over the next record: its kind, and its body's place in the ring.
    fn advance(&mut self) -> Result<Option<(Kind, Range<usize>)>> {
        let len = self.window.ring_len() as u64;
        let block_len = self.window.media.block_len();
        for position in [self.end, self.end.next_multiple_of(block_len), self.end.next_multiple_of(len)] {
            let Some(header) = self.decode(position)? else { continue };
            if header.txid == self.txid + 1 && position + header.len as u64 <= self.head + len {
                self.end = position + (header.len as u64).next_multiple_of(record::RECORD_ALIGN);
                self.txid = header.txid;
                let at = (position % len) as usize;
                return Ok(Some((header.kind, at + record::HEADER_LEN..at + header.len)));
            }
        }
        Ok(None)
    }

    /// The record that lies whole at `position`, if there is one.
    fn decode(&mut self, position: u64) -> Result<Option<record::Header>> {
        let at = (position % self.window.ring_len() as u64) as usize;
        let bytes = self.window.from(at, record::HEADER_LEN)?;
        let Some(len) = record::claimed_len(bytes, self.salt.pool_id) else { return Ok(None) };
        if len > self.window.ring_len() - at {
            return Ok(None);
        }
        Ok(record::decode(self.window.from(at, len)?, self.salt, position))
    }

    /// Looks for a whole record behind the end whose horizon covers the first missing one.
    fn refuse_lost_records(&mut self) -> Result<()> {
        let len = self.window.ring_len() as u64;
        let mut budget = len * PROOF_LAPS_MAX;
        let mut position = self.end;
        while position < self.head + len && budget > 0 {
            let at = (position % len) as usize;
            let bytes = self.window.from(at, record::HEADER_LEN)?;
            // Only a record that claims to prove something is worth its checksum.
            if record::claimed_horizon(bytes, self.salt.pool_id).is_some_and(|horizon| horizon > self.txid) {
                let header = self.decode(position)?;
                if header.is_some() {
                    let what = format!("transaction {} was durable and is unreadable", self.txid + 1);
                    return Err(Error::corrupt(what, self.window.ring.start + self.end % len));
                }
                budget = budget.saturating_sub(self.window.bytes.len() as u64);
            }
            position += record::RECORD_ALIGN;
        }
        Ok(())
    }

    /// Gives `sink` the entries of all records behind the place `given`, in a second walk.
    fn give_rest(&mut self, place: &Place, given: (u64, u64), sink: &mut impl Sink) -> Result<()> {
        let last = self.txid;
        (self.end, self.txid) = given;
        while self.txid < last {
            let Some((kind, range)) = self.advance()? else {
                return Err(Error::corrupt("the journal changed while it was read", place.ring.start));
            };
            let media = self.window.media;
            let direct = &self.window.from(range.start, range.len())?[..range.len()];
            let taken = match kind {
                Kind::Body => place.give(direct, sink)?,
                Kind::Spill => place.give(&read_spill(media, place, direct)?, sink)?,
            };
            debug_assert!(taken, "a sink that may write takes everything");
        }
        Ok(())
    }
}

/// What takes the entries of the journal's records, in order; `false` where it has no room for one yet.
trait Sink {
    fn add(&mut self, entry: Entry<'_>) -> Result<bool>;
}

/// Home, through overlays: while the scan goes on, nothing is written.
impl Sink for Applier<'_> {
    fn add(&mut self, entry: Entry<'_>) -> Result<bool> {
        Self::add(self, entry)
    }
}

/// The image of a pool that is opened for reading only.
impl Sink for &Image {
    fn add(&mut self, entry: Entry<'_>) -> Result<bool> {
        match entry {
            Entry::Words { offset, words } => self.store(offset, words),
            Entry::Zeros { offset, count } => self.zero(offset, count * 8),
        }
        Ok(true)
    }
}

impl Place {
    /// Gives `sink` the entries of one record.
    fn give(&self, body: &[u8], sink: &mut impl Sink) -> Result<bool> {
        for entry in record::entries(body) {
            let entry = entry.map_err(|what| Error::corrupt(what, self.ring.start))?;
            self.check(entry)?;
            if !sink.add(entry)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A record that passed its checksum and yet writes elsewhere was made by no pobj.
    fn check(&self, entry: Entry<'_>) -> Result<()> {
        let (offset, words) = match entry {
            Entry::Words { offset, words } => (offset, words.len() as u64 / 8),
            Entry::Zeros { offset, count } => (offset, count),
        };
        let end = words.checked_mul(8).and_then(|len| offset.checked_add(len));
        let inside =
            end.is_some_and(|end| self.home.iter().any(|home| home.start <= offset && end <= home.end));
        if inside { Ok(()) } else { Err(Error::corrupt("a record writes outside the pool", offset)) }
    }
}

fn read_spill(media: &dyn Media, place: &Place, words: &[u8]) -> Result<Vec<u8>> {
    let wrong = |what: &str| Error::corrupt(format!("a large transaction's body {what}"), place.ring.start);
    if words.len() != SPILL_WORDS * 8 {
        return Err(wrong("has no place"));
    }
    let word = |index: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&words[index * 8..index * 8 + 8]);
        u64::from_le_bytes(bytes)
    };
    let (offset, len) = (word(0), word(1));
    let file_len = media.len()?;
    if len % 8 != 0 || offset.checked_add(len).is_none_or(|end| end > file_len) {
        return Err(wrong("lies outside the file"));
    }
    let mut body = vec![0; len as usize];
    media.read(offset, &mut body)?;
    if checksum(place.pool_id, &body) != word(2) {
        return Err(wrong("is damaged"));
    }
    Ok(body)
}

fn refuse_home_ahead(media: &dyn Media, scan: &Scan<'_>) -> Result<()> {
    let mut word = [0; 8];
    media.read(HOME_TXID, &mut word)?;
    if u64::from_le_bytes(word) > scan.txid {
        return Err(Error::corrupt("the pool holds transactions that its journal has lost", HOME_TXID));
    }
    Ok(())
}

/// Brings home up to date and starts a new epoch. Durable when it returns.
pub(crate) fn recover_into_home(media: &dyn Media, place: &Place, epoch: u64) -> Result<Recovered> {
    let mut state = RingState::load(media, place.pool_id, place.ring.end - place.ring.start)?;
    let was_clean = state.clean == 1;
    if !was_clean {
        // After a kill (not a power cut) what is read here may lie only in the page cache. Home must not run ahead of the
        // records, and the newer slot must be durable before the older one is written over.
        media.sync()?;
    }
    let mut applier = Applier::holding(media);
    let (mut scan, given) = Scan::run(media, place, &state, &mut applier)?;
    refuse_home_ahead(media, &scan)?;
    let replayed = scan.txid - state.txid;
    if replayed > 0 {
        applier.release();
        scan.give_rest(place, given, &mut applier)?;
        applier.add(Entry::Words { offset: HOME_TXID, words: &scan.txid.to_le_bytes() })?;
        applier.write_out()?;
        media.sync()?;
    }
    state.epoch = epoch;
    state.head = scan.end.next_multiple_of(media.block_len());
    state.txid = scan.txid;
    if was_clean {
        state.store_over_clean(media, place.pool_id)?;
    } else {
        state.store(media, place.pool_id)?;
    }
    Ok(Recovered { state, replayed })
}

/// Replays into `image` alone; the medium is not written.
pub(crate) fn recover_into_image(media: &dyn Media, place: &Place, image: &Image) -> Result<Recovered> {
    let mut state = RingState::load(media, place.pool_id, place.ring.end - place.ring.start)?;
    let mut sink = image;
    let (mut scan, given) = Scan::run(media, place, &state, &mut sink)?;
    refuse_home_ahead(media, &scan)?;
    let replayed = scan.txid - state.txid;
    scan.give_rest(place, given, &mut sink)?;
    state.txid = scan.txid;
    Ok(Recovered { state, replayed })
}
