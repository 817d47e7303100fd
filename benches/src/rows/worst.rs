//! The slowest of very many inserts: growing must not be paid by one of them.

use std::time::Instant;

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
/// memory, and on persistent memory. Beside it the slowest of as many readings of the clock with a copy of the same
/// length: what the machine adds by itself, by running something else.
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
        for number in 0..count as u64 {
            let start = Instant::now();
            pool.write(|root, tx| root.map.insert(tx, number.wrapping_mul(STRIDE), number).map(drop))?;
            let took = start.elapsed().as_nanos() as f64 / 1e3;
            worst = worst.max(took);
            over += u64::from(took > 1e3);
        }
        if pool.read().map.len() != count {
            return Err("a map does not hold all keys".into());
        }
        let row = Row::new(format!("slowest of {count} map inserts, {what}"), worst, "us");
        rows.push(row.limit(idle(count)).budget(Budget::AtMost(1000.0)));
        rows.push(Row::new("- inserts that took more than a millisecond", over as f64, "inserts"));
        drop(pool);
        std::fs::remove_file(&path)?;
    }
    Ok(rows)
}

/// The longest gap between two readings of the clock, in microseconds.
fn idle(count: usize) -> f64 {
    let mut last = Instant::now();
    let mut worst = 0.0f64;
    for _ in 0..count {
        let now = Instant::now();
        worst = worst.max(now.duration_since(last).as_nanos() as f64 / 1e3);
        last = now;
    }
    worst
}
