//! What a power cut may leave: the durable base, what is pending, and the states made from both.
//!
//! The rules, from assumption M4:
//!
//! - A pending item survives or not, whatever happens to the others. Survivors apply in program order.
//! - Items are the pieces of a write inside each aligned 512 bytes, and changes of the length. A piece may also be torn.
//! - The surviving length is that of the last change of length that survives. What lies beyond it is lost.
//! - A sync makes everything pending durable, a durable write only its own bytes; what older pending writes would
//!   have put in their place can no longer come to light.
//! - Items that a failed sync or durable write should have covered stay pending for ever (M5).

use super::choice::{Choice, Random, sampled};
use super::trace::{Event, Trace};

/// Length of a piece: the sector, which is the least that devices write.
const PIECE_LEN: u64 = 512;
/// Up to this many items, all their subsets are tried.
const ALL_SUBSETS_MAX: usize = 12;

/// Whether a file of the pool's name is there after the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No: the pool was not yet published.
    Absent,
    /// Yes or no: the name was given but is not durable.
    Either,
    /// Yes.
    Present,
}

/// Something written and not yet durable.
#[derive(Clone, Debug)]
struct Pending {
    /// Index of the event in the trace: program order.
    event: usize,
    change: Change,
    /// A failed sync should have covered it: no later sync does.
    stuck: bool,
}

#[derive(Clone, Debug)]
enum Change {
    /// `len` bytes at `offset`, from `start` in what the event wrote.
    Piece { offset: u64, start: usize, len: usize },
    /// The file gets this length; what a cut takes away is zero should the file grow again.
    Length { len: u64, cut: bool },
}

/// Walks the moments of a trace. Not an `Iterator`, because each [`CrashPoint`] is the one before, moved on.
#[derive(Debug)]
pub struct Cuts<'t> {
    point: CrashPoint<'t>,
    started: bool,
}

impl<'t> Cuts<'t> {
    pub(super) fn new(trace: &'t Trace) -> Self {
        let presence = if trace.published { Presence::Present } else { Presence::Absent };
        let base = trace.initial.clone();
        Self { point: CrashPoint { trace, index: 0, base, pending: Vec::new(), presence }, started: false }
    }

    /// Moves to the next moment.
    #[allow(clippy::should_implement_trait)] // A lending iterator has no trait in std.
    pub fn next(&mut self) -> Option<&CrashPoint<'t>> {
        if std::mem::replace(&mut self.started, true) {
            if self.point.index == self.point.trace.events.len() {
                return None;
            }
            self.point.step();
        }
        Some(&self.point)
    }
}

/// One moment of a trace: what is durable, and what is pending.
#[derive(Clone, Debug)]
pub struct CrashPoint<'t> {
    trace: &'t Trace,
    /// Events before this one have happened.
    index: usize,
    base: Vec<u8>,
    pending: Vec<Pending>,
    presence: Presence,
}

impl<'t> CrashPoint<'t> {
    /// How many events have happened.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The event that happened last.
    #[must_use]
    pub fn last_event(&self) -> Option<&'t Event> {
        self.index.checked_sub(1).map(|last| &self.trace.events[last])
    }

    /// Whether the file is there.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// The test's marks so far, in order.
    pub fn marks(&self) -> impl Iterator<Item = u64> + use<'t> {
        self.trace.events[..self.index].iter().filter_map(|event| match event {
            Event::Mark(mark) => Some(*mark),
            _ => None,
        })
    }

    /// How many items are pending whose survival would be seen.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.items_that_matter().len()
    }

    /// The bytes after a kill of the process, which loses nothing that was written.
    #[must_use]
    pub fn after_kill(&self) -> Vec<u8> {
        self.build(&Choice::everything(&self.all_items()))
    }

    /// A trace that begins with what is durable here, and writes what is pending again.
    pub(super) fn killed(&self) -> Trace {
        let mut trace = Trace::new(self.base.clone(), self.presence != Presence::Absent);
        for item in &self.pending {
            trace.events.push(match item.change {
                Change::Piece { offset, start, len } => match self.trace.written(item.event) {
                    Some(written) => Event::Write { offset, bytes: written[start..start + len].into() },
                    None => Event::Punch { offset, len: len as u64 },
                },
                Change::Length { len, cut: false } => Event::Grow { len },
                Change::Length { len, cut: true } => Event::Truncate { len },
            });
        }
        trace
    }

    /// The states to try: all subsets where at most twelve items are pending, else `samples` of them; in both cases
    /// nothing, everything, and torn pieces among them. The same arguments give the same choices.
    #[must_use]
    pub fn choices(&self, samples: usize, seed: u64) -> Vec<Choice> {
        let items = self.items_that_matter();
        let mut random = Random(seed ^ (self.index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut choices = if items.len() <= ALL_SUBSETS_MAX {
            (0..1_u32 << items.len()).map(|mask| Choice::of(&items, |i| mask >> i & 1 == 1)).collect()
        } else {
            sampled(&items, samples, &mut random)
        };
        self.add_torn(&items, samples, &mut random, &mut choices);
        choices
    }

    /// The bytes that `choice` leaves, if the file is there.
    #[must_use]
    pub fn build(&self, choice: &Choice) -> Vec<u8> {
        let mut bytes = self.base.clone();
        self.apply(&mut bytes, choice);
        bytes
    }

    /// Makes `bytes` what `choice` leaves. As [`build`](Self::build), reusing memory.
    pub fn build_into(&self, choice: &Choice, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(&self.base);
        self.apply(bytes, choice);
    }

    fn apply(&self, bytes: &mut Vec<u8>, choice: &Choice) {
        let mut length = bytes.len();
        let mut put = |item: &Pending, keep: std::ops::Range<usize>| match item.change {
            Change::Piece { offset, start, .. } => {
                let from = offset as usize + keep.start;
                let end = offset as usize + keep.end;
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                match self.trace.written(item.event) {
                    Some(written) => {
                        bytes[from..end].copy_from_slice(&written[start + keep.start..start + keep.end]);
                    }
                    None => bytes[from..end].fill(0),
                }
            }
            Change::Length { len, cut } => {
                length = len as usize;
                if cut && bytes.len() > length {
                    bytes[length..].fill(0);
                }
            }
        };
        let mut torn = choice.torn.iter();
        let mut next_torn = torn.next();
        for &index in &choice.survivors {
            let item = &self.pending[index];
            let whole = match item.change {
                Change::Piece { len, .. } => 0..len,
                Change::Length { .. } => 0..0,
            };
            match next_torn {
                Some((torn_index, keep)) if *torn_index == index => {
                    put(item, keep.clone());
                    next_torn = torn.next();
                }
                _ => put(item, whole),
            }
        }
        bytes.resize(length, 0);
    }

    /// Lets the next event happen.
    fn step(&mut self) {
        let event = self.index;
        self.index += 1;
        match &self.trace.events[event] {
            Event::Write { offset, bytes }
            | Event::Ordered { offset, bytes }
            | Event::DurableBegun { offset, bytes } => self.add_pieces(event, *offset, bytes.len() as u64),
            Event::Punch { offset, len } => self.add_pieces(event, *offset, *len),
            Event::Grow { len } => self.add(event, Change::Length { len: *len, cut: false }),
            Event::Truncate { len } => self.add(event, Change::Length { len: *len, cut: true }),
            Event::DurableDone { write } => self.make_durable(*write),
            Event::DurableFailed { write } => {
                let failed = |item: &&mut Pending| item.event == *write;
                self.pending.iter_mut().filter(failed).for_each(|item| item.stuck = true);
            }
            Event::Synced { begun } => self.sync(*begun),
            Event::SyncFailed { begun } => {
                let failed = |item: &&mut Pending| item.event < *begun;
                self.pending.iter_mut().filter(failed).for_each(|item| item.stuck = true);
            }
            Event::Renamed => self.presence = Presence::Either,
            Event::Published => self.presence = Presence::Present,
            Event::Mark(_) => {}
        }
    }

    fn add(&mut self, event: usize, change: Change) {
        self.pending.push(Pending { event, change, stuck: false });
    }

    fn add_pieces(&mut self, event: usize, offset: u64, len: u64) {
        let mut start = 0;
        while start < len {
            let at = offset + start;
            let count = (PIECE_LEN - at % PIECE_LEN).min(len - start);
            self.add(event, Change::Piece { offset: at, start: start as usize, len: count as usize });
            start += count;
        }
    }

    /// Moves everything from before a sync's beginning into the base, but for what is stuck.
    fn sync(&mut self, begun: usize) {
        let settles = |item: &Pending| item.event < begun && !item.stuck;
        let survivors = (0..self.pending.len()).filter(|&i| settles(&self.pending[i])).collect();
        self.settle(survivors);
    }

    /// Moves the pieces of one durable write into the base.
    fn make_durable(&mut self, write: usize) {
        // What is durable is retrievable, so the length covers it and no older change of length can take it away.
        let end = |item: &Pending| match item.change {
            Change::Piece { offset, len, .. } if item.event == write => offset + len as u64,
            _ => 0,
        };
        let needed = self.pending.iter().map(end).max().unwrap_or(0);
        let cut_before =
            |item: &Pending| item.event < write && matches!(item.change, Change::Length { cut: true, .. });
        let lengths_too = self.pending.iter().any(cut_before);
        if (self.base.len() as u64) < needed {
            self.base.resize(needed as usize, 0);
        }
        let settles = |item: &Pending| match item.change {
            Change::Piece { .. } => item.event == write,
            Change::Length { .. } => lengths_too && item.event < write,
        };
        let survivors = (0..self.pending.len()).filter(|&i| settles(&self.pending[i])).collect();
        self.settle(survivors);
        self.pending.retain(|item| match item.change {
            Change::Piece { .. } => true,
            Change::Length { len, .. } => item.event > write || len >= needed,
        });
    }

    /// Moves `survivors` into the base. Pending items older than one of them lose what it covers.
    fn settle(&mut self, survivors: Vec<usize>) {
        let choice = Choice { survivors, torn: Vec::new() };
        let mut base = std::mem::take(&mut self.base);
        self.apply(&mut base, &choice);
        self.base = base;
        let mut settled = choice.survivors.iter().map(|&i| self.pending[i].clone()).collect::<Vec<_>>();
        let mut index = 0;
        let mut next = choice.survivors.iter().peekable();
        self.pending.retain(|_| {
            let gone = next.next_if(|&&i| i == index).is_some();
            index += 1;
            !gone
        });
        settled.sort_by_key(|item| item.event);
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.pending = pending.into_iter().flat_map(|old| uncovered(old, &settled)).collect();
        }
    }

    fn all_items(&self) -> Vec<usize> {
        (0..self.pending.len()).collect()
    }

    /// The items whose survival can be seen: those of a 512-byte block in which some piece differs from the base, and
    /// changes of length.
    fn items_that_matter(&self) -> Vec<usize> {
        if self.pending.iter().any(|item| matches!(item.change, Change::Length { cut: true, .. })) {
            return self.all_items();
        }
        let mut blocks = std::collections::BTreeSet::new();
        for item in &self.pending {
            if let Change::Piece { offset, start, len } = item.change
                && !self.equals_base(
                    offset,
                    len,
                    self.trace.written(item.event).map(|w| &w[start..start + len]),
                )
            {
                blocks.insert(offset / PIECE_LEN);
            }
        }
        let matters = |&i: &usize| match self.pending[i].change {
            Change::Piece { offset, .. } => blocks.contains(&(offset / PIECE_LEN)),
            Change::Length { .. } => true,
        };
        (0..self.pending.len()).filter(matters).collect()
    }

    /// Whether the base, which is zero beyond its end, holds these bytes (`None`: zeros).
    fn equals_base(&self, offset: u64, len: usize, bytes: Option<&[u8]>) -> bool {
        let from = (offset as usize).min(self.base.len());
        let base = &self.base[from..(offset as usize + len).min(self.base.len()).max(from)];
        match bytes {
            Some(bytes) => base == &bytes[..base.len()] && bytes[base.len()..].iter().all(|b| *b == 0),
            None => base.iter().all(|b| *b == 0),
        }
    }

    /// Adds states in which a piece is torn: all before it survives, nothing after it, and of it a first or last part,
    /// cut between words or anywhere. And, where there are more pieces, the same among random survivors.
    fn add_torn(&self, items: &[usize], samples: usize, random: &mut Random, choices: &mut Vec<Choice>) {
        let pieces = items
            .iter()
            .enumerate()
            .filter_map(|(at, &i)| match self.pending[i].change {
                Change::Piece { len, .. } if len > 1 => Some((at, i, len)),
                _ => None,
            })
            .collect::<Vec<_>>();
        if pieces.is_empty() {
            return;
        }
        let count = (pieces.len() * 4).min(samples / 4 + 4);
        for round in 0..count {
            let (at, index, len) =
                pieces[if pieces.len() * 4 == count { round / 4 } else { random.below(pieces.len()) }];
            let cut = if round % 2 == 0 && len > 8 {
                8 * (1 + random.below((len - 1) / 8))
            } else {
                1 + random.below(len - 1)
            };
            let keep = if round / 2 % 2 == 0 { 0..cut } else { cut..len };
            let scattered = random.below(2) == 0;
            let mut choice =
                Choice::of(items, |i| i == at || if scattered { random.below(2) == 0 } else { i < at });
            choice.torn.push((index, keep));
            choices.push(choice);
        }
    }
}

/// What of `old` the younger of the `settled` items leave: a newer durable byte can not be undone by an older one.
fn uncovered(old: Pending, settled: &[Pending]) -> Vec<Pending> {
    let Change::Piece { .. } = old.change else {
        return vec![old];
    };
    let age = old.event;
    let mut rest = vec![old];
    for new in settled.iter().filter(|new| new.event > age) {
        let (from, end) = match new.change {
            Change::Piece { offset, len, .. } => (offset, offset + len as u64),
            Change::Length { len, cut: true } => (len, u64::MAX),
            Change::Length { cut: false, .. } => continue,
        };
        rest = rest.into_iter().flat_map(|piece| outside(piece, from, end)).collect();
    }
    rest
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
