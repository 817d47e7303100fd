//! Random sequences against a model (A15, A16, A17, A32, A33). Would catch overlap, a block that is not zeroed, a bit
//! that leaks or is lost, a record that is not enough, a hole punched under a live block.

use std::collections::BTreeMap;

use super::*;

/// What a block is to the model: its length, and the transaction that frees it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Block {
    len: u64,
    /// 0 and 1 for the reservation that holds it, 2 for committed.
    owner: usize,
    /// The reservation that freed it.
    freed: Option<usize>,
}

#[derive(Default)]
struct Model {
    blocks: BTreeMap<u64, Block>,
    /// For each chunk the last transaction that freed something in it.
    freed_by: BTreeMap<u64, u64>,
}

const COMMITTED: usize = 2;

impl Model {
    fn insert(&mut self, offset: u64, len: u64, owner: usize) {
        if let Some((before, block)) = self.blocks.range(..=offset).next_back() {
            assert!(before + block.len <= offset, "{offset:#x} lies in {before:#x} {block:?}");
        }
        if let Some((after, _)) = self.blocks.range(offset..).next() {
            assert!(offset + len <= *after, "{offset:#x} + {len} reaches into {after:#x}");
        }
        self.blocks.insert(offset, Block { len, owner, freed: None });
    }

    /// A random wanted block, or nothing after some tries.
    fn pick(&self, rng: &mut Rng, wanted: impl Fn(&Block) -> bool) -> Option<u64> {
        let end = *self.blocks.last_key_value()?.0 + 1;
        (0..10).find_map(|_| {
            let (offset, block) = self.blocks.range(rng.below(end)..).next()?;
            wanted(block).then_some(*offset)
        })
    }

    fn commit(&mut self, owner: usize, txid: u64) {
        let freed_by = &mut self.freed_by;
        self.blocks.retain(|offset, block| {
            if block.freed == Some(owner) {
                for chunk in offset / CHUNK..=(offset + block.len - 1) / CHUNK {
                    freed_by.insert(chunk, txid);
                }
            }
            block.freed != Some(owner)
        });
        self.blocks
            .values_mut()
            .filter(|block| block.owner == owner)
            .for_each(|block| block.owner = COMMITTED);
    }

    fn rollback(&mut self, owner: usize) {
        self.blocks.retain(|_, block| block.owner != owner);
        self.blocks
            .values_mut()
            .filter(|block| block.freed == Some(owner))
            .for_each(|block| block.freed = None);
    }
}

fn random_len(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..6 => 1 + rng.below(200),
        6..8 => 1 + rng.below(5000),
        8 => 1 + rng.below(40_000),
        _ => 1 + rng.below(6 * CHUNK),
    }
}

fn check_zero_and_soil(image: &Image, offset: u64, len: u64) {
    let step = if len > 4096 { 1032 } else { 8 };
    for at in (offset..offset + len / 8 * 8).step_by(step) {
        assert_eq!(image.load_u64(at), 0, "a fresh block is not zero at {at:#x}");
        image.store_u64(at, u64::MAX);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn random_sequences_match_the_model() {
    let mut rng = Rng::new("random_sequences_match_the_model");
    let rounds = 12;
    for round in 0..rounds {
        let max = [20, 150, 700][round % 3];
        one_sequence(&mut rng, max, 1500);
    }
}

fn one_sequence(rng: &mut Rng, chunks_max: u64, steps: usize) {
    let mut bench = Bench::new(2 + rng.below(10), chunks_max);
    let mut model = Model::default();
    let mut reservations = [Reservation::default(), Reservation::default()];
    for _ in 0..steps {
        let who = rng.below(2) as usize;
        match rng.below(40) {
            0..20 => {
                for _ in 0..1 + rng.below(30) {
                    let (len, align) = (random_len(rng), 1 << rng.below(13));
                    match bench.alloc(&mut reservations[who], len, align) {
                        Ok(offset) => {
                            let len = bench.heap.block_len(offset);
                            model.insert(offset, len, who);
                            check_zero_and_soil(&bench.image, offset, len);
                        }
                        Err(AllocError::Full { requested }) => assert_eq!(requested, len),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            20..30 => {
                for _ in 0..1 + rng.below(30) {
                    let usable =
                        |block: &Block| block.freed.is_none() && [who, COMMITTED].contains(&block.owner);
                    let Some(offset) = model.pick(rng, usable) else {
                        break;
                    };
                    bench.free(&mut reservations[who], offset);
                    model.blocks.get_mut(&offset).expect("a block").freed = Some(who);
                }
            }
            30..35 => {
                bench.commit(&mut reservations[who]);
                model.commit(who, bench.txid);
                bench.check(!reservations[1 - who].is_empty());
                check_live(&mut bench, &model);
            }
            35..38 => {
                bench.rollback(&mut reservations[who]);
                model.rollback(who);
                bench.check(!reservations[1 - who].is_empty());
            }
            38 => punch(&mut bench, &model, rng),
            _ => {
                bench = bench.reopen();
                reservations = Default::default();
                model.rollback(0);
                model.rollback(1);
                check_live(&mut bench, &model);
                bench.check(false);
            }
        }
    }
    // After freeing everything nothing is left but metadata.
    bench = bench.reopen();
    model.rollback(0);
    model.rollback(1);
    // Counting finds the runs that a crash left empty, while another transaction had reserved blocks in them.
    check_live(&mut bench, &model);
    let mut r = Reservation::default();
    bench.alloc(&mut r, 1, 1).ok().into_iter().for_each(|block| bench.free(&mut r, block));
    model.blocks.keys().for_each(|&offset| bench.free(&mut r, offset));
    bench.commit(&mut r);
    bench.check(false);
    let stats = bench.heap.stats(&bench.image);
    assert_eq!((stats.live_blocks, stats.live_bytes, stats.runs), (0, 0, 0));
}

fn check_live(bench: &mut Bench, model: &Model) {
    let live: Vec<u64> =
        model.blocks.values().filter(|block| block.owner == COMMITTED).map(|block| block.len).collect();
    let stats = bench.heap.stats(&bench.image);
    assert_eq!((stats.live_blocks, stats.live_bytes), (live.len() as u64, live.iter().sum()));
}

fn punch(bench: &mut Bench, model: &Model, rng: &mut Rng) {
    let through = bench.txid.saturating_sub(rng.below(4));
    let ranges = bench.heap.take_punchable(through, u64::MAX);
    for range in &ranges {
        for chunk in range.start / CHUNK..range.end / CHUNK {
            let by = model.freed_by.get(&chunk).copied().unwrap_or(0);
            assert!(by <= through, "chunk {chunk} was freed by {by}, home has {through}");
        }
        let (before, inside) =
            (model.blocks.range(..range.start).next_back(), model.blocks.range(range.clone()).next());
        assert!(inside.is_none(), "a live block is punched");
        assert!(before.is_none_or(|(offset, block)| offset + block.len <= range.start));
        bench.media.punch(range.start, range.end - range.start).expect("a punch");
        bench.heap.punched(range);
    }
}

#[test]
fn what_cancels_leaves_no_trace() {
    let mut bench = Bench::new(40, 40);
    let mut r = Reservation::default();
    let keep = bench.alloc(&mut r, 64, 8).unwrap();
    bench.commit(&mut r);
    for len in [64, 80, 200_000] {
        let block = bench.alloc(&mut r, len, 8).unwrap();
        bench.free(&mut r, block);
        assert_eq!(bench.commit(&mut r), 0, "alloc and free of {len} changed the file");
    }
    // Freed, then rolled back: still there.
    bench.free(&mut r, keep);
    bench.rollback(&mut r);
    assert_eq!(bench.heap.stats(&bench.image).live_blocks, 1);
    bench.check(false);
}

#[test]
#[cfg_attr(miri, ignore = "slow, and the heap has no unsafe code")]
fn a_transaction_does_not_reuse_what_it_frees() {
    let mut bench = Bench::new(12, 12);
    let mut r = Reservation::default();
    let small: Vec<u64> = (0..2000).map(|_| bench.alloc(&mut r, 64, 8).unwrap()).collect();
    let large = bench.alloc(&mut r, 3 * CHUNK, 8).unwrap();
    bench.commit(&mut r);
    small.iter().for_each(|&block| bench.free(&mut r, block));
    bench.free(&mut r, large);
    while let Ok(block) = bench.alloc(&mut r, 64, 8) {
        assert!(!small.contains(&block) && !(large..large + 3 * CHUNK).contains(&block));
    }
    bench.commit(&mut r);
    bench.check(false);
}

#[test]
fn two_reservations_share_a_run() {
    let mut bench = Bench::new(8, 8);
    let (mut a, mut b) = (Reservation::default(), Reservation::default());
    let first = bench.alloc(&mut a, 64, 8).unwrap();
    let second = bench.alloc(&mut b, 64, 8).unwrap();
    assert_ne!(first, second);
    // The run was a's idea, but b's record must hold it.
    bench.commit(&mut b);
    bench.rollback(&mut a);
    bench.check(false);
    // a reserves in the run while b frees its last committed block: the run goes with the next record.
    let third = bench.alloc(&mut a, 64, 8).unwrap();
    assert_eq!(third / CHUNK, second / CHUNK);
    bench.free(&mut b, second);
    bench.commit(&mut b);
    bench.rollback(&mut a);
    assert_eq!(bench.heap.stats(&bench.image).runs, 1);
    let other = bench.alloc(&mut a, 40_000, 8).unwrap();
    bench.commit(&mut a);
    bench.check(false);
    let stats = bench.heap.stats(&bench.image);
    assert_eq!((stats.runs, stats.live_blocks), (0, 1));
    bench.free(&mut a, other);
    bench.commit(&mut a);
    bench.check(false);
}

/// What is not the start of an allocated block has no length, and to free it is ignored.
#[test]
fn frees_of_what_is_no_block_are_ignored() {
    let mut bench = Bench::new(40, 40);
    let mut r = Reservation::default();
    let (small, large) = (bench.alloc(&mut r, 64, 8).unwrap(), bench.alloc(&mut r, 3 * CHUNK, 8).unwrap());
    let kept = bench.alloc(&mut r, 1000, 8).unwrap();
    bench.commit(&mut r);
    let metadata = bench.geometry.heap_start;
    let behind = bench.heap.heap_len();
    let strays = [
        0,
        metadata - 8,
        metadata,
        metadata + 4096,
        behind,
        u64::MAX - 7,
        small + 8,
        large + 64,
        large + CHUNK,
    ];
    for stray in strays {
        assert_eq!(bench.heap.block_len(stray), 0, "{stray:#x}");
        bench.free(&mut r, stray);
        assert!(r.is_empty() && !bench.heap.frees(&mut r, stray), "{stray:#x}");
    }
    // A block that is not allocated has a length, and is not freed.
    bench.free(&mut r, small + 64);
    assert!(r.is_empty() && bench.heap.block_len(small + 64) == 64);
    // What a transaction frees, and what it does not.
    let other = bench.alloc(&mut r, 5000, 8).unwrap();
    bench.free(&mut r, small);
    let freed = |bench: &Bench, r: &mut Reservation, offset| bench.heap.frees(r, offset);
    assert!(freed(&bench, &mut r, small) && !freed(&bench, &mut r, large) && !freed(&bench, &mut r, other));
    assert!(!freed(&bench, &mut r, kept));
    bench.free(&mut r, large);
    assert!(freed(&bench, &mut r, large) && !freed(&bench, &mut r, other));
    // It is asked of starts of blocks; within a large one the answer is the block's.
    for stray in strays.into_iter().filter(|stray| *stray != large + 64) {
        assert!(!freed(&bench, &mut r, stray), "{stray:#x}");
    }
    bench.commit(&mut r);
    let stats = bench.heap.stats(&bench.image);
    assert_eq!((stats.live_blocks, stats.large_objects), (2, 0));
    bench.check(false);
}

/// Two transactions that run at once and free the same blocks, which only a pool that was opened on trust can bring about:
/// the first one frees them, the other one changes nothing, even where the chunks have become something else.
#[test]
fn what_is_freed_twice_is_freed_once() {
    for commits in [true, false] {
        let mut bench = Bench::new(40, 40);
        let (mut a, mut b) = (Reservation::default(), Reservation::default());
        let fill = |bench: &mut Bench, r: &mut Reservation, len, count| -> Vec<u64> {
            (0..count).map(|_| bench.alloc(r, len, 8).unwrap()).collect()
        };
        let small = fill(&mut bench, &mut a, 16, 3968);
        let large = bench.alloc(&mut a, 2 * CHUNK, 8).unwrap();
        let keep = bench.alloc(&mut a, 1000, 8).unwrap();
        bench.commit(&mut a);
        for r in [&mut a, &mut b] {
            small.iter().for_each(|&block| bench.free(r, block));
            bench.free(r, large);
        }
        bench.commit(&mut a);
        let end = |bench: &mut Bench, r: &mut Reservation| {
            if commits {
                assert_eq!(bench.commit(r), 0, "nothing is left to free");
            } else {
                bench.rollback(r);
            }
            bench.check(false);
            let stats = bench.heap.stats(&bench.image);
            assert_eq!(stats.free_chunks, 40 - 1 - stats.runs - stats.large_objects * 2);
            stats.live_blocks
        };
        assert_eq!(end(&mut bench, &mut b), 1);
        bench.free(&mut a, keep);
        bench.commit(&mut a);
        assert_eq!(bench.heap.stats(&bench.image).live_blocks, 0);
    }
}

/// As before, and the chunk has become a run of larger blocks in between.
#[test]
fn what_another_block_has_taken_the_place_of_is_not_released() {
    let mut bench = Bench::new(40, 40);
    let (mut a, mut b) = (Reservation::default(), Reservation::default());
    let small: Vec<u64> = (0..3968).map(|_| bench.alloc(&mut a, 16, 8).unwrap()).collect();
    bench.commit(&mut a);
    small.iter().for_each(|&block| bench.free(&mut a, block));
    // Of the last words of the bitmap: the run to come has none of them.
    small[3000..].iter().for_each(|&block| bench.free(&mut b, block));
    bench.commit(&mut a);
    let taken = [bench.alloc(&mut a, 32_000, 8).unwrap(), bench.alloc(&mut a, 32_000, 8).unwrap()];
    assert_eq!(taken[0] / CHUNK, small[0] / CHUNK, "the same chunk");
    bench.commit(&mut a);
    bench.rollback(&mut b);
    bench.check(false);
    assert_eq!(bench.heap.stats(&bench.image).live_blocks, 2);
    let next = bench.alloc(&mut a, 32_000, 8).unwrap();
    assert!(!taken.contains(&next));
    bench.commit(&mut a);
    bench.check(false);
}

/// Catches a change whose bytes are not all followed: the lines to write back, in place, are these.
#[test]
fn a_change_knows_its_bytes() {
    let changes = [
        (Change::Word { offset: 64, value: 1 }, (64, 8)),
        (Change::Set { offset: 72, mask: 1 }, (72, 8)),
        (Change::Clear { offset: 80, mask: 1 }, (80, 8)),
        (Change::Zeros { offset: 4096, count: 8192 }, (4096, 65_536)),
    ];
    for (change, range) in changes {
        assert_eq!(change.range(), range);
    }
}
