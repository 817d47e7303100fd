//! Group commit: what several committers gain from sharing durable writes.

use pobj::Pool;

use crate::Result;
use crate::bench::Bench;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, turns_per_second};
use crate::types::{Counter, increment};

const THREADS: usize = 4;

/// Rate of small `Immediate` transactions of four threads on one pool. Limit: the rate of one thread, measured in
/// turn with it. Also the durable writes for each transaction of the four.
///
/// # Errors
///
/// If the file cannot be written.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let pool = Pool::<Counter>::create(bench.durable("group"))?;
    let commits = bench.size(60, 20);
    let (mut writes, mut records) = (0, 0);
    let pairs = Pairs::measure(
        bench.size(31, 3),
        || {
            let before = pool.stats().journal;
            let rate = rate(&pool, THREADS, commits);
            let after = pool.stats().journal;
            writes += after.durable_writes - before.durable_writes;
            records += after.records - before.records;
            rate
        },
        || rate(&pool, 1, commits),
    )?;
    Ok(vec![
        pairs
            .row("group commit, 4 threads against 1, Immediate", "commits/s")
            .budget(Budget::RatioAtLeast(2.5)),
        Row::new("durable writes per commit of 4 threads", writes as f64 / records as f64, "writes")
            .limit(0.25),
    ])
}

fn rate(pool: &Pool<Counter>, threads: usize, commits: usize) -> Result<f64> {
    turns_per_second(&mut vec![(); threads], commits, |()| Ok(increment(pool)?))
}
