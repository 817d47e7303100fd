//! The hash map.

use std::collections::HashMap;
use std::hint::black_box;

use pobj::Pool;

use crate::Result;
use crate::bench::{Bench, shuffled};
use crate::fill::eventual;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, nanos};
use crate::types::Table;

const RING_LEN: u64 = 64 << 20;

/// Inserting 1 M records (8-byte keys in random order, 64-byte values) into an empty `PHashMap`, 1000 to an `Eventual`
/// transaction and one to a transaction; then looking all of them up. Limit: the same with `std`'s `HashMap`.
///
/// # Errors
///
/// If the pools cannot be made.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let keys = keys(bench.size(1_000_000, 50_000));
    let count = keys.len() as f64;
    let mut rows = Vec::new();
    for at_once in [1000, 1] {
        let path = bench.memory(&format!("map-{at_once}"));
        let pairs = Pairs::measure(
            bench.size(3, 1),
            || {
                let _ = std::fs::remove_file(&path);
                let pool = eventual::<Table>(&path, RING_LEN)?;
                Ok(nanos(|| insert(&pool, &keys, at_once))? / count)
            },
            || Ok(nanos(|| Ok(insert_std(&keys)))? / count),
        )?;
        rows.push(pairs.row(format!("hash map insert, {at_once} per transaction"), "ns"));
    }
    let pool = Pool::<Table>::options().open(bench.memory("map-1000"))?;
    let std = insert_std(&keys);
    let table = pool.read();
    let found = Pairs::measure(
        bench.size(7, 1),
        || {
            Ok(nanos(|| Ok(keys.iter().filter(|key| black_box(table.map.get(*key)).is_some()).count()))?
                / count)
        },
        || Ok(nanos(|| Ok(keys.iter().filter(|key| black_box(std.get(*key)).is_some()).count()))? / count),
    )?;
    rows.push(found.row("hash map get", "ns").budget(Budget::RatioAtMost(1.3)));
    let walked = Pairs::measure(
        bench.size(15, 1),
        || {
            Ok(nanos(|| Ok(table.map.iter().map(|(key, value)| sum(key, value)).fold(0, u64::wrapping_add)))?
                / count)
        },
        || {
            Ok(nanos(|| Ok(std.iter().map(|(key, value)| sum(key, value)).fold(0, u64::wrapping_add)))?
                / count)
        },
    )?;
    rows.push(walked.row("hash map, walk over all items", "ns/item").budget(Budget::RatioAtMost(1.2)));
    let bytes = pool.stats().heap.live_bytes as f64 / count;
    let row = Row::new("hash map of u64 to [u8; 64], space", bytes, "bytes/item");
    rows.push(row.limit(72.0).budget(Budget::AtMost(110.0)));
    Ok(rows)
}

fn sum(key: &u64, value: &[u8; 64]) -> u64 {
    key ^ u64::from(value[0])
}

/// `count` keys in random order.
#[must_use]
pub fn keys(count: usize) -> Vec<u64> {
    shuffled(count).into_iter().map(|key| u64::from(key) * 7919).collect()
}

/// Inserts the keys, `at_once` in each transaction.
///
/// # Errors
///
/// Those of the transactions.
pub fn insert(pool: &Pool<Table<'static>>, keys: &[u64], at_once: usize) -> Result<()> {
    for keys in keys.chunks(at_once) {
        pool.write(|table, tx| {
            for key in keys {
                table.map.insert(tx, *key, [*key as u8; 64])?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Inserts the keys into a map of `std`.
#[must_use]
pub fn insert_std(keys: &[u64]) -> HashMap<u64, [u8; 64]> {
    let mut map = HashMap::new();
    for key in keys {
        map.insert(*key, [*key as u8; 64]);
    }
    map
}
