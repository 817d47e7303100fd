//! Lists the campaigns, runs them, and writes what they found into the book. See `tests::campaign`.

use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;
use std::time::Instant;
use std::{env, fs, thread};

use tests::campaign::{ROWS, Row, Run, page};
use tests::evidence::Evidence;

/// How the plan names a program of this package.
const RUN: &str = "cargo run --release -p tests --bin ";
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

/// Runs the commands of the named rows, or of all, so many at once as `POBJ_JOBS` says. What they find is kept only where
/// `POBJ_EVIDENCE` is set: to `$PWD/tests/evidence` for what the book is to show.
fn run(names: &[&str], of: fn(&'static Row) -> &'static [Run]) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| !ROWS.iter().any(|row| row.name == **name)) {
        return Err(format!("no row {name}"));
    }
    let wanted = ROWS.iter().filter(|row| names.is_empty() || names.contains(&row.name));
    let queue = Mutex::new(wanted.flat_map(|row| of(row).iter().map(move |run| (row, run))));
    let jobs = env::var("POBJ_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let failed = Mutex::new(Vec::new());
    let next = || queue.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((row, run)) = next() {
                    let outcome = run_one(row, run, jobs > 1);
                    if let (Err(wrong), Ok(mut failed)) = (outcome, failed.lock()) {
                        failed.push(wrong);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().map_err(|_| "a thread panicked")?;
    if failed.is_empty() { Ok(()) } else { Err(format!("failed:\n{}", failed.join("\n"))) }
}

/// Runs one command. Its output is shown at its end if others run beside it.
fn run_one(row: &Row, run: &Run, beside_others: bool) -> Result<(), String> {
    if run.tested {
        println!("-- {} runs with `cargo test --workspace`: {}", row.name, run.command);
        return Ok(());
    }
    if !run.needs.is_empty() && !shell(run.needs, true)?.status.success() {
        println!("-- {} skipped: {}", row.name, run.lacks);
        return Ok(());
    }
    if !beside_others {
        println!("-- {} {}", row.name, run.command);
    }
    let begun = Instant::now();
    let Output { status, stdout, stderr } = shell(run.command, beside_others)?;
    let (seconds, success) = (begun.elapsed().as_secs(), status.success());
    let outcome = if success { "passed" } else { "FAILED" };
    if beside_others {
        let shown = if success { &[] } else { stderr.as_slice() };
        let text = [String::from_utf8_lossy(&stdout), String::from_utf8_lossy(shown)].concat();
        println!("-- {} {}\n{}", row.name, run.command, text.trim_end());
    }
    println!("-- {} {outcome} after {seconds} s", row.name);
    if success { Ok(()) } else { Err(format!("{} {}", row.name, run.command)) }
}

/// Runs a command line from the repository's root. Programs of this package are those that were built with this one: who
/// runs it out of `target/debug` has no release build to wait for.
fn shell(command: &str, quietly: bool) -> Result<Output, String> {
    let program = env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let beside = program.parent().unwrap_or(root()).display();
    let command = match command.split_once(RUN) {
        Some((before, rest)) => format!("{before}{beside}/{}", rest.replacen(" -- ", " ", 1)),
        None => command.to_owned(),
    };
    let mut shell = Command::new("bash");
    shell.args(["-c", &command]).current_dir(root());
    if !quietly {
        shell.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    }
    shell.output().map_err(|error| format!("bash: {error}"))
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
