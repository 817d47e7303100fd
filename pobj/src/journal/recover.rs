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

use std::collections::HashSet;
use std::ops::Range;

use super::apply::Applier;
use super::record::{self, Entry, Kind, Salt};
use super::spill::SPILL_WORDS;
use super::state::RingState;
use super::undo::Extent;
use crate::ground::checksum::checksum;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::{BLOCK, HOME_TXID, RING_STATE_SLOTS};
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
    /// The platform reports an unsafe shutdown while the pool was open.
    pub(crate) unsafe_shutdown: bool,
}

/// The ring is read in windows of this length, or of a record's where that is longer.
const WINDOW_LEN: usize = if cfg!(miri) { 4096 } else { 1 << 20 };
/// On persistent memory.
const WINDOW_LEN_MEMORY: usize = if cfg!(miri) { 4096 } else { 32 << 10 };

/// A part of the ring in memory: what is read is used at once and not kept.
struct Window<'m> {
    media: &'m dyn Media,
    ring: Range<u64>,
    /// So much is read at once.
    reach: usize,
    /// This process wrote what is read.
    own: bool,
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
            self.bytes.resize(len.max(self.reach).min(ring_len - at), 0);
            self.start = at;
            let offset = self.ring.start + at as u64;
            match self.own {
                true => self.media.read_back(offset, &mut self.bytes)?,
                false => self.media.read(offset, &mut self.bytes)?,
            }
        }
        Ok(&self.bytes[at - self.start..])
    }
}

/// The walk over the journal's records.
pub(super) struct Scan<'m> {
    window: Window<'m>,
    salt: Salt,
    /// Position of the head.
    head: u64,
    /// Position behind the last record that was found.
    end: u64,
    txid: u64,
    /// Old words of a transaction that has not ended, in the order of their logging.
    undo: Vec<Undo>,
    /// Offset and length of what was read outside the ring.
    outside: Vec<(u64, u64)>,
    /// Extents that were looked through, by nonce.
    extents: HashSet<u64>,
    /// Bytes of the bodies outside the ring so far.
    spilled: u64,
}

/// Where old words are.
#[derive(Clone, Copy, Debug)]
enum Undo {
    /// In the ring: place and length of a record's body.
    Ring(usize, usize),
    /// In an extent: offset and length of a record's body.
    Extent(u64, usize),
}

impl<'m> Scan<'m> {
    /// The walk over records that this process wrote.
    pub(super) fn new(media: &'m dyn Media, ring: Range<u64>, salt: Salt, state: &RingState) -> Self {
        // A copy out of mapped memory costs nothing to begin, so it should stay in the cache.
        let reach = if media.domain().is_memory() { WINDOW_LEN_MEMORY } else { WINDOW_LEN };
        let window = Window { media, ring, reach, own: true, start: 0, bytes: Vec::new() };
        Self {
            window,
            salt,
            head: state.head,
            end: state.head,
            txid: state.txid,
            undo: Vec::new(),
            outside: Vec::new(),
            extents: HashSet::new(),
            spilled: 0,
        }
    }

    /// Position behind the last record that was found.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Its transaction.
    pub(super) fn txid(&self) -> u64 {
        self.txid
    }

    /// Lends a buffer to read into, and takes it back with [`into_buffer`](Self::into_buffer).
    pub(super) fn with_buffer(mut self, buffer: Vec<u8>) -> Self {
        self.window.bytes = buffer;
        self.window.bytes.clear();
        self
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.window.bytes
    }

    /// Steps over the next record: its kind and body.
    pub(super) fn next_body(&mut self) -> Result<Option<(Kind, &[u8])>> {
        let Some((kind, range)) = self.advance()? else { return Ok(None) };
        let body = &self.window.from(range.start, range.len())?[..range.len()];
        Ok(Some((kind, body)))
    }

    /// Finds the journal's end, and gives `sink` the entries on the way for as long as it has room. Gives the
    /// place up to which it did.
    fn run(
        media: &'m dyn Media,
        place: &Place,
        state: &RingState,
        sink: &mut impl Sink,
    ) -> Result<(Self, (u64, u64))> {
        let salt = Salt { pool_id: place.pool_id, epoch: state.epoch };
        let mut scan = Self::new(media, place.ring.clone(), salt, state);
        scan.window.own = false;
        let mut given = (scan.end, scan.txid);
        if state.clean == 1 {
            return Ok((scan, given));
        }
        let mut giving = true;
        while let Some((kind, range)) = scan.advance()? {
            if !kind.commits() {
                scan.keep_undo(kind, range)?;
                continue;
            }
            scan.undo.clear();
            if kind.is_spilled() {
                scan.keep_spill(range.clone())?;
            }
            giving = giving && !kind.is_spilled() && {
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
        for position in [self.end, self.end.next_multiple_of(BLOCK), self.end.next_multiple_of(len)] {
            let Some(header) = self.decode(position)? else { continue };
            if header.txid == self.txid + 1 && position + header.len as u64 <= self.head + len {
                self.end = position + (header.len as u64).next_multiple_of(record::RECORD_ALIGN);
                if header.kind.commits() {
                    self.txid = header.txid;
                }
                let at = (position % len) as usize;
                return Ok(Some((header.kind, at + record::HEADER_LEN..at + header.len)));
            }
        }
        Ok(None)
    }

    /// Notes where a body is outside the ring. Each lies behind the ones before, so together they are no longer than the
    /// file; without this check few small records could have one long body read again and again.
    fn keep_spill(&mut self, range: Range<usize>) -> Result<()> {
        let (file_len, at) = (self.window.media.len()?, self.window.ring.start + range.start as u64);
        let words = &self.window.from(range.start, range.len())?[..range.len()];
        let SpillPlace { offset, len, .. } = SpillPlace::read(words, file_len, at)?;
        self.spilled = self.spilled.saturating_add(len);
        if self.spilled > file_len {
            let what = "the bodies of large transactions are longer than the file";
            return Err(Error::corrupt(what, at));
        }
        self.outside.push((offset, len));
        Ok(())
    }

    /// Notes old words; those in an extent are looked up.
    fn keep_undo(&mut self, kind: Kind, range: Range<usize>) -> Result<()> {
        if kind == Kind::Undo {
            self.undo.push(Undo::Ring(range.start, range.len()));
            return Ok(());
        }
        let words = &self.window.from(range.start, range.len())?[..range.len()];
        let extent = Extent::read(words).ok_or_else(|| {
            Error::corrupt("a record names no extent", self.window.ring.start + range.start as u64)
        })?;
        // A nonce is drawn for one extent and named once. Records that name it again would have it looked through again.
        if !self.extents.insert(extent.nonce) {
            let offset = self.window.ring.start + range.start as u64;
            return Err(Error::corrupt("two records name the same extent", offset));
        }
        let (media, salt) = (self.window.media, extent.salt(self.salt));
        // After its transaction has rolled back, an extent may be gone or cut.
        let end = media.len()?.min(extent.offset.saturating_add(extent.len));
        let mut position = extent.offset;
        let mut bytes = vec![0; record::HEADER_LEN];
        while position.checked_add(record::HEADER_LEN as u64).is_some_and(|header| header <= end) {
            bytes.resize(record::HEADER_LEN, 0);
            media.read(position, &mut bytes)?;
            let len = record::claimed_len(&bytes, salt.pool_id).filter(|len| *len as u64 <= end - position);
            let Some(len) = len else { break };
            bytes.resize(len, 0);
            media.read(position, &mut bytes)?;
            let header = record::decode(&bytes, salt, position);
            if header.is_none_or(|header| header.txid != self.txid + 1 || header.kind != Kind::Undo) {
                break;
            }
            let body = position + record::HEADER_LEN as u64;
            self.undo.push(Undo::Extent(body, len - record::HEADER_LEN));
            self.outside.push((position, len as u64));
            position += (len as u64).next_multiple_of(record::RECORD_ALIGN);
        }
        Ok(())
    }

    /// Makes durable what the scan has read: a process that was killed may have left it in the caches, stored and not fenced.
    /// A sync that reaches the kernel has done so already. Where the domain was forced there may be none that knows of the
    /// caches.
    fn flush_all(&self) -> Result<()> {
        let (media, len) = (self.window.media, self.window.ring_len() as u64);
        let ring = |from: u64, end: u64| media.flush(self.window.ring.start + from, end - from);
        let (from, end) = (self.head % len, self.head % len + (self.end - self.head));
        ring(from, end.min(len))?;
        ring(0, end.saturating_sub(len))?;
        RING_STATE_SLOTS.into_iter().try_for_each(|slot| media.flush(slot, BLOCK))?;
        self.outside.iter().try_for_each(|(offset, len)| media.flush(*offset, *len))?;
        media.sync()
    }

    /// Gives `sink` the old words of the transaction that has not ended, the newest first.
    fn put_back(&mut self, place: &Place, sink: &mut impl Sink) -> Result<()> {
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            let taken = match undo {
                Undo::Ring(at, len) => place.give(&self.window.from(at, len)?[..len], sink)?,
                Undo::Extent(offset, len) => {
                    let mut body = vec![0; len];
                    self.window.media.read(offset, &mut body)?;
                    place.give(&body, sink)?
                }
            };
            debug_assert!(taken, "a sink that may write takes everything");
        }
        Ok(())
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
            if record::claims_durable(bytes, self.salt.pool_id, self.txid + 1) {
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
        let end = self.end;
        (self.end, self.txid) = given;
        while self.txid < last {
            let Some((kind, range)) = self.advance()? else {
                return Err(Error::corrupt("the journal changed while it was read", place.ring.start));
            };
            let media = self.window.media;
            let direct = &self.window.from(range.start, range.len())?[..range.len()];
            let taken = match kind {
                Kind::Undo | Kind::Extent => continue,
                Kind::Body | Kind::Commit => place.give(direct, sink)?,
                Kind::Spill | Kind::CommitSpill => place.give(&read_spill(media, place, direct)?, sink)?,
            };
            debug_assert!(taken, "a sink that may write takes everything");
        }
        self.end = end;
        Ok(())
    }
}

/// What takes the entries of the journal's records, in order; `false` where it has no room for one yet.
trait Sink {
    fn add(&mut self, entry: Entry<'_>) -> Result<bool>;
}

/// Home, through overlays: while the scan goes on, nothing is written.
struct HomeSink<'m> {
    media: &'m dyn Media,
    applier: Applier<'m>,
    /// The pieces of home, [`SHOWN_LEN`] bytes each, that the medium is known to give; of memory only, for who writes to
    /// a file is told anyway.
    shown: Option<HashSet<u64>>,
    last_shown: u64,
}

/// Home is asked for in pieces of this length.
const SHOWN_LEN: u64 = 64 << 10;

impl Sink for HomeSink<'_> {
    fn add(&mut self, entry: Entry<'_>) -> Result<bool> {
        if let Some(shown) = &mut self.shown {
            let (offset, len) = match entry {
                Entry::Words { offset, words } => (offset, words.len() as u64),
                Entry::Zeros { offset, count } => (offset, count * 8),
            };
            for piece in offset / SHOWN_LEN..=(offset + len.max(1) - 1) / SHOWN_LEN {
                if piece != self.last_shown && shown.insert(piece) {
                    self.media.show(piece * SHOWN_LEN, SHOWN_LEN)?;
                }
                self.last_shown = piece;
            }
        }
        self.applier.add(entry)
    }
}

/// The image of a pool that is opened for reading only.
impl Sink for &Image {
    fn add(&mut self, entry: Entry<'_>) -> Result<bool> {
        match entry {
            Entry::Words { offset, words } => {
                // The page that a store makes private is read first.
                self.show(offset, words.len() as u64)?;
                self.store(offset, words);
            }
            Entry::Zeros { offset, count } => {
                self.show(offset, count * 8)?;
                self.zero(offset, count * 8);
            }
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

/// Where a large transaction's body is said to be: inside the file.
struct SpillPlace {
    offset: u64,
    len: u64,
    sum: u64,
}

impl SpillPlace {
    /// From the body of the record at `at` that names it.
    fn read(words: &[u8], file_len: u64, at: u64) -> Result<Self> {
        let wrong = |what: &str| Error::corrupt(format!("a large transaction's body {what}"), at);
        let words: [u8; SPILL_WORDS * 8] = words.try_into().map_err(|_| wrong("has no place"))?;
        let [offset, len, sum] = bytemuck::cast::<_, [u64; SPILL_WORDS]>(words).map(u64::from_le);
        if len % 8 != 0 || offset.checked_add(len).is_none_or(|end| end > file_len) {
            return Err(wrong("lies outside the file"));
        }
        Ok(Self { offset, len, sum })
    }
}

fn read_spill(media: &dyn Media, place: &Place, words: &[u8]) -> Result<Vec<u8>> {
    let SpillPlace { offset, len, sum } = SpillPlace::read(words, media.len()?, place.ring.start)?;
    let mut body = vec![0; len as usize];
    media.read(offset, &mut body)?;
    if checksum(place.pool_id, &body) != sum {
        return Err(Error::corrupt("a large transaction's body is damaged", place.ring.start));
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

/// After a kill (not a power cut) what is read may lie only in the page cache. Home must not run ahead of the records, and
/// the newer slot must be durable before the older one is written over.
fn settle_kill(media: &dyn Media) -> Result<()> {
    media.sync()
}

/// Brings home up to date and starts a new epoch. Durable when it returns.
pub(crate) fn recover_into_home(media: &dyn Media, place: &Place, epoch: u64) -> Result<Recovered> {
    let mut state = RingState::load(media, place.pool_id, place.ring.end - place.ring.start)?;
    let was_clean = state.clean == 1;
    if !was_clean {
        settle_kill(media)?;
    }
    let applier = Applier::holding(media);
    let shown = media.domain().is_memory().then(HashSet::new);
    let mut home = HomeSink { media, applier, shown, last_shown: u64::MAX };
    let (mut scan, given) = Scan::run(media, place, &state, &mut home)?;
    refuse_home_ahead(media, &scan)?;
    if !was_clean && media.domain().is_memory() {
        scan.flush_all()?;
    }
    let replayed = scan.txid - state.txid;
    if replayed > 0 || !scan.undo.is_empty() {
        home.applier.release();
        scan.give_rest(place, given, &mut home)?;
        scan.put_back(place, &mut home)?;
        home.add(Entry::Words { offset: HOME_TXID, words: &scan.txid.to_le_bytes() })?;
        home.applier.write_out()?;
        media.sync()?;
    }
    let mark = media.shutdown_mark();
    let unsafe_shutdown = state.saw_unsafe_shutdown(mark);
    state.shutdown_mark = mark;
    state.epoch = epoch;
    state.head = scan.end.next_multiple_of(BLOCK);
    state.txid = scan.txid;
    if was_clean {
        state.store_over_clean(media, place.pool_id)?;
    } else {
        state.store(media, place.pool_id)?;
    }
    Ok(Recovered { state, replayed, unsafe_shutdown })
}

/// Replays into `image` alone; the medium is not written.
pub(crate) fn recover_into_image(media: &dyn Media, place: &Place, image: &Image) -> Result<Recovered> {
    let mut state = RingState::load(media, place.pool_id, place.ring.end - place.ring.start)?;
    let mut sink = image;
    let (mut scan, given) = Scan::run(media, place, &state, &mut sink)?;
    refuse_home_ahead(media, &scan)?;
    let replayed = scan.txid - state.txid;
    scan.give_rest(place, given, &mut sink)?;
    scan.put_back(place, &mut sink)?;
    let unsafe_shutdown = state.saw_unsafe_shutdown(media.shutdown_mark());
    state.txid = scan.txid;
    Ok(Recovered { state, replayed, unsafe_shutdown })
}
