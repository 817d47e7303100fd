//! Replay: from the entries of records to home.
//!
//! Entries are collected, sorted by page, and laid over each other page by page in their order, so that the later word
//! wins. Each page is then written with as few writes as its runs need: a page of many small runs is read and written
//! whole, neighbours are joined up to a mebibyte. Nothing here orders anything: the caller syncs when all is written,
//! and until then the records stay in the ring (J4).

use super::record::Entry;
use crate::ground::error::Result;
use crate::media::Media;

const PAGE_LEN: usize = 4096;
const PAGE_WORDS: usize = PAGE_LEN / 8;
/// Words held at once (64 MiB) and pieces of entries (64 MiB); reached, they are written out early, which is as good as
/// later. Unit tests and Miri reach them, and the next one.
const WORDS_MAX: usize = if cfg!(any(miri, test)) { 1 << 10 } else { 8 << 20 };
const PIECES_MAX: usize = if cfg!(any(miri, test)) { 64 } else { 4 << 20 };
/// A page with more runs is read and written whole.
const RUNS_MAX: usize = 3;
/// One write to home is at most this long (1 MiB).
const WRITE_LEN_MAX: usize = if cfg!(any(miri, test)) { 16 << 10 } else { 1 << 20 };
/// Zero runs this long go to the medium directly.
const LONG_ZEROS: u64 = (64 << 10) / 8;

/// The part of an entry that lies in one page.
#[derive(Clone, Copy)]
struct Piece {
    /// The page's number, the first word in it (12 bits), and how many (12 bits).
    place: u64,
    /// One word itself, zero for zeros, else the index of the first word among those held.
    value: u64,
}

impl Piece {
    fn new(page: u64, start: usize, count: usize, value: u64) -> Self {
        Self { place: page << 24 | (start as u64) << 12 | count as u64, value }
    }

    fn page(&self) -> u64 {
        self.place >> 24
    }

    fn start(&self) -> usize {
        (self.place >> 12 & 0xFFF) as usize
    }

    fn count(&self) -> usize {
        (self.place & 0xFFF) as usize
    }
}

/// Stands for zeros, where several words have no place among those held.
const ZEROS: u64 = u64::MAX;

/// The words of one page that are known.
struct Page {
    words: [u64; PAGE_WORDS],
    present: [u64; PAGE_WORDS / 64],
}

impl Page {
    fn lay(&mut self, piece: Piece, held: &[u64]) {
        let (start, count) = (piece.start(), piece.count());
        let target = &mut self.words[start..start + count];
        match (target, piece.value) {
            ([word], value) => *word = value,
            (words, ZEROS) => words.fill(0),
            (words, at) => words.copy_from_slice(&held[at as usize..at as usize + count]),
        }
        let end = start + count;
        for (index, present) in self.present.iter_mut().enumerate().take(end.div_ceil(64)).skip(start / 64) {
            let (first, last) = (start.saturating_sub(index * 64), (end - index * 64).min(64));
            *present |= (u64::MAX >> (64 - (last - first))) << first;
        }
    }

    fn has(&self, word: usize) -> bool {
        self.present[word / 64] >> (word % 64) & 1 == 1
    }

    /// The first word from `at` on that is present, or that is not.
    fn next(&self, at: usize, present: bool) -> usize {
        let mut at = at;
        while at < PAGE_WORDS {
            let bits = if present { self.present[at / 64] } else { !self.present[at / 64] } >> (at % 64);
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
            at = (at / 64 + 1) * 64;
        }
        PAGE_WORDS
    }

    /// (start, end) in words of each run that is present.
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = self.next(at, true);
            at = self.next(start, false);
            (start < PAGE_WORDS).then_some((start, at))
        })
    }
}

/// Collects entries and writes them home.
pub(super) struct Applier<'m> {
    media: &'m dyn Media,
    pieces: Vec<Piece>,
    held: Vec<u64>,
    out: Vec<u8>,
    out_offset: u64,
    holding: bool,
}

impl<'m> Applier<'m> {
    pub(super) fn new(media: &'m dyn Media) -> Self {
        let (pieces, held, out) = (Vec::new(), Vec::new(), Vec::new());
        Self { media, pieces, held, out, out_offset: 0, holding: false }
    }

    /// An applier that writes nothing before [`release`](Self::release).
    pub(super) fn holding(media: &'m dyn Media) -> Self {
        Self { holding: true, ..Self::new(media) }
    }

    /// Allows writing.
    pub(super) fn release(&mut self) {
        self.holding = false;
    }

    /// Adds one entry; it wins over all earlier ones. `false`, with perhaps a part of it added, if it cannot be held
    /// without writing; adding it again later is harmless.
    pub(super) fn add(&mut self, entry: Entry<'_>) -> Result<bool> {
        match entry {
            Entry::Zeros { count, .. } if count >= LONG_ZEROS && self.holding => Ok(false),
            Entry::Zeros { offset, count } if count >= LONG_ZEROS => self.long_zeros(offset, count),
            Entry::Zeros { offset, count } => self.hold(offset, count as usize, None),
            Entry::Words { offset, words } => self.hold(offset, words.len() / 8, Some(words)),
        }
    }

    fn hold(&mut self, offset: u64, count: usize, words: Option<&[u8]>) -> Result<bool> {
        let mut done = 0;
        while done < count {
            let at = offset + done as u64 * 8;
            let start = (at % PAGE_LEN as u64) as usize / 8;
            let here = (PAGE_WORDS - start).min(count - done);
            if self.pieces.len() >= PIECES_MAX || self.held.len() + here > WORDS_MAX {
                if self.holding {
                    return Ok(false);
                }
                self.write_out()?;
            }
            let words = words.map(|words| words[done * 8..(done + here) * 8].as_chunks::<8>().0);
            let value = match words {
                Some([word]) => u64::from_ne_bytes(*word),
                None if here == 1 => 0,
                None => ZEROS,
                Some(words) => {
                    let at = self.held.len() as u64;
                    self.held.extend(words.iter().map(|word| u64::from_ne_bytes(*word)));
                    at
                }
            };
            self.pieces.push(Piece::new(at / PAGE_LEN as u64, start, here, value));
            done += here;
        }
        Ok(true)
    }

    fn long_zeros(&mut self, offset: u64, count: u64) -> Result<bool> {
        self.write_out()?;
        let zeros = vec![0; WRITE_LEN_MAX];
        let end = offset + count * 8;
        let mut at = offset;
        while at < end {
            let len = (end - at).min(WRITE_LEN_MAX as u64);
            self.media.write(at, &zeros[..len as usize])?;
            at += len;
        }
        Ok(true)
    }

    /// Writes everything collected so far.
    pub(super) fn write_out(&mut self) -> Result<()> {
        let (mut pieces, held) = (std::mem::take(&mut self.pieces), std::mem::take(&mut self.held));
        // Stable: within a page the order of the entries counts.
        pieces.sort_by_key(Piece::page);
        let mut page = Page { words: [0; PAGE_WORDS], present: [0; PAGE_WORDS / 64] };
        for group in pieces.chunk_by(|a, b| a.page() == b.page()) {
            // A whole page needs nothing of what was there before.
            if let [.., last] = group
                && last.count() == PAGE_WORDS
                && last.value != ZEROS
            {
                let words = &held[last.value as usize..last.value as usize + PAGE_WORDS];
                self.emit(last.page() * PAGE_LEN as u64, bytemuck::cast_slice(words))?;
                continue;
            }
            page.present = [0; PAGE_WORDS / 64];
            group.iter().for_each(|piece| page.lay(*piece, &held));
            let offset = group[0].page() * PAGE_LEN as u64;
            if page.runs().nth(RUNS_MAX).is_some() {
                self.fill_gaps(offset, &mut page)?;
            }
            for (start, end) in page.runs() {
                self.emit(offset + start as u64 * 8, bytemuck::cast_slice(&page.words[start..end]))?;
            }
        }
        self.emit_rest()?;
        (self.pieces, self.held) = (pieces, held);
        self.pieces.clear();
        self.held.clear();
        Ok(())
    }

    /// Completes a page from home.
    fn fill_gaps(&self, offset: u64, page: &mut Page) -> Result<()> {
        let mut home = [0u64; PAGE_WORDS];
        self.media.read(offset, bytemuck::cast_slice_mut(&mut home))?;
        for (word, home) in home.into_iter().enumerate() {
            if !page.has(word) {
                page.words[word] = home;
            }
        }
        page.present = [u64::MAX; PAGE_WORDS / 64];
        Ok(())
    }

    fn emit(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let joins = self.out_offset + self.out.len() as u64 == offset;
        if !joins || self.out.len() + bytes.len() > WRITE_LEN_MAX {
            self.emit_rest()?;
            self.out_offset = offset;
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn emit_rest(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.media.write(self.out_offset, &self.out)?;
            self.out.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a home that is written before it may be, a limit that loses words or their order, and a page that is
    //! completed with anything but what home holds.
    use super::*;
    use crate::media::RamMedia;
    use crate::media::hooked::{Hooked, noting};

    const LEN: u64 = 1 << 20;

    /// A medium full of 0xEE.
    fn media() -> RamMedia {
        let media = RamMedia::new(LEN).unwrap();
        media.grow(LEN).unwrap();
        media.write(0, &[0xEE; LEN as usize]).unwrap();
        media
    }

    /// What has no room is refused while nothing may be written, and taken when it may be.
    #[test]
    fn nothing_is_written_before_it_may_be() {
        let words = [0x55; (WORDS_MAX + 1) * 8];
        let media = media();
        let mut applier = Applier::holding(&media);
        let all = [
            Entry::Words { offset: 0, words: &[7; 8] },
            Entry::Zeros { offset: 0x20000, count: LONG_ZEROS },
            Entry::Words { offset: 4096, words: &words },
        ];
        assert_eq!(all.map(|entry| applier.add(entry).unwrap()), [true, false, false]);
        assert!(media.bytes().iter().all(|byte| *byte == 0xEE));
        applier.release();
        assert_eq!(all.map(|entry| applier.add(entry).unwrap()), [true; 3]);
        applier.write_out().unwrap();
        let mut expected = vec![0xEE; LEN as usize];
        expected[..8].fill(7);
        expected[0x20000..0x20000 + LONG_ZEROS as usize * 8].fill(0);
        expected[4096..4096 + words.len()].fill(0x55);
        assert!(media.bytes() == expected);
    }

    /// How many writes reach the medium.
    fn writes(add: impl FnOnce(&mut Applier<'_>)) -> u64 {
        let (hook, asked) = noting();
        let media = Hooked { memory: media(), hook };
        let mut applier = Applier::new(&media);
        add(&mut applier);
        applier.write_out().unwrap();
        let asked = asked.lock().unwrap();
        asked.iter().filter(|(what, _)| *what == "write").count() as u64
    }

    /// Would catch memory that grows beyond its limits, and what is written in pieces that it need not have.
    #[test]
    fn limits_are_kept_and_writes_are_few() {
        let words = [0x55; WORDS_MAX * 8];
        let media = media();
        let words_at = |offset: u64, count: usize| Entry::Words { offset, words: &words[..count * 8] };
        let mut holding = Applier::holding(&media);
        assert!(holding.add(words_at(0, WORDS_MAX)).unwrap());
        assert!(!holding.add(words_at(0, 2)).unwrap());
        let mut holding = Applier::holding(&media);
        assert!(holding.add(words_at(0, WORDS_MAX - 100)).unwrap());
        assert!(!holding.add(words_at(0, 200)).unwrap());
        let mut holding = Applier::holding(&media);
        let holds = (0..=PIECES_MAX as u64).map(|number| holding.add(words_at(number * 8, 1)).unwrap());
        assert_eq!(holds.filter(|held| *held).count(), PIECES_MAX);
        // What is short waits for its neighbours; what is long does not.
        let mut applier = Applier::new(&media);
        assert!(applier.add(Entry::Zeros { offset: 0, count: LONG_ZEROS }).unwrap());
        assert_eq!(applier.pieces.len(), 0);
        assert!(applier.add(Entry::Zeros { offset: 0, count: LONG_ZEROS - 1 }).unwrap());
        assert_eq!(applier.pieces.len(), (LONG_ZEROS as usize * 8).div_ceil(PAGE_LEN));

        let write_words = WRITE_LEN_MAX as u64 / 8;
        let zeros =
            |offset, count| writes(|applier| assert!(applier.add(Entry::Zeros { offset, count }).unwrap()));
        // A page that is known whole, two that lie together, and runs that are as long as a write may be, and longer.
        assert_eq!(zeros(8192, PAGE_WORDS as u64), 1);
        assert_eq!(zeros(8192, 2 * PAGE_WORDS as u64), 1);
        assert_eq!(zeros(8192, write_words), 1);
        assert_eq!(zeros(8192, write_words + 1), 2);
        assert_eq!(zeros(8192, write_words * 2), 2);
        assert_eq!(zeros(8192, LONG_ZEROS), LONG_ZEROS * 8 / WRITE_LEN_MAX as u64);
        assert_eq!(zeros(8192, LONG_ZEROS + 1), LONG_ZEROS * 8 / WRITE_LEN_MAX as u64 + 1);
        // Few runs are written as they are, many as the page that they are in.
        for (runs, expected) in [(1, 1), (RUNS_MAX, RUNS_MAX as u64), (RUNS_MAX + 1, 1)] {
            let found = writes(|applier| {
                (0..runs as u64).for_each(|run| assert!(applier.add(words_at(4096 + run * 64, 1)).unwrap()));
            });
            assert_eq!(found, expected, "{runs}");
        }
    }

    /// Far more small entries than are held at once: of each word the last one stays, and what lies between is untouched.
    #[test]
    fn the_last_word_wins_across_the_limits() {
        let media = media();
        let mut applier = Applier::new(&media);
        let mut expected = media.bytes();
        for number in 0..PIECES_MAX as u64 * 9 {
            let (offset, words) = (number % 100 * 24, number.to_le_bytes());
            let entry = match number % 7 {
                0 => Entry::Zeros { offset, count: 1 },
                1 => Entry::Zeros { offset, count: 2 },
                _ => Entry::Words { offset, words: &words },
            };
            let bytes = match number % 7 {
                0 => &[0; 8][..],
                1 => &[0; 16],
                _ => &words,
            };
            expected[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
            assert!(applier.add(entry).unwrap());
        }
        // A whole page, and one of zeros, need nothing of what was there.
        for (offset, byte) in [(8192, 3), (12288, 0)] {
            expected[offset..offset + PAGE_LEN].fill(byte);
            let (offset, words) = (offset as u64, [byte; PAGE_LEN]);
            let whole = Entry::Words { offset, words: &words };
            let zeros = Entry::Zeros { offset, count: PAGE_WORDS as u64 };
            assert!(applier.add(if byte == 0 { zeros } else { whole }).unwrap());
        }
        applier.write_out().unwrap();
        assert!(media.bytes() == expected);
    }
}
