//! Runs suites under the tools that watch the language's rules, and says what came of it (R13):
//! `language {miri|address|thread|loom} [all]`.
//!
//! The tools end a test at what they find, so a finding is a failed test; what they print of it is counted too. Nothing is
//! suppressed. What a tool cannot run at all is left out of its list, with the reason beside it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, fs};

use ::tests::evidence::Evidence;

/// A tool, and what it runs.
struct Tool {
    name: &'static str,
    what: &'static str,
    environment: &'static [(&'static str, &'static str)],
    /// Where it builds, under `target`; empty where it chooses.
    target: &'static str,
    cargo: &'static [&'static str],
    /// What each change runs.
    few: &'static [&'static str],
    all: &'static [&'static str],
    note: &'static str,
}

const TARGET: &str = "x86_64-unknown-linux-gnu";

const TOOLS: [Tool; 4] = [
    Tool {
        name: "miri",
        what: "Miri, pools in memory",
        // Persistent pointers are integers in the pool (design, paragraph 4): their provenance is exposed when the image is
        // made, which strict provenance refuses by definition, and Tree Borrows does not support.
        environment: &[("MIRIFLAGS", "-Zmiri-permissive-provenance")],
        target: "",
        cargo: &["+nightly", "miri", "test", "-p", "pobj"],
        few: &["--test", "memory", "--test", "memory_types"],
        // Without: what maps files, forks or starts processes, which Miri cannot.
        all: &[
            "--test",
            "memory",
            "--test",
            "memory_types",
            "--test",
            "cells",
            "--test",
            "collect",
            "--test",
            "shared",
            "--test",
            "collections_btree",
            "--test",
            "collections_bulk",
            "--test",
            "collections_deque",
            "--test",
            "collections_list",
            "--test",
            "collections_map",
            "--test",
            "collections_set",
            "--test",
            "collections_vec",
            "--test",
            "concurrent_map",
            "--test",
            "kv_hash",
            "--test",
            "kv_ordered",
            "--test",
            "log",
            "--test",
            "blk",
        ],
        note: "pointers in a pool are integers, so provenance is exposed; files cannot be mapped",
    },
    Tool {
        name: "address",
        what: "AddressSanitizer",
        // Suites that stand for a kill forget an open log, on purpose.
        environment: &[("RUSTFLAGS", "-Zsanitizer=address"), ("ASAN_OPTIONS", "detect_leaks=0")],
        target: "asan",
        cargo: &["+nightly", "test", "--target", TARGET, "-p", "pobj"],
        few: &["--test", "memory", "--test", "memory_types", "--test", "log", "--test", "blk"],
        // Without the documentation's examples, which rustdoc would build without the flag.
        all: &["--lib", "--tests"],
        note: "the pool's own blocks are not poisoned when they are freed: a stale use inside the image is validation's matter; leaks are not counted: suites that stand for a kill forget what is open",
    },
    Tool {
        name: "thread",
        what: "ThreadSanitizer, pools in memory",
        environment: &[("RUSTFLAGS", "-Zsanitizer=thread")],
        target: "tsan",
        // The standard library's own locks and channels must be watched too.
        cargo: &["+nightly", "test", "-Zbuild-std", "--target", TARGET, "-p", "pobj"],
        few: &["--test", "memory_types", "--test", "concurrent_map"],
        // Without what maps files: its places are chosen where ThreadSanitizer has no shadow.
        all: &[
            "--test",
            "memory_types",
            "--test",
            "concurrent_map",
            "--test",
            "kv_hash",
            "--test",
            "kv_ordered",
            "--test",
            "cells",
        ],
        note: "mapped pools lie at addresses that the tool does not shadow",
    },
    Tool {
        name: "loom",
        what: "loom: the gate, the locks, the chain of fences",
        environment: &[("RUSTFLAGS", "--cfg loom")],
        target: "loom",
        cargo: &["test", "-p", "pobj", "--lib", "--release", "loom_"],
        few: &[],
        all: &[],
        note: "",
    },
];

/// What the tools print of a finding.
const FINDINGS: [&str; 5] = [
    "Undefined Behavior:",
    "ERROR: AddressSanitizer",
    "ERROR: LeakSanitizer",
    "WARNING: ThreadSanitizer",
    "FATAL: ThreadSanitizer",
];

/// What came of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
    findings: u64,
    suites: u64,
}

impl Counts {
    fn note(&mut self, line: &str) {
        self.findings += u64::from(FINDINGS.iter().any(|finding| line.contains(finding)));
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let count = |name: &str| {
            let counted = result.split([';', '.']).find_map(|part| part.trim().strip_suffix(name));
            counted.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        self.suites += 1;
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (name, all) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [name] => (name, false),
        [name, "all"] => (name, true),
        _ => return usage(),
    };
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else { return usage() };
    let begun = Instant::now();
    let (counts, success) = run(tool, all);
    let violations = counts.findings.max(counts.failed).max(u64::from(!success));
    let size = if all { ", everything" } else { "" };
    Evidence::of("R13", format!("{}{size}", tool.what))
        .with("suites", counts.suites)
        .with("tests passed", counts.passed)
        .with("left out", counts.ignored)
        .violations(violations)
        .note(tool.note)
        .tell(begun.elapsed());
    // A filter that matches nothing passes nothing.
    if violations == 0 && counts.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("usage: language {{miri|address|thread|loom}} [all]");
    ExitCode::FAILURE
}

/// Runs the tool's suites, shows what they print, and counts it.
fn run(tool: &Tool, all: bool) -> (Counts, bool) {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let root = fs::canonicalize(root).expect("the repository");
    let mut command = Command::new("bash");
    command.args(["-c", "exec \"$@\" 2>&1", "bash", "cargo"]).args(tool.cargo);
    command.args(if all { tool.all } else { tool.few });
    if !tool.few.is_empty() {
        command.arg("--no-fail-fast");
    }
    command.current_dir(&root).stdout(Stdio::piped());
    command.envs(tool.environment.iter().copied());
    if !tool.target.is_empty() {
        command.env("CARGO_TARGET_DIR", root.join("target").join(tool.target));
    }
    // The one that started this program has chosen a toolchain for itself.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    let mut child = command.spawn().expect("bash");
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{line}");
            counts.note(&line);
        }
    }
    let success = child.wait().is_ok_and(|status| status.success());
    (counts, success)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch findings and tests that are not counted, so that nothing looks like success.
    #[test]
    fn what_the_tools_print_is_counted() {
        let mut counts = Counts::default();
        counts.note("test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        counts.note("==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x1");
        counts.note("error: Undefined Behavior: attempting a read access");
        counts.note("test a ... ok");
        assert_eq!(counts, Counts { passed: 12, failed: 1, ignored: 2, findings: 2, suites: 1 });
    }
}
