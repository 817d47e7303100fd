//! A file as memory, without a pool: written through a cursor, read back, seen as numbers.
//!
//! `cargo run --bin pmem -- /mnt/pmem/numbers` shows the domain of that file; `POBJ_DOMAIN=line` forces one.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::PathBuf;

use clap::Parser;
use pobj::pmem::{Hint, MappedFile, counts};

/// The part of the file that holds text; numbers follow.
const TEXT_LEN: usize = 4096;
/// How many numbers.
const COUNT: usize = 1000;

#[derive(Parser)]
struct Arguments {
    /// The file, made if it is missing.
    #[arg(default_value = "numbers.pmem")]
    file: PathBuf,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = Arguments::parse().file;
    let mut map = MappedFile::open_or_create(&file, (TEXT_LEN + COUNT * size_of::<i32>()) as u64)?;
    println!("{}: {} bytes, durable by {}", file.display(), map.len(), map.domain());

    // Through the standard traits; durable when flushed.
    let mut cursor = map.cursor();
    writeln!(cursor, "squares of 0..{COUNT}")?;
    cursor.flush()?;
    cursor.seek(SeekFrom::Start(0))?;
    let mut title = String::new();
    BufReader::new(cursor).read_line(&mut title)?;
    print!("title: {title}");

    // As a slice of numbers; durable when persisted.
    for (i, square) in map.as_mut_slice_of::<i32>(TEXT_LEN..)?.iter_mut().enumerate() {
        *square = (i * i) as i32;
    }
    map.persist(TEXT_LEN..)?;

    // Copies that share one drain.
    let before = counts();
    let mut batch = map.drain_guard();
    batch.copy_at(1024, b"one record", Hint::Auto)?;
    batch.copy_at(2048, &[b'.'; 256], Hint::NonTemporal)?;
    batch.finish()?;
    let cost = counts() - before;
    println!(
        "two copies: {} lines flushed, {} fences, {} syncs",
        cost.flushes, cost.fences, cost.durable_writes
    );

    drop(map);
    let map = MappedFile::open_read_only(&file)?;
    let squares = map.as_slice_of::<i32>(TEXT_LEN..)?;
    println!("again: {:?} ... {}", &squares[..5], squares[COUNT - 1]);
    Ok(())
}
