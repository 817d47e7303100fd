//! Power cuts at every media operation of every kind of work, on a file and on persistent memory. Catches a missing or
//! misplaced sync, flush or fence, a record that is trusted torn, a header or a length that promises more than is
//! durable, a leak, an unusable pool after recovery.
//!
//! `POBJ_CRASH_SAMPLES=4096` is the long run; `POBJ_SEED` repeats one.

use std::time::Instant;

use pobj::Durability::{self, Eventual, Immediate};
use tests::crash::{Action, Checker, Effort, Mode, run, scripts};

fn assert_survives(name: &str, script: &[Action]) {
    let effort = Effort::from_environment();
    for mode in Mode::ALL {
        let history = run(mode, script, &[]);
        assert!(history.error.is_none(), "{mode:?}, {name}: {:?}", history.error);
        let begun = Instant::now();
        let report = Checker::of(&history, effort).check();
        let seconds = begun.elapsed().as_secs_f64();
        println!("{mode:?}, {name}, POBJ_SEED={}, {seconds:.1} s: {report}", effort.seed);
        assert_eq!(report.violation_count, 0, "{mode:?}, {name}, POBJ_SEED={}: {report}", effort.seed);
    }
}

fn named(name: &str, durability: Durability) -> String {
    format!("{name}, {durability:?}")
}

#[test]
fn create_and_first_commit() {
    assert_survives("create and first commit", &scripts::first_commit());
}

#[test]
fn allocate_and_free() {
    for durability in [Immediate, Eventual] {
        assert_survives(&named("allocate and free", durability), &scripts::allocate_and_free(durability));
    }
}

#[test]
fn laps_of_the_ring_immediate() {
    assert_survives(&named("laps", Immediate), &scripts::laps(Immediate));
}

#[test]
fn laps_of_the_ring_eventual() {
    assert_survives(&named("laps", Eventual), &scripts::laps(Eventual));
}

#[test]
fn grow_and_exceed_the_ring_immediate() {
    assert_survives(&named("grow and spill", Immediate), &scripts::grow_and_spill(Immediate));
}

#[test]
fn grow_and_exceed_the_ring_eventual() {
    assert_survives(&named("grow and spill", Eventual), &scripts::grow_and_spill(Eventual));
}

#[test]
fn grow_ahead_immediate() {
    assert_survives(&named("grow ahead", Immediate), &scripts::grow_ahead(Immediate));
}

#[test]
fn grow_ahead_eventual() {
    assert_survives(&named("grow ahead", Eventual), &scripts::grow_ahead(Eventual));
}

#[test]
fn take_what_is_ready() {
    for durability in [Immediate, Eventual] {
        assert_survives(&named("take what is ready", durability), &scripts::take_what_is_ready(durability));
    }
}

#[test]
fn abort_and_go_on() {
    assert_survives("abort and go on", &scripts::abort_and_go_on());
    assert_survives("abort much", &scripts::abort_much());
}

#[test]
fn checkpoints_syncs_and_reopenings() {
    assert_survives("mixed", &scripts::mixed());
}
