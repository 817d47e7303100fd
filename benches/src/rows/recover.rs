//! Recovery after a kill.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use pobj::{PVec, Pool};
use rand::Rng;

use crate::Result;
use crate::bench::{Bench, random};
use crate::fill::eventual;
use crate::report::{Budget, Row};
use crate::timing::{median, nanos};
use crate::types::Run;

/// What a record adds to the words that changed: its header and one entry's head, then padding to 64 bytes.
const RECORD_HEAD: usize = 48;
/// Words in the pool that change.
const WORDS: usize = (64 << 20) / 8;

/// Opening (`open_trusted`) a pool whose process was killed with a ring full of `Eventual` commits, in GB/s of
/// journal: changes of a page, and of 8 bytes, at random places of 64 MiB. Limit: reading the same bytes of the file.
///
/// # Errors
///
/// If the pools cannot be made or opened, or the child fails.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let ring_len = bench.size(512u64 << 20, 32 << 20);
    let mut rows = Vec::new();
    for (name, words) in [("changes of 4 KiB", 512), ("changes of 8 bytes", 1)] {
        let path = bench.memory(&format!("recovery-{words}"));
        let journal_len = fill_and_kill(&path, ring_len, words)?;
        let (mut opens, mut reads) = (Vec::new(), Vec::new());
        let copy = bench.memory("recovery-copy");
        for _ in 0..bench.size(5, 1) {
            std::fs::copy(&path, &copy)?;
            let mut bytes = vec![1; journal_len as usize];
            reads.push(nanos(|| Ok(std::fs::File::open(&copy)?.read_exact(&mut bytes)?))?);
            let start = Instant::now();
            // SAFETY: this run made the file with these types, and nothing else has touched it.
            let pool = unsafe { Pool::<Run<u64>>::open_trusted(&copy) }?;
            opens.push(start.elapsed().as_nanos() as f64);
            pool.close()?;
            std::fs::remove_file(&copy)?;
        }
        std::fs::remove_file(&path)?;
        let row = Row::new(format!("recovery, {name}"), journal_len / median(opens), "GB/s");
        rows.push(row.limit(journal_len / median(reads)).budget(Budget::AtLeast(1.0)));
    }
    Ok(rows)
}

/// Starts this program again to fill a pool's ring, and kills it. Gives the bytes of journal that it left.
fn fill_and_kill(path: &Path, ring_len: u64, words: usize) -> Result<f64> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--fill-journal")
        .arg(path)
        .args(["--ring-len", &ring_len.to_string(), "--words", &words.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    child.kill()?;
    child.wait()?;
    Ok(line.trim().parse()?)
}

/// The child: changes `words` words at a time until almost half of the ring (where the checkpoint would begin) is full,
/// says how many bytes of journal that was, and waits to be killed.
///
/// # Errors
///
/// If the pool cannot be made or changed.
pub fn fill_journal(path: &Path, ring_len: u64, words: usize) -> Result<()> {
    let pool = eventual::<Run<u64>>(path, ring_len)?;
    pool.write(|root, tx| {
        root.items = PVec::with_capacity(tx, WORDS)?;
        Ok(())
    })?;
    let zeros = vec![0u64; 8192];
    for _ in 0..WORDS / zeros.len() {
        pool.write(|root, tx| root.items.extend_from_slice(tx, &zeros))?;
    }
    pool.checkpoint()?;
    let record_len = (RECORD_HEAD + words * 8).next_multiple_of(64) as u64;
    let count = ring_len * 45 / 100 / record_len;
    let mut random = random();
    for value in 1..=count {
        let first = random.random_range(0..WORDS / words) * words;
        pool.write(|root, tx| {
            root.items.slice_mut(first..first + words, tx)?.fill(value);
            Ok(())
        })?;
    }
    println!("{}", count * record_len);
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}
