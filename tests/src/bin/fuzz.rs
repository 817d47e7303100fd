//! Runs the fuzz targets (row R11), one after the other, under AddressSanitizer: `fuzz [--seconds N] [--target T] [--keep]`, so
//! many seconds each. What is new is put beside the corpus of the repository only with `--keep`; then make it small again
//! with `cargo +nightly fuzz cmin T` in `fuzz/`.
//!
//! A finding is an input in `fuzz/artifacts`; it becomes a test in `tests/tests/fuzz_found.rs`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tests::evidence::Evidence;
use tests::fuzz::{TARGETS, corpus};

/// Longest input, in bytes.
const LEN_MAX: u64 = 2048;
/// One input may take so many seconds, on a busy machine too.
const TIMEOUT: u64 = 30;
/// Lines of a finding that are told.
const TOLD: usize = 60;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(violations) => {
            eprintln!("{violations} findings");
            ExitCode::FAILURE
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u64, String> {
    let (mut seconds, mut only, mut keep) = (60, None, false);
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--seconds" => seconds = value()?.parse().map_err(|error| format!("--seconds: {error}"))?,
            "--target" => only = Some(value()?),
            "--keep" => keep = true,
            _ => return Err("usage: fuzz [--seconds N] [--target T] [--keep]".to_owned()),
        }
    }
    let mut violations = 0;
    for (target, _) in TARGETS.iter().filter(|(target, _)| only.as_deref().is_none_or(|only| only == *target))
    {
        build(target)?;
        violations += fuzz(target, seconds, keep)?;
    }
    Ok(violations)
}

fn cargo_fuzz(verb: &str, target: &str) -> Command {
    let mut command = Command::new("cargo");
    // Not what `cargo run` has set for this program.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR");
    command.args(["+nightly", "fuzz", verb, target]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz"));
    command
}

/// So that compiling is no part of the time.
fn build(target: &str) -> Result<(), String> {
    let status =
        cargo_fuzz("build", target).stderr(Stdio::null()).status().map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{target} does not build: try cargo +nightly fuzz build"))
    }
}

fn fuzz(target: &str, seconds: u64, keep: bool) -> Result<u64, String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let fresh: PathBuf = if keep { corpus(target) } else { scratch.path().to_owned() };
    let mut folders: Vec<OsString> = vec![fresh.into()];
    folders.extend((!keep).then(|| corpus(target).into()));
    let begun = Instant::now();
    let mut command = cargo_fuzz("run", target);
    command.args(folders).args([
        "--".to_owned(),
        format!("-max_total_time={seconds}"),
        format!("-max_len={LEN_MAX}"),
        format!("-timeout={TIMEOUT}"),
        "-print_final_stats=1".to_owned(),
        "-rss_limit_mb=4096".to_owned(),
    ]);
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let violations = u64::from(!output.status.success());
    if violations > 0 {
        let lines: Vec<&str> = text.lines().collect();
        println!("{}", lines[lines.len().saturating_sub(TOLD)..].join("\n"));
    }
    tell(target, &text, violations, begun.elapsed());
    Ok(violations)
}

/// The number behind the last `name` in libFuzzer's words.
fn last(text: &str, name: &str) -> u64 {
    let found = text.rfind(name).map(|at| text[at + name.len()..].trim_start());
    found.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).unwrap_or(0)
}

fn tell(target: &str, text: &str, violations: u64, took: Duration) {
    let kept = std::fs::read_dir(corpus(target)).map_or(0, |inputs| inputs.count() as u64);
    Evidence::of("R11", format!("target {target}"))
        .with("executions", last(text, "stat::number_of_executed_units:"))
        .with("executions a second", last(text, "stat::average_exec_per_sec:"))
        .with("edges covered", last(text, " cov: "))
        .with("features", last(text, " ft: "))
        .with("inputs kept in the repository", kept)
        .with("most memory in MiB", last(text, "stat::peak_rss_mb:"))
        .violations(violations)
        .note("libFuzzer under AddressSanitizer, one process")
        .tell(took);
}
