//! Prints every budget row that this machine can measure: figure, limit measured beside it, ratio, budget, verdict.

use std::path::PathBuf;

use benches::bench::Bench;
use benches::counting::CountingAllocator;
use benches::machine::Machine;
use benches::report::{Row, markdown, table_head, table_line};
use benches::rows::{ALL, recover};
use benches::{Result, tables};
use clap::Parser;

/// Counts only while a row asks for it; a load and a branch otherwise.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Measures pobj against its budgets. Figures are medians; each limit is measured in the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print a JSON array instead of the table.
    #[arg(long)]
    json: bool,
    /// Write the table between the markers of this page of the book, too.
    #[arg(long, value_name = "FILE", conflicts_with = "quick")]
    page: Option<PathBuf>,
    /// Small sizes: a smoke test of seconds, whose figures mean little.
    #[arg(long)]
    quick: bool,
    /// Only groups of rows whose name contains this (chase, commit, eventual, memory, alloc, open, validate, kv ...).
    #[arg(long, value_name = "NAME")]
    row: Option<String>,
    /// Where durable files go; by default the system's directory for temporary files.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where the text for the word index comes from; by default what cargo has downloaded, and this repository.
    #[arg(long, value_name = "DIR")]
    text: Option<PathBuf>,
    /// Internal: fill the journal of a pool at this path and wait to be killed.
    #[arg(long, hide = true, value_name = "PATH")]
    fill_journal: Option<PathBuf>,
    #[arg(long, hide = true, default_value_t = 32 << 20)]
    ring_len: u64,
    #[arg(long, hide = true, default_value_t = 1)]
    words: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.fill_journal {
        return recover::fill_journal(path, arguments.ring_len, arguments.words);
    }
    let bench = Bench::new(arguments.dir.as_deref(), arguments.text.as_deref(), arguments.quick)?;
    eprintln!("{}", bench.places());
    if !arguments.json {
        println!("{}", table_head());
    }
    let machine = arguments.page.is_some().then(|| Machine::here(&bench)).transpose()?;
    let mut rows = Vec::new();
    for group in
        ALL.iter().filter(|group| arguments.row.as_deref().is_none_or(|part| group.name.contains(part)))
    {
        let measured = (group.run)(&bench).map_err(|error| format!("{}: {error}", group.name))?;
        if !arguments.json {
            measured.iter().for_each(|row| println!("{}", table_line(row)));
        }
        rows.extend(measured);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!("{}", summary(&rows));
    }
    if let (Some(page), Some(machine)) = (&arguments.page, &machine) {
        let text = format!("\n{}\n{}\n{}.\n", machine.sentence(), markdown(&rows), summary(&rows));
        tables::rewrite_blocks(page, |name| (name == "budgets").then(|| text.clone()))?;
    }
    Ok(())
}

fn summary(rows: &[Row]) -> String {
    let judged = rows.iter().filter(|row| row.pass.is_some()).count();
    let missed = rows.iter().filter(|row| row.pass == Some(false)).count();
    format!("{} of {judged} budgets met", judged - missed)
}
