//! Key-value stores: pobj's beside pmemkv on persistent memory, and beside LMDB, redb and fjall on files.
//!
//! Every store gets the same records ([`Records`]: 16-byte keys, 100-byte values) in the same random order through the
//! same calls, one put to a transaction. At the end it must hold as many records as were put, a sample must be right byte
//! by byte, and where every value was asked for, their sum too; else there are no rows but an error.
//!
//! **On persistent memory** the stores fill their files in turns of 10,000 records. A turn ends with
//! [`Store::settle`], in its time: what pobj puts off for a checkpoint is not done while pmemkv is timed. The figure is the
//! mean of all puts, growth included. **On files** a store fills its file alone, because threads of its own, and the
//! system's writing back, would disturb the others: rounds of fills, each store beginning one. The file is then removed
//! and the file system synced before the next begins. Who needs longer than half a minute has one round. **Durable puts**
//! take turns again, each from a calm file system.
//!
//! A figure is the median of the rounds, a ratio the median of the rounds' ratios. **A peer's row has pobj's figure as its
//! limit: the ratio says how many times faster pobj is.**

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::Result;
use crate::bench::Bench;
use crate::kv::{Contender, Records, Store, bytes_on_media};
use crate::peer::{pmemkv, stores};
use crate::report::{Budget, Row};
use crate::timing::{Pairs, median, nanos, turns_per_second};
use crate::{kv_bare, kv_pobj};

const RECORDS: usize = 1_000_000;
/// Seconds after which a store is not asked to fill another file.
const PATIENCE: f64 = 30.0;
const PMEMKV: Contender = Contender { name: "pmemkv cmap", open: pmemkv::open };
/// Threads that put at once.
const THREADS: usize = 8;

/// Figures for each record of one store filled once; NaN where there is no such store, or nobody asked.
#[derive(Clone, Copy, Debug)]
struct Fill {
    /// Nanoseconds of a put.
    put: f64,
    /// As `put`, and [`Store::settle`] after each turn, or after the last put.
    settled: f64,
    /// Nanoseconds of a get.
    get: f64,
    /// Bytes in pages that the closed file holds.
    on_media: f64,
    /// Bytes of live objects.
    live: f64,
}

const NOTHING: Fill =
    Fill { put: f64::NAN, settled: f64::NAN, get: f64::NAN, on_media: f64::NAN, live: f64::NAN };

/// Fills a new store, checks what is in it, and removes it; from a calm file system to a calm file system.
fn fill_alone(path: &Path, contender: &Contender, records: &Records) -> Result<Fill> {
    let directory = File::open(path.parent().ok_or("a file has no directory")?)?;
    rustix::fs::syncfs(&directory)?;
    let count = records.count();
    let Some(store) = (contender.open)(path, count)? else { return Ok(NOTHING) };
    let mut fill = NOTHING;
    let puts = nanos(|| (0..count).try_for_each(|index| records.put(&*store, index)))?;
    fill.put = puts / count as f64;
    fill.settled = (puts + nanos(|| store.settle())?) / count as f64;
    records.check(&*store, count)?;
    drop(store);
    fill.on_media = remove(path)? as f64 / count as f64;
    Ok(fill)
}

/// Removes what a closed store leaves behind, and says how much that was.
fn remove(path: &Path) -> Result<u64> {
    let bytes = bytes_on_media(path)?;
    if path.is_dir() {
        std::fs::remove_dir_all(path)?
    } else {
        std::fs::remove_file(path)?
    }
    Ok(bytes)
}

/// Fills new stores in turns, gets every record in turns, checks what is in them, and removes them.
fn fill_in_turns(bench: &Bench, contenders: &[Contender], records: &Records) -> Result<Vec<Fill>> {
    const TURN: usize = 50_000;
    let count = records.count();
    let each = count as f64;
    let path = |which: usize| bench.memory(&format!("kv-{which}"));
    let mut open = Vec::new();
    for (which, contender) in contenders.iter().enumerate() {
        let store =
            (contender.open)(&path(which), count).map_err(|error| format!("{}: {error}", contender.name))?;
        open.extend(store.map(|store| (which, store, 0u64)));
    }
    let mut fills = vec![NOTHING; contenders.len()];
    for (which, ..) in &open {
        fills[*which] = Fill { put: 0.0, settled: 0.0, get: 0.0, ..NOTHING };
    }
    for first in (0..count).step_by(TURN) {
        for (which, store, _) in &open {
            let mut turn = first..count.min(first + TURN);
            let puts = nanos(|| turn.try_for_each(|index| records.put(&**store, index)))?;
            fills[*which].put += puts / each;
            fills[*which].settled += (puts + nanos(|| store.settle())?) / each;
        }
        next_begins(&mut open);
    }
    for first in (0..count).step_by(TURN) {
        for (which, store, sum) in &mut open {
            let gets = nanos(|| {
                *sum = sum.wrapping_add(records.get_some(&**store, first..count.min(first + TURN))?);
                Ok(())
            })?;
            fills[*which].get += gets / each;
        }
        next_begins(&mut open);
    }
    for (which, store, sum) in open {
        let name = contenders[which].name;
        let checked = records.check(&*store, count).and_then(|()| records.check_sum(sum));
        checked.map_err(|error| format!("{name}: {error}"))?;
        fills[which].live = store.live_bytes().map_or(f64::NAN, |bytes| bytes as f64 / each);
        drop(store);
        fills[which].on_media = remove(&path(which))? as f64 / each;
    }
    Ok(fills)
}

/// Another one is first in the next turn.
fn next_begins<T>(turns: &mut [T]) {
    if !turns.is_empty() {
        turns.rotate_left(1);
    }
}

/// Rounds of fills: for each round, the figures of the contenders in their order. Each begins a round in its turn.
fn rounds(
    count: usize,
    contenders: &[Contender],
    mut measure: impl FnMut(&Contender) -> Result<Fill>,
) -> Result<Vec<Vec<Fill>>> {
    let mut rounds = Vec::new();
    let mut seconds = vec![0.0; contenders.len()];
    for round in 0..count {
        let mut fills = vec![NOTHING; contenders.len()];
        for step in 0..contenders.len() {
            let which = (round + step) % contenders.len();
            if seconds[which] < PATIENCE {
                let start = Instant::now();
                fills[which] = measure(&contenders[which])?;
                seconds[which] = start.elapsed().as_secs_f64();
            }
        }
        rounds.push(fills);
    }
    Ok(rounds)
}

/// A figure of one contender, over the rounds that it had.
fn of(rounds: &[Vec<Fill>], which: usize, figure: fn(&Fill) -> f64) -> f64 {
    median(rounds.iter().map(|fills| figure(&fills[which])).filter(|figure| !figure.is_nan()).collect())
}

/// A figure of one contender beside that of another, over the rounds that the first had.
fn beside(rounds: &[Vec<Fill>], which: usize, other: usize, figure: fn(&Fill) -> f64) -> Pairs {
    let mut pairs = Pairs::default();
    for fills in rounds.iter().filter(|fills| !figure(&fills[which]).is_nan()) {
        pairs.push(figure(&fills[which]), figure(&fills[other]));
    }
    pairs
}

/// Puts, gets and space on persistent memory, beside pmemkv's `cmap`: every put flushes and fences. Bytes on media are
/// those of the closed file's pages that are not all zeros, which asks both the same: journal, lists of free space and
/// tables that were outgrown count, room set aside does not. Beside them, what live objects take; pmemkv's without
/// libpmemobj's headers. [`kv_bare`] says how fast this machine could be at all.
///
/// # Errors
///
/// If a file cannot be made, or a store does not hold what was put.
pub fn memory_rows(bench: &Bench) -> Result<Vec<Row>> {
    let records = Records::new(bench.size(RECORDS, 20_000));
    let ours = kv_pobj::MEMORY;
    let contenders: Vec<Contender> = ours.iter().copied().chain([PMEMKV, kv_bare::MEMORY]).collect();
    let rounds = (0..bench.size(3, 1))
        .map(|_| fill_in_turns(bench, &contenders, &records))
        .collect::<Result<Vec<_>>>()?;
    let (peer, bare) = (ours.len(), ours.len() + 1);
    let mut rows = Vec::new();
    for (which, engine) in ours.iter().enumerate() {
        // The promises are the hash store's.
        let asked = |budget| if which == 0 { budget } else { Budget::None };
        let name = engine.name;
        let row = |what: &str, figure, unit| {
            Row::new(format!("kv {what}, {name}, persistent memory"), figure, unit)
        };
        rows.push(row("put", of(&rounds, which, |fill| fill.settled), "ns"));
        let puts = of(&rounds, which, |fill| fill.put);
        rows.push(Row::new("- without what its turns wait for at the end", puts, "ns"));
        let times = beside(&rounds, peer, which, |fill| fill.settled);
        rows.push(times.row("- pmemkv cmap, put", "ns").budget(asked(Budget::RatioAtLeast(8.0))));
        let times = beside(&rounds, bare, which, |fill| fill.settled);
        rows.push(times.row(format!("- {}, put", kv_bare::MEMORY.name), "ns"));
        rows.push(row("get", of(&rounds, which, |fill| fill.get), "ns"));
        let times = beside(&rounds, peer, which, |fill| fill.get);
        rows.push(times.row("- pmemkv cmap, get", "ns").budget(asked(Budget::RatioAtLeast(5.0))));
        let times = beside(&rounds, bare, which, |fill| fill.get);
        rows.push(times.row(format!("- {}, get", kv_bare::MEMORY.name), "ns"));
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
/// [`stores`] says what survives what. pobj has a ring of 64 MiB; what its default ring makes of it is printed too. For
/// information also the time with a sync after the last put, and the bytes in the file, ring and journals included.
///
/// # Errors
///
/// If a file cannot be made, or a store does not hold what was put.
pub fn eventual_rows(bench: &Bench) -> Result<Vec<Row>> {
    let records = Records::new(bench.size(RECORDS, 5_000));
    let (ours, default_ring) = (kv_pobj::EVENTUAL, kv_pobj::EVENTUAL_DEFAULT_RING);
    let contenders: Vec<Contender> =
        ours.iter().chain(stores::EVENTUAL).chain(default_ring).copied().collect();
    let path = bench.durable("kv");
    let rounds = rounds(bench.size(3, 1), &contenders, |contender| fill_alone(&path, contender, &records))?;
    let mut rows = Vec::new();
    for (which, engine) in ours.iter().enumerate() {
        let put = of(&rounds, which, |fill| fill.put);
        rows.push(Row::new(format!("kv put, {}, Eventual", engine.name), put, "ns"));
        for (peer, contender) in contenders.iter().enumerate().skip(ours.len()) {
            let row = beside(&rounds, peer, which, |fill| fill.put);
            let row = row.row(format!("- {}, put", contender.name), "ns");
            let is_peer = peer < ours.len() + stores::EVENTUAL.len();
            rows.push(row.budget(if is_peer { Budget::RatioAtLeast(1.0) } else { Budget::None }));
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
        turns_per_second(&mut vec![(); threads], puts, |()| {
            records.put(&*self.store, self.done.fetch_add(1, Ordering::Relaxed))
        })
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
    let directory = bench.durable("kv-0");
    let directory = File::open(directory.parent().ok_or("a file has no directory")?)?;
    // The first round does not count.
    for round in 0..=rounds {
        for step in 0..open.len() {
            let which = (round + step) % open.len();
            let Some((turns, pairs)) = &mut open[which] else { continue };
            let (mut many, mut one) = (0.0, 0.0);
            for threads in if round % 2 == 0 { [1, THREADS] } else { [THREADS, 1] } {
                // What others have left behind is not this turn's.
                rustix::fs::syncfs(&directory)?;
                let rate = turns.rate(&records, threads, PUTS)?;
                *if threads == 1 { &mut one } else { &mut many } = rate;
            }
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
