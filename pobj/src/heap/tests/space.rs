//! Limits (A10), filling and refilling (A13), growth (A22), groups, fragmentation (A19), the checker.

use super::*;
use crate::heap::checker::Unreached;
use crate::layout::visit::{Blocks, Invalid};

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn impossible_requests_are_refused() {
    let mut bench = Bench::new(8, 8);
    let mut r = Reservation::default();
    for len in [8 * CHUNK, 8 * CHUNK + 1, 1 << 40, u64::MAX / 2, u64::MAX - 65_535, u64::MAX - 1, u64::MAX] {
        for align in [1, 8, 4096] {
            match bench.alloc(&mut r, len, align) {
                Err(AllocError::Full { requested }) => assert_eq!(requested, len),
                other => panic!("{len}: {other:?}"),
            }
        }
    }
    for align in [0, 3, 8192, u64::MAX, 1 << 63] {
        assert!(
            matches!(bench.alloc(&mut r, 8, align), Err(AllocError::Io(Error::InvalidOption { .. }))),
            "{align}"
        );
    }
    // The largest that fits: all but the metadata chunk.
    let all = bench.alloc(&mut r, 7 * CHUNK, 4096).unwrap();
    bench.commit(&mut r);
    assert!(matches!(bench.alloc(&mut r, 1, 1), Err(AllocError::Full { requested: 1 })));
    bench.free(&mut r, all);
    bench.commit(&mut r);
    bench.alloc(&mut r, 1, 1).unwrap();
    bench.rollback(&mut r);
    bench.check(false);
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn every_size_near_a_class_edge() {
    let mut bench = Bench::new(600, 600);
    let mut r = Reservation::default();
    let edges = CLASSES.iter().map(|class| u64::from(class.size)).chain([CHUNK, 2 * CHUNK, 3 * CHUNK]);
    for edge in edges {
        for len in [edge - 1, edge, edge + 1] {
            for align in [1, 16, 64, 4096] {
                let offset = bench.alloc(&mut r, len, align).unwrap();
                bench.image.zero(offset, len);
            }
        }
    }
    bench.commit(&mut r);
    bench.check(false);
}

/// What is asked for is enough, and no less would be: the chunks, and their metadata where the free space begins in a
/// group without. Catches a second round of growth, and one that never ends.
#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn the_least_growth_is_enough() {
    let grow = |bench: &mut Bench, len: u64| {
        bench.media.grow(len).unwrap();
        bench.image.extend(len).unwrap();
        bench.heap.add_space(&bench.image, len);
    };
    let ask = |bench: &mut Bench, r: &mut Reservation, chunks: u64| match alloc_backed(
        &mut bench.heap,
        &bench.image,
        r,
        chunks * CHUNK,
        8,
    ) {
        Ok(_) => None,
        Err(AllocError::NeedSpace { least_len, .. }) => Some((least_len - bench.geometry.heap_start) / CHUNK),
        Err(error) => panic!("{error:?}"),
    };
    // The first group has its metadata in chunk 0, the others have none.
    let table = [(50, 0), (126, 0), (127, 1), (200, 1), (253, 1), (254, 2), (255, 1)];
    for (first, metadata) in table {
        for wanted in [1, 90, 200] {
            let mut bench = Bench::new(2, 900);
            let mut r = Reservation::default();
            let len = |chunks: u64| bench.geometry.heap_start + chunks * CHUNK;
            let (start, least) = (len(1 + first), 1 + first + wanted + metadata);
            let (short, long) = (len(least - 1), len(least));
            assert_eq!(ask(&mut bench, &mut r, first), Some(1 + first));
            grow(&mut bench, start);
            assert_eq!(ask(&mut bench, &mut r, first), None);
            bench.commit(&mut r);
            assert_eq!(ask(&mut bench, &mut r, wanted), Some(least), "{wanted} behind {first}");
            grow(&mut bench, short);
            // Growth that adds nothing is harmless.
            grow(&mut bench, short);
            assert_eq!(ask(&mut bench, &mut r, wanted), Some(least), "{wanted} behind {first}");
            grow(&mut bench, long);
            assert_eq!(ask(&mut bench, &mut r, wanted), None, "{wanted} behind {first}");
            bench.commit(&mut r);
            bench.check(false);
        }
    }
}

/// The last chunks of a pool can be had where their metadata has a place in a hole, and only there.
#[test]
fn metadata_goes_into_a_hole_when_there_is_no_other_place() {
    for hole in [true, false] {
        let mut bench = Bench::new(2, 300);
        let mut r = Reservation::default();
        let small = bench.alloc(&mut r, CHUNK, 8).unwrap();
        // Into the second group, which has no metadata so far.
        bench.alloc(&mut r, 150 * CHUNK, 8).unwrap();
        bench.commit(&mut r);
        if hole {
            bench.free(&mut r, small);
            bench.commit(&mut r);
        }
        let rest = (300 - 152) * CHUNK;
        match bench.alloc(&mut r, rest, 8) {
            Ok(offset) => assert!(hole && offset == bench.geometry.heap_start + 152 * CHUNK),
            Err(AllocError::Full { requested }) => assert!(!hole && requested == rest),
            Err(error) => panic!("{error:?}"),
        }
        bench.commit(&mut r);
        bench.check(false);
    }
}

/// Catches a heap without a chunk for anything but its own metadata.
#[test]
fn a_pool_without_room_is_refused() {
    let geometry = Bench::new(2, 8).geometry;
    for (chunks, enough) in [(0, false), (1, false), (2, true)] {
        let len = geometry.heap_start + chunks * CHUNK;
        let media = RamMedia::new(geometry.max_len).unwrap();
        media.grow(len).unwrap();
        let image = media.image(Placement::Anywhere, len, geometry.max_len, ImageMode::Private).unwrap();
        let formatted = Heap::format(&image, &geometry);
        assert_eq!(formatted.is_ok(), enough, "{chunks} chunks");
        assert!(enough || matches!(formatted, Err(Error::InvalidOption { option: "size", .. })));
        assert!(enough || image.load_u64(SUPERBLOCK) == 0, "nothing was written");
    }
}

/// Fills the pool with blocks of one length; how many.
fn fill(bench: &mut Bench, len: u64) -> Vec<u64> {
    let mut r = Reservation::default();
    let mut blocks = Vec::new();
    loop {
        match bench.alloc(&mut r, len, 8) {
            Ok(block) => blocks.push(block),
            Err(AllocError::Full { .. }) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    bench.commit(&mut r);
    bench.check(false);
    blocks
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn refill_gives_the_same_count() {
    let mut rng = Rng::new("refill_gives_the_same_count");
    let mut bench = Bench::new(5, 300);
    let lens = [3000, 100_000, 20_000, 70_000];
    // The first filling places all metadata.
    fill(&mut bench, 1 << 15).into_iter().for_each(|block| {
        let mut r = Reservation::default();
        bench.free(&mut r, block);
        bench.commit(&mut r);
    });
    let counts = lens.map(|len| refill(&mut bench, &mut rng, len));
    for cycle in 0..6 {
        if cycle % 2 == 1 {
            bench = bench.reopen();
        }
        assert_eq!(lens.map(|len| refill(&mut bench, &mut rng, len)), counts, "cycle {cycle}");
    }
}

fn refill(bench: &mut Bench, rng: &mut Rng, len: u64) -> usize {
    let mut blocks = fill(bench, len);
    let count = blocks.len();
    // Freeing works in a full pool, in any order, in transactions of any size.
    while !blocks.is_empty() {
        let mut r = Reservation::default();
        for _ in 0..1 + rng.below(100) {
            if blocks.is_empty() {
                break;
            }
            let block = blocks.swap_remove(rng.below(blocks.len() as u64) as usize);
            bench.free(&mut r, block);
        }
        if rng.below(4) == 0 {
            let ranges = bench.heap.take_punchable(bench.txid, 10 * CHUNK);
            ranges.iter().for_each(|range| bench.heap.punched(range));
        }
        bench.commit(&mut r);
    }
    bench.check(false);
    assert_eq!(bench.heap.stats(&bench.image).live_blocks, 0);
    count
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn a_full_pool_wastes_metadata_only() {
    let mut bench = Bench::new(5, 1000);
    fill(&mut bench, CHUNK);
    let stats = bench.heap.stats(&bench.image);
    assert_eq!(stats.free_chunks, 0);
    assert!(stats.live_blocks >= 1000 - 1000_u64.div_ceil(GROUP_LEN) - 2, "{stats:?}");
    assert_eq!(stats.heap_len, bench.geometry.max_len);
}

const GROUP_LEN: u64 = crate::layout::geometry::GROUP;

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn a_large_object_spans_groups_and_the_space_behind_is_usable() {
    let mut bench = Bench::new(4, 900);
    let mut r = Reservation::default();
    let huge = bench.alloc(&mut r, 700 * CHUNK, 8).unwrap();
    assert_eq!(bench.heap.block_len(huge), 700 * CHUNK);
    let behind = bench.alloc(&mut r, 90 * CHUNK, 8).unwrap();
    assert!(behind > huge);
    bench.commit(&mut r);
    bench.check(false);
    bench = bench.reopen();
    bench.free(&mut r, huge);
    bench.commit(&mut r);
    bench.check(false);
    let count = fill(&mut bench, 2 * CHUNK).len();
    assert!(count > 390, "{count}");
    bench = bench.reopen();
    bench.check(false);
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn growth_survives_a_rollback_and_is_committed_by_the_next_record() {
    let mut bench = Bench::new(3, 200);
    let mut r = Reservation::default();
    bench.alloc(&mut r, 50 * CHUNK, 8).unwrap();
    let grown = bench.heap.heap_len();
    bench.rollback(&mut r);
    assert_eq!(bench.heap.heap_len(), grown);
    assert!(bench.load_home(SUPERBLOCK + 8) < grown);
    bench.alloc(&mut r, 16, 8).unwrap();
    bench.commit(&mut r);
    assert_eq!(bench.load_home(SUPERBLOCK + 8), grown);
    // A crash before that record: the file is longer than the heap, and the heap finds the space again.
    bench.alloc(&mut r, 120 * CHUNK, 8).unwrap();
    let longer = bench.heap.heap_len();
    bench = bench.reopen();
    assert_eq!(bench.heap.heap_len(), grown);
    r = Reservation::default();
    bench.alloc(&mut r, 120 * CHUNK, 8).unwrap();
    bench.commit(&mut r);
    assert_eq!(bench.heap.heap_len(), longer);
    bench.check(false);
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn fragmentation_stays_bounded() {
    let mut rng = Rng::new("fragmentation_stays_bounded");
    let mut bench = Bench::new(5, 4000);
    let (mut live, mut bytes, mut peak) = (Vec::new(), 0, 0);
    for step in 0..400 {
        let mut r = Reservation::default();
        for _ in 0..100 {
            let len = if rng.below(20) == 0 { 1 + rng.below(8 * CHUNK) } else { 1 + rng.below(2000) };
            live.push((bench.alloc(&mut r, len, 8).unwrap(), len));
            bytes += len;
        }
        peak = peak.max(bytes);
        if step > 100 {
            for _ in 0..100 {
                let (block, len) = live.swap_remove(rng.below(live.len() as u64) as usize);
                bench.free(&mut r, block);
                bytes -= len;
            }
        }
        bench.commit(&mut r);
    }
    let used = bench.heap.heap_len() - bench.geometry.heap_start;
    println!("{used} bytes of file for {peak} bytes at the peak: {:.3}", used as f64 / peak as f64);
    assert!(used as f64 <= peak as f64 * 1.45);
}

#[test]
fn the_checker_accepts_each_block_once() {
    let mut bench = Bench::new(30, 30);
    let mut r = Reservation::default();
    let lens = [16, 64, 4096, 30_000, 100_000];
    let blocks: Vec<(u64, u64)> = (0..200)
        .map(|index| lens[index % if index < 100 { 3 } else { 5 }])
        .filter_map(|len| Some((bench.alloc(&mut r, len, 8).ok()?, len)))
        .collect();
    bench.commit(&mut r);
    let (freed, _) = blocks[7];
    bench.free(&mut r, freed);
    bench.commit(&mut r);
    bench = bench.reopen();
    let stats = bench.heap.stats(&bench.image);
    let checker = bench.heap.blocks(&bench.image);
    assert_eq!(checker.unreached(), Unreached { blocks: stats.live_blocks, bytes: stats.live_bytes });
    let base = bench.image.base();
    // The blocks themselves, whatever their sizes.
    let mut expected: Vec<u64> = blocks.iter().map(|(block, _)| base + block).collect();
    expected.retain(|addr| *addr != base + freed);
    expected.sort_unstable();
    let mut unreached: Vec<u64> = checker.unreached_addrs().collect();
    unreached.sort_unstable();
    assert_eq!(unreached, expected);
    let claimed = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for &(block, len) in &blocks {
                    if checker.claim(base + block, len, 8).is_ok() {
                        claimed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(claimed.into_inner(), blocks.len() as u64 - 1);
    assert_eq!(checker.unreached(), Unreached::default());
    let refused = |addr, len, align, word: &str| {
        let error = checker.claim(addr, len, align).unwrap_err();
        assert!(error.what.contains(word), "{error}");
    };
    let (block, len) = blocks[0];
    refused(base + block, len, 8, "two owners");
    refused(base + block, len + 1, 8, "is said to hold");
    refused(base + block + 8, 1, 8, "start of a block");
    refused(base + blocks[3].0, 1, 4096, "aligned");
    let (large, whole) = *blocks.iter().find(|(_, len)| *len > CHUNK).unwrap();
    refused(base + large, whole, 8, "two owners");
    refused(base + large + 4096, 1, 8, "start of a block");
    refused(base + large + CHUNK, 1, 8, "start of a block");
    assert!(checker.known(base + large, whole, 8).is_ok());
    assert!(
        !checker.claim_shared(base + large, whole, 8).unwrap()
            && !checker.claim_shared(base + block, 1, 8).unwrap()
    );
    assert!(checker.claim_shared(base + freed, 1, 8).unwrap_err().what.contains("not allocated"));
    assert_eq!(checker.heap_len(), bench.heap.heap_len());
    refused(base + freed, 1, 8, "not allocated");
    refused(base, 1, 8, "outside the heap");
    refused(u64::MAX, 1, 1, "outside the heap");
    refused(0, 1, 1, "outside the heap");
    assert!(checker.known(base + block, len, 8).is_ok());
    assert!(checker.known(base + freed, 1, 8).is_err());
    assert!(checker.known(base + bench.geometry.heap_start, 1, 8).is_err(), "metadata is no block");
}

/// What a failed walk says: where the bytes are that the medium does not give, rather than what was made of them; else which
/// orders differ; else what was found, and its offset.
#[test]
#[cfg_attr(miri, ignore = "maps a file")]
fn a_failed_walk_gives_its_cause() {
    let geometry = Bench::new(8, 8).geometry;
    let len = geometry.heap_start + 8 * CHUNK;
    let file = tempfile::tempfile().unwrap();
    file.set_len(len).unwrap();
    let image = Image::map_file(&file, Placement::Anywhere, len, geometry.max_len).unwrap();
    Heap::format(&image, &geometry).unwrap();
    let heap = Heap::load(&image, &geometry).unwrap();
    let checker = heap.blocks(&image);
    let found = || Invalid::new("a wrong thing", image.base() + 4096);
    assert!(
        matches!(checker.cause(found()), Error::Corrupt { what, offset: 4096, .. } if what == "a wrong thing")
    );
    let orders = Invalid::other_order("up".to_owned(), "down".to_owned(), image.base());
    let cause = checker.cause(orders);
    assert!(
        matches!(&cause, Error::OrderMismatch { found, expected } if found == "up" && expected == "down")
    );
    // The end of the file goes, and with it what a page there would be read from.
    let end = len - CHUNK;
    file.set_len(end).unwrap();
    assert!(checker.show(image.base() + geometry.heap_start, 64).is_ok());
    let Err(shown) = checker.show(image.base() + end + 64, 64) else {
        return println!("skipped: this kernel does not say what it cannot read");
    };
    assert!(shown.what.contains("does not give"), "{shown}");
    let cause = checker.cause(found());
    assert!(matches!(cause, Error::Unreadable { offset, .. } if offset == end), "{cause:?}");
    // Told once.
    assert!(matches!(checker.cause(found()), Error::Corrupt { .. }));
}

#[test]
fn freed_chunks_are_punched_once_and_backed_before_use() {
    let mut bench = Bench::new(20, 20);
    let mut r = Reservation::default();
    let block = bench.alloc(&mut r, 5 * CHUNK, 8).unwrap();
    bench.commit(&mut r);
    bench.free(&mut r, block);
    bench.commit(&mut r);
    let freed_by = bench.txid;
    assert!(bench.heap.take_punchable(freed_by - 1, u64::MAX).is_empty(), "not durable yet");
    // Used again and freed again: the first free proves nothing any more.
    let again = bench.alloc(&mut r, 5 * CHUNK, 8).unwrap();
    assert_eq!(again, block);
    bench.commit(&mut r);
    bench.free(&mut r, again);
    bench.commit(&mut r);
    assert!(bench.heap.take_punchable(freed_by, u64::MAX).is_empty(), "freed again by a later transaction");
    let ranges = bench.heap.take_punchable(bench.txid, u64::MAX);
    assert_eq!(ranges.as_slice(), std::slice::from_ref(&(block..block + 5 * CHUNK)));
    assert!(bench.heap.is_punching());
    let elsewhere = bench.alloc(&mut r, 5 * CHUNK, 8).unwrap();
    assert_ne!(elsewhere, block);
    bench.rollback(&mut r);
    bench.heap.punched(&ranges[0]);
    assert!(!bench.heap.is_punching());
    // Told twice, it is true once.
    let free = bench.heap.extents.total();
    bench.heap.punched(&ranges[0]);
    assert_eq!(bench.heap.extents.total(), free);
    let mut ask = || match bench.heap.alloc(&bench.image, &mut r, 19 * CHUNK, 8) {
        Err(AllocError::NeedBacking { range }) => range,
        other => panic!("{other:?} before the hole is backed"),
    };
    let range = ask();
    assert!(range.start <= block && range.end >= block + 5 * CHUNK, "{range:?}");
    assert_eq!(ask(), range, "asking takes nothing");
    bench.rollback(&mut r);
    bench.heap.backed(&range);
    let offset = bench.heap.alloc(&bench.image, &mut r, 19 * CHUNK, 8).unwrap();
    assert_eq!(offset, range.start);
    bench.rollback(&mut r);
    let offset_again = bench.heap.alloc(&bench.image, &mut r, 19 * CHUNK, 8).unwrap();
    assert_eq!(offset, offset_again);
}

/// Catches a list that grows for ever where nobody punches: the oldest entries are forgotten.
#[test]
fn what_waits_to_be_punched_is_bounded() {
    let mut bench = Bench::new(20, 20);
    for txid in 1..=(1 << 16) + 3 {
        bench.heap.note_punchable(5, 1, txid);
    }
    assert_eq!(bench.heap.freed.len(), 1 << 16);
    // The oldest three are gone, so nothing that transaction 3 freed is left.
    assert!(bench.heap.take_punchable(3, u64::MAX).is_empty());
    assert_eq!(bench.heap.freed.len(), 1 << 16);
    bench.heap.take_punchable(4, u64::MAX);
    assert_eq!(bench.heap.freed.len(), (1 << 16) - 1);
}
