//! The medium fails: every operation of every kind in turn, once and for good. Catches a commit that claims what was not
//! done, a pool that goes on after a failed sync (M5), a failed growth that is not rolled back, an error that a crash
//! then turns into damage.

use std::sync::Arc;

use pobj::Durability::{Eventual, Immediate};
use pobj::media::sim::{Fault, Operation, SimMedia};
use pobj::{Error, Pool};
use tests::crash::{Action, Checker, Effort, MAX_SIZE, options, run, scripts};
use tests::workload::{Model, Op, Root};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

const OPERATIONS: [Operation; 8] = [
    Operation::Write,
    Operation::WriteDurable,
    Operation::WriteOrdered,
    Operation::Sync,
    Operation::Grow,
    Operation::Truncate,
    Operation::Punch,
    Operation::Publish,
];

/// Fails each operation once; whatever the script had acknowledged until it stopped must survive a cut at its end.
fn fail_everything(name: &str, script: &[Action]) {
    let effort =
        Effort { samples: 24, seed: 3, recover_every: usize::MAX, recovery_samples: 0, stop_at_first: false };
    let healthy = run(script, &[]);
    let (mut runs, mut stopped, mut states) = (0, 0, 0);
    for operation in OPERATIONS {
        for number in 0..healthy.media.count(operation) {
            for forever in [false, true] {
                let fault = Fault::Fail { operation, number, errno: EIO, forever };
                let history = run(script, &[fault]);
                match &history.error {
                    None | Some(Error::Io { .. } | Error::Poisoned) => {}
                    Some(error) => panic!("{name}, {fault:?}: {error}"),
                }
                stopped += u64::from(history.error.is_some());
                let report = Checker::new(&history.media, &history.models, effort).check_end();
                assert_eq!(report.violation_count, 0, "{name}, {fault:?}, {:?}: {report}", history.error);
                states += report.states;
                runs += 1;
            }
        }
    }
    println!("{name}: {runs} failures, {stopped} ended the script, {states} states, 0 violations");
}

#[test]
fn every_operation_fails_while_allocating() {
    fail_everything("allocate and free", &scripts::allocate_and_free(Immediate));
    fail_everything("allocate and free, Eventual", &scripts::allocate_and_free(Eventual));
}

#[test]
fn every_operation_fails_while_growing() {
    fail_everything("grow and spill", &scripts::grow_and_spill(Immediate));
}

#[test]
fn every_operation_fails_in_mixed_work() {
    fail_everything("mixed", &scripts::mixed());
}

fn pool() -> (SimMedia, Pool<Root<'static>>) {
    let media = SimMedia::new(MAX_SIZE).unwrap();
    let pool = options().create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
    (media, pool)
}

fn fail_next(media: &SimMedia, operation: Operation, errno: i32) {
    media.plant(Fault::Fail { operation, number: media.count(operation), errno, forever: false });
}

fn push(pool: &Pool<Root<'static>>) -> Result<(), Error> {
    pool.write(|root, tx| Op::Push(1).apply(root, tx))
}

#[test]
fn after_a_failed_durable_write_the_pool_is_poisoned() {
    let (media, pool) = pool();
    push(&pool).unwrap();
    fail_next(&media, Operation::WriteDurable, EIO);
    assert!(matches!(push(&pool), Err(Error::Io { source, .. }) if source.raw_os_error() == Some(EIO)));
    for _ in 0..3 {
        assert!(matches!(push(&pool), Err(Error::Poisoned)));
    }
    assert!(matches!(pool.sync(), Err(Error::Poisoned)));
    assert!(matches!(pool.checkpoint(), Err(Error::Poisoned)));
    assert!(Model::observe(&pool.read()).unwrap().step >= 1, "reading goes on");
    assert!(pool.close().is_err());
    let pool = options().open_on(Arc::new(media)).unwrap();
    assert!((1..=2).contains(&Model::observe(&pool.read()).unwrap().step));
    push(&pool).unwrap();
}

#[test]
fn after_a_failed_sync_of_the_checkpoint_the_pool_is_poisoned() {
    let (media, pool) = pool();
    push(&pool).unwrap();
    fail_next(&media, Operation::Sync, EIO);
    assert!(matches!(pool.checkpoint(), Err(Error::Io { .. })));
    // The next sync would succeed, and would prove nothing.
    assert!(matches!(push(&pool), Err(Error::Poisoned)));
    drop(pool);
    let pool = options().open_on(Arc::new(media)).unwrap();
    assert_eq!(Model::observe(&pool.read()).unwrap().step, 1);
}

#[test]
fn a_failed_growth_rolls_back_and_the_pool_goes_on() {
    let (media, pool) = pool();
    push(&pool).unwrap();
    let before = Model::observe(&pool.read()).unwrap();
    fail_next(&media, Operation::Grow, ENOSPC);
    let outcome = pool.write(|root, tx| Op::SetHuge.apply(root, tx));
    assert!(matches!(outcome, Err(Error::Io { source, .. }) if source.raw_os_error() == Some(ENOSPC)));
    assert_eq!(Model::observe(&pool.read()).unwrap(), before);
    assert_eq!(pool.stats().heap.live_blocks, before.blocks());
    pool.write(|root, tx| Op::SetHuge.apply(root, tx)).unwrap();
    let after = Model::observe(&pool.read()).unwrap();
    assert_eq!((after.step, after.huge), (2, Some(2)));
    pool.close().unwrap();
    let pool = options().open_on(Arc::new(media)).unwrap();
    assert_eq!(Model::observe(&pool.read()).unwrap(), after);
}

#[test]
fn a_full_pool_rolls_back_and_freeing_works() {
    let (_, pool) = pool();
    let mut model = Model::default();
    let error = loop {
        match pool.write(|root, tx| Op::PushLarge.apply(root, tx)) {
            Ok(()) => Op::PushLarge.apply_to_model(&mut model),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::PoolFull { .. }), "{error}");
    assert_eq!(Model::observe(&pool.read()).unwrap(), model);
    assert!(model.larges.len() > 20, "only {} blocks of 20 KiB fit in {MAX_SIZE} bytes", model.larges.len());
    pool.write(|root, tx| Op::Clear.apply(root, tx)).unwrap();
    Op::Clear.apply_to_model(&mut model);
    for _ in 0..20 {
        pool.write(|root, tx| Op::PushLarge.apply(root, tx)).unwrap();
        Op::PushLarge.apply_to_model(&mut model);
    }
    assert_eq!(Model::observe(&pool.read()).unwrap(), model);
    assert_eq!(pool.stats().heap.live_blocks, model.blocks());
}
