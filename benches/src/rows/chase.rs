//! Reading: following pointers.

use std::hint::black_box;

use pobj::{PBox, Pool};

use crate::Result;
use crate::bare::RawList;
use crate::bench::Bench;
use crate::fill::shuffled_list;
use crate::report::{Budget, Row};
use crate::timing::{Pairs, nanos};
use crate::types::{List, Node};

/// Nodes between two looks at the clock: few enough that the machine is the same for both halves of a pair.
const STRETCH: usize = 2_000;

/// Sums a pool's list up by following every box.
#[inline(never)]
#[must_use]
pub fn chase(list: &List<'_>) -> u64 {
    walk(&mut list.head.as_ref(), usize::MAX)
}

/// Follows at most `count` boxes from `at` on.
#[inline(never)]
fn walk<'p>(at: &mut Option<&PBox<'p, Node<'p>>>, count: usize) -> u64 {
    let mut sum = 0u64;
    let mut next = *at;
    for _ in 0..count {
        let Some(node) = next else { break };
        sum = sum.wrapping_add(node.value);
        next = node.next.as_ref();
    }
    *at = next;
    sum
}

/// Pointer chase through `PBox`: a list of 64-byte nodes in shuffled order, 1 M of them (memory) and 400 (first-level
/// cache). Limit: the same list in the same order, with raw pointers in an anonymous mapping, which has pages of the
/// same size as the pool's image. The two take turns every 2,000 nodes.
///
/// # Errors
///
/// If the lists cannot be made.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    // Which physical pages a list gets is luck, so there are several.
    let mut cold = Pairs::default();
    for number in 0..bench.size(9, 1) {
        let list = measure_cold(bench, number, bench.size(1_000_000, 100_000))?;
        cold.push(list.figure(), list.figure() / list.ratio());
    }
    let hot = measure_hot(bench, 400, bench.size(1001, 51))?;
    Ok(vec![
        cold.row("pointer chase, 1 M shuffled nodes", "ns/node").budget(Budget::RatioAtMost(1.02)),
        hot.row("pointer chase, 400 hot nodes", "ns/node").budget(Budget::RatioAtMost(1.02)),
    ])
}

fn lists(bench: &Bench, name: &str, count: usize) -> Result<(Pool<List<'static>>, RawList)> {
    let pool = shuffled_list(&bench.memory(name), count)?;
    let raw = RawList::new(count)?;
    if chase(&pool.read()) != raw.chase() {
        return Err("the two lists differ".into());
    }
    Ok((pool, raw))
}

fn measure_cold(bench: &Bench, number: usize, count: usize) -> Result<Pairs> {
    let (pool, raw) = lists(bench, &format!("chase-{number}"), count)?;
    let list = pool.read();
    let (mut at, mut raw_at) = (list.head.as_ref(), raw.start());
    Pairs::measure(
        count / STRETCH,
        || {
            at = at.or(list.head.as_ref());
            Ok(nanos(|| Ok(walk(&mut at, STRETCH)))? / STRETCH as f64)
        },
        || {
            raw_at = if raw_at.is_at_end() { raw.start() } else { raw_at };
            Ok(nanos(|| Ok(raw.walk(&mut raw_at, STRETCH)))? / STRETCH as f64)
        },
    )
}

fn measure_hot(bench: &Bench, count: usize, rounds: usize) -> Result<Pairs> {
    const PASSES: usize = 200;
    let (pool, raw) = lists(bench, "chase-hot", count)?;
    let list = pool.read();
    let steps = (count * PASSES) as f64;
    Pairs::measure(
        rounds,
        || Ok(nanos(|| Ok((0..PASSES).map(|_| chase(black_box(&list))).fold(0, u64::wrapping_add)))? / steps),
        || Ok(nanos(|| Ok((0..PASSES).map(|_| black_box(&raw).chase()).fold(0, u64::wrapping_add)))? / steps),
    )
}
