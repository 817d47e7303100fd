//! Appending on persistent memory: no lock, one fence.
//!
//! The one writer owns the ring's tail (an [`Appender`]); nobody else needs it. A record is encoded in a small
//! buffer and goes to the ring by non-temporal stores, the pool is released to the next writer (J8), and a
//! fence of the thread that stored the record makes it durable. Since a fence covers its own thread only, the
//! transactions become durable in the order of their fences: each committer waits for its predecessor's.
//!
//! The checkpoint reads the records from the ring, up to the last one that is durable. The writer sees the head
//! through a copy of its own, which it renews when that runs out: were head and tail shared, each commit would wait
//! for the cache lines of the other side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{self, Entry, Header, Kind};
use super::recover::Scan;
use super::ring::{Journal, Mode};
use super::spill::Spill;
use super::state::RingState;
use crate::ground::domain::CACHE_LINE;
use crate::ground::error::{Error, Result};
use crate::ground::sync::Alone;
use crate::media::{Media, MediaCounts};

/// Entries of so many bytes, and whole lines, are written past the cache, not stored and flushed.
const WHOLE: usize = 256;
/// So many lines are remembered, to flush each about once.
const RECENT_LINES: usize = 4096;
/// So many lines are flushed before the processor is offered to others; see [`TURN_LEN`](super::checkpoint::TURN_LEN).
const TURN_LINES: usize = 1024;
/// Long runs of zeros are written in pieces.
static ZEROS: [u8; 4096] = [0; 4096];
/// The background thread is roused again after so much of the ring, if it was slow to come.
const ROUSE_AGAIN: u64 = 16;

/// The end of the ring that records are appended to. The writer's own. What each record changes comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Appender {
    tail: u64,
    /// Position of the beginning of the lap that the tail is in.
    lap: u64,
    last_txid: u64,
    /// Where the head was when last looked at.
    head: u64,
    /// The tail at which to look whether a checkpoint is due.
    look_at: u64,
    scratch: Vec<u64>,
    /// Where others look. `None` where that is not how they know.
    progress: Option<Arc<Progress>>,
}

impl Appender {
    /// Tells those who do not have the ring's end where it is.
    #[inline]
    pub(crate) fn publish(&self) {
        if let Some(progress) = &self.progress {
            progress.tail.store(self.tail, Ordering::Release);
            progress.appended.store(self.last_txid, Ordering::Release);
        }
    }
}

/// What the writer, the committers and the checkpoint tell each other.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Progress {
    /// The last transaction that has a place in the ring, and where the ring ends behind it. Where several transactions
    /// run at once, the record may still be on its way there, and later ones are not told of here at once (see
    /// [`reserve`](super::reserve)).
    appended: AtomicU64,
    tail: AtomicU64,
    /// The last transaction of an earlier open.
    before: u64,
    /// Position of the head.
    head: Alone<AtomicU64>,
}

impl Progress {
    pub(super) fn new(state: &RingState) -> Self {
        Self {
            appended: AtomicU64::new(state.txid),
            tail: AtomicU64::new(state.head),
            before: state.txid,
            head: Alone(AtomicU64::new(state.head)),
        }
    }

    /// For who orders transactions under the ring's lock, and has no [`Appender`].
    pub(super) fn note_appended(&self, txid: u64) {
        self.appended.store(txid, Ordering::Release);
    }

    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// Transactions that were appended since the pool was opened.
    pub(super) fn records(&self) -> u64 {
        self.appended() - self.before
    }

    fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// Bytes between head and tail.
    pub(super) fn used(&self) -> u64 {
        self.tail.load(Ordering::Acquire) - self.head.0.load(Ordering::Acquire)
    }
}

/// Brings entries home: words are stored at once, in order, and their lines are flushed together at the end. So a line
/// that changed in many transactions is flushed about once.
struct Lines<'m> {
    media: &'m dyn Media,
    buffers: Buffers,
}

/// What a checkpoint works with, kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Lines to flush; a few may be there twice.
    touched: Vec<u64>,
    /// The lines that were touched last, by the low bits of their numbers.
    recent: Vec<u64>,
    window: Vec<u8>,
}

impl<'m> Lines<'m> {
    fn new(media: &'m dyn Media, mut buffers: Buffers) -> Self {
        buffers.touched.clear();
        buffers.recent.clear();
        buffers.recent.resize(RECENT_LINES, u64::MAX);
        Self { media, buffers }
    }

    fn add(&mut self, entry: Entry<'_>) -> Result<()> {
        match entry {
            Entry::Words { offset, words }
                if words.len() < WHOLE && !(offset | words.len() as u64).is_multiple_of(CACHE_LINE) =>
            {
                self.media.store(offset, words)?;
                self.touch(offset, words.len() as u64);
                Ok(())
            }
            Entry::Words { offset, words } => self.media.write(offset, words),
            Entry::Zeros { offset, count } => {
                let end = offset + count * 8;
                let mut at = offset;
                while at < end {
                    let len = (end - at).min(ZEROS.len() as u64);
                    self.media.write(at, &ZEROS[..len as usize])?;
                    at += len;
                }
                Ok(())
            }
        }
    }

    fn touch(&mut self, offset: u64, len: u64) {
        for line in offset / CACHE_LINE..=(offset + len - 1) / CACHE_LINE {
            let recent = &mut self.buffers.recent[line as usize % RECENT_LINES];
            if *recent != line {
                *recent = line;
                self.buffers.touched.push(line);
            }
        }
    }

    /// Flushes what was stored. A fence makes it durable.
    fn flush(self) -> Result<Buffers> {
        for lines in self.buffers.touched.chunks(TURN_LINES) {
            lines.iter().try_for_each(|line| self.media.flush(line * CACHE_LINE, CACHE_LINE))?;
            std::thread::yield_now();
        }
        Ok(self.buffers)
    }
}

impl Journal {
    /// The ring's end, for the pool's one writer.
    pub(crate) fn appender(&self) -> Appender {
        let state = self.lock().state;
        let look_at = state.head + self.len / 2;
        let (tail, last_txid, scratch) = (state.head, state.txid, Vec::new());
        let progress = (self.mode == Mode::Direct).then(|| Arc::clone(&self.progress));
        Appender { tail, lap: tail - tail % self.len, last_txid, head: tail, look_at, scratch, progress }
    }

    /// Orders one transaction: its record is on its way, and [`wait_durable`](Self::wait_durable) of the same thread
    /// makes it durable.
    #[inline]
    pub(super) fn append_direct(&self, end: &mut Appender, body: &[u64]) -> Result<u64> {
        if record::padded_len(body.len()) > self.len / 2 {
            return self.append_spilled_direct(end, body);
        }
        self.put_direct(end, Kind::Body, body)
    }

    #[cold]
    fn append_spilled_direct(&self, end: &mut Appender, body: &[u64]) -> Result<u64> {
        self.settle_spills()?;
        let _alone = self.lock_length();
        let (place, spill) = self.write_spill(body, self.media.len()?)?;
        // Before the record can be seen, so that no checkpoint passes it without its body.
        self.lock().spills.push_back(Spill { txid: end.last_txid + 1, ..spill });
        self.put_direct(end, Kind::Spill, &place).inspect_err(|_| {
            self.lock().spills.pop_back();
        })
    }

    fn put_direct(&self, end: &mut Appender, kind: Kind, body: &[u64]) -> Result<u64> {
        let total = record::padded_len(body.len());
        let (position, lap) = self.find_place(end, total)?;
        let (txid, horizon) = (end.last_txid + 1, self.foreground.horizon());
        let header = Header { txid, horizon, len: record::HEADER_LEN + body.len() * 8, kind };
        let at = self.offset + (position - lap);
        if let [first, second] = *body {
            let line = record::encode_line(self.salt, position, header, [first, second]);
            self.media.write_ordered(at, bytemuck::bytes_of(&line))?;
        } else {
            record::encode(&mut end.scratch, self.salt, position, header, body);
            self.media.write_ordered(at, bytemuck::cast_slice(&end.scratch))?;
            if total > 1 << 20 {
                end.scratch = Vec::new();
            }
        }
        let txid = self.advance(end, position + total, lap);
        end.publish();
        Ok(txid)
    }

    /// Where the next record goes if it has `total` bytes, and where the lap begins that it lies in. Makes room.
    #[inline]
    pub(super) fn find_place(&self, end: &mut Appender, total: u64) -> Result<(u64, u64)> {
        // A record never wraps.
        let lap = if end.tail + total > end.lap + self.len { end.lap + self.len } else { end.lap };
        let position = end.tail.max(lap);
        while position + total - end.head > self.len {
            self.find_room(end)?;
        }
        Ok((position, lap))
    }

    /// Moves the ring's end behind the next record. Gives the record's id.
    #[inline]
    pub(super) fn advance(&self, end: &mut Appender, tail: u64, lap: u64) -> u64 {
        (end.tail, end.lap) = (tail, lap);
        end.last_txid += 1;
        self.pace.note(tail);
        if end.tail >= end.look_at {
            self.rouse_direct(end);
        }
        end.last_txid
    }

    /// Renews the writer's copy of the head; makes a checkpoint if that is not enough.
    #[cold]
    fn find_room(&self, end: &mut Appender) -> Result<()> {
        end.publish();
        let before = end.head;
        end.head = self.progress.head.0.load(Ordering::Acquire);
        if end.head == before {
            self.checkpoint()?;
            end.head = self.progress.head.0.load(Ordering::Acquire);
            if end.head == before {
                return Err(Error::Poisoned);
            }
        }
        Ok(())
    }

    /// Wakes the background thread if the ring is half full.
    #[cold]
    fn rouse_direct(&self, end: &mut Appender) {
        end.head = self.progress.head.0.load(Ordering::Acquire);
        end.look_at = end.head + self.len / 2;
        if end.tail >= end.look_at {
            end.look_at = end.tail + self.len / ROUSE_AGAIN;
            end.publish();
            // Under the lock: the background thread looks and falls asleep under it.
            self.lock().background_idle = false;
            self.work.notify_one();
        }
    }

    /// Makes this thread's record durable: its fence, and the word of the thread before it. `counts` is what the
    /// transaction asked of the medium, this fence included.
    #[inline]
    pub(crate) fn fence_record(&self, txid: u64, counts: MediaCounts) -> Result<()> {
        let fenced = self.media.fence();
        fenced.and_then(|()| self.wait_fenced(txid - 1)).inspect_err(|_| self.poison())?;
        self.foreground.extend(txid, counts);
        Ok(())
    }

    /// Returns when everything up to `txid` is durable.
    #[inline]
    pub(super) fn wait_fenced(&self, txid: u64) -> Result<()> {
        self.foreground.wait(txid, || self.check_poison())
    }

    /// Brings home up to date with everything that is appended, and moves the head.
    pub(super) fn checkpoint_direct(&self) -> Result<()> {
        let mut ring = self.lock();
        let target = self.progress.appended();
        loop {
            self.check_poison()?;
            if ring.state.txid >= target {
                return Ok(());
            }
            if !ring.checkpointing {
                break;
            }
            ring = self.wait(ring);
        }
        ring.checkpointing = true;
        let used = self.progress.used();
        self.pace.begin(used, self.progress.tail(), self.len.saturating_sub(used));
        let mut state = ring.state;
        let spills: Vec<Spill> = ring.spills.iter().filter(|spill| spill.txid <= target).cloned().collect();
        drop(ring);
        let outcome = self
            .wait_fenced(target)
            .and_then(|()| self.apply_records(&mut state, target, &spills))
            .and_then(|()| state.store(&*self.media, self.salt.pool_id));
        self.cut_spills(&spills, &outcome);
        if outcome.is_ok() {
            self.progress.head.0.store(state.head, Ordering::Release);
        }
        self.finish_checkpoint(state, outcome)
    }

    /// Applies the records up to `target`, which lie durable in the ring, and notes in `state` that home has them.
    fn apply_records(&self, state: &mut RingState, target: u64, spills: &[Spill]) -> Result<()> {
        let mut buffers = std::mem::take(&mut self.lock().buffers);
        let mut scan = Scan::new(&*self.media, self.offset..self.offset + self.len, self.salt, state)
            .with_buffer(std::mem::take(&mut buffers.window));
        let mut home = Lines::new(&*self.media, buffers);
        self.read_back(&mut scan, target, spills, |entry| home.add(entry))?;
        let mut buffers = home.flush()?;
        (state.head, state.txid) = (scan.end(), target);
        buffers.window = scan.into_buffer();
        self.lock().buffers = buffers;
        self.media.sync()
    }
}

#[cfg(test)]
mod tests {
    //! Would catch entries that are brought home wrongly, lines that are not flushed although they were stored, and lines that
    //! are flushed again and again.
    use super::super::Durability;
    use super::super::tests::{RING_LEN, Scene, body, quiet, scene};
    use super::*;
    use crate::media::hooked::{Hooked, noting};
    use crate::media::{Domain, ImageMode, RamMedia, counts_here};

    const LEN: u64 = 1 << 20;

    /// What the medium was asked, in order, when these entries were brought home; and what it holds then.
    fn bring_home(entries: &[Entry<'_>]) -> (Vec<(&'static str, u64)>, Vec<u8>) {
        let memory = RamMedia::new(LEN).unwrap().with_domain(Domain::CacheLine);
        memory.grow(LEN).unwrap();
        memory.write(0, &[0xEE; LEN as usize]).unwrap();
        let (hook, asked) = noting();
        let media = Hooked { memory: memory.clone(), hook };
        let mut lines = Lines::new(&media, Buffers::default());
        entries.iter().for_each(|entry| lines.add(*entry).unwrap());
        lines.flush().unwrap();
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        (asked, memory.bytes())
    }

    #[test]
    fn what_is_short_is_stored_and_flushed_and_what_is_whole_is_written() {
        let words: Vec<u8> = (0..WHOLE as u32 * 2).map(|at| at as u8).collect();
        let at = |offset, len: usize| Entry::Words { offset, words: &words[..len] };
        let (asked, bytes) = bring_home(&[
            at(0x1008, 8),
            // Whole lines; a whole line's length elsewhere, and the beginning of one.
            at(0x2000, 64),
            at(0x3008, 64),
            at(0x3100, 72),
            // Many words, and one fewer.
            at(0x4008, WHOLE),
            at(0x5008, WHOLE - 8),
            Entry::Zeros { offset: 0x6008, count: 3 },
            Entry::Zeros { offset: 0x7000, count: 1125 },
        ]);
        let stores = [0x1008, 0x3008, 0x3100, 0x5008].map(|at| ("store", at));
        let writes = [0x2000, 0x4008, 0x6008, 0x7000, 0x8000, 0x9000].map(|at| ("write", at));
        let lines = [0x1000, 0x3000, 0x3040, 0x3100, 0x3140, 0x5000, 0x5040, 0x5080, 0x50C0];
        let named = |name| asked.iter().copied().filter(move |(what, _)| *what == name).collect::<Vec<_>>();
        assert_eq!(named("store"), stores);
        assert_eq!(named("write"), writes);
        assert_eq!(named("flush"), lines.map(|at| ("flush", at)));
        assert_eq!(asked.len(), 4 + 6 + 9);
        let mut expected = vec![0xEE; LEN as usize];
        for (offset, len) in
            [(0x1008, 8), (0x2000, 64), (0x3008, 64), (0x3100, 72), (0x4008, WHOLE), (0x5008, WHOLE - 8)]
        {
            expected[offset..offset + len].copy_from_slice(&words[..len]);
        }
        expected[0x6008..0x6020].fill(0);
        expected[0x7000..0x7000 + 9000].fill(0);
        assert!(bytes == expected);
    }

    #[test]
    fn lines_that_change_often_are_flushed_once() {
        let word = [7; 8];
        let entries: Vec<_> =
            (0..3000).map(|number| Entry::Words { offset: number % 1000 * 64 + 8, words: &word }).collect();
        let (asked, _) = bring_home(&entries);
        assert_eq!(asked.iter().filter(|(what, _)| *what == "flush").count(), 1000);
        // Two that take each other's place among the recent ones.
        let far = RECENT_LINES as u64 * 64;
        let entries = [0, far, 0].map(|offset| Entry::Words { offset, words: &word });
        let flushed: Vec<_> = bring_home(&entries).0.split_off(3);
        assert_eq!(flushed, [("flush", 0), ("flush", far), ("flush", 0)]);
    }

    /// A pool's journal whose ring nobody empties by himself, and its end.
    fn direct(ring_len: u64) -> (Scene, Appender) {
        let scene = scene(Domain::CacheLine, ImageMode::Private, ring_len, quiet());
        let end = scene.journal.appender();
        (scene, end)
    }

    /// Appends a record that takes so many bytes of the ring, and makes it durable.
    fn commit(scene: &Scene, end: &mut Appender, len: u64) -> u64 {
        // An entry has a head and up to 65 535 words.
        let words = (len as usize - record::HEADER_LEN) / 8;
        let body = body(scene, words - words.div_ceil(1 << 16), end.last_txid + 1);
        assert_eq!(record::padded_len(body.len()), len);
        let txid = scene.journal.append(end, &body, Durability::Immediate).unwrap();
        scene.journal.wait_durable(txid, counts_here()).unwrap();
        txid
    }

    /// Catches a record that is put elsewhere, or makes others go, although it would fit.
    #[test]
    fn a_ring_can_be_filled_to_its_last_line() {
        let (scene, mut end) = direct(RING_LEN);
        let (line, rest) = (128, RING_LEN / 2);
        for _ in 0..(RING_LEN - rest) / line {
            commit(&scene, &mut end, line);
        }
        // As long as a record in the ring may be.
        commit(&scene, &mut end, rest);
        assert_eq!((end.tail, scene.journal.progress.used()), (RING_LEN, RING_LEN));
        assert_eq!((scene.journal.counts().checkpoints, scene.journal.counts().spills), (0, 0));
        assert_eq!(scene.journal.progress.tail(), RING_LEN);
        let commits = scene.journal.progress.records();
        assert_eq!(commits, (RING_LEN - rest) / line + 1);
        assert_eq!(scene.recover(scene.memory.bytes()), (commits, commits));
        // Only now somebody must go; and what is a line longer than that goes elsewhere.
        commit(&scene, &mut end, line);
        assert_eq!((scene.journal.counts().checkpoints, scene.journal.progress.used()), (1, line));
        commit(&scene, &mut end, rest + 64);
        assert_eq!(scene.journal.counts().spills, 1);
        assert_eq!(scene.journal.lock().spills.front().map(|spill| spill.txid), Some(end.last_txid));
        scene.journal.checkpoint().unwrap();
        assert!(scene.journal.lock().spills.is_empty());
        assert_eq!(scene.recover(scene.memory.bytes()), (0, commits + 2));
    }

    /// Catches a writer that begins at the wrong place, or rouses the background too early, too late, or without an end.
    #[test]
    fn the_background_is_roused_at_half_a_ring_and_now_and_then_behind_it() {
        let (scene, mut end) = direct(RING_LEN);
        let idle = |is: bool| std::mem::replace(&mut scene.journal.lock().background_idle, is);
        for lap in 0..3 {
            let begin = end.tail;
            assert_eq!((begin, end.lap, end.look_at), (lap * RING_LEN, begin, begin + RING_LEN / 2));
            idle(true);
            while end.tail + 128 < begin + RING_LEN / 2 {
                commit(&scene, &mut end, 128);
            }
            assert!(idle(true), "roused at {} of {RING_LEN}", end.tail - begin);
            commit(&scene, &mut end, 128);
            assert!(!idle(true), "not roused");
            assert_eq!(end.look_at, end.tail + RING_LEN / ROUSE_AGAIN);
            while end.tail + 128 < begin + RING_LEN / 2 + RING_LEN / ROUSE_AGAIN {
                commit(&scene, &mut end, 128);
            }
            assert!(idle(true), "roused at {} of {RING_LEN}", end.tail - begin);
            // A checkpoint that was made meanwhile is found out about, and nobody is roused.
            scene.journal.checkpoint().unwrap();
            let head = end.tail;
            commit(&scene, &mut end, 128);
            assert!(idle(true), "roused for nothing");
            assert_eq!((end.head, end.look_at), (head, head + RING_LEN / 2));
            while end.tail < begin + RING_LEN {
                commit(&scene, &mut end, 128);
            }
            scene.journal.checkpoint().unwrap();
            end = scene.journal.appender();
        }
        // In the middle of a lap as well.
        commit(&scene, &mut end, 128);
        scene.journal.checkpoint().unwrap();
        let end = scene.journal.appender();
        assert_eq!((end.tail, end.lap, end.head), (3 * RING_LEN + 128, 3 * RING_LEN, end.tail));
        assert_eq!(end.look_at, end.tail + RING_LEN / 2);
    }

    /// Catches memory of a large record that is kept for ever, and a small one's that is given back each time.
    #[test]
    fn the_memory_of_large_records_is_given_back() {
        let (scene, mut end) = direct(4 << 20);
        commit(&scene, &mut end, 1 << 20);
        assert!(end.scratch.capacity() >= 1 << 17);
        commit(&scene, &mut end, (1 << 20) + 64);
        assert_eq!(end.scratch.capacity(), 0);
    }

    /// Catches records that do not say how much was durable when they were made.
    #[test]
    fn records_say_what_was_durable() {
        let (scene, mut end) = direct(RING_LEN);
        assert_eq!([128; 3].map(|len| commit(&scene, &mut end, len)), [1, 2, 3]);
        let bytes = scene.memory.bytes();
        let header = |number: u64| {
            let at = (scene.geometry.ring_offset + number * 128) as usize;
            record::decode(&bytes[at..at + 128], scene.journal.salt, number * 128).unwrap()
        };
        let said = [0, 1, 2].map(|number| (header(number).txid, header(number).horizon));
        assert_eq!(said, [(1, 0), (2, 1), (3, 2)]);
    }
}
