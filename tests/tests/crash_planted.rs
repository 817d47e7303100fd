//! The harness must be able to fail: planted bugs are caught. Catches a harness that tries too few states, or compares
//! too little.

use pobj::Durability::{Eventual, Immediate};
use pobj::media::sim::{Event, Fault, Operation, skip_checksums};
use tests::crash::{Action, Checker, Effort, History, Report, run, scripts};

/// Enough to find what is there to be found, the same each time.
const EFFORT: Effort =
    Effort { samples: 48, seed: 7, recover_every: usize::MAX, recovery_samples: 0, stop_at_first: true };

fn check(history: &History) -> Report {
    Checker::new(&history.media, &history.models, EFFORT).check()
}

fn is_caught(script: &[Action], fault: Fault) -> bool {
    let history = run(script, &[fault]);
    assert!(history.error.is_none(), "{fault:?}: {:?}", history.error);
    check(&history).violation_count > 0
}

/// The numbers of the operations of this kind after the pool was published. (Before it there is no pool to lose.)
fn numbers(script: &[Action], operation: Operation) -> std::ops::Range<u64> {
    let media = run(script, &[]).media;
    let trace = media.trace();
    let published = trace.events().iter().position(|event| *event == Event::Published);
    let before = &trace.events()[..published.expect("the script publishes a pool")];
    let of_this_kind = |event: &&Event| match operation {
        Operation::Sync => matches!(event, Event::Synced { .. }),
        _ => matches!(event, Event::DurableBegun { .. }),
    };
    before.iter().filter(of_this_kind).count() as u64..media.count(operation)
}

/// The mixed script in one go. (The sync with which an open begins matters after a kill only; it has its own test.)
fn mixed_without_reopening() -> Vec<Action> {
    scripts::mixed().into_iter().filter(|action| *action != Action::Reopen).collect()
}

/// The same harness on the same scripts without a planted bug finds nothing: see `crash_scripts`.
#[test]
fn every_removed_sync_is_caught() {
    let (durable, ordered) = (scripts::allocate_and_free(Immediate), scripts::allocate_and_free(Eventual));
    for script in [durable, ordered, mixed_without_reopening()] {
        let numbers = numbers(&script, Operation::Sync);
        assert!(!numbers.is_empty());
        for number in numbers {
            assert!(is_caught(&script, Fault::DropSync(number)), "sync {number} of {script:?}");
        }
    }
}

#[test]
fn a_sync_before_the_write_that_it_should_cover_is_caught() {
    for script in [scripts::allocate_and_free(Immediate), scripts::mixed()] {
        let numbers = numbers(&script, Operation::Sync);
        let caught = numbers.clone().filter(|number| is_caught(&script, Fault::SwapSync(*number))).count();
        println!("{caught} of {numbers:?} swapped syncs caught");
        assert!(caught > 0, "{script:?}");
    }
}

#[test]
fn durable_writes_made_plain_are_caught() {
    for script in [scripts::allocate_and_free(Immediate), scripts::mixed()] {
        assert!(is_caught(&script, Fault::DropDurability), "{script:?}");
    }
}

/// Each durable write of a commit is needed, one by one. The last ones are not commits: they note where the ring's head
/// is, and that the pool was closed.
#[test]
fn each_durable_commit_made_plain_is_caught() {
    let script = scripts::allocate_and_free(Immediate);
    let commits = script.iter().filter(|action| matches!(action, Action::Write(_, Immediate))).count() as u64;
    let first = numbers(&script, Operation::WriteDurable).start;
    for number in first..first + commits {
        assert!(is_caught(&script, Fault::DropOneDurability(number)), "durable write {number}");
    }
}

/// Recovery after a kill finds records that no sync has covered. It must make them durable before home follows them.
#[test]
fn a_sync_removed_from_the_recovery_after_a_kill_is_caught() {
    let history = run(&scripts::allocate_and_free(Eventual), &[]);
    let effort = Effort { recover_every: 1, recovery_samples: 48, ..EFFORT };
    let check = |faults: &[Fault]| {
        let checker = Checker::new(&history.media, &history.models, effort);
        checker.with_faults_in_recovery(faults).check()
    };
    let report = check(&[]);
    assert_eq!(report.violation_count, 0, "{report}");
    for number in 0..2 {
        assert!(check(&[Fault::DropSync(number)]).violation_count > 0, "sync {number}");
    }
}

#[test]
fn a_skipped_checksum_test_is_caught() {
    let history = run(&scripts::allocate_and_free(Immediate), &[]);
    assert_eq!(check(&history).violation_count, 0);
    skip_checksums(true);
    let report = check(&history);
    skip_checksums(false);
    assert!(report.violation_count > 0, "{report}");
}
