//! Transactions that share a pool: what a second thread adds.

use std::hint::black_box;
use std::time::Instant;

use pobj::media::{Domain, ImageMode};
use pobj::{PMutex, Persistent, Pool};

use crate::Result;
use crate::bare::RING_LEN;
use crate::bare_memory::BareMemory;
use crate::bench::Bench;
use crate::fill::memory_pool;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, turns_per_second};

const THREADS: usize = 2;

/// A counter on cache lines of its own.
#[derive(Persistent, Default)]
#[repr(C)]
struct Lane<'p> {
    count: PMutex<'p, u64>,
    rest: [u64; 15],
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Lanes<'p> {
    lanes: [Lane<'p>; THREADS],
    alone: u64,
}

/// A ring that takes in all of a measurement, so that no checkpoint runs beside it.
const LARGE_RING_LEN: u64 = 1 << 30;

/// Rate of transactions of one 8-byte change under a lock of the thread's own, two threads at once. Limit: one thread's
/// rate, measured in turn with it: once with the checkpoints that follow from the commits, which are a third thread's
/// work, and once on a ring so large that there are none. The bare rows say what a second thread adds on this machine to work
/// that shares nothing: a line past the cache and a fence, and numbers that never leave the processor. Also one thread's
/// cost for each transaction, against that of having the pool alone.
///
/// # Errors
///
/// If the file cannot be made.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let pool = memory_pool::<Lanes>(&bench.memory("share"), 1 << 20, ImageMode::Private)?;
    let commits = bench.size(40_000, 2_000);
    let rounds = bench.size(31, 3);
    let scaling = Pairs::measure(rounds, || rate(&pool, THREADS, commits), || rate(&pool, 1, commits))?;
    let path = bench.memory("share-large");
    let options = Pool::<Lanes>::options().force_domain(Domain::CacheLine);
    let large = options.ring_size(bench.size(LARGE_RING_LEN, LARGE_RING_LEN / 16)).create(&path)?;
    let apart = Pairs::measure(rounds, || rate(&large, THREADS, commits), || rate(&large, 1, commits))?;
    drop(large);
    std::fs::remove_file(&path)?;
    let lanes = |threads: usize| {
        let lane = |lane| BareMemory::new(&bench.memory(&format!("share-bare-{threads}-{lane}")), RING_LEN);
        (0..threads).map(lane).collect::<Result<Vec<_>>>()
    };
    let fenced = |lanes: &mut [BareMemory]| {
        turns_per_second(lanes, commits, |lane| {
            lane.write_lines(1, 7);
            Ok(())
        })
    };
    let (mut two, mut one) = (lanes(THREADS)?, lanes(1)?);
    let bare = Pairs::measure(rounds, || fenced(&mut two), || fenced(&mut one))?;
    let computed = |threads| {
        turns_per_second(&mut vec![1; threads], commits, |number| {
            *number = numbers(*number);
            Ok(())
        })
    };
    let computed = Pairs::measure(rounds, || computed(THREADS), || computed(1))?;
    let cost = Pairs::measure(
        rounds,
        || Ok(1e9 / rate(&pool, 1, commits)?),
        || {
            let start = Instant::now();
            for _ in 0..commits {
                pool.write(|lanes, _| {
                    lanes.alone += 1;
                    Ok(())
                })?;
            }
            Ok(start.elapsed().as_nanos() as f64 / commits as f64)
        },
    )?;
    Ok(vec![
        scaling
            .row("memory: share, 2 threads against 1, locks of their own", "commits/s")
            .budget(Budget::RatioAtLeast(1.6)),
        apart.row("- the same without checkpoints", "commits/s"),
        bare.row("- bare: a line and a fence, 2 threads against 1", "lines/s"),
        computed.row("- bare: computing, 2 threads against 1", "turns/s"),
        cost.row("- share against write, one thread", "ns"),
    ])
}

fn rate(pool: &Pool<Lanes<'static>>, threads: usize, commits: usize) -> Result<f64> {
    let mut lanes: Vec<usize> = (0..threads).collect();
    turns_per_second(&mut lanes, commits, |lane| {
        pool.share(|lanes, tx| {
            *lanes.lanes[*lane].count.lock(tx)? += 1;
            Ok(())
        })?;
        Ok(())
    })
}

/// Some hundred steps of a generator of random numbers: nothing but the processor is needed.
fn numbers(seed: u64) -> u64 {
    black_box((0..200).fold(seed, |x: u64, _| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        x ^ (x << 17)
    }))
}
