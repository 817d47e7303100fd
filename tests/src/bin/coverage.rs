//! Says which lines and branches of the journal, the heap, and opening and recovery no test runs (R14):
//! `coverage [LCOV-FILE]`, with a file that `cargo llvm-cov --lcov` has made before, or by running the tests now.
//!
//! A line that nothing runs must be named in `tests/coverage.txt`, with the reason why nothing can. The command fails on
//! lines that are not named there, on names that fit no such line, and on too few branches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use ::tests::evidence::Evidence;
use ::tests::named::Names;

/// What must be covered, by the beginnings of paths.
const PLACES: [&str; 4] =
    ["pobj/src/journal/", "pobj/src/heap/", "pobj/src/pool/open.rs", "pobj/src/pool/check.rs"];
/// Of a thousand branches.
const BRANCHES_MIN: u64 = 950;

/// How much the longest suites try, unless the environment says otherwise.
const SIZES: [(&str, &str); 3] =
    [("POBJ_DAMAGES", "2000"), ("POBJ_BITS_EVERY", "7"), ("POBJ_LIST", "100000")];

/// The suites whose matter this is: the unit tests, and those that commit, crash, damage, fill and recover.
const PACKAGES: [&[&str]; 2] = [
    &["-p", "pobj", "--lib"],
    &[
        "-p",
        "tests",
        "--test",
        "bad_files",
        "--test",
        "bad_bits",
        "--test",
        "crash_faults",
        "--test",
        "crash_planted",
        "--test",
        "crash_scripts",
        "--test",
        "crash_threads",
        "--test",
        "durability",
        "--test",
        "full_disk",
        "--test",
        "in_place",
        "--test",
        "large_transactions",
        "--test",
        "open_create",
        "--test",
        "share",
        "--test",
        "space",
        "--test",
        "trace_oracle",
        "--test",
        "transactions",
        "--test",
        "unlogged",
        "--test",
        "unsafe_shutdown",
    ],
];

fn main() -> ExitCode {
    let begun = Instant::now();
    let outcome = match env::args().nth(1) {
        Some(file) => Ok(PathBuf::from(file)),
        None => measure(),
    };
    let root = root();
    let text = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let judged = outcome.and_then(|lcov| {
        let names = Names::read(&root.join("tests/coverage.txt"), 1)?;
        let files = parse(&text(&lcov)?, &root);
        judge(&files, names, |path| text(&root.join(path)))
    });
    match judged {
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
        Ok(found) => found.tell(begun, env::args().nth(1).is_some()),
    }
}

fn root() -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf())
}

/// Runs the tests under the tool. Gives its file.
fn measure() -> Result<PathBuf, String> {
    let file = root().join("target/coverage.lcov");
    let run = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(["+nightly", "llvm-cov"]).args(arguments).current_dir(root());
        cargo.env("CARGO_TARGET_DIR", root().join("target/coverage"));
        cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
        // What the suites try here is a small part of what they have kept evidence of.
        cargo.env_remove("POBJ_EVIDENCE");
        // More of the same covers no more lines.
        for (name, size) in SIZES {
            if env::var_os(name).is_none() {
                cargo.env(name, size);
            }
        }
        let status = cargo.status().map_err(|error| format!("cargo llvm-cov: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("cargo llvm-cov {arguments:?}: {status}")) }
    };
    run(&["clean", "--workspace"])?;
    for package in PACKAGES {
        run(&[&["--branch", "--no-report", "--no-fail-fast"], package].concat())?;
    }
    let path = file.to_string_lossy().into_owned();
    run(&["report", "--branch", "--lcov", "--output-path", &path])?;
    Ok(file)
}

/// What one file's tests have run.
#[derive(Debug, Default)]
struct Counts {
    /// How often each line ran.
    lines: BTreeMap<usize, u64>,
    /// How often each branch was taken: of each line a few.
    branches: Vec<(usize, u64)>,
}

/// Reads the tool's file, for the places that matter, by path from the repository's root.
fn parse(lcov: &str, root: &Path) -> BTreeMap<String, Counts> {
    let mut files: BTreeMap<String, Counts> = BTreeMap::new();
    let mut path = String::new();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    for line in lcov.lines() {
        let (kind, rest) = line.split_once(':').unwrap_or((line, ""));
        if kind == "SF" {
            let full = Path::new(rest);
            path = full.strip_prefix(root).unwrap_or(full).to_string_lossy().into_owned();
        }
        let matters = PLACES.iter().any(|place| path.starts_with(place)) && !path.contains("/tests/");
        let fields: Vec<&str> = rest.split(',').collect();
        match (kind, &fields[..]) {
            ("DA", [line, count, ..]) if matters => {
                let counts = files.entry(path.clone()).or_default();
                *counts.lines.entry(number(line) as usize).or_default() += number(count);
            }
            ("BRDA", [line, _, _, count]) if matters => {
                files.entry(path.clone()).or_default().branches.push((number(line) as usize, number(count)));
            }
            _ => {}
        }
    }
    files
}

/// What came of it.
#[derive(Debug, Default)]
struct Found {
    lines: u64,
    covered: u64,
    named: u64,
    branches: u64,
    taken: u64,
    missing: Vec<String>,
    unused: Vec<String>,
}

fn judge(
    files: &BTreeMap<String, Counts>,
    mut names: Names,
    read: impl Fn(&Path) -> Result<String, String>,
) -> Result<Found, String> {
    let mut found = Found::default();
    for (path, counts) in files {
        let text = read(Path::new(path))?;
        let lines: Vec<&str> = text.lines().collect();
        // What a file tests itself with lies at its end, in a module.
        let begins = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        let own = lines.windows(2).position(begins);
        let own = own.unwrap_or(lines.len());
        for (number, count) in counts.lines.iter().filter(|(number, _)| **number <= own) {
            found.lines += 1;
            if *count > 0 {
                found.covered += 1;
                continue;
            }
            let line = lines.get(number - 1).copied().unwrap_or_default().trim();
            if line.chars().all(|char| ")]};?".contains(char)) {
                // The end of a condition that never fails: a branch, and counted there.
                found.lines -= 1;
                continue;
            }
            if names.has(path, &[line]) {
                found.named += 1;
            } else {
                found.missing.push(format!("{path}:{number}: {line}"));
            }
        }
        for (_, count) in counts.branches.iter().filter(|(number, _)| *number <= own) {
            found.branches += 1;
            found.taken += u64::from(*count > 0);
        }
    }
    found.unused = names.unused().collect();
    Ok(found)
}

impl Found {
    fn tell(self, begun: Instant, read: bool) -> ExitCode {
        self.missing.iter().for_each(|line| println!("never run, and not named: {line}"));
        self.unused.iter().for_each(|name| println!("named, and no such line is left out: {name}"));
        let taken = self.taken * 1000 / self.branches.max(1);
        let enough = self.branches > 0 && taken >= BRANCHES_MIN;
        Evidence::of("R14", "lines and branches of journal, heap and recovery")
            .with("lines", self.lines)
            .with("run", self.covered)
            .with("named as unreachable", self.named)
            .with("branches", self.branches)
            .with("of a thousand taken", taken)
            .violations(self.missing.len() as u64 + u64::from(!enough))
            .note(if read { "the suites had run before; the time is that of the judgement" } else { "" })
            .tell(begun.elapsed());
        let good = self.missing.is_empty() && self.unused.is_empty() && enough && self.lines > 0;
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a line that is not run and passes, a name that hides nothing, and own tests that are counted.
    #[test]
    fn lines_must_run_or_be_named() {
        let lcov = "SF:/r/pobj/src/heap/a.rs\nDA:1,3\nDA:2,0\nDA:3,0\nDA:4,0\nDA:10,0\nBRDA:1,0,0,1\nBRDA:1,0,1,-\nend_of_record\n\
                    SF:/r/pobj/src/kv/b.rs\nDA:1,0\nend_of_record\n";
        let files = parse(lcov, Path::new("/r"));
        assert_eq!(files.len(), 1);
        let text = "run();\nlost();\nimpossible();\n}\n#[cfg(test)]\nfn of_tests() {\n}\n#[cfg(test)]\nmod tests {\n    never();\n}\n";
        let names =
            "# why\npobj/src/heap/a.rs | impossible | it cannot be\npobj/src/heap/a.rs | run() | it was\n";
        let found = judge(&files, Names::parse(names, 1).unwrap(), |_| Ok(text.to_owned())).unwrap();
        assert_eq!((found.lines, found.covered, found.named), (3, 1, 1));
        assert_eq!(found.missing, ["pobj/src/heap/a.rs:2: lost();"]);
        assert_eq!(found.unused, ["pobj/src/heap/a.rs: run()"]);
        assert_eq!((found.branches, found.taken), (2, 1));
        assert!(Names::parse("a | b", 1).is_err());
    }
}
