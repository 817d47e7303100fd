//! What one transaction has taken from and given back to the heap.
//!
//! Nothing here is in the file before the transaction's record is. Neighbouring blocks share an entry (a bitmap
//! word and a mask), so a transaction that fills a run keeps one entry for 64 blocks, and preparing its record has
//! 64 times less to sort.

use super::Change;

/// A bitmap word: its chunk's number times 64 plus its own number. Sorting by it is sorting by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WordKey(u64);

impl WordKey {
    #[inline]
    pub(super) fn new(chunk: u32, word: u32) -> Self {
        Self(u64::from(chunk) << 6 | u64::from(word))
    }

    pub(super) fn chunk(self) -> u32 {
        (self.0 >> 6) as u32
    }

    pub(super) fn word(self) -> u32 {
        (self.0 & 63) as u32
    }
}

/// Blocks of one bitmap word.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    key: WordKey,
    mask: u64,
}

/// What the transaction did to one bitmap word. A block in both masks was allocated and freed again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) key: WordKey,
    pub(super) allocated: u64,
    pub(super) freed: u64,
}

impl Touch {
    /// Blocks whose bit the record sets.
    pub(super) fn sets(&self) -> u64 {
        self.allocated & !self.freed
    }

    /// Blocks whose bit the record clears.
    pub(super) fn clears(&self) -> u64 {
        self.freed & !self.allocated
    }
}

/// The blocks that one running transaction has reserved and freed. Belongs to the transaction; ends with
/// [`Heap::commit`](super::Heap::commit) or [`Heap::rollback`](super::Heap::rollback), which leave it empty for reuse.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    allocated: Vec<Blocks>,
    freed: Vec<Blocks>,
    /// First chunks of large objects.
    pub(super) large_allocated: Vec<u32>,
    pub(super) large_freed: Vec<u32>,
    /// Both lists of blocks merged, sorted by address. Valid once sealed.
    pub(super) touches: Vec<Touch>,
    /// What the record holds. Valid once prepared.
    pub(super) changes: Vec<Change>,
    sealed: bool,
    pub(super) prepared: bool,
}

impl Reservation {
    /// True if the transaction neither took nor gave anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.allocated.is_empty()
            && self.freed.is_empty()
            && self.large_allocated.is_empty()
            && self.large_freed.is_empty()
    }

    /// True if the transaction has freed anything.
    pub(crate) fn has_frees(&self) -> bool {
        !self.freed.is_empty() || !self.large_freed.is_empty()
    }

    /// Freed blocks of one bitmap word. The reservation is sealed.
    pub(super) fn freed_blocks(&self, key: WordKey) -> u64 {
        match self.touches.binary_search_by_key(&key, |touch| touch.key) {
            Ok(at) => self.touches[at].freed,
            Err(_) => 0,
        }
    }

    #[inline]
    pub(super) fn note_allocated(&mut self, key: WordKey, bit: u32) {
        self.sealed = false;
        note(&mut self.allocated, key, bit);
    }

    #[inline]
    pub(super) fn note_freed(&mut self, key: WordKey, bit: u32) {
        self.sealed = false;
        note(&mut self.freed, key, bit);
    }

    /// Sorts and merges.
    pub(super) fn seal(&mut self) {
        if std::mem::replace(&mut self.sealed, true) {
            return;
        }
        self.prepared = false;
        self.touches.clear();
        if self.large_allocated.is_empty() && self.large_freed.is_empty() {
            // Most small transactions touch one word.
            let one = match (&*self.allocated, &*self.freed) {
                ([one], []) => Some(Touch { key: one.key, allocated: one.mask, freed: 0 }),
                ([], [one]) => Some(Touch { key: one.key, allocated: 0, freed: one.mask }),
                _ => None,
            };
            if let Some(touch) = one {
                return self.touches.push(touch);
            }
        }
        self.allocated.sort_unstable_by_key(|blocks| blocks.key);
        self.freed.sort_unstable_by_key(|blocks| blocks.key);
        for chunks in [&mut self.large_allocated, &mut self.large_freed] {
            chunks.sort_unstable();
            chunks.dedup();
        }
        let mut allocated = self.allocated.iter().peekable();
        let mut freed = self.freed.iter().peekable();
        loop {
            let next = [allocated.peek().map(|blocks| blocks.key), freed.peek().map(|blocks| blocks.key)];
            let Some(key) = next.into_iter().flatten().min() else {
                break;
            };
            let mut touch = Touch { key, allocated: 0, freed: 0 };
            while let Some(blocks) = allocated.next_if(|blocks| blocks.key == key) {
                touch.allocated |= blocks.mask;
            }
            while let Some(blocks) = freed.next_if(|blocks| blocks.key == key) {
                touch.freed |= blocks.mask;
            }
            self.touches.push(touch);
        }
    }

    /// True if a large object was both allocated and freed by this transaction.
    pub(super) fn cancels_large(&self, chunk: u32) -> bool {
        self.large_allocated.binary_search(&chunk).is_ok() && self.large_freed.binary_search(&chunk).is_ok()
    }

    pub(super) fn note_large(&mut self, chunk: u32, freed: bool) {
        self.sealed = false;
        if freed { &mut self.large_freed } else { &mut self.large_allocated }.push(chunk);
    }

    /// Forgets everything, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.allocated.clear();
        self.freed.clear();
        self.large_allocated.clear();
        self.large_freed.clear();
        self.touches.clear();
        self.changes.clear();
        self.sealed = false;
        self.prepared = false;
    }
}

#[inline]
fn note(list: &mut Vec<Blocks>, key: WordKey, bit: u32) {
    match list.last_mut() {
        Some(last) if last.key == key => last.mask |= 1 << bit,
        _ => list.push(Blocks { key, mask: 1 << bit }),
    }
}
