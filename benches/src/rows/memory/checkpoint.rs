//! The checkpoint of a pool on persistent memory: bringing home up to date, off the foreground path.

use std::time::Instant;

use pobj::Pool;
use pobj::media::ImageMode;
use rand::Rng;

use crate::Result;
use crate::bare_memory::BareMemory;
use crate::bench::{Bench, random};
use crate::fill::{lay_out, memory_pool};
use crate::report::Row;
use crate::timing::Pairs;
use crate::types::Run;

/// Words among which random ones change: 256 MiB.
const WORDS: usize = (256 << 20) / 8;

/// A checkpoint of almost half a ring of 8-byte changes (12,000, random over 256 MiB), as the checkpointer does behind the
/// commits. Limit: the same number of non-temporal 8-byte stores at random places, and one fence. For information.
///
/// # Errors
///
/// If the files cannot be made.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let changes = bench.size(12_000, 500);
    let words = bench.size(WORDS, WORDS / 16);
    let len = (words * 8) as u64 + (4 << 20);
    let pool = memory_pool::<Run<u64>>(&bench.memory("checkpoint"), len, ImageMode::Private)?;
    lay_out(&pool, words, |_| 0)?;
    pool.checkpoint()?;
    let mut bare = BareMemory::new(&bench.memory("checkpoint-bare"), words * 8)?;
    let (mut places, mut bare_places) = (random(), random());
    let pairs = Pairs::measure(
        bench.size(31, 3),
        || {
            (0..changes).try_for_each(|_| change(&pool, places.random_range(0..words)))?;
            let start = Instant::now();
            pool.checkpoint()?;
            Ok(start.elapsed().as_secs_f64() * 1e9 / changes as f64)
        },
        || {
            let places: Vec<u32> = (0..changes).map(|_| bare_places.random_range(0..words as u32)).collect();
            let start = Instant::now();
            bare.write_words(&places, 7);
            Ok(start.elapsed().as_secs_f64() * 1e9 / changes as f64)
        },
    )?;
    Ok(vec![pairs.row("memory: checkpoint, per random 8-byte change", "ns")])
}

fn change(pool: &Pool<Run<'static, u64>>, index: usize) -> Result<()> {
    Ok(pool.write(|run, tx| {
        if let Some(word) = run.items.get_mut(index, tx) {
            *word = word.wrapping_add(1);
        }
        Ok(())
    })?)
}
