//! `kill -9` of a process whose four threads append to one log, at random moments: while it is made, while it recovers, while
//! it rewinds. After each the log opens, and holds of each thread everything that it was told is there, in order,
//! without a gap.
//!
//! Catches what only a real kernel shows: an append that was acknowledged and is not in the page cache, a lock that outlives
//! its process, a log half made; and a follower in a second process that sees half of something.
//!
//! `POBJ_KILLS=500` is the long run (for each mode); `POBJ_SEED` repeats its moments.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use pobj::log::{Log, Options};
use pobj::media::Domain;
use pobj::{Durability, Error};
use tests::support::{Random, child, child_argument, directory, number, quick_directory, seed};

const PART: &str = "appending_child";
const FOLLOWER: &str = "following_child";
const KILLS: u64 = 30;
const THREADS: u64 = 4;
const CAPACITY: u64 = 256 << 10;
const LIFE_MICROS: u64 = 60_000;

fn options(mode: &str) -> Options {
    match mode {
        "line" => Options::new().force_domain(Domain::CacheLine),
        "eventual" => Options::new().force_domain(Domain::Page).durability(Durability::Eventual),
        _ => Options::new().force_domain(Domain::Page),
    }
}

/// Thread, its number of the append, and filling whose length follows from the number.
fn entry(thread: u64, number: u64) -> Vec<u8> {
    let len = 16 + (number * 37 % 200) as usize;
    let mut bytes = vec![thread as u8; len];
    bytes[..8].copy_from_slice(&thread.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// What a log holds of each thread: its first and its last number. Consecutive between them, or an error.
fn survey(entries: impl Iterator<Item = Vec<u8>>) -> Result<[Option<(u64, u64)>; THREADS as usize], String> {
    let mut spans = [None; THREADS as usize];
    for bytes in entries {
        let word =
            |at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
        let (Some(thread), Some(number)) = (word(0), word(8)) else { return Err("a short entry".to_owned()) };
        if thread >= THREADS || bytes != entry(thread, number) {
            return Err(format!("not what thread {thread} appended as its number {number}"));
        }
        let span = &mut spans[thread as usize];
        *span = match *span {
            None => Some((number, number)),
            Some((first, last)) if number == last + 1 => Some((first, number)),
            Some((_, last)) => return Err(format!("thread {thread}: {number} follows {last}")),
        };
    }
    Ok(spans)
}

fn contents(log: &Log) -> Vec<Vec<u8>> {
    log.entries().map(|entry| entry.expect("every entry is whole").1).collect()
}

/// The process that is killed: four threads append, each goes on where the log says it was, and says each number once it is
/// acknowledged. Who finds the log full rewinds it, while the others wait.
#[test]
fn appending_child() {
    let Some(argument) = child_argument(PART) else { return };
    let argument = argument.into_string().expect("text");
    let (mode, path) = argument.split_once(' ').expect("a mode and a path");
    let log = options(mode).open_or_create(path, CAPACITY).expect("the log opens");
    let spans = survey(contents(&log).into_iter()).expect("what was there is right");
    let rewinding = std::sync::RwLock::new(());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (log, rewinding) = (&log, &rewinding);
            let mut next = spans[thread as usize].map_or(0, |(_, last)| last + 1);
            scope.spawn(move || {
                loop {
                    let turn = rewinding.read().expect("nobody panics");
                    match log.append(&entry(thread, next)) {
                        Ok(position) => {
                            // One write for one line, so that a kill leaves whole lines.
                            let line = format!("ack {thread} {next} {}\n", position.generation());
                            std::io::stdout().write_all(line.as_bytes()).expect("a pipe");
                            next += 1;
                        }
                        Err(Error::LogFull { .. }) => {
                            drop(turn);
                            let _alone = rewinding.write().expect("nobody panics");
                            if log.remaining() < 300 {
                                log.rewind().expect("rewinds");
                            }
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}

/// Follows the log from outside, as long as it lives, and ends with an error if it sees what nobody appended.
#[test]
fn following_child() {
    let Some(path) = child_argument(FOLLOWER) else { return };
    let begun = Instant::now();
    let mut reader = loop {
        match Log::open_read_only(&path) {
            Ok(reader) => break reader,
            Err(Error::NotFound { .. }) if begun.elapsed() < Duration::from_secs(20) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let mut last = [None; THREADS as usize];
    let mut seen = 0u64;
    while begun.elapsed() < Duration::from_millis(1500) {
        match reader.next_entry() {
            Ok(Some(found)) => {
                let word =
                    |at: usize| u64::from_le_bytes(found.bytes[at..at + 8].try_into().expect("8 bytes"));
                let (thread, number) = (word(0), word(8));
                assert_eq!(found.bytes, entry(thread, number));
                let before: &mut Option<u64> = &mut last[thread as usize];
                assert!(
                    before.is_none_or(|before| number == before + 1),
                    "{thread}: {number} after {before:?}"
                );
                *before = Some(number);
                seen += 1;
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            // It begins again.
            Err(Error::Rewound) => last = [None; THREADS as usize],
            Err(error) => panic!("{error}"),
        }
    }
    println!("seen {seen}");
}

/// What a child said before it was killed: the last number of each thread, and the generation in which.
fn kill_one(path: &Path, mode: &str, life: Duration) -> [Option<(u64, u64)>; THREADS as usize] {
    let mut process = child(PART, format!("{mode} {}", path.display())).spawn().expect("the child starts");
    let output = BufReader::new(process.stdout.take().expect("its output is piped"));
    let reader = std::thread::spawn(move || {
        let mut said = [None; THREADS as usize];
        for line in output.lines().map_while(Result::ok) {
            let words: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            if let (true, [thread, number, generation]) = (line.starts_with("ack "), words.as_slice()) {
                said[*thread as usize] = Some((*number, *generation));
            }
        }
        said
    });
    std::thread::sleep(life);
    let ended = process.try_wait().expect("the child can be looked at");
    assert!(ended.is_none(), "the child ended by itself: {ended:?}");
    process.kill().expect("SIGKILL");
    process.wait().expect("the child is gone");
    reader.join().expect("its output was read")
}

fn kill_often(mode: &str) {
    let kills = number("POBJ_KILLS").unwrap_or(KILLS);
    let mut random = Random(seed(&format!("kill log, {mode}")));
    let directory = if mode == "line" { quick_directory() } else { directory() };
    let path = directory.path().join("kill.log");
    let (mut checks, mut logs, mut acknowledged) = (0, 0, 0);
    for kill in 0..kills {
        if kill == 0 || random.below(8) == 0 {
            let _ = std::fs::remove_file(&path);
            logs += 1;
        }
        // The child's program takes some milliseconds to start.
        let said = kill_one(&path, mode, Duration::from_micros(random.below(LIFE_MICROS)));
        let anything = said.iter().any(Option::is_some);
        let place = format!("{mode}, kill {kill}, {said:?}");
        let opened_as = if random.below(4) == 0 { "page" } else { mode };
        let log = match options(opened_as).open(&path) {
            Ok(log) => log,
            Err(Error::NotFound { .. }) if !anything => continue,
            Err(error) => panic!("{place}: {error}"),
        };
        log.check().unwrap_or_else(|error| panic!("{place}: {error}"));
        let spans = survey(contents(&log).into_iter()).unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
        let generation = log.end().generation();
        for (said, span) in said.iter().zip(&spans) {
            // What was acknowledged before a rewind is gone with it.
            if let Some((number, _)) = said.filter(|(_, in_generation)| *in_generation == generation) {
                assert!(span.is_some_and(|(_, last)| last >= number), "{place}: {span:?}");
                acknowledged += 1;
            }
            assert!(
                said.is_none_or(|(_, in_generation)| in_generation <= generation),
                "{place}: a rewind was undone"
            );
        }
        checks += 1;
        log.close().unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    println!(
        "{mode}: {kills} kills, {checks} checks, {logs} logs, {acknowledged} spans acknowledged, 0 violations"
    );
    assert!(checks > 0);
}

#[test]
fn kills_between_durable_appends() {
    kill_often("page");
}

#[test]
fn kills_between_ordered_appends() {
    kill_often("eventual");
}

#[test]
fn kills_between_fenced_appends() {
    kill_often("line");
}

/// A second process follows while the first one is killed and started again.
#[test]
fn a_follower_outlives_the_kills() {
    for mode in ["eventual", "line"] {
        let directory = quick_directory();
        let path = directory.path().join("follow.log");
        let follower = child(FOLLOWER, &path).spawn().expect("the follower starts");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1200) {
            kill_one(&path, mode, Duration::from_millis(150));
        }
        let output = follower.wait_with_output().expect("the follower ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{mode}: {text}");
        let seen = text.lines().find_map(|line| line.split("seen ").nth(1)?.parse::<u64>().ok());
        println!("{mode}: followed {seen:?} entries across kills");
        assert!(seen.is_some_and(|seen| seen > 0), "{mode}: {text}");
    }
}
