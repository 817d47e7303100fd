//! What was written and is not yet durable: single items, and what newer durable bytes leave of them.

use std::collections::HashMap;

use crate::ground::domain::CACHE_LINE;

/// Length of a piece of a file: the sector, which is the least that devices write.
pub(super) const SECTOR: u64 = 512;
/// Length of a piece of persistent memory: the word, which is never torn (M1).
pub(super) const WORD: u64 = 8;

/// Something written and not yet durable.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Index of the event in the trace: program order.
    pub(super) event: usize,
    pub(super) change: Change,
    /// A failed sync should have covered it: no later sync does.
    pub(super) stuck: bool,
    /// The threads whose next fence makes it durable, one bit each.
    pub(super) flushed_by: u64,
    /// The file system's own: no fence covers it, but everybody's sync.
    pub(super) needs_sync: bool,
    /// Stored by a process that is gone: a sync covers it, a fence only once somebody has flushed it again.
    pub(super) orphan: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    /// `len` bytes at `offset`, from `start` in what the event wrote.
    Piece { offset: u64, start: usize, len: usize },
    /// The file gets this length; what a cut takes away is zero should the file grow again.
    Length { len: u64, cut: bool },
}

impl Pending {
    /// Whether this takes bytes away: what is written over it later counts even if the bytes were there before.
    pub(super) fn erases(&self) -> bool {
        match self.change {
            Change::Piece { .. } => self.needs_sync,
            Change::Length { cut, .. } => cut,
        }
    }

    /// The units of this length that a piece touches.
    pub(super) fn units(&self, unit: u64) -> std::ops::Range<u64> {
        match self.change {
            Change::Piece { offset, len, .. } => offset / unit..(offset + len as u64).div_ceil(unit),
            Change::Length { .. } => 0..0,
        }
    }

    /// Notes that some threads, given as bits, have flushed the lines of a range.
    pub(super) fn flush(&mut self, offset: u64, len: u64, threads: u64) {
        let lines = offset / CACHE_LINE..(offset + len).div_ceil(CACHE_LINE);
        let mine = self.units(CACHE_LINE);
        if !self.needs_sync && lines.start < mine.end && mine.start < lines.end {
            self.flushed_by |= threads;
        }
    }
}

/// What the younger of the `settled` items leave of the `pending` ones: a newer durable byte cannot be undone by an older
/// one.
pub(super) fn uncovered(pending: Vec<Pending>, settled: &[Pending]) -> Vec<Pending> {
    let mut by_sector: HashMap<u64, Vec<(usize, u64, u64)>> = HashMap::new();
    let mut cuts = Vec::new();
    for new in settled {
        match new.change {
            // No piece crosses a sector's end.
            Change::Piece { offset, len, .. } => {
                let entry = (new.event, offset, offset + len as u64);
                by_sector.entry(offset / SECTOR).or_default().push(entry);
            }
            Change::Length { len, cut: true } => cuts.push((new.event, len, u64::MAX)),
            Change::Length { cut: false, .. } => {}
        }
    }
    let rest_of = |old: Pending| {
        let Change::Piece { offset, .. } = old.change else { return vec![old] };
        let age = old.event;
        let mut rest = vec![old];
        let here = by_sector.get(&(offset / SECTOR)).into_iter().flatten();
        for (_, from, end) in here.chain(&cuts).filter(|(event, ..)| *event > age) {
            rest = rest.into_iter().flat_map(|piece| outside(piece, *from, *end)).collect();
        }
        rest
    };
    pending.into_iter().flat_map(rest_of).collect()
}

/// The parts of a piece before `from` and from `end` on.
fn outside(piece: Pending, from: u64, end: u64) -> impl Iterator<Item = Pending> {
    let (offset, start, len) = match piece.change {
        Change::Piece { offset, start, len } => (offset, start, len as u64),
        Change::Length { .. } => (0, 0, 0),
    };
    let before = from.clamp(offset, offset + len) - offset;
    let after = end.clamp(offset, offset + len) - offset;
    // Where the two do not overlap, either `before` is the whole or `after` is nothing taken away.
    let parts = if before >= after { [(0, len), (len, len)] } else { [(0, before), (after, len)] };
    parts.into_iter().filter(|(first, last)| first < last).map(move |(first, last)| Pending {
        change: Change::Piece {
            offset: offset + first,
            start: start + first as usize,
            len: (last - first) as usize,
        },
        ..piece.clone()
    })
}
