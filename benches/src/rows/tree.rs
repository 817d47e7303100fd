//! The B-tree: inserts on persistent memory against libpmemobj's, lookups and walks against `std`'s, space.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use pobj::media::ImageMode;
use pobj::{PBTreeMap, Persistent, Pool};

use crate::Result;
use crate::bare::RING_LEN;
use crate::bare_memory::BareMemory;
use crate::bench::{Bench, shuffled};
use crate::fill::{eventual, memory_pool};
use crate::peer::Peer;
use crate::report::{Budget, Row};
use crate::rows::map::keys;
use crate::timing::{Pairs, nanos};

/// Keys between two turns.
const PIECE: usize = 10_000;
/// A ring in which a transaction of 1000 inserts has room.
const FILL_RING_LEN: u64 = 64 << 20;

/// An ordered map of small keys to small values.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Ordered<'p> {
    /// The map.
    pub map: PBTreeMap<'p, u64, u64>,
}

/// All rows of the B-tree.
///
/// # Errors
///
/// If the pools cannot be made.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(1_000_000, 4 * PIECE);
    let keys = keys(count);
    let mut rows = inserts(bench, &keys)?;
    let ascending: Vec<u64> = (0..count as u64).collect();
    for (what, keys) in [("random", &keys), ("ascending", &ascending)] {
        let path = bench.memory(&format!("tree-{what}"));
        let pool = filled(&path, keys)?;
        let bytes = pool.stats().heap.live_bytes as f64 / count as f64;
        let row = Row::new(format!("B-tree of u64 to u64, {what} keys, space"), bytes, "bytes/item");
        rows.push(row.limit(16.0).budget(Budget::AtMost(24.0)));
    }
    rows.extend(reads(bench, &keys)?);
    Ok(rows)
}

/// Inserting records one to a transaction. Limit: one non-temporal line and a fence each. libpmemobj's tree is one of eight
/// children a node, as in its own example.
fn inserts(bench: &Bench, keys: &[u64]) -> Result<Vec<Row>> {
    let (mut limits, mut peers) = (Pairs::default(), Pairs::default());
    for round in 0..bench.size(3, 1) {
        let path = |name: &str| bench.memory(&format!("tree-{round}-{name}"));
        let paths = [path("pool"), path("bare"), path("peer")];
        let pool = memory_pool::<Ordered>(&paths[0], keys.len() as u64 * 32 + (4 << 20), ImageMode::Private)?;
        let mut bare = BareMemory::new(&paths[1], RING_LEN)?;
        let mut peer = Peer::create(&paths[2], keys.len() * 96 + (64 << 20))?;
        let mut sums = [0.0; 3];
        for piece in keys.chunks(PIECE) {
            sums[0] += nanos(|| insert(&pool, piece, 1))?;
            sums[1] += nanos(|| {
                (0..piece.len()).for_each(|_| bare.write_lines(1, 7));
                Ok(())
            })?;
            sums[2] += match &mut peer {
                Some(peer) => nanos(|| piece.chunks(1).try_for_each(|key| peer.tree_insert(key)))?,
                None => f64::NAN,
            };
        }
        let [pobj, limit, libpmemobj] = sums.map(|sum| sum / keys.len() as f64);
        limits.push(pobj, limit);
        peers.push(libpmemobj, pobj);
        if pool.read().map.len() != keys.len()
            || peer.is_some_and(|mut peer| peer.tree_find(keys) != keys.len() as u64)
        {
            return Err("a tree does not hold all keys".into());
        }
        drop(pool);
        for path in &paths {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(vec![
        limits.row("memory: B-tree insert, 1 per commit", "ns"),
        peers.row("- libpmemobj, B-tree insert, 1 per commit", "ns").budget(Budget::RatioAtLeast(5.0)),
        Row::new("- bare: the same inserts into std's BTreeMap", bare_inserts(keys)?, "ns"),
    ])
}

/// What a tree takes that is durable nowhere.
fn bare_inserts(keys: &[u64]) -> Result<f64> {
    let took = nanos(|| {
        let mut map = BTreeMap::new();
        keys.iter().for_each(|key| {
            map.insert(*key, *key);
        });
        Ok(map)
    })?;
    Ok(took / keys.len() as f64)
}

fn insert(pool: &Pool<Ordered<'static>>, keys: &[u64], at_once: usize) -> Result<()> {
    for keys in keys.chunks(at_once) {
        pool.write(|ordered, tx| {
            for key in keys {
                ordered.map.insert(tx, *key, *key)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn filled(path: &Path, keys: &[u64]) -> Result<Pool<Ordered<'static>>> {
    let pool = eventual::<Ordered>(path, FILL_RING_LEN)?;
    insert(&pool, keys, 1000)?;
    Ok(pool)
}

/// Looking all keys up in another random order, and walking over all items. Limit: the same with `std`'s `BTreeMap`, filled
/// in the same order.
fn reads(bench: &Bench, keys: &[u64]) -> Result<Vec<Row>> {
    let pool = Pool::<Ordered>::options().open(bench.memory("tree-random"))?;
    let guard = pool.read();
    let map = &guard.map;
    let mut std = BTreeMap::new();
    for key in keys {
        // One by one: `collect` would sort first, and lay the nodes out in order.
        std.insert(*key, *key);
    }
    let asked: Vec<u64> = shuffled(keys.len()).into_iter().rev().map(|at| keys[at as usize]).collect();
    let count = keys.len() as f64;
    let found = Pairs::measure(
        bench.size(7, 1),
        || Ok(nanos(|| Ok(asked.iter().filter(|key| black_box(map.get(*key)).is_some()).count()))? / count),
        || Ok(nanos(|| Ok(asked.iter().filter(|key| black_box(std.get(*key)).is_some()).count()))? / count),
    )?;
    let walked = Pairs::measure(
        bench.size(15, 1),
        || Ok(nanos(|| Ok(map.iter().map(|(key, value)| key ^ value).fold(0, u64::wrapping_add)))? / count),
        || Ok(nanos(|| Ok(std.iter().map(|(key, value)| key ^ value).fold(0, u64::wrapping_add)))? / count),
    )?;
    Ok(vec![
        found.row("B-tree get", "ns").budget(Budget::RatioAtMost(1.3)),
        walked.row("B-tree, walk over all items", "ns/item").budget(Budget::RatioAtMost(1.2)),
    ])
}
