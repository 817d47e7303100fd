//! The trace oracle over every script in every mode, and over random ones (R6). Catches a store that is acknowledged before
//! it was flushed and fenced, a store that no log covers, and flushes and fences that do nothing, none of which needs
//! a crash to be seen.
//!
//! `POBJ_ORACLE_SCRIPTS` says how many random scripts each mode gets; `POBJ_SEED` repeats them.

use std::time::Instant;

use pobj::Durability::{Eventual, Immediate};
use pobj::media::sim::{Fault, Operation};
use pobj::media::{Domain, ImageMode};
use tests::crash::oracle::{Findings, examine};
use tests::crash::{Action, Mode, run, scripts};
use tests::evidence::Evidence;
use tests::support::{Random, number, seed};
use tests::workload::Op;

/// Flushes and fences in vain, of a thousand.
const REDUNDANT_MAX: u64 = 10;

fn all_scripts() -> Vec<Vec<Action>> {
    let mut all = vec![scripts::first_commit(), scripts::mixed()];
    for durability in [Immediate, Eventual] {
        all.push(scripts::allocate_and_free(durability));
        all.push(scripts::laps(durability));
        all.push(scripts::grow_and_spill(durability));
        all.push(scripts::grow_ahead(durability));
    }
    all
}

fn random_script(random: &mut Random) -> Vec<Action> {
    let op = |random: &mut Random| match random.below(10) {
        0..=2 => Op::Push(1 + random.below(12)),
        3 => Op::Pop(1 + random.below(8)),
        4 | 5 => Op::Touch(1 + random.below(4) as usize),
        6 => Op::PushLarge,
        7 => Op::PopLarge,
        8 => [Op::SetHuge, Op::DropHuge][random.below(2) as usize],
        _ => [Op::Clear, Op::Push(40)][random.below(2) as usize],
    };
    let action = |random: &mut Random| match random.below(24) {
        0 => Action::Sync,
        1 => Action::Checkpoint,
        2 => Action::Reopen,
        3 | 4 => Action::Abort(op(random)),
        5 => Action::GrowAhead,
        _ => Action::Write(op(random), [Immediate, Eventual][random.below(2) as usize]),
    };
    (0..20 + random.below(40)).map(|_| action(random)).collect()
}

fn per_mille(part: u64, whole: u64) -> u64 {
    (part * 1000).div_ceil(whole.max(1))
}

#[test]
fn every_store_is_logged_flushed_and_fenced() {
    let seed = seed("trace_oracle");
    let random_scripts = number("POBJ_ORACLE_SCRIPTS").unwrap_or(8);
    let mut wasteful = Vec::new();
    for mode in Mode::ALL {
        let begun = Instant::now();
        let mut random = Random(seed);
        let mut scripts = all_scripts();
        scripts.extend((0..random_scripts).map(|_| random_script(&mut random)));
        let mut sum = Findings::default();
        for script in &scripts {
            let history = run(mode, script, &[]);
            assert!(
                matches!(history.error, None | Some(pobj::Error::PoolFull { .. })),
                "{:?}",
                history.error
            );
            let found = examine(&history.media.trace());
            if found.violations() > 0 {
                println!("{mode:?}, POBJ_SEED={seed}: {script:?}");
            }
            sum.add(&found);
        }
        println!("{mode:?}, POBJ_SEED={seed}: {sum}");
        let lines = sum.flushes + sum.written_through;
        let (unchanged, twice) = (sum.redundant_flushes - sum.flushed_twice, sum.flushed_twice);
        // In place, every line of a value that `&mut` was given to is flushed: a word may have changed, reached the medium
        // and changed back. Only a line that was flushed just before is known to need nothing.
        let in_place = mode.image() == ImageMode::InPlace;
        let flushes = per_mille(if in_place { twice } else { unchanged + twice }, lines);
        let fences = per_mille(sum.redundant_fences, sum.fences);
        Evidence::of("R6", format!("stores of every script, {mode:?}"))
            .with("scripts", scripts.len() as u64)
            .with("words stored", sum.stores)
            .with("acknowledgements", sum.acknowledged)
            .with("not flushed or not fenced", sum.unflushed)
            .with("not logged", sum.unlogged)
            .with("lines written through", sum.written_through)
            .with("lines flushed", sum.flushes)
            .with("of them twice", twice)
            .with("of them unchanged", unchanged)
            .with("of a thousand lines in vain", flushes)
            .with("fences", sum.fences)
            .with("of a thousand fences in vain", fences)
            .violations(sum.violations())
            .note(if in_place {
                "unchanged lines are not counted as in vain: a value may have changed, reached the medium and changed back"
            } else {
                ""
            })
            .tell(begun.elapsed());
        assert_eq!(sum.violations(), 0, "{mode:?}, POBJ_SEED={seed}: {sum}");
        if flushes > REDUNDANT_MAX || fences > REDUNDANT_MAX {
            wasteful.push(format!("{mode:?}, POBJ_SEED={seed}: {sum}"));
        }
    }
    assert!(wasteful.is_empty(), "{wasteful:#?}");
}

/// What the oracle says of a run with a planted bug.
fn planted(mode: Mode, fault: impl Fn(u64) -> Fault, operation: Operation) -> (usize, Vec<u64>) {
    let mut script = scripts::allocate_and_free(Immediate);
    // In place, what a rolled-back transaction has logged says the same as its rollback, which nothing then needs.
    script.retain(|action| !matches!(action, Action::Abort(_)) || mode.image() == ImageMode::Private);
    let numbers = run(mode, &script, &[]).numbers(operation);
    let missed = numbers.clone().filter(|number| {
        let history = run(mode, &script, &[fault(*number)]);
        examine(&history.media.trace()).violations() == 0
    });
    (numbers.clone().count(), missed.collect())
}

fn on_lines() -> impl Iterator<Item = Mode> {
    Mode::ALL.into_iter().filter(|mode| mode.domain() == Domain::CacheLine)
}

#[test]
fn each_left_out_flush_of_a_record_is_found() {
    for mode in on_lines() {
        let operation = Operation::WriteOrdered;
        let (count, missed) = planted(mode, |number| Fault::DropWriteFlush { operation, number }, operation);
        println!("{mode:?}: {} of {count} found", count - missed.len());
        assert!(count > 5 && missed.is_empty(), "{mode:?}: {missed:?}");
    }
}

#[test]
fn each_left_out_fence_is_found() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.domain().is_memory()) {
        let (count, missed) = planted(mode, Fault::DropFence, Operation::Fence);
        println!("{mode:?}: {} of {count} found", count - missed.len());
        assert!(count > 5 && missed.is_empty(), "{mode:?}: {missed:?}");
    }
}

/// But for such as were made twice, or of lines that had not changed.
#[test]
fn left_out_flushes_of_home_are_found() {
    for mode in on_lines() {
        let (count, missed) = planted(mode, Fault::DropFlush, Operation::Flush);
        println!("{mode:?}: {} of {count} found", count - missed.len());
        assert!(count > missed.len() * 2, "{mode:?}: {missed:?}");
    }
}

#[test]
fn durable_writes_made_plain_are_found() {
    let script = scripts::allocate_and_free(Immediate);
    let history = run(Mode::FileRedo, &script, &[Fault::DropDurability]);
    assert!(examine(&history.media.trace()).unflushed > 0);
}

/// Where caches are persistent a flush is not asked for.
#[test]
fn persistent_caches_need_no_flush() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.domain() == Domain::Byte) {
        let history = run(mode, &scripts::allocate_and_free(Immediate), &[Fault::DropFlushes]);
        let found = examine(&history.media.trace());
        assert_eq!(found.violations(), 0, "{mode:?}: {found}");
    }
}
