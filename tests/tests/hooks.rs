//! Hooks of transactions (B9): each runs once, at the right end, outside the transaction.
//!
//! Catches: a hook that runs twice, early, in the wrong order or for another pool; a pool that stays locked because one
//! panicked.

#![allow(clippy::unit_arg, reason = "a transaction of one statement stays one expression")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use pobj::{Error, Tx};
use tests::support::board::Scene;

fn fails_with_panic(act: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(act)).is_err(), "there should have been a panic");
}

/// Catches hooks that run twice, early, in the wrong order, inside the transaction, or for the wrong end.
#[test]
fn hooks_run_once_each_at_the_right_end() {
    let scene = Rc::new(Scene::new());
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let hooks = |tx: &Tx<'_>, name: &str| {
        for number in 1..=2 {
            // Outside the transaction: reading and writing are allowed.
            let (notes, place, text) = (log.clone(), scene.clone(), format!("{name} committed {number}"));
            tx.on_commit(move || {
                notes.borrow_mut().push(format!("{text}: {}", place.pool().read().cells.len()))
            });
            let (notes, place, text) = (log.clone(), scene.clone(), format!("{name} rolled back {number}"));
            tx.on_abort(move || {
                place.pool().write(|board, _| Ok(board.flag = !board.flag)).unwrap();
                notes.borrow_mut().push(text);
            });
        }
    };
    scene
        .pool()
        .write(|board, tx| {
            hooks(tx, "a");
            board.cells.push(tx, 1)?;
            assert!(log.borrow().is_empty());
            Ok(())
        })
        .unwrap();
    assert_eq!(log.take(), ["a committed 1: 1", "a committed 2: 1"]);
    let _ = scene.pool().write(|board, tx| {
        hooks(tx, "b");
        board.cells.push(tx, 1)?;
        Err::<(), _>(Error::abort("no"))
    });
    assert_eq!(log.take(), ["b rolled back 1", "b rolled back 2"]);
    fails_with_panic(|| {
        let _ = scene.pool().write(|board, tx| {
            hooks(tx, "c");
            if board.cells.len() == 1 {
                panic!("on purpose");
            }
            Ok(())
        });
    });
    assert_eq!(log.take(), ["c rolled back 1", "c rolled back 2"]);
    // A transaction that changes nothing commits all the same.
    scene.pool().write(|_, tx| Ok(hooks(tx, "d"))).unwrap();
    assert_eq!(log.take(), ["d committed 1: 1", "d committed 2: 1"]);
    // One that never began has none.
    scene
        .pool()
        .write(|_, tx| {
            let refused = scene.pool().write(|_, tx| Ok(hooks(tx, "never")));
            assert!(matches!(refused, Err(Error::Nested)));
            Ok(hooks(tx, "e"))
        })
        .unwrap();
    assert_eq!(log.take(), ["e committed 1: 1", "e committed 2: 1"]);
    assert_eq!(scene.pool().read().cells.len(), 1);
}

/// Catches hooks of nested transactions on two pools that run for each other.
#[test]
fn hooks_of_two_pools_do_not_mix() {
    let (a, b) = (Scene::new(), Scene::new());
    let log: Rc<RefCell<Vec<&str>>> = Rc::default();
    let note = |text| {
        let log = log.clone();
        move || log.borrow_mut().push(text)
    };
    let _ = a.pool().write(|_, outer| {
        outer.on_commit(note("outer committed"));
        outer.on_abort(note("outer rolled back"));
        b.pool().write(|_, inner| {
            inner.on_commit(note("inner committed"));
            inner.on_abort(note("inner rolled back"));
            Ok(())
        })?;
        assert_eq!(*log.borrow(), ["inner committed"]);
        Err::<(), _>(Error::abort("no"))
    });
    assert_eq!(log.take(), ["inner committed", "outer rolled back"]);
}

/// Catches a pool that stays locked, or a transaction undone, because a hook panicked.
#[test]
fn a_hook_that_panics_leaves_the_pool_usable() {
    let mut scene = Scene::new();
    fails_with_panic(|| {
        let _ = scene.pool().write(|board, tx| {
            tx.on_commit(|| panic!("on purpose"));
            board.cells.push(tx, 1)
        });
    });
    assert_eq!(scene.pool().read().cells.as_slice(), [1], "it had committed");
    fails_with_panic(|| {
        let _ = scene.pool().write(|board, tx| {
            tx.on_abort(|| panic!("on purpose"));
            board.cells.push(tx, 2)?;
            Err::<(), _>(Error::abort("no"))
        });
    });
    fails_with_panic(|| {
        let _ = scene.pool().write(|board, tx| -> pobj::Result<()> {
            tx.on_abort(|| panic!("a second time"));
            board.cells.push(tx, 3)?;
            panic!("on purpose");
        });
    });
    scene.pool().write(|board, tx| board.cells.push(tx, 4)).unwrap();
    assert_eq!(scene.settle().0.cells, [1, 4]);
}

/// Catches a pool that stays locked because something that a hook holds, which did not run, panicked when it was dropped.
#[test]
fn a_hook_that_is_not_due_is_dropped_outside() {
    struct Unhappy;
    impl Drop for Unhappy {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let mut scene = Scene::new();
    fails_with_panic(|| {
        let _ = scene.pool().write(|board, tx| {
            let held = Unhappy;
            tx.on_abort(move || drop(held));
            board.cells.push(tx, 1)
        });
    });
    assert_eq!(scene.pool().read().cells.as_slice(), [1], "it had committed");
    fails_with_panic(|| {
        let _ = scene.pool().write(|board, tx| {
            let held = Unhappy;
            tx.on_commit(move || drop(held));
            board.cells.push(tx, 2)?;
            Err::<(), _>(Error::abort("no"))
        });
    });
    scene.pool().write(|board, tx| board.cells.push(tx, 3)).unwrap();
    assert_eq!(scene.settle().0.cells, [1, 3]);
}
