//! The trace oracle: reads what a run did to its medium, store by store, and says which rule a store broke. It needs no
//! crash: a missing flush is found although no state that was tried has lost it.
//!
//! What it looks for:
//!
//! - **unflushed**: a store that is not durable when its transaction is acknowledged, when the record is written that
//!   commits it in place, or when the ring's head is moved past its record; and a record that is not durable when a later
//!   one says that it is. A store that repeats what a durable record
//!   says is excused, because recovery would make it again.
//! - **unlogged**: a store to a place of the pool that no durable record covers: under redo one whose new bytes are in
//!   no record, in place one whose old bytes are in none. What lies in free space needs no record.
//! - **redundant flushes and fences**: a line that was flushed with no store to it since it was last flushed, and a fence
//!   with nothing flushed before it. Not wrong, but paid for. Those of making a pool, before it has its name, are not
//!   counted: that happens once.
//!
//! The rules when a store is durable are M1 to M4, here once more and not the simulator's, and the format of records
//! and of the heap's metadata is read by [`format`], which shares no code with pobj: an oracle that asked the code under
//! test would agree with it.

mod format;
mod journal;

use std::collections::{HashMap, HashSet};
use std::fmt;

use pobj::media::Domain;
use pobj::media::sim::{Event, Trace};

use super::{Mark, Mode};
use format::{Geometry, HOME_TXID, LINE, WORD, word_at};
use journal::Journal;

/// Findings that are told in full.
const TOLD_MAX: usize = 8;

/// What the oracle has seen.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Words that were stored.
    pub stores: u64,
    /// Lines that were written past the cache, or flushed by the write itself.
    pub written_through: u64,
    /// Lines that were stored to, and flushed later.
    pub flushes: u64,
    /// Of these, lines without a store since they were flushed last.
    pub redundant_flushes: u64,
    /// Of these, such as were flushed just before: the others were not stored to at all.
    pub flushed_twice: u64,
    /// Fences, and syncs and durable writes of a file.
    pub fences: u64,
    /// Of these, such as had nothing to cover.
    pub redundant_fences: u64,
    /// Acknowledgements at which stores were looked at.
    pub acknowledged: u64,
    /// Stores that were not durable when their transaction was acknowledged, or when something was written that relies
    /// on them.
    pub unflushed: u64,
    /// Stores that no durable record covers.
    pub unlogged: u64,
    /// The first of them, in words.
    pub told: Vec<String>,
}

impl Findings {
    /// How many rules were broken.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.unflushed + self.unlogged
    }

    /// Counts another run's findings too.
    pub fn add(&mut self, other: &Self) {
        self.stores += other.stores;
        self.written_through += other.written_through;
        self.flushes += other.flushes;
        self.redundant_flushes += other.redundant_flushes;
        self.flushed_twice += other.flushed_twice;
        self.fences += other.fences;
        self.redundant_fences += other.redundant_fences;
        self.acknowledged += other.acknowledged;
        self.unflushed += other.unflushed;
        self.unlogged += other.unlogged;
        self.told.extend(other.told.iter().cloned());
        self.told.truncate(TOLD_MAX);
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.len() < TOLD_MAX {
            self.told.push(what());
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} words stored, {} acknowledgements: {} unflushed, {} unlogged; \
             {} lines written through, {} flushed, {} in vain \
             ({} of them twice); {} fences, {} in vain",
            self.stores,
            self.acknowledged,
            self.unflushed,
            self.unlogged,
            self.written_through,
            self.flushes,
            self.redundant_flushes,
            self.flushed_twice,
            self.fences,
            self.redundant_fences,
        )?;
        self.told.iter().try_for_each(|told| write!(f, "\n  {told}"))
    }
}

/// Reads a whole trace.
#[must_use]
pub fn examine(trace: &Trace) -> Findings {
    let mut oracle = Oracle::new(trace);
    (0..trace.events().len()).for_each(|event| oracle.step(event));
    oracle.findings
}

/// Reads a whole trace, in which every rule is to hold.
///
/// # Panics
///
/// If one does not.
pub fn assert_clean(mode: Mode, trace: &Trace) {
    let found = examine(trace);
    println!("{mode:?}, the trace oracle: {found}");
    assert!(found.violations() == 0 && found.acknowledged > 0, "{mode:?}: {found}");
}

/// A word that was stored and is not yet durable.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    event: usize,
    /// The threads whose next fence makes it durable, one bit each.
    flushed_by: u64,
    /// The allocator has cleared it, in place, in space that was free. What its owner does not name does not count.
    cleared: bool,
}

struct Oracle<'t> {
    trace: &'t Trace,
    /// What a reader sees.
    view: Vec<u8>,
    /// Words, by their number, that are not yet durable.
    waiting: HashMap<u64, Waiting>,
    /// Lines that were stored to and not flushed since.
    dirty: HashSet<u64>,
    /// Lines that were flushed since somebody's last fence, and not stored to since.
    flushed_lines: HashSet<u64>,
    /// Threads that have flushed something since their last fence.
    flushed: u64,
    /// A length has changed, or a hole was made, that no sync has covered.
    needs_sync: bool,
    published: bool,
    geometry: Option<Geometry>,
    journal: Journal,
    findings: Findings,
}

impl<'t> Oracle<'t> {
    fn new(trace: &'t Trace) -> Self {
        Self {
            trace,
            view: trace.initial().to_vec(),
            waiting: HashMap::new(),
            dirty: HashSet::new(),
            flushed_lines: HashSet::new(),
            flushed: 0,
            needs_sync: false,
            published: !trace.initial().is_empty(),
            geometry: None,
            journal: Journal::default(),
            findings: Findings::default(),
        }
    }

    fn is_memory(&self) -> bool {
        self.trace.domain().is_memory()
    }

    fn thread(&self, event: usize) -> u64 {
        1_u64.checked_shl(self.trace.thread_number(event).into()).unwrap_or(0)
    }

    fn step(&mut self, event: usize) {
        let thread = self.thread(event);
        match &self.trace.events()[event] {
            Event::Write { offset, bytes }
            | Event::Ordered { offset, bytes }
            | Event::DurableBegun { offset, bytes } => {
                self.flushed |= thread;
                self.stored(event, &[(*offset, bytes.len() as u64)], bytes, thread);
                if self.published && self.trace.domain() == Domain::CacheLine {
                    self.findings.written_through += lines(*offset, bytes.len() as u64).count() as u64;
                }
                let end = *offset + bytes.len() as u64;
                // What else lies in a line that is written in part is not flushed with it.
                for line in offset.div_ceil(LINE)..end / LINE {
                    self.dirty.remove(&line);
                    self.flushed_lines.remove(&line);
                }
                self.note_records(*offset, bytes);
            }
            Event::Store { runs, bytes } => {
                let by_itself = if self.trace.domain() == Domain::Byte { u64::MAX } else { 0 };
                self.flushed |= by_itself;
                self.stored(event, runs, bytes, by_itself);
                for (offset, len) in runs {
                    self.dirty.extend(lines(*offset, *len));
                    lines(*offset, *len).for_each(|line| _ = self.flushed_lines.remove(&line));
                }
            }
            Event::Flushed { offset, len } => self.flush(*offset, *len, thread),
            Event::DurableDone { write } => {
                self.findings.fences += u64::from(self.published);
                self.settle(|waiting| waiting.event == *write);
            }
            Event::Fenced { begun } => {
                self.fence(thread, false);
                self.settle(|waiting| waiting.event < *begun && waiting.flushed_by & thread != 0);
            }
            Event::Synced { begun } => {
                self.fence(thread, true);
                let memory = self.is_memory();
                self.settle(|waiting| {
                    waiting.event < *begun && (!memory || waiting.flushed_by & thread != 0)
                });
            }
            Event::Grow { len } => {
                self.needs_sync = true;
                self.view.resize(*len as usize, 0);
            }
            Event::Truncate { len } => {
                self.needs_sync = true;
                self.view.truncate(*len as usize);
                self.waiting.retain(|word, _| *word * WORD < *len);
            }
            Event::Punch { offset, len } => {
                self.needs_sync = true;
                self.view[*offset as usize..(*offset + *len) as usize].fill(0);
                self.waiting.retain(|word, _| !(*offset..*offset + *len).contains(&(word * WORD)));
            }
            Event::Published => self.published = true,
            Event::Mark(mark) => {
                if let Mark::Durable(step) = Mark::decode(*mark) {
                    self.acknowledged(step);
                }
            }
            Event::DurableFailed { .. }
            | Event::FenceFailed { .. }
            | Event::SyncFailed { .. }
            | Event::Renamed => {}
        }
    }

    /// Something was stored; `flushed_by` says whose fence will cover it.
    fn stored(&mut self, event: usize, runs: &[(u64, u64)], bytes: &[u8], flushed_by: u64) {
        let unlogged = if self.published { self.unlogged(runs, bytes) } else { Vec::new() };
        self.findings.unlogged += unlogged.len() as u64;
        if let Some((offset, value)) = unlogged.first() {
            let old = word_at(&self.view, *offset);
            self.findings.tell(|| {
                format!("event {event}: {old:#x} at {offset:#x} became {value:#x}, and no durable record covers that")
            });
        }
        let own = self.thread(event);
        let mut from = 0;
        for (offset, len) in runs {
            let (start, len) = (*offset as usize, *len as usize);
            self.view[start..start + len].copy_from_slice(&bytes[from..from + len]);
            from += len;
            for word in *offset / WORD..(*offset + len as u64).div_ceil(WORD) {
                self.findings.stores += 1;
                let cleared = flushed_by != own
                    && self.journal.is_in_place()
                    && word_at(&self.view, word * WORD) == 0
                    && self.is_free(word * WORD);
                self.waiting.insert(word, Waiting { event, flushed_by, cleared });
            }
        }
        if self.geometry.is_none() {
            self.geometry = Geometry::read(&self.view);
        }
    }

    /// The words among those about to be stored that need a record and have none, with their new values.
    fn unlogged(&self, runs: &[(u64, u64)], bytes: &[u8]) -> Vec<(u64, u64)> {
        let Some(geometry) = &self.geometry else { return Vec::new() };
        let mut from = 0;
        let mut rest = Vec::new();
        // The heap's metadata comes first: whether other places are free depends on it.
        let mut metadata = HashMap::new();
        for (offset, len) in runs {
            let new = &bytes[from..from + *len as usize];
            from += *len as usize;
            if !offset.is_multiple_of(WORD) || !geometry.is_home(&self.view, *offset) {
                continue;
            }
            for at in (0..*len).step_by(WORD as usize) {
                let (place, value) = (offset + at, word_at(new, at));
                if word_at(&self.view, place) == value {
                    continue;
                }
                if self.repeats_record(place, value) {
                    metadata.insert(place, value);
                } else {
                    rest.push((place, value));
                }
            }
        }
        let now = |place: u64| metadata.get(&place).copied().unwrap_or_else(|| word_at(&self.view, place));
        rest.retain(|(place, value)| {
            let is_id = *place == HOME_TXID && *value <= self.journal.last_durable();
            let undone = self.journal.has_old(*place, &self.waiting);
            !is_id && !undone && geometry.is_allocated(now, *place)
        });
        rest
    }

    /// Whether a durable record that recovery would replay says so.
    fn repeats_record(&self, place: u64, value: u64) -> bool {
        self.journal.says_from(0, place, value, &self.waiting)
    }

    /// A word as it is after all durable commits, whether home has it yet or not.
    fn committed_word(&self, place: u64) -> u64 {
        self.journal.newest(place, &self.waiting).unwrap_or_else(|| word_at(&self.view, place))
    }

    fn note_records(&mut self, offset: u64, bytes: &[u8]) {
        let Some(geometry) = &self.geometry else { return };
        if geometry.is_slot(offset) {
            let kept_from = self.journal.note_state(offset, bytes);
            self.relied_on("the ring's state was written", Some(kept_from));
        } else if geometry.may_hold_records(&self.view, offset) {
            let pool_id = geometry.pool_id;
            let noted = self.journal.note_records(pool_id, offset, bytes, &self.view, &self.waiting);
            if noted.commits_in_place {
                self.relied_on("a commit record was written", None);
            }
            if noted.vouches_in_vain && self.published {
                self.findings.unflushed += 1;
                self.findings.tell(|| {
                    format!(
                        "the record at {offset:#x} was written, and says that one is durable which is not"
                    )
                });
            }
        }
    }

    fn flush(&mut self, offset: u64, len: u64, thread: u64) {
        for line in lines(offset, len) {
            let in_vain = !self.dirty.remove(&line);
            let twice = !self.flushed_lines.insert(line);
            if self.published {
                self.findings.flushes += 1;
                self.findings.redundant_flushes += u64::from(in_vain);
                self.findings.flushed_twice += u64::from(in_vain && twice);
            }
            for word in line * LINE / WORD..(line + 1) * LINE / WORD {
                if let Some(waiting) = self.waiting.get_mut(&word) {
                    waiting.flushed_by |= thread;
                }
            }
        }
        self.flushed |= thread;
    }

    fn fence(&mut self, thread: u64, sync: bool) {
        let covers = if self.is_memory() { self.flushed & thread != 0 } else { !self.waiting.is_empty() };
        if self.published {
            let in_vain = !(covers || sync && self.needs_sync);
            self.findings.fences += 1;
            self.findings.redundant_fences += u64::from(in_vain);
        }
        self.flushed_lines.clear();
        self.flushed &= !thread;
        self.needs_sync &= !sync;
    }

    fn settle(&mut self, durable: impl Fn(&Waiting) -> bool) {
        self.waiting.retain(|_, waiting| !durable(waiting));
        self.journal.settle(&self.waiting);
    }

    /// A transaction was acknowledged as durable: whatever was stored by now must be, but for what the journal repeats,
    /// or puts back.
    fn acknowledged(&mut self, step: u64) {
        self.findings.acknowledged += 1;
        self.expect_durable(&format!("step {step} was acknowledged"), |oracle, place| {
            let value = word_at(&oracle.view, place);
            oracle.repeats_record(place, value) || oracle.journal.has_old(place, &oracle.waiting)
        });
    }

    /// Something was written that relies on what home holds: that must be durable, but for what a record repeats that
    /// stays, of a transaction from `kept_from` on, or what the running transaction would put back.
    fn relied_on(&mut self, what: &str, kept_from: Option<u64>) {
        if !self.published {
            return;
        }
        self.expect_durable(what, |oracle, place| {
            let home = oracle.geometry.is_some_and(|geometry| geometry.is_home(&oracle.view, place));
            let value = word_at(&oracle.view, place);
            let running = kept_from.is_some() && oracle.journal.has_old(place, &oracle.waiting);
            !home
                || running
                || oracle.journal.says_from(kept_from.unwrap_or(0), place, value, &oracle.waiting)
        });
    }

    fn expect_durable(&mut self, what: &str, excused: impl Fn(&Self, u64) -> bool) {
        let in_place = self.journal.is_in_place();
        let mut open: Vec<_> = self
            .waiting
            .iter()
            // In place, a block that was taken and freed again was not worth a flush.
            .filter(|(_, waiting)| !waiting.cleared)
            .filter(|(word, _)| !(excused(self, *word * WORD) || in_place && self.is_free(*word * WORD)))
            .map(|(word, waiting)| (*word, *waiting))
            .collect();
        open.sort_by_key(|(word, _)| *word);
        self.findings.unflushed += open.len() as u64;
        if let Some((word, waiting)) = open.first() {
            let (offset, since, count) = (word * WORD, waiting.event, open.len());
            let flushed = if waiting.flushed_by == 0 { "flushed" } else { "fenced" };
            self.findings.tell(|| {
                format!(
                    "{what}, and {offset:#x}, stored at event {since}, is not {flushed} ({count} such words)"
                )
            });
        }
        // Told once.
        for (word, _) in &open {
            self.waiting.remove(word);
        }
    }

    /// Whether a place is in the heap's free space, or in space that no transaction has added yet: nothing depends on
    /// what lies there.
    fn is_free(&self, place: u64) -> bool {
        let word = |place: u64| self.committed_word(place);
        self.geometry.is_some_and(|geometry| geometry.is_free(word, place))
    }
}

fn lines(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / LINE..(offset + len).div_ceil(LINE)
}
