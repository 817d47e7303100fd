//! Commits on persistent memory, against bare stores and against libpmemobj.
//!
//! Pool, bare stores and libpmemobj work on files in memory that each is told to take for persistent memory behind
//! volatile caches: lines are flushed or stored past the cache, and fenced. The three take turns, in short batches; a
//! figure is the median of its batches, a ratio the median of the ratios. Commits run over several laps of the pool's
//! ring, so that checkpoints go on behind them.
//!
//! Each job has up to four rows: pobj's figure against the *limit*, which is a bare non-temporal store of as many lines
//! as the job's record cannot do without, and one fence; pobj's fences for each commit; **libpmemobj's figure against
//! pobj's, whose ratio says how many times faster pobj is** ([`peer`](crate::peer)); and libpmemobj's fences. All fences
//! are counted: pobj's on the threads that commit, in the timed pass; libpmemobj's in a pass of its own.

use pobj::{Persistent, Pool};

use crate::Result;
use crate::bare::RING_LEN;
use crate::bench::Bench;
use crate::peer::Peer;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, nanos};

pub mod blocks;
pub mod change;
pub mod checkpoint;
pub mod objects;
pub mod share;

/// Transactions of a pass that counts libpmemobj's fences.
const COUNTED: usize = 1000;

/// Commits in which records of `record_len` bytes go round the ring often enough.
fn steady_commits(bench: &Bench, record_len: usize) -> usize {
    const LAPS: usize = 6;
    bench.size(LAPS, 1) * RING_LEN / record_len
}

/// Nanoseconds of one of `count` calls of `run`.
fn each(count: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    Ok(nanos(|| (0..count).try_for_each(|_| run()))? / count as f64)
}

/// As [`each`], where there is a peer; else NaN, which rows show as not measured.
fn each_of_peer(
    peer: &mut Option<Peer>,
    count: usize,
    mut run: impl FnMut(&mut Peer) -> Result<()>,
) -> Result<f64> {
    peer.as_mut().map_or(Ok(f64::NAN), |peer| each(count, || run(peer)))
}

/// Fences that pobj's committing threads have issued on this pool.
fn fences<R: Persistent>(pool: &Pool<R>) -> f64 {
    pool.stats().foreground.fences as f64
}

/// libpmemobj's fences for each of `count` calls of `run`; NaN without it.
fn fences_of_peer(
    peer: &mut Option<Peer>,
    count: usize,
    mut run: impl FnMut(&mut Peer) -> Result<()>,
) -> Result<f64> {
    let Some(peer) = peer else { return Ok(f64::NAN) };
    let fences = peer.fences(|peer| (0..count).try_for_each(|_| run(peer)))?;
    Ok(fences as f64 / count as f64)
}

/// pobj, the limit, and libpmemobj, in this order.
type Three<'a> = [&'a mut dyn FnMut() -> Result<f64>; 3];

/// Calls each of the three, another one first each time.
fn turn(number: usize, three: &mut Three<'_>) -> Result<[f64; 3]> {
    let mut figures = [f64::NAN; 3];
    for step in 0..3 {
        let which = (number + step) % 3;
        figures[which] = three[which]()?;
    }
    Ok(figures)
}

/// Figures of a job: pobj's beside the limit, libpmemobj's beside pobj's.
#[derive(Debug, Default)]
struct Turns {
    pobj: Pairs,
    peer: Pairs,
}

impl Turns {
    /// Measures the three `rounds` times in turn, after one round that does not count.
    fn measure(rounds: usize, mut three: Three<'_>) -> Result<Self> {
        let mut turns = Self::default();
        turn(0, &mut three)?;
        for round in 0..rounds {
            turns.push(turn(round, &mut three)?);
        }
        Ok(turns)
    }

    fn push(&mut self, [pobj, limit, peer]: [f64; 3]) {
        self.pobj.push(pobj, limit);
        self.peer.push(peer, pobj);
    }
}

/// Fences for each commit.
#[derive(Clone, Copy, Debug)]
struct Fences {
    pobj: f64,
    peer: f64,
}

/// One fence for each commit, whatever it changed.
const ONE_FENCE: Budget = Budget::AtMost(1.0);

/// What the design asks of a job.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// At most this many times the limit.
    limit: Budget,
    /// pobj's fences for each commit.
    fences: Budget,
    /// So many times faster than libpmemobj.
    times: f64,
}

/// The four rows of a job.
fn job_rows(what: &str, unit: &'static str, turns: &Turns, fences: Fences, asked: Asked) -> Vec<Row> {
    vec![
        turns.pobj.row(format!("memory: {what}"), unit).budget(asked.limit),
        Row::new(format!("- fences per commit, {what}"), fences.pobj, "fences")
            .limit(1.0)
            .budget(asked.fences),
        turns.peer.row(format!("- libpmemobj, {what}"), unit).budget(Budget::RatioAtLeast(asked.times)),
        Row::new(format!("- libpmemobj's fences, {what}"), fences.peer, "fences"),
    ]
}
