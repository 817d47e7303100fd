//! The slowest of very many inserts: growing must not be paid by one of them.

use std::time::{Duration, Instant};

use pobj::media::{Domain, ImageMode};
use pobj::{Durability, PHashMap, Persistent, Pool};

use crate::Result;
use crate::bench::Bench;
use crate::report::{Budget, Row};

/// A map of small keys to small values.
#[derive(Persistent, Default)]
#[repr(C)]
struct Small<'p> {
    map: PHashMap<'p, u64, u64>,
}

/// A ring that holds what comes in while the disk is busy.
const RING_LEN: u64 = 64 << 20;
/// Odd, so that its multiples meet every number.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// The slowest single insert among 10 M into a `PHashMap`, one to an `Eventual` transaction: on the disk, on a file in
/// memory, and on persistent memory. Beside it the longest gap between two readings of the clock in a loop that does nothing
/// else and takes as long: what the machine adds by itself, by running something else.
///
/// # Errors
///
/// If the pools cannot be made.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(10_000_000, 200_000);
    let mut rows = Vec::new();
    let places = [
        ("a disk", bench.durable("worst"), None),
        ("a file in memory", bench.memory("worst"), None),
        ("persistent memory", bench.memory("worst-lines"), Some(Domain::CacheLine)),
    ];
    for (what, path, domain) in places {
        let options = Pool::<Small>::options().ring_size(RING_LEN).durability(Durability::Eventual);
        let options = options.image(ImageMode::Private).max_size(8 << 30);
        let pool = match domain {
            Some(domain) => options.force_domain(domain).create(&path)?,
            None => options.create(&path)?,
        };
        let mut worst = 0.0f64;
        let mut over = 0;
        let begun = Instant::now();
        for number in 0..count as u64 {
            let start = Instant::now();
            pool.write(|root, tx| root.map.insert(tx, number.wrapping_mul(STRIDE), number).map(drop))?;
            let took = start.elapsed().as_nanos() as f64 / 1e3;
            worst = worst.max(took);
            over += u64::from(took > 1e3);
        }
        let took = begun.elapsed();
        if pool.read().map.len() != count {
            return Err("a map does not hold all keys".into());
        }
        let row = Row::new(format!("slowest of {count} map inserts, {what}"), worst, "us");
        // The pool's threads have nothing to do any more.
        pool.checkpoint()?;
        let idle = idle(took);
        rows.push(row.limit(idle.longest).budget(Budget::AtMost(1000.0)));
        rows.push(Row::new("- inserts that took more than a millisecond", over as f64, "inserts"));
        rows.push(Row::new("- such gaps of a program that does nothing, as long", idle.over as f64, "gaps"));
        drop(pool);
        std::fs::remove_file(&path)?;
    }
    Ok(rows)
}

/// Gaps between two readings of the clock.
struct Idle {
    /// The longest, in microseconds.
    longest: f64,
    /// Those of more than a millisecond.
    over: u64,
}

/// Reads the clock for so long.
fn idle(time: Duration) -> Idle {
    let begun = Instant::now();
    let mut last = begun;
    let mut idle = Idle { longest: 0.0, over: 0 };
    while last - begun < time {
        let now = Instant::now();
        let gap = (now - last).as_nanos() as f64 / 1e3;
        idle.longest = idle.longest.max(gap);
        idle.over += u64::from(gap > 1e3);
        last = now;
    }
    idle
}
