//! What the oracle knows of a pool's file, written down a second time from the book's page on the format.

/// Bytes of a word.
pub(super) const WORD: u64 = 8;
/// Bytes of a cache line.
pub(super) const LINE: u64 = 64;
/// Where home says which transaction it holds.
pub(super) const HOME_TXID: u64 = SUPERBLOCK + 32;

const BLOCK: u64 = 4096;
const CHUNK: u64 = 64 << 10;
const GROUP: u64 = 128;
const SLOT: u64 = 512;
const SUPERBLOCK: u64 = 4 * BLOCK;
const HEAP_LEN: u64 = SUPERBLOCK + 8;

/// The word at an offset; zero beyond the end.
pub(super) fn word_at(bytes: &[u8], offset: u64) -> u64 {
    let from = offset as usize;
    let word = bytes.get(from..from + WORD as usize).and_then(|bytes| bytes.try_into().ok());
    word.map_or(0, u64::from_le_bytes)
}

fn size_of_class(class: u64) -> u64 {
    match class.checked_sub(8) {
        None => 16 * (class + 1),
        Some(more) => (128 << (more / 4)) + (32 << (more / 4)) * (more % 4 + 1),
    }
}

/// Where a pool's regions are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) pool_id: u64,
    directory: u64,
    directory_len: u64,
    ring: u64,
    ring_len: u64,
    heap: u64,
}

impl Geometry {
    /// From the header, once there is one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let word = |index: u64| word_at(bytes, index * WORD);
        (bytes.starts_with(b"pobjhea\xF0") && word(19) != 0).then(|| Self {
            pool_id: word(3),
            directory: word(11),
            directory_len: word(12),
            ring: word(17),
            ring_len: word(18),
            heap: word(19),
        })
    }

    /// Whether a place is the beginning of a slot of the ring's state.
    pub(super) fn is_slot(&self, offset: u64) -> bool {
        [2 * BLOCK, 3 * BLOCK].contains(&offset)
    }

    /// Whether records may lie at a place: in the ring, or behind the pool's own bytes.
    pub(super) fn may_hold_records(&self, view: &[u8], offset: u64) -> bool {
        (self.ring..self.ring + self.ring_len).contains(&offset) || offset >= heap_len(view)
    }

    /// Whether a place is one that only records may change.
    pub(super) fn is_home(&self, view: &[u8], offset: u64) -> bool {
        (SUPERBLOCK..self.directory + self.directory_len).contains(&offset)
            || (self.heap..heap_len(view)).contains(&offset)
    }

    /// Whether a place is the heap's, and not in use. `word` gives home's words.
    pub(super) fn is_free(&self, word: impl Fn(u64) -> u64, offset: u64) -> bool {
        offset >= self.heap && (offset >= word(HEAP_LEN) || !self.is_allocated(word, offset))
    }

    /// Whether a place of home is in use: in a block that is allocated, or metadata. `word` gives home's words.
    pub(super) fn is_allocated(&self, word: impl Fn(u64) -> u64, offset: u64) -> bool {
        let Some(within_heap) = offset.checked_sub(self.heap) else { return true };
        let (chunk, within) = (within_heap / CHUNK, within_heap % CHUNK);
        let slot = |chunk: u64| match word(self.directory + chunk / GROUP * WORD) {
            0 => None,
            metadata => Some(metadata + chunk % GROUP * SLOT),
        };
        let header = |chunk: u64| slot(chunk).map_or(0, &word);
        match (header(chunk) & 0xff, slot(chunk)) {
            (1, Some(slot)) => {
                let block = within / size_of_class(header(chunk) >> 8 & 0xff);
                word(slot + 16 + block / 64 * WORD) >> (block % 64) & 1 == 1
            }
            (2 | 3, _) => true,
            // Perhaps a later chunk of a large object: the nearest chunk before that is not free says.
            _ => {
                let before = (0..chunk).rev().map(|before| (before, header(before)));
                let owner = before.into_iter().find(|(_, header)| header & 0xff != 0);
                owner.is_some_and(|(first, header)| header & 0xff == 2 && first + (header >> 32) > chunk)
            }
        }
    }
}

fn heap_len(view: &[u8]) -> u64 {
    word_at(view, HEAP_LEN)
}
