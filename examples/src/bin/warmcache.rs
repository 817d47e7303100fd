//! A cache that is warm at once after a restart: what was worked out once is there when the pool is open.
//!
//! `warmcache demo` fills a cache, closes it, and opens it twice, with validation and trusted; for each it prints the time to
//! the first hit, beside the time that filling took. `--size 1024` is in MiB.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use examples::Failure;
use pobj::{Durability, PHashMap, Persistent, Pool};

/// Bytes of an entry.
const ENTRY: usize = 1024;
/// Entries that one transaction of the filling puts in.
const BATCH: u64 = 4096;

/// What is worked out for a key: a table of 64-bit words.
#[derive(Persistent, Clone, Copy)]
#[repr(C)]
struct Table {
    words: [u64; ENTRY / 8],
}

impl Table {
    /// Stands for what a program would rather not do again.
    fn work_out(key: u64) -> Self {
        let mut state = key ^ 0x9E37_79B9_7F4A_7C15;
        Self {
            words: std::array::from_fn(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            }),
        }
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Cache<'p> {
    tables: PHashMap<'p, u64, Table>,
}

/// A cache that survives the program.
#[derive(Debug, Parser)]
struct Arguments {
    /// The pool file.
    #[arg(long, default_value = "warmcache.pobj", value_name = "FILE")]
    pool: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fills a new cache, and opens it again.
    Demo {
        /// How much it holds.
        #[arg(long, default_value_t = 1024, value_name = "MIB")]
        size: u64,
    },
    /// Opens the cache and asks it for a key.
    Get { key: u64 },
}

fn main() -> Result<(), Failure> {
    let Arguments { pool, command } = Arguments::parse();
    match command {
        Command::Demo { size } => demo(&pool, size),
        Command::Get { key } => {
            let begun = Instant::now();
            let pool = Pool::<Cache>::open(&pool)?;
            println!("{}", first_hit(&pool, key, begun)?);
            Ok(pool.close()?)
        }
    }
}

fn demo(path: &Path, size: u64) -> Result<(), Failure> {
    let entries = size * 1024 * 1024 / ENTRY as u64;
    let begun = Instant::now();
    fill(path, entries)?;
    println!("filled {entries} entries of {ENTRY} bytes, {size} MiB, in {}", seconds(begun.elapsed()));

    let begun = Instant::now();
    let pool = Pool::<Cache>::open(path)?;
    println!("opened with validation: {}", first_hit(&pool, entries / 2, begun)?);
    pool.close()?;

    let begun = Instant::now();
    // SAFETY: this program has just written the file, with this type, and nobody else has.
    let pool = unsafe { Pool::<Cache>::open_trusted(path)? };
    println!("opened trusted: {}", first_hit(&pool, entries / 3, begun)?);
    Ok(pool.close()?)
}

fn fill(path: &Path, entries: u64) -> Result<(), Failure> {
    let options = Pool::<Cache>::options().max_size(64 << 30);
    let pool = options.create(path)?;
    for first in (0..entries).step_by(BATCH as usize) {
        pool.write(|cache, tx| {
            // A cache may lose its last moments.
            tx.set_durability(Durability::Eventual);
            for key in first..entries.min(first + BATCH) {
                cache.tables.insert(tx, key, Table::work_out(key))?;
            }
            Ok(())
        })?;
    }
    Ok(pool.close()?)
}

/// Looks a key up, and compares what is found with what it should be.
fn first_hit(pool: &Pool<Cache<'static>>, key: u64, begun: Instant) -> Result<String, Failure> {
    let opened = begun.elapsed();
    let cache = pool.read();
    let table = cache.tables.get(&key).ok_or("that key was never put in")?;
    let found = begun.elapsed();
    if table.words != Table::work_out(key).words {
        return Err(format!("the entry of {key} is wrong").into());
    }
    Ok(format!("open after {}, first hit after {}", seconds(opened), seconds(found)))
}

fn seconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
