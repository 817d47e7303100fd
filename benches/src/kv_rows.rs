//! Key-value stores: pobj's beside pmemkv on persistent memory, and beside LMDB, redb and fjall on files.
//!
//! Every store gets the same records ([`Records`]: 16-byte keys, 100-byte values) in the same random order through the
//! same calls, one put to a transaction. It fills a file of its own, alone: what it does on threads of its own disturbs
//! nobody else and is part of its time. The stores take turns, each beginning once; a figure is the median of the
//! rounds, a ratio the median of the rounds' ratios. After each round the store must hold as many records as were put,
//! a sample must be right byte by byte, and on persistent memory the sum over all values too; else there are no rows but an error.
//! The file is removed, and the file system synced, before the next store begins.
//!
//! **A peer's row has pobj's figure as its limit: the ratio says how many times faster pobj is.**

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::Result;
use crate::bench::Bench;
use crate::kv::{Contender, Records, Store, bytes_on_media};
use crate::kv_pobj;
use crate::peer::{pmemkv, stores};
use crate::report::{Budget, Row};
use crate::timing::{Pairs, median, nanos};

const RECORDS: usize = 1_000_000;
const PMEMKV: Contender = Contender { name: "pmemkv cmap", open: pmemkv::open };
/// Threads that put at once.
const THREADS: usize = 8;

/// Figures for each record of one store filled once; NaN if there is no such store.
#[derive(Clone, Copy, Debug)]
struct Fill {
    /// Nanoseconds of a put.
    put: f64,
    /// As `put`, and [`Store::settle`] after the last.
    settled: f64,
    /// Nanoseconds of a get; NaN where none was asked for.
    get: f64,
    /// Bytes in pages that the closed file holds.
    on_media: f64,
    /// Bytes of live objects; NaN where the store does not say.
    live: f64,
}

const NOTHING: Fill =
    Fill { put: f64::NAN, settled: f64::NAN, get: f64::NAN, on_media: f64::NAN, live: f64::NAN };

/// Fills a new store at `path`, checks what is in it, and removes it.
fn fill(path: &Path, contender: &Contender, records: &Records, with_gets: bool) -> Result<Fill> {
    let count = records.count();
    let Some(store) = (contender.open)(path, count)? else { return Ok(NOTHING) };
    let store: &dyn Store = &*store;
    let mut fill = NOTHING;
    let puts = nanos(|| (0..count).try_for_each(|index| records.put(store, index)))?;
    fill.put = puts / count as f64;
    fill.settled = (puts + nanos(|| store.settle())?) / count as f64;
    if with_gets {
        fill.get = nanos(|| records.get_all(store))? / count as f64;
    }
    records.check(store, count)?;
    if let Some(bytes) = store.live_bytes() {
        fill.live = bytes as f64 / count as f64;
    }
    Ok(fill)
}

/// As [`fill`], from a calm file system to a calm file system.
fn fill_alone(path: &Path, contender: &Contender, records: &Records, with_gets: bool) -> Result<Fill> {
    let directory = std::fs::File::open(path.parent().ok_or("a file has no directory")?)?;
    rustix::fs::syncfs(&directory)?;
    let mut fill =
        fill(path, contender, records, with_gets).map_err(|error| format!("{}: {error}", contender.name))?;
    if path.is_dir() {
        fill.on_media = bytes_on_media(path)? as f64 / records.count() as f64;
        std::fs::remove_dir_all(path)?;
    } else if path.is_file() {
        fill.on_media = bytes_on_media(path)? as f64 / records.count() as f64;
        std::fs::remove_file(path)?;
    }
    Ok(fill)
}

/// Rounds of fills: for each round, the figures of the contenders in their order. Each begins a round in its turn.
fn rounds(
    count: usize,
    contenders: &[Contender],
    mut measure: impl FnMut(&Contender) -> Result<Fill>,
) -> Result<Vec<Vec<Fill>>> {
    let mut rounds = Vec::new();
    for round in 0..count {
        let mut fills = vec![NOTHING; contenders.len()];
        for step in 0..contenders.len() {
            let which = (round + step) % contenders.len();
            fills[which] = measure(&contenders[which])?;
        }
        rounds.push(fills);
    }
    Ok(rounds)
}

/// A figure of one contender, over the rounds.
fn of(rounds: &[Vec<Fill>], which: usize, figure: fn(&Fill) -> f64) -> f64 {
    median(rounds.iter().map(|fills| figure(&fills[which])).collect())
}

/// A figure of one contender beside that of another.
fn beside(rounds: &[Vec<Fill>], which: usize, other: usize, figure: fn(&Fill) -> f64) -> Pairs {
    let mut pairs = Pairs::default();
    for fills in rounds {
        pairs.push(figure(&fills[which]), figure(&fills[other]));
    }
    pairs
}

/// Puts, gets and space on persistent memory, beside pmemkv's `cmap`: every put flushes and fences. A put's figure contains
/// what has to be settled after the last. Bytes on media are those of the closed file's pages that are not all zeros, which
/// is the same question to both: journal, free space between blocks and tables that were grown out of count for both, room
/// set aside does not. The bytes that live objects take are printed beside it; pmemkv's without libpmemobj's headers.
///
/// # Errors
///
/// If a file cannot be made, or a store does not hold what was put.
pub fn memory_rows(bench: &Bench) -> Result<Vec<Row>> {
    let records = Records::new(bench.size(RECORDS, 20_000));
    let ours = kv_pobj::MEMORY;
    let contenders: Vec<Contender> = ours.iter().copied().chain([PMEMKV]).collect();
    let path = bench.memory("kv");
    let rounds =
        rounds(bench.size(3, 1), &contenders, |contender| fill_alone(&path, contender, &records, true))?;
    let peer = ours.len();
    let mut rows = Vec::new();
    for (which, engine) in ours.iter().enumerate() {
        // The promises are the hash store's.
        let asked = |budget| if which == 0 { budget } else { Budget::None };
        let name = engine.name;
        let row = |what: &str, figure, unit| {
            Row::new(format!("kv {what}, {name}, persistent memory"), figure, unit)
        };
        rows.push(row("put", of(&rounds, which, |fill| fill.settled), "ns"));
        let times = beside(&rounds, peer, which, |fill| fill.settled);
        rows.push(times.row("- pmemkv cmap, put", "ns").budget(asked(Budget::RatioAtLeast(8.0))));
        rows.push(row("get", of(&rounds, which, |fill| fill.get), "ns"));
        let times = beside(&rounds, peer, which, |fill| fill.get);
        rows.push(times.row("- pmemkv cmap, get", "ns").budget(asked(Budget::RatioAtLeast(5.0))));
        let bytes = row("bytes on media", of(&rounds, which, |fill| fill.on_media), "bytes/record");
        rows.push(bytes.budget(asked(Budget::AtMost(160.0))));
        rows.push(Row::new("- of live objects", of(&rounds, which, |fill| fill.live), "bytes/record"));
        let times = beside(&rounds, peer, which, |fill| fill.on_media);
        rows.push(times.row("- pmemkv cmap, bytes on media", "bytes/record"));
        let live = of(&rounds, peer, |fill| fill.live);
        rows.push(Row::new("- pmemkv cmap, of live objects", live, "bytes/record"));
    }
    Ok(rows)
}

/// Puts on a file that do not wait for the medium, beside LMDB, redb and fjall in their fastest modes;
/// [`stores`] says what survives what. For information also the time with a sync after the last put, and the bytes in
/// the file.
///
/// # Errors
///
/// If a file cannot be made, or a store does not hold what was put.
pub fn eventual_rows(bench: &Bench) -> Result<Vec<Row>> {
    let records = Records::new(bench.size(RECORDS, 5_000));
    let ours = kv_pobj::EVENTUAL;
    let contenders: Vec<Contender> = ours.iter().chain(stores::EVENTUAL).copied().collect();
    let path = bench.durable("kv");
    let rounds =
        rounds(bench.size(3, 1), &contenders, |contender| fill_alone(&path, contender, &records, false))?;
    let mut rows = Vec::new();
    for (which, engine) in ours.iter().enumerate() {
        let put = of(&rounds, which, |fill| fill.put);
        rows.push(Row::new(format!("kv put, {}, Eventual", engine.name), put, "ns"));
        for (peer, contender) in contenders.iter().enumerate().skip(ours.len()) {
            let times = beside(&rounds, peer, which, |fill| fill.put);
            let row = times.row(format!("- {}, put", contender.name), "ns");
            rows.push(row.budget(Budget::RatioAtLeast(1.0)));
        }
    }
    for (which, contender) in contenders.iter().enumerate() {
        let settled = of(&rounds, which, |fill| fill.settled);
        rows.push(Row::new(format!("kv put, {}, one sync at the end", contender.name), settled, "ns"));
        let bytes = of(&rounds, which, |fill| fill.on_media);
        rows.push(Row::new(format!("- {}, bytes in the file", contender.name), bytes, "bytes/record"));
    }
    Ok(rows)
}

/// A store that stays open while others have their turn, and how far it is.
struct Turns {
    store: Box<dyn Store>,
    done: AtomicUsize,
}

impl Turns {
    /// Puts in a second, of so many threads with so many puts each.
    fn rate(&self, records: &Records, threads: usize, puts: usize) -> Result<f64> {
        let run = || {
            (0..puts).try_for_each(|_| records.put(&*self.store, self.done.fetch_add(1, Ordering::Relaxed)))
        };
        let start = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            for worker in workers {
                worker.join().map_err(|_| "a putting thread panicked")??;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        })?;
        Ok((threads * puts) as f64 / start.elapsed().as_secs_f64())
    }
}

/// Durable puts on a file: the rate of eight threads, whose limit is the rate of one thread of the same store, measured in
/// turn with it. The peers' are for information; [`stores`] says how each makes a put durable.
///
/// # Errors
///
/// If a file cannot be made, or a store does not hold what was put.
pub fn immediate_rows(bench: &Bench) -> Result<Vec<Row>> {
    const PUTS: usize = 20;
    let rounds = bench.size(15, 2);
    let records = Records::new((rounds + 1) * PUTS * (THREADS + 1));
    let ours = kv_pobj::IMMEDIATE;
    let contenders: Vec<&Contender> = ours.iter().chain(stores::IMMEDIATE).collect();
    let mut open = Vec::new();
    for (number, contender) in contenders.iter().enumerate() {
        let store = (contender.open)(&bench.durable(&format!("kv-{number}")), records.count())?;
        open.push(store.map(|store| (Turns { store, done: AtomicUsize::new(0) }, Pairs::default())));
    }
    // The first round does not count.
    for round in 0..=rounds {
        for step in 0..open.len() {
            let which = (round + step) % open.len();
            let Some((turns, pairs)) = &mut open[which] else { continue };
            let one = turns.rate(&records, 1, PUTS)?;
            let many = turns.rate(&records, THREADS, PUTS)?;
            if round > 0 {
                pairs.push(many, one);
            }
        }
    }
    let mut rows = Vec::new();
    for (which, (contender, measured)) in contenders.iter().zip(&open).enumerate() {
        let name = contender.name;
        let pairs = match measured {
            Some((turns, pairs)) => {
                let put = turns.done.load(Ordering::Relaxed);
                records.check(&*turns.store, put).map_err(|error| format!("{name}: {error}"))?;
                pairs.clone()
            }
            None => Pairs::default(),
        };
        rows.push(match which < ours.len() {
            true => pairs
                .row(format!("kv put, {name}, Immediate, {THREADS} threads against 1"), "puts/s")
                .budget(Budget::RatioAtLeast(4.0)),
            false => pairs.row(format!("- {name}, {THREADS} threads against 1"), "puts/s"),
        });
    }
    Ok(rows)
}
