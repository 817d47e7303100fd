//! `kill -9` of a real process in which four threads write blocks, at random moments, again and again on one file: while
//! it is created, recovered, written. After each kill the file opens with validation; each thread's blocks are whole, of
//! one step, and of the last one that was acknowledged or the one after it. Catches whatever only a real kernel shows.
//!
//! `POBJ_KILLS=1000` is the long run (for each mode); `POBJ_SEED` repeats its moments.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use pobj::blk::{Blocks, Options};
use pobj::media::{Domain, ImageMode};
use pobj::{Durability, Error};
use tests::support::pairs::{self, THREADS};
use tests::support::{Random, child, child_argument, number, quick_directory, seed};

const BLOCK: usize = 4096;
/// Kills without `POBJ_KILLS`.
const KILLS: u64 = 40;
/// A child lives at most this long.
const LIFE_MICROS: u64 = 60_000;

fn options(mode: &str) -> Options {
    let options = Blocks::options().size(64 << 10).max_size(16 << 20).ring_size(64 << 10);
    match mode {
        "eventual" => options.force_domain(Domain::Page).durability(Durability::Eventual),
        "line" => options.force_domain(Domain::CacheLine).image(ImageMode::Private),
        "in-place" => options.force_domain(Domain::CacheLine).image(ImageMode::InPlace),
        _ => options.force_domain(Domain::Page).image(ImageMode::Private),
    }
}

/// The part of the child: its argument is a mode, a colon and a path.
#[test]
fn writes_until_it_is_killed() {
    let Some(argument) = child_argument("writes_until_it_is_killed") else { return };
    let argument = argument.into_string().unwrap();
    let (mode, path) = argument.split_once(':').unwrap();
    let blocks = options(mode).open_or_create(path, BLOCK, pairs::COUNT).unwrap();
    let begun = pairs::steps(&blocks).unwrap();
    std::thread::scope(|scope| {
        for (thread, begun) in begun.into_iter().enumerate() {
            let blocks = &blocks;
            scope.spawn(move || {
                for step in begun + 1.. {
                    pairs::write_step(blocks, thread, step).unwrap();
                    // One write for one line, so that a kill leaves whole lines.
                    let mut out = std::io::stdout();
                    out.write_all(format!("\nstep {thread} {step}\n").as_bytes()).unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

/// Starts a child, kills it after `life`, and gives the last step of each thread that it acknowledged.
fn kill_one(mode: &str, path: &Path, life: Duration) -> [u64; THREADS] {
    let argument = format!("{mode}:{}", path.display());
    let mut process = child("writes_until_it_is_killed", argument).spawn().expect("the child starts");
    let output = BufReader::new(process.stdout.take().expect("its output is piped"));
    let reader = std::thread::spawn(move || {
        let mut steps = [0; THREADS];
        for line in output.lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            if let (Some("step"), Some(thread), Some(step)) = (words.next(), words.next(), words.next()) {
                steps[thread.parse::<usize>().unwrap()] = step.parse().unwrap();
            }
        }
        steps
    });
    std::thread::sleep(life);
    let ended = process.try_wait().expect("the child can be looked at");
    assert!(ended.is_none(), "the child ended by itself: {ended:?}");
    process.kill().expect("SIGKILL");
    process.wait().expect("the child is gone");
    reader.join().expect("its output was read")
}

fn kill_often(mode: &str, directory: &Path) {
    let kills = number("POBJ_KILLS").unwrap_or(KILLS);
    let seed = seed(mode);
    let mut random = Random(seed);
    let path = directory.join("blocks.pobj");
    let begun = Instant::now();
    let (mut acknowledged, mut checks) = ([0; THREADS], 0);
    for kill in 0..kills {
        let life = Duration::from_micros(random.below(LIFE_MICROS));
        let said = kill_one(mode, &path, life);
        acknowledged = std::array::from_fn(|thread| said[thread].max(acknowledged[thread]));
        if random.below(3) == 0 {
            continue; // The next child recovers, and is killed in turn.
        }
        let place = format!("POBJ_SEED={seed}, {mode}, kill {kill}");
        // Whatever was killed, another way to open it must recover it.
        let opened_as = if random.below(4) == 0 { "immediate" } else { mode };
        let blocks = match options(opened_as).open(&path, Some(BLOCK)) {
            Ok(blocks) => blocks,
            Err(Error::NotFound { .. }) if acknowledged == [0; THREADS] => continue,
            Err(error) => panic!("{place}: {error}"),
        };
        let found = pairs::steps(&blocks).unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
        for thread in 0..THREADS {
            // A child that said nothing may have recovered and written one step before it was killed, and so may each
            // one whose kill was not looked at.
            assert!(found[thread] >= acknowledged[thread], "{place}: {acknowledged:?} and {found:?}");
        }
        acknowledged = found;
        checks += 1;
        blocks.close().unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{mode}: {kills} kills, {checks} checks, last steps {acknowledged:?}, {seconds:.1} s, 0 violations"
    );
    assert!(checks == 0 || acknowledged.iter().any(|step| *step > 0), "nobody has written anything");
}

#[test]
fn kills_between_durable_writes() {
    kill_often("immediate", tempfile::tempdir().unwrap().path());
}

#[test]
fn kills_between_ordered_writes() {
    kill_often("eventual", tempfile::tempdir().unwrap().path());
}

#[test]
fn kills_between_fenced_writes() {
    kill_often("line", quick_directory().path());
}

#[test]
fn kills_between_writes_in_place() {
    kill_often("in-place", quick_directory().path());
}
