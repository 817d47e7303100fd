//! Runs a crash script in a copy of pobj in which the environment has changed a place (see `tests::mutate`), and says
//! whether the crash harness notices.
//!
//! `place_child MODE SCRIPT SAMPLES EVERY` prints what was noticed, or nothing. Recovery is cut at every how many-th cut;
//! with 0 only the script is, from where the change took effect.
//! `place_child met COUNT` prints, for each mode and script, the places that it comes by, and those that so many
//! recoveries do.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pobj::Pool;
use pobj::media::sim::{Presence, place};
use tests::crash::{Checker, Effort, History, Mode, run, scripts};

fn main() -> Result<(), Box<dyn Error>> {
    tests::support::panics::note_panics();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["met", recoveries] => met(recoveries.parse()?),
        [mode, script, samples, every] => {
            let mode =
                Mode::ALL.into_iter().find(|known| format!("{known:?}") == *mode).ok_or("no such mode")?;
            let script =
                scripts::all().into_iter().find(|(name, _)| name == script).ok_or("no such script")?;
            if let Some(found) = noticed(mode, &script.1, samples.parse()?, every.parse()?) {
                println!("{}", found.lines().next().unwrap_or("something"));
            }
        }
        _ => return Err("usage: place_child MODE SCRIPT SAMPLES EVERY | met COUNT".into()),
    }
    Ok(())
}

fn effort(samples: usize, every: usize) -> Effort {
    let recover_every = Some(every.max(1));
    Effort { stop_at_first: true, recover_every, recovery_samples: samples / 2, ..Effort::quick(samples, 7) }
}

/// What the harness finds wrong: in the run itself, after a cut of it, or in a recovery.
fn noticed(mode: Mode, script: &[tests::crash::Action], samples: usize, every: usize) -> Option<String> {
    let looked = catch_unwind(AssertUnwindSafe(|| {
        let history = run(mode, script, &[]);
        if let Some(error) = &history.error {
            return Some(format!("the script fails: {error}"));
        }
        if history.media.first_hit().is_none() && every == 0 {
            return None;
        }
        let first = Checker::of(&history, effort(samples, usize::MAX)).check_planted();
        if first.violation_count > 0 || every == 0 {
            return first.violations.first().cloned();
        }
        // What the script itself leaves was tried above, unless the change takes effect in recoveries only.
        let states = if history.media.first_hit().is_some() { 400 } else { usize::MAX };
        let whole = Checker::of(&history, Effort { states, ..effort(samples, every) }).check();
        whole.violations.first().cloned()
    }));
    looked.unwrap_or_else(|_| Some("the script panics".to_owned()))
}

fn met(recoveries: usize) {
    for mode in Mode::ALL {
        for (name, script) in scripts::all() {
            let _ = place::met();
            let history = run(mode, &script, &[]);
            let ran = place::met();
            recover(&history, recoveries);
            let list = |places: Vec<usize>| places.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
            println!("{mode:?};{name};{};{}", list(ran), list(place::met()));
        }
    }
}

/// Opens what kills and power cuts leave, at so many moments.
fn recover(history: &History, recoveries: usize) {
    let trace = history.media.trace();
    let every = (trace.events().len() / recoveries).max(1);
    let mut cuts = trace.cuts();
    while let Some(point) = cuts.next() {
        if point.presence() != Presence::Present || point.index() % every != 0 {
            continue;
        }
        let choices = point.choices(4, 7);
        let bytes = point.build(&choices[point.index() / every % choices.len()]);
        for media in [history.media.killed_at(point), history.media.with_bytes(bytes)] {
            let opened = history.mode.options().open_on(Arc::new(media));
            opened.and_then(Pool::close).expect("what a crash leaves is opened");
        }
    }
}
