//! Transactions that share a pool: isolation, order, deadlocks, panics, starvation, full pools.
//!
//! Catches: a change that others see before its transaction has ended, a rollback that takes back what somebody else
//! wrote, a lock that outlives its transaction or is lost before its end, a circle that is not seen (which hangs the
//! test), a block that two transactions get, a record that names a transaction that it cannot follow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

use pobj::Durability::{Eventual, Immediate};
use pobj::media::{Domain, ImageMode};
use pobj::{Error, Options, PAtomicU64, PBox, PMutex, PRwLock, PString, PVec, Persistent, Pool, Result};
use tests::support::quick_directory;

const CELLS: usize = 8;

#[derive(Persistent, Default)]
#[repr(C)]
struct Board<'p> {
    cells: [PMutex<'p, i64>; CELLS],
    table: PRwLock<'p, u64>,
    count: PAtomicU64<'p>,
    lists: [PMutex<'p, PVec<'p, PBox<'p, u64>>>; 4],
    names: PRwLock<'p, PVec<'p, PString<'p>>>,
    plain: u64,
}

/// Every way in which a pool can be kept.
fn options() -> Vec<(&'static str, Options<Board<'static>>)> {
    let options = || Pool::<Board>::options().size(1 << 20).max_size(64 << 20);
    vec![
        ("file", options().force_domain(Domain::Page)),
        ("eventual", options().force_domain(Domain::Page).durability(Eventual)),
        ("line", options().force_domain(Domain::CacheLine)),
        ("in place", options().force_domain(Domain::CacheLine).image(ImageMode::InPlace)),
    ]
}

/// Options whose transactions run at the same time.
fn parallel() -> Vec<(&'static str, Options<Board<'static>>)> {
    let mut options = options();
    options.retain(|(name, _)| *name != "in place");
    options
}

/// Runs `test` on a new pool of each kind, and what it left behind once more through validation.
fn on_each(kinds: Vec<(&'static str, Options<Board<'static>>)>, test: impl Fn(&Pool<Board<'static>>)) {
    for (name, options) in kinds {
        println!("{name}");
        let directory = quick_directory();
        let path = directory.path().join("share.pobj");
        let pool = options.create(&path).unwrap();
        test(&pool);
        let sum = sum(&pool);
        pool.close().unwrap();
        let pool = options.open(&path).unwrap();
        assert_eq!(pool.stats().opened.unreachable_blocks, 0, "a block was lost");
        assert_eq!(self::sum(&pool), sum);
    }
}

fn sum(pool: &Pool<Board<'static>>) -> i64 {
    let board = pool.read();
    board.cells.iter().map(|cell| *cell.get(&board)).sum()
}

fn abort() -> Error {
    Error::abort("on purpose")
}

#[test]
fn transfers_from_many_threads_keep_the_sum() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 400;
    on_each(options(), |pool| {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    let mut state = thread + 1;
                    for round in 0..ROUNDS {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let (from, to) = ((state >> 33) as usize % CELLS, (state >> 45) as usize % CELLS);
                        let outcome = pool.share(|board, tx| {
                            *board.cells[from].lock(tx)? -= 1;
                            *board.cells[to].lock(tx)? += 1;
                            if round % 8 == 0 { Err(abort()) } else { board.count.fetch_add(1, tx).map(drop) }
                        });
                        assert_eq!(outcome.is_err(), round % 8 == 0, "{outcome:?}");
                    }
                });
            }
        });
        assert_eq!(sum(pool), 0);
        let board = pool.read();
        assert_eq!(board.count.get(&board), THREADS * (ROUNDS - ROUNDS.div_ceil(8)));
    });
}

#[test]
fn nobody_sees_what_has_not_ended() {
    on_each(parallel(), |pool| {
        let (changed, seen) = (Barrier::new(2), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let outcome = pool.share(|board, tx| {
                    *board.cells[0].lock(tx)? = 5;
                    *board.cells[1].lock(tx)? = 6;
                    changed.wait();
                    std::thread::sleep(Duration::from_millis(20));
                    assert!(!seen.load(Ordering::SeqCst), "another one came past a lock");
                    Err::<(), _>(abort())
                });
                assert!(matches!(outcome, Err(Error::Aborted(_))));
            });
            changed.wait();
            let value = pool.share(|board, tx| {
                assert!(board.cells[1].try_lock(tx)?.is_none() || seen.load(Ordering::SeqCst));
                *board.cells[2].lock(tx)? = 7;
                let value = *board.cells[0].lock(tx)?;
                seen.store(true, Ordering::SeqCst);
                Ok(value)
            });
            assert_eq!(value.unwrap(), 0);
        });
        let board = pool.read();
        assert_eq!(board.cells.each_ref().map(|cell| *cell.get(&board))[..3], [0, 0, 7]);
    });
}

/// A rollback while others commit beside it, in neighbouring words. Catches restoring more than one's own.
#[test]
fn a_rollback_takes_back_its_own_words_only() {
    on_each(parallel(), |pool| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let outcome = pool.share(|board, tx| {
                        for cell in board.cells.iter().step_by(2) {
                            *cell.lock(tx)? += 1000;
                        }
                        board.lists[0].lock(tx)?.push(tx, PBox::new(tx, 1)?)?;
                        Err::<(), _>(abort())
                    });
                    assert!(outcome.is_err());
                }
            });
            for round in 1..=300 {
                let odd = pool.share(|board, tx| {
                    for cell in board.cells.iter().skip(1).step_by(2) {
                        *cell.lock(tx)? += 1;
                    }
                    Ok(*board.cells[1].lock(tx)?)
                });
                assert_eq!(odd.unwrap(), round);
            }
            stop.store(true, Ordering::Relaxed);
        });
        let board = pool.read();
        assert_eq!(board.cells.each_ref().map(|cell| *cell.get(&board)), [0, 300, 0, 300, 0, 300, 0, 300]);
        assert!(board.lists[0].get(&board).is_empty());
    });
}

/// Each transaction appends what it read from the one before. Catches a lock given back before its record has its place.
#[test]
fn commits_are_ordered_as_they_saw_each_other() {
    on_each(options(), |pool| {
        let last = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let before = pool.share(|board, tx| {
                            let mut cell = board.cells[0].lock(tx)?;
                            *cell += 1;
                            *board.cells[1].lock(tx)? = *cell;
                            Ok(*cell)
                        });
                        last.fetch_max(before.unwrap() as u64, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(last.into_inner(), 600);
        let board = pool.read();
        assert_eq!((*board.cells[0].get(&board), *board.cells[1].get(&board)), (600, 600));
    });
}

/// Each thread takes the lock of its own number, waits for the others to do so, and then wants its neighbour's.
fn circle(pool: &Pool<Board<'static>>, len: usize) {
    let all = Barrier::new(len);
    let attempts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for number in 0..len {
            let (all, attempts) = (&all, &attempts);
            scope.spawn(move || {
                let mut first = true;
                pool.share(|board, tx| {
                    attempts.fetch_add(1, Ordering::SeqCst);
                    *board.cells[number].lock(tx)? += 1;
                    if std::mem::take(&mut first) {
                        all.wait();
                    }
                    *board.cells[(number + 1) % len].lock(tx)? += 1;
                    Ok(())
                })
                .unwrap();
            });
        }
    });
    assert!(attempts.into_inner() > len as u64, "the circle was no circle");
    let board = pool.read();
    assert!(board.cells[..len].iter().all(|cell| *cell.get(&board) == 2));
}

#[test]
fn a_circle_of_two_is_resolved() {
    on_each(parallel(), |pool| circle(pool, 2));
}

#[test]
fn circles_of_three_and_of_eight_are_resolved() {
    on_each(parallel(), |pool| circle(pool, 3));
    on_each(parallel(), |pool| circle(pool, 8));
}

#[test]
fn two_readers_who_want_to_write_are_resolved() {
    on_each(parallel(), |pool| {
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut first = true;
                    pool.share(|board, tx| {
                        let value = *board.table.read(tx)?;
                        if std::mem::take(&mut first) {
                            both.wait();
                        }
                        *board.table.write(tx)? = value + 1;
                        Ok(())
                    })
                    .unwrap();
                });
            }
        });
        let board = pool.read();
        assert_eq!(*board.table.get(&board), 2, "an increment was lost");
    });
}

/// Whatever the closure makes of the error, the attempt does not count.
#[test]
fn who_ignores_a_deadlock_is_rolled_back_all_the_same() {
    on_each(parallel(), |pool| {
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            for number in 0..2 {
                let both = &both;
                scope.spawn(move || {
                    let mut first = true;
                    pool.share(|board, tx| {
                        *board.cells[number].lock(tx)? += 1;
                        if std::mem::take(&mut first) {
                            both.wait();
                        }
                        match board.cells[1 - number].lock(tx) {
                            Ok(mut other) => *other += 1,
                            Err(error) => assert!(matches!(error, Error::Deadlock)),
                        }
                        Ok(())
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(sum(pool), 4);
    });
}

#[test]
fn a_guard_that_is_there_refuses_a_second_one() {
    on_each(options(), |pool| {
        pool.share(|board, tx| {
            let guard = board.cells[0].lock(tx)?;
            assert!(matches!(board.cells[0].lock(tx), Err(Error::AlreadyBorrowed)));
            assert!(matches!(board.cells[0].try_lock(tx), Err(Error::AlreadyBorrowed)));
            drop(guard);
            *board.cells[0].lock(tx)? += 1;
            let (one, two) = (board.table.read(tx)?, board.table.read(tx)?);
            assert!(matches!(board.table.write(tx), Err(Error::AlreadyBorrowed)));
            drop((one, two));
            let guard = board.table.write(tx)?;
            assert!(matches!(board.table.read(tx), Err(Error::AlreadyBorrowed)));
            std::mem::forget(guard);
            assert!(matches!(board.table.read(tx), Err(Error::AlreadyBorrowed)), "forgotten is borrowed");
            Ok(())
        })
        .unwrap();
        pool.share(|board, tx| board.table.read(tx).map(drop)).unwrap();
        pool.write(|board, tx| {
            *board.cells[0].get_mut() += 1;
            let guard = board.cells[0].lock(tx)?;
            assert!(matches!(board.cells[0].lock(tx), Err(Error::AlreadyBorrowed)));
            drop(guard);
            let mut local = PMutex::new(5);
            *local.lock(tx)? += 1;
            assert_eq!(*local.get_mut(), 6, "a lock outside the pool is a value");
            Ok(())
        })
        .unwrap();
        assert_eq!(sum(pool), 2);
    });
}

#[test]
fn a_panic_rolls_back_and_releases() {
    on_each(options(), |pool| {
        std::thread::scope(|scope| {
            let panicked = scope.spawn(|| {
                pool.share(|board, tx| -> Result<()> {
                    *board.cells[0].lock(tx)? = 5;
                    panic!("on purpose")
                })
            });
            assert!(panicked.join().is_err());
        });
        let value = pool.share(|board, tx| Ok(*board.cells[0].lock(tx)?));
        assert_eq!(value.unwrap(), 0);
        pool.write(|board, _| {
            board.plain = 1;
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn waiting_for_a_lock_ends_when_it_should() {
    on_each(parallel(), |pool| {
        let (held, done) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pool.share(|board, tx| {
                    *board.cells[0].lock(tx)? += 1;
                    *board.table.write(tx)? += 1;
                    held.wait();
                    done.wait();
                    Ok(())
                })
            });
            held.wait();
            pool.share(|board, tx| {
                let wait = Duration::from_millis(10);
                let begun = Instant::now();
                assert!(board.cells[0].lock_timeout(tx, wait)?.is_none());
                assert!(board.table.read_timeout(tx, wait)?.is_none());
                assert!(begun.elapsed() >= 2 * wait);
                assert!(board.cells[0].try_lock(tx)?.is_none());
                assert!(board.table.try_read(tx)?.is_none() && board.table.try_write(tx)?.is_none());
                done.wait();
                assert!(board.cells[0].lock_timeout(tx, Duration::from_secs(60))?.is_some());
                assert!(board.table.write_timeout(tx, Duration::MAX)?.is_some());
                Ok(())
            })
            .unwrap();
        });
    });
}

/// Others stream through one mode of the gate while one wants in through another. Catches a side that starves.
#[test]
fn nobody_is_kept_out_for_ever() {
    on_each(parallel(), |pool| {
        let stop = AtomicBool::new(false);
        let share = || pool.share(|board, tx| board.cells[0].lock(tx).map(|mut cell| *cell += 1)).unwrap();
        let write = || {
            pool.write(|board, _| {
                board.plain += 1;
                Ok(())
            })
            .unwrap();
        };
        let read = || assert!(pool.read().plain < u64::MAX);
        let streams: [&(dyn Fn() + Sync); 3] = [&share, &write, &read];
        for (number, stream) in streams.iter().enumerate() {
            stop.store(false, Ordering::SeqCst);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            stream();
                        }
                    });
                }
                for (other, single) in streams.iter().enumerate() {
                    for _ in 0..if other == number { 0 } else { 20 } {
                        single();
                    }
                }
                stop.store(true, Ordering::SeqCst);
            });
        }
    });
}

#[test]
fn transactions_do_not_nest_on_a_thread() {
    on_each(options(), |pool| {
        pool.share(|_, _| {
            assert!(matches!(pool.share(|_, _| Ok(())), Err(Error::Nested)));
            assert!(matches!(pool.write(|_, _| Ok(())), Err(Error::Nested)));
            assert!(matches!(pool.try_read(), Err(Error::Nested)));
            // Must not wait for this transaction itself.
            assert!(pool.stats().len > 0);
            Ok(())
        })
        .unwrap();
        pool.write(|_, _| {
            assert!(matches!(pool.share(|_, _| Ok(())), Err(Error::Nested)));
            Ok(())
        })
        .unwrap();
        let guard = pool.read();
        assert!(matches!(pool.share(|_, _| Ok(())), Err(Error::ReadGuardHeld)));
        drop(guard);
    });
}

/// Blocks of random sizes taken and freed by several threads at once, to the pool's last byte (A14, A15). Catches two
/// transactions with one block, and a block that a full pool loses.
#[test]
fn blocks_are_nobody_elses_even_when_the_pool_is_full() {
    for (name, options) in parallel() {
        println!("{name}");
        let directory = quick_directory();
        let path = directory.path().join("full.pobj");
        let options = options.max_size(6 << 20);
        let pool = options.create(&path).unwrap();
        let full = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                let (pool, full) = (&pool, &full);
                scope.spawn(move || {
                    let mut state = thread as u64 + 7;
                    for round in 0..300u64 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let outcome = pool.share(|board, tx| {
                            let mut list = board.lists[thread].lock(tx)?;
                            if round % 5 == 4 {
                                let len = list.len();
                                list.truncate(len / 2);
                                return Ok(());
                            }
                            for at in 0..(state >> 40) % 40 {
                                list.push(tx, PBox::new(tx, thread as u64 * 1000 + at)?)?;
                            }
                            let text = "x".repeat((state >> 50) as usize % 2000 * 20);
                            let mut names = board.names.write(tx)?;
                            names.push(tx, PString::from_str(tx, &text)?)?;
                            if names.len() > 300 {
                                names.clear();
                            }
                            Ok(())
                        });
                        match outcome {
                            Ok(()) => {}
                            Err(Error::PoolFull { .. }) => {
                                full.fetch_add(1, Ordering::Relaxed);
                                pool.share(|board, tx| {
                                    board.names.write(tx)?.clear();
                                    Ok(())
                                })
                                .unwrap();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        assert!(full.into_inner() > 0, "the pool was never full");
        let live = pool.stats().heap.live_blocks;
        pool.close().unwrap();
        let pool = options.open(&path).unwrap();
        let opened = pool.stats();
        assert_eq!((opened.opened.unreachable_blocks, opened.heap.live_blocks), (0, live));
        let board = pool.read();
        for (thread, list) in board.lists.iter().enumerate() {
            let of_thread = |item: &PBox<u64>| **item / 1000 == thread as u64;
            assert!(list.get(&board).iter().all(of_thread));
        }
    }
}

/// More threads than the gate has seats, all inside at the same time (A48).
#[test]
fn more_threads_than_seats_are_inside_together() {
    const THREADS: usize = 40;
    on_each(parallel(), |pool| {
        let all = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    pool.share(|board, tx| {
                        all.wait();
                        board.count.fetch_add(1, tx).map(drop)
                    })
                    .unwrap();
                });
            }
        });
        let board = pool.read();
        assert_eq!(board.count.get(&board), THREADS as u64);
    });
}

#[test]
fn hooks_run_once_for_each_attempt_and_durability_is_each_ones_own() {
    on_each(options(), |pool| {
        let (sender, hooks) = mpsc::channel();
        let outcome = pool.share(|board, tx| {
            let (committed, aborted) = (sender.clone(), sender.clone());
            tx.on_commit(move || committed.send("committed").unwrap());
            tx.on_abort(move || aborted.send("aborted").unwrap());
            tx.set_durability(Immediate);
            board.count.store(4, tx)
        });
        outcome.unwrap();
        assert_eq!(hooks.try_iter().collect::<Vec<_>>(), ["committed"]);
        let outcome = pool.share(|_, tx| {
            let (committed, aborted) = (sender.clone(), sender.clone());
            tx.on_commit(move || committed.send("committed").unwrap());
            tx.on_abort(move || aborted.send("aborted").unwrap());
            Err::<(), _>(abort())
        });
        assert!(outcome.is_err());
        assert_eq!(hooks.try_iter().collect::<Vec<_>>(), ["aborted"]);
    });
}

#[test]
fn a_transaction_that_changes_nothing_writes_nothing() {
    on_each(options(), |pool| {
        let before = pool.last_committed();
        let value = pool.share(|board, tx| {
            let read = *board.table.read(tx)?;
            let kept = PBox::new(tx, 5u64)?;
            drop(kept);
            Ok(read + board.count.load(tx)?)
        });
        assert_eq!((value.unwrap(), pool.last_committed()), (0, before));
    });
}

#[test]
fn atomic_cells_do_what_their_names_say() {
    on_each(options(), |pool| {
        pool.share(|board, tx| {
            let count = &board.count;
            assert_eq!(count.fetch_add(5, tx)?, 0);
            assert_eq!(count.fetch_sub(6, tx)?, 5);
            assert_eq!(count.swap(9, tx)?, u64::MAX);
            assert_eq!(count.compare_exchange(8, 1, tx)?, Err(9));
            assert_eq!(count.compare_exchange(9, 1, tx)?, Ok(9));
            assert_eq!(count.fetch_max(7, tx)?, 1);
            assert_eq!(count.fetch_min(3, tx)?, 7);
            assert_eq!(count.load(tx)?, 3);
            Ok(())
        })
        .unwrap();
    });
}

/// A guard of one pool says nothing about another one.
#[test]
#[should_panic(expected = "read guard of its own pool")]
fn a_guard_of_another_pool_opens_no_lock() {
    let directory = quick_directory();
    let other: &'static Pool<Board<'static>> =
        Box::leak(Box::new(Pool::create(directory.path().join("other.pobj")).unwrap()));
    let pool = Pool::<Board>::create(directory.path().join("this.pobj")).unwrap();
    let _ = pool.share(|board, _| {
        let guard = other.read();
        Ok(*board.cells[0].get(&guard))
    });
}

/// A pool that is dropped while its owner lies with the sharers gives everything back: it can be opened again.
#[test]
fn a_dropped_pool_is_gone() {
    for (_, options) in options() {
        let directory = quick_directory();
        let path = directory.path().join("gone.pobj");
        let pool = options.create(&path).unwrap();
        pool.share(|board, tx| board.count.store(7, tx)).unwrap();
        drop(pool);
        let pool = options.open(&path).unwrap();
        let board = pool.read();
        assert_eq!(board.count.get(&board), 7);
    }
}
