//! The log: appending, and walking over what was appended.

use std::hint::black_box;
use std::ops::ControlFlow;

use pobj::Durability;
use pobj::log::{Log, Options};
use pobj::media::Domain;

use crate::Result;
use crate::bare::BareRing;
use crate::bare_memory::BareMemory;
use crate::bench::Bench;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, median, nanos};

/// Bytes of an entry that is appended.
const ENTRY_LEN: usize = 64;
/// Lines that such an entry takes with its frame.
const ENTRY_LINES: usize = 2;
/// Appends between two looks at the clock.
const BATCH: usize = 256;
/// Appends of a round on a file.
const ROUND: usize = 64;
/// Bytes that are appended at once before a walk.
const BULK: usize = 64 << 10;
/// Bytes that a walk gives at once.
const CHUNK: usize = 4 << 10;

/// Appending 64 bytes. On persistent memory, into a log that was filled before and rewound: limit: two bare non-temporal
/// lines and one fence, over as many bytes that were written before; and the log's fences for each append. Then the same
/// into a new log, whose pages the system has just zeroed, through the cache. On a file, `Immediate`: limit: a bare durable
/// write of one block into a written-out file; the two alternate.
///
/// # Errors
///
/// If the files cannot be written.
pub fn append_rows(bench: &Bench) -> Result<Vec<Row>> {
    let batches = bench.size(1000, 20);
    let capacity = (batches + 2) * BATCH * ENTRY_LINES * 64 + (1 << 20);
    let log =
        Options::new().force_domain(Domain::CacheLine).create(bench.memory("log-append"), capacity as u64)?;
    let mut bare = BareMemory::new(&bench.memory("log-append-bare"), capacity)?;
    let mut measure = || {
        Pairs::measure(
            batches,
            || Ok(nanos(|| (0..BATCH).try_for_each(|at| append(&log, at)))? / BATCH as f64),
            || {
                Ok(nanos(|| {
                    (0..BATCH).for_each(|at| bare.write_lines(ENTRY_LINES, at as u64));
                    Ok(())
                })? / BATCH as f64)
            },
        )
    };
    let fresh = measure()?;
    log.append(&vec![0; log.remaining() as usize])?;
    log.rewind()?;
    let before = pobj::pmem::counts().fences;
    let memory = measure()?;
    let fences = (pobj::pmem::counts().fences - before) as f64 / log.count() as f64;
    let file = on_file(bench)?;
    Ok(vec![
        memory.row("log append of 64 bytes, persistent memory", "ns").budget(Budget::RatioAtMost(1.3)),
        Row::new("- its fences", fences, "fences").limit(1.0).budget(Budget::RatioAtMost(1.01)),
        fresh.row("- into pages that were zeroed just now", "ns"),
        file.row("log append of 64 bytes, Immediate, on a file", "us").budget(Budget::RatioAtMost(1.3)),
    ])
}

fn append(log: &Log, value: usize) -> Result<()> {
    log.append(&black_box([value as u8; ENTRY_LEN]))?;
    Ok(())
}

fn on_file(bench: &Bench) -> Result<Pairs> {
    let log = Options::new().force_domain(Domain::Page).create(bench.durable("log-append"), 16 << 20)?;
    let mut bare = BareRing::new(&bench.durable("log-append-bare"))?;
    let mut rounds = Pairs::default();
    for _ in 0..bench.size(24, 2) {
        let (mut figures, mut limits) = (Vec::new(), Vec::new());
        for at in 0..ROUND {
            figures.push(nanos(|| append(&log, at))? / 1000.0);
            limits.push(nanos(|| bare.write_block())? / 1000.0);
        }
        rounds.push(median(figures), median(limits));
    }
    Ok(rounds)
}

/// Walking over 1 GiB in pieces of 4 KiB, every checksum verified and every word summed up: entries of 4096 bytes, and of
/// 64. Limit: summing up the same bytes in ordinary memory.
///
/// # Errors
///
/// If the log cannot be made.
pub fn walk_rows(bench: &Bench) -> Result<Vec<Row>> {
    let len = bench.size(1 << 30, 64 << 20);
    Ok(vec![
        walk(bench, len, 4096)?.row("log walk of 1 GiB, entries of 4 KiB", "ms"),
        walk(bench, len / 4, ENTRY_LEN)?.row("log walk of 256 MiB, entries of 64 bytes", "ms"),
    ])
}

fn walk(bench: &Bench, len: usize, entry_len: usize) -> Result<Pairs> {
    let mut memory: Vec<u64> = vec![0; len / 8];
    memory.iter_mut().enumerate().for_each(|(at, word)| *word = at as u64);
    let path = bench.memory(&format!("log-walk-{entry_len}"));
    let capacity = (len / entry_len * (entry_len + 16)) as u64;
    let options = Options::new().force_domain(Domain::Page).durability(Durability::Eventual);
    let log = options.create(&path, capacity)?;
    for entries in memory.chunks(BULK / 8) {
        let bytes: Vec<u8> = entries.iter().flat_map(|word| word.to_le_bytes()).collect();
        log.append_all(bytes.chunks(entry_len))?;
    }
    let pairs = Pairs::measure(
        bench.size(7, 1),
        || {
            let mut total = 0;
            let time = nanos(|| {
                let ended = log.walk(CHUNK, |piece| {
                    total = u64::wrapping_add(total, sum(piece));
                    ControlFlow::<()>::Continue(())
                });
                Ok(ended?)
            })?;
            if total != plain_sum(&memory) {
                return Err("the walk gave other bytes".into());
            }
            Ok(time / 1e6)
        },
        || Ok(nanos(|| Ok(plain_sum(black_box(&memory))))? / 1e6),
    )?;
    drop(log);
    std::fs::remove_file(path)?;
    Ok(pairs)
}

#[inline(never)]
fn plain_sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

#[inline(never)]
fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}
