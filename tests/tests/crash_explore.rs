//! The exploration itself: it tells the states that there are, finds what is planted, and says it in few words. Catches
//! an exploration that leaves states out, takes the verdict on one state for another's, or cannot fail.
//!
//! The campaign is a program: `cargo run --release -p tests --bin explore -- all`.

use std::collections::HashSet;

use pobj::Durability::{Eventual, Immediate};
use pobj::media::sim::{CrashPoint, Fault, Presence, fingerprint, skip_checksums};
use tests::crash::Mode;
use tests::crash::explore::{
    Chains, Deed, Explorer, Limits, Tally, random_script, shrink, tell, tell_from_threads,
};
use tests::workload::Op;
use tests::workload::every::Change;

const LIMITS: Limits = Limits { states: 128, point_every: 1, ..Limits::exhaustive(32, 7) };

fn script() -> Vec<Deed> {
    vec![
        Deed::Write(Change::MapInsert(1), Immediate),
        Deed::Abort(Change::VecPush(3)),
        Deed::Write(Change::TextPush, Eventual),
        Deed::Checkpoint,
        Deed::Write(Change::Boxes(Op::Push(2)), Immediate),
        Deed::Write(Change::CellSet, Immediate),
        Deed::Reopen,
        Deed::Write(Change::Boxes(Op::Pop(1)), Immediate),
    ]
}

fn explore(mode: Mode, script: &[Deed], faults: &[Fault]) -> Tally {
    Explorer::explore(&tell(mode, &[], script, faults), LIMITS, &|| format!("{script:?}"))
}

/// All states of a point, place by place.
fn by_places(point: &CrashPoint<'_>) -> Option<HashSet<u64>> {
    let mut all = HashSet::new();
    for variants in point.variants(1) {
        if variants.count() > 4096 || !variants.complete {
            return None;
        }
        let mut states = vec![variants.base.clone()];
        for place in &variants.places {
            let with = |state: &Vec<u8>| {
                let put = |content: &[u8]| {
                    let mut state = state.clone();
                    state[place.offset as usize..place.offset as usize + content.len()]
                        .copy_from_slice(content);
                    state
                };
                place.contents.iter().map(|content| put(content)).collect::<Vec<_>>()
            };
            states = states.iter().flat_map(with).collect();
            if states.len() > 128 {
                return None;
            }
        }
        all.extend(states.iter().map(|state| fingerprint(state)));
    }
    Some(all)
}

#[test]
fn the_places_of_a_point_tell_the_same_states_as_its_subsets() {
    let (mut compared, mut with_lengths) = (0, 0);
    for mode in Mode::ALL {
        let growing = [Deed::GrowAhead, Deed::Write(Change::Boxes(Op::SetHuge), Immediate), Deed::Reopen];
        let script = [&script()[..3], &growing].concat();
        let story = tell(mode, &[], &script, &[]);
        let trace = story.media.trace();
        let (mut cuts, mut last) = (trace.cuts(), None);
        while let Some(point) = cuts.next() {
            let pending = point.pending_count();
            if point.presence() == Presence::Absent || pending > 7 || last == Some(point.version()) {
                continue;
            }
            last = Some(point.version());
            let Some(by_places) = by_places(point) else { continue };
            // The torn ones come behind the subsets.
            let choices = point.choices(1 << pending, 1).into_iter().take(1 << pending);
            let by_subsets: HashSet<u64> = choices.map(|choice| fingerprint(&point.build(&choice))).collect();
            assert!(by_places == by_subsets, "{mode:?}, crash point {}: {pending} pending", point.index());
            compared += 1;
            with_lengths += usize::from(point.variants(1).len() > 1);
        }
    }
    println!("{compared} crash points compared, {with_lengths} with a pending length");
    assert!(compared > 100 && with_lengths > 5, "{compared}, {with_lengths}");
}

#[test]
fn sound_stories_have_no_violations() {
    let limits = Limits { states: 32, samples: 8, point_every: 4, ..LIMITS };
    for mode in Mode::ALL {
        let tally = explore(mode, &script(), &[]);
        println!("{mode:?}: {tally}");
        assert_eq!(tally.violation_count, 0, "{mode:?}: {tally}");
        assert!(tally.images > 500 && tally.opened > tally.used && tally.used > 20, "{mode:?}: {tally}");
        let story = tell_from_threads(mode, 5, 12);
        let tally = Explorer::explore(&story, limits, &|| "threads".to_owned());
        assert_eq!(tally.violation_count, 0, "{mode:?}, threads: {tally}");
    }
}

#[test]
fn chains_of_recoveries_have_no_violations_and_reach_their_depth() {
    let limits = Limits { states: 32, samples: 8, ..LIMITS };
    let mut chains = Chains::default();
    for mode in Mode::ALL {
        let story = tell(mode, &[Deed::Checkpoint], &script(), &[]);
        for seed in 0..6 {
            chains.follow(&story, Limits { seed, ..limits }, &|| format!("chain {seed}"));
        }
    }
    for tally in &chains.depths {
        println!("{tally}");
        assert_eq!(tally.violation_count, 0, "{tally}");
        assert!(tally.images > 100, "{tally}");
    }
    assert!(chains.kills > 0);
}

/// What is planted is found, and what is said of it is short: few deeds, few pieces.
fn found_and_shrunk(mode: Mode, fault: Fault) {
    let tally = explore(mode, &script(), &[fault]);
    assert!(tally.violation_count > 0, "{mode:?}, {fault:?}: {tally}");
    let least = shrink(mode, &script(), &[fault], LIMITS).expect("the same again");
    println!("{mode:?}, {fault:?}: {:?}\n  {}", least.script, least.violation);
    assert!(least.script.len() <= 2, "{mode:?}, {fault:?}: {:?}", least.script);
    assert!(least.violation.contains("kept"), "{}", least.violation);
}

#[test]
fn commits_without_durability_are_found_and_shrunk() {
    for mode in Mode::ALL {
        found_and_shrunk(mode, Fault::DropDurability);
    }
}

#[test]
fn fences_that_do_nothing_are_found_and_shrunk() {
    for mode in [Mode::LineRedo, Mode::LineUndo, Mode::ByteRedo, Mode::ByteUndo] {
        found_and_shrunk(mode, Fault::DropFences);
    }
}

#[test]
fn a_skipped_checksum_test_is_found() {
    for mode in Mode::ALL {
        skip_checksums(true);
        let tally = explore(mode, &script(), &[]);
        skip_checksums(false);
        assert!(tally.violation_count > 0, "{mode:?}: {tally}");
    }
}

#[test]
fn a_seed_repeats_its_script() {
    assert_eq!(random_script(3, 20), random_script(3, 20));
    assert_ne!(random_script(3, 20), random_script(4, 20));
}
