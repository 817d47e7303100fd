//! `kill -9` of a process in which four threads put records into one store. After each kill the store opens with validation,
//! each thread's records are there without a gap and whole, and all whose put had returned. Catches what only a real kernel
//! shows of records that several threads make at the same time.
//!
//! `POBJ_KILLS=1000` is the long run (for each mode); `POBJ_SEED` repeats its moments.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pobj::Error;
use tests::support::quick_directory;
use tests::workload::kv::{THREADS, progress, store_options};
use tests::workload::{KillMode, word};

/// Kills without `POBJ_KILLS`.
const KILLS: u64 = 30;
/// A child lives at most this long.
const LIFE_MICROS: u64 = 60_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Starts a child, kills it after `life`, and gives the last record of each thread that it acknowledged.
fn kill_one(path: &Path, mode: KillMode, life: Duration) -> [u64; THREADS] {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kv_child"))
        .args([path.as_os_str(), format!("{mode:?}").as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let output = BufReader::new(child.stdout.take().expect("its output is piped"));
    let reader = std::thread::spawn(move || {
        let mut said = [0; THREADS];
        for line in output.lines().map_while(Result::ok) {
            let (thread, number) = line.split_once(' ').expect("two numbers");
            said[thread.parse::<usize>().expect("a thread")] = number.parse().expect("a number");
        }
        said
    });
    std::thread::sleep(life);
    let ended = child.try_wait().expect("the child can be looked at");
    assert!(ended.is_none(), "the child ended by itself: {ended:?}");
    child.kill().expect("SIGKILL");
    child.wait().expect("the child is gone");
    reader.join().expect("its output was read")
}

fn kill_often(mode: KillMode) {
    let kills = number("POBJ_KILLS").unwrap_or(KILLS);
    let seed = number("POBJ_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let directory = match mode {
        KillMode::Immediate | KillMode::Eventual => tempfile::tempdir().expect("a directory"),
        KillMode::Line | KillMode::InPlace => quick_directory(),
    };
    let path = directory.path().join("kill.pobj");
    let mut acknowledged = [0; THREADS];
    let mut records = 0;
    for kill in 0..kills {
        let random = word(seed, kill, 2);
        if random.is_multiple_of(8) {
            let _ = std::fs::remove_file(&path);
            acknowledged = [0; THREADS];
        }
        let said = kill_one(&path, mode, Duration::from_micros(random / 8 % LIFE_MICROS));
        for (known, said) in acknowledged.iter_mut().zip(said) {
            *known = said.max(*known);
        }
        let place = format!("POBJ_SEED={seed}, {mode:?}, kill {kill}");
        let store = match store_options(mode).open_store(&path) {
            Ok(store) => store,
            Err(Error::NotFound { .. }) if acknowledged == [0; THREADS] => continue,
            Err(error) => panic!("{place}: {error}"),
        };
        let done = progress(&store).unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
        for (thread, (done, said)) in done.into_iter().zip(acknowledged).enumerate() {
            // One more may be there than was said.
            assert!(
                (said..=said + 1).contains(&done),
                "{place}: {done} records of thread {thread}, {said} said"
            );
        }
        records += done.iter().sum::<u64>();
        acknowledged = done;
        store.close().unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    println!("POBJ_SEED={seed}, {mode:?}: {kills} kills, {records} records looked at, 0 violations");
}

#[test]
fn kills_between_durable_puts() {
    kill_often(KillMode::Immediate);
    kill_often(KillMode::Eventual);
}

#[test]
fn kills_between_fenced_puts() {
    kill_often(KillMode::Line);
    kill_often(KillMode::InPlace);
}
