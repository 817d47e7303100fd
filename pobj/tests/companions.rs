//! Companions: made once for each time a pool is open, however many threads ask, dropped when it is closed (A55, B5, B17).
//!
//! Catches: two of one type; one that is not made anew after a reopen, or survives the close; one that is made of a
//! transaction that may roll back; threads that wait for each other for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use pobj::media::RamMedia;
use pobj::{Companion, Durability, Error, PVec, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    numbers: PVec<'p, u64>,
}

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(1 << 20).unwrap())
}

fn create(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().max_size(1 << 20).size(64 << 10).ring_size(64 << 10);
    let pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(App::default())).unwrap();
    pool.write(|app, tx| app.numbers.extend(tx, [1, 2, 3])).unwrap();
    pool
}

fn open(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    Pool::<App>::options().validation_threads(1).open_on(media.clone()).unwrap()
}

/// Declares a companion that counts how often it is made and dropped; each test has its own, as tests run together.
macro_rules! counting {
    ($name:ident, $made:ident, $dropped:ident) => {
        static $made: AtomicU64 = AtomicU64::new(0);
        static $dropped: AtomicU64 = AtomicU64::new(0);
        struct $name(u64);
        impl Companion<App<'static>> for $name {
            fn build(app: &App<'_>) -> Self {
                $made.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                Self(app.numbers.iter().sum())
            }
        }
        impl Drop for $name {
            fn drop(&mut self) {
                $dropped.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
}

#[test]
fn threads_race_and_get_one() {
    counting!(Sum, MADE, DROPPED);
    const THREADS: usize = 8;
    let media = media();
    let pool = create(&media);
    for round in 1..=3 {
        let barrier = Barrier::new(THREADS);
        let places: Vec<usize> = std::thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                let sum = pool.companion::<Sum>();
                assert_eq!(sum.0, 6);
                std::ptr::from_ref(sum).addr()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(places.iter().all(|place| *place == places[0]));
        assert_eq!((MADE.load(Ordering::SeqCst), DROPPED.load(Ordering::SeqCst)), (1, 0), "round {round}");
    }
    pool.close().unwrap();
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    let pool = open(&media);
    pool.write(|app, tx| app.numbers.push(tx, 4)).unwrap();
    assert_eq!(MADE.load(Ordering::SeqCst), 1, "nobody has asked");
    assert_eq!(pool.companion::<Sum>().0, 10, "made anew");
    drop(pool);
    assert_eq!((MADE.load(Ordering::SeqCst), DROPPED.load(Ordering::SeqCst)), (2, 2));
    let pool = Pool::<App>::options().open_read_only_on(media).unwrap();
    assert_eq!(pool.companion::<Sum>().0, 10);
    drop(pool);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 3);
}

#[test]
fn each_pool_and_each_type_has_its_own() {
    struct First(Mutex<u64>);
    struct Second(Mutex<u64>);
    impl Companion<App<'static>> for First {
        fn build(_: &App<'_>) -> Self {
            Self(Mutex::new(1))
        }
    }
    impl Companion<App<'static>> for Second {
        fn build(_: &App<'_>) -> Self {
            Self(Mutex::new(2))
        }
    }
    let (pool, other) = (create(&media()), create(&media()));
    *pool.companion::<First>().0.lock().unwrap() += 10;
    assert_eq!(*pool.companion::<Second>().0.lock().unwrap(), 2);
    assert_eq!(*pool.companion::<First>().0.lock().unwrap(), 11);
    assert_eq!(*other.companion::<First>().0.lock().unwrap(), 1);
}

#[test]
fn none_is_made_of_what_may_roll_back() {
    counting!(Sum, MADE, DROPPED);
    let pool = create(&media());
    let outcome = pool.write(|app, tx| {
        app.numbers.push(tx, 100)?;
        pool.try_companion::<Sum>().map(drop)
    });
    assert!(matches!(outcome, Err(Error::Nested)), "{outcome:?}");
    assert_eq!(MADE.load(Ordering::SeqCst), 0);
    assert_eq!(pool.companion::<Sum>().0, 6);
    // Once it is there a transaction may use it.
    pool.write(|app, tx| app.numbers.push(tx, pool.companion::<Sum>().0)).unwrap();
    assert_eq!(pool.read().numbers[..], [1, 2, 3, 6]);
    // And so may who reads.
    let app = pool.read();
    assert_eq!(pool.companion::<Sum>().0, 6);
    drop(app);
    drop(pool);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_build_that_panics_is_tried_again() {
    static FAILS: AtomicU64 = AtomicU64::new(1);
    struct Shy;
    impl Companion<App<'static>> for Shy {
        fn build(_: &App<'_>) -> Self {
            if FAILS.swap(0, Ordering::SeqCst) == 1 {
                std::panic::resume_unwind(Box::new("planned"));
            }
            Self
        }
    }
    let pool = create(&media());
    let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.companion::<Shy>();
    }));
    assert!(attempt.is_err());
    pool.write(|app, tx| app.numbers.push(tx, 4)).unwrap();
    pool.companion::<Shy>();
}

/// One thread makes the companion, a second waits for it with a read guard in hand, a third wants to write: nobody waits
/// for ever.
#[test]
fn makers_readers_and_writers_do_not_wait_in_a_ring() {
    counting!(Sum, MADE, DROPPED);
    for _ in 0..if cfg!(miri) { 1 } else { 20 } {
        let pool = create(&media());
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                pool.companion::<Sum>();
            });
            scope.spawn(|| {
                barrier.wait();
                let guard = pool.read();
                assert!(pool.companion::<Sum>().0 >= 6);
                drop(guard);
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    for number in 0..5 {
                        pool.write(|app, tx| app.numbers.push(tx, number)).unwrap();
                    }
                });
            }
        });
        assert_eq!(pool.read().numbers.len(), 13);
    }
    assert_eq!(MADE.load(Ordering::SeqCst), DROPPED.load(Ordering::SeqCst));
}

/// A companion is dropped before the pool ends, and while the pool is still open to nobody else.
#[test]
fn companions_go_before_the_pool() {
    static ORDER: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    struct Early;
    struct Late;
    impl Companion<App<'static>> for Early {
        fn build(_: &App<'_>) -> Self {
            Self
        }
    }
    impl Companion<App<'static>> for Late {
        fn build(_: &App<'_>) -> Self {
            Self
        }
    }
    impl Drop for Early {
        fn drop(&mut self) {
            ORDER.lock().unwrap().push("early");
        }
    }
    impl Drop for Late {
        fn drop(&mut self) {
            ORDER.lock().unwrap().push("late");
        }
    }
    let media = media();
    let pool = create(&media);
    pool.companion::<Early>();
    pool.companion::<Late>();
    drop(pool);
    assert_eq!(*ORDER.lock().unwrap(), ["early", "late"]);
    open(&media);
    assert_eq!(ORDER.lock().unwrap().len(), 2, "nobody has asked");
}
