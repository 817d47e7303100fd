//! The ranges that a transaction may have changed, and their old words.
//!
//! Ranges are whole words. A range that was remembered before is not remembered twice, and one that begins where
//! the last one ended extends it, so pushing a million elements is one range. Overlaps are harmless: rolling
//! back goes from the newest range to the oldest, and a record may name a word twice.

use crate::ground::domain::CACHE_LINE;
use crate::ground::error::Result;
use crate::ground::word_hash::WordMap;
use crate::journal::Body;
use crate::media::Image;

/// An index for more ranges is given back at the end of its transaction.
const INDEX_KEPT: usize = 1 << 16;
/// So many old words are given back at the end of their transaction.
const OLD_KEPT: usize = 1 << 20;
/// A transaction with so few old words leaves nothing to give back.
const OLD_FEW: usize = 1 << 10;
/// So many ranges are searched one by one before the index is used.
const LINEAR_MAX: usize = 24;

#[derive(Clone, Copy)]
struct Range {
    offset: u64,
    words: usize,
    /// Index of the first old word in the arena.
    old: usize,
    /// Record every word, changed or not.
    all: bool,
}

/// Remembered ranges of one transaction.
#[derive(Default)]
pub(super) struct Ranges {
    ranges: Vec<Range>,
    old: Vec<u64>,
    /// Offset to the length in words, once there are more than a few ranges.
    index: WordMap<usize>,
    /// Where lines to flush begin and end.
    lines: Vec<(u64, u64)>,
}

impl Ranges {
    /// Remembers a range; `false` if it was remembered before.
    #[inline]
    pub(super) fn add(&mut self, image: &Image, offset: u64, words: usize, all: bool) -> bool {
        if !self.ranges.is_empty() && self.knows(offset, words) {
            return false;
        }
        let old = self.old.len();
        image.read_words(offset, words, |now| match now {
            // A call to copy one word costs more than the word.
            [word] => self.old.push(*word),
            _ => self.old.extend_from_slice(now),
        });
        if let Some(last) = self.ranges.last_mut()
            && last.offset + last.words as u64 * 8 == offset
            && last.all == all
        {
            last.words += words;
            return true;
        }
        self.ranges.push(Range { offset, words, old, all });
        if self.ranges.len() > LINEAR_MAX {
            if self.index.is_empty() {
                self.index.extend(self.ranges.iter().map(|range| (range.offset, range.words)));
            } else {
                self.index.insert(offset, words);
            }
        }
        true
    }

    /// The last `words` old words.
    pub(super) fn last_old(&self, words: usize) -> &[u64] {
        &self.old[self.old.len().saturating_sub(words)..]
    }

    /// Whether any word is another than it was, or is recorded either way.
    pub(super) fn have_changed(&self, image: &Image) -> bool {
        self.ranges.iter().any(|range| {
            let old = &self.old[range.old..range.old + range.words];
            let mut changed = range.all;
            image.read_words(range.offset, range.words, |now| changed |= now != old);
            changed
        })
    }

    /// The first offset of each range, and the one behind it.
    #[cfg(feature = "sim")]
    pub(super) fn spans(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|range| (range.offset, range.offset + range.words as u64 * 8))
    }

    /// The next [`flush_all`](Self::flush_all) is to flush these bytes too.
    #[inline]
    pub(super) fn flush_too(&mut self, offset: u64, len: u64) {
        self.lines.push((offset / CACHE_LINE * CACHE_LINE, (offset + len).next_multiple_of(CACHE_LINE)));
    }

    /// Gives `flush` the offset and the length of what must be flushed: every line of the ranges and of what else was
    /// named, each once however many ranges lie in it.
    pub(super) fn flush_all(&mut self, mut flush: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
        for index in 0..self.ranges.len() {
            let Range { offset, words, .. } = self.ranges[index];
            self.flush_too(offset, words as u64 * 8);
        }
        self.lines.sort_unstable();
        let mut lines = self.lines.drain(..);
        let Some((mut start, mut end)) = lines.next() else { return Ok(()) };
        for (next_start, next_end) in lines {
            if next_start > end {
                flush(start, end - start)?;
                start = next_start;
            }
            end = end.max(next_end);
        }
        flush(start, end - start)
    }

    fn knows(&self, offset: u64, words: usize) -> bool {
        let end = offset + words as u64 * 8;
        let covers = |range: &Range| range.offset <= offset && end <= range.offset + range.words as u64 * 8;
        if self.ranges.len() <= LINEAR_MAX {
            self.ranges.iter().any(covers)
        } else {
            self.ranges.last().is_some_and(covers)
                || self.index.get(&offset).is_some_and(|known| words <= *known)
        }
    }

    /// Adds what changed to a record's body.
    #[inline]
    pub(super) fn record(&self, image: &Image, body: &mut Body) {
        for range in &self.ranges {
            image.read_words(range.offset, range.words, |now| {
                if range.all {
                    body.contents(range.offset, now);
                } else if now.len() == range.words {
                    body.difference(range.offset, &self.old[range.old..range.old + range.words], now);
                }
            });
        }
    }

    /// Copies all old words back.
    pub(super) fn restore(&self, image: &Image) {
        for range in self.ranges.iter().rev() {
            let old = &self.old[range.old..range.old + range.words];
            image.store(range.offset, bytemuck::cast_slice(old));
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        if self.ranges.len() > LINEAR_MAX || self.old.len() > OLD_FEW {
            self.give_back();
        }
        self.ranges.clear();
        self.old.clear();
        self.lines.clear();
    }

    /// Gives memory back that small transactions do not need.
    #[cold]
    fn give_back(&mut self) {
        if self.index.capacity() > INDEX_KEPT {
            self.index = WordMap::default();
        } else {
            self.index.clear();
        }
        if self.old.capacity() > OLD_KEPT {
            self.old = Vec::new();
            self.ranges = Vec::new();
            self.lines = Vec::new();
        }
    }
}
