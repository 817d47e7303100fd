//! `Eventual` commits on a file, and the checkpoints behind them.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use pobj::{PVec, Pool};
use rand::Rng;

use crate::Result;
use crate::bare::{RING_LEN, SharedRing};
use crate::bench::{Bench, random};
use crate::fill::{dense, eventual};
use crate::report::{Budget, Row};
use crate::timing::{Pairs, nanos};
use crate::types::{Counter, Run, increment};

/// Bytes in the ring of a record that changes one word.
const RECORD_LEN: usize = 64;
/// Commits of one sample.
const BATCH: usize = 256;
/// Words among which random ones change: 256 MiB.
const WORDS: usize = (256 << 20) / 8;

/// `Eventual` commit of one 8-byte change, over many laps of the ring with the checkpoints in them: the median over
/// batches of 256 commits. One word that is always the same, and random words of 256 MiB. Limit: a bare store of one
/// 64-byte line into a shared mapping of a written-out file. The mean, which contains waits for the medium where it
/// cannot take the changes as fast as they come, is printed for information.
///
/// # Errors
///
/// If the files cannot be written.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let commits = bench.size(12, 1) * RING_LEN / RECORD_LEN;
    let mut ring = SharedRing::new(&bench.durable("eventual-bare"))?;

    let pool = eventual::<Counter>(&bench.durable("eventual-hot"), RING_LEN as u64)?;
    let (hot, hot_mean) = measure(commits, &mut ring, || Ok(increment(&pool)?))?;
    drop(pool);

    let words = bench.size(WORDS, WORDS / 16);
    let pool = random_words(&bench.durable("eventual-random"), words)?;
    let mut random = random();
    let (cold, cold_mean) = measure(commits, &mut ring, || change_random(&pool, &mut random, words))?;
    Ok(vec![
        hot.row("Eventual commit of a hot 8-byte change", "ns").budget(Budget::AtMost(300.0)),
        Row::new("- its mean, waits for the medium included", hot_mean, "ns"),
        cold.row("Eventual commit, random 8 bytes of 256 MiB", "ns"),
        Row::new("- its mean, waits for the medium included", cold_mean, "ns"),
    ])
}

/// The pairs of a batch's mean and the bare store's, and the mean of all commits.
fn measure(
    commits: usize,
    ring: &mut SharedRing,
    mut commit: impl FnMut() -> Result<()>,
) -> Result<(Pairs, f64)> {
    let mut pairs = Pairs::default();
    let mut total = 0.0;
    let batches = commits.div_ceil(BATCH);
    for _ in 0..batches {
        let figure = nanos(|| (0..BATCH).try_for_each(|_| commit()))?;
        let limit = nanos(|| {
            (0..BATCH as u64).for_each(|value| ring.store_line(value));
            Ok(())
        })?;
        total += figure;
        pairs.push(figure / BATCH as f64, limit / BATCH as f64);
    }
    Ok((pairs, total / (batches * BATCH) as f64))
}

fn random_words(path: &Path, words: usize) -> Result<Pool<Run<'static, u64>>> {
    drop(dense(path, words, |index| index as u64)?);
    let options = Pool::<Run<u64>>::options().durability(pobj::Durability::Eventual);
    let pool = options.open(path)?;
    // The first private copy of a page is not what is measured here.
    pool.write(|root, tx| {
        let items: &mut PVec<u64> = &mut root.items;
        for index in (0..words).step_by(512) {
            if let Some(word) = items.get_mut(index, tx) {
                *word ^= 1;
            }
        }
        Ok(())
    })?;
    pool.checkpoint()?;
    Ok(pool)
}

fn change_random(pool: &Pool<Run<'static, u64>>, random: &mut impl Rng, words: usize) -> Result<()> {
    let index = random.random_range(0..words);
    Ok(pool.write(|root, tx| {
        if let Some(word) = root.items.get_mut(index, tx) {
            *word = word.wrapping_add(1);
        }
        Ok(())
    })?)
}

/// A checkpoint of almost half a ring of 8-byte changes (12,000, random over 256 MiB). Limit: the same number of bare
/// 8-byte writes at random places of a file, and one sync.
///
/// # Errors
///
/// If the files cannot be written.
pub fn checkpoint_rows(bench: &Bench) -> Result<Vec<Row>> {
    let changes = bench.size(12_000, 500);
    let words = bench.size(WORDS, WORDS / 16);
    let pool = random_words(&bench.durable("checkpoint"), words)?;
    let path = bench.durable("checkpoint-bare");
    std::fs::copy(bench.durable("checkpoint"), &path)?;
    let bare = OpenOptions::new().write(true).open(&path)?;
    bare.sync_all()?;
    let (mut random, mut bare_random) = (random(), random());
    let pairs = Pairs::measure(
        bench.size(7, 1),
        || {
            (0..changes).try_for_each(|_| change_random(&pool, &mut random, words))?;
            pool.sync()?;
            let start = Instant::now();
            pool.checkpoint()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        },
        || {
            let start = Instant::now();
            for value in 0..changes as u64 {
                let at = bare_random.random_range(0..words as u64) * 8;
                bare.write_all_at(&value.to_le_bytes(), at)?;
            }
            bare.sync_data()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        },
    )?;
    let each = pairs.figure() * 1e6 / changes as f64;
    Ok(vec![
        pairs.row(format!("checkpoint of {changes} random 8-byte changes"), "ms"),
        Row::new("- per change", each, "ns"),
    ])
}
