//! `kill -9` of a real process at random moments: while it creates, recovers, commits, checkpoints. After each the pool
//! opens with validation and holds what the model says. Catches whatever only a real kernel shows: stores that the
//! page cache did not get, a lock that outlives its process, a file half made.
//!
//! `POBJ_KILLS=1000` is the long run (for each mode); `POBJ_SEED` repeats its moments.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pobj::Error;
use tests::support::quick_directory;
use tests::workload::{KillMode, Model, Op, kill_options, word};

/// Kills without `POBJ_KILLS`.
const KILLS: u64 = 60;
/// A child lives at most this long.
const LIFE_MICROS: u64 = 60_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Starts a child, kills it after `life`, and gives the last step that it acknowledged: `None` if it had not even
/// opened the pool.
fn kill_one(path: &Path, seed: u64, mode: KillMode, life: Duration) -> Option<u64> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kill_child"))
        .args([path.as_os_str(), seed.to_string().as_ref(), format!("{mode:?}").as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let output = BufReader::new(child.stdout.take().expect("its output is piped"));
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        lines.filter_map(|line| line.trim_start_matches("open ").parse::<u64>().ok()).last()
    });
    std::thread::sleep(life);
    let ended = child.try_wait().expect("the child can be looked at");
    assert!(ended.is_none(), "the child ended by itself: {ended:?}");
    child.kill().expect("SIGKILL");
    child.wait().expect("the child is gone");
    reader.join().expect("its output was read")
}

/// Kills children over one pool after another and compares.
fn kill_often(mode: KillMode) {
    let kills = number("POBJ_KILLS").unwrap_or(KILLS);
    let seed = number("POBJ_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let directory = match mode {
        KillMode::Immediate | KillMode::Eventual => tempfile::tempdir().expect("a directory"),
        // Where Linux keeps files in memory, if it has such a place.
        KillMode::Line | KillMode::InPlace => quick_directory(),
    };
    let path = directory.path().join("kill.pobj");
    let begun = Instant::now();
    let (mut model, mut acknowledged, mut checks, mut pools) = (Model::default(), None, 0, 0);
    for kill in 0..kills {
        let random = word(seed, kill, 1);
        if random.is_multiple_of(8) {
            // A fresh pool, so that creation is killed as well.
            let _ = std::fs::remove_file(&path);
            (model, acknowledged) = (Model::default(), None);
            pools += 1;
        }
        let life = Duration::from_micros(random / 8 % LIFE_MICROS);
        let said = kill_one(&path, seed, mode, life);
        acknowledged = said.max(acknowledged);
        if (random / 64).is_multiple_of(3) {
            continue; // The next child recovers, and is killed in turn.
        }
        let place = format!("POBJ_SEED={seed}, {mode:?}, kill {kill}");
        // Whatever was killed, either way of opening must recover it.
        let opened_as = if (random / 1024).is_multiple_of(4) { KillMode::Immediate } else { mode };
        let pool = match kill_options(opened_as).open(&path) {
            Ok(pool) => pool,
            Err(Error::NotFound { .. }) if acknowledged.is_none() => continue,
            Err(error) => panic!("{place}: {error}"),
        };
        let found = Model::observe(&pool.read()).unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
        let floor = acknowledged.unwrap_or(0);
        assert!(found.step >= floor, "{place}: {floor} was acknowledged, {} is there", found.step);
        // What was acknowledged by a child that the next one was started after is older than what that one added.
        assert!(found.step >= model.step, "{place}: the pool went back");
        while model.step < found.step {
            Op::random(seed, &model).apply_to_model(&mut model);
        }
        assert!(found == model, "{place}: step {} is not what was committed", found.step);
        let blocks = pool.stats().heap.live_blocks;
        assert_eq!(blocks, model.blocks(), "{place}: blocks in use");
        if said == acknowledged {
            assert!(found.step <= floor + 1, "{place}: step {} from nowhere", found.step);
        }
        acknowledged = Some(found.step);
        checks += 1;
        pool.close().unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    println!(
        "POBJ_SEED={seed}, {mode:?}: {kills} kills, {checks} checks, {pools} new pools, last step {}, {:.1} s, 0 violations",
        model.step,
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn kills_between_durable_commits() {
    kill_often(KillMode::Immediate);
}

#[test]
fn kills_between_ordered_commits() {
    kill_often(KillMode::Eventual);
}

/// Redo on (forced) persistent memory. Catches a record that was acknowledged and is not there.
#[test]
fn kills_between_fenced_commits() {
    kill_often(KillMode::Line);
}

/// Undo in place. Catches a change that reached the pool before its old bytes did.
#[test]
fn kills_inside_transactions_in_place() {
    kill_often(KillMode::InPlace);
}
