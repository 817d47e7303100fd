//! Lists the campaigns, runs them, and writes what they found into the book. See `tests::campaign`.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use tests::campaign::{ROWS, Row, Run, page};
use tests::evidence::Evidence;

const USE: &str = "campaign [list | ci [ROW ...] | long [ROW ...] | book [--check]]";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match *arguments.as_slice() {
        [] | ["list"] => list(),
        ["ci", ref rows @ ..] => run(rows, |row| row.ci),
        ["long", ref rows @ ..] => run(rows, |row| row.long),
        ["book"] => book(false),
        ["book", "--check"] => book(true),
        _ => Err(format!("usage: {USE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn evidence() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/evidence"))
}

fn list() -> Result<(), String> {
    for row in &ROWS {
        println!("{} {}", row.name, row.title);
        row.ci.iter().for_each(|run| println!("  ci    {}", run.command));
        row.long.iter().for_each(|run| println!("  long  {}", run.command));
    }
    Ok(())
}

/// Runs the commands of the named rows, or of all. What they find is kept only where `POBJ_EVIDENCE` is set: to
/// `$PWD/tests/evidence` for what the book is to show.
fn run(names: &[&str], of: fn(&'static Row) -> &'static [Run]) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| !ROWS.iter().any(|row| row.name == **name)) {
        return Err(format!("no row {name}"));
    }
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| names.is_empty() || names.contains(&row.name)) {
        for run in of(row) {
            if !run.needs.is_empty() && !shell(run.needs)? {
                println!("-- {} skipped: {}", row.name, run.lacks);
                continue;
            }
            println!("-- {} {}", row.name, run.command);
            let begun = Instant::now();
            let (success, seconds) = (shell(run.command)?, begun.elapsed().as_secs());
            println!("-- {} {} after {seconds} s", row.name, if success { "passed" } else { "FAILED" });
            if !success {
                failed.push(run.command);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed:\n{}", failed.join("\n"))) }
}

/// Whether a command succeeded.
fn shell(command: &str) -> Result<bool, String> {
    let mut shell = Command::new("bash");
    shell.args(["-c", command]).current_dir(root());
    let status = shell.status().map_err(|error| format!("bash: {error}"))?;
    Ok(status.success())
}

/// Writes the book's tables; only says whether they are as they should be if `check`.
fn book(check: bool) -> Result<(), String> {
    let path = root().join("book/src/testing.md");
    let say = |error: std::io::Error| format!("{}: {error}", path.display());
    let old = fs::read_to_string(&path).map_err(say)?;
    let all = Evidence::all(evidence()).map_err(say)?;
    let new = page(&old, &all).ok_or("the page has no place for the tables")?;
    match (old == new, check) {
        (true, _) => Ok(()),
        (false, true) => {
            Err("the book's tables are not those of tests/evidence: run `campaign book`".to_owned())
        }
        (false, false) => fs::write(&path, new).map_err(say),
    }
}
