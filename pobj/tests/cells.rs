//! `PCell`, `PRefCell` and `POption`: changes through `&` that roll back, borrows that exclude each other, a layout that
//! stays.
//!
//! Catches: a cell that changes without being remembered; one that remembers (and rolls back) its neighbours; two `&mut`
//! to one value, or a `&mut` beside a `&`; a guard that was forgotten and blocks its cell for ever, or in another
//! transaction; a cell in ordinary memory that is taken for one in the pool; a tag of a damaged file that is believed.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PBox, PCell, POption, PRc, PRefCell, PVec, Persistent, Pool, Result};
use proptest::prelude::*;

const MAX_SIZE: u64 = 1 << 20;
const CASES: u32 = if cfg!(miri) { 2 } else { 300 };

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create<R: Persistent>(media: &Arc<RamMedia>) -> Pool<R>
where
    for<'p> R::At<'p>: Default,
{
    let options = Pool::<R>::options().max_size(MAX_SIZE).size(64 << 10).ring_size(64 << 10);
    options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(R::At::default())).unwrap()
}

fn try_open<R: Persistent>(media: &Arc<RamMedia>) -> Result<Pool<R>> {
    Pool::<R>::options().durability(Durability::Eventual).validation_threads(1).open_on(media.clone())
}

fn fail<T>() -> Result<T> {
    Err(Error::abort("on purpose"))
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    before: u8,
    number: PCell<'p, u64>,
    small: PCell<'p, u8>,
    wide: PCell<'p, [u32; 3]>,
    after: u8,
    list: PRefCell<'p, PVec<'p, u64>>,
    flag: PRefCell<'p, bool>,
    nested: PRefCell<'p, PRefCell<'p, u64>>,
    nothing: [PRefCell<'p, ()>; 2],
    shared: Option<PRc<'p, PRefCell<'p, u64>>>,
    boxed: Option<PBox<'p, PRefCell<'p, u64>>>,
}

#[test]
fn a_cell_changes_through_a_shared_reference_and_rolls_back() {
    let media = media();
    let pool = create::<App>(&media);
    pool.write(|app, tx| {
        let neighbour = &mut app.after;
        let (number, small, wide) = (&app.number, &app.small, &app.wide);
        number.set(5, tx);
        *neighbour = 9;
        assert_eq!(number.replace(6, tx), 5);
        small.update(tx, |value| value + 3);
        wide.set([1, 2, 3], tx);
        *neighbour += 1;
        let other = PCell::new(40);
        number.swap(&other, tx);
        assert_eq!((number.get(), other.get()), (40, 6));
        number.swap(number, tx);
        assert_eq!(other.take(tx), 6);
        assert_eq!(other, PCell::default());
        Ok(())
    })
    .unwrap();
    let state = |pool: &Pool<App<'static>>| {
        let app = pool.read();
        (app.before, app.number.get(), app.small.get(), app.wide.get(), app.after)
    };
    let expected = (0, 40, 3, [1, 2, 3], 10);
    assert_eq!(state(&pool), expected);
    let failed: Result<()> = pool.write(|app, tx| {
        app.before = 1;
        app.number.set(0, tx);
        app.small.set(0, tx);
        app.wide.update(tx, |[a, b, c]| [c, b, a]);
        *app.number.get_mut() += 1;
        fail()
    });
    assert!(failed.is_err());
    assert_eq!(state(&pool), expected);
    drop(pool);
    assert_eq!(state(&try_open(&media).unwrap()), expected);
}

/// The root is not remembered as a whole in a `tx!` block, so the cell must remember itself.
#[test]
fn a_cell_remembers_itself_where_nothing_else_does() {
    let media = media();
    let pool = create::<App>(&media);
    for commits in [false, true] {
        let outcome = pobj::tx!(pool, |app, tx| {
            app.number.set(7, tx);
            *app.flag.borrow_mut(tx) = true;
            if !commits {
                fail()?;
            }
        });
        assert_eq!(outcome.is_ok(), commits);
        let app = pool.read();
        assert_eq!((app.number.get(), *app.flag.borrow()), (7 * u64::from(commits), commits));
    }
    drop(pool);
    assert_eq!(try_open::<App>(&media).unwrap().read().number.get(), 7);
}

fn is_refused<T>(outcome: Result<T>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(Error::AlreadyBorrowed) => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn borrows_exclude_each_other() {
    let pool = create::<App>(&media());
    pool.write(|app, tx| {
        let app = &*app;
        let one = app.list.borrow();
        let two = app.list.borrow();
        assert!(is_refused(app.list.try_borrow_mut(tx)));
        drop(one);
        assert!(is_refused(app.list.try_borrow_mut(tx)));
        drop(two);
        let mut list = app.list.borrow_mut(tx);
        assert!(is_refused(app.list.try_borrow_mut(tx)));
        assert!(is_refused(app.list.try_borrow()));
        assert_eq!(format!("{:?}", app.list), "PRefCell(<borrowed>)");
        list.push(tx, 1)?;
        // Neighbours, and cells at the same address, are cells of their own.
        *app.flag.borrow_mut(tx) = true;
        let nested = app.nested.borrow();
        *nested.borrow_mut(tx) = 3;
        let [_one, _two] = [app.nothing[0].borrow(), app.nothing[1].borrow()];
        drop(list);
        assert_eq!(app.list.borrow()[..], [1]);
        assert_eq!(format!("{:?}", app.list), "PRefCell([1])");
        Ok(())
    })
    .unwrap();
    let app = pool.read();
    assert_eq!((*app.flag.borrow(), *app.nested.borrow().borrow()), (true, 3));
    let guards: Vec<_> = (0..10).map(|_| app.list.borrow()).collect();
    assert!(guards.iter().all(|list| ***list == [1]));
}

#[test]
fn the_panicking_forms_say_why() {
    let pool = create::<App>(&media());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = pool.write(|app, tx| {
            let _list = app.list.borrow();
            let _ = app.list.borrow_mut(tx);
            Ok(())
        });
    }));
    let panic = panicked.unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.starts_with("PRefCell::borrow_mut: this transaction has borrowed the value already"),
        "{text}"
    );
    pool.write(|app, tx| {
        app.list.borrow_mut(tx).push(tx, 1)?;
        Ok(())
    })
    .unwrap();
}

/// A forgotten guard is a borrow until the end of its transaction, however that ends.
#[test]
fn a_forgotten_guard_blocks_its_cell_until_the_transaction_ends() {
    let pool = create::<App>(&media());
    for ends in ["commit", "abort", "panic"] {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.write(|app, tx| {
                std::mem::forget(app.flag.borrow_mut(tx));
                std::mem::forget(app.list.borrow());
                assert!(is_refused(app.flag.try_borrow()));
                assert!(is_refused(app.list.try_borrow_mut(tx)));
                assert!(!is_refused(app.list.try_borrow()));
                match ends {
                    "abort" => fail(),
                    "panic" => std::panic::resume_unwind(Box::new("planned")),
                    _ => Ok(()),
                }
            })
        }));
        assert!(!*pool.read().flag.borrow());
        pool.write(|app, tx| {
            *app.flag.borrow_mut(tx) = true;
            *app.flag.borrow_mut(tx) = false;
            app.list.borrow_mut(tx).clear();
            Ok(())
        })
        .unwrap();
    }
}

/// The state belongs to the borrow, not to the transaction that happens to be innermost.
#[test]
fn guards_outlive_a_transaction_on_another_pool() {
    let (pool, other) = (create::<App>(&media()), create::<App>(&media()));
    pool.write(|app, tx| {
        let app = &*app;
        let outside = PRefCell::new(1u64);
        let (in_pool, in_memory) = other
            .write(|inner, inner_tx| {
                *inner.flag.borrow_mut(inner_tx) = true;
                Ok((app.flag.borrow(), outside.borrow()))
            })
            .unwrap();
        assert!(is_refused(app.flag.try_borrow_mut(tx)));
        assert!(is_refused(outside.try_borrow_mut(tx)));
        drop((in_pool, in_memory));
        *app.flag.borrow_mut(tx) = true;
        *outside.borrow_mut(tx) += 1;
        assert_eq!(outside.into_inner(), 2);
        // A read guard of the other pool, whose cells are counted while this transaction runs.
        let reading = other.read();
        let flag = reading.flag.borrow();
        assert!(*flag && *reading.flag.borrow());
        Ok(())
    })
    .unwrap();
    let reading = other.read();
    let flag = reading.flag.borrow();
    pool.write(|_, _| {
        let again = reading.flag.borrow();
        drop(flag);
        assert!(*again);
        Ok(())
    })
    .unwrap();
}

#[test]
fn cells_in_ordinary_memory_work_before_they_are_stored() {
    let pool = create::<App>(&media());
    pool.write(|app, tx| {
        let cell = PRefCell::new(1);
        *cell.borrow_mut(tx) += 1;
        let guard = cell.borrow();
        assert!(is_refused(cell.try_borrow_mut(tx)));
        drop(guard);
        assert_eq!(cell.replace(7, tx), 2);
        let shared = PRc::new(tx, cell)?;
        app.shared = Some(shared.clone(tx));
        let first = shared.borrow_mut(tx);
        assert!(is_refused(app.shared.as_ref().unwrap().try_borrow()));
        drop(first);
        *shared.borrow_mut(tx) += 1;
        let boxed = app.boxed.insert(PBox::new(tx, PRefCell::new(0))?);
        *boxed.borrow_mut(tx) = 1;
        *boxed.get_mut(tx).get_mut() += 1;
        Ok(())
    })
    .unwrap();
    let app = pool.read();
    assert_eq!((*app.shared.as_ref().unwrap().borrow(), *app.boxed.as_ref().unwrap().borrow()), (8, 2));
}

/// Readers on several threads each have their own guards.
#[test]
fn readers_borrow_on_many_threads() {
    let pool = create::<App>(&media());
    pool.write(|app, tx| {
        app.number.set(3, tx);
        app.list.borrow_mut(tx).push(tx, 3)
    })
    .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..if cfg!(miri) { 2 } else { 200 } {
                    let app = pool.read();
                    assert_eq!(app.number.get(), app.list.borrow()[0]);
                }
            });
        }
        for value in 4..if cfg!(miri) { 6 } else { 100 } {
            pool.write(|app, tx| {
                app.number.set(value, tx);
                app.list.borrow_mut(tx).first_mut(tx).map_or_else(fail, |first| {
                    *first = value;
                    Ok(())
                })
            })
            .unwrap();
        }
    });
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Options<'p> {
    byte: POption<u8>,
    limit: POption<u64>,
    flag: POption<bool>,
    list: POption<PVec<'p, u64>>,
    deep: POption<POption<char>>,
}

#[test]
fn an_option_is_an_option() {
    let media = media();
    let pool = create::<Options>(&media);
    pool.write(|root, tx| {
        assert!(root.limit.is_none() && root.limit == None);
        root.limit = Some(7).into();
        assert_eq!(root.limit.copied().map(|limit| limit + 1), Some(8));
        assert_eq!(root.limit.replace(9), Some(7));
        *root.limit.as_mut().unwrap() += 1;
        assert_eq!(root.limit, POption::Some(10));
        assert_eq!(root.limit.map(|limit| limit as u8), POption::Some(10));
        assert!(root.limit.is_some_and(|limit| limit == 10));
        root.list.get_or_insert_with(PVec::new).push(tx, 5)?;
        assert_eq!(root.list.as_deref(), Some(&[5][..]));
        root.byte.insert(3);
        root.deep = POption::Some('x'.into());
        assert_eq!(root.byte.take(), Some(3));
        assert_eq!((root.byte.unwrap_or(4), root.flag.unwrap_or_default()), (4, false));
        assert_eq!(root.limit.iter().chain(&[1]).copied().collect::<Vec<_>>(), [10, 1]);
        assert_eq!(Option::from(root.limit), Some(10));
        assert!(POption::None < POption::Some(0));
        Ok(())
    })
    .unwrap();
    let blocks = pool.stats().heap.live_blocks;
    drop(pool);
    let pool = try_open::<Options>(&media).unwrap();
    assert_eq!(pool.read().deep.as_ref().and_then(POption::as_ref), Some(&'x'));
    pool.write(|root, _| {
        root.list.take();
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, blocks - 1);
}

#[test]
fn a_damaged_option_is_refused() {
    const MAGIC: u64 = 0x5eed_5eed_0bad_cafe;
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Root {
        magic: u64,
        flag: POption<bool>,
        limit: POption<u64>,
    }
    let media = media();
    let pool = create::<Root>(&media);
    pool.write(|root, _| {
        *root = Root { magic: MAGIC, flag: true.into(), limit: 3.into() };
        Ok(())
    })
    .unwrap();
    pool.close().unwrap();
    let bytes = media.bytes();
    let root = (0..bytes.len() / 8).rev().find(|at| bytes[at * 8..][..8] == MAGIC.to_le_bytes()).unwrap() * 8;
    assert_eq!(bytes[root + 8..][..2], [1, 1]);
    assert_eq!((bytes[root + 16], bytes[root + 24]), (1, 3));
    let open = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[root + at] = byte;
        try_open::<Root>(&Arc::new(media.with_bytes(bytes))).err().map(|error| error.to_string())
    };
    assert_eq!(open(0, 0), None);
    assert!(open(8, 2).unwrap().contains("POption is 2"));
    assert!(open(9, 2).unwrap().contains("bool is 2"));
    assert!(open(16, 255).unwrap().contains("POption is 255"));
    for harmless in [(8, 0), (16, 0), (17, 9), (24, 0)] {
        assert_eq!(open(harmless.0, harmless.1), None, "{harmless:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Set(usize, u64),
    Swap(usize, usize),
    Borrow(usize),
    BorrowMut(usize, u64),
    /// Holds a borrow until the transaction ends.
    Hold(usize, bool),
    Forget(usize, bool),
    Release,
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..4usize;
    prop_oneof![
        (at(), any::<u64>()).prop_map(|(at, value)| Op::Set(at, value)),
        (at(), at()).prop_map(|(a, b)| Op::Swap(a, b)),
        at().prop_map(Op::Borrow),
        (at(), any::<u64>()).prop_map(|(at, value)| Op::BorrowMut(at, value)),
        (at(), any::<bool>()).prop_map(|(at, mutable)| Op::Hold(at, mutable)),
        (at(), any::<bool>()).prop_map(|(at, mutable)| Op::Forget(at, mutable)),
        Just(Op::Release),
    ]
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Cells<'p> {
    cells: [PCell<'p, u32>; 4],
    refs: [PRefCell<'p, u64>; 4],
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against `Cell` and `RefCell`, of which each transaction has fresh ones, as the states of the borrows are.
    #[test]
    fn cells_behave_as_those_of_std(
        transactions in prop::collection::vec((prop::collection::vec(op(), 1..20), any::<bool>()), 1..8)
    ) {
        let media = media();
        let pool = create::<Cells>(&media);
        let mut committed = ([0u32; 4], [0u64; 4]);
        for (ops, commits) in transactions {
            let cells = committed.0.map(Cell::new);
            let refs = committed.1.map(RefCell::new);
            let outcome = pool.write(|root, tx| {
                let root = &*root;
                let (mut shared, mut mutable) = (Vec::new(), Vec::new());
                for op in ops {
                    match op {
                        Op::Set(at, value) => {
                            assert_eq!(root.cells[at].replace(value as u32, tx), cells[at].replace(value as u32));
                        }
                        Op::Swap(a, b) => {
                            root.cells[a].swap(&root.cells[b], tx);
                            cells[a].swap(&cells[b]);
                        }
                        Op::Borrow(at) => {
                            let (ours, theirs) = (root.refs[at].try_borrow(), refs[at].try_borrow());
                            assert_eq!(ours.ok().map(|guard| *guard), theirs.ok().map(|guard| *guard));
                        }
                        Op::BorrowMut(at, value) => {
                            let (ours, theirs) = (root.refs[at].try_borrow_mut(tx), refs[at].try_borrow_mut());
                            assert_eq!(ours.is_ok(), theirs.is_ok());
                            if let (Ok(mut ours), Ok(mut theirs)) = (ours, theirs) {
                                (*ours, *theirs) = (value, value);
                            }
                        }
                        Op::Hold(at, false) => {
                            let pair = (root.refs[at].try_borrow(), refs[at].try_borrow());
                            assert_eq!(pair.0.is_ok(), pair.1.is_ok());
                            shared.push(pair);
                        }
                        Op::Hold(at, true) => {
                            let pair = (root.refs[at].try_borrow_mut(tx), refs[at].try_borrow_mut());
                            assert_eq!(pair.0.is_ok(), pair.1.is_ok());
                            mutable.push(pair);
                        }
                        Op::Forget(at, false) => {
                            std::mem::forget(root.refs[at].try_borrow());
                            std::mem::forget(refs[at].try_borrow());
                        }
                        Op::Forget(at, true) => {
                            std::mem::forget(root.refs[at].try_borrow_mut(tx));
                            std::mem::forget(refs[at].try_borrow_mut());
                        }
                        Op::Release => {
                            shared.clear();
                            mutable.clear();
                        }
                    }
                }
                if commits { Ok(()) } else { fail() }
            });
            assert_eq!(outcome.is_ok(), commits);
            if commits {
                committed = (cells.map(Cell::into_inner), refs.map(RefCell::into_inner));
            }
            let root = pool.read();
            assert_eq!(root.cells.each_ref().map(PCell::get), committed.0);
            assert_eq!(root.refs.each_ref().map(|cell| *cell.borrow()), committed.1);
        }
        drop(pool);
        let pool = try_open::<Cells>(&media).unwrap();
        assert_eq!(pool.read().refs.each_ref().map(|cell| *cell.borrow()), committed.1);
    }
}
