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
use tests::evidence::Evidence;
use tests::workload::{Model, Op, Root};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

const EINTR: i32 = 4;
const EDQUOT: i32 = 122;
const ERRORS: [i32; 4] = [EIO, ENOSPC, EDQUOT, EINTR];

/// What failing operations came to.
#[derive(Default)]
struct Tally {
    runs: u64,
    stopped: u64,
    states: u64,
    wrong: Vec<String>,
}

/// Fails each operation, once and for good; whatever the script had acknowledged until it stopped must survive a cut at
/// its end. (On real persistent memory only operations of the file system fail; that the others may is no excuse.)
fn fail_everything(name: &str, script: &[Action]) {
    modes().for_each(|mode| {
        let tally = fail_everything_in(mode, name, script, |_, _, errno, _| errno == EIO);
        assert!(tally.wrong.is_empty(), "{mode:?}, {name}: {}", tally.wrong.join("\n"));
    });
}

/// Persistent caches make no difference to what can fail.
fn modes() -> impl Iterator<Item = Mode> {
    Mode::ALL.into_iter().filter(|mode| mode.domain() != Domain::Byte)
}

/// Fails those operations that `wanted` names: by kind, number, error, and whether for good.
fn fail_everything_in(
    mode: Mode,
    name: &str,
    script: &[Action],
    wanted: impl Fn(Operation, u64, i32, bool) -> bool,
) -> Tally {
    let begun = Instant::now();
    let healthy = run(mode, script, &[]);
    let mut tally = Tally::default();
    for (operation, number, errno, forever) in all_faults(|operation| healthy.media.count(operation)) {
        if !wanted(operation, number, errno, forever) {
            continue;
        }
        let fault = Fault::Fail { operation, number, errno, forever };
        let history = run(mode, script, &[fault]);
        match &history.error {
            None | Some(Error::Io { .. } | Error::Poisoned) => {}
            Some(error) => panic!("{mode:?}, {name}, {fault:?}: {error}"),
        }
        tally.stopped += u64::from(history.error.is_some());
        let report = Checker::of(&history, Effort::quick(6, 3)).check_end();
        if report.violation_count > 0 {
            tally.wrong.push(format!("{fault:?}, {:?}: {report}", history.error));
        }
        tally.states += report.states;
        tally.runs += 1;
    }
    let Tally { runs, stopped, states, wrong } = &tally;
    let (seconds, wrong) = (begun.elapsed().as_secs_f64(), wrong.len());
    println!(
        "{mode:?}, {name}, {seconds:.1} s: {runs} failures, {stopped} ended the script, {states} states, {wrong} wrong"
    );
    tally
}

/// Each operation that was counted, with each error, once and for good.
fn all_faults(counts: impl Fn(Operation) -> u64) -> Vec<(Operation, u64, i32, bool)> {
    let mut all = Vec::new();
    for operation in Operation::ALL {
        for number in 0..counts(operation) {
            all.extend(
                ERRORS
                    .iter()
                    .flat_map(|errno| [false, true].map(|forever| (operation, number, *errno, forever))),
            );
        }
    }
    all
}

/// Fails each operation of a recovery: of what a kill in the middle of the script left. Opening is an error, or the pool
/// holds what it would without the failure, and so does the next one.
fn fail_recovery(mode: Mode, script: &[Action], wanted: impl Fn(Operation, u64, i32, bool) -> bool) -> Tally {
    let healthy = run(mode, script, &[]);
    let trace = healthy.media.trace();
    let mut tally = Tally::default();
    for cut in [trace.events().len() / 2, trace.events().len() * 9 / 10] {
        let mut cuts = trace.cuts();
        let mut left = None;
        while let Some(point) = cuts.next() {
            if point.index() == cut {
                left = Some(point.after_kill());
                break;
            }
        }
        let left = left.expect("there is such a cut");
        let open = |media: &SimMedia| mode.options().open_on(Arc::new(media.clone()));
        let observe = |media: &SimMedia| open(media).map(|pool| Model::observe(&pool.read()).unwrap());
        let media = healthy.media.with_bytes(left.clone());
        let expected = observe(&media).expect("a kill leaves a pool");
        for (operation, number, errno, forever) in all_faults(|operation| media.count(operation)) {
            if !wanted(operation, number, errno, forever) {
                continue;
            }
            let fault = Fault::Fail { operation, number, errno, forever };
            let failing = healthy.media.with_bytes(left.clone());
            failing.plant(fault);
            match observe(&failing) {
                Ok(found) => assert_eq!(found, expected, "{mode:?}, {fault:?}"),
                Err(Error::Io { .. } | Error::Poisoned) => tally.stopped += 1,
                Err(error) => panic!("{mode:?}, {fault:?}: {error}"),
            }
            let next = healthy.media.with_bytes(failing.bytes());
            match observe(&next) {
                Ok(found) if found == expected => {}
                other => tally.wrong.push(format!("{mode:?}, cut {cut}, {fault:?}: {other:?}")),
            }
            tally.runs += 1;
            tally.states += 1;
        }
    }
    tally
}

/// Every operation, with every error, in every scenario, with `POBJ_FAULTS=all`; without it one operation in so many, with
/// EIO and with another error. (The tests below fail every operation, with EIO, in three scenarios.)
#[test]
fn every_error_in_every_scenario() {
    let begun = Instant::now();
    let all = std::env::var("POBJ_FAULTS").is_ok_and(|size| size == "all");
    let step = if cfg!(debug_assertions) { 61 } else { 7 };
    let wanted = |operation: Operation, number: u64, errno: i32, forever: bool| {
        let turn = number * 5 + operation as u64;
        let other = ERRORS[turn as usize % 4] == errno && forever == (turn / 4).is_multiple_of(2);
        let rest = other && turn.is_multiple_of(3);
        all || turn.is_multiple_of(step) && (errno == EIO && !forever || rest)
    };
    let scenarios = [
        ("first commit", scripts::first_commit()),
        ("allocate and free", scripts::allocate_and_free(Immediate)),
        ("allocate and free, Eventual", scripts::allocate_and_free(Eventual)),
        ("laps", scripts::laps(Immediate)),
        ("laps, Eventual", scripts::laps(Eventual)),
        ("grow and spill", scripts::grow_and_spill(Immediate)),
        ("grow and spill, Eventual", scripts::grow_and_spill(Eventual)),
        ("grow ahead", scripts::grow_ahead(Immediate)),
        ("grow ahead, Eventual", scripts::grow_ahead(Eventual)),
        ("mixed", scripts::mixed()),
    ];
    let (mut sum, mut count) = (Tally::default(), 0);
    // Those of many laps are long.
    for (name, script) in scenarios.iter().filter(|(name, _)| all || !name.starts_with("laps")) {
        for mode in modes() {
            for tally in [fail_everything_in(mode, name, script, wanted), fail_recovery(mode, script, wanted)]
            {
                sum.runs += tally.runs;
                sum.stopped += tally.stopped;
                sum.states += tally.states;
                sum.wrong.extend(tally.wrong);
                count += 1;
            }
        }
    }
    let size = if all { "" } else { "; a sample of the operations" };
    Evidence::of("R7", "the Nth operation of the simulated medium fails")
        .with("runs", sum.runs)
        .with("ended the script", sum.stopped)
        .with("states", sum.states)
        .violations(sum.wrong.len() as u64)
        .note(format!("{count} scenarios, half of them a recovery; EIO, ENOSPC, EDQUOT, EINTR{size}"))
        .tell(begun.elapsed());
    assert!(sum.wrong.is_empty(), "{}", sum.wrong.join("\n"));
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
