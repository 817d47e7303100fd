//! Making pools and opening clean ones.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use pobj::{Persistent, Pool};

use crate::Result;
use crate::bare::{RING_LEN, create_file, map_file};
use crate::bench::Bench;
use crate::fill::pages;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, median};
use crate::types::{Counter, Pages};

/// A new empty pool with default options: its blocks on disk, and the time to create it. Limits: the ring's bytes; making
/// a file of the ring's length the same safe way (written, synced, renamed, directory synced).
///
/// # Errors
///
/// If the files cannot be made.
pub fn new_pool_rows(bench: &Bench) -> Result<Vec<Row>> {
    const MIB: f64 = (1 << 20) as f64;
    let mut number = 0;
    let mut fresh = |kind: &str| {
        number += 1;
        bench.durable(&format!("new-{kind}-{number}"))
    };
    let mut bare_number = 0;
    let mut blocks = Vec::new();
    let pairs = Pairs::measure(
        bench.size(11, 2),
        || {
            let path = fresh("pool");
            let start = Instant::now();
            let pool = Pool::<Counter>::create(&path)?;
            let time = start.elapsed().as_secs_f64() * 1e3;
            pool.close()?;
            blocks.push((std::fs::metadata(&path)?.blocks() * 512) as f64 / MIB);
            Ok(time)
        },
        || {
            bare_number += 1;
            let path = bench.durable(&format!("new-bare-{bare_number}"));
            let start = Instant::now();
            create_file(&path)?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        },
    )?;
    Ok(vec![
        Row::new("disk space of a new pool", median(blocks), "MiB")
            .limit(RING_LEN as f64 / MIB)
            .budget(Budget::AtMost(4.0)),
        pairs.row("creating a new pool", "ms").budget(Budget::AtMost(50.0)),
    ])
}

/// Milliseconds of each of `rounds` calls of `open_trusted`; closing is not counted.
///
/// # Errors
///
/// If the pool does not open.
pub fn time_trusted<R: Persistent>(path: &Path, rounds: usize) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        // SAFETY: this run made the file with these types, and nothing else has touched it.
        let pool = unsafe { Pool::<R>::open_trusted(path) }?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        pool.close()?;
    }
    Ok(times)
}

/// `open_trusted` of a clean pool of 1 GiB, and of 64 MiB to show that the data do not matter. Limit: opening and mapping
/// the same file privately.
///
/// # Errors
///
/// If the pools cannot be made.
pub fn trusted_rows(bench: &Bench) -> Result<Vec<Row>> {
    let large = trusted(bench, "trusted-large", bench.size(1 << 30, 256 << 20))?;
    let small = trusted(bench, "trusted-small", bench.size(64 << 20, 16 << 20))?;
    Ok(vec![
        large.row("open_trusted, clean pool of 1 GiB", "ms").budget(Budget::AtMost(5.0)),
        small.row("open_trusted, clean pool of 64 MiB", "ms").budget(Budget::AtMost(5.0)),
    ])
}

fn trusted(bench: &Bench, name: &str, len: usize) -> Result<Pairs> {
    let path = bench.durable(name);
    pages(&path, len / 4096)?.close()?;
    let pairs = Pairs::measure(
        bench.size(11, 3),
        || Ok(median(time_trusted::<Pages>(&path, 1)?)),
        || {
            let start = Instant::now();
            map_file(&path)?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        },
    );
    std::fs::remove_file(&path)?;
    pairs
}
