//! The house, as a test: floors import downward only, `unsafe` stays at its two ends, files stay small and say
//! what they are for, sources are ASCII.
//!
//! Catches the drift that no compiler sees: a low module that learns of a high one, an `unsafe` block in the middle,
//! a file that needs "and" in its header.

use std::fs;
use std::path::{Path, PathBuf};

use tests::mutate;

/// The floors of `pobj/src`, lowest first. A module imports from lower floors and its own only.
const FLOORS: [&str; 11] = [
    "ground",
    "media",
    "pmem",
    "layout",
    "journal",
    "heap",
    "pool",
    "tx",
    "typed",
    "collections",
    FACILITIES,
];
/// Stands for each of these, which may not import each other either.
const FACILITIES: &str = "kv, log, blk";
/// The floors that may hold `unsafe`: the raw end and the typed end.
const UNSAFE_FLOORS: [&str; 3] = ["media", "layout", "typed"];
/// Files may be so long, tests not counted.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&root().join(under), &mut files);
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The text before the unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// Lines of code: no comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    without_tests(text).lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn floor_of(path: &Path) -> Option<usize> {
    let relative = path.strip_prefix(root().join("pobj/src")).ok()?;
    let first = relative.components().next()?.as_os_str().to_str()?;
    let first = first.trim_end_matches(".rs");
    FLOORS.iter().position(|floor| floor.split(", ").any(|name| name == first))
}

/// Complaints about imports that go up, in one file.
fn upward_imports(path: &Path, text: &str) -> Vec<String> {
    let Some(floor) = floor_of(path) else { return Vec::new() };
    let mut complaints = Vec::new();
    for (number, line) in code_lines(text) {
        let strangers =
            FACILITIES.split(", ").filter(|name| !path.starts_with(root().join("pobj/src").join(name)));
        for name in FLOORS.iter().skip(floor + 1).copied().chain(strangers) {
            if line.contains(&format!("crate::{name}::")) || line.contains(&format!("crate::{name};")) {
                complaints.push(format!(
                    "{}:{}: floor `{}` imports from `{name}`, which is not below it",
                    path.display(),
                    number + 1,
                    FLOORS[floor]
                ));
            }
        }
    }
    complaints
}

/// Complaints about `unsafe` outside its floors, in one file.
fn stray_unsafe(path: &Path, text: &str) -> Vec<String> {
    if floor_of(path).is_some_and(|floor| UNSAFE_FLOORS.contains(&FLOORS[floor])) {
        return Vec::new();
    }
    code_lines(text)
        .filter(|(_, line)| {
            let line = line.replace("unsafe_", "").replace("_unsafe", "");
            line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl")
        })
        .map(|(number, _)| format!("{}:{}: `unsafe` outside {UNSAFE_FLOORS:?}", path.display(), number + 1))
        .collect()
}

fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn floors_import_downward_only() {
    let complaints: Vec<_> =
        sources("pobj/src").iter().flat_map(|(path, text)| upward_imports(path, text)).collect();
    report(&complaints);
}

#[test]
fn unsafe_stays_at_its_ends() {
    let complaints: Vec<_> =
        sources("pobj/src").iter().flat_map(|(path, text)| stray_unsafe(path, text)).collect();
    report(&complaints);
}

/// A rule that cannot fail is no rule.
#[test]
fn the_rules_catch_planted_breaches() {
    let low = root().join("pobj/src/ground/planted.rs");
    assert_eq!(upward_imports(&low, "use crate::heap::Heap;\n").len(), 1);
    assert_eq!(upward_imports(&low, "use crate::ground::error::Error;\n").len(), 0);
    let middle = root().join("pobj/src/journal/planted.rs");
    assert_eq!(stray_unsafe(&middle, "fn f() { unsafe { g() } }\n").len(), 1);
    assert_eq!(stray_unsafe(&root().join("pobj/src/media/planted.rs"), "unsafe { g() }\n").len(), 0);
}

#[test]
fn every_unsafe_block_says_why() {
    let mut complaints = Vec::new();
    for (path, text) in sources("pobj/src") {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in code_lines(&text) {
            let opens = line.contains("unsafe {") || line.contains("unsafe impl");
            let before = &lines[number.saturating_sub(12)..=number];
            if opens && !before.iter().any(|line| line.contains("SAFETY:")) {
                complaints.push(format!("{}:{}: no SAFETY comment", path.display(), number + 1));
            }
        }
    }
    report(&complaints);
}

#[test]
fn files_are_short_and_introduce_themselves() {
    let mut complaints = Vec::new();
    for dir in ["pobj/src", "pobj-derive/src", "examples/src", "benches/src", "tests/src", "tests/tests"] {
        for (path, text) in sources(dir) {
            let lines = without_tests(&text).lines().count();
            if lines > LINES_MAX && dir != "tests/tests" {
                complaints.push(format!("{}: {lines} lines, {LINES_MAX} at most", path.display()));
            }
            if !text.starts_with("//!") && !text.starts_with("#!") {
                complaints.push(format!("{}: no `//!` header", path.display()));
            }
        }
    }
    report(&complaints);
}

#[test]
fn sources_are_ascii() {
    let mut complaints = Vec::new();
    for dir in ["pobj", "pobj-derive", "examples", "benches", "tests"] {
        for (path, text) in sources(dir) {
            if let Some((number, _)) = text.lines().enumerate().find(|(_, line)| !line.is_ascii()) {
                complaints.push(format!("{}:{}: not ASCII", path.display(), number + 1));
            }
        }
    }
    report(&complaints);
}

/// Else the campaign would stop, or leave something out, when somebody runs it next.
#[test]
fn the_places_of_the_mutation_campaign_are_those_of_the_sources() {
    let sources = root().join("pobj/src");
    let places = mutate::find(&sources);
    report(&[mutate::uncovered(&sources, &places), mutate::stale(&places)].concat());
}
