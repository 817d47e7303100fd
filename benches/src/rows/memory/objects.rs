//! Making objects: list push, hash map insert.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use pobj::media::ImageMode;
use pobj::{PBox, Pool};

use super::{
    Asked, COUNTED, Fences, ONE_FENCE, Turns, each, each_of_peer, fences, fences_of_peer, job_rows,
    steady_commits, turn,
};
use crate::Result;
use crate::bare::RING_LEN;
use crate::bare_memory::BareMemory;
use crate::bench::Bench;
use crate::fill::memory_pool;
use crate::peer::Peer;
use crate::report::{Budget, Row};
use crate::rows::map::{insert, keys};
use crate::types::{List, Node, Table};

/// At least the bytes in the ring of a record that pushes a node.
const PUSH_RECORD_LEN: usize = 128;
/// Pushes of one batch.
const BATCH: usize = 256;
/// Lines of a record that cannot do without the object's line and one for where it is linked.
const OBJECT_LINES: usize = 2;
/// Keys between two turns.
const PIECE: usize = 10_000;

/// Commit of one push: a node of 64 bytes is allocated, filled, and linked in front of the list. Limit: two non-temporal
/// lines and a fence.
///
/// # Errors
///
/// If the files cannot be made.
pub fn list_rows(bench: &Bench) -> Result<Vec<Row>> {
    let pool = memory_pool::<List>(&bench.memory("list"), 32 << 20, ImageMode::Private)?;
    let mut bare = BareMemory::new(&bench.memory("list-bare"), RING_LEN)?;
    let mut peer = Peer::create(&bench.memory("list-peer"), 64 << 20)?;
    let mut commits = 0;
    let before = fences(&pool);
    let turns = Turns::measure(
        steady_commits(bench, PUSH_RECORD_LEN) / BATCH,
        [
            &mut || {
                commits += BATCH;
                each(BATCH, || push(&pool, 7))
            },
            &mut || {
                each(BATCH, || {
                    bare.write_lines(OBJECT_LINES, 7);
                    Ok(())
                })
            },
            &mut || each_of_peer(&mut peer, BATCH, |peer| peer.push(7)),
        ],
    )?;
    let fences = Fences {
        pobj: (fences(&pool) - before) / commits as f64,
        peer: fences_of_peer(&mut peer, COUNTED, |peer| peer.push(7))?,
    };
    let asked = Asked { limit: Budget::None, fences: ONE_FENCE, times: 5.0 };
    Ok(job_rows("list push", "ns", &turns, fences, asked))
}

fn push(pool: &Pool<List<'static>>, value: u64) -> Result<()> {
    Ok(pool.write(|list, tx| {
        let next = list.head.take();
        list.head = Some(PBox::new(tx, Node { next, value, ..Node::default() })?);
        Ok(())
    })?)
}

/// Inserting 1 M records (8-byte keys in random order, 64-byte values) into an empty map, one to a transaction and 1000 to
/// a transaction. The mean of all inserts, the growth of pobj's map included, in turns of 10,000 keys; libpmemobj's map
/// has its buckets from the start. Limit: two non-temporal lines for each record, and a fence for each transaction.
///
/// # Errors
///
/// If the files cannot be made.
pub fn map_rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = map(bench, 1, 5.0)?;
    rows.extend(map(bench, 1000, 8.0)?);
    rows.push(Row::new("- bare: the same inserts into std's HashMap", bare_inserts(bench), "ns"));
    Ok(rows)
}

/// What a map takes that is durable nowhere: `std::collections::HashMap`, from empty as pobj's.
fn bare_inserts(bench: &Bench) -> f64 {
    let keys = keys(bench.size(1_000_000, 2 * PIECE));
    let figures = (0..bench.size(3, 1)).map(|_| {
        let mut map = HashMap::new();
        let start = Instant::now();
        for key in &keys {
            map.insert(*key, [*key as u8; 64]);
        }
        let figure = start.elapsed().as_nanos() as f64 / keys.len() as f64;
        black_box(&map);
        figure
    });
    figures.fold(f64::INFINITY, f64::min)
}

fn map(bench: &Bench, at_once: usize, times: f64) -> Result<Vec<Row>> {
    let count = bench.size(1_000_000, 2 * PIECE);
    let counted = COUNTED.max(10 * at_once);
    let keys = keys(count + counted);
    let (keys, more) = keys.split_at(count);
    let mut turns = Turns::default();
    let mut fences = Fences { pobj: f64::NAN, peer: f64::NAN };
    for round in 0..bench.size(3, 1) {
        let path = |name: &str| bench.memory(&format!("map-{at_once}-{round}-{name}"));
        let paths = [path("pool"), path("bare"), path("peer")];
        fences = fill(&paths.each_ref().map(|path| path.as_path()), keys, more, at_once, &mut turns)?;
        for path in &paths {
            let _ = std::fs::remove_file(path);
        }
    }
    let what = format!("hash insert, {at_once} per commit");
    // For information: where the checkpointer cannot keep up, a commit that finds the ring full does its work.
    let asked = Asked { limit: Budget::None, fences: Budget::None, times };
    Ok(job_rows(&what, "ns", &turns, fences, asked))
}

/// Fills one map of each kind, and one more figure into `turns`; `more` are the keys of the counted pass.
fn fill(
    [pool, bare, peer]: &[&Path; 3],
    keys: &[u64],
    more: &[u64],
    at_once: usize,
    turns: &mut Turns,
) -> Result<Fences> {
    const RECORD_LEN: usize = 128;
    let all = keys.len() + more.len();
    let pool = memory_pool::<Table>(pool, (all * RECORD_LEN) as u64 + (4 << 20), ImageMode::Private)?;
    let mut bare = BareMemory::new(bare, RING_LEN)?;
    let mut peer = Peer::create(peer, all * 3 * RECORD_LEN + (64 << 20))?;
    if let Some(peer) = &mut peer {
        peer.make_map(all)?;
    }
    let before = fences(&pool);
    let mut sums = [0.0; 3];
    for (number, piece) in keys.chunks(PIECE).enumerate() {
        let transactions = piece.len().div_ceil(at_once);
        let mut batches = piece.chunks(at_once);
        let figures = turn(
            number,
            &mut [
                &mut || each(1, || insert(&pool, piece, at_once)),
                &mut || {
                    each(1, || {
                        (0..transactions).for_each(|_| bare.write_lines(OBJECT_LINES * at_once, 7));
                        Ok(())
                    })
                },
                &mut || each_of_peer(&mut peer, 1, |peer| batches.try_for_each(|keys| peer.insert(keys))),
            ],
        )?;
        sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
    }
    turns.push(sums.map(|sum| sum / keys.len() as f64));
    let pobj = (fences(&pool) - before) / keys.len().div_ceil(at_once) as f64;
    let mut batches = more.chunks(at_once);
    let count = batches.len();
    let fences =
        fences_of_peer(&mut peer, count, |peer| batches.next().map_or(Ok(()), |keys| peer.insert(keys)))?;
    let len = pool.read().map.len();
    if len != keys.len() || peer.as_mut().is_some_and(|peer| peer.map_len() != all as u64) {
        return Err("a map does not hold all keys".into());
    }
    Ok(Fences { pobj, peer: fences })
}
