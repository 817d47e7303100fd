//! The forger: makes every checksum of a damaged file right again, so that the damage gets past them.
//!
//! What the checksums cover is found in the damaged bytes themselves, so any bytes may be given: what makes no sense is
//! left alone. The forms are those of the book's format page.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes the checksums of one kind of file right.
pub type Forger = fn(&mut Forge<'_>);

const POOL_MAGIC: &[u8; 8] = b"pobjhea\xF0";
const LOG_MAGIC: &[u8; 8] = b"pobjlog\xF0";
const RING_MAGIC: &[u8; 8] = b"pobjring";
const POOL_SEED: u64 = 0x706F_626A_2068_6472;
const LOG_SEED: u64 = 0x706F_626A_206C_6F67;
const SLOTS: [usize; 2] = [0, 0x1000];
const BLOCK: u64 = 4096;
/// Bytes of a record's header, and of the words behind it that name a place.
const RECORD: usize = 40;
/// Where the frames of a log begin.
const AREA: usize = 0x2000;

/// Bytes, and where they were changed.
pub struct Forge<'a> {
    bytes: &'a mut [u8],
    /// What was written, and what it holds now.
    pub touched: Vec<Range<usize>>,
    /// Records and frames that were found.
    pub found: Vec<Range<usize>>,
}

impl<'a> Forge<'a> {
    /// Over the bytes of a file.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, touched: Vec::new(), found: Vec::new() }
    }

    fn word(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn part(&self, offset: u64, len: u64) -> Option<&[u8]> {
        self.bytes.get(offset as usize..offset.checked_add(len)? as usize)
    }

    fn put(&mut self, at: usize, word: u64) {
        if self.word(at).is_some_and(|old| old != word) {
            self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            self.touched.push(at..at + 8);
        }
    }

    /// Gives the word behind a header of `len` bytes, its last one, the checksum of the rest.
    fn sum(&mut self, at: usize, len: usize, seed: u64) {
        if let Some(bytes) = self.bytes.get(at..at + len - 8) {
            let sum = xxh3_64_with_seed(bytes, seed);
            self.put(at + len - 8, sum);
        }
    }

    /// The slot with this magic whose word at 16 is the highest.
    fn newest(&self, slots: [usize; 2], magic: &[u8; 8], sequence: usize) -> Option<usize> {
        let named = slots.into_iter().filter(|at| self.bytes.get(*at..*at + 8) == Some(magic));
        named.max_by_key(|at| self.word(at + sequence))
    }

    /// Everything in a pool: headers, schema, the ring's states, its records, and bodies outside of it.
    pub fn pool(&mut self) {
        for at in SLOTS {
            if self.bytes.get(at..at + 8) == Some(POOL_MAGIC) {
                self.header(at);
            }
        }
        let Some(header) = self.newest(SLOTS, POOL_MAGIC, 16) else { return };
        let word = |at| self.word(header + at).unwrap_or(0);
        let (pool_id, ring) = (word(24), (word(136), word(144)));
        let states = [0x2000, 0x3000];
        for at in states {
            if self.bytes.get(at..at + 8) == Some(RING_MAGIC) {
                self.sum(at, 64, pool_id);
            }
        }
        let Some(state) = self.newest(states, RING_MAGIC, 8) else { return };
        let whole = self.part(ring.0, ring.1).is_some_and(|ring| !ring.is_empty());
        if whole && ring.1.is_multiple_of(BLOCK) && self.word(state + 40) == Some(0) {
            self.records(state, pool_id, ring);
        }
    }

    fn header(&mut self, at: usize) {
        let word = |place| self.word(at + place).unwrap_or(0);
        let schema = self.part(word(104), word(112).min(1 << 20));
        if let Some(sum) = schema.map(|schema| xxh3_64_with_seed(schema, word(24))) {
            self.put(at + 120, sum);
        }
        self.sum(at, 512, POOL_SEED);
    }

    /// Walks the ring as recovery does.
    fn records(&mut self, state: usize, pool_id: u64, (ring, len): (u64, u64)) {
        let word = |at| self.word(state + at).unwrap_or(0);
        let (epoch, head, mut txid) = (word(16), word(24), word(32));
        if head > u64::MAX / 2 || txid > u64::MAX / 2 {
            return;
        }
        let mut end = head;
        while end < head + len {
            let places = [end, end.next_multiple_of(BLOCK), end.next_multiple_of(len)];
            let found = places.into_iter().find_map(|position| {
                let at = ring + position % len;
                let size = self.record_len(at, ring + len, pool_id)?;
                let next = self.word(at as usize + 8) == Some(txid + 1) && position + size <= head + len;
                next.then_some((position, at as usize, size as usize))
            });
            let Some((position, at, size)) = found else { break };
            let kind = self.word(at + 32).unwrap_or(0) >> 32;
            match kind {
                2 | 6 => self.spill(at + RECORD, pool_id),
                4 => self.extent(at + RECORD, pool_id, epoch, txid),
                _ => {}
            }
            self.record(at, size, pool_id, epoch, position);
            txid += u64::from(!matches!(kind, 3 | 4));
            end = position + (size as u64).next_multiple_of(64);
        }
    }

    /// What the record at `at` says of its length, if it may be one.
    fn record_len(&self, at: u64, end: u64, pool_id: u64) -> Option<u64> {
        let at = at as usize;
        let len = self.word(at + 32)? & 0xFFFF_FFFF;
        let fits = len >= RECORD as u64 && len.is_multiple_of(8) && at as u64 + len <= end;
        (self.word(at + 24)? == pool_id && fits && self.part(at as u64, len).is_some()).then_some(len)
    }

    fn record(&mut self, at: usize, len: usize, pool_id: u64, epoch: u64, position: u64) {
        let sum =
            xxh3_64_with_seed(&self.bytes[at + 8..at + len], mix(pool_id ^ epoch.rotate_left(32), position));
        self.put(at, sum);
        self.found.push(at..at + len);
    }

    fn spill(&mut self, at: usize, pool_id: u64) {
        let (Some(offset), Some(len)) = (self.word(at), self.word(at + 8)) else { return };
        let Some(body) = self.part(offset, len) else { return };
        let sum = xxh3_64_with_seed(body, pool_id);
        self.found.push(offset as usize..(offset + len) as usize);
        self.put(at + 16, sum);
    }

    fn extent(&mut self, at: usize, pool_id: u64, epoch: u64, txid: u64) {
        let words = (self.word(at), self.word(at + 8), self.word(at + 16));
        let (Some(offset), Some(len), Some(nonce)) = words else { return };
        let end = offset.saturating_add(len).min(self.bytes.len() as u64);
        let mut position = offset;
        while position < end {
            let Some(size) = self.record_len(position, end, pool_id) else { return };
            if self.word(position as usize + 8) != Some(txid + 1) {
                return;
            }
            self.record(position as usize, size as usize, pool_id, mix(epoch, nonce), position);
            position += size.next_multiple_of(64);
        }
    }

    /// Everything in a log: headers and frames.
    pub fn log(&mut self) {
        for at in SLOTS {
            if self.bytes.get(at..at + 8) == Some(LOG_MAGIC) {
                self.sum(at, 256, LOG_SEED);
            }
        }
        let Some(header) = self.newest(SLOTS, LOG_MAGIC, 16) else { return };
        let word = |at| self.word(header + at).unwrap_or(0);
        let (salt, align) = (mix(word(24), word(80)), word(72).clamp(8, BLOCK) as usize);
        let mut at = AREA;
        while let (Some(old), Some(word)) = (self.word(at), self.word(at + 8)) {
            let len = (word & 0xFFFF_FFFF) as usize;
            let Some(entry) = self.bytes.get(at + 16..at + 16 + len) else { return };
            if word >> 32 & 0x7FFF_FFFF == 0 || old == 0 {
                return;
            }
            let hash = xxh3_64_with_seed(entry, 0);
            let sum = mix(salt ^ (at - AREA) as u64 ^ hash.rotate_left(32), word);
            self.put(at, sum);
            self.found.push(at..at + 16 + len);
            at += (16 + len).next_multiple_of(align.next_power_of_two());
        }
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
