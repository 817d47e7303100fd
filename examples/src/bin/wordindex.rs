//! `wordindex`: a persistent inverted index of the text files below a directory.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use examples::persistent::{PersistentIndex, WordIndex};
use examples::update::{Updated, update};
use examples::walk::walk;
use examples::{Failure, query};
use indicatif::{ProgressBar, ProgressStyle};
use pobj::{Pool, ReadOnlyPool};

/// A persistent inverted index of the text files below a directory.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// The pool that holds the index.
    #[arg(long, value_name = "FILE", default_value = "wordindex.pobj")]
    pool: PathBuf,
    /// Kill the program (SIGKILL) inside the transaction of the N-th file. The next run continues.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    kill_after: Option<u64>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring the index up to date with a directory. Only new and changed files are read.
    Index {
        /// The directory. What .gitignore names and hidden files are left out.
        dir: PathBuf,
    },
    /// List the files in which all the words occur, the best first.
    Search {
        /// The words.
        #[arg(required = true)]
        word: Vec<String>,
    },
    /// List the words that occur most often.
    Top {
        /// How many.
        n: usize,
    },
}

/// Lines of a search's answer.
const HITS_MAX: usize = 20;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(answer) => {
            // A reader that has seen enough (`| head`) is no failure.
            let _ = std::io::stdout().write_all(answer.as_bytes());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("wordindex: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, Failure> {
    match &arguments.verb {
        Verb::Index { dir } => index(&arguments.pool, dir, arguments.kill_after),
        Verb::Search { word } => search(&arguments.pool, word),
        Verb::Top { n } => top(&arguments.pool, *n),
    }
}

fn index(path: &Path, dir: &Path, kill_after: Option<u64>) -> Result<String, Failure> {
    let start = Instant::now();
    // Before the pool is made: a mistyped directory leaves no file behind.
    let walk = walk(dir, Some(path))?;
    let mut index = PersistentIndex::open_or_create(path, walk.bytes())?;
    if let Some(count) = kill_after {
        index.kill_after(count);
    }
    // Hides itself where standard error is no terminal.
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} files  {per_sec}  {eta} left")?);
    let updated = update(&mut index, walk, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let updated = updated?;
    index.settle()?;
    let report = report(&index, path, &updated, start);
    index.close()?;
    Ok(report)
}

fn report(index: &PersistentIndex, path: &Path, updated: &Updated, start: Instant) -> String {
    let Updated { read, read_bytes, binary, unchanged, removed, unreadable } = updated;
    let mut report = format!(
        "read {read} files ({:.1} MB, {binary} binary) in {:.2} s; {unchanged} unchanged, {removed} removed\n",
        *read_bytes as f64 / 1e6,
        start.elapsed().as_secs_f64(),
    );
    if *unreadable > 0 {
        let _ = writeln!(report, "left out {unreadable} files or directories that could not be read");
    }
    let stats = index.pool().stats();
    let root = index.pool().read();
    let _ = writeln!(
        report,
        "{}: {} files, {} words, {} postings, {:.1} MB",
        path.display(),
        root.files.len(),
        root.words.len(),
        root.live_postings(),
        stats.len as f64 / 1e6,
    );
    report
}

/// Reading writes nothing, so several searches may run at once.
fn open(path: &Path) -> Result<ReadOnlyPool<WordIndex<'static>>, Failure> {
    Ok(Pool::<WordIndex>::open_read_only(path)?)
}

fn search(path: &Path, words: &[String]) -> Result<String, Failure> {
    let pool = open(path)?;
    let hits = query::search(&pool.read(), words);
    let here = std::env::current_dir().unwrap_or_default();
    let mut answer = String::new();
    for hit in hits.iter().take(HITS_MAX) {
        let path = Path::new(&hit.path);
        let _ = writeln!(
            answer,
            "{:7.2} {:6}  {}",
            hit.score,
            hit.count,
            path.strip_prefix(&here).unwrap_or(path).display()
        );
    }
    if hits.len() > HITS_MAX {
        let _ = writeln!(answer, "and {} more files", hits.len() - HITS_MAX);
    }
    if hits.is_empty() {
        answer.push_str("no file has all of these words\n");
    }
    Ok(answer)
}

fn top(path: &Path, count: usize) -> Result<String, Failure> {
    let pool = open(path)?;
    let mut answer = String::new();
    for total in query::top(&pool.read(), count) {
        let _ = writeln!(answer, "{:8}  in {:6} files  {}", total.count, total.files, total.word);
    }
    Ok(answer)
}
