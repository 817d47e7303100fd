//! The heap against a model of it, on damaged files, at its limits.
//!
//! `Bench` plays the part of the transaction floor: it applies what `prepare` says to the home bytes as a checkpoint
//! would, so that reopening from home shows whether the records were complete.

mod audit;
mod damage;
mod model;
mod space;
mod speed;

use std::ops::Range;

use super::*;
use crate::layout::geometry::{DIRECTORY, Geometry, SUPERBLOCK};
use crate::media::{ImageMode, Media, Placement, RamMedia};

/// splitmix64.
pub(super) struct Rng(u64);

impl Rng {
    /// Replays `POBJ_TEST_SEED` if it is set; prints the seed in any case.
    pub(super) fn new(test: &str) -> Self {
        let seed = match std::env::var("POBJ_TEST_SEED") {
            Ok(seed) => seed.parse().expect("POBJ_TEST_SEED is a number"),
            Err(_) => getrandom::u64().expect("random numbers"),
        };
        println!("{test}: POBJ_TEST_SEED={seed}");
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// An allocation that backs as asked.
pub(super) fn alloc_backed(
    heap: &mut Heap,
    image: &Image,
    r: &mut Reservation,
    len: u64,
    align: u64,
) -> Result<u64, AllocError> {
    loop {
        match heap.alloc(image, r, len, align) {
            Err(AllocError::NeedBacking { range }) => heap.backed(&range),
            other => return other,
        }
    }
}

/// A heap, its image, and the bytes that a crash leaves.
pub(super) struct Bench {
    pub(super) media: RamMedia,
    pub(super) geometry: Geometry,
    pub(super) image: Image,
    pub(super) heap: Heap,
    pub(super) txid: u64,
}

impl Bench {
    /// A new pool of `chunks` heap chunks that may grow to `chunks_max`.
    pub(super) fn new(chunks: u64, chunks_max: u64) -> Self {
        let sized = |max_len| Geometry::new(max_len, 64 * 1024, 100).expect("a geometry");
        // The directory's length, and so the heap's start, may depend on the length.
        let start = sized((chunks_max + 1000) * CHUNK).heap_start;
        let geometry = sized(start + chunks_max * CHUNK);
        let len = geometry.heap_start + chunks * CHUNK;
        let media = RamMedia::new(geometry.max_len).expect("memory");
        media.grow(len).expect("growth");
        let image =
            media.image(Placement::Anywhere, len, geometry.max_len, ImageMode::Private).expect("an image");
        for range in Heap::format(&image, &geometry).expect("a fresh heap") {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            image.load(range.start, &mut bytes);
            media.write(range.start, &bytes).expect("a write");
        }
        let heap = Heap::load(&image, &geometry).expect("a sound heap");
        Self { media, geometry, image, heap, txid: 0 }
    }

    /// Like a transaction's allocation: grows and backs as asked.
    pub(super) fn alloc(&mut self, r: &mut Reservation, len: u64, align: u64) -> Result<u64, AllocError> {
        loop {
            match alloc_backed(&mut self.heap, &self.image, r, len, align) {
                Err(AllocError::NeedSpace { least_len, new_len }) => {
                    assert!(least_len > self.heap.heap_len() && new_len >= least_len);
                    assert!(new_len <= self.geometry.max_len);
                    self.media.grow(new_len).expect("growth");
                    self.image.extend(new_len).expect("growth");
                    self.heap.add_space(&self.image, new_len);
                    assert_eq!(self.heap.heap_len(), new_len);
                }
                Ok(offset) => {
                    assert_eq!(offset % align, 0);
                    assert!(self.heap.block_len(offset) >= len);
                    return Ok(offset);
                }
                error => return error,
            }
        }
    }

    pub(super) fn free(&mut self, r: &mut Reservation, offset: u64) {
        self.heap.free(&self.image, r, offset);
    }

    /// Commits through home; returns how many changes the record held.
    pub(super) fn commit(&mut self, r: &mut Reservation) -> usize {
        let mut changes = Vec::new();
        self.heap.prepare(&self.image, r, &mut changes);
        for &change in &changes {
            match change {
                Change::Word { offset, value } => self.store_home(offset, value),
                Change::Set { offset, mask } => self.store_home(offset, self.load_home(offset) | mask),
                Change::Clear { offset, mask } => self.store_home(offset, self.load_home(offset) & !mask),
                Change::Zeros { offset, count } => {
                    self.media.write(offset, &vec![0; count as usize * 8]).expect("a write");
                }
            }
        }
        self.txid += 1;
        self.heap.commit(&self.image, r, self.txid);
        assert!(r.is_empty());
        changes.len()
    }

    pub(super) fn rollback(&mut self, r: &mut Reservation) {
        self.heap.rollback(&self.image, r);
        assert!(r.is_empty());
    }

    /// Home and image hold the same metadata, and memory agrees with it if no reservation is open.
    pub(super) fn check(&mut self, open: bool) {
        assert_eq!(self.image.fault(), None);
        let mut ranges = vec![SUPERBLOCK..SUPERBLOCK + 4096, DIRECTORY..DIRECTORY + self.geometry.dir_len];
        ranges.extend(self.metadata_ranges());
        for range in ranges {
            let mut ours = vec![0; (range.end - range.start) as usize];
            let mut theirs = ours.clone();
            self.image.load(range.start, &mut ours);
            self.media.read(range.start, &mut theirs).expect("a read");
            if ours != theirs {
                let at = ours.iter().zip(&theirs).position(|(a, b)| a != b);
                panic!("image and home differ in {range:x?} at {at:x?}");
            }
        }
        if !open {
            self.heap.audit(&self.image, &self.geometry).expect("memory and file agree");
        }
    }

    /// The committed metadata chunks.
    pub(super) fn metadata_ranges(&self) -> Vec<Range<u64>> {
        let heap = &self.heap;
        (0..heap.groups.len() as u32)
            .filter(|group| heap.groups[*group as usize] != NO_METADATA && !heap.unpublished.contains(group))
            .map(|group| heap.place.chunk_offset(heap.groups[group as usize]))
            .map(|offset| offset..offset + CHUNK)
            .collect()
    }

    /// A crash and a reopening.
    pub(super) fn reopen(self) -> Self {
        let Self { media, geometry, image, heap, txid } = self;
        let (base, len) = (image.base(), media.len().expect("a length"));
        drop((image, heap));
        let image =
            media.image(Placement::At(base), len, geometry.max_len, ImageMode::Private).expect("an image");
        let heap = Heap::load(&image, &geometry).expect("a sound heap");
        Self { media, geometry, image, heap, txid }
    }

    pub(super) fn load_home(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        self.media.read(offset, &mut bytes).expect("a read");
        u64::from_le_bytes(bytes)
    }

    fn store_home(&self, offset: u64, value: u64) {
        self.media.write(offset, &value.to_le_bytes()).expect("a write");
    }
}
