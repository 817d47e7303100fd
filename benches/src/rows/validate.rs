//! Validation at open: the difference between `open` and `open_trusted`.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Instant;

use pobj::{Persistent, Pool};

use super::open::time_trusted;
use crate::Result;
use crate::bench::Bench;
use crate::fill::{dense, shuffled_leaves, shuffled_tree};
use crate::report::{Budget, Row};
use crate::timing::{Pairs, median};
use crate::types::{Color, Leaves, Record, Run, Tree};

/// Seconds that validation adds to opening, and that `read` takes right after a trusted open, which meets the same
/// unmapped pages: in turn.
fn validation<R: Persistent>(
    bench: &Bench,
    path: &Path,
    threads: usize,
    read: impl Fn(&Pool<R>) -> u64,
) -> Result<Pairs> {
    let trusted = median(time_trusted::<R>(path, 3)?) / 1e3;
    Pairs::measure(
        bench.size(5, 1),
        || {
            let start = Instant::now();
            let pool = Pool::<R>::options().validation_threads(threads).open(path)?;
            let opened = start.elapsed().as_secs_f64();
            pool.close()?;
            Ok((opened - trusted).max(1e-9))
        },
        || {
            // SAFETY: this run made the file with these types, and nothing else has touched it.
            let pool = unsafe { Pool::<R>::open_trusted(path) }?;
            let start = Instant::now();
            std::hint::black_box(read(&pool));
            let read = start.elapsed().as_secs_f64();
            pool.close()?;
            Ok(read)
        },
    )
}

/// A row of a rate: `amount` over the seconds in `pairs`.
fn rate(name: String, amount: f64, unit: &'static str, pairs: &Pairs) -> Row {
    Row::new(name, amount / pairs.figure(), unit).limit(amount / pairs.limit())
}

/// Threads to measure with: one, and all.
fn thread_counts() -> Vec<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    if all > 1 { vec![1, all] } else { vec![1] }
}

/// Validating 64-byte objects that lie shuffled in memory, in millions a second: owned by a vector, and linked as a tree.
/// Limit: one thread that reads a word of each, in the same order, right after a trusted open.
///
/// # Errors
///
/// If the pools cannot be made or opened.
pub fn small_rows(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(4_000_000, 200_000);
    let millions = count as f64 / 1e6;
    let mut rows = Vec::new();

    let path = bench.memory("validate-leaves");
    shuffled_leaves(&path, count)?.close()?;
    for threads in thread_counts() {
        let pairs = validation::<Leaves>(bench, &path, threads, |pool| {
            pool.read().items.iter().fold(0, |sum, leaf| sum ^ leaf.value)
        })?;
        let name = format!("validation, shuffled objects in a vector, {threads} thread(s)");
        rows.push(rate(name, millions, "M objects/s", &pairs).budget(Budget::AtLeast(5.0 * threads as f64)));
    }
    std::fs::remove_file(&path)?;

    let path = bench.memory("validate-tree");
    shuffled_tree(&path, count)?.close()?;
    for threads in thread_counts() {
        let pairs = validation::<Tree>(bench, &path, threads, |pool| {
            let tree = pool.read();
            let mut todo: Vec<_> = tree.root.iter().collect();
            let mut sum = 0;
            while let Some(node) = todo.pop() {
                sum ^= node.value;
                todo.extend(node.left.iter().chain(&node.right));
            }
            sum
        })?;
        let name = format!("validation, shuffled objects in a tree, {threads} thread(s)");
        rows.push(rate(name, millions, "M objects/s", &pairs).budget(Budget::AtLeast(5.0 * threads as f64)));
    }
    std::fs::remove_file(&path)?;
    Ok(rows)
}

/// Validating a long run of values side by side, in GB/s on all cores and on one: `bool` (each byte is looked at),
/// `NonZeroU64`, an enum, records with several such fields; and plain numbers, of which every bit pattern is valid. Limit:
/// one thread that sums all words up, right after a trusted open.
///
/// # Errors
///
/// If the pools cannot be made or opened.
pub fn dense_rows(bench: &Bench) -> Result<Vec<Row>> {
    let len = bench.size(256 << 20, 16 << 20);
    let mut rows = Vec::new();
    rows.extend(dense_row(bench, "bool", len, |index| index % 3 == 0, |flag| u64::from(*flag))?);
    rows.extend(dense_row(bench, "enums", len, |index| COLORS[index % 3], |color| *color as u64)?);
    rows.extend(dense_row(
        bench,
        "NonZeroU64",
        len,
        |index| NonZeroU64::MIN.saturating_add(index as u64),
        |n| n.get(),
    )?);
    rows.extend(dense_row(bench, "records", len, record, |record| record.amount)?);
    rows.extend(dense_row(bench, "u64", len, |index| index as u64, |number| *number)?);
    Ok(rows)
}

const COLORS: [Color; 3] = [Color::Red, Color::Green, Color::Blue];

fn record(index: usize) -> Record {
    let number = index as u64;
    Record {
        id: NonZeroU64::MIN.saturating_add(number),
        amount: number,
        color: COLORS[index % 3],
        open: index.is_multiple_of(2),
        year: index as u16,
        place: index as u32,
    }
}

fn dense_row<T>(
    bench: &Bench,
    name: &str,
    len: usize,
    make: impl Fn(usize) -> T,
    look: impl Fn(&T) -> u64,
) -> Result<Vec<Row>>
where
    T: Persistent + Copy + for<'q> Persistent<At<'q> = T>,
{
    let path = bench.memory(&format!("validate-{name}"));
    dense(&path, len / size_of::<T>(), make)?.close()?;
    let mut rows = Vec::new();
    for threads in thread_counts() {
        let pairs = validation::<Run<T>>(bench, &path, threads, |pool| {
            pool.read().items.as_slice().iter().fold(0, |sum, value| sum ^ look(value))
        })?;
        let name = format!("validation, dense {name}, {threads} thread(s)");
        let row = rate(name, len as f64 / 1e9, "GB/s", &pairs);
        rows.push(if threads == 1 { row } else { row.budget(Budget::AtLeast(2.0)) });
    }
    std::fs::remove_file(&path)?;
    Ok(rows)
}
