//! Memory: taking it, giving it back, and what an object costs on the medium.

use pobj::{PBox, Pool};

use crate::Result;
use crate::bench::Bench;
use crate::fill::eventual;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, nanos};
use crate::types::{Blocks, Counter, List, Node};

/// Blocks of one transaction.
const COUNT: usize = 1000;
/// Large enough that no checkpoint runs in a sample.
const RING_LEN: u64 = 64 << 20;

/// Allocating and freeing 1000 blocks of 64 bytes in one transaction, its commit included. Limit: 1000 boxes from the
/// global allocator, kept in a vector, then dropped. For information the same with the blocks kept by the pool from one
/// transaction to the next, whose records therefore carry their contents.
///
/// # Errors
///
/// If the pools cannot be made.
pub fn alloc_rows(bench: &Bench) -> Result<Vec<Row>> {
    let pool = eventual::<Counter>(&bench.memory("alloc"), RING_LEN)?;
    let kept = eventual::<Blocks>(&bench.memory("alloc-kept"), RING_LEN)?;
    let repeat = bench.size(20, 4);
    let rounds = bench.size(51, 5);
    let scale = (repeat * COUNT) as f64;
    let within = Pairs::measure(
        rounds,
        || Ok(nanos(|| (0..repeat).try_for_each(|_| within_one_transaction(&pool)))? / scale),
        || Ok(nanos(|| malloc(repeat))? / scale),
    )?;
    let across = Pairs::measure(
        rounds,
        || Ok(nanos(|| (0..repeat).try_for_each(|_| across_two_transactions(&kept)))? / scale),
        || Ok(nanos(|| malloc(repeat))? / scale),
    )?;
    Ok(vec![
        within
            .row("allocate + free 64 B inside a transaction of 1000", "ns")
            .budget(Budget::RatioAtMost(3.0)),
        across.row("- allocated in one transaction, freed in the next", "ns"),
    ])
}

/// Takes 1000 blocks, frees them, commits.
///
/// # Errors
///
/// Those of the transaction.
pub fn within_one_transaction(pool: &Pool<Counter>) -> Result<()> {
    Ok(pool.write(|_, tx| {
        let mut boxes = Vec::with_capacity(COUNT);
        for index in 0..COUNT {
            boxes.push(PBox::new(tx, [index as u8; 64])?);
        }
        drop(std::hint::black_box(boxes));
        Ok(())
    })?)
}

/// Takes 1000 blocks, commits, frees them, commits.
///
/// # Errors
///
/// Those of the transactions.
pub fn across_two_transactions(pool: &Pool<Blocks<'static>>) -> Result<()> {
    pool.write(|root, tx| {
        for index in 0..COUNT {
            let block = PBox::new(tx, [index as u8; 64])?;
            root.items.push(tx, block)?;
        }
        Ok(())
    })?;
    Ok(pool.write(|root, _| {
        root.items.clear();
        Ok(())
    })?)
}

fn malloc(repeat: usize) -> Result<()> {
    (0..repeat).for_each(|_| with_malloc());
    Ok(())
}

/// Takes 1000 blocks from the global allocator and frees them.
pub fn with_malloc() {
    let mut boxes = Vec::with_capacity(COUNT);
    for index in 0..COUNT {
        boxes.push(Box::new([index as u8; 64]));
    }
    drop(std::hint::black_box(boxes));
}

/// Bytes on the medium for each 64-byte object: growth of the pool file by a list of 1 M of them, made 1000 to a
/// transaction. Limit: 64.
///
/// # Errors
///
/// If the pool cannot be made.
pub fn bytes_rows(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(1_000_000, 100_000);
    let path = bench.memory("bytes");
    let pool = eventual::<List>(&path, RING_LEN)?;
    let empty = std::fs::metadata(&path)?.len();
    for first in (0..count).step_by(COUNT) {
        pool.write(|list, tx| {
            for value in first..first + COUNT {
                let node = Node { next: list.head.take(), value: value as u64, payload: [0; 6] };
                list.head = Some(PBox::new(tx, node)?);
            }
            Ok(())
        })?;
    }
    let heap = pool.stats().heap;
    pool.close()?;
    let grown = (std::fs::metadata(&path)?.len() - empty) as f64 / count as f64;
    let used = grown - (heap.free_chunks * 65536) as f64 / count as f64;
    Ok(vec![
        Row::new("file bytes per 64-byte object, 1 M linked", grown, "bytes")
            .limit(64.0)
            .budget(Budget::AtMost(68.0)),
        Row::new("- without space that is free for the next ones", used, "bytes").limit(64.0),
    ])
}
