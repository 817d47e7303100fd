//! Power cuts while several threads commit and the background thread makes checkpoints: durable writes in flight beside
//! ordered ones, home being written while the ring grows. Catches what no single thread can do: an acknowledgement
//! taken from somebody else's write, a checkpoint that overtakes a record, a ring block written twice at once.
//!
//! The order of events differs from run to run; what must hold of it does not.

use std::sync::Arc;
use std::time::Instant;

use pobj::Durability::{self, Eventual, Immediate};
use pobj::Pool;
use tests::crash::{Checker, Effort, Mode, acknowledged, created, started};
use tests::workload::{Model, Op, Root};

const THREADS: usize = 3;
const STEPS: usize = if cfg!(debug_assertions) { 36 } else { 60 };

/// The operation of each step: whichever thread comes to it does it.
fn ops() -> Vec<Op> {
    let mut model = Model::default();
    (0..STEPS)
        .map(|_| {
            let op = Op::random(11, &model);
            op.apply_to_model(&mut model);
            op
        })
        .collect()
}

fn commit_in_all_modes(durability: impl Fn(usize) -> Durability + Sync) {
    Mode::ALL.into_iter().for_each(|mode| commit_from_threads(mode, &durability));
}

fn commit_from_threads(mode: Mode, durability: impl Fn(usize) -> Durability + Sync) {
    let ops = ops();
    let media = mode.media();
    media.allow_background();
    let pool: Pool<Root<'static>> =
        mode.options().create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
    media.mark(created());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, media, ops, durability) = (&pool, &media, &ops, durability(thread));
            scope.spawn(move || {
                for _ in 0..STEPS / THREADS {
                    let step = pool.write(|root, tx| {
                        tx.set_durability(durability);
                        let step = root.steps() + 1;
                        // Under the pool's lock, so before anything of this transaction happens.
                        media.mark(started(step));
                        ops[step as usize - 1].apply(root, tx)?;
                        Ok(step)
                    });
                    media.mark(acknowledged(mode, step.unwrap(), durability));
                }
            });
        }
    });
    pool.close().unwrap();
    media.mark(acknowledged(mode, STEPS as u64, Immediate));
    let mut models = vec![Model::default()];
    for op in ops {
        let mut model = models[models.len() - 1].clone();
        op.apply_to_model(&mut model);
        models.push(model);
    }
    let begun = Instant::now();
    let effort = Effort::from_environment();
    let report = Checker::new(mode, &media, &models, effort).check();
    let seconds = begun.elapsed().as_secs_f64();
    let seed = effort.seed;
    println!("{mode:?}, {THREADS} threads, {STEPS} transactions, POBJ_SEED={seed}, {seconds:.1} s: {report}");
    assert_eq!(report.violation_count, 0, "{mode:?}: {report}");
}

#[test]
fn group_commits_survive() {
    commit_in_all_modes(|_| Immediate);
}

#[test]
fn commits_of_both_kinds_survive() {
    commit_in_all_modes(|thread| if thread == 0 { Immediate } else { Eventual });
}
