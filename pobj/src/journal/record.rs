//! The record: one committed transaction as bytes.
//!
//! ```text
//!  0  checksum   u64   XXH3 over bytes 8..len, seeded by pool, epoch salt and position (J2)
//!  8  txid       u64   consecutive
//! 16  horizon    u64   every transaction up to this one was durable when this record was made (J3)
//! 24  pool id    u64
//! 32  len        u32   bytes of the record, header included, padding excluded
//! 36  kind       u32   see `Kind`
//! 40  body       entries, whole words
//! ..  zeros to a multiple of 64
//! ```
//!
//! An entry is a head word (bits 0..45 word index, 45..48 kind, 48..64 count) and its payload:
//! `WORDS` count words; `ZEROS` nothing, or with count 0 one word that holds the count.
//!
//! Entries are absolute (J1): bits that the allocator sets or clears are recorded as the resulting word, which
//! is known because records are made in commit order. Home can so be written without reading it, and a later
//! entry simply wins.

use crate::ground::checksum::{checksum, mix};

/// Bytes of a record's header.
pub(crate) const HEADER_LEN: usize = 40;
/// Records start and end at multiples of this many bytes (a cache line).
pub(crate) const RECORD_ALIGN: u64 = 64;

const KIND_WORDS: u64 = 1;
const KIND_ZEROS: u64 = 2;
const INDEX_BITS: u32 = 45;
const COUNT_MAX: u64 = u16::MAX as u64;
/// Shorter runs of zero words are cheaper as plain words.
const ZEROS_WORTH: usize = 3;

/// How a record holds its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The entries follow the header.
    Body = 1,
    /// The header is followed by the place of the entries outside the ring.
    Spill = 2,
    /// In place: old words, to be put back unless a commit follows.
    Undo = 3,
    /// In place: the place of more old words outside the ring.
    Extent = 4,
    /// In place: as `Body`, and the old words before it are not needed any more.
    Commit = 5,
    /// In place: as `Spill`, likewise.
    CommitSpill = 6,
}

impl Kind {
    fn from_code(code: u64) -> Option<Self> {
        [Self::Body, Self::Spill, Self::Undo, Self::Extent, Self::Commit, Self::CommitSpill]
            .into_iter()
            .find(|kind| *kind as u64 == code)
    }

    /// Whether the record ends a transaction; otherwise it holds old words of one that has not ended.
    pub(crate) fn commits(self) -> bool {
        !matches!(self, Self::Undo | Self::Extent)
    }

    /// Whether the entries are outside the ring.
    pub(crate) fn is_spilled(self) -> bool {
        matches!(self, Self::Spill | Self::CommitSpill)
    }

    /// Whether the record was made in place, where each record is durable before the next one is begun.
    pub(crate) fn is_in_place(self) -> bool {
        !matches!(self, Self::Body | Self::Spill)
    }
}

/// A record's header, decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) txid: u64,
    pub(crate) horizon: u64,
    pub(crate) len: usize,
    pub(crate) kind: Kind,
}

/// What salts a record's checksum: where the record must lie to count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Salt {
    pub(crate) pool_id: u64,
    /// New at each open, so that what an earlier open left behind in the ring cannot pass.
    pub(crate) epoch: u64,
}

impl Salt {
    fn seed(self, position: u64) -> u64 {
        mix(self.pool_id ^ self.epoch.rotate_left(32), position)
    }
}

/// Length in the ring of a record with `body_words` words.
pub(crate) fn padded_len(body_words: usize) -> u64 {
    ((HEADER_LEN + body_words * 8) as u64).next_multiple_of(RECORD_ALIGN)
}

/// Words of a line.
const LINE_WORDS: usize = RECORD_ALIGN as usize / 8;

/// A record whose body is one changed word, the most frequent one: a line.
#[inline]
pub(crate) fn encode_line(salt: Salt, position: u64, header: Header, body: [u64; 2]) -> [u64; LINE_WORDS] {
    let [_, txid, horizon, pool_id, len_and_kind] = head_words(salt, header);
    let mut line = [0, txid, horizon, pool_id, len_and_kind, body[0], body[1], 0];
    line[0] = checksum(salt.seed(position), &bytemuck::bytes_of(&line)[8..HEADER_LEN + 16]).to_le();
    line
}

#[inline]
fn head_words(salt: Salt, header: Header) -> [u64; HEADER_LEN / 8] {
    let len_and_kind = header.len as u64 | (header.kind as u64) << 32;
    [0, header.txid, header.horizon, salt.pool_id, len_and_kind].map(u64::to_le)
}

/// Makes `words` a whole record, padding included.
#[inline]
pub(crate) fn encode(words: &mut Vec<u64>, salt: Salt, position: u64, header: Header, body: &[u64]) {
    debug_assert_eq!(header.len, HEADER_LEN + body.len() * 8);
    words.clear();
    words.reserve(padded_len(body.len()) as usize / 8);
    words.extend_from_slice(&head_words(salt, header));
    words.extend_from_slice(body);
    let sum = checksum(salt.seed(position), &bytemuck::cast_slice(words)[8..]);
    words[0] = sum.to_le();
    words.resize(words.len().next_multiple_of(LINE_WORDS), 0);
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// The length that a header at the start of `bytes` claims, if it can be one of this pool's at all.
pub(crate) fn claimed_len(bytes: &[u8], pool_id: u64) -> Option<usize> {
    if bytes.len() < HEADER_LEN || word_at(bytes, 24) != pool_id {
        return None;
    }
    let len = (word_at(bytes, 32) & 0xFFFF_FFFF) as usize;
    (len >= HEADER_LEN && len.is_multiple_of(8)).then_some(len)
}

/// The same, if so many bytes are there.
pub(crate) fn plausible_len(bytes: &[u8], pool_id: u64) -> Option<usize> {
    claimed_len(bytes, pool_id).filter(|len| *len <= bytes.len())
}

/// Whether a test has switched the checksum off to see that the crash harness notices.
#[inline(always)]
pub(crate) fn planted_bug() -> bool {
    #[cfg(feature = "sim")]
    return crate::media::sim::checksums_skipped();
    #[cfg(not(feature = "sim"))]
    false
}

/// Whether a header at the start of `bytes` claims that transaction `txid`, or a part of it, was durable before. Only
/// such a record is worth its checksum.
pub(crate) fn claims_durable(bytes: &[u8], pool_id: u64, txid: u64) -> bool {
    if bytes.len() < HEADER_LEN || word_at(bytes, 24) != pool_id {
        return false;
    }
    let in_place = Kind::from_code(word_at(bytes, 32) >> 32).is_some_and(Kind::is_in_place);
    word_at(bytes, 16) >= txid || (in_place && word_at(bytes, 8) == txid)
}

/// Decodes the record at the start of `bytes` if it is whole and belongs at `position`.
pub(crate) fn decode(bytes: &[u8], salt: Salt, position: u64) -> Option<Header> {
    let len = plausible_len(bytes, salt.pool_id)?;
    if checksum(salt.seed(position), &bytes[8..len]) != word_at(bytes, 0) && !planted_bug() {
        return None;
    }
    let kind = Kind::from_code(word_at(bytes, 32) >> 32)?;
    Some(Header { txid: word_at(bytes, 8), horizon: word_at(bytes, 16), len, kind })
}

/// The body of a record under construction: entries in words.
#[derive(Debug, Default)]
pub(crate) struct Body {
    words: Vec<u64>,
}

fn head(word_index: u64, kind: u64, count: u64) -> u64 {
    word_index | (kind << INDEX_BITS) | (count << (INDEX_BITS + 3))
}

impl Body {
    pub(crate) fn clear(&mut self) {
        self.words.clear();
        if self.words.capacity() > 1 << 20 {
            self.words = Vec::new();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Records that the word at `offset` (a multiple of 8) is now `value`.
    #[inline]
    pub(crate) fn word(&mut self, offset: u64, value: u64) {
        self.words.extend_from_slice(&[head(offset / 8, KIND_WORDS, 1), value]);
    }

    /// Records that the words from `offset` on are now `new`.
    #[inline]
    pub(crate) fn words_at(&mut self, offset: u64, new: &[u64]) {
        if let [word] = new {
            return self.word(offset, *word);
        }
        let mut index = offset / 8;
        for piece in new.chunks(COUNT_MAX as usize) {
            self.words.push(head(index, KIND_WORDS, piece.len() as u64));
            self.words.extend_from_slice(piece);
            index += piece.len() as u64;
        }
    }

    /// Records that `count` words from `offset` on are now zero.
    pub(crate) fn zeros(&mut self, offset: u64, count: u64) {
        if count <= COUNT_MAX {
            self.words.push(head(offset / 8, KIND_ZEROS, count));
        } else {
            self.words.push(head(offset / 8, KIND_ZEROS, 0));
            self.words.push(count);
        }
    }

    /// Records all of `new`, with runs of zeros in their short form.
    pub(crate) fn contents(&mut self, offset: u64, new: &[u64]) {
        let mut start = 0;
        let mut at = 0;
        while at < new.len() {
            if new[at] != 0 {
                at += 1;
                continue;
            }
            let zeros = new[at..].iter().take_while(|word| **word == 0).count();
            if zeros >= ZEROS_WORTH {
                if start < at {
                    self.words_at(offset + start as u64 * 8, &new[start..at]);
                }
                self.zeros(offset + at as u64 * 8, zeros as u64);
                start = at + zeros;
            }
            at += zeros;
        }
        if start < new.len() {
            self.words_at(offset + start as u64 * 8, &new[start..]);
        }
    }

    /// Records the words of `new` that differ from `old`. Two runs one equal word apart become one, because a
    /// second head would cost as much as that word.
    #[inline]
    pub(crate) fn difference(&mut self, offset: u64, old: &[u64], new: &[u64]) {
        debug_assert_eq!(old.len(), new.len());
        if let ([old], [new]) = (old, new) {
            if old != new {
                self.word(offset, *new);
            }
            return;
        }
        self.differences(offset, old, new);
    }

    fn differences(&mut self, offset: u64, old: &[u64], new: &[u64]) {
        // The run under construction: its first word and the one behind its last changed word.
        let (mut start, mut end) = (0, 0);
        for (at, (old, now)) in old.iter().zip(new).enumerate() {
            if old == now {
                continue;
            }
            if end == 0 {
                start = at;
            } else if at > end + 1 {
                self.words_at(offset + start as u64 * 8, &new[start..end]);
                start = at;
            }
            end = at + 1;
        }
        if end > 0 {
            self.words_at(offset + start as u64 * 8, &new[start..end]);
        }
    }
}

/// One entry of a body: absolute words at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// These words (little endian) from `offset` on.
    Words { offset: u64, words: &'a [u8] },
    /// `count` zero words from `offset` on.
    Zeros { offset: u64, count: u64 },
}

/// Iterates over the entries of a body's bytes; `Err` at a malformed one.
pub(crate) fn entries(body: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, &'static str>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= body.len() {
            return None;
        }
        let entry = parse_entry(body, &mut at);
        if entry.is_err() {
            at = body.len();
        }
        Some(entry)
    })
}

fn parse_entry<'a>(body: &'a [u8], at: &mut usize) -> Result<Entry<'a>, &'static str> {
    let head = word_at(body, *at);
    *at += 8;
    let offset = (head & ((1 << INDEX_BITS) - 1)) * 8;
    let count = head >> (INDEX_BITS + 3);
    match (head >> INDEX_BITS) & 7 {
        KIND_WORDS => {
            let len = count as usize * 8;
            let words = body.get(*at..*at + len).ok_or("an entry runs past its record")?;
            *at += len;
            Ok(Entry::Words { offset, words })
        }
        KIND_ZEROS if count == 0 => {
            if body.len() < *at + 8 {
                return Err("an entry runs past its record");
            }
            let count = word_at(body, *at);
            *at += 8;
            Ok(Entry::Zeros { offset, count })
        }
        KIND_ZEROS => Ok(Entry::Zeros { offset, count }),
        _ => Err("an entry of unknown kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt { pool_id: 77, epoch: 5 };

    fn sample() -> Vec<u8> {
        let body = [head(4, KIND_WORDS, 2), 1, 2];
        let mut words = vec![0xEE];
        let header = Header { txid: 9, horizon: 8, len: HEADER_LEN + 24, kind: Kind::Body };
        encode(&mut words, SALT, 4096, header, &body);
        assert_eq!(words.len() as u64 * 8, padded_len(body.len()));
        bytemuck::cast_slice(&words).to_vec()
    }

    fn replay(body: &[u64], memory: &mut [u64]) {
        for entry in entries(bytemuck::cast_slice(body)) {
            match entry.unwrap() {
                Entry::Words { offset, words } => {
                    for (i, word) in words.chunks(8).enumerate() {
                        memory[offset as usize / 8 + i] = word_at(word, 0);
                    }
                }
                Entry::Zeros { offset, count } => {
                    memory[offset as usize / 8..][..count as usize].fill(0);
                }
            }
        }
    }

    #[test]
    fn a_record_round_trips_only_at_its_place() {
        let bytes = sample();
        let header = decode(&bytes, SALT, 4096).unwrap();
        assert_eq!((header.txid, header.horizon, header.kind), (9, 8, Kind::Body));
        assert!(decode(&bytes, SALT, 8192).is_none(), "stale lap");
        assert!(decode(&bytes, Salt { epoch: 6, ..SALT }, 4096).is_none(), "stale epoch");
        assert!(decode(&bytes, Salt { pool_id: 78, ..SALT }, 4096).is_none(), "another pool");
    }

    /// Catches a checksum that leaves some byte of the record uncovered.
    #[test]
    fn every_flipped_bit_is_seen() {
        let mut bytes = sample();
        for bit in 0..(HEADER_LEN + 24) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, SALT, 4096).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_difference_replays_to_the_new_words_and_holds_only_changed_ones() {
        let old: Vec<u64> = (0..100).collect();
        for pattern in 0u64..512 {
            let mut new = old.clone();
            for bit in 0..9 {
                if pattern >> bit & 1 == 1 {
                    new[40 + bit] = 1000 + pattern;
                }
            }
            let mut body = Body::default();
            body.difference(0, &old, &new);
            let mut memory = old.clone();
            replay(body.words(), &mut memory);
            assert_eq!(memory, new);
            assert!(body.words().len() as u32 <= 2 * pattern.count_ones());
        }
    }

    #[test]
    fn contents_replay_over_garbage() {
        let new = [1, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0];
        let mut body = Body::default();
        body.contents(16, &new);
        let mut memory = [9u64; 16];
        replay(body.words(), &mut memory);
        assert_eq!(memory[2..13], new);
        assert_eq!((memory[1], memory[13]), (9, 9));
    }

    fn all(body: &Body) -> Vec<Entry<'_>> {
        entries(bytemuck::cast_slice(body.words())).collect::<Result<_, _>>().unwrap()
    }

    /// Catches contents that are told less shortly than they can be, or at the wrong place.
    #[test]
    fn contents_are_told_shortly() {
        let few = ZEROS_WORTH - 1;
        for zeros in 0..ZEROS_WORTH + 3 {
            for (before, behind) in [(0, 0), (0, 1), (1, 0), (2, 3)] {
                let new = [vec![5; before], vec![0; zeros], vec![6; behind]].concat();
                let mut body = Body::default();
                body.contents(800, &new);
                let mut memory = vec![9; 120];
                replay(body.words(), &mut memory);
                assert_eq!(memory[100..100 + new.len()], new);
                assert!(memory[..100].iter().chain(&memory[100 + new.len()..]).all(|word| *word == 9));
                let runs = match zeros {
                    _ if new.is_empty() => 0,
                    zeros if zeros <= few => 1,
                    _ => 1 + usize::from(before > 0) + usize::from(behind > 0),
                };
                assert_eq!(all(&body).len(), runs, "{before} {zeros} {behind}");
                assert_eq!(body.is_empty(), new.is_empty());
            }
        }
        // Of all zeros, and of more than a head can count, each in one entry.
        for count in [1, COUNT_MAX, COUNT_MAX + 1] {
            let mut body = Body::default();
            body.zeros(24, count);
            assert_eq!(all(&body), [Entry::Zeros { offset: 24, count }]);
            assert_eq!(body.words().len(), 1 + usize::from(count > COUNT_MAX));
        }
    }

    /// Catches differences that join what is far apart, or do not join what is not.
    #[test]
    fn runs_one_word_apart_are_one() {
        for (changed, runs) in
            [(&[3, 4, 5][..], 1), (&[3, 5], 1), (&[3, 6], 2), (&[0], 1), (&[0, 99], 2), (&[], 0)]
        {
            let old = vec![1; 100];
            let mut new = old.clone();
            changed.iter().for_each(|at: &usize| new[*at] = 2);
            let mut body = Body::default();
            body.difference(80, &old, &new);
            assert_eq!(all(&body).len(), runs, "{changed:?}");
            let mut memory = vec![1; 120];
            replay(body.words(), &mut memory);
            assert_eq!(memory[10..110], new);
        }
        for (old, new) in [(1, 1), (1, 2)] {
            let mut body = Body::default();
            body.difference(80, &[old], &[new]);
            assert_eq!(body.words().len(), if old == new { 0 } else { 2 });
        }
    }

    /// Catches memory that a large transaction leaves with a body for ever, and a small one's that is given back.
    #[test]
    fn a_cleared_body_keeps_little() {
        for (words, kept) in [(100, true), ((1 << 20) + 1, false)] {
            let mut body = Body::default();
            body.words.reserve_exact(words);
            body.word(8, 1);
            body.clear();
            assert!(body.is_empty());
            assert_eq!(body.words.capacity() > 0, kept);
        }
    }

    /// Catches a header that is not asked what it claims, or believed where it cannot be one of this pool's.
    #[test]
    fn what_headers_claim() {
        let header = |kind| Header { txid: 9, horizon: 5, len: HEADER_LEN, kind };
        let bytes = |kind| {
            let mut words = Vec::new();
            encode(&mut words, SALT, 0, header(kind), &[]);
            bytemuck::cast_slice::<u64, u8>(&words).to_vec()
        };
        for (kind, code) in [(Kind::Body, 0), (Kind::Spill, 0), (Kind::Undo, 1), (Kind::Commit, 1)] {
            let claims = |txid| claims_durable(&bytes(kind), SALT.pool_id, txid);
            assert_eq!(kind.is_in_place(), code == 1);
            assert_eq!([4, 5, 6, 8, 10].map(claims), [true, true, false, false, false]);
            // In place the record before it was durable when this one was made.
            assert_eq!(claims(9), code == 1, "{kind:?}");
            assert!(!claims_durable(&bytes(kind), SALT.pool_id + 1, 4));
            assert!(!claims_durable(&bytes(kind)[..HEADER_LEN - 1], SALT.pool_id, 4));
            assert!(claims_durable(&bytes(kind)[..HEADER_LEN], SALT.pool_id, 4));
        }
        assert_eq!(claimed_len(&bytes(Kind::Body), SALT.pool_id), Some(HEADER_LEN));
        assert_eq!(claimed_len(&bytes(Kind::Body)[..HEADER_LEN - 1], SALT.pool_id), None);
        assert_eq!(claimed_len(&bytes(Kind::Body), SALT.pool_id + 1), None);
        assert!(!planted_bug());
    }

    #[test]
    fn long_runs_are_split_and_long_zeros_are_not() {
        let new = vec![7u64; 70_000];
        let mut body = Body::default();
        body.words_at(8, &new);
        body.zeros(0, 1 << 40);
        let all: Vec<_> = entries(bytemuck::cast_slice(body.words())).collect::<Result<_, _>>().unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[2], Entry::Zeros { offset: 0, count: 1 << 40 });
    }

    #[test]
    fn malformed_entries_are_errors() {
        let past = [head(0, KIND_WORDS, 5), 1];
        assert!(entries(bytemuck::cast_slice(&past)).any(|entry| entry.is_err()));
        let endless = [head(0, KIND_ZEROS, 0)];
        assert_eq!(
            entries(bytemuck::cast_slice(&endless)).collect::<Vec<_>>(),
            [Err("an entry runs past its record")]
        );
        let unknown = [head(0, 6, 1), 1];
        assert!(entries(bytemuck::cast_slice(&unknown)).any(|entry| entry.is_err()));
    }
}
