//! Space: sizes at their limits, a full pool, growth, holes given back. A full disk is in `full_disk.rs`.
//!
//! Catches: a size that wraps, a block that is lost between filling and freeing, two blocks in one place, a full pool
//! that cannot be left again, a file that never shrinks, growth past the limit or not at all.

#![allow(clippy::unit_arg, reason = "a transaction of one statement stays one expression")]

use std::fs;

use pobj::{Durability, Error, PBox, PVec, Persistent, Pool, Result, Tx};
use tests::support::bags::{Bags, bag, bags};
use tests::support::{Random, blocks_of, directory, quick_directory, seed, small};

const MIB: u64 = 1 << 20;

/// A block of `N` bytes and a link.
#[derive(Persistent)]
#[repr(C)]
struct Block<'p, const N: usize> {
    next: Option<PBox<'p, Block<'p, N>>>,
    number: u64,
    fill: [u8; N],
}

/// A pile of equal blocks.
#[derive(Persistent, Default)]
#[repr(C)]
struct Pile<'p, const N: usize> {
    top: Option<PBox<'p, Block<'p, N>>>,
    count: u64,
}

impl<'p, const N: usize> Pile<'p, N> {
    fn push(&mut self, tx: &Tx<'p>) -> Result<()> {
        let mut block = PBox::new(tx, Block { next: None, number: self.count, fill: [self.count as u8; N] })?;
        block.get_mut(tx).next = self.top.take();
        self.top = Some(block);
        self.count += 1;
        Ok(())
    }

    fn check(&self) {
        let (mut left, mut block) = (self.count, self.top.as_deref());
        while let Some(Block { next, number, fill }) = block {
            left -= 1;
            assert_eq!(*number, left);
            assert!(fill.iter().all(|byte| *byte == left as u8), "block {left} was overwritten");
            block = next.as_deref();
        }
        assert_eq!(left, 0, "blocks are missing");
    }
}

/// Pushes until nothing more fits; keeps what fitted.
fn fill_pile<const N: usize>(pool: &Pool<Pile<'static, N>>) -> u64 {
    loop {
        let full = pool.write(|pile, tx| {
            for _ in 0..500 {
                match pile.push(tx) {
                    Ok(()) => {}
                    // The error is the closure's own affair: what was pushed before it commits.
                    Err(Error::PoolFull { requested, max_len }) => {
                        assert!(requested >= N as u64 && max_len % (64 << 10) == 0);
                        return Ok(true);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(false)
        });
        if full.unwrap() {
            return pool.read().count;
        }
    }
}

fn fill_and_empty<const N: usize>() {
    let directory = quick_directory();
    let path = directory.path().join("pile.pobj");
    let options = || small::<Pile<'static, N>>(3 * MIB).durability(Durability::Eventual);
    let mut pool = options().create(&path).unwrap();
    let first = fill_pile(&pool);
    // At least 90 % of the heap, but for what does not fit in whole chunks.
    let size = size_of::<Block<'_, N>>() as u64;
    assert!(first * size > 3 * MIB / 2, "only {first} blocks of {size} bytes fit");
    for cycle in 0..6 {
        pool.read().check();
        if cycle % 2 == 1 {
            pool.close().unwrap();
            // A16: what comes first after the open is a free.
            pool = options().open(&path).unwrap();
        }
        pool.write(|pile, _| Ok(*pile = Pile::default())).unwrap();
        assert_eq!(pool.stats().heap.live_blocks, 1, "cycle {cycle}");
        assert_eq!(fill_pile(&pool), first, "cycle {cycle}: {N} bytes");
    }
    pool.read().check();
}

/// Catches space that is lost in a cycle of filling and freeing (A13), for small, middle and large blocks.
#[test]
fn a_pool_holds_the_same_count_in_every_cycle() {
    fill_and_empty::<0>();
    fill_and_empty::<100>();
    fill_and_empty::<1000>();
    fill_and_empty::<5000>();
    fill_and_empty::<30_000>();
    fill_and_empty::<40_000>();
    fill_and_empty::<100_000>();
}

/// Catches a full pool that is not left as it was, or cannot be left: the failed transaction is gone, a free works and
/// makes exactly its room.
#[test]
fn a_full_pool_rolls_back_and_freeing_works() {
    let directory = quick_directory();
    let path = directory.path().join("full.pobj");
    let options = || small::<Pile<'static, 1000>>(MIB).durability(Durability::Eventual);
    let mut pool = options().create(&path).unwrap();
    let count = fill_pile(&pool);
    for round in 0..4 {
        let stats = pool.stats().heap;
        let refused = pool.write(|pile, tx| {
            pile.top = None;
            pile.count = 0;
            // What this transaction frees is not free before it commits.
            (0..count).try_for_each(|_| pile.push(tx))
        });
        assert!(matches!(refused, Err(Error::PoolFull { max_len: MIB, .. })), "{refused:?}");
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("full") && message.contains("max_size"), "{message}");
        pool.read().check();
        assert_eq!((pool.read().count, pool.stats().heap.live_blocks), (count, stats.live_blocks));
        for _ in 0..3 {
            pool.write(|pile, tx| {
                let Block { next, .. } = pile.top.take().unwrap().into_inner(tx);
                pile.top = next;
                pile.count -= 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(fill_pile(&pool), count, "round {round}");
        if round == 1 {
            pool.close().unwrap();
            pool = options().open(&path).unwrap();
        }
    }
}

/// Catches sizes that wrap or are taken on trust (A10): nothing, one byte, the largest, one more, near `u64::MAX`.
#[test]
fn sizes_at_their_limits() {
    #[derive(Persistent, Clone, Copy, PartialEq, Debug)]
    #[repr(C)]
    struct Nothing;
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Limits<'p> {
        nothing: Option<PBox<'p, Nothing>>,
        nothings: PVec<'p, Nothing>,
        bytes: PVec<'p, u8>,
        words: PVec<'p, u64>,
    }
    let directory = quick_directory();
    let path = directory.path().join("limits.pobj");
    let options = || small::<Limits>(4 * MIB).durability(Durability::Eventual);
    let pool = options().create(&path).unwrap();
    pool.write(|limits, tx| {
        limits.nothing = Some(PBox::new(tx, Nothing)?);
        limits.nothings = PVec::from_slice(tx, &[Nothing; 1000])?;
        limits.bytes = PVec::with_capacity(tx, 0)?;
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, 1, "values without bytes need no block");
    pool.write(|limits, tx| {
        limits.bytes = PVec::from_slice(tx, &[7])?;
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, 2);

    let fits = |len: usize| {
        pool.write(|limits, tx| {
            limits.bytes = PVec::new();
            limits.bytes = PVec::with_capacity(tx, len)?;
            Err::<(), _>(Error::abort("it fits"))
        })
    };
    // The largest block, by bisection: it is most of the pool, and one byte more is refused.
    let (mut low, mut high) = (MIB as usize, 4 * MIB as usize);
    while low + 1 < high {
        let middle = low.midpoint(high);
        match fits(middle) {
            Err(Error::Aborted(_)) => low = middle,
            Err(Error::PoolFull { .. }) => high = middle,
            other => panic!("{middle}: {other:?}"),
        }
    }
    assert!(low as u64 > 7 * MIB / 2, "the largest block has {low} bytes");
    for len in [
        high,
        4 * MIB as usize,
        1 << 40,
        1 << 46,
        1 << 62,
        usize::MAX - 70_000,
        usize::MAX - 7,
        usize::MAX - 1,
        usize::MAX,
    ] {
        let refused = fits(len);
        assert!(
            matches!(refused, Err(Error::PoolFull { .. } | Error::TooLarge { .. })),
            "{len}: {refused:?}"
        );
        let refused = pool.write(|limits, tx| limits.words.reserve(tx, len));
        assert!(
            matches!(refused, Err(Error::PoolFull { .. } | Error::TooLarge { .. })),
            "{len} words: {refused:?}"
        );
    }
    // For real, to its last byte.
    pool.write(|limits, _| Ok(limits.bytes = PVec::new())).unwrap();
    pool.write(|limits, tx| {
        limits.bytes = bag(tx, low, 0xAB)?;
        Ok(())
    })
    .unwrap();
    pool.close().unwrap();
    let pool = options().open(&path).unwrap();
    let limits = pool.read();
    assert!(limits.bytes.len() == low && limits.bytes.iter().all(|byte| *byte == 0xAB));
    assert_eq!((limits.nothings.len(), limits.nothing.as_deref()), (1000, Some(&Nothing)));
}

/// Catches blocks that overlap, or whose content moves (A15): random sizes up to several chunks, taken and freed by
/// several threads, compared byte by byte, over reopens.
#[test]
fn random_sizes_never_overlap() {
    let seed = seed("random_sizes_never_overlap");
    let directory = quick_directory();
    let path = directory.path().join("bags.pobj");
    let mut pool = bags(256 * MIB).create(&path).unwrap();
    for round in 0..4 {
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let pool = &pool;
                scope.spawn(move || {
                    let mut random = Random(seed ^ (round * 8 + thread) << 32);
                    for _ in 0..150 {
                        pool.write(|root, tx| step(root, tx, &mut random)).unwrap();
                    }
                });
            }
        });
        let total = check_bags(&pool.read());
        let stats = pool.stats().heap;
        assert!(stats.live_bytes >= total, "{} bytes in use, {total} in bags", stats.live_bytes);
        pool.close().unwrap();
        pool = bags(256 * MIB).open(&path).unwrap();
        assert_eq!(check_bags(&pool.read()), total);
        assert_eq!(
            (pool.stats().heap.live_blocks, pool.stats().heap.live_bytes),
            (stats.live_blocks, stats.live_bytes)
        );
    }
    pool.write(|root, _| Ok(*root = Bags::default())).unwrap();
    assert_eq!(pool.stats().heap.live_blocks, 1);
}

/// A few bags more or less; each is filled with a byte that its length gives.
fn step<'p>(root: &mut Bags<'p>, tx: &Tx<'p>, random: &mut Random) -> Result<()> {
    for _ in 0..random.below(6) {
        let magnitude = random.below(19);
        let len = random.below(1 << magnitude) as usize;
        root.bags.push(tx, bag(tx, len, len as u8)?)?;
    }
    for _ in 0..random.below(5) {
        if !root.bags.is_empty() {
            let index = random.below(root.bags.len() as u64) as usize;
            drop(root.bags.swap_remove(index, tx));
        }
    }
    if random.below(20) == 0 {
        root.bags.retain(tx, |bag| bag.len() % 3 != 0);
    }
    Ok(())
}

fn check_bags(root: &Bags<'_>) -> u64 {
    let mut total = 0;
    for bag in &root.bags {
        assert!(
            bag.iter().all(|byte| *byte == bag.len() as u8),
            "a bag of {} bytes was overwritten",
            bag.len()
        );
        total += bag.len() as u64;
    }
    total
}

// ---- growth: A18, A22 ----

/// Catches growth that moves what is there, goes past `max_size`, or stops before it; and a group's border (8 MiB) that
/// a block cannot cross.
#[test]
fn a_pool_grows_in_place_to_its_limit_and_no_further() {
    let directory = quick_directory();
    let path = directory.path().join("grow.pobj");
    let max_size = 40 * MIB;
    let pool = bags(max_size).create(&path).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    assert!(before < MIB, "a new pool has {before} bytes");
    let base = pool.stats().base;
    // Longer than a group, and two that end near the borders of groups.
    for len in [9 * MIB, 8 * MIB - (64 << 10), 8 * MIB - 100, 3 * MIB] {
        pool.write(|root, tx| {
            let bag = bag(tx, len as usize, len as u8)?;
            root.bags.push(tx, bag)
        })
        .unwrap();
    }
    let mut len = MIB as usize;
    while len > 0 {
        let outcome = pool.write(|root, tx| {
            let bag = bag(tx, len, len as u8)?;
            root.bags.push(tx, bag)
        });
        match outcome {
            Ok(()) => {}
            Err(Error::PoolFull { .. }) => len /= 2,
            Err(error) => panic!("{error}"),
        }
    }
    let total = check_bags(&pool.read());
    assert!(total > max_size * 95 / 100, "only {total} bytes of {max_size} can be used");
    assert_eq!(pool.stats().base, base);
    pool.checkpoint().unwrap();
    assert_eq!((fs::metadata(&path).unwrap().len(), pool.stats().len), (max_size, max_size));
    pool.close().unwrap();
    let pool = bags(max_size).open(&path).unwrap();
    assert_eq!(check_bags(&pool.read()), total);
}

/// Catches growth that a rollback leaves half done: the file may stay longer, the pool must not lose it.
#[test]
fn growth_in_a_failed_transaction_is_used_later() {
    let directory = quick_directory();
    let path = directory.path().join("grow.pobj");
    let mut pool = bags(64 * MIB).create(&path).unwrap();
    for round in 0..3 {
        let refused = pool.write(|root, tx| {
            let bag = bag(tx, 20 * MIB as usize, 1)?;
            root.bags.push(tx, bag)?;
            Err::<(), _>(Error::abort("no"))
        });
        assert!(matches!(refused, Err(Error::Aborted(_))));
        assert_eq!(pool.stats().heap.live_blocks, 1);
        pool.write(|root, tx| {
            root.bags.clear();
            let bag = bag(tx, 50 * MIB as usize, round)?;
            root.bags.push(tx, bag)
        })
        .unwrap();
        assert!(pool.read().bags[0].iter().all(|byte| *byte == round));
        pool.write(|root, _| Ok(*root = Bags::default())).unwrap();
        if round == 1 {
            pool.close().unwrap();
            pool = bags(64 * MIB).open(&path).unwrap();
        }
    }
}

/// Catches an alignment that is not honoured, up to 4,096.
#[test]
fn alignments_up_to_4096_are_honoured() {
    #[derive(Persistent, Default)]
    #[repr(C, align(4096))]
    struct Page {
        byte: u8,
    }
    #[derive(Persistent, Default)]
    #[repr(C, align(64))]
    struct Line {
        byte: u8,
    }
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Aligned<'p> {
        pages: PVec<'p, PBox<'p, Page>>,
        lines: PVec<'p, PBox<'p, Line>>,
        many: PVec<'p, Page>,
    }
    let directory = quick_directory();
    let path = directory.path().join("aligned.pobj");
    let pool = small::<Aligned>(16 * MIB).create(&path).unwrap();
    pool.write(|root, tx| {
        for byte in 0..100 {
            root.lines.push(tx, PBox::new(tx, Line { byte })?)?;
            root.pages.push(tx, PBox::new(tx, Page { byte })?)?;
            root.many.push(tx, Page { byte })?;
        }
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = small::<Aligned>(16 * MIB).open(&path).unwrap();
    let root = pool.read();
    for byte in 0..100 {
        let (page, line, element) = (&*root.pages[byte], &*root.lines[byte], &root.many[byte]);
        assert_eq!((page.byte, line.byte, element.byte), (byte as u8, byte as u8, byte as u8));
        assert!(
            std::ptr::from_ref(page).addr() % 4096 == 0 && std::ptr::from_ref(element).addr() % 4096 == 0
        );
        assert_eq!(std::ptr::from_ref(line).addr() % 64, 0);
    }
}

/// Catches fresh memory that is not zero (design 6): bytes of a block that was freed show in a page's padding.
#[test]
fn memory_that_is_handed_out_again_is_zero() {
    let directory = quick_directory();
    let pool = bags(32 * MIB).create(directory.path().join("zero.pobj")).unwrap();
    for len in [10, 1000, 30_000, 200_000] {
        for _ in 0..3 {
            pool.write(|root, tx| {
                let bag = bag(tx, len, 0xFF)?;
                root.bags.push(tx, bag)
            })
            .unwrap();
            pool.write(|root, _| Ok(root.bags.clear())).unwrap();
            pool.write(|_, tx| {
                let fresh = PVec::<u8>::with_capacity(tx, len)?;
                // SAFETY: the block has at least `len` bytes, and the heap promises that they are zero.
                let bytes = unsafe { std::slice::from_raw_parts(fresh.as_slice().as_ptr(), len) };
                assert!(bytes.iter().all(|byte| *byte == 0), "a block of {len} bytes shows its past");
                Ok(())
            })
            .unwrap();
        }
    }
}

// ---- holes ----

/// Catches a file that keeps the space of freed large objects, or a hole punched under bytes that are needed: what was
/// freed is given back after a checkpoint, the rest stays, and the space can be used again.
#[test]
fn freed_large_objects_give_their_space_back() {
    let directory = directory();
    let path = directory.path().join("holes.pobj");
    let pool = bags(256 * MIB).create(&path).unwrap();
    let push = |byte: u8| {
        pool.write(|root, tx| {
            let bag = bag(tx, MIB as usize, byte)?;
            root.bags.push(tx, bag)
        })
        .unwrap();
    };
    (0..32).for_each(push);
    pool.checkpoint().unwrap();
    let full = blocks_of(&path);
    assert!(full * 512 >= 32 * MIB, "{full} blocks");
    // Every second one goes.
    for index in (0..32).rev().step_by(2) {
        pool.write(|root, tx| Ok(drop(root.bags.remove(index, tx)))).unwrap();
    }
    pool.checkpoint().unwrap();
    // The next transaction that takes or frees finds the moment.
    push(100);
    pool.checkpoint().unwrap();
    let holed = blocks_of(&path);
    if holed >= full {
        println!("skipped: the file system of {} punches no holes", directory.path().display());
        return;
    }
    assert!((full - holed) * 512 >= 14 * MIB, "only {} of 16 MiB came back", (full - holed) * 512);
    // Nothing that is in use was punched, in memory or in the file.
    let check = |pool: &Pool<Bags<'static>>, count: usize| {
        let root = pool.read();
        assert_eq!(root.bags.len(), count);
        for (index, bag) in root.bags.iter().enumerate() {
            let byte = if index < 16 { 2 * index as u8 } else { 100 };
            assert!(bag.len() == MIB as usize && bag.iter().all(|found| *found == byte), "bag {index}");
        }
    };
    check(&pool, 17);
    (0..15).for_each(|_| push(100));
    pool.checkpoint().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 40 * MIB, "the holes are used again");
    check(&pool, 32);
    pool.close().unwrap();
    check(&bags(256 * MIB).open(&path).unwrap(), 32);
}
