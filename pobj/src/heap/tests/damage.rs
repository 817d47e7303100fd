//! Any bytes at all in the metadata: an error or a heap that works, never a panic (the image asserts its bounds).

use super::*;
use crate::layout::visit::Blocks;

/// A heap with something of each kind, and the offsets of its blocks.
fn sample() -> (Bench, Vec<u64>) {
    let mut bench = Bench::new(30, 300);
    let mut r = Reservation::default();
    let lens = [16, 24, 64, 64, 1000, 5000, 30_000, 70_000, 200_000];
    let blocks: Vec<u64> = lens.iter().map(|&len| bench.alloc(&mut r, len, 8).unwrap()).collect();
    bench.commit(&mut r);
    bench.free(&mut r, blocks[3]);
    bench.commit(&mut r);
    (bench, blocks)
}

/// Loads and uses whatever the image holds, then puts the metadata back. True if it loaded.
fn load_and_use(bench: &Bench, blocks: &[u64], saved: &[(u64, Vec<u8>)]) -> bool {
    let image = &bench.image;
    let loaded = match Heap::load(image, &bench.geometry) {
        Err(Error::Corrupt { what, offset }) => {
            assert!(!what.is_empty() && offset < bench.geometry.max_len);
            false
        }
        Err(other) => panic!("{other}"),
        Ok(mut heap) => {
            let checker = heap.blocks(image);
            for &block in blocks {
                let _ = checker.claim(image.base() + block, 1, 1);
            }
            let _ = checker.unreached();
            let mut r = Reservation::default();
            for (index, &block) in blocks.iter().enumerate() {
                if let Ok(fresh) =
                    alloc_backed(&mut heap, image, &mut r, [16, 64, 5000, 100_000][index % 4], 8)
                {
                    assert!(heap.block_len(fresh) > 0 && fresh >= bench.geometry.heap_start);
                }
                heap.free(image, &mut r, block);
                heap.free(image, &mut r, block + 8);
                let _ = heap.block_len(block);
            }
            heap.commit(image, &mut r, 1);
            let _ = heap.stats(image);
            heap.audit(image, &bench.geometry).expect("a heap that loaded stays sound");
            true
        }
    };
    for (offset, bytes) in saved {
        image.store(*offset, bytes);
    }
    loaded
}

fn save(bench: &Bench) -> Vec<(u64, Vec<u8>)> {
    let fixed = [SUPERBLOCK..SUPERBLOCK + 64, DIRECTORY..DIRECTORY + 64];
    let save = |range: Range<u64>| {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        bench.image.load(range.start, &mut bytes);
        (range.start, bytes)
    };
    fixed.into_iter().chain(bench.metadata_ranges()).map(save).collect()
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn each_flipped_bit() {
    let (bench, blocks) = sample();
    let saved = save(&bench);
    let slots = bench.metadata_ranges()[0].start;
    let mut words: Vec<u64> = vec![SUPERBLOCK, SUPERBLOCK + 8];
    words.extend((0..8).map(|index| DIRECTORY + 8 * index));
    for chunk in 0..crate::layout::geometry::GROUP {
        let slot = slots + chunk * crate::layout::geometry::SLOT;
        // The headers of all slots; of the bitmaps in use the ends and a few words between.
        words.extend([0, 8].map(|within| slot + within));
        if chunk < 12 {
            words.extend([16, 24, 64, 504].map(|within| slot + within));
        }
    }
    let (mut loaded, mut tried) = (0, 0);
    for index in 0..words.len() * 64 {
        let (word, bit) = (words[index / 64], index % 64);
        bench.image.store_u64(word, bench.image.load_u64(word) ^ 1 << bit);
        loaded += u32::from(load_and_use(&bench, &blocks, &saved));
        tried += 1;
    }
    println!("{tried} flips, {loaded} of them in bits without meaning of their own");
    assert!(load_and_use(&bench, &blocks, &saved));
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn random_damage() {
    let mut rng = Rng::new("random_damage");
    let (bench, blocks) = sample();
    let saved = save(&bench);
    let slots = bench.metadata_ranges()[0].start;
    let plausible = |rng: &mut Rng| match rng.below(6) {
        0 => rng.next(),
        1 => rng.below(4) | rng.below(40) << 8 | rng.below(5000) << 32,
        2 => Slot::Run { class: rng.below(40) as u8 }.encode(),
        3 => Slot::Large { count: 1 + rng.below(12) as u32 }.encode(),
        4 => bench.geometry.heap_start + rng.below(40) * CHUNK,
        _ => 0,
    };
    let mut loaded = 0;
    let rounds = 5_000;
    for _ in 0..rounds {
        for _ in 0..1 + rng.below(3) {
            let word = match rng.below(8) {
                0 => SUPERBLOCK + 8 * rng.below(2),
                1 => DIRECTORY + 8 * rng.below(4),
                2 => slots + 8 * rng.below(CHUNK / 8),
                _ => slots + rng.below(40) * crate::layout::geometry::SLOT + 8 * rng.below(3) / 2,
            };
            bench.image.store_u64(word & !7, plausible(&mut rng));
        }
        loaded += u32::from(load_and_use(&bench, &blocks, &saved));
    }
    println!("{loaded} of {rounds} loaded");
    assert!(loaded > 0);
}

use super::slots::Slot;
