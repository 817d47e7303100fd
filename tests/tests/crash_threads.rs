//! Power cuts while several threads commit and the background thread makes checkpoints: durable writes in flight beside
//! ordered ones, home being written while the ring grows. Catches what no single thread can do: an acknowledgement
//! taken from somebody else's write, a checkpoint that overtakes a record, a ring block written twice at once.
//!
//! The order of events differs from run to run; what must hold of it does not.

use std::sync::Arc;
use std::time::Instant;

use pobj::Durability::{self, Eventual, Immediate};
use pobj::Pool;
use pobj::media::sim::{Fault, Operation, SimMedia};
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

/// A pool whose every step is an [`Op::Push`] of one.
struct Pushes {
    mode: Mode,
    media: SimMedia,
    pool: Pool<Root<'static>>,
}

impl Pushes {
    fn new(mode: Mode) -> Self {
        let media = mode.media();
        let pool = mode.options().create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
        media.mark(created());
        Self { mode, media, pool }
    }

    fn commit(&self, durability: Durability) {
        let step = self.pool.write(|root, tx| {
            tx.set_durability(durability);
            let step = root.steps() + 1;
            self.media.mark(started(step));
            Op::Push(1).apply(root, tx)?;
            Ok(step)
        });
        self.acknowledge(step.unwrap(), durability);
    }

    fn acknowledge(&self, step: u64, durability: Durability) {
        self.media.mark(acknowledged(self.mode, step, durability));
    }

    /// Another thread commits, and its next operation of this kind is slow. `meanwhile` runs when that has begun.
    fn beside_a_slow(&self, operation: Operation, meanwhile: impl FnOnce()) {
        let number = self.media.count(operation);
        self.media.plant(Fault::Slow { operation, number });
        std::thread::scope(|scope| {
            scope.spawn(|| self.commit(Immediate));
            wait_for(|| self.media.count(operation) > number);
            meanwhile();
        });
    }

    fn check(self) {
        let mut models = vec![Model::default()];
        for _ in 0..self.pool.read().steps() {
            let mut model = models[models.len() - 1].clone();
            Op::Push(1).apply_to_model(&mut model);
            models.push(model);
        }
        drop(self.pool);
        let report = Checker::new(self.mode, &self.media, &models, Effort::from_environment()).check();
        assert_eq!(report.violation_count, 0, "{:?}: {report}", self.mode);
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed().as_secs() < 20, "the other thread does nothing");
        std::thread::yield_now();
    }
}

fn beside_a_slow_fence(second: impl Fn(&Pushes)) {
    for mode in [Mode::LineRedo, Mode::ByteRedo] {
        let pushes = Pushes::new(mode);
        pushes.commit(Immediate);
        pushes.beside_a_slow(Operation::Fence, || second(&pushes));
        pushes.check();
    }
}

/// Catches a commit that returns before the one before it is durable.
#[test]
fn a_commit_waits_for_the_fence_before_its_own() {
    beside_a_slow_fence(|pushes| pushes.commit(Immediate));
}

/// Catches a checkpoint that brings home what another thread's fence has not yet made durable in the ring.
#[test]
fn a_checkpoint_waits_for_the_fences_of_all() {
    beside_a_slow_fence(|pushes| {
        pushes.pool.checkpoint().unwrap();
        pushes.acknowledge(2, Immediate);
    });
}

/// Catches a sync that returns before.
#[test]
fn a_sync_waits_for_the_fences_of_all() {
    beside_a_slow_fence(|pushes| {
        pushes.pool.sync().unwrap();
        pushes.acknowledge(2, Immediate);
    });
}

/// A commit that waits is put into the file by the next one, which does not: a sync makes both durable. Catches one that
/// covers only what this thread has written.
#[test]
fn a_commit_is_durable_that_another_one_has_filed() {
    let pushes = Pushes::new(Mode::FileRedo);
    pushes.commit(Eventual);
    pushes.beside_a_slow(Operation::WriteDurable, || {
        let records = || pushes.pool.stats().journal.records;
        let before = records();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_for(|| records() > before);
                pushes.commit(Eventual);
            });
            // This thread was the last to write, and will make the sync.
            pushes.commit(Immediate);
        });
    });
    pushes.check();
}
