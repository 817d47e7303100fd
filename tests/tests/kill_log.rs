//! A process that follows a log, while another one that appends to it is killed and started again.
//!
//! Catches a follower that sees half of an entry, entries out of order, or what nobody appended.

use std::path::Path;
use std::time::{Duration, Instant};

use pobj::Error;
use pobj::log::Log;
use tests::kill::Facility;
use tests::kill::lane::Lane;
use tests::support::{child, child_argument, quick_directory};
use tests::workload::KillMode;
use tests::workload::log::{THREADS, origin};

const FOLLOWER: &str = "following_child";

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
    let mut last = [None; THREADS];
    let mut seen = 0u64;
    while begun.elapsed() < Duration::from_millis(1500) {
        match reader.next_entry() {
            Ok(Some(found)) => {
                let (thread, number) = origin(found.bytes).expect("what somebody appended");
                let before: &mut Option<u64> = &mut last[thread];
                assert!(
                    before.is_none_or(|before| number == before + 1),
                    "{thread}: {number} after {before:?}"
                );
                *before = Some(number);
                seen += 1;
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            // It begins again.
            Err(Error::Rewound) => last = [None; THREADS],
            Err(error) => panic!("{error}"),
        }
    }
    println!("seen {seen}");
}

/// A second process follows while the first one is killed and started again.
#[test]
fn a_follower_outlives_the_kills() {
    for mode in [KillMode::Eventual, KillMode::Line] {
        let directory = quick_directory();
        let program = Path::new(env!("CARGO_BIN_EXE_kill_child"));
        let mut lane = Lane::new(program, directory.path(), Facility::Log, mode, 1);
        let follower = child(FOLLOWER, &lane.job.path).spawn().expect("the follower starts");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1200) {
            lane.begin();
            let ended = lane.listen(Duration::from_millis(150)).unwrap_or_else(|| lane.kill());
            assert!(ended.by_kill(), "{mode:?}: {ended:?}");
        }
        let output = follower.wait_with_output().expect("the follower ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{mode:?}: {text}");
        let seen = text.lines().find_map(|line| line.split("seen ").nth(1)?.parse::<u64>().ok());
        println!("{mode:?}: followed {seen:?} entries across kills");
        assert!(seen.is_some_and(|seen| seen > 0), "{mode:?}: {text}");
    }
}
