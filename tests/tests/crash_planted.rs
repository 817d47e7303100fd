//! The harness must be able to fail: planted bugs are caught, in every mode. Catches a harness that tries too few states,
//! or compares too little.
//!
//! The same harness on the same scripts without a planted bug finds nothing: see `crash_scripts`.

use std::time::Instant;

use pobj::Durability::{Eventual, Immediate};
use pobj::media::sim::{Fault, Operation, skip_checksums};
use pobj::media::{Domain, ImageMode};
use tests::crash::{Action, Checker, Effort, History, Mode, Report, run, scripts};
use tests::workload::Op;

/// Enough to find what is there to be found, the same each time.
const EFFORT: Effort = Effort { stop_at_first: true, ..Effort::quick(48, 7) };

fn check(history: &History) -> Report {
    Checker::of(history, EFFORT).check()
}

fn is_caught(mode: Mode, script: &[Action], fault: Fault) -> bool {
    let history = run(mode, script, &[fault]);
    assert!(history.error.is_none(), "{mode:?}, {fault:?}: {:?}", history.error);
    Checker::of(&history, EFFORT).check_planted().violation_count > 0
}

/// Plants a bug at each operation of one kind. Gives how many there are, and the numbers of those that nothing noticed.
fn plant_each(
    mode: Mode,
    script: &[Action],
    operation: Operation,
    fault: impl Fn(u64) -> Fault,
) -> (usize, Vec<u64>) {
    let begun = Instant::now();
    let numbers = run(mode, script, &[]).numbers(operation);
    let missed: Vec<_> = numbers.clone().filter(|number| !is_caught(mode, script, fault(*number))).collect();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{mode:?}, {:?} and the like: {} planted, missed {missed:?}, {seconds:.1} s",
        fault(numbers.start),
        numbers.clone().count()
    );
    (numbers.count(), missed)
}

/// The mixed script in one go. (The sync with which an open begins matters after a kill only; it has its own test.)
fn mixed_without_reopening() -> Vec<Action> {
    scripts::mixed().into_iter().filter(|action| *action != Action::Reopen).collect()
}

/// Without the transaction that fails: in place, what it has logged says the same as the log of the next one, which may
/// then be lost.
fn without_abort() -> Vec<Action> {
    let script = scripts::allocate_and_free(Immediate).into_iter();
    script.filter(|action| !matches!(action, Action::Abort(_))).collect()
}

/// A script for each way to commit that the mode has: on persistent memory `Eventual` is no other.
fn scripts_of(mode: Mode) -> Vec<Vec<Action>> {
    let (durable, ordered) = (scripts::allocate_and_free(Immediate), scripts::allocate_and_free(Eventual));
    if mode.domain().is_memory() { vec![durable] } else { vec![durable, ordered, mixed_without_reopening()] }
}

fn in_memory() -> impl Iterator<Item = Mode> {
    Mode::ALL.into_iter().filter(|mode| mode.domain().is_memory())
}

#[test]
fn every_removed_sync_is_caught() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.image() == ImageMode::Private) {
        for script in scripts_of(mode) {
            let (count, missed) = plant_each(mode, &script, Operation::Sync, Fault::DropSync);
            assert!(count > 0 && missed.is_empty(), "{mode:?}: {missed:?} of {script:?}");
        }
    }
}

#[test]
fn every_removed_fence_is_caught() {
    for mode in in_memory() {
        let (count, missed) = plant_each(mode, &without_abort(), Operation::Fence, Fault::DropFence);
        assert!(count > 5 && missed.is_empty(), "{mode:?}: {missed:?}");
    }
}

#[test]
fn a_fence_before_the_write_that_it_should_cover_is_caught() {
    for mode in in_memory() {
        let (count, missed) = plant_each(mode, &without_abort(), Operation::Fence, Fault::SwapFence);
        assert!(count > 5 && missed.is_empty(), "{mode:?}: {missed:?}");
    }
}

/// Among them a ring whose head moves before home is durable.
#[test]
fn a_sync_before_the_write_that_it_should_cover_is_caught() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.image() == ImageMode::Private) {
        for script in scripts_of(mode) {
            let (count, missed) = plant_each(mode, &script, Operation::Sync, Fault::SwapSync);
            assert!(count > missed.len(), "{mode:?}: {missed:?} of {script:?}");
        }
    }
}

#[test]
fn records_that_are_not_flushed_are_caught() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.domain() == Domain::CacheLine) {
        let operation = Operation::WriteOrdered;
        let fault = |number| Fault::DropWriteFlush { operation, number };
        let (count, missed) = plant_each(mode, &scripts::allocate_and_free(Immediate), operation, fault);
        assert!(count > 5 && missed.is_empty(), "{mode:?}: {missed:?}");
    }
}

/// What is stored at home is flushed before the fence on which the journal's moving on rests: the checkpoint's words, or
/// the program's own stores in place. Some lines hold only the bytes of blocks that were freed since, or are flushed
/// twice.
#[test]
fn removed_flushes_are_caught() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.domain() == Domain::CacheLine) {
        let mut script = scripts::allocate_and_free(Immediate);
        // What it would free has lines that nothing depends on.
        script.retain(|action| *action != Action::Write(Op::Clear, Immediate));
        let (count, missed) = plant_each(mode, &script, Operation::Flush, Fault::DropFlush);
        println!("{mode:?}: {} of {count} dropped flushes caught", count - missed.len());
        assert!(count > missed.len() * 2, "{mode:?}: {missed:?} of {count}");
    }
}

/// Where caches are persistent nothing needs a flush: a harness that demands one accuses sound code.
#[test]
fn persistent_caches_need_no_flush() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.domain() == Domain::Byte) {
        let script = scripts::allocate_and_free(Immediate);
        let number = run(mode, &script, &[]).numbers(Operation::WriteOrdered).start;
        let record = Fault::DropWriteFlush { operation: Operation::WriteOrdered, number };
        let history = run(mode, &script, &[record, Fault::DropFlushes]);
        assert!(history.media.first_hit().is_some(), "{mode:?}: nothing was left out");
        let report = Checker::of(&history, Effort::quick(8, 7)).check_planted();
        assert_eq!(report.violation_count, 0, "{mode:?}: {report}");
    }
}

#[test]
fn durable_writes_made_plain_are_caught() {
    for script in [scripts::allocate_and_free(Immediate), scripts::mixed()] {
        assert!(is_caught(Mode::FileRedo, &script, Fault::DropDurability), "{script:?}");
    }
    for mode in in_memory() {
        assert!(is_caught(mode, &scripts::mixed(), Fault::DropDurability), "{mode:?}");
    }
}

/// Each durable write of a commit to a file is needed, one by one. The last ones are not commits: they note where the
/// ring's head is, and that the pool was closed.
#[test]
fn each_durable_commit_made_plain_is_caught() {
    let script = scripts::allocate_and_free(Immediate);
    let commits = script.iter().filter(|action| matches!(action, Action::Write(_, Immediate))).count() as u64;
    let mode = Mode::FileRedo;
    let (_, missed) = plant_each(mode, &script, Operation::WriteDurable, Fault::DropOneDurability);
    let first = run(mode, &script, &[]).numbers(Operation::WriteDurable).start;
    assert!(missed.iter().all(|number| *number >= first + commits), "{missed:?}");
}

/// Recovery after a kill finds records that nothing has covered. It must make them durable before home follows them.
#[test]
fn a_sync_removed_from_the_recovery_after_a_kill_is_caught() {
    let mode = Mode::FileRedo;
    let history = run(mode, &scripts::allocate_and_free(Eventual), &[]);
    let effort = Effort { recover_every: Some(1), recovery_samples: 48, ..EFFORT };
    let check = |faults: &[Fault]| Checker::of(&history, effort).with_faults_in_recovery(faults).check();
    let report = check(&[]);
    assert_eq!(report.violation_count, 0, "{report}");
    for number in 0..2 {
        assert!(check(&[Fault::DropSync(number)]).violation_count > 0, "sync {number}");
    }
}

#[test]
fn a_skipped_checksum_test_is_caught() {
    for mode in Mode::ALL {
        let history = run(mode, &scripts::allocate_and_free(Immediate), &[]);
        assert_eq!(check(&history).violation_count, 0, "{mode:?}");
        skip_checksums(true);
        let report = check(&history);
        skip_checksums(false);
        assert!(report.violation_count > 0, "{mode:?}: {report}");
    }
}
