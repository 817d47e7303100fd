//! Durability: what is there after a kill, after a power cut, after a medium that failed, and what the calls promise.
//!
//! Catches: an acknowledged transaction that is lost, a later one that survives an earlier one, a pool that goes on
//! after a failed sync (M5), ids that jump, a `sync` that returns too early.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pobj::media::sim::{Fault, Operation, SimMedia, Trace};
use pobj::media::{Domain, ImageMode};
use pobj::{Durability, Error, Options};
use tests::support::{
    Chain, ChainPool, Random, child, child_argument, number, push, quick_directory, seed, small,
};

/// What is promised of files; persistent memory is never less durable.
fn options() -> Options<Chain<'static>> {
    small(64 << 20).force_domain(Domain::Page).image(ImageMode::Private)
}

fn eventually(pool: &ChainPool, value: u64) -> pobj::Result<()> {
    pool.write(|chain, tx| {
        tx.set_durability(Durability::Eventual);
        chain.push(tx, value)
    })
}

/// The values of a chain to which `1, 2, 3, ...` were pushed: their number, if none is missing.
fn prefix(pool: &ChainPool) -> u64 {
    let values = pool.read().values();
    assert!(
        values.iter().rev().copied().eq(1..=values.len() as u64),
        "not a prefix: {} values",
        values.len()
    );
    values.len() as u64
}

// ---- kills ----

#[test]
fn part_commits_until_killed() {
    let Some(argument) = child_argument("part_commits_until_killed") else { return };
    let argument = argument.to_string_lossy().into_owned();
    let (durability, path) = argument.split_once(':').unwrap();
    let eventual = durability == "eventual";
    let pool = options().open_or_create(path).unwrap();
    let mut next = prefix(&pool) + 1;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nopen {}", next - 1).unwrap();
    loop {
        if eventual { eventually(&pool, next) } else { push(&pool, next) }.unwrap();
        // One write for one line: a kill leaves whole lines.
        out.write_all(format!("{next}\n").as_bytes()).unwrap();
        out.flush().unwrap();
        next += 1;
    }
}

fn kill_often(durability: &str) {
    let directory = quick_directory();
    let path = directory.path().join("kill.pobj");
    let mut random = Random(seed(durability));
    let kills = number("POBJ_KILLS").unwrap_or(25);
    let (mut acknowledged, mut beyond) = (0, 0);
    for kill in 0..kills {
        let argument = format!("{durability}:{}", path.display());
        let mut child = child("part_commits_until_killed", argument).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.filter_map(|line| line.trim_start_matches("open ").parse::<u64>().ok()).last()
        });
        std::thread::sleep(Duration::from_micros(5_000 + random.below(60_000)));
        assert!(child.try_wait().unwrap().is_none(), "kill {kill}: the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = acknowledged.max(reader.join().unwrap().unwrap_or(0));
        match options().open(&path) {
            Ok(pool) => {
                let found = prefix(&pool);
                assert!(found >= acknowledged, "kill {kill}: {acknowledged} acknowledged, {found} found");
                assert!(found <= acknowledged + 1, "kill {kill}: {found} from nowhere after {acknowledged}");
                assert_eq!(pool.stats().heap.live_blocks, found + 1, "kill {kill}: blocks leak");
                beyond += found - acknowledged;
                acknowledged = found;
            }
            Err(Error::NotFound { .. }) if acknowledged == 0 => {}
            Err(error) => panic!("kill {kill}: {error}"),
        }
    }
    println!("{durability}: {kills} kills, {acknowledged} transactions, {beyond} survived unacknowledged");
    assert!(acknowledged > kills, "the children did nothing");
}

/// Catches an `Immediate` commit that returned and is gone after a kill.
#[test]
fn immediate_commits_survive_a_kill() {
    kill_often("immediate");
}

/// Catches an `Eventual` commit that is only in the process's own memory when it returns (J7).
#[test]
fn eventual_commits_survive_a_kill() {
    kill_often("eventual");
}

// ---- power cuts, by the simulator ----

fn simulated() -> (SimMedia, ChainPool) {
    let media = SimMedia::new(1 << 20).unwrap();
    let pool = small::<Chain>(1 << 20).create_on(Arc::new(media.clone()), |_| Ok(Chain::default())).unwrap();
    (media, pool)
}

/// The bytes that the medium has promised to keep at the end of a trace: what the worst power cut leaves.
fn durable_bytes(trace: &Trace) -> Vec<u8> {
    let mut cuts = trace.cuts();
    let mut bytes = Vec::new();
    while let Some(point) = cuts.next() {
        if point.index() == trace.events().len() {
            // The first choice is always that nothing survives of what was pending.
            bytes = point.build(&point.choices(1, 0)[0]);
        }
    }
    bytes
}

/// Catches a `sync` that returns before `Eventual` transactions are durable, and `Immediate` ones that are not.
#[test]
fn a_power_cut_keeps_what_was_promised() {
    let (media, pool) = simulated();
    let mut moments = Vec::new();
    let mut moment = |promised: u64, last: u64| moments.push((media.trace(), promised, last));
    push(&pool, 1).unwrap();
    moment(1, 1);
    (2..=5).for_each(|value| eventually(&pool, value).unwrap());
    moment(1, 5);
    pool.sync().unwrap();
    moment(5, 5);
    // An `Immediate` one carries all before it.
    (6..=8).for_each(|value| eventually(&pool, value).unwrap());
    push(&pool, 9).unwrap();
    moment(9, 9);
    (10..=12).for_each(|value| eventually(&pool, value).unwrap());
    pool.checkpoint().unwrap();
    moment(12, 12);
    eventually(&pool, 13).unwrap();
    pool.close().unwrap();
    moment(13, 13);
    for (trace, promised, last) in moments {
        let media = Arc::new(media.ram_with_bytes(durable_bytes(&trace)));
        let found = prefix(&small::<Chain>(1 << 20).open_on(media).unwrap());
        assert!((promised..=last).contains(&found), "{promised} to {last} were promised, {found} are there");
    }
}

// ---- a medium that fails ----

const EIO: i32 = 5;

fn fail_next(media: &SimMedia, operation: Operation) {
    media.plant(Fault::Fail { operation, number: media.count(operation), errno: EIO, forever: false });
}

fn assert_poisoned(pool: &ChainPool) {
    for value in 0..3 {
        assert!(matches!(push(pool, value), Err(Error::Poisoned)));
        assert!(matches!(eventually(pool, value), Err(Error::Poisoned)));
    }
    assert!(matches!(pool.sync(), Err(Error::Poisoned)));
    assert!(matches!(pool.checkpoint(), Err(Error::Poisoned)));
    let message = Error::Poisoned.to_string();
    assert!(message.contains("reopen"), "{message}");
    assert!(!pool.read().values().is_empty(), "reading goes on");
}

/// Catches a commit that succeeds after a sync that failed, wherever that sync was: the state of those bytes is unknown
/// (M5), and only reopening finds out. What was acknowledged before is there.
#[test]
fn a_failed_write_or_sync_poisons_the_pool_until_it_is_reopened() {
    type Act = fn(&ChainPool) -> pobj::Result<()>;
    let cases: [(&str, Operation, Act); 6] = [
        ("an Immediate commit", Operation::WriteDurable, |pool| push(pool, 4)),
        ("the checkpoint's sync", Operation::Sync, |pool| {
            push(pool, 4)?;
            pool.checkpoint()
        }),
        ("the checkpoint's writes", Operation::Write, |pool| {
            push(pool, 4)?;
            pool.checkpoint()
        }),
        ("the sync of growth", Operation::Sync, |pool| {
            pool.write(|chain, tx| (4..20_000).try_for_each(|value| chain.push(tx, value)))
        }),
        ("the sync of a large transaction", Operation::Sync, |pool| {
            pool.write(|chain, tx| (4..2_000).try_for_each(|value| chain.push(tx, value)))
        }),
        ("closing", Operation::Sync, |pool| {
            push(pool, 4)?;
            pool.checkpoint()
        }),
    ];
    for (name, operation, act) in cases {
        let (media, pool) = simulated();
        (1..=3).for_each(|value| push(&pool, value).unwrap());
        fail_next(&media, operation);
        let outcome = act(&pool);
        assert!(
            matches!(&outcome, Err(Error::Io { source, .. }) if source.raw_os_error() == Some(EIO)),
            "{name}: {outcome:?}"
        );
        assert_poisoned(&pool);
        assert!(pool.close().is_err(), "{name}: closing a poisoned pool must say so");
        let pool = small::<Chain>(1 << 20).open_on(Arc::new(media)).unwrap();
        let found = prefix(&pool);
        assert!(found >= 3, "{name}: {found} of 3 acknowledged transactions");
        push(&pool, found + 1).unwrap();
        pool.close().unwrap();
    }
}

/// Catches `Eventual` transactions whose loss nobody hears of: the write behind fails, and then every call says so.
#[test]
fn a_failure_behind_eventual_commits_is_reported_by_the_next_call() {
    let (media, pool) = simulated();
    (1..=3).for_each(|value| eventually(&pool, value).unwrap());
    // However the journal makes them durable.
    fail_next(&media, Operation::WriteDurable);
    fail_next(&media, Operation::Sync);
    assert!(matches!(pool.sync(), Err(Error::Io { .. })));
    assert_poisoned(&pool);
    drop(pool);
    let healthy = media.with_bytes(media.bytes());
    let pool = small::<Chain>(1 << 20).open_on(Arc::new(healthy)).unwrap();
    assert!(prefix(&pool) <= 3);
}

// ---- ids and reopening ----

fn reopen(path: &Path, pool: ChainPool, how: u64) -> ChainPool {
    match how {
        0 => pool.close().unwrap(),
        1 => drop(pool),
        _ => {
            // A copy made while it was open: what a crash leaves.
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).unwrap();
            drop(pool);
            fs::rename(&copy, path).unwrap();
        }
    }
    options().open(path).unwrap()
}

/// Catches ids that jump, repeat or go back over any mixture of closing, dropping, crashing, `sync` and `checkpoint`.
#[test]
fn the_last_id_and_the_content_agree_over_every_way_to_end() {
    let directory = quick_directory();
    let path: PathBuf = directory.path().join("ids.pobj");
    let mut random = Random(seed("the_last_id"));
    let mut pool = options().create(&path).unwrap();
    let first = pool.last_committed();
    for count in 1..=400u64 {
        if random.below(2) == 0 { push(&pool, count) } else { eventually(&pool, count) }.unwrap();
        assert_eq!(pool.last_committed(), first + count);
        match random.below(12) {
            0 => pool.sync().unwrap(),
            1 => pool.checkpoint().unwrap(),
            2 => {
                pool.sync().unwrap();
                pool = reopen(&path, pool, random.below(3));
            }
            3 => drop(pool.write(|chain, tx| {
                chain.push(tx, 0)?;
                Err::<(), _>(Error::abort("no"))
            })),
            _ => {}
        }
        assert_eq!((pool.last_committed(), prefix(&pool)), (first + count, count));
    }
    pool.close().unwrap();
    let reader = options().open_read_only(&path).unwrap();
    assert_eq!(reader.last_committed(), first + 400);
    assert_eq!(reader.stats().journal.records, 0);
}

/// Catches a close that leaves something to recover, and calls that fail on a pool with nothing to do.
#[test]
fn closing_leaves_nothing_to_recover() {
    let directory = quick_directory();
    let path = directory.path().join("close.pobj");
    let pool = options().create(&path).unwrap();
    for _ in 0..2 {
        pool.sync().unwrap();
        pool.checkpoint().unwrap();
    }
    (1..=50).for_each(|value| eventually(&pool, value).unwrap());
    pool.close().unwrap();
    let closed = fs::read(&path).unwrap();
    let ring = u64::from_le_bytes(closed[136..144].try_into().unwrap()) as usize;
    // Were the ring needed, this would lose what it holds.
    let mut wiped = closed.clone();
    wiped[ring..ring + (64 << 10)].fill(0xEE);
    fs::write(&path, &wiped).unwrap();
    let pool = options().open(&path).unwrap();
    assert_eq!(prefix(&pool), 50);
    pool.close().unwrap();
}

/// Catches a ring that fills up under `Eventual` commits, and a background thread that never syncs or checkpoints.
#[test]
fn eventual_commits_run_on_over_many_laps_of_the_ring() {
    let directory = quick_directory();
    let path = directory.path().join("laps.pobj");
    let pool = options().create(&path).unwrap();
    for value in 1..=20_000 {
        eventually(&pool, value).unwrap();
    }
    let counts = pool.stats().journal;
    assert!(counts.checkpoints >= 10, "{counts:?}");
    assert_eq!(counts.records, 20_001 - u64::from(counts.records == 20_000));
    // The background sync comes by itself.
    let begun = Instant::now();
    eventually(&pool, 20_001).unwrap();
    let before = pool.stats().journal.durable_writes;
    while pool.stats().journal.durable_writes == before {
        assert!(begun.elapsed() < Duration::from_secs(10), "no background sync");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(pool);
    assert_eq!(prefix(&options().open(&path).unwrap()), 20_001);
}

/// Catches commits of many threads that wait for each other's turn of the medium, or are acknowledged too early: they
/// share durable writes, and all are there after a crash.
#[test]
fn commits_of_many_threads_share_durable_writes() {
    let directory = quick_directory();
    let path = directory.path().join("group.pobj");
    let pool = options().create(&path).unwrap();
    let before = pool.stats().journal;
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let pool = &pool;
            scope.spawn(move || (0..100).for_each(|value| push(pool, thread << 32 | value).unwrap()));
        }
    });
    let after = pool.stats().journal;
    assert_eq!(after.records - before.records, 800);
    assert!(after.durable_writes - before.durable_writes <= 800);
    let pool = reopen(&path, pool, 2);
    let mut values = pool.read().values();
    values.sort_unstable();
    let expected: Vec<u64> =
        (0..8).flat_map(|thread| (0..100).map(move |value| thread << 32 | value)).collect();
    assert_eq!(values, expected);
}
