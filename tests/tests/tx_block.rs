//! `tx!`: the block's value commits, its `?` rolls back, and an assignment records the assigned field alone.
//!
//! Catches: an assignment that is not logged (it would survive a rollback), one that is lost, an order of evaluation
//! other than Rust's, and names of the macro's own that capture the user's.

use pobj::{Error, PBox, Persistent, Pool, tx};

#[derive(Persistent, Default, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    hits: u64,
    point: Point,
    row: [Point; 4],
    flags: [[bool; 2]; 2],
    pair: Pair<u8>,
    head: Option<PBox<'p, Point>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Pair<T>(T, T);

fn with_pool(test: impl FnOnce(Pool<App<'static>>)) {
    let dir = tempfile::tempdir().unwrap();
    test(Pool::<App>::create(dir.path().join("tx.pobj")).unwrap());
}

#[test]
fn the_value_of_the_block_is_committed_and_returned() {
    with_pool(|pool| {
        let hits = tx!(pool, |app, tx| {
            app.hits += 7;
            app.head = Some(PBox::new(tx, Point { x: 1, y: 2 })?);
            app.hits
        })
        .unwrap();
        assert_eq!(hits, 7);
        assert_eq!(pool.read().hits, 7);
        assert_eq!(pool.read().head.as_deref(), Some(&Point { x: 1, y: 2 }));
    });
}

#[test]
fn every_form_of_assignment_reaches_its_place() {
    with_pool(|pool| {
        let i = 2usize;
        tx!(pool, |app, _| {
            app.point.x = 5;
            app.point.y -= 6;
            (app.row[1]).x = 7;
            app.row[i].y = 8;
            app.row[3] = Point { x: 9, y: 10 };
            app.flags[1][0] = true;
            app.pair.1 |= 0b101;
            app.hits <<= 3;
        })
        .unwrap();
        let app = pool.read();
        assert_eq!(app.point, Point { x: 5, y: -6 });
        assert_eq!(app.row, [(0, 0), (7, 0), (0, 8), (9, 10)].map(|(x, y)| Point { x, y }));
        assert_eq!(app.flags, [[false; 2], [true, false]]);
        assert_eq!((app.pair.0, app.pair.1, app.hits), (0, 5, 0));
    });
}

#[test]
fn an_error_rolls_every_form_back() {
    with_pool(|pool| {
        tx!(pool, |app, _| app.hits = 1).unwrap();
        let result: pobj::Result<()> = tx!(pool, |app, tx| {
            app.hits += 1;
            app.point.x = 3;
            app.row[2].y = 3;
            app.pair = Pair(1, 2);
            app.head.replace(PBox::new(tx, Point::default())?);
            let whole = &mut **app;
            whole.point.y = 4;
            Err(Error::abort("enough"))?
        });
        assert!(matches!(result, Err(Error::Aborted(_))));
        let app = pool.read();
        assert_eq!((app.hits, app.point, app.row[2].y), (1, Point::default(), 0));
        assert_eq!((app.pair.0, app.head.is_none()), (0, true));
    });
}

#[test]
fn a_panic_in_an_index_rolls_back() {
    with_pool(|pool| {
        let beyond = std::hint::black_box(4);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            tx!(pool, |app, _| {
                app.hits = 1;
                app.row[beyond].x = 1;
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(pool.read().hits, 0);
    });
}

#[test]
fn the_value_is_evaluated_before_the_index_and_the_place() {
    with_pool(|pool| {
        let order = std::cell::RefCell::new(Vec::new());
        let note = |what: &'static str, value: usize| {
            order.borrow_mut().push(what);
            value
        };
        tx!(pool, |app, _| {
            app.row[note("index", 1)].x = note("value", 5) as i32;
            app.hits = app.hits + 2;
            app.row[app.hits as usize].y = app.row[1].x;
        })
        .unwrap();
        assert_eq!(*order.borrow(), ["value", "index"]);
        assert_eq!(pool.read().row[2].y, 5);
    });
}

#[test]
fn names_of_the_user_are_not_captured() {
    with_pool(|pool| {
        let (root, place, value, index_0) = (1u64, 2u64, 3u64, 1usize);
        tx!(&pool, move |app, _| {
            app.hits = root + place + value;
            app.row[index_0].x = 4;
        })
        .unwrap();
        assert_eq!((pool.read().hits, pool.read().row[1].x), (6, 4));
    });
}

#[test]
fn assignments_inside_loops_closures_and_values_are_rewritten() {
    with_pool(|pool| {
        tx!(pool, |app, _| {
            for i in 0..3 {
                app.row[i].x = i as i32;
            }
            let mut add = |by| app.hits += by;
            add(1);
            add(2);
            app.point.y = {
                app.point.x = 1;
                2
            };
        })
        .unwrap();
        let app = pool.read();
        assert_eq!((app.hits, app.row[2].x, app.point), (3, 2, Point { x: 1, y: 2 }));
    });
}
