//! What each place of the medium may hold at one moment, so that its states are walked by changing one place at a time.
//!
//! Pending pieces in different sectors, or words, do not depend on each other; only changes of the length concern
//! everything. For each legal outcome of these there is one [`Variants`]: the bytes if nothing else survives, and the
//! places that may differ from them with all that each may hold, told apart by content. Every combination is a state
//! that a power cut may leave, and together they are all of them, torn pieces apart: of these there are examples.

use std::ops::Range;

use super::choice::Random;
use super::crash::CrashPoint;
use super::pending::{Change, SECTOR, WORD};

/// Up to so many changes of the length, or pieces in one place, all subsets are told.
const SUBSETS_MAX: usize = 6;

/// A sector or word, as far as something is pending in it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Offset of the first byte.
    pub offset: u64,
    /// What may be there: first, what is there if nothing survives. All of the same length, all different.
    pub contents: Vec<Box<[u8]>>,
    /// Which of them is there if everything survives.
    pub whole: usize,
    /// What a torn piece may leave there besides: examples.
    pub torn: Vec<Box<[u8]>>,
    /// The first of the events that wrote here, by its number.
    pub event: usize,
}

/// The states with one outcome of the pending changes of the length.
#[derive(Clone, Debug)]
pub struct Variants {
    /// The bytes if no pending piece survives.
    pub base: Vec<u8>,
    /// Where they may differ, by offset.
    pub places: Vec<Place>,
    /// Whether the places tell everything that may be there.
    pub complete: bool,
    /// All pending changes of the length survive.
    pub all_lengths: bool,
}

impl Variants {
    /// How many states there are, torn pieces apart.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.places.iter().fold(1, |count: u64, place| count.saturating_mul(place.contents.len() as u64))
    }

    /// How many there are with the examples of torn pieces.
    #[must_use]
    pub fn count_with_torn(&self) -> u64 {
        let of = |place: &Place| (place.contents.len() + place.torn.len()) as u64;
        self.places.iter().fold(1, |count: u64, place| count.saturating_mul(of(place)))
    }
}

impl CrashPoint<'_> {
    /// All states of this moment. Pieces on a file are torn where `seed` says.
    #[must_use]
    pub fn variants(&self, seed: u64) -> Vec<Variants> {
        let mut lengths = Vec::new();
        let mut pieces = Vec::new();
        let unit = if self.trace.domain.is_memory() { WORD } else { SECTOR };
        for (index, item) in self.pending.iter().enumerate() {
            match item.change {
                Change::Length { .. } => lengths.push(index),
                Change::Piece { offset, .. } => pieces.push((offset / unit, index)),
            }
        }
        pieces.sort_unstable();
        let groups: Vec<&[(u64, usize)]> = pieces.chunk_by(|a, b| a.0 == b.0).collect();
        let (subsets, complete) = subsets(lengths.len());
        let all = subsets.len() - 1;
        let of = |(number, chosen): (usize, Vec<usize>)| {
            let chosen: Vec<usize> = chosen.into_iter().map(|at| lengths[at]).collect();
            let mut variants = self.with_lengths(&chosen, &groups, seed);
            variants.complete &= complete;
            variants.all_lengths = number == all;
            variants
        };
        subsets.into_iter().enumerate().map(of).collect()
    }

    /// The states in which of all changes of the length those in `chosen` survive.
    fn with_lengths(&self, chosen: &[usize], groups: &[&[(u64, usize)]], seed: u64) -> Variants {
        let (mut cuts, mut len) = (Vec::new(), self.base_len);
        for &index in chosen {
            let Change::Length { len: new, cut } = self.pending[index].change else { continue };
            len = new as usize;
            if cut {
                cuts.push((index, len));
            }
        }
        let mut base = self.base.clone();
        if let Some(first) = cuts.iter().map(|(_, len)| *len).min().filter(|first| *first < base.len()) {
            base[first..].fill(0);
        }
        base.resize(len, 0);
        let mut variants = Variants { base, places: Vec::new(), complete: true, all_lengths: false };
        for group in groups {
            let items: Vec<usize> = group.iter().map(|(_, index)| *index).collect();
            let (place, complete) = self.place(&items, &cuts, len, seed);
            variants.complete &= complete;
            variants.places.extend(place.filter(|place| place.contents.len() + place.torn.len() > 1));
        }
        variants
    }

    fn range(&self, index: usize) -> Range<usize> {
        match self.pending[index].change {
            Change::Piece { offset, len, .. } => offset as usize..offset as usize + len,
            Change::Length { .. } => 0..0,
        }
    }

    /// What pieces of one unit may leave there, and whether that is all of it.
    fn place(
        &self,
        items: &[usize],
        cuts: &[(usize, usize)],
        end: usize,
        seed: u64,
    ) -> (Option<Place>, bool) {
        let ranges = || items.iter().map(|&index| self.range(index));
        let start = ranges().map(|range| range.start).min().unwrap_or(0);
        let stop = ranges().map(|range| range.end).max().unwrap_or(0).min(end);
        if start >= stop {
            return (None, true);
        }
        let span = start..stop;
        let alike = ranges().all(|range| range.start <= start && range.end >= stop);
        let (chosen, complete) = match alike {
            // The last that survives decides.
            true => (std::iter::once(Vec::new()).chain((0..items.len()).map(|at| vec![at])).collect(), true),
            false => subsets(items.len()),
        };
        let mut contents: Vec<Box<[u8]>> = Vec::new();
        let mut whole = 0;
        for chosen in chosen {
            let chosen: Vec<_> = chosen.into_iter().map(|at| (items[at], self.range(items[at]))).collect();
            let bytes = self.content(&span, &chosen, cuts);
            whole = contents.iter().position(|known| *known == bytes).unwrap_or(contents.len());
            if whole == contents.len() {
                contents.push(bytes);
            }
        }
        let torn =
            if self.trace.domain.is_memory() { Vec::new() } else { self.torn(&span, items, cuts, seed) };
        let torn = torn.into_iter().filter(|bytes| !contents.contains(bytes)).collect();
        let event = self.pending[items[0]].event;
        (Some(Place { offset: start as u64, contents, whole, torn, event }), complete)
    }

    /// The bytes of `span` where of the pieces only the `chosen` ones survive, and of these only a part.
    fn content(
        &self,
        span: &Range<usize>,
        chosen: &[(usize, Range<usize>)],
        cuts: &[(usize, usize)],
    ) -> Box<[u8]> {
        let mut bytes = vec![0; span.len()];
        let known = self.base.get(span.start..).unwrap_or_default();
        let known = &known[..known.len().min(bytes.len())];
        bytes[..known.len()].copy_from_slice(known);
        let cut_before = |bytes: &mut [u8], from: usize, to: usize| {
            for (_, len) in cuts.iter().filter(|(at, _)| (from..to).contains(at)) {
                bytes[(*len).clamp(span.start, span.end) - span.start..].fill(0);
            }
        };
        let mut last = 0;
        for (index, keep) in chosen {
            cut_before(&mut bytes, last, *index);
            last = *index;
            let Change::Piece { offset, start, .. } = self.pending[*index].change else { continue };
            let (from, to) = (keep.start.max(span.start), keep.end.min(span.end));
            if from >= to {
                continue;
            }
            let target = &mut bytes[from - span.start..to - span.start];
            match self.trace.written(self.pending[*index].event) {
                Some(written) => {
                    let at = start + from - offset as usize;
                    target.copy_from_slice(&written[at..at + to - from]);
                }
                None => target.fill(0),
            }
        }
        cut_before(&mut bytes, last, usize::MAX);
        bytes.into()
    }

    /// A first and a last part of each piece, over all that came before: cut between words, and anywhere.
    fn torn(
        &self,
        span: &Range<usize>,
        items: &[usize],
        cuts: &[(usize, usize)],
        seed: u64,
    ) -> Vec<Box<[u8]>> {
        let mut random = Random(seed ^ span.start as u64);
        let mut all = Vec::new();
        for (at, &index) in items.iter().enumerate() {
            let whole = self.range(index);
            if whole.len() < 2 {
                continue;
            }
            let word = whole.start + WORD as usize * (1 + random.below((whole.len() - 1) / WORD as usize));
            let any = whole.start + 1 + random.below(whole.len() - 1);
            for keep in [whole.start..word.min(whole.end - 1), any..whole.end] {
                let mut chosen: Vec<_> = items[..at].iter().map(|&i| (i, self.range(i))).collect();
                chosen.push((index, keep));
                all.push(self.content(span, &chosen, cuts));
            }
        }
        all
    }
}

/// Subsets of `count` things, nothing first and everything last: all where there are few, else those that begin with the
/// first, and single ones. And whether it is all.
fn subsets(count: usize) -> (Vec<Vec<usize>>, bool) {
    if count <= SUBSETS_MAX {
        let of = |mask: u32| (0..count).filter(|at| mask >> at & 1 == 1).collect();
        return ((0..1_u32 << count).map(of).collect(), true);
    }
    let singles = (0..count).map(|at| vec![at]);
    (
        std::iter::once(Vec::new()).chain(singles).chain((2..=count).map(|end| (0..end).collect())).collect(),
        false,
    )
}
