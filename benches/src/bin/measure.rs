//! Puts pobj beside what people use instead, keeps the results, and makes the book's pictures and tables of them.

use std::path::{Path, PathBuf};

use benches::bench::Bench;
use benches::counting::CountingAllocator;
use benches::machine::Machine;
use benches::results::Run;
use benches::session::Order;
use benches::{Result, fences, names, stores, tables};
use clap::{Parser, Subcommand, ValueEnum};

/// As in `compare`: the rows that are shared may ask it to count.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Measures pobj beside saving and loading, beside embedded stores, and beside libpmemobj.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measures, and keeps the results in a file.
    Run(RunArguments),
    /// Draws the plots of results, SVG and PNG, into a directory.
    Plots {
        /// Results of `measure run`.
        results: PathBuf,
        /// Where the plots go.
        #[arg(long, default_value = "book/src/plots")]
        out: PathBuf,
    },
    /// Writes the tables of results between the markers of a page.
    Tables {
        /// Results of `measure run`.
        results: PathBuf,
        /// Where the tables go; more pages may be given.
        #[arg(long, default_value = "book/src/benchmarks.md")]
        page: Vec<PathBuf>,
    },
    /// Internal: one session, in a process of its own.
    #[command(hide = true)]
    Session(Order),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Where the results go.
    #[arg(long, value_name = "FILE", default_value = "measure.json")]
    out: PathBuf,
    /// What to measure; everything that is in this build where nothing is chosen.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// How much: `quick` is a smoke test of seconds, `long` goes up to ten million records.
    #[arg(long, value_enum, default_value_t = Size::Normal)]
    size: Size,
    /// Numbers of records instead of the size's, for `serial`.
    #[arg(long, value_delimiter = ',')]
    records: Vec<usize>,
    /// Number of records instead of the size's, for `stores`.
    #[arg(long)]
    store_records: Option<usize>,
    /// Rounds instead of the size's.
    #[arg(long)]
    rounds: Option<usize>,
    /// Where durable files go; by default the system's directory for temporary files.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Keeping beside saving and loading; wants the feature `serial`.
    Serial,
    /// Beside embedded stores; wants the feature `stores`.
    Stores,
    /// Fences, beside libpmemobj's; wants the feature `libpmemobj`.
    Fences,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    Quick,
    Normal,
    Long,
}

fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Run(arguments) => run(&arguments),
        Verb::Plots { results, out } => plots(&results, &out),
        Verb::Tables { results, page } => {
            let run = Run::load(&results)?;
            page.iter().try_for_each(|page| tables::rewrite_file(page, &run))
        }
        Verb::Session(order) => session(&order),
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    let quick = arguments.size == Size::Quick;
    let bench = Bench::new(arguments.dir.as_deref(), None, quick)?;
    eprintln!("{}", bench.places());
    let rounds = arguments.rounds.unwrap_or(if quick { 2 } else { 5 });
    let chosen = |part| arguments.part.is_empty() || arguments.part.contains(&part);
    let mut run = Run::begin(Machine::here(&bench)?);
    if chosen(Part::Serial) {
        let sizes = match (arguments.records.as_slice(), arguments.size) {
            ([], Size::Quick) => &[100, 1000][..],
            ([], Size::Normal) => &[1000, 10_000, 100_000, 1_000_000],
            ([], Size::Long) => &[1000, 10_000, 100_000, 1_000_000, 10_000_000],
            (chosen, _) => chosen,
        };
        serial(&bench, sizes, rounds, &mut run)?;
    }
    if chosen(Part::Stores) {
        let records = arguments.store_records.unwrap_or(bench.size(1_000_000, 2000));
        eprintln!("stores, {records} records");
        run.figures.extend(stores::figures(&bench, records, rounds)?);
    }
    if chosen(Part::Fences) {
        eprintln!("fences");
        run.figures.extend(fences::figures(&bench)?);
    }
    run.store(&arguments.out)?;
    print!("{}", tables::everything(&run));
    eprintln!("results: {}", arguments.out.display());
    Ok(())
}

#[cfg(feature = "serial")]
fn serial(bench: &Bench, sizes: &[usize], rounds: usize, run: &mut Run) -> Result<()> {
    for records in sizes {
        for medium in [names::DISK, names::MEMORY] {
            eprintln!("serial, {records} records, {medium}");
            run.figures.extend(benches::serial::figures(bench, medium, *records, rounds)?);
        }
    }
    Ok(())
}

#[cfg(not(feature = "serial"))]
fn serial(_: &Bench, _: &[usize], _: usize, _: &mut Run) -> Result<()> {
    eprintln!("not in this build: the comparison with saving and loading (feature `serial`)");
    Ok(())
}

#[cfg(feature = "plots")]
fn plots(results: &Path, out: &Path) -> Result<()> {
    for path in benches::plots::draw(&Run::load(results)?, out)? {
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(not(feature = "plots"))]
fn plots(_: &Path, _: &Path) -> Result<()> {
    Err("this build draws no plots: build it with the feature `plots`".into())
}

fn session(order: &Order) -> Result<()> {
    let samples = match order.part.as_str() {
        #[cfg(feature = "serial")]
        names::SERIAL => benches::serial::session(order)?,
        names::STORES => stores::session(order)?,
        other => return Err(format!("no part {other}").into()),
    };
    println!("{}", serde_json::to_string(&samples)?);
    Ok(())
}
