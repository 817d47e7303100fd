//! `PRc`, `PWeak`, `PArc`, `PArcWeak`: counts, lives and deaths; chains and cycles; damaged counts and types.
//!
//! Catches: a count that misses a clone, a drop or a rollback; a value that dies while somebody holds it, or never; a
//! block that leaks or is freed twice; a `&mut` to a value that others see; a recursion over a long chain; a file whose
//! counts are too low, or that has two types or an owner lead to one block, and is opened all the same (B16).

use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{
    Durability, Error, PArc, PArcWeak, PBox, PCell, PPtr, PRc, PRefCell, PVec, PWeak, Persistent, Pool,
    Result, Tx,
};

const MAX_SIZE: u64 = if cfg!(miri) { 1 << 20 } else { 256 << 20 };
const SIZE: u64 = if cfg!(miri) { 128 << 10 } else { 256 << 10 };
const CHAIN: u64 = if cfg!(miri) { 20 } else { 1_000_000 };

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create<R: Persistent + Default>(media: &Arc<RamMedia>) -> Pool<R>
where
    for<'p> R::At<'p>: Default,
{
    let options = Pool::<R>::options().max_size(MAX_SIZE).size(SIZE).ring_size(64 << 10);
    options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(R::At::default())).unwrap()
}

fn open<R: Persistent>(media: &Arc<RamMedia>) -> Pool<R> {
    try_open(media).unwrap()
}

fn try_open<R: Persistent>(media: &Arc<RamMedia>) -> Result<Pool<R>> {
    Pool::<R>::options().durability(Durability::Eventual).validation_threads(1).open_on(media.clone())
}

fn live<R>(pool: &Pool<R>) -> u64
where
    R: Persistent,
{
    pool.stats().heap.live_blocks
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    strong: [Option<PRc<'p, Item<'p>>>; 4],
    weak: [Option<PWeak<'p, Item<'p>>>; 4],
}

#[derive(Persistent)]
#[repr(C)]
struct Item<'p> {
    value: u64,
    owned: PBox<'p, u64>,
    myself: Option<PWeak<'p, Item<'p>>>,
    next: Option<PRc<'p, Item<'p>>>,
}

fn item<'p>(tx: &Tx<'p>, value: u64) -> Result<Item<'p>> {
    Ok(Item { value, owned: PBox::new(tx, value)?, myself: None, next: None })
}

fn fail<T>() -> Result<T> {
    Err(Error::abort("on purpose"))
}

#[test]
fn the_last_owner_frees_the_value_and_the_last_weak_pointer_the_block() {
    let media = media();
    let pool = create::<App>(&media);
    let empty = live(&pool);
    pool.write(|app, tx| {
        let shared = PRc::new(tx, item(tx, 1)?)?;
        app.weak[0] = Some(PRc::downgrade(&shared, tx));
        app.strong[1] = Some(shared.clone(tx));
        app.strong[0] = Some(shared);
        let shared = app.strong[0].as_ref().unwrap();
        assert_eq!((PRc::strong_count(shared), PRc::weak_count(shared)), (2, 1));
        assert!(PRc::ptr_eq(shared, app.strong[1].as_ref().unwrap()));
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 2);
    pool.write(|app, _| {
        app.strong[0] = None;
        assert_eq!(app.strong[1].as_ref().map(PRc::strong_count), Some(1));
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 2);
    pool.write(|app, tx| {
        app.strong[1] = None;
        let weak = app.weak[0].as_ref().unwrap();
        assert!(weak.upgrade(tx).is_none());
        assert_eq!((weak.strong_count(), weak.weak_count()), (0, 0));
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 1, "the weak pointer keeps the block, not what the value owned");
    drop(pool);
    let pool = open::<App>(&media);
    pool.write(|app, tx| {
        assert!(app.weak[0].as_ref().unwrap().upgrade(tx).is_none());
        app.weak[1] = Some(app.weak[0].as_ref().unwrap().clone(tx));
        app.weak[0] = None;
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 1);
    pool.write(|app, _| {
        app.weak[1] = None;
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty);
    drop(pool);
    assert_eq!(open::<App>(&media).stats().opened.unreachable_blocks, 0);
}

/// The value first or the weak pointers first, in one transaction.
#[test]
fn value_and_weak_pointers_die_together_in_any_order() {
    for weak_first in [false, true] {
        let media = media();
        let pool = create::<App>(&media);
        let empty = live(&pool);
        pool.write(|app, tx| {
            let shared = PRc::new(tx, item(tx, 1)?)?;
            app.weak[0] = Some(PRc::downgrade(&shared, tx));
            app.weak[1] = Some(PRc::downgrade(&shared, tx));
            app.strong[0] = Some(shared);
            Ok(())
        })
        .unwrap();
        pool.write(|app, _| {
            if weak_first {
                app.weak = Default::default();
            }
            app.strong[0] = None;
            app.weak = Default::default();
            Ok(())
        })
        .unwrap();
        assert_eq!(live(&pool), empty, "weak first: {weak_first}");
    }
}

#[test]
fn rolling_back_restores_the_counts() {
    let media = media();
    let pool = create::<App>(&media);
    pool.write(|app, tx| {
        let shared = PRc::new(tx, item(tx, 1)?)?;
        app.weak[0] = Some(PRc::downgrade(&shared, tx));
        app.strong[0] = Some(shared);
        Ok(())
    })
    .unwrap();
    let before = live(&pool);
    let counts = || {
        let app = pool.read();
        let shared = app.strong[0].as_ref().unwrap();
        (PRc::strong_count(shared), PRc::weak_count(shared), shared.value, *shared.owned)
    };
    let attempts: [for<'p> fn(&mut App<'p>, &Tx<'p>) -> Result<()>; 5] = [
        |app, tx| {
            app.strong[1] = app.weak[0].as_ref().unwrap().upgrade(tx);
            app.weak[1] = Some(PRc::downgrade(app.strong[0].as_ref().unwrap(), tx));
            fail()
        },
        |app, _| {
            *app = App::default();
            fail()
        },
        |app, tx| {
            app.weak[0] = None;
            PRc::get_mut(app.strong[0].as_mut().unwrap(), tx).unwrap().value = 9;
            fail()
        },
        |app, tx| {
            let Ok(item) = PRc::try_unwrap(app.strong[0].take().unwrap(), tx) else { panic!("shared") };
            assert_eq!(item.owned.into_inner(tx), 1);
            fail()
        },
        |app, tx| {
            app.strong[0] = None;
            assert!(app.weak[0].as_ref().unwrap().upgrade(tx).is_none());
            app.weak[0] = None;
            fail()
        },
    ];
    for (number, attempt) in attempts.into_iter().enumerate() {
        assert!(pool.write(attempt).is_err());
        assert_eq!(counts(), (1, 1, 1, 1), "attempt {number}");
        assert_eq!(live(&pool), before, "attempt {number}");
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = pool.write(|app, tx| {
            let _more = app.strong[0].as_ref().unwrap().clone(tx);
            *app = App::default();
            if true {
                std::panic::resume_unwind(Box::new("planned"));
            }
            Ok(())
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(counts(), (1, 1, 1, 1));
    drop(pool);
    assert_eq!(open::<App>(&media).stats().opened.unreachable_blocks, 0);
}

#[test]
fn only_the_only_pointer_changes_or_moves_the_value() {
    let media = media();
    let pool = create::<App>(&media);
    let empty = live(&pool);
    pool.write(|app, tx| {
        let mut shared = PRc::new(tx, item(tx, 1)?)?;
        PRc::get_mut(&mut shared, tx).unwrap().value = 2;
        let weak = PRc::downgrade(&shared, tx);
        assert!(PRc::get_mut(&mut shared, tx).is_none(), "a weak pointer could be upgraded");
        let other = weak.upgrade(tx).unwrap();
        let Err(mut shared) = PRc::try_unwrap(shared, tx) else { panic!("two owners") };
        drop(weak);
        assert!(PRc::get_mut(&mut shared, tx).is_none());
        assert!(PRc::into_inner(other, tx).is_none());
        PRc::get_mut(&mut shared, tx).unwrap().value += 1;
        app.strong[0] = Some(shared);
        Ok(())
    })
    .unwrap();
    pool.write(|app, tx| {
        let shared = app.strong[0].take().unwrap();
        app.weak[0] = Some(PRc::downgrade(&shared, tx));
        let item = PRc::into_inner(shared, tx).unwrap();
        assert_eq!((item.value, *item.owned), (3, 1));
        assert!(app.weak[0].as_ref().unwrap().upgrade(tx).is_none());
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 1);
    pool.write(|app, tx| {
        app.weak[0] = None;
        let mut plain = PRc::new(tx, 7u64)?;
        *PRc::make_mut(&mut plain, tx)? += 1;
        let mut copy = plain.clone(tx);
        *PRc::make_mut(&mut copy, tx)? += 1;
        assert_eq!((*plain, *copy), (8, 9));
        assert!(plain < copy && plain != copy);
        std::mem::swap(&mut plain, &mut copy);
        assert_eq!((format!("{plain:?}"), plain.to_string()), ("9".to_owned(), "9".to_owned()));
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty);
}

#[test]
fn a_value_may_know_itself() {
    let media = media();
    let pool = create::<App>(&media);
    let empty = live(&pool);
    pool.write(|app, tx| {
        let knot = PRc::new_cyclic(tx, |weak| {
            assert!(weak.upgrade(tx).is_none(), "there is no value yet");
            Ok(Item { myself: Some(weak.clone(tx)), ..item(tx, 5)? })
        })?;
        let again = knot.myself.as_ref().unwrap().upgrade(tx).unwrap();
        assert!(PRc::ptr_eq(&knot, &again));
        assert_eq!((PRc::strong_count(&knot), PRc::weak_count(&knot)), (2, 1));
        app.strong[0] = Some(knot);
        // One that fails, after it was stored.
        let failed = PRc::new_cyclic(tx, |weak| {
            app.weak[0] = Some(weak.clone(tx));
            fail()
        });
        assert!(failed.is_err());
        assert!(app.weak[0].as_ref().unwrap().upgrade(tx).is_none());
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = open::<App>(&media);
    assert_eq!((live(&pool), pool.stats().opened.unreachable_blocks), (empty + 3, 0));
    pool.write(|app, _| {
        *app = App::default();
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty);
}

#[test]
fn a_failed_new_cyclic_frees_its_block() {
    let media = media();
    let pool = create::<App>(&media);
    let empty = live(&pool);
    pool.write(|_, tx| {
        assert!(PRc::<Item>::new_cyclic(tx, |_| fail()).is_err());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = PRc::<Item>::new_cyclic(tx, |_| std::panic::resume_unwind(Box::new("planned")));
        }));
        assert!(panicked.is_err());
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty);
}

/// A million owners in a row, each the only one of the next.
#[test]
fn a_long_chain_is_dropped_without_recursion() {
    #[derive(Persistent)]
    #[repr(C)]
    struct Link<'p> {
        value: u64,
        next: Option<PRc<'p, Link<'p>>>,
    }
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Chain<'p> {
        head: Option<PRc<'p, Link<'p>>>,
        tail: Option<PWeak<'p, Link<'p>>>,
    }
    let media = media();
    let pool = create::<Chain>(&media);
    let empty = live(&pool);
    pool.write(|chain, tx| {
        for value in 0..CHAIN {
            let link = PRc::new(tx, Link { value, next: chain.head.take() })?;
            chain.tail.get_or_insert_with(|| PRc::downgrade(&link, tx));
            chain.head = Some(link);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + CHAIN);
    drop(pool);
    let pool = open::<Chain>(&media);
    pool.write(|chain, _| {
        chain.head = None;
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 1, "the last one's block has a weak pointer");
    pool.write(|chain, tx| {
        assert!(chain.tail.take().unwrap().upgrade(tx).is_none());
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty);
}

#[test]
fn a_full_pool_takes_no_count() {
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Root<'p> {
        all: PVec<'p, PRc<'p, [u64; 100]>>,
    }
    let media = Arc::new(RamMedia::new(1 << 20).unwrap());
    let options = Pool::<Root>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
    let pool = options.create_on(media.clone(), |_| Ok(Root::default())).unwrap();
    let empty = live(&pool);
    let outcome = pool.write(|root, tx| {
        loop {
            let shared = PRc::new(tx, [1; 100])?;
            root.all.push(tx, shared.clone(tx))?;
            root.all.push(tx, shared)?;
        }
        #[allow(unreachable_code)]
        Ok(())
    });
    assert!(matches!(outcome, Err(Error::PoolFull { .. })), "{outcome:?}");
    assert_eq!(live(&pool), empty);
    drop(pool);
    let pool = Pool::<Root>::options().validation_threads(1).open_on(media).unwrap();
    assert!(pool.read().all.is_empty());
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Crowd<'p> {
    strong: PVec<'p, PArc<'p, PBox<'p, u64>>>,
    weak: PVec<'p, PArcWeak<'p, PBox<'p, u64>>>,
}

#[test]
fn arcs_count_as_rcs_do_and_drops_at_the_commit() {
    let media = media();
    let pool = create::<Crowd>(&media);
    pool.write(|app, tx| {
        app.strong.reserve(tx, 8)?;
        app.weak.reserve(tx, 8)
    })
    .unwrap();
    let empty = live(&pool);
    pool.write(|app, tx| {
        let mut shared = PArc::new(tx, PBox::new(tx, 1)?)?;
        *PArc::get_mut(&mut shared, tx)?.unwrap().get_mut(tx) += 1;
        app.weak.push(tx, PArc::downgrade(&shared, tx)?)?;
        app.weak.push(tx, app.weak[0].clone(tx)?)?;
        assert!(PArc::get_mut(&mut shared, tx)?.is_none());
        app.strong.push(tx, shared.clone(tx)?)?;
        drop(app.weak[0].upgrade(tx)?.unwrap());
        assert_eq!(PArc::strong_count(&shared, tx)?, 3, "dropped ones count until the commit");
        assert_eq!(PArc::weak_count(&shared, tx)?, 2);
        app.strong.push(tx, shared)?;
        assert!(PArc::ptr_eq(&app.strong[0], &app.strong[1]) && app.weak[0].ptr_eq(&app.weak[1]));
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 2);
    drop(pool);
    let pool = open::<Crowd>(&media);
    assert_eq!(**pool.read().strong[1], 2);
    pool.write(|app, tx| {
        assert_eq!(PArc::strong_count(&app.strong[0], tx)?, 2);
        assert!(PArc::into_inner(app.strong.pop().unwrap(), tx)?.is_none());
        Ok(())
    })
    .unwrap();
    let failed: Result<()> = pool.write(|app, _| {
        app.strong.clear();
        app.weak.clear();
        fail()
    });
    assert!(failed.is_err());
    pool.write(|app, tx| {
        let value = PArc::into_inner(app.strong.pop().unwrap(), tx)?.unwrap();
        assert_eq!(value.into_inner(tx), 2);
        assert!(app.weak[0].upgrade(tx)?.is_none());
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty + 1);
    pool.write(|app, _| {
        app.weak.clear();
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), empty);
    // The last owner is dropped, not unwrapped: what the value owned goes with it.
    for (round, weak) in [0, 0, 1, 1].into_iter().enumerate() {
        pool.write(|app, tx| {
            let shared = PArc::new(tx, PBox::new(tx, 3)?)?;
            if weak > 0 {
                app.weak.push(tx, PArc::downgrade(&shared, tx)?)?;
            }
            // In the transaction that made it, or in a later one.
            if round % 2 == 0 { Ok(()) } else { app.strong.push(tx, shared) }
        })
        .unwrap();
        pool.write(|app, _| {
            app.strong.clear();
            Ok(())
        })
        .unwrap();
        assert_eq!(live(&pool), empty + weak, "round {round}");
        pool.write(|app, tx| {
            if let Some(weak) = app.weak.pop() {
                assert!(weak.upgrade(tx)?.is_none());
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(live(&pool), empty, "round {round}");
    }
    drop(pool);
    assert_eq!(open::<Crowd>(&media).stats().opened.unreachable_blocks, 0);
}

/// Scoped threads read through it while the transaction clones it.
#[test]
fn arcs_are_read_by_scoped_threads() {
    let pool = create::<Crowd>(&media());
    pool.write(|app, tx| {
        let shared = PArc::new(tx, PBox::new(tx, 5)?)?;
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| **shared);
            let copy = shared.clone(tx)?;
            assert_eq!(reader.join().unwrap(), **copy);
            app.strong.push(tx, copy)
        })
    })
    .unwrap();
}

/// Null, compared by value and by place, exchanged, copied (B16). Arithmetic and casts do not exist.
#[test]
fn pointers_compare_and_exchange_as_those_of_std() {
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Root<'p> {
        boxes: [Option<PBox<'p, u64>>; 2],
        shared: [Option<PRc<'p, u64>>; 2],
        place: Option<PPtr<'p, u64>>,
    }
    let media = media();
    let pool = create::<Root>(&media);
    assert!(pool.read().boxes[0].is_none() && pool.read().shared[0].is_none() && pool.read().place.is_none());
    pool.write(|root, tx| {
        root.boxes = [Some(PBox::new(tx, 1)?), Some(PBox::new(tx, 1)?)];
        root.shared = [Some(PRc::new(tx, 1)?), Some(PRc::new(tx, 2)?)];
        let [one, two] = &mut root.boxes;
        let (first, second) = (one.as_ref().unwrap().as_ptr(), two.as_ref().unwrap().as_ptr());
        assert_eq!(one, two, "by value");
        assert_ne!(first, second, "by place");
        std::mem::swap(one, two);
        assert_eq!(two.as_ref().unwrap().as_ptr(), first);
        root.place = Some(first);
        let [one, two] = &mut root.shared;
        assert!(one < two && one <= two && two.as_deref() == Some(&2));
        let again = one.as_ref().unwrap().clone(tx);
        assert!(PRc::ptr_eq(&again, one.as_ref().unwrap()) && !PRc::ptr_eq(&again, two.as_ref().unwrap()));
        std::mem::swap(one, two);
        assert!(one > two);
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = open::<Root>(&media);
    let root = pool.read();
    assert_eq!(root.boxes[1].as_ref().map(PBox::as_ptr), root.place);
    assert_eq!(root.shared.each_ref().map(Option::as_deref), [Some(&2), Some(&1)]);
}

/// Offsets in `bytes` of the words that hold `word`.
fn places(bytes: &[u8], word: u64) -> Vec<usize> {
    let words = bytes.chunks_exact(8).enumerate();
    words.filter(|(_, found)| **found == word.to_le_bytes()).map(|(at, _)| at * 8).collect()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The pool's home with some words changed, opened.
fn opened_with<R: Persistent>(media: &Arc<RamMedia>, changes: &[(usize, u64)]) -> Result<Pool<R>> {
    let mut bytes = media.bytes();
    for (at, word) in changes {
        bytes[*at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    try_open(&Arc::new(media.with_bytes(bytes)))
}

fn refusal<R: Persistent>(outcome: Result<Pool<R>>) -> String {
    match outcome {
        Err(Error::Corrupt { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => "nothing".to_owned(),
    }
}

const MAGIC: u64 = 0x5eed_5eed_0bad_cafe;

#[derive(Persistent, Default)]
#[repr(C)]
struct Mixed<'p> {
    front: Option<PBox<'p, [u64; 4]>>,
    numbers: [Option<PRc<'p, [u64; 2]>>; 3],
    weak: [Option<PWeak<'p, [u64; 2]>>; 2],
    signed: Option<PRc<'p, [i64; 2]>>,
    atomic: Option<PArc<'p, [u64; 2]>>,
    owned: Option<PBox<'p, [u64; 4]>>,
    flag: Option<PWeak<'p, bool>>,
    flags: Option<PRc<'p, bool>>,
}

/// A pool with one value of three owners and two weak pointers, and the offsets of its counts and of the root's second
/// word, the first that leads to it. Before it is an owner, which a walk meets first.
fn mixed() -> (Arc<RamMedia>, usize, usize) {
    let media = Arc::new(RamMedia::new(1 << 20).unwrap());
    let options = Pool::<Mixed>::options().max_size(1 << 20).size(128 << 10).ring_size(64 << 10);
    let pool = options.create_on(media.clone(), |_| Ok(Mixed::default())).unwrap();
    pool.write(|app, tx| {
        let number = PRc::new(tx, [MAGIC, 1])?;
        app.weak = [Some(PRc::downgrade(&number, tx)), Some(PRc::downgrade(&number, tx))];
        app.numbers = [Some(number.clone(tx)), Some(number.clone(tx)), Some(number)];
        app.signed = Some(PRc::new(tx, [-1, -1])?);
        app.atomic = Some(PArc::new(tx, [3, 3])?);
        app.owned = Some(PBox::new(tx, [4; 4])?);
        app.front = Some(PBox::new(tx, [5; 4])?);
        let flag = PRc::new(tx, true)?;
        app.flag = Some(PRc::downgrade(&flag, tx));
        app.flags = Some(flag);
        Ok(())
    })
    .unwrap();
    let base = pool.stats().base;
    pool.close().unwrap();
    let bytes = media.bytes();
    let value = *places(&bytes, MAGIC).last().unwrap();
    let counts = value - 16;
    assert_eq!((word(&bytes, counts), word(&bytes, counts + 8)), (3, 3));
    let root = (word(&bytes, 0x4000 + 16) - base) as usize + 8;
    assert_eq!(word(&bytes, root), base + counts as u64);
    (media, counts, root)
}

#[test]
fn counts_that_are_too_low_are_refused_and_too_high_are_leaks() {
    let (media, counts, _) = mixed();
    let open = |changes: &[(usize, u64)]| refusal(opened_with::<Mixed>(&media, changes));
    assert_eq!(open(&[]), "nothing");
    for strong in [0, 1, 2] {
        assert_eq!(
            open(&[(counts, strong)]),
            format!("a block counts {strong} strong pointers, 3 lead to it")
        );
    }
    for weak in [0, 1, 2] {
        assert_eq!(open(&[(counts + 8, weak)]), format!("a block counts {weak} weak pointers, 2 lead to it"));
    }
    for huge in [u64::MAX, 1 << 63, (1 << 62) + 1] {
        assert!(open(&[(counts, huge)]).starts_with("a block counts"), "{huge}");
        assert!(open(&[(counts + 8, huge)]).starts_with("a block counts"), "{huge}");
    }
    for (at, high) in [(counts, 4), (counts, 1 << 62), (counts + 8, 4), (counts + 8, 1 << 62)] {
        let pool = opened_with::<Mixed>(&media, &[(at, high)]).unwrap();
        let before = live(&pool);
        pool.write(|app, _| {
            *app = Mixed::default();
            Ok(())
        })
        .unwrap();
        assert_eq!(live(&pool), before - 5, "only the block with the wrong count is left");
        assert_eq!(pool.collect().unwrap().blocks, 1);
        assert_eq!(live(&pool), 1);
    }
}

#[test]
fn one_type_leads_to_a_block_and_no_owner_besides() {
    let (media, counts, root) = mixed();
    let open = |changes: &[(usize, u64)]| refusal(opened_with::<Mixed>(&media, changes));
    let bytes = media.bytes();
    let base = word(&bytes, root) - counts as u64;
    let shared = word(&bytes, root);
    // Fields by their place in the root: numbers 0 to 2, weak 3 and 4, signed 5, atomic 6, owned 7, flag 8, flags 9.
    let field = |number: usize| root + number * 8;
    let enough = [(counts, 9), (counts + 8, 9)];
    let with = |number: usize, addr: u64| [enough[0], enough[1], (field(number), addr)];
    for number in [5, 6, 8, 9] {
        let expected = "pointers of different types share a block";
        assert_eq!(open(&with(number, shared)), expected, "field {number}");
    }
    assert!(open(&with(7, shared)).contains("owner"));
    // A shared pointer to a block that an owner has, whose bytes would do as counts; whoever is met first.
    for owner in [field(7), root - 8] {
        assert!(open(&[(field(0), word(&bytes, owner))]).contains("owner"));
        assert!(open(&[(field(3), word(&bytes, owner))]).contains("owner"));
    }
    for wrong in [shared + 8, shared + 16, base, base + 8, shared - (4 << 20), 8, 16, 4095, 1 << 20] {
        assert_ne!(open(&[(field(0), wrong)]), "nothing", "{wrong:#x}");
        assert_ne!(open(&[(field(3), wrong)]), "nothing", "{wrong:#x}");
    }
}

/// A weak pointer can be upgraded while the count says so: then the value must be one. Otherwise nobody looks at it.
#[test]
fn what_only_weak_pointers_reach_is_checked_if_it_is_alive() {
    let (media, _, root) = mixed();
    let bytes = media.bytes();
    let base = word(&bytes, root) - mixed_offset(&bytes, root);
    let flag = (word(&bytes, root + 8 * 8) - base) as usize;
    assert_eq!((word(&bytes, flag), word(&bytes, flag + 8), bytes[flag + 16]), (1, 2, 1));
    let open = |changes: &[(usize, u64)]| refusal(opened_with::<Mixed>(&media, changes));
    let no_owner = (root + 9 * 8, 0);
    assert_eq!(open(&[(flag + 16, 2)]), "a bool is 2");
    assert_eq!(open(&[no_owner, (flag + 16, 2)]), "a bool is 2");
    assert_eq!(open(&[no_owner, (flag, 0), (flag + 16, 2)]), "nothing");
    assert_eq!(open(&[no_owner, (flag, 0), (flag + 8, 1)]), "nothing");
    assert!(open(&[no_owner, (flag, 0), (flag + 8, 0)]).contains("weak"));
}

/// Offset of the block to which the root's first word leads.
fn mixed_offset(bytes: &[u8], root: usize) -> u64 {
    let value = *places(bytes, MAGIC).last().unwrap();
    assert_ne!(root, value);
    value as u64 - 16
}

/// Every number of threads judges alike: a crowd of pointers to few blocks.
#[test]
fn many_pointers_to_few_blocks_are_counted_by_many_threads() {
    const MANY: usize = if cfg!(miri) { 30 } else { 40_000 };
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Root<'p> {
        boxes: PVec<'p, PBox<'p, PRc<'p, PBox<'p, u64>>>>,
    }
    let media = media();
    let pool = create::<Root>(&media);
    pool.write(|root, tx| {
        let mut few = Vec::new();
        for number in 0..7 {
            few.push(PRc::new(tx, PBox::new(tx, number)?)?);
        }
        for number in 0..MANY {
            root.boxes.push(tx, PBox::new(tx, few[number % 7].clone(tx))?)?;
        }
        Ok(())
    })
    .unwrap();
    pool.close().unwrap();
    for threads in [1, 2, 5] {
        let open =
            |media: RamMedia| Pool::<Root>::options().validation_threads(threads).open_on(Arc::new(media));
        let pool = open(media.with_bytes(media.bytes())).unwrap();
        assert_eq!(pool.stats().opened.unreachable_blocks, 0);
        let counts: u64 = pool.read().boxes.iter().take(7).map(|shared| PRc::strong_count(&**shared)).sum();
        assert_eq!(counts, MANY as u64);
        drop(pool);
        let first = places(&media.bytes(), MANY.div_ceil(7) as u64);
        let mut bytes = media.bytes();
        for at in first {
            bytes[at..at + 8].copy_from_slice(&(MANY.div_ceil(7) as u64 - 1).to_le_bytes());
        }
        assert!(refusal(open(media.with_bytes(bytes))).contains("lead to it"), "{threads} threads");
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Cyclic<'p> {
    entry: Option<PRc<'p, Ring<'p>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Ring<'p> {
    id: PCell<'p, u64>,
    next: PRefCell<'p, Option<PRc<'p, Ring<'p>>>>,
}

#[test]
fn validation_of_a_cycle_ends() {
    let media = media();
    let pool = create::<Cyclic>(&media);
    pool.write(|app, tx| {
        let first = PRc::new(tx, Ring::default())?;
        let mut last = first.clone(tx);
        for id in 1..10 {
            let ring = Ring { id: PCell::new(id), next: PRefCell::new(Some(last)) };
            last = PRc::new(tx, ring)?;
        }
        first.next.replace(Some(last), tx);
        app.entry = Some(first);
        Ok(())
    })
    .unwrap();
    drop(pool);
    let pool = open::<Cyclic>(&media);
    assert_eq!(pool.stats().opened.unreachable_blocks, 0);
    pool.write(|app, _| {
        app.entry = None;
        Ok(())
    })
    .unwrap();
    assert_eq!(live(&pool), 11, "a cycle keeps itself");
    drop(pool);
    let pool = open::<Cyclic>(&media);
    assert_eq!(pool.stats().opened.unreachable_blocks, 10);
    assert_eq!(pool.collect().unwrap().blocks, 10);
    assert_eq!(live(&pool), 1);
}
