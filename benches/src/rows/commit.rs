//! `Immediate` commits on a file.

use pobj::Pool;

use crate::Result;
use crate::bare::{BLOCK_LEN, BareRing, RING_LEN};
use crate::bench::Bench;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, median, nanos};
use crate::types::{Counter, increment};

/// Commits of one round; a round's figure is their median.
const ROUND: usize = 64;

/// `Immediate` commit of one small change, over three laps of the ring. Limit: a bare durable write of one block into a
/// written-out file of the ring's length in the same directory; the two alternate. Also counts the pool's durable
/// writes for each commit; limit: one.
///
/// # Errors
///
/// If the files cannot be written.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let pool = Pool::<Counter>::create(bench.durable("commit"))?;
    let mut bare = BareRing::new(&bench.durable("commit-bare"))?;
    let commits = bench.size(3 * RING_LEN / BLOCK_LEN, 2 * ROUND);
    let before = pool.stats().journal;
    let mut rounds = Pairs::default();
    for _ in 0..commits.div_ceil(ROUND) {
        let (mut figures, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..ROUND {
            figures.push(nanos(|| Ok(increment(&pool)?))? / 1000.0);
            limits.push(nanos(|| bare.write_block())? / 1000.0);
        }
        rounds.push(median(figures), median(limits));
    }
    let after = pool.stats().journal;
    let writes = (after.durable_writes - before.durable_writes) as f64;
    let records = (after.records - before.records) as f64;
    Ok(vec![
        rounds.row("commit of one small change, Immediate, on a file", "us").budget(Budget::RatioAtMost(1.1)),
        Row::new("durable writes per Immediate commit", writes / records, "writes")
            .limit(1.0)
            .budget(Budget::RatioAtMost(1.0)),
    ])
}
