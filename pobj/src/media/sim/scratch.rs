//! A medium that holds many states in turn, each made from the last by the few bytes in which they differ.
//!
//! What a power cut may leave is a choice of words or sectors on top of one durable base, and millions of choices differ
//! in little. So a [`Scratch`] is never filled anew. [`put`](Scratch::put) changes bytes and keeps a checksum of all
//! of them up to date: a sum over the words, to which each adds what its place and value make of it. Between
//! [`begin`](Scratch::begin) and [`undo`](Scratch::undo) a pool may be opened, used and closed; then the pages that this
//! has written are put back, and no others.
//!
//! Most states recover to the same home. What an open does after recovery, and what a program sees then, is decided by
//! home alone: the ring begins a new epoch. So the sum of home is told when the image is asked for, and where the caller
//! knows already what comes of it, the open ends there, with an error.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::super::image::GRAIN;
use super::super::ram::part;
use super::super::{Domain, Image, ImageMode, Media, Placement, refuse_in_place};
use super::{Arena, SimMedia};
use crate::ground::checksum::mix;
use crate::ground::domain::CACHE_LINE;
use crate::ground::error::{Error, Result};
use crate::media::arena::Tenant;

/// What is remembered to be put back: pages of this length.
const PAGE: usize = 4096;
const WORD: usize = 8;
/// Compared at once; what is set apart begins and ends with one.
const LINE: usize = CACHE_LINE as usize;

/// A medium in memory for one state after the other. Clones are handles to the same medium.
#[derive(Clone)]
pub struct Scratch {
    inner: Arc<Mutex<Inner>>,
    arena: Arc<Arena>,
    domain: Domain,
}

/// What a word adds to the checksum. Zeros add nothing, so growth changes no sum.
fn term(offset: usize, value: u64) -> u64 {
    if value == 0 { 0 } else { mix(value, offset as u64 + 1) }
}

struct Inner {
    bytes: Vec<u8>,
    /// Sum over the words of the parts set apart, and over all others.
    sums: [u64; 2],
    /// The journal's own bytes.
    apart: Vec<Range<usize>>,
    undo: Undo,
    /// The arena holds the same as `bytes`, but for what the program has stored there since.
    in_place: bool,
    arena: Arc<Arena>,
    /// Sums of home for which an open need not go on.
    known: HashSet<u64>,
    /// The next image is that of a first open; whether that ends where home is known.
    first: Option<bool>,
    recovered: Option<u64>,
}

/// What was there at [`Scratch::begin`].
#[derive(Default)]
struct Undo {
    active: bool,
    len: usize,
    sums: [u64; 2],
    /// One bit for each page that is saved.
    saved: Vec<u64>,
    /// Page, and place and length of its bytes in `old`.
    pages: Vec<(usize, usize, usize)>,
    old: Vec<u8>,
}

impl Inner {
    fn word(&self, at: usize) -> u64 {
        let mut word = [0; WORD];
        let end = (at + WORD).min(self.bytes.len());
        word[..end - at].copy_from_slice(&self.bytes[at..end]);
        u64::from_le_bytes(word)
    }

    /// Remembers the pages of a range.
    fn save(&mut self, range: Range<usize>) {
        let undo = &mut self.undo;
        if !undo.active || range.is_empty() {
            return;
        }
        for page in range.start / PAGE..=(range.end - 1) / PAGE {
            if undo.saved.len() <= page / 64 {
                undo.saved.resize(page / 64 + 1, 0);
            }
            if undo.saved[page / 64] >> (page % 64) & 1 == 1 {
                continue;
            }
            undo.saved[page / 64] |= 1 << (page % 64);
            let end = ((page + 1) * PAGE).min(self.bytes.len());
            undo.pages.push((page, undo.old.len(), end - page * PAGE));
            undo.old.extend_from_slice(&self.bytes[page * PAGE..end]);
        }
    }

    /// Changes bytes that are there.
    fn put(&mut self, offset: usize, new: &[u8]) {
        let end = offset + new.len();
        if self.bytes[offset..end] == *new {
            return;
        }
        self.save(offset..end);
        // Most of what is written is there already: whole lines are passed over.
        let mut at = offset;
        while at < end {
            let stop = (at - at % LINE + LINE).min(end);
            let line = &new[at - offset..stop - offset];
            if self.bytes[at..stop] != *line {
                self.put_in_line(at, line);
            }
            at = stop;
        }
    }

    /// Changes bytes inside one line.
    fn put_in_line(&mut self, offset: usize, new: &[u8]) {
        let line = offset - offset % LINE;
        let apart = self.apart.iter().any(|range| range.contains(&line));
        let mut more = 0_u64;
        let mut differs = |word: usize, before: u64, after: u64| {
            if before != after {
                more = more.wrapping_sub(term(word, before)).wrapping_add(term(word, after));
            }
        };
        let (words, rest) = new.as_chunks::<WORD>();
        if offset.is_multiple_of(WORD) && rest.is_empty() {
            let (there, _) = self.bytes[offset..offset + new.len()].as_chunks_mut::<WORD>();
            for ((there, new), word) in there.iter_mut().zip(words).zip((offset..).step_by(WORD)) {
                differs(word, u64::from_le_bytes(*there), u64::from_le_bytes(*new));
                *there = *new;
            }
        } else {
            let (mut at, end) = (offset, offset + new.len());
            while at < end {
                let word = at - at % WORD;
                let stop = (word + WORD).min(end);
                let before = self.word(word);
                self.bytes[at..stop].copy_from_slice(&new[at - offset..stop - offset]);
                differs(word, before, self.word(word));
                at = stop;
            }
        }
        let sum = &mut self.sums[usize::from(apart)];
        *sum = sum.wrapping_add(more);
    }

    fn put_zeros(&mut self, range: Range<usize>) {
        const ZEROS: [u8; PAGE] = [0; PAGE];
        let mut at = range.start;
        while at < range.end {
            let count = (range.end - at).min(PAGE);
            self.put(at, &ZEROS[..count]);
            at += count;
        }
    }

    fn set_len(&mut self, len: usize) {
        if len < self.bytes.len() {
            self.put_zeros(len..self.bytes.len());
        }
        self.bytes.resize(len, 0);
    }

    /// The sum of all but the journal's own bytes.
    fn home_sum(&self) -> u64 {
        mix(self.sums[0], self.bytes.len() as u64)
    }

    /// How many of `len` bytes from `offset` on are in the arena.
    fn split(&self, offset: usize, len: usize) -> usize {
        if self.in_place { (self.arena.capacity as usize).saturating_sub(offset).min(len) } else { 0 }
    }

    fn write(&mut self, offset: u64, new: &[u8]) -> Result<()> {
        let range = part(&self.bytes, offset, new.len())?;
        self.show(offset, new);
        self.put(range.start, new);
        Ok(())
    }

    /// Changes what an image in place shows.
    fn show(&self, offset: u64, new: &[u8]) {
        let shown = self.split(offset as usize, new.len());
        if shown > 0 {
            self.arena.store(offset, &new[..shown]);
        }
    }

    fn zero(&mut self, range: Range<usize>) {
        if self.split(range.start, range.len()) > 0 {
            self.show(range.start as u64, &vec![0; range.len()]);
        }
        self.put_zeros(range);
    }

    /// Brings `bytes` up to date with what the program has stored.
    fn collect(&mut self) {
        let end = self.split(0, self.bytes.len());
        let mut now = [0; PAGE];
        for start in (0..end).step_by(PAGE) {
            let count = PAGE.min(end - start);
            self.arena.load(start as u64, &mut now[..count]);
            self.put(start, &now[..count]);
        }
        self.in_place = false;
    }
}

impl Tenant for Mutex<Inner> {
    fn move_out(&self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).collect();
    }
}

impl SimMedia {
    /// An empty medium at the addresses of this one, to hold its states one after the other. The ring, as far as it is
    /// known, and `apart` are the journal's own bytes.
    #[must_use]
    pub fn scratch(&self, apart: Range<u64>) -> Scratch {
        let ring = self.state().ring.clone();
        let apart = [apart, ring].map(|range| range.start as usize..range.end as usize).to_vec();
        let inner = Inner {
            bytes: Vec::new(),
            sums: [0; 2],
            apart,
            undo: Undo::default(),
            in_place: false,
            arena: Arc::clone(&self.arena),
            known: HashSet::new(),
            first: None,
            recovered: None,
        };
        Scratch { inner: Arc::new(Mutex::new(inner)), arena: Arc::clone(&self.arena), domain: self.domain }
    }
}

impl Scratch {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whatever a panic left is undone.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the contents `bytes`, at the cost of a comparison where they are alike.
    pub fn load(&self, bytes: &[u8]) {
        let mut inner = self.inner();
        inner.set_len(bytes.len());
        for (page, new) in bytes.chunks(PAGE).enumerate() {
            inner.put(page * PAGE, new);
        }
    }

    /// Changes a few bytes, which must be there.
    pub fn put(&self, offset: u64, bytes: &[u8]) {
        self.inner().put(offset as usize, bytes);
    }

    /// A checksum of the contents: 64 bits, the same however they came about.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let inner = self.inner();
        mix(inner.home_sum(), inner.sums[1])
    }

    /// A copy of the contents.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.inner().bytes.clone()
    }

    /// From here on [`undo`](Self::undo) can bring this state back. The open that comes next ends with an error as soon as
    /// home turns out to be one of the [`known`](Self::know), if `skip_known`.
    pub fn begin(&self, skip_known: bool) {
        let mut inner = self.inner();
        let (len, sums) = (inner.bytes.len(), inner.sums);
        inner.undo.active = true;
        (inner.undo.len, inner.undo.sums) = (len, sums);
        inner.first = Some(skip_known);
        inner.recovered = None;
    }

    /// Puts back what was there at [`begin`](Self::begin).
    pub fn undo(&self) {
        let inner = &mut *self.inner();
        inner.in_place = false;
        let undo = &mut inner.undo;
        inner.bytes.resize(undo.len, 0);
        for (page, at, len) in undo.pages.drain(..) {
            undo.saved[page / 64] &= !(1 << (page % 64));
            let start = (page * PAGE).min(undo.len);
            let len = len.min(undo.len - start);
            inner.bytes[start..start + len].copy_from_slice(&undo.old[at..at + len]);
        }
        undo.old.clear();
        undo.active = false;
        inner.sums = undo.sums;
    }

    /// The sum of home as the first open since [`begin`](Self::begin) has recovered it.
    #[must_use]
    pub fn recovered(&self) -> Option<u64> {
        self.inner().recovered
    }

    /// Notes a sum of home: what comes of it is known.
    pub fn know(&self, sum: u64) {
        self.inner().known.insert(sum);
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({}, {} bytes)", self.domain, self.inner().bytes.len())
    }
}

impl Media for Scratch {
    fn len(&self) -> Result<u64> {
        Ok(self.inner().bytes.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let inner = self.inner();
        let range = part(&inner.bytes, offset, into.len())?;
        let (head, tail) = into.split_at_mut(inner.split(range.start, range.len()));
        if !head.is_empty() {
            inner.arena.load(offset, head);
        }
        tail.copy_from_slice(&inner.bytes[range.start + head.len()..range.end]);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inner().write(offset, bytes)
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inner().write(offset, bytes)
    }

    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inner().write(offset, bytes)
    }

    fn prepare_ring(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn domain(&self) -> Domain {
        self.domain
    }

    fn grow(&self, len: u64) -> Result<()> {
        let target = usize::try_from(len).map_err(|_| Error::TooLarge { requested: len })?;
        let mut inner = self.inner();
        let old = inner.bytes.len();
        if target > old {
            inner.set_len(target);
            inner.zero(old..target);
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let mut inner = self.inner();
        let old = inner.bytes.len();
        if (len as usize) < old {
            inner.zero(len as usize..old);
            inner.set_len(len as usize);
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let mut inner = self.inner();
        let range = part(&inner.bytes, offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        inner.zero(range);
        Ok(())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn publish(&self) -> Result<()> {
        Ok(())
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        if !self.domain.is_memory() {
            refuse_in_place(self, mode)?;
        }
        // No pool is so short: this is asked only to see whether the addresses are free.
        if len == GRAIN {
            return Image::claim_arena(&self.arena, placement, len, max_len);
        }
        let mut inner = self.inner();
        if let Some(skip_known) = inner.first.take() {
            let home = inner.home_sum();
            inner.recovered = Some(home);
            if skip_known && inner.known.contains(&home) {
                return Err(Error::abort("what comes of this home is known"));
            }
        }
        drop(inner);
        let in_place = mode == ImageMode::InPlace;
        let tenant = Arc::downgrade(&self.inner);
        let image = self.arena.lend(in_place.then_some(tenant as Weak<_>), || {
            Image::in_arena(&self.arena, placement, len, max_len, |into| self.read(0, into))
        })?;
        if in_place {
            let mut inner = self.inner();
            inner.in_place = true;
            // What lies behind the image is the pool's too.
            let behind = len as usize..inner.split(0, inner.bytes.len());
            inner.show(len, inner.bytes.get(behind).unwrap_or_default());
        }
        Ok(image)
    }

    fn block_len(&self) -> u64 {
        4096
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("(simulation)")
    }

    fn background(&self) -> bool {
        false
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn scratch() -> Scratch {
        SimMedia::new(1 << 20).unwrap().scratch(8192..16384)
    }

    #[test]
    fn equal_contents_have_equal_sums_however_they_came_about() {
        let (one, other) = (scratch(), scratch());
        let mut bytes = vec![0; 70_000];
        bytes[9] = 7;
        one.load(&bytes);
        other.load(&vec![5; 80_000]);
        assert_ne!(one.sum(), other.sum());
        other.truncate(100).unwrap();
        other.grow(70_000).unwrap();
        other.write(0, &[0; 100]).unwrap();
        assert_ne!(one.sum(), other.sum());
        other.put(9, &[7]);
        assert_eq!(one.sum(), other.sum());
        // The same value elsewhere, and another length, are other contents.
        other.put(9, &[0, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_ne!(one.sum(), other.sum());
        one.grow(70_001).unwrap();
        other.load(&bytes);
        assert_ne!(one.sum(), other.sum());
    }

    #[test]
    fn what_was_written_is_undone() {
        let scratch = scratch();
        let bytes: Vec<u8> = (0..70_000_u32).map(|at| (at % 251) as u8).collect();
        scratch.load(&bytes);
        let sum = scratch.sum();
        for round in 0..3 {
            scratch.begin(false);
            scratch.write(4090, &[1; 12]).unwrap();
            scratch.punch(60_000, 9_000).unwrap();
            scratch.truncate(65_000 + round).unwrap();
            scratch.grow(90_000).unwrap();
            scratch.write(80_000, &[9; 5000]).unwrap();
            assert_ne!(scratch.sum(), sum);
            scratch.undo();
            assert!(scratch.bytes() == bytes && scratch.sum() == sum, "round {round}");
        }
    }
}
