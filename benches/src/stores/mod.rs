//! pobj beside embedded stores: LMDB, redb, SQLite, fjall; durable and not, one and a thousand changes to a transaction.
//!
//! Every contender is a store in a mode, with a file of its own that has been filled with the same records
//! ([`crate::kv::Records`]: 16-byte keys, 100-byte values) in the same random order. A session ([`crate::session`]) opens
//! it, gets, scans, puts other values to keys that are there, settles, and closes it. What a scan adds up must be what
//! the sessions before it have left, so nobody loses or skips anything; not even without durability, for a session
//! settles.
//!
//! | measure | what it is |
//! |---|---|
//! | open to first get | from opening to one value, in a process that has just begun; the page cache is warm |
//! | ... without validation | the same with pobj's `open_trusted` |
//! | get | 100,000 random keys, each in a read transaction of its own: the mean |
//! | scan | every record in the store's order: the mean for a record |
//! | put, 1 per transaction | median of 50 where durable; else the mean of 20,000, waits for background work included |
//! | put, 1,000 per transaction | for a put: the median of 5 transactions where durable, else the mean of 20 |
//! | settle | until all that is durable, and the store's log written back as far as it can be asked to |
//! | on the medium | bytes for a record after filling and settling, by blocks of the closed files |
//! | most memory | `VmHWM` at the session's end, pages of mapped files included |

use std::collections::HashMap;
use std::time::Instant;

use crate::Result;
use crate::bench::Bench;
use crate::kv::{Batches, OpenBatches, Pair, Records};
use crate::names;
use crate::peer::stores;
use crate::results::Figure;
use crate::session::{Job, Order, Samples, calm, mib_on_medium, remove, rounds};
use crate::timing::nanos;

mod pool;

/// Puts of a transaction that has many.
const AT_ONCE: usize = 1000;

/// How much a session does.
#[derive(Clone, Copy, Debug)]
struct Work {
    gets: usize,
    /// Transactions of one put.
    single: usize,
    /// Transactions of [`AT_ONCE`] puts.
    batches: usize,
}

impl Work {
    fn of(durable: bool, quick: bool) -> Self {
        match (durable, quick) {
            (true, false) => Self { gets: 100_000, single: 50, batches: 5 },
            (false, false) => Self { gets: 100_000, single: 20_000, batches: 20 },
            (true, true) => Self { gets: 1000, single: 5, batches: 1 },
            (false, true) => Self { gets: 1000, single: 200, batches: 1 },
        }
    }

    fn puts(self) -> usize {
        self.single + self.batches * AT_ONCE
    }
}

/// A mode, and how it is opened without validation, if it can be.
type Contender = (stores::Mode, Option<OpenBatches>);

/// pobj's first, then the peers that this build has, which may be none.
fn contenders() -> Vec<Contender> {
    let ours = pool::MODES.iter().map(|ours| (ours.mode, ours.trusted));
    let peers = stores::MODES.iter().filter(|_| cfg!(feature = "stores")).map(|mode| (*mode, None));
    ours.chain(peers).collect()
}

/// Whether a contender's transactions are durable when they return; `None` of nobody's name. It knows the peers also in a
/// build without them, which may well make tables of results.
#[must_use]
pub fn is_durable(name: &str) -> Option<bool> {
    let ours = pool::MODES.iter().map(|ours| &ours.mode);
    ours.chain(stores::MODES).find(|mode| mode.name == name).map(|mode| mode.durable)
}

/// Figures of all contenders with so many records, from `count` rounds.
///
/// # Errors
///
/// If a file cannot be made, or a store does not hold what was put.
pub fn figures(bench: &Bench, records: usize, count: usize) -> Result<Vec<Figure>> {
    let all = Records::new(records);
    let mut jobs = Vec::new();
    for (index, (mode, _)) in contenders().into_iter().enumerate() {
        let path = bench.durable(&format!("store-{index}"));
        fill(&all, mode.fill, &path).map_err(|error| format!("{}: {error}", mode.name))?;
        let bytes = mib_on_medium(&path)? * f64::from(1 << 20) / records as f64;
        let known = vec![(names::ON_MEDIUM, "bytes/record", bytes)];
        jobs.push(Job {
            part: names::STORES,
            contender: mode.name,
            medium: names::DISK,
            records,
            path,
            known,
        });
    }
    let figures = rounds(&jobs, count, bench.size(false, true));
    jobs.iter().try_for_each(|job| remove(&job.path))?;
    figures
}

fn fill(records: &Records, open: OpenBatches, path: &std::path::Path) -> Result<()> {
    let store = open(path, records.count())?.ok_or("not in this build")?;
    let all: Vec<usize> = (0..records.count()).collect();
    for some in all.chunks(AT_ONCE) {
        let pairs: Vec<Pair> =
            some.iter().map(|index| (*records.key(*index), records.value(*index))).collect();
        store.put_all(&pairs)?;
    }
    store.settle()?;
    records.check(&*store, records.count())?;
    drop(store);
    calm(path)
}

/// The value of a record after put number `step` of a round.
fn value(records: &Records, round: usize, step: usize) -> (usize, [u8; crate::kv::VALUE_LEN]) {
    let seed = (round as u64 + 1) << 32 | step as u64;
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let index = ((mixed >> 16) % records.count().max(1) as u64) as usize;
    let mut value = records.value(index);
    value[8..16].copy_from_slice(&mixed.to_le_bytes());
    (index, value)
}

/// What a scan adds up of a value: its number, and its stamp.
fn weight(value: &[u8]) -> u64 {
    let word = |at: usize| {
        value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    word(0).wrapping_add(word(8))
}

/// What a scan must find when so many rounds are over.
fn expected(records: &Records, work: Work, round: usize) -> u64 {
    let mut changed = HashMap::new();
    for before in 0..round {
        changed.extend((0..work.puts()).map(|step| value(records, before, step)));
    }
    (0..records.count()).fold(0, |sum: u64, index| {
        let now = changed.get(&index).map_or_else(|| weight(&records.value(index)), |value| weight(value));
        sum.wrapping_add(now)
    })
}

fn scan(store: &dyn Batches) -> Result<(u64, usize)> {
    let (mut sum, mut count) = (0u64, 0);
    store.scan(&mut |key, value| {
        sum = sum.wrapping_add(weight(value));
        count += usize::from(!key.is_empty());
    })?;
    Ok((sum, count))
}

/// A contender's session.
///
/// # Errors
///
/// If there is no such contender, or it does not hold what it should.
pub fn session(order: &Order) -> Result<Samples> {
    let all = contenders();
    let (mode, trusted) = all.iter().find(|(mode, _)| mode.name == order.contender).ok_or("nobody's name")?;
    let work = Work::of(mode.durable, order.quick);
    let records = Records::new(order.records);
    let mut samples = Samples::default();
    calm(&order.path)?;
    if let Some(trusted) = trusted {
        drop(first_get(*trusted, order, &records, names::OPEN_TRUSTED, &mut samples)?);
    }
    let store = first_get(mode.open, order, &records, names::OPEN, &mut samples)?;
    reads(&*store, &records, work, order, &mut samples)?;
    calm(&order.path)?;
    puts(&*store, &records, work, order, &mut samples)?;
    let settled = nanos(|| store.settle())?;
    samples.push(names::SETTLE, "ms", [settled / 1e6]);
    samples.push_peak(names::STORE_PEAK);
    drop(store);
    Ok(samples)
}

fn first_get(
    open: OpenBatches,
    order: &Order,
    records: &Records,
    measure: &str,
    samples: &mut Samples,
) -> Result<Box<dyn Batches>> {
    let start = Instant::now();
    let store = open(&order.path, order.records)?.ok_or("not in this build")?;
    let mut found = 0;
    if !store.get(records.key(order.records / 3), &mut |value| found = value.len())? {
        return Err("a record is missing".into());
    }
    samples.push(measure, "ms", [start.elapsed().as_secs_f64() * 1e3]);
    std::hint::black_box(found);
    Ok(store)
}

fn reads(
    store: &dyn Batches,
    records: &Records,
    work: Work,
    order: &Order,
    samples: &mut Samples,
) -> Result<()> {
    let gets = work.gets.min(records.count());
    records.get_some(store, 0..gets / 10)?;
    let time = nanos(|| records.get_some(store, 0..gets))?;
    samples.push(names::GET, "ns", [time / gets as f64]);
    let sum = scan(store)?;
    for _ in 0..3 {
        let time = nanos(|| if scan(store)? == sum { Ok(()) } else { Err("a scan differs".into()) })?;
        samples.push(names::SCAN, "ns/record", [time / records.count() as f64]);
    }
    match sum == (expected(records, work, order.round), records.count()) {
        true => Ok(()),
        false => Err("the store does not hold what the rounds before have left".into()),
    }
}

fn puts(
    store: &dyn Batches,
    records: &Records,
    work: Work,
    order: &Order,
    samples: &mut Samples,
) -> Result<()> {
    let pair = |step: usize| {
        let (index, value) = value(records, order.round, step);
        (*records.key(index), value)
    };
    let single: Vec<Pair> = (0..work.single).map(pair).collect();
    let times = times(&single, |(key, value)| store.put(key, value), mode_is_durable(order))?;
    samples.push(names::PUT_ONE, "us", times.into_iter().map(|nanos| nanos / 1e3));
    calm(&order.path)?;
    let all: Vec<Pair> = (work.single..work.puts()).map(pair).collect();
    let batches: Vec<&[Pair]> = all.chunks(AT_ONCE).collect();
    let times = self::times(&batches, |batch| store.put_all(batch), mode_is_durable(order))?;
    let each = times.into_iter().map(|nanos| nanos / 1e3 / AT_ONCE as f64);
    samples.push(names::PUT_MANY, "us", each);
    Ok(())
}

fn mode_is_durable(order: &Order) -> bool {
    is_durable(&order.contender).unwrap_or(false)
}

/// Nanoseconds of each, where `one_by_one`; else the mean of all.
fn times<T>(items: &[T], mut run: impl FnMut(&T) -> Result<()>, one_by_one: bool) -> Result<Vec<f64>> {
    if one_by_one {
        return items.iter().map(|item| nanos(|| run(item))).collect();
    }
    let all = nanos(|| items.iter().try_for_each(run))?;
    Ok(vec![all / items.len().max(1) as f64])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a contender that does less than the others: loses a put, or leaves records out of a scan.
    #[test]
    fn everybody_holds_the_same_after_three_rounds() -> Result<()> {
        let bench = Bench::new(None, None, true)?;
        let records = Records::new(1500);
        for (index, (mode, _)) in contenders().into_iter().enumerate() {
            let path = bench.memory(&format!("store-{index}"));
            fill(&records, mode.fill, &path)?;
            for round in 0..3 {
                let order = Order {
                    part: names::STORES.into(),
                    contender: mode.name.into(),
                    medium: names::MEMORY.into(),
                    records: 1500,
                    round,
                    path: path.clone(),
                    quick: true,
                };
                session(&order).map_err(|error| format!("{}, round {round}: {error}", mode.name))?;
            }
        }
        Ok(())
    }
}
