//! The campaign of mutations: see `tests::mutate`.
//!
//! `mutate` tries each change until something notices it; those that are known to be harmless it leaves out. `mutate long`
//! tries harder, and these too. `mutate list` only lists the places. `mutate after FILE` reads what an earlier run has
//! printed, one that was stopped or has missed something, and does not try again what it caught. More words limit it to
//! places whose line contains one of them.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{fs, io};

use tests::evidence::Evidence;
use tests::mutate::{self, Change, Copy, Detector, Effort, HARMLESS, Kind, Place};

/// First few states and no recovery, then more.
const EFFORTS: [Effort; 3] =
    [Effort { samples: 12, every: 0 }, Effort { samples: 48, every: 0 }, Effort { samples: 24, every: 5 }];
/// What a long run adds.
const MORE: Effort = Effort { samples: 96, every: 1 };

/// What a run says before it tries the first change.
const BEGUN: &str = "without a change nothing is found";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Quick,
    Long,
}

#[derive(Default)]
struct Tally {
    mutants: u64,
    caught: u64,
    /// Of these, by an earlier run.
    before: u64,
    explained: u64,
    /// Places that matter in no mode in which they are come by.
    idle: u64,
    missed: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.mutants += other.mutants;
        self.caught += other.caught;
        self.before += other.before;
        self.explained += other.explained;
        self.idle += other.idle;
        self.missed.extend(other.missed);
    }
}

/// What each place is tried with.
#[derive(Clone, Copy)]
struct Trial<'a> {
    copy: &'a Copy,
    detectors: &'a [Detector],
    size: Size,
    before: &'a Before,
}

/// What earlier runs have caught: how often each change of a piece of code. Lines may have moved since.
#[derive(Default)]
struct Before {
    caught: HashMap<String, usize>,
    /// How many places there are of the same piece.
    places: HashMap<String, usize>,
}

impl Before {
    fn read(text: &str, places: &[Place]) -> Self {
        let mut before = Self::default();
        for place in places {
            *before.places.entry(without_line(&place.to_string())).or_default() += 1;
        }
        // Each run tells of a place once at most; several, one behind the other, may tell of the same.
        for run in text.split(BEGUN) {
            let mut caught: HashMap<String, usize> = HashMap::new();
            for line in run.lines() {
                let parts: Vec<&str> = line.splitn(4, " | ").collect();
                let [place, change, label, found] = parts.as_slice() else { continue };
                if *found != "MISSED" && !found.starts_with("explained") {
                    *caught.entry(key(place, change, label)).or_default() += 1;
                }
            }
            for (key, count) in caught {
                let most = before.caught.entry(key).or_default();
                *most = count.max(*most);
            }
        }
        before
    }

    /// Whether it was caught wherever the same piece stands.
    fn has(&self, place: &Place, change: Change, label: &str) -> bool {
        let place = place.to_string();
        let caught = self.caught.get(&key(&place, &format!("{change:?}"), label));
        caught.is_some_and(|caught| Some(caught) >= self.places.get(&without_line(&place)))
    }
}

fn key(place: &str, change: &str, label: &str) -> String {
    [&without_line(place), change, label].join(" | ")
}

/// `file:line function: code`, the line left out.
fn without_line(place: &str) -> String {
    let (file, rest) = place.split_once(':').unwrap_or((place, ""));
    [file, rest.trim_start_matches(|char: char| char.is_ascii_digit())].concat()
}

fn main() -> io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_word = |word: &str| words.iter().any(|known| known == word);
    let earlier = words.iter().skip_while(|word| *word != "after").nth(1);
    let is_place =
        |word: &&str| !["list", "long", "after"].contains(word) && earlier.is_none_or(|file| file != word);
    let only: Vec<&str> = words.iter().map(String::as_str).filter(is_place).collect();
    let wanted = |place: &Place| {
        let line = place.to_string();
        only.is_empty() || only.iter().any(|word| line.contains(word))
    };
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let places = mutate::find(&root.join("pobj/src"));
    let forgotten = mutate::uncovered(&root.join("pobj/src"), &places);
    if is_word("list") {
        places
            .iter()
            .for_each(|place| println!("{:4} {:8} {place}", place.number, format!("{:?}", place.kind)));
        forgotten.iter().for_each(|line| println!("no place: {line}"));
        return Ok(if forgotten.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let size = if is_word("long") { Size::Long } else { Size::Quick };
    let copy = Copy::make(&root.canonicalize()?, &places)?;
    let built = copy.build(&mutate::suites())?;
    let begun = Instant::now();
    let detectors = mutate::detectors(&copy, &built)?;
    println!("{BEGUN}, {} s", begun.elapsed().as_secs());
    let mut tally = Tally::default();
    tally.missed.extend(forgotten.iter().map(|line| format!("looks like a place and is in no list: {line}")));
    let chosen = Mutex::new(places.iter().filter(|place| wanted(place)));
    let next = || chosen.lock().unwrap_or_else(PoisonError::into_inner).next();
    let before = match earlier {
        Some(file) => Before::read(&fs::read_to_string(file)?, &places),
        None => Before::default(),
    };
    let trial = Trial { copy: &copy, detectors: &detectors, size, before: &before };
    let work = || -> io::Result<Tally> {
        let mut tally = Tally::default();
        while let Some(place) = next() {
            trial.try_place(place, &mut tally)?;
        }
        Ok(tally)
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let done: io::Result<Vec<Tally>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    done?.into_iter().for_each(|part| tally.add(part));
    if only.is_empty() {
        tally.missed.extend(mutate::stale(&places));
    }
    let violations = tally.missed.len() as u64;
    tally.missed.iter().for_each(|missed| println!("MISSED {missed}"));
    Evidence::of("R5", "each place that makes bytes durable or tests them, removed or moved")
        .with("places", places.len() as u64)
        .with("mutants", tally.mutants)
        .with("caught", tally.caught)
        .with("of these by an earlier run", tally.before)
        .with("explained", tally.explained)
        .with("places that only other media need", tally.idle)
        .violations(violations)
        .note("mutants count once for each mode; the list is printed by the command")
        .tell(begun.elapsed());
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Trial<'_> {
    fn try_place(&self, place: &Place, tally: &mut Tally) -> io::Result<()> {
        let modes = match place.kind {
            // Tests are the same in all modes.
            Kind::Test => [String::new()].into(),
            _ => mutate::modes(place, self.detectors),
        };
        if modes.is_empty() {
            note_unmet(place, tally);
        }
        let applies = |change: &Change| modes.iter().any(|mode| mutate::applies(place.kind, *change, mode));
        if !modes.is_empty() && !place.kind.changes().iter().any(applies) {
            println!(
                "{place} | nothing to change in {}",
                modes.iter().cloned().collect::<Vec<_>>().join(", ")
            );
            tally.idle += 1;
        }
        for mode in &modes {
            for change in place.kind.changes() {
                if mutate::applies(place.kind, *change, mode) {
                    self.try_change(place, *change, mode, tally)?;
                }
            }
        }
        Ok(())
    }

    fn try_change(&self, place: &Place, change: Change, mode: &str, tally: &mut Tally) -> io::Result<()> {
        let label = if mode.is_empty() { "all modes" } else { mode };
        let known = HARMLESS.iter().find(|known| known.covers(place, change, mode));
        tally.mutants += 1;
        if let (Some(known), Size::Quick) = (known, self.size) {
            tally.explained += 1;
            println!("{place} | {change:?} | {label} | explained: {}", known.why);
            return Ok(());
        }
        if known.is_none() && self.before.has(place, change, label) {
            tally.caught += 1;
            tally.before += 1;
            return Ok(());
        }
        match (self.noticed(place, change, mode)?, known) {
            (Some((by, found)), None) => {
                tally.caught += 1;
                let found: String = found.chars().take(90).collect();
                println!("{place} | {change:?} | {label} | {by}: {found}");
            }
            (None, Some(known)) => {
                tally.explained += 1;
                println!("{place} | {change:?} | {label} | explained: {}", known.why);
            }
            (Some((by, _)), Some(known)) => {
                tally
                    .missed
                    .push(format!("{place} {change:?} {label}: `{}` is wrong, {by} notices", known.why));
            }
            (None, None) => {
                println!("{place} | {change:?} | {label} | MISSED");
                tally.missed.push(format!("{place} | {change:?} | {label}"));
            }
        }
        Ok(())
    }

    /// The first that notices a change, and what it says. What takes little time is tried first.
    fn noticed(&self, place: &Place, change: Change, mode: &str) -> io::Result<Option<(String, String)>> {
        let [first, more, recoveries] = EFFORTS;
        let long = (self.size == Size::Long).then_some(Turn::Scripts(MORE));
        let turns = [
            Turn::Scripts(first),
            Turn::Suites { quick: true },
            Turn::Scripts(more),
            Turn::Scripts(recoveries),
            Turn::Suites { quick: false },
        ];
        for turn in turns.into_iter().chain(long) {
            let effort = if let Turn::Scripts(effort) = turn { effort } else { first };
            for detector in self.detectors.iter().filter(|known| self.has_turn(known, turn, place, mode)) {
                if let Some(found) = detector.notices(self.copy, place, change, effort)? {
                    return Ok(Some((format!("{} {}", detector.mode, detector.name), found)));
                }
            }
        }
        Ok(None)
    }

    fn has_turn(&self, detector: &Detector, turn: Turn, place: &Place, mode: &str) -> bool {
        match turn {
            Turn::Scripts(effort) => {
                let wanted = effort.every == 0 || detector.is_small() || self.size == Size::Long;
                detector.is_script() && wanted && detector.concerns(place, mode)
            }
            // Of each mode: some places matter to several threads only, and scripts have one. What is the same in all
            // modes need not be tried with threads too.
            Turn::Suites { quick } => {
                let wanted = !mode.is_empty() || !detector.mode.starts_with("share");
                !detector.is_script()
                    && detector.is_quick() == quick
                    && wanted
                    && detector.concerns(place, "")
            }
        }
    }
}

/// A part of the detectors.
#[derive(Clone, Copy)]
enum Turn {
    Scripts(Effort),
    Suites { quick: bool },
}

fn note_unmet(place: &Place, tally: &mut Tally) {
    for change in place.kind.changes() {
        tally.mutants += 1;
        match HARMLESS.iter().find(|known| known.covers(place, *change, "")) {
            Some(known) => {
                tally.explained += 1;
                println!("{place} {change:?}: explained, {}", known.why);
            }
            None => tally.missed.push(format!("{place} {change:?}: no suite comes by")),
        }
    }
}
