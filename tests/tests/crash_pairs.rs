//! Every operation, and every pair of operations, on a pool that holds one of each thing; the power is cut everywhere.
//! "Small workloads suffice": most crash bugs that were ever found in file systems need no more than this. Catches
//! what two operations do to each other that the longer scripts happen not to do side by side.
//!
//! `POBJ_CRASH_SAMPLES=512` tries every pair, and every subset of up to twelve pending words at each cut; without it, a
//! fifth of the pairs, others with another `POBJ_SEED`.

use std::time::Instant;

use pobj::Durability::Immediate;
use tests::crash::{Action, Checker, Effort, Mode, Report, run};
use tests::support::{Random, number, seed};
use tests::workload::Op;

const ACTIONS: [Action; 11] = [
    Action::Write(Op::Push(1), Immediate),
    Action::Write(Op::Pop(1), Immediate),
    Action::Write(Op::Touch(1), Immediate),
    Action::Write(Op::PushLarge, Immediate),
    Action::Write(Op::PopLarge, Immediate),
    Action::Write(Op::SetHuge, Immediate),
    Action::Write(Op::DropHuge, Immediate),
    Action::Write(Op::Clear, Immediate),
    Action::Abort(Op::Touch(1)),
    Action::Checkpoint,
    Action::Reopen,
];

/// What the pool holds before.
const BEFORE: [Action; 3] = [
    Action::Write(Op::Push(2), Immediate),
    Action::Write(Op::PushLarge, Immediate),
    Action::Write(Op::SetHuge, Immediate),
];

fn check(mode: Mode, actions: &[Action], effort: Effort, total: &mut Report) {
    let script: Vec<Action> = BEFORE.iter().chain(actions).copied().collect();
    let history = run(mode, &script, &[]);
    assert!(history.error.is_none(), "{mode:?}, {actions:?}: {:?}", history.error);
    // What comes before the actions is the same in all scripts.
    let report = Checker::of(&history, effort).check_from_step(BEFORE.len() as u64);
    assert_eq!(report.violation_count, 0, "{mode:?}, {actions:?}: {report}");
    total.add(&report);
}

fn check_all(mode: Mode) {
    let samples = number("POBJ_CRASH_SAMPLES");
    let mut random = Random(seed("crash_pairs"));
    let effort = Effort::quick(samples.map_or(4, |samples| samples as usize), random.0);
    let begun = Instant::now();
    let mut total = Report::default();
    for first in ACTIONS {
        check(mode, &[first], effort, &mut total);
        for second in ACTIONS {
            if samples.is_none() && random.below(5) > 0 {
                continue;
            }
            check(mode, &[first, second], effort, &mut total);
        }
    }
    println!("{mode:?}, pairs, {:.1} s: {total}", begun.elapsed().as_secs_f64());
}

#[test]
fn every_pair_in_redo() {
    [Mode::FileRedo, Mode::LineRedo].into_iter().for_each(check_all);
}

#[test]
fn every_pair_in_place() {
    check_all(Mode::LineUndo);
}
