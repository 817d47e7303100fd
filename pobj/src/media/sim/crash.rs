//! What a power cut may leave: the durable base, what is pending, and the states made from both.
//!
//! The rules on a file, from assumption M4:
//!
//! - A pending item survives or not, whatever happens to the others. Survivors apply in program order.
//! - Items are the pieces of a write inside each aligned 512 bytes, and changes of the length. A piece may also be torn.
//! - The surviving length is that of the last change of length that survives. What lies beyond it is lost.
//! - A sync makes everything pending durable, a durable write only its own bytes; what older pending writes would
//!   have put in their place can no longer come to light.
//! - Items that a failed sync or durable write should have covered stay pending for ever (M5).
//!
//! On persistent memory, from M1 to M3:
//!
//! - Items are aligned words of eight bytes, never torn. They survive or not, flushed or not.
//! - A fence makes durable what its own thread has flushed before, whoever stored it, and nothing else. A write flushes
//!   what it stores; where caches are persistent every store through them counts as flushed, by all threads.
//! - What a killed process left pending is covered by a sync, and by a fence of who has flushed it again.
//! - Changes of the length, and holes, wait for a sync; bytes made durable beyond the durable length are seen if the
//!   length survives.

use std::collections::HashSet;

use super::choice::{Choice, Random, sampled};
use super::pending::{Change, Pending, SECTOR, WORD, uncovered};
use super::trace::{Event, Thread, Trace};
use crate::ground::domain::Domain;

/// Up to this many items, all their subsets may be tried.
const ALL_SUBSETS_MAX: usize = 12;
/// All subsets are tried where they are at most so many times the samples that would be tried instead.
const ALL_SUBSETS_WORTH: usize = 8;

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

/// Walks the moments of a trace. Not an `Iterator`, because each [`CrashPoint`] is the one before, moved on.
#[derive(Debug)]
pub struct Cuts<'t> {
    point: CrashPoint<'t>,
    started: bool,
}

impl<'t> Cuts<'t> {
    pub(super) fn new(trace: &'t Trace) -> Self {
        let presence = if trace.published { Presence::Present } else { Presence::Absent };
        let point = CrashPoint {
            trace,
            index: 0,
            version: 0,
            base: trace.initial.clone(),
            base_len: trace.initial_len,
            pending: Vec::new(),
            busy: HashSet::new(),
            erased: false,
            presence,
        };
        Self { point, started: false }
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
    pub(super) trace: &'t Trace,
    /// Events before this one have happened.
    index: usize,
    /// Changes with the states that are possible.
    version: u64,
    /// Durable bytes. Those beyond `base_len` are seen if a pending change of the length survives.
    pub(super) base: Vec<u8>,
    pub(super) base_len: usize,
    pub(super) pending: Vec<Pending>,
    /// On persistent memory: the words that have a pending version.
    busy: HashSet<u64>,
    /// A pending item takes bytes away.
    erased: bool,
    presence: Presence,
}

impl<'t> CrashPoint<'t> {
    /// How many events have happened.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// A number that changes whenever the states that are possible do: between marks and flushes it stays.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
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

    /// A trace that begins with what is durable here, and writes what is pending again. Nobody is left whose fence would
    /// cover it.
    pub(super) fn killed(&self) -> Trace {
        let published = self.presence != Presence::Absent;
        let mut trace = Trace::new(self.trace.domain, self.base.clone(), published);
        trace.initial_len = self.base_len;
        let (mut runs, mut stored) = (Vec::new(), Vec::new());
        let push_stored = |trace: &mut Trace, runs: &mut Vec<_>, stored: &mut Vec<u8>| {
            if !runs.is_empty() {
                let (runs, bytes) = (std::mem::take(runs).into(), std::mem::take(stored).into());
                trace.push(Event::Store { runs, bytes }, Thread::DEAD);
            }
        };
        for item in &self.pending {
            let event = match item.change {
                Change::Piece { offset, start, len } => match self.trace.written(item.event) {
                    Some(written) if self.trace.domain.is_memory() => {
                        runs.push((offset, len as u64));
                        stored.extend_from_slice(&written[start..start + len]);
                        continue;
                    }
                    Some(written) => Event::Write { offset, bytes: written[start..start + len].into() },
                    None => Event::Punch { offset, len: len as u64 },
                },
                Change::Length { len, cut: false } => Event::Grow { len },
                Change::Length { len, cut: true } => Event::Truncate { len },
            };
            push_stored(&mut trace, &mut runs, &mut stored);
            trace.push(event, Thread::DEAD);
        }
        push_stored(&mut trace, &mut runs, &mut stored);
        trace
    }

    /// Whether the next event only adds to what is pending: then each state that is possible now is possible after it too.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.trace.events.get(self.index).is_some_and(Event::only_adds)
    }

    /// Whether [`choices`](Self::choices) gives every state that can be told from others, torn pieces apart.
    #[must_use]
    pub fn is_exhaustive(&self, samples: usize) -> bool {
        exhaustive(self.items_that_matter().len(), samples)
    }

    /// The states to try: all subsets of at most twelve pending items unless these are many more than `samples`, else
    /// `samples` of them; in both cases nothing and everything, and on a file torn pieces, among them. The same arguments
    /// give the same choices.
    #[must_use]
    pub fn choices(&self, samples: usize, seed: u64) -> Vec<Choice> {
        let items = self.items_that_matter();
        let mut random = Random(seed ^ self.version.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut choices = if exhaustive(items.len(), samples) {
            (0..1_u32 << items.len()).map(|mask| Choice::of(&items, |i| mask >> i & 1 == 1)).collect()
        } else {
            let events = items.iter().map(|&i| self.pending[i].event).collect::<Vec<_>>();
            sampled(&items, &events, samples, &mut random)
        };
        if !self.trace.domain.is_memory() {
            self.add_torn(&items, samples, &mut random, &mut choices);
        }
        choices
    }

    /// The bytes that `choice` leaves, if the file is there.
    #[must_use]
    pub fn build(&self, choice: &Choice) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.build_into(choice, &mut bytes);
        bytes
    }

    /// Makes `bytes` what `choice` leaves. As [`build`](Self::build), reusing memory.
    pub fn build_into(&self, choice: &Choice, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(&self.base);
        let mut length = self.base_len;
        self.apply(bytes, &mut length, choice);
        bytes.resize(length, 0);
    }

    /// Applies the survivors to `bytes`, which may be longer or shorter than the pool, and to its length.
    fn apply(&self, bytes: &mut Vec<u8>, length: &mut usize, choice: &Choice) {
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
                *length = len as usize;
                if cut && bytes.len() > *length {
                    bytes[*length..].fill(0);
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
    }

    /// Lets the next event happen.
    fn step(&mut self) {
        let (trace, event) = (self.trace, self.index);
        self.index += 1;
        self.version += u64::from(trace.events[event].changes_states());
        let thread = trace.thread(event).bit();
        match &trace.events[event] {
            Event::Write { offset, bytes }
            | Event::Ordered { offset, bytes }
            | Event::DurableBegun { offset, bytes } => {
                self.add_pieces(event, *offset, 0, bytes.len() as u64, thread);
            }
            Event::Store { runs, .. } => {
                // What another thread can see is in the caches. Where these are persistent, its fence waits for nothing.
                let flushed_by = if trace.domain == Domain::Byte { u64::MAX } else { 0 };
                let mut start = 0;
                for (offset, len) in runs {
                    self.add_pieces(event, *offset, start, *len, flushed_by);
                    start += *len as usize;
                }
            }
            Event::Punch { offset, len } => self.add_hole(event, *offset, *len),
            Event::Grow { len } => self.add(event, Change::Length { len: *len, cut: false }, 0, true),
            Event::Truncate { len } => self.add(event, Change::Length { len: *len, cut: true }, 0, true),
            Event::Flushed { offset, len } => {
                self.pending.iter_mut().for_each(|item| item.flush(*offset, *len, thread));
            }
            Event::DurableDone { write } => self.make_durable(*write),
            Event::DurableFailed { write } => self.give_up(|item| item.event == *write),
            Event::Fenced { begun } => {
                self.settle_where(|item| item.event < *begun && item.flushed_by & thread != 0);
            }
            Event::FenceFailed { begun } => {
                self.give_up(|item| item.event < *begun && item.flushed_by & thread != 0);
            }
            Event::Synced { begun } => self.settle_where(self.covered_by_sync(*begun, thread)),
            Event::SyncFailed { begun } => self.give_up(self.covered_by_sync(*begun, thread)),
            Event::Renamed => self.presence = Presence::Either,
            Event::Published => self.presence = Presence::Present,
            Event::Mark(_) => {}
        }
    }

    /// Which items a sync is to make durable.
    fn covered_by_sync(&self, begun: usize, thread: u64) -> impl Fn(&Pending) -> bool + use<> {
        let is_memory = self.trace.domain.is_memory();
        move |item| {
            item.event < begun
                && (!is_memory || item.needs_sync || item.orphan || item.flushed_by & thread != 0)
        }
    }

    fn add(&mut self, event: usize, change: Change, flushed_by: u64, needs_sync: bool) {
        let orphan = self.trace.thread(event) == Thread::DEAD;
        let item = Pending { event, change, stuck: false, flushed_by, needs_sync, orphan };
        self.erased |= item.erases();
        self.pending.push(item);
    }

    /// Adds what an event wrote, from `start` in its bytes, in pieces that survive or not each by itself.
    fn add_pieces(&mut self, event: usize, offset: u64, start: usize, len: u64, flushed_by: u64) {
        let trace = self.trace;
        let Some(written) = trace.written(event) else { return };
        let unit = if trace.domain.is_memory() { WORD } else { SECTOR };
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let count = (unit - at % unit).min(len - done);
            let piece = Change::Piece { offset: at, start: start + done as usize, len: count as usize };
            done += count;
            if unit == WORD {
                let end = start + done as usize;
                let bytes = &written[end - count as usize..end];
                // The same word again cannot be seen, unless something older may come to light in its place.
                if !self.erased
                    && !self.busy.contains(&(at / WORD))
                    && self.equals_base(at, bytes.len(), Some(bytes))
                {
                    continue;
                }
                self.busy.insert(at / WORD);
            }
            self.add(event, piece, flushed_by, false);
        }
    }

    fn add_hole(&mut self, event: usize, offset: u64, len: u64) {
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let count = (SECTOR - at % SECTOR).min(len - done);
            let piece = Change::Piece { offset: at, start: done as usize, len: count as usize };
            self.add(event, piece, 0, true);
            done += count;
        }
    }

    /// Marks items that no later sync or fence covers.
    fn give_up(&mut self, failed: impl Fn(&Pending) -> bool) {
        self.pending.iter_mut().filter(|item| failed(item)).for_each(|item| item.stuck = true);
    }

    /// Moves the items that became durable into the base, but for what is stuck.
    fn settle_where(&mut self, durable: impl Fn(&Pending) -> bool) {
        let settles = |item: &Pending| durable(item) && !item.stuck;
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
        self.base_len = self.base_len.max(needed as usize);
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
        if survivors.is_empty() {
            return;
        }
        let choice = Choice { survivors, torn: Vec::new() };
        let (mut base, mut length) = (std::mem::take(&mut self.base), self.base_len);
        self.apply(&mut base, &mut length, &choice);
        (self.base, self.base_len) = (base, length);
        let mut next = choice.survivors.iter().peekable();
        let (mut settled, mut rest) = (Vec::new(), Vec::new());
        for (index, item) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let gone = next.next_if(|&&i| i == index).is_some();
            if gone { settled.push(item) } else { rest.push(item) }
        }
        self.pending = if rest.is_empty() { rest } else { uncovered(rest, &settled) };
        self.erased = self.pending.iter().any(Pending::erases);
        if self.trace.domain.is_memory() {
            self.busy = self.pending.iter().flat_map(|item| item.units(WORD)).collect();
        }
    }

    fn all_items(&self) -> Vec<usize> {
        (0..self.pending.len()).collect()
    }

    /// The items whose survival can be seen: those of a sector or word in which some piece differs from the base, and
    /// changes of length.
    fn items_that_matter(&self) -> Vec<usize> {
        if self.pending.iter().any(|item| matches!(item.change, Change::Length { cut: true, .. })) {
            return self.all_items();
        }
        let unit = if self.trace.domain.is_memory() { WORD } else { SECTOR };
        let mut seen = HashSet::new();
        for item in &self.pending {
            if let Change::Piece { offset, start, len } = item.change {
                let written = self.trace.written(item.event).map(|w| &w[start..start + len]);
                if !self.equals_base(offset, len, written) {
                    seen.extend(item.units(unit));
                }
            }
        }
        let matters = |&i: &usize| match self.pending[i].change {
            Change::Piece { .. } => self.pending[i].units(unit).any(|unit| seen.contains(&unit)),
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

/// Whether all subsets of so many items are tried instead of `samples`.
fn exhaustive(items: usize, samples: usize) -> bool {
    items <= ALL_SUBSETS_MAX && 1 << items <= samples.saturating_mul(ALL_SUBSETS_WORTH)
}
