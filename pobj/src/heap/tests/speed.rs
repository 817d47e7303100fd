//! Printed figures, not judged here: run with `--release -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

#[test]
#[ignore = "a measurement"]
fn alloc_and_free_64_bytes_against_malloc() {
    const COUNT: usize = 1000;
    let mut bench = Bench::new(1000, 1000);
    let mut r = Reservation::default();
    let mut blocks = Vec::with_capacity(COUNT);
    let mut boxes: Vec<Box<[u64; 8]>> = Vec::with_capacity(COUNT);
    let mut changes = Vec::new();
    let mut rng = Rng::new("alloc_and_free_64_bytes_against_malloc");
    let mut best = [f64::MAX; 4];
    for round in 0..200 {
        let start = Instant::now();
        for value in 0..COUNT {
            boxes.push(Box::new(std::hint::black_box([value as u64; 8])));
        }
        boxes.clear();
        let malloc = start.elapsed();
        let start = Instant::now();
        for _ in 0..COUNT {
            blocks.push(bench.alloc(&mut r, 64, 8).unwrap());
        }
        changes.clear();
        bench.heap.prepare(&bench.image, &mut r, &mut changes);
        bench.heap.commit(&bench.image, &mut r, round + 1);
        let alloc = start.elapsed();
        for index in (1..blocks.len()).rev() {
            blocks.swap(index, rng.below(index as u64 + 1) as usize);
        }
        let start = Instant::now();
        blocks.iter().for_each(|&block| bench.heap.free(&bench.image, &mut r, block));
        changes.clear();
        bench.heap.prepare(&bench.image, &mut r, &mut changes);
        bench.heap.commit(&bench.image, &mut r, round + 2);
        let free = start.elapsed();
        blocks.clear();
        // Both in one transaction.
        let start = Instant::now();
        for _ in 0..COUNT {
            let block = bench.alloc(&mut r, 64, 8).unwrap();
            bench.heap.free(&bench.image, &mut r, block);
        }
        bench.heap.prepare(&bench.image, &mut r, &mut changes);
        bench.heap.commit(&bench.image, &mut r, round + 2);
        let pair = start.elapsed();
        for (best, now) in best.iter_mut().zip([malloc, alloc, free, pair]) {
            *best = best.min(now.as_nanos() as f64 / COUNT as f64);
        }
    }
    let [malloc, alloc, free, pair] = best;
    println!(
        "malloc+free {malloc:.1} ns, alloc {alloc:.1}, free {free:.1}, alloc+free in one {pair:.1}, commits included"
    );
}

#[test]
#[ignore = "a measurement"]
fn load_and_claim() {
    use crate::heap::checker::Unreached;
    use crate::layout::visit::Blocks;
    let mut bench = Bench::new(16_500, 16_500);
    let mut r = Reservation::default();
    let mut blocks = Vec::new();
    while let Ok(block) = bench.alloc(&mut r, 64, 8) {
        blocks.push(block);
    }
    bench.heap.commit(&bench.image, &mut r, 1);
    let start = Instant::now();
    let mut heap = Heap::load(&bench.image, &bench.geometry).unwrap();
    println!("load of 1 GiB: {:?}", start.elapsed());
    let start = Instant::now();
    let stats = heap.stats(&bench.image);
    println!("stats of it: {:?}, {stats:?}", start.elapsed());
    let start = Instant::now();
    let checker = heap.blocks(&bench.image);
    println!("checker of it: {:?}", start.elapsed());
    let start = Instant::now();
    for &block in &blocks {
        checker.claim(bench.image.base() + block, 64, 8).unwrap();
    }
    println!(
        "claim: {:.1} ns each of {}",
        start.elapsed().as_nanos() as f64 / blocks.len() as f64,
        blocks.len()
    );
    assert_eq!(checker.unreached(), Unreached::default());
    // More than 128 groups: the slots of their metadata chunks fill more than one of those.
    let mut bench = Bench::new(16_500, 16_500).reopen();
    bench.check(false);
}
