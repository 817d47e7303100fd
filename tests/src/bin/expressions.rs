//! The campaign of changed expressions (R5): every mutant of `cargo mutants` in the journal, the heap, and opening and
//! creating must be noticed by a test, or be named in `tests/mutants.txt` with the reason why nothing can notice it.
//!
//! `expressions` tries each with the unit tests of its own module, which takes seconds, and what these miss with the suites
//! that `.cargo/mutants.toml` names. All of that takes hours, so what is decided is not tried again: runs leave their results in
//! `target/mutants`, and `tests/evidence/expressions.txt` lists the mutants that were noticed, which the program
//! writes anew where `POBJ_EVIDENCE` says. `expressions again` does not read that list; `expressions judge` tries
//! nothing. More words limit it to mutants whose names contain one of them, for example `heap/runs.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use ::tests::evidence::Evidence;
use ::tests::named::Names;
use serde::Deserialize;

/// Of a thousand mutants that compile.
const CAUGHT_MIN: u64 = 950;
/// Where, and the unit tests that know it best.
const AREAS: [(&str, &str); 4] = [
    ("pobj/src/journal/", "journal::"),
    ("pobj/src/heap/", "heap::"),
    ("pobj/src/pool/open.rs", "pool::"),
    ("pobj/src/pool/create.rs", "pool::"),
];
/// Mutants that loop for ever must be ended: seconds for unit tests, and for suites.
const TIMEOUTS: [&str; 2] = ["12", "240"];

/// One mutant, as the tool names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Mutant {
    /// `path:line:column: what is changed`.
    name: String,
    file: String,
    span: Span,
    /// The line of source.
    #[serde(skip)]
    line: String,
    /// What it is called where lines may move: path, line of source, change, and which of several like it.
    #[serde(skip)]
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Span {
    start: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Place {
    line: usize,
}

/// What became of it. The later ones say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Untried,
    Missed,
    /// It does not end.
    Timeout,
    Caught,
    /// It does not compile.
    Unviable,
}

/// What the list of those that were noticed calls them.
const DECIDED: [(Fate, &str); 3] =
    [(Fate::Caught, "caught"), (Fate::Timeout, "endless"), (Fate::Unviable, "unviable")];

/// The tool's file of results.
#[derive(Deserialize)]
struct Report {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: String,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Mutant),
}

fn main() -> Result<ExitCode, String> {
    let begun = Instant::now();
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let root = fs::canonicalize(root).map_err(|error| format!("{}: {error}", root.display()))?;
    let (orders, words): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|word| ["again", "judge"].contains(&word.as_str()));
    let ordered = |order: &str| orders.iter().any(|word| word == order);
    let mut campaign = Campaign { kept: root.join("target/mutants"), root, known: BTreeMap::new() };
    let mut all = campaign.list()?;
    look_up(&mut all, |path| fs::read_to_string(campaign.root.join(path)).unwrap_or_default());
    if !ordered("again") {
        let text = fs::read_to_string(campaign.root.join("tests/evidence").join(LIST)).unwrap_or_default();
        campaign.known = known(&all, &text);
    }
    let wanted = |mutant: &&Mutant| words.is_empty() || words.iter().any(|word| mutant.name.contains(word));
    let mutants: Vec<Mutant> = all.iter().filter(wanted).cloned().collect();
    if !ordered("judge") {
        campaign.try_units(&mutants)?;
        campaign.try_suites(&mutants)?;
    }
    let fates = campaign.fates()?;
    if let Some(directory) = env::var_os("POBJ_EVIDENCE") {
        let file = Path::new(&directory).join(LIST);
        fs::write(&file, list(&all, &fates)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let names = Names::read(&campaign.root.join("tests/mutants.txt"), 2)?;
    let verdict = Verdict::of(&mutants, &fates, names);
    let before = mutants.iter().filter(|mutant| campaign.known.contains_key(&mutant.name)).count();
    Ok(verdict.tell(begun, words.is_empty(), before as u64))
}

/// The file that lists the mutants that were noticed.
const LIST: &str = "expressions.txt";

/// Finds the mutants' lines, and what they are called.
fn look_up(mutants: &mut [Mutant], read: impl Fn(&str) -> String) {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for Mutant { name, file, span, line, key } in mutants {
        let source = sources.entry(file.clone()).or_insert_with(|| read(file));
        *line = source.lines().nth(span.start.line - 1).unwrap_or_default().trim().to_owned();
        let change = name.splitn(4, ':').last().unwrap_or_default().trim();
        let alike = format!("{file} | {line} | {change}");
        let number = seen.entry(alike.clone()).or_default();
        *number += 1;
        *key = format!("{alike} | {number}");
    }
}

fn list(mutants: &[Mutant], fates: &BTreeMap<String, Fate>) -> String {
    let line = |mutant: &Mutant| {
        let fate = fates.get(&mutant.name)?;
        let (_, word) = DECIDED.iter().find(|(known, _)| known == fate)?;
        Some(format!("{word} | {}\n", mutant.key))
    };
    mutants.iter().filter_map(line).collect()
}

/// What a list says of the mutants there are.
fn known(mutants: &[Mutant], list: &str) -> BTreeMap<String, Fate> {
    let lines = list.lines().filter_map(|line| line.split_once(" | "));
    let words: BTreeMap<&str, &str> = lines.map(|(word, key)| (key, word)).collect();
    let fate = |mutant: &Mutant| {
        let said = words.get(mutant.key.as_str())?;
        let (fate, _) = DECIDED.iter().find(|(_, word)| word == said)?;
        Some((mutant.name.clone(), *fate))
    };
    mutants.iter().filter_map(fate).collect()
}

struct Campaign {
    root: PathBuf,
    /// Where results lie: a directory for each run.
    kept: PathBuf,
    /// What the list says, by the mutants' names.
    known: BTreeMap<String, Fate>,
}

impl Campaign {
    fn tool(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.arg("mutants").current_dir(&self.root).env_remove("POBJ_EVIDENCE");
        cargo
    }

    /// All mutants there are.
    fn list(&self) -> Result<Vec<Mutant>, String> {
        let output = self.tool().args(["--list", "--json"]).output();
        let output = output.map_err(|error| format!("cargo mutants: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo mutants --list: {}", String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("the list of mutants: {error}"))
    }

    /// Tries those that no run has decided with the unit tests of their modules.
    fn try_units(&self, mutants: &[Mutant]) -> Result<(), String> {
        for (place, tests) in AREAS {
            let fates = self.fates()?;
            let open = |mutant: &&Mutant| mutant.file.starts_with(place) && !fates.contains_key(&mutant.name);
            let open: Vec<&Mutant> = mutants.iter().filter(open).collect();
            let arguments = ["--no-config", "-p", "pobj", "--features", "sim", "-C=--lib"];
            // Built without optimization, they are ready sooner than they would run faster.
            let settings = [("CARGO_PROFILE_DEV_OPT_LEVEL", "0"), ("POBJ_PATIENCE", "4")];
            self.run(&open, TIMEOUTS[0], &settings, &arguments, &["--", "--", tests])?;
        }
        Ok(())
    }

    /// Tries those that the unit tests have missed with everything.
    fn try_suites(&self, mutants: &[Mutant]) -> Result<(), String> {
        let fates = self.fates()?;
        let missed = |mutant: &&Mutant| fates.get(&mutant.name) == Some(&Fate::Missed);
        let missed: Vec<&Mutant> = mutants.iter().filter(missed).collect();
        self.run(&missed, TIMEOUTS[1], &[], &[], &[])
    }

    /// One run of the tool. Its results are found by [`fates`](Self::fates).
    fn run(
        &self,
        mutants: &[&Mutant],
        timeout: &str,
        settings: &[(&str, &str)],
        arguments: &[&str],
        tests: &[&str],
    ) -> Result<(), String> {
        if mutants.is_empty() {
            return Ok(());
        }
        let number = fs::read_dir(&self.kept).map_or(0, Iterator::count);
        let directory = self.kept.join(format!("run-{number}"));
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let mut cargo = self.tool();
        cargo.args(arguments).args(["--timeout", timeout, "-j", &jobs, "--no-shuffle", "-o"]).arg(&directory);
        let mut files: Vec<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
        files.dedup();
        cargo.args(files.iter().flat_map(|file| ["-f", file]));
        cargo.args(mutants.iter().map(|mutant| format!("-F=^{}$", escape(&mutant.name))));
        cargo.args(tests).envs(settings.iter().copied());
        cargo.envs([("CARGO_PROFILE_DEV_DEBUG", "0"), ("CARGO_INCREMENTAL", "1")]);
        let status = cargo.status().map_err(|error| format!("cargo mutants: {error}"))?;
        match status.code() {
            // Everything caught; something missed; something that never ended.
            Some(0 | 2 | 3) => Ok(()),
            _ => Err(format!("cargo mutants: {status}")),
        }
    }

    /// What all runs have found. Of two results the better counts: what one suite misses, another one may catch.
    fn fates(&self) -> Result<BTreeMap<String, Fate>, String> {
        let mut fates = self.known.clone();
        let Ok(runs) = fs::read_dir(&self.kept) else { return Ok(fates) };
        for run in runs.flatten() {
            let file = run.path().join("mutants.out/outcomes.json");
            // A run that was stopped before its first result.
            if !file.exists() {
                continue;
            }
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            note(&mut fates, &text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(fates)
    }
}

fn note(fates: &mut BTreeMap<String, Fate>, outcomes: &str) -> Result<(), serde_json::Error> {
    let report: Report = serde_json::from_str(outcomes)?;
    for outcome in report.outcomes {
        let Scenario::Mutant(mutant) = outcome.scenario else { continue };
        let fate = match outcome.summary.as_str() {
            "CaughtMutant" => Fate::Caught,
            "MissedMutant" => Fate::Missed,
            "Timeout" => Fate::Timeout,
            "Unviable" => Fate::Unviable,
            _ => Fate::Untried,
        };
        let known = fates.entry(mutant.name).or_insert(fate);
        *known = fate.max(*known);
    }
    Ok(())
}

/// As a regular expression that only this text fits.
fn escape(text: &str) -> String {
    let escaped =
        |char: char| if r".^$*+?()[]{}|\".contains(char) { format!("\\{char}") } else { char.into() };
    text.chars().map(escaped).collect()
}

/// What came of it.
#[derive(Debug, Default)]
struct Verdict {
    mutants: u64,
    viable: u64,
    caught: u64,
    endless: u64,
    named: u64,
    missed: Vec<String>,
    wrong: Vec<String>,
}

impl Verdict {
    fn of(mutants: &[Mutant], fates: &BTreeMap<String, Fate>, mut names: Names) -> Self {
        let mut verdict = Self { mutants: mutants.len() as u64, ..Self::default() };
        for mutant in mutants {
            let fate = fates.get(&mutant.name).copied().unwrap_or(Fate::Untried);
            verdict.viable += u64::from(fate != Fate::Unviable);
            match fate {
                Fate::Unviable => {}
                Fate::Caught => verdict.caught += 1,
                Fate::Timeout => verdict.endless += 1,
                Fate::Untried => verdict.wrong.push(format!("not tried: {}", mutant.name)),
                Fate::Missed => {
                    let Mutant { name, file, line, .. } = mutant;
                    if names.has(file, &[line, name]) {
                        verdict.named += 1;
                    } else {
                        verdict.missed.push(format!("{name}\n    {line}"));
                    }
                }
            }
        }
        verdict
            .wrong
            .extend(names.unused().map(|name| format!("named, and no such mutant is missed: {name}")));
        verdict
    }

    fn tell(self, begun: Instant, whole: bool, before: u64) -> ExitCode {
        self.missed.iter().for_each(|missed| println!("MISSED {missed}"));
        if !whole {
            println!("{} mutants, {} missed", self.mutants, self.missed.len());
            return if self.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        self.wrong.iter().for_each(|wrong| println!("{wrong}"));
        let noticed = self.caught + self.endless;
        let enough = noticed * 1000 >= self.viable * CAUGHT_MIN;
        let note = "as `cargo mutants` makes them; what never ends is noticed by whoever waits for it";
        Evidence::of("R5", "each expression of journal, heap, opening and creating, changed")
            .with("mutants", self.mutants)
            .with("that compile", self.viable)
            .with("caught", self.caught)
            .with("that never end", self.endless)
            .with("of these decided by an earlier run", before)
            .with("explained", self.named)
            .violations((self.missed.len() + self.wrong.len()) as u64 + u64::from(!enough))
            .note(note)
            .tell(begun.elapsed());
        let good = self.missed.is_empty() && self.wrong.is_empty() && enough;
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, summary: &str) -> String {
        format!(
            r#"{{"scenario":{{"Mutant":{{"name":"{name}","file":"a.rs","span":{{"start":{{"line":1,"column":1}}}}}}}},"summary":"{summary}"}}"#
        )
    }

    /// Would catch a mutant that nothing noticed and that passes, one that was not tried, and a reason for nothing.
    #[test]
    fn what_is_missed_must_be_named() {
        let outcomes = [
            r#"{"scenario":"Baseline","summary":"Success"}"#.to_owned(),
            outcome("caught", "CaughtMutant"),
            outcome("endless", "Timeout"),
            outcome("invalid", "Unviable"),
            outcome("known", "MissedMutant"),
            outcome("lost", "MissedMutant"),
            outcome("late", "MissedMutant"),
        ];
        let mut fates = BTreeMap::new();
        note(&mut fates, &format!(r#"{{"outcomes":[{}]}}"#, outcomes.join(","))).unwrap();
        note(&mut fates, &format!(r#"{{"outcomes":[{}]}}"#, outcome("late", "CaughtMutant"))).unwrap();
        let mutant = |name: &str| Mutant {
            name: name.to_owned(),
            file: "a.rs".to_owned(),
            span: Span { start: Place { line: 1 } },
            line: String::new(),
            key: String::new(),
        };
        let mut mutants = ["caught", "endless", "invalid", "known", "lost", "late", "untried"].map(mutant);
        look_up(&mut mutants, |_| "the line\n".to_owned());
        assert_eq!(mutants[0].key, "a.rs | the line | caught | 1");
        let list = list(&mutants, &fates);
        assert_eq!(list.lines().count(), 4);
        let expected = [("caught", Fate::Caught), ("endless", Fate::Timeout), ("invalid", Fate::Unviable)];
        let expected = expected.into_iter().chain([("late", Fate::Caught)]);
        assert_eq!(known(&mutants, &list), expected.map(|(name, fate)| (name.to_owned(), fate)).collect());
        let names =
            Names::parse("a.rs | the line | known | it is so\na.rs | the line | unknown | it was\n", 2);
        let verdict = Verdict::of(&mutants, &fates, names.unwrap());
        assert_eq!((verdict.mutants, verdict.viable, verdict.caught), (7, 6, 2));
        assert_eq!((verdict.endless, verdict.named), (1, 1));
        assert_eq!(verdict.missed, ["lost\n    the line"]);
        let wrong = ["not tried: untried", "named, and no such mutant is missed: a.rs: the line | unknown"];
        assert_eq!(verdict.wrong, wrong);
        assert_eq!(escape("a.rs:1: (b) < c"), r"a\.rs:1: \(b\) < c");
    }
}
