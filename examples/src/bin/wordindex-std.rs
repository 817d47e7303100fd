//! `wordindex-std`: `wordindex index` on `std` collections, without persistence. For comparison.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use examples::Failure;
use examples::update::update;
use examples::volatile::VolatileIndex;
use examples::walk::walk;

/// Index a directory into std collections, print time and heap bytes, and forget it all.
#[derive(Parser)]
struct Arguments {
    /// The directory.
    dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("wordindex-std: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let start = Instant::now();
    let mut index = VolatileIndex::default();
    let updated = update(&mut index, walk(&arguments.dir, None)?, |_, _| ())?;
    let postings: usize = index.words.values().map(Vec::len).sum();
    println!(
        "read {} files ({:.1} MB) in {:.2} s; {} words, {postings} postings, {:.1} MB of heap",
        updated.read,
        updated.read_bytes as f64 / 1e6,
        start.elapsed().as_secs_f64(),
        index.words.len(),
        index.heap_bytes() as f64 / 1e6,
    );
    Ok(())
}
