//! `kill -9` of a real process at random moments: while it creates, recovers, commits, checkpoints, rewinds; a pool, a store
//! of either engine, a log, an array of blocks, on a file and on (forced) persistent memory. After each kill the file opens
//! with validation and holds what was acknowledged, at most one step more of each thread, and nothing else. Catches
//! whatever only a real kernel shows: stores that the page cache did not get, a lock that outlives its process, a file half
//! made, a record that was acknowledged and is not there, a change in place that came before its old bytes.
//!
//! `POBJ_KILLS=1000` is the long run (for each of the 23 tests); `POBJ_SEED` repeats its moments.

use std::path::Path;
use std::time::{Duration, Instant};

use tests::kill::lane::{Lane, kill_often};
use tests::kill::{End, Facility};
use tests::support::{directory, number, quick_directory, seed};
use tests::workload::KillMode;

/// Kills without `POBJ_KILLS`.
const KILLS: u64 = 40;

fn kill(facility: Facility, mode: KillMode) {
    let what = format!("kill -9: {facility:?}, {mode:?}");
    // Where Linux keeps files in memory, if it has such a place, and on the disk else.
    let (directory, longest) = match mode {
        KillMode::Line | KillMode::InPlace => (quick_directory(), Duration::from_millis(30)),
        _ => (directory(), Duration::from_millis(60)),
    };
    let program = Path::new(env!("CARGO_BIN_EXE_kill_child"));
    let mut lane = Lane::new(program, directory.path(), facility, mode, seed(&what));
    let begun = Instant::now();
    let kills = number("POBJ_KILLS").unwrap_or(KILLS);
    match kill_often(&mut lane, kills, longest) {
        Ok(count) => {
            count.tell("R8", what, begun, 0);
            assert!(count.checks > 0 && count.steps > 0, "nobody has written anything");
        }
        Err(wrong) => {
            tests::evidence::Evidence::of("R8", what).violations(1).note(&wrong).tell(begun.elapsed());
            panic!("{wrong}");
        }
    }
}

macro_rules! kills {
    ($($name:ident: $facility:ident, $mode:ident;)*) => {
        $(#[test] fn $name() { kill(Facility::$facility, KillMode::$mode); })*
    };
}

kills! {
    heap_durable: Heap, Immediate;
    heap_ordered: Heap, Eventual;
    heap_fenced: Heap, Line;
    heap_in_place: Heap, InPlace;
    shared_durable: Shared, Immediate;
    shared_ordered: Shared, Eventual;
    shared_fenced: Shared, Line;
    shared_in_place: Shared, InPlace;
    hash_durable: Hash, Immediate;
    hash_ordered: Hash, Eventual;
    hash_fenced: Hash, Line;
    hash_in_place: Hash, InPlace;
    ordered_durable: Ordered, Immediate;
    ordered_ordered: Ordered, Eventual;
    ordered_fenced: Ordered, Line;
    ordered_in_place: Ordered, InPlace;
    log_durable: Log, Immediate;
    log_ordered: Log, Eventual;
    log_fenced: Log, Line;
    blocks_durable: Blocks, Immediate;
    blocks_ordered: Blocks, Eventual;
    blocks_fenced: Blocks, Line;
    blocks_in_place: Blocks, InPlace;
}

/// A loop that cannot fail shows nothing: an acknowledgement of what was never done is noticed, and so is a step that nobody
/// has done.
#[test]
fn a_lost_step_and_a_step_from_nowhere_are_noticed() {
    for facility in Facility::ALL {
        let directory = quick_directory();
        let program = Path::new(env!("CARGO_BIN_EXE_kill_child"));
        let mut lane = Lane::new(program, directory.path(), facility, KillMode::Line, 7);
        lane.begin();
        while lane.known.done.iter().all(|mark| mark.number == 0) {
            assert!(lane.listen(Duration::from_millis(5)).is_none(), "the child ended by itself");
        }
        assert!(lane.kill().by_kill());
        let honest = lane.known.clone();
        assert_eq!(lane.check(End::Kill), Ok(true));

        let thread = honest.done.iter().position(|mark| mark.number > 0).expect("somebody spoke");
        lane.known.done[thread].number += 2;
        let wrong = lane.check(End::Kill).expect_err("lost");
        assert!(wrong.contains("was promised"), "{wrong}");

        lane.known = tests::kill::Known::default();
        // Numbers of a log begin again, so it has no such bound.
        let nobody = lane.check(End::Kill);
        assert_eq!(nobody.is_err(), facility != Facility::Log, "{nobody:?}");
    }
}
