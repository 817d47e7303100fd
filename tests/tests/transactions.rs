//! Transactions: all or nothing, whatever the closure touched and however it ended.
//!
//! Catches: a byte that a rollback forgets, a block that leaks or is freed twice, a commit that writes more often than it
//! should. Hooks are in `hooks.rs`, large transactions in `large_transactions.rs`.

#![allow(clippy::unit_arg, reason = "a transaction of one statement stays one expression")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pobj::media::{Domain, ImageMode};
use pobj::{Durability, Error, PBox, PString, PVec, Pool};
use tests::support::board::{
    Board, BoardPool, Scene, Tree, board_with_things, change, drop_some, leaf, see, with_things,
};
use tests::support::{Chain, Random, push, quick_directory, seed};

fn fails_with_panic(act: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(act)).is_err(), "there should have been a panic");
}

// ---- commit and rollback: A27, A29, B7, B10 ----

/// Catches any byte of any kind of change that a rollback forgets, by error and by panic, and any block that it leaks:
/// thousands of random mixtures, compared in memory and after reopening.
#[test]
fn a_rollback_restores_everything() {
    let mut random = Random(seed("a_rollback_restores_everything"));
    let mut scene = board_with_things();
    for round in 0..600 {
        let before = (see(&scene.pool().read()), scene.pool().stats().heap.live_blocks);
        let changes = 1 + random.below(12);
        let pool = scene.pool();
        match random.below(3) {
            0 => {
                let error = pool.write(|board, tx| {
                    (0..changes).try_for_each(|_| change(board, tx, &mut random))?;
                    Err::<(), _>(Error::abort("on purpose"))
                });
                assert!(matches!(error, Err(Error::Aborted(_))));
            }
            1 => fails_with_panic(|| {
                let _ = pool.write(|board, tx| {
                    (0..changes).try_for_each(|_| change(board, tx, &mut random))?;
                    if changes > 0 {
                        panic!("on purpose");
                    }
                    Ok(())
                });
            }),
            _ => {
                pool.write(|board, tx| (0..changes).try_for_each(|_| change(board, tx, &mut random)))
                    .unwrap();
                continue;
            }
        }
        let after = (see(&pool.read()), pool.stats().heap.live_blocks);
        assert_eq!(before, after, "round {round}");
        if round % 50 == 0 {
            assert_eq!(scene.settle(), after, "round {round}");
        }
    }
    scene.settle();
}

/// Catches a rollback that writes: nothing of it may reach the file.
#[test]
fn a_rollback_writes_nothing() {
    let scene = with_things(Scene::with(Scene::options().image(ImageMode::Private)));
    scene.pool().checkpoint().unwrap();
    let (bytes, id, counts) =
        (fs::read(scene.path()).unwrap(), scene.pool().last_committed(), scene.pool().stats().journal);
    let mut random = Random(5);
    for _ in 0..20 {
        let refused = scene.pool().write(|board, tx| {
            (0..10).try_for_each(|_| change(board, tx, &mut random))?;
            Err::<(), _>(Error::abort("on purpose"))
        });
        assert!(refused.is_err());
    }
    assert_eq!((scene.pool().last_committed(), scene.pool().stats().journal), (id, counts));
    let now = fs::read(scene.path()).unwrap();
    assert!(now[..bytes.len()] == bytes, "a rollback wrote");
}

/// Catches snapshots that overlap and restore each other's new bytes: twice the same, left, right, middle, none.
#[test]
fn overlapping_snapshots_restore_the_oldest_bytes() {
    let mut scene = Scene::new();
    scene.pool().write(|board, tx| board.cells.extend(tx, 0..1000)).unwrap();
    let before = scene.settle();
    let touch = |commit: bool| {
        scene.pool.as_ref().unwrap().write(|board, tx| {
            for (round, range) in
                [400..600, 400..600, 300..500, 500..700, 450..550, 0..1000, 0..0, 1000..1000, 999..1000]
                    .into_iter()
                    .enumerate()
            {
                for cell in board.cells.slice_mut(range, tx)? {
                    *cell += 1000 * (round as u64 + 1);
                }
            }
            *board.cells.get_mut(450, tx).unwrap() = 1;
            *board.cells.get_mut(450, tx).unwrap() = 2;
            assert!(matches!(board.cells.slice_mut(990..1001, tx), Err(Error::OutOfRange { .. })));
            assert!(board.cells.get_mut(1000, tx).is_none());
            if commit { Ok(()) } else { Err(Error::abort("no")) }
        })
    };
    assert!(touch(false).is_err());
    assert_eq!(see(&scene.pool().read()), before.0);
    touch(true).unwrap();
    let cells = scene.settle().0.cells;
    assert_eq!((cells[0], cells[450], cells[350], cells[999]), (6000, 2, 350 + 9000, 999 + 6000 + 9000));
}

/// Catches a limit on how much a transaction remembers (A30), and memory of it that is wrong after a rollback.
#[test]
fn thousands_of_small_snapshots_in_one_transaction() {
    const COUNT: usize = 50_000;
    let mut scene = Scene::new();
    scene.pool().write(|board, tx| board.cells.extend(tx, 0..COUNT as u64)).unwrap();
    for commit in [false, true, false, true] {
        let before = scene.settle();
        let outcome = scene.pool().write(|board, tx| {
            // A stride that meets every cell once, far from its predecessor.
            for step in 0..COUNT {
                *board.cells.get_mut(step * 7919 % COUNT, tx).unwrap() += 1;
            }
            if commit { Ok(()) } else { Err(Error::abort("no")) }
        });
        assert_eq!(outcome.is_ok(), commit);
        let after = scene.settle().0.cells;
        assert!(after.iter().zip(&before.0.cells).all(|(new, old)| *new == old + u64::from(commit)));
    }
}

/// Catches slots of nested options whose ownership goes wrong when they are swapped, replaced or taken.
#[test]
fn swap_replace_and_take_move_ownership_between_slots() {
    let mut scene = Scene::new();
    scene
        .pool()
        .write(|board, tx| {
            board.left =
                Some(PBox::new(tx, Tree { value: 1, kids: [Some(leaf(tx, 2)?), Some(leaf(tx, 3)?), None] })?);
            board.right = Some(leaf(tx, 4)?);
            Ok(())
        })
        .unwrap();
    assert_eq!(scene.settle().1, 5);
    let none = u64::MAX;
    for commit in [false, true] {
        let outcome = scene.pool().write(|board, tx| {
            let Board { left: Some(left), right, .. } = board else { panic!("made above") };
            let left = left.get_mut(tx);
            std::mem::swap(&mut left.kids[0], right);
            left.kids.swap(1, 2);
            let old = left.kids[1].replace(leaf(tx, 5)?);
            assert!(old.is_none());
            let taken = left.kids[2].take().map(|three| three.into_inner(tx).value);
            assert_eq!(taken, Some(3));
            // A value that is moved into itself by way of a local.
            let again = left.kids[0].take();
            left.kids[0] = again;
            if commit { Ok(()) } else { Err(Error::abort("no")) }
        });
        assert_eq!(outcome.is_ok(), commit);
        let (seen, blocks) = scene.settle();
        let expected = if commit {
            [1, 4, none, none, none, 5, none, none, none, none, 2, none, none, none].to_vec()
        } else {
            [1, 2, none, none, none, 3, none, none, none, none, 4, none, none, none].to_vec()
        };
        assert_eq!((seen.trees, blocks), (expected, 5));
    }
}

/// Catches a value that was moved out of its box and is freed, or lost, although the transaction failed.
#[test]
fn a_value_moved_out_is_back_after_a_rollback() {
    let mut scene = Scene::new();
    scene.pool().write(|board, tx| (0..100).try_for_each(|value| board.chain.push(tx, value))).unwrap();
    let before = scene.settle();
    for _ in 0..3 {
        let refused = scene.pool().write(|board, tx| {
            for _ in 0..60 {
                board.chain.pop(tx);
            }
            // The same blocks again, into another slot, and dropped there.
            let rest = board.chain.head.take();
            board.chain.head = rest;
            board.chain.pop(tx);
            Err::<(), _>(Error::abort("no"))
        });
        assert!(refused.is_err());
        assert_eq!(scene.settle(), before);
    }
    scene.pool().write(|board, tx| Ok(drop_some(board, tx, 100))).unwrap();
    assert_eq!(scene.settle().1, 1);
}

/// Catches a forgotten box that is freed, or that makes the pool invalid: it may only leak.
#[test]
fn a_forgotten_box_only_leaks() {
    let mut scene = Scene::new();
    scene.pool().write(|board, tx| board.chain.push(tx, 1)).unwrap();
    let before = scene.settle();
    scene
        .pool()
        .write(|board, tx| {
            std::mem::forget(PBox::new(tx, 7u64)?);
            std::mem::forget(board.chain.head.take());
            board.chain.count = 0;
            Ok(())
        })
        .unwrap();
    let after = scene.settle();
    assert_eq!(after.1, before.1 + 1, "the new box and the old link leak");
    assert!(after.0.chain.is_empty());
    for _ in 0..10 {
        scene.pool().write(|board, tx| board.chain.push(tx, 1)).unwrap();
        scene.pool().write(|board, tx| Ok(drop_some(board, tx, 1))).unwrap();
    }
    assert_eq!(scene.settle(), after);
}

// ---- taking and freeing: A32, A33 ----

fn live(pool: &BoardPool) -> u64 {
    pool.stats().heap.live_blocks
}

/// Catches blocks that leak or stay when taking and freeing meet in every order, in transactions that commit or fail.
#[test]
fn taking_and_freeing_in_every_order_leaks_nothing() {
    let mut scene = Scene::new();
    let pool = scene.pool();
    // Freeing nothing.
    pool.write(|board, _| Ok(board.left = None)).unwrap();
    assert_eq!(live(pool), 1);
    // Taken and kept; taken and failed.
    pool.write(|board, tx| Ok(board.left = Some(leaf(tx, 1)?))).unwrap();
    assert_eq!(live(pool), 2);
    let _ = pool.write(|board, tx| {
        board.right = Some(leaf(tx, 2)?);
        Err::<(), _>(Error::abort("no"))
    });
    assert_eq!(live(pool), 2);
    // Taken and freed in one transaction: dropped at once, overwritten, moved out.
    for commit in [false, true] {
        let records = pool.stats().journal.records;
        let _ = pool.write(|board, tx| {
            drop(leaf(tx, 3)?);
            board.right = Some(leaf(tx, 4)?);
            board.right = Some(leaf(tx, 5)?);
            let five = board.right.take().map(|five| five.into_inner(tx).value);
            assert_eq!(five, Some(5));
            if commit { Ok(()) } else { Err(Error::abort("no")) }
        });
        assert_eq!(live(pool), 2);
        assert_eq!(pool.stats().journal.records, records, "nothing changed, so there is nothing to record");
    }
    // Freed and failed; freed and taken anew and failed; freed and committed.
    let _ = pool.write(|board, _| {
        board.left = None;
        Err::<(), _>(Error::abort("no"))
    });
    assert_eq!((live(pool), pool.read().left.as_ref().map(|tree| tree.value)), (2, Some(1)));
    let _ = pool.write(|board, tx| {
        board.left = None;
        board.left = Some(leaf(tx, 6)?);
        Err::<(), _>(Error::abort("no"))
    });
    assert_eq!((live(pool), pool.read().left.as_ref().map(|tree| tree.value)), (2, Some(1)));
    pool.write(|board, tx| {
        board.left = None;
        board.left = Some(leaf(tx, 7)?);
        Ok(())
    })
    .unwrap();
    assert_eq!((live(pool), pool.read().left.as_ref().map(|tree| tree.value)), (2, Some(7)));
    pool.write(|board, _| Ok(board.left = None)).unwrap();
    assert_eq!(live(pool), 1);
    assert_eq!(scene.settle().1, 1);
}

/// Catches a block that a transaction frees and then hands out again before it is known to commit.
#[test]
fn a_freed_block_is_not_reused_by_its_transaction() {
    let scene = Scene::new();
    scene.pool().write(|board, tx| (0..50).try_for_each(|value| board.chain.push(tx, value))).unwrap();
    let before = see(&scene.pool().read());
    let refused = scene.pool().write(|board, tx| {
        drop_some(board, tx, 50);
        // Were the freed blocks handed out, these values would be in them after the rollback.
        (1000..1200).try_for_each(|value| board.chain.push(tx, value))?;
        Err::<(), _>(Error::abort("no"))
    });
    assert!(refused.is_err());
    assert_eq!(see(&scene.pool().read()), before);
}

/// Catches memory that is not zero when handed out again, which a default of padding and spare room would show.
#[test]
fn many_and_huge_blocks_commit_and_roll_back() {
    let mut scene = Scene::new();
    for (count, len) in [(20_000u64, 1usize), (50, 40_000), (3, 1_000_000)] {
        for commit in [false, true] {
            let before = live(scene.pool());
            let _ = scene.pool().write(|board, tx| {
                for value in 0..count {
                    let mut word = PString::with_capacity(tx, len)?;
                    word.push_str(tx, &"x".repeat(len.min(50_000)))?;
                    assert_eq!(word.len(), len.min(50_000));
                    board.words.push(tx, word)?;
                    assert_eq!(board.words.len() as u64, value + 1);
                }
                if commit { Ok(()) } else { Err(Error::abort("no")) }
            });
            if !commit {
                assert_eq!(live(scene.pool()), before);
            }
        }
        scene.settle();
        scene.pool().write(|board, _| Ok(board.words = PVec::new())).unwrap();
        assert_eq!(scene.settle().1, 1);
    }
}

/// Catches an error type of the caller's that is lost on the way.
#[test]
fn the_callers_error_comes_back() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Overdrawn(u64),
        Pool(String),
    }
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Self::Pool(error.to_string())
        }
    }
    let scene = Scene::new();
    let outcome: Result<(), Mine> = scene.pool().try_write(|board, _| {
        board.flag = true;
        Err(Mine::Overdrawn(7))
    });
    assert_eq!(outcome, Err(Mine::Overdrawn(7)));
    let outcome: Result<u64, Mine> = scene.pool().try_write(|board, tx| {
        board.cells.push(tx, 1)?;
        Ok(9)
    });
    assert_eq!(outcome, Ok(9));
    let nested: Result<(), Mine> = scene.pool().try_write(|_, _| scene.pool().try_write(|_, _| Ok(())));
    assert!(matches!(nested, Err(Mine::Pool(text)) if text.contains("already running")));
    assert!(!scene.pool().read().flag);
}

// ---- what a commit costs ----

/// Catches a commit that writes although nothing changed: no record, no write, no id.
#[test]
fn a_transaction_that_changes_nothing_writes_nothing() {
    let scene = with_things(Scene::with(Scene::options().image(ImageMode::Private)));
    scene.pool().checkpoint().unwrap();
    let (bytes, id, counts) =
        (fs::read(scene.path()).unwrap(), scene.pool().last_committed(), scene.pool().stats().journal);
    let flag = scene.pool().read().flag;
    for durability in [Durability::Immediate, Durability::Eventual] {
        scene
            .pool()
            .write(|board, tx| {
                tx.set_durability(durability);
                // Assigned, and the same as before.
                board.flag = flag;
                board.cells.iter_mut(tx).for_each(|cell| *cell ^= 1);
                board.cells.iter_mut(tx).for_each(|cell| *cell ^= 1);
                Ok(())
            })
            .unwrap();
        scene.pool().write(|_, _| Ok(())).unwrap();
    }
    scene.pool().sync().unwrap();
    assert_eq!((scene.pool().last_committed(), scene.pool().stats().journal), (id, counts));
    // Space may have been made ready behind the pool meanwhile.
    assert!(fs::read(scene.path()).unwrap().starts_with(&bytes));
}

/// Catches a commit with two ordering points (P3): exactly one durable write for `Immediate`, none for `Eventual` until
/// `sync`, which makes one for all of them, and none when there is nothing left.
#[test]
fn an_immediate_commit_is_one_durable_write() {
    let directory = quick_directory();
    let options = Pool::<Chain>::options().force_domain(Domain::Page).image(ImageMode::Private);
    let pool = options.create(directory.path().join("a.pobj")).unwrap();
    let writes = || pool.stats().journal.durable_writes;
    for value in 0..200 {
        let before = pool.stats().journal;
        push(&pool, value).unwrap();
        let after = pool.stats().journal;
        assert_eq!((after.records, after.durable_writes), (before.records + 1, before.durable_writes + 1));
        assert_eq!(after.durable_bytes - before.durable_bytes, 4096, "one block");
    }
    let before = writes();
    pool.sync().unwrap();
    assert_eq!(writes(), before, "all was durable");
    // The background thread may sync by itself: try until it did not come between.
    let between = (0..50).any(|_| {
        let before = writes();
        for value in 0..10 {
            pool.write(|chain, tx| {
                tx.set_durability(Durability::Eventual);
                chain.push(tx, value)
            })
            .unwrap();
        }
        let ordered = writes();
        pool.sync().unwrap();
        ordered == before && writes() == before + 1
    });
    assert!(between, "ten `Eventual` commits and a sync never were one durable write");
}

/// Catches ids that are skipped or repeated: one for each transaction that changed something.
#[test]
fn transaction_ids_are_consecutive() {
    let mut scene = Scene::new();
    let first = scene.pool().last_committed();
    for step in 1..=20 {
        scene.pool().write(|board, tx| board.cells.push(tx, step)).unwrap();
        let _ = scene.pool().write(|board, tx| {
            board.cells.push(tx, step)?;
            Err::<(), _>(Error::abort("no"))
        });
        assert_eq!(scene.pool().last_committed(), first + step);
        if step % 5 == 0 {
            scene.settle();
            assert_eq!(scene.pool().last_committed(), first + step);
        }
    }
}
