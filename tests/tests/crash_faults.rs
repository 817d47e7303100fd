//! The medium fails, in every mode: every operation of every kind in turn, once and for good. Catches a commit that claims what was not
//! done, a pool that goes on after a failed sync (M5), a failed growth that is not rolled back, an error that a crash
//! then turns into damage.

use std::sync::Arc;
use std::time::Instant;

use pobj::Durability::{Eventual, Immediate};
use pobj::media::sim::{Fault, Operation, SimMedia};
use pobj::media::{Domain, ImageMode};
use pobj::{Error, Pool};
use tests::crash::{Action, Checker, Effort, MAX_SIZE, Mode, run, scripts};
use tests::workload::{Model, Op, Root};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Fails each operation, once and for good; whatever the script had acknowledged until it stopped must survive a cut at
/// its end. (On real persistent memory only operations of the file system fail; that the others may is no excuse.)
fn fail_everything(name: &str, script: &[Action]) {
    // Persistent caches make no difference to what can fail.
    let modes = Mode::ALL.into_iter().filter(|mode| mode.domain() != Domain::Byte);
    modes.for_each(|mode| fail_everything_in(mode, name, script));
}

fn fail_everything_in(mode: Mode, name: &str, script: &[Action]) {
    let begun = Instant::now();
    let healthy = run(mode, script, &[]);
    let (mut runs, mut stopped, mut states) = (0, 0, 0);
    let mut wrong = Vec::new();
    for operation in Operation::ALL {
        for number in 0..healthy.media.count(operation) {
            for forever in [false, true] {
                let fault = Fault::Fail { operation, number, errno: EIO, forever };
                let history = run(mode, script, &[fault]);
                match &history.error {
                    None | Some(Error::Io { .. } | Error::Poisoned) => {}
                    Some(error) => panic!("{mode:?}, {name}, {fault:?}: {error}"),
                }
                stopped += u64::from(history.error.is_some());
                let report = Checker::of(&history, Effort::quick(6, 3)).check_end();
                if report.violation_count > 0 {
                    wrong.push(format!("{fault:?}, {:?}: {report}", history.error));
                }
                states += report.states;
                runs += 1;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{mode:?}, {name}, {seconds:.1} s: {runs} failures, {stopped} ended the script, {states} states, {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{mode:?}, {name}: {}", wrong.join("\n"));
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

fn pool(mode: Mode) -> (SimMedia, Pool<Root<'static>>) {
    let media = mode.media();
    let pool = mode.options().create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
    (media, pool)
}

/// What makes a commit durable.
fn barrier(mode: Mode) -> Operation {
    if mode.domain().is_memory() { Operation::Fence } else { Operation::WriteDurable }
}

fn fail_next(media: &SimMedia, operation: Operation, errno: i32) {
    media.plant(Fault::Fail { operation, number: media.count(operation), errno, forever: false });
}

fn push(pool: &Pool<Root<'static>>) -> Result<(), Error> {
    pool.write(|root, tx| Op::Push(1).apply(root, tx))
}

#[test]
fn after_a_failed_commit_the_pool_is_poisoned() {
    for mode in Mode::ALL {
        let (media, pool) = pool(mode);
        push(&pool).unwrap();
        fail_next(&media, barrier(mode), EIO);
        assert!(matches!(push(&pool), Err(Error::Io { source, .. }) if source.raw_os_error() == Some(EIO)));
        for _ in 0..3 {
            assert!(matches!(push(&pool), Err(Error::Poisoned)));
        }
        assert!(matches!(pool.sync(), Err(Error::Poisoned)));
        assert!(matches!(pool.checkpoint(), Err(Error::Poisoned)));
        assert!(Model::observe(&pool.read()).unwrap().step >= 1, "reading goes on");
        assert!(pool.close().is_err());
        let pool = mode.options().open_on(Arc::new(media)).unwrap();
        assert!((1..=2).contains(&Model::observe(&pool.read()).unwrap().step));
        push(&pool).unwrap();
    }
}

/// In place nothing is brought home: there is no such checkpoint.
#[test]
fn after_a_failed_sync_of_the_checkpoint_the_pool_is_poisoned() {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.image() == ImageMode::Private) {
        let (media, pool) = pool(mode);
        push(&pool).unwrap();
        fail_next(&media, Operation::Sync, EIO);
        assert!(matches!(pool.checkpoint(), Err(Error::Io { .. })));
        // The next sync would succeed, and would prove nothing.
        assert!(matches!(push(&pool), Err(Error::Poisoned)));
        drop(pool);
        let pool = mode.options().open_on(Arc::new(media)).unwrap();
        assert_eq!(Model::observe(&pool.read()).unwrap().step, 1);
    }
}

#[test]
fn a_failed_growth_rolls_back_and_the_pool_goes_on() {
    for mode in Mode::ALL {
        let (media, pool) = pool(mode);
        let before = Model::observe(&pool.read()).unwrap();
        fail_next(&media, Operation::Grow, ENOSPC);
        let outcome = pool.write(|root, tx| Op::SetHuge.apply(root, tx));
        assert!(matches!(outcome, Err(Error::Io { source, .. }) if source.raw_os_error() == Some(ENOSPC)));
        assert_eq!(Model::observe(&pool.read()).unwrap(), before);
        assert_eq!(pool.stats().heap.live_blocks, before.blocks());
        pool.write(|root, tx| Op::SetHuge.apply(root, tx)).unwrap();
        let after = Model::observe(&pool.read()).unwrap();
        assert_eq!((after.step, after.huge), (1, Some(1)));
        pool.close().unwrap();
        let pool = mode.options().open_on(Arc::new(media)).unwrap();
        assert_eq!(Model::observe(&pool.read()).unwrap(), after);
    }
}

#[test]
fn a_full_pool_rolls_back_and_freeing_works() {
    for mode in Mode::ALL {
        let (_, pool) = pool(mode);
        let mut model = Model::default();
        let error = loop {
            match pool.write(|root, tx| Op::PushLarge.apply(root, tx)) {
                Ok(()) => Op::PushLarge.apply_to_model(&mut model),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::PoolFull { .. }), "{error}");
        assert_eq!(Model::observe(&pool.read()).unwrap(), model);
        assert!(
            model.larges.len() > 20,
            "only {} blocks of 20 KiB fit in {MAX_SIZE} bytes",
            model.larges.len()
        );
        pool.write(|root, tx| Op::Clear.apply(root, tx)).unwrap();
        Op::Clear.apply_to_model(&mut model);
        for _ in 0..20 {
            pool.write(|root, tx| Op::PushLarge.apply(root, tx)).unwrap();
            Op::PushLarge.apply_to_model(&mut model);
        }
        assert_eq!(Model::observe(&pool.read()).unwrap(), model);
        assert_eq!(pool.stats().heap.live_blocks, model.blocks());
    }
}
