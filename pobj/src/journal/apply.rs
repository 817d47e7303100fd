//! Replay: from the entries of records to home.
//!
//! Entries of many records meet in page overlays, where the later word wins, and each page is then written with
//! as few writes as its runs need: a page of many small runs is read and written whole, neighbours are joined
//! up to a mebibyte. Nothing here orders anything: the caller syncs when all is written, and until then the
//! records stay in the ring (J4).

use super::record::Entry;
use crate::ground::error::Result;
use crate::ground::word_hash::WordMap;
use crate::media::Media;

const PAGE_LEN: usize = 4096;
const PAGE_WORDS: usize = PAGE_LEN / 8;
/// Overlays held at once (128 MiB); reached, they are written out early, which is as good as later.
const PAGES_MAX: usize = if cfg!(miri) { 4 } else { 32768 };
/// A page with more runs is read and written whole.
const RUNS_MAX: usize = 3;
/// One write to home is at most this long.
const WRITE_LEN_MAX: usize = 1 << 20;
/// Zero runs this long go to the medium directly.
const LONG_ZEROS: u64 = (64 << 10) / 8;

struct Page {
    bytes: Box<[u8; PAGE_LEN]>,
    present: [u64; PAGE_WORDS / 64],
}

impl Page {
    fn new() -> Self {
        Self { bytes: Box::new([0; PAGE_LEN]), present: [0; PAGE_WORDS / 64] }
    }

    fn mark(&mut self, start: usize, count: usize) {
        let end = start + count;
        for (index, present) in self.present.iter_mut().enumerate().take(end.div_ceil(64)).skip(start / 64) {
            let (first, last) = (start.saturating_sub(index * 64), (end - index * 64).min(64));
            *present |= (u64::MAX >> (64 - (last - first))) << first;
        }
    }

    fn has(&self, word: usize) -> bool {
        self.present[word / 64] >> (word % 64) & 1 == 1
    }

    /// (start, end) in words of each run that is present.
    fn runs(&self) -> Vec<(usize, usize)> {
        if self.present == [u64::MAX; PAGE_WORDS / 64] {
            return vec![(0, PAGE_WORDS)];
        }
        let mut runs = Vec::new();
        let mut at = 0;
        while at < PAGE_WORDS {
            if !self.has(at) {
                at += 1;
                continue;
            }
            let start = at;
            while at < PAGE_WORDS && self.has(at) {
                at += 1;
            }
            runs.push((start, at));
        }
        runs
    }
}

/// Collects entries and writes them home.
pub(super) struct Applier<'m> {
    media: &'m dyn Media,
    pages: WordMap<Page>,
    out: Vec<u8>,
    out_offset: u64,
    holding: bool,
}

impl<'m> Applier<'m> {
    pub(super) fn new(media: &'m dyn Media) -> Self {
        Self { media, pages: WordMap::default(), out: Vec::new(), out_offset: 0, holding: false }
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
            Entry::Zeros { offset, count } => self.overlay(offset, count as usize, None),
            Entry::Words { offset, words } => self.overlay(offset, words.len() / 8, Some(words)),
        }
    }

    fn overlay(&mut self, offset: u64, count: usize, words: Option<&[u8]>) -> Result<bool> {
        let mut done = 0;
        while done < count {
            let at = offset + done as u64 * 8;
            let start = (at % PAGE_LEN as u64) as usize / 8;
            let here = (PAGE_WORDS - start).min(count - done);
            if self.pages.len() >= PAGES_MAX && !self.pages.contains_key(&(at / PAGE_LEN as u64)) {
                if self.holding {
                    return Ok(false);
                }
                self.write_out()?;
            }
            let page = self.pages.entry(at / PAGE_LEN as u64).or_insert_with(Page::new);
            let target = &mut page.bytes[start * 8..(start + here) * 8];
            match words {
                Some(words) => target.copy_from_slice(&words[done * 8..(done + here) * 8]),
                None => target.fill(0),
            }
            page.mark(start, here);
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
        let mut pages: Vec<(u64, Page)> = self.pages.drain().collect();
        pages.sort_unstable_by_key(|(number, _)| *number);
        for (number, mut page) in pages {
            let offset = number * PAGE_LEN as u64;
            let mut runs = page.runs();
            if runs.len() > RUNS_MAX {
                self.fill_gaps(offset, &mut page)?;
                runs = vec![(0, PAGE_WORDS)];
            }
            for (start, end) in runs {
                self.emit(offset + start as u64 * 8, &page.bytes[start * 8..end * 8])?;
            }
        }
        self.emit_rest()
    }

    /// Completes a page from home.
    fn fill_gaps(&self, offset: u64, page: &mut Page) -> Result<()> {
        let mut home = [0; PAGE_LEN];
        self.media.read(offset, &mut home)?;
        for word in 0..PAGE_WORDS {
            if !page.has(word) {
                page.bytes[word * 8..word * 8 + 8].copy_from_slice(&home[word * 8..word * 8 + 8]);
            }
        }
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
