//! Large transactions and long structures.
//!
//! Catches: a transaction that the ring's size limits or splits (J5), recursion where lists are long (I2).

#![allow(clippy::unit_arg, reason = "a transaction of one statement stays one expression")]

use std::cell::Cell;
use std::fs;

use pobj::{Durability, Error, PBox, Tx};
use tests::support::board::{Scene, Tree, see};
use tests::support::{Chain, in_place, number, quick_directory, small};

/// Catches a transaction that the ring's size limits or splits (J5, A37): one of 40 rings, in memory, in a copy made
/// right after it returned, and after closing.
#[test]
fn a_transaction_larger_than_the_ring_is_whole() {
    let mut scene = Scene::new();
    let words = 40 * (64 << 10) / 8;
    for round in 1..=4u64 {
        let spills = scene.pool().stats().journal.spills;
        scene
            .pool()
            .write(|board, tx| {
                board.cells.clear();
                board.cells.extend(tx, (0..words).map(|word| word * round))?;
                (0..5000).try_for_each(|value| board.chain.push(tx, value))
            })
            .unwrap();
        if !in_place() {
            assert_eq!(scene.pool().stats().journal.spills, spills + 1);
        }
        // What a power cut would leave now.
        let copy = scene.directory.path().join("copy.pobj");
        fs::copy(scene.path(), &copy).unwrap();
        let refused = scene.pool().write(|board, tx| {
            board.cells.iter_mut(tx).for_each(|cell| *cell = 0);
            board.chain = Chain::default();
            Err::<(), _>(Error::abort("no"))
        });
        assert!(refused.is_err());
        let (seen, blocks) = scene.settle();
        assert!(
            seen.cells.len() == words as usize
                && seen.cells.iter().enumerate().all(|(at, cell)| *cell == at as u64 * round)
        );
        assert_eq!(seen.chain.len(), 5000 * round as usize);
        scene.pool = None;
        let recovered = Scene::options().open(&copy).unwrap();
        assert!(see(&recovered.read()) == seen, "round {round}: the copy holds something else");
        assert_eq!(recovered.stats().heap.live_blocks, blocks);
        drop(recovered);
        scene.pool = Some(Scene::options().open(scene.path()).unwrap());
    }
    // Small ones in between go on, and the file is cut back when home has caught up.
    scene.pool().checkpoint().unwrap();
    assert_eq!(fs::metadata(scene.path()).unwrap().len(), scene.pool().stats().len);
}

fn long_list(count: u64) {
    let directory = quick_directory();
    let path = directory.path().join("long.pobj");
    // A stack on which a recursion of even a few thousand levels would fail.
    let work = move || {
        let options = small::<Chain>(4 << 30).ring_size(1 << 20).durability(Durability::Eventual);
        let pool = options.create(&path).unwrap();
        for from in (0..count).step_by(100_000) {
            pool.write(|chain, tx| {
                (from..(from + 100_000).min(count)).try_for_each(|value| chain.push(tx, value))
            })
            .unwrap();
        }
        pool.close().unwrap();
        // Validation walks the list as well.
        let pool = options.open(&path).unwrap();
        assert_eq!(pool.stats().heap.live_blocks, count + 1);
        let refused = pool.write(|chain, _| {
            chain.head = None;
            Err::<(), _>(Error::abort("no"))
        });
        assert!(refused.is_err());
        assert_eq!(pool.read().head.as_ref().map(|link| link.value), Some(count - 1));
        pool.write(|chain, _| {
            *chain = Chain::default();
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.stats().heap.live_blocks, 1);
        pool.close().unwrap();
        assert!(options.open(&path).unwrap().read().values().is_empty());
    };
    std::thread::Builder::new().stack_size(128 << 10).spawn(work).unwrap().join().unwrap();
}

/// Catches a drop, a rollback or a validation that recurses along a list (I2).
#[test]
fn a_list_of_a_million_drops_without_recursion() {
    long_list(number("POBJ_LIST").unwrap_or(1_000_000));
}

/// The same at the length that the design names; takes some ten seconds and 1 GiB.
#[test]
#[ignore = "long: cargo test -p tests --release --test large_transactions -- --ignored"]
fn a_list_of_ten_million_drops_without_recursion() {
    long_list(10_000_000);
}

/// Catches drops that are recorded twice when a value dies inside one that dies: counted by the blocks that are left.
#[test]
fn a_tree_of_nested_options_dies_whole() {
    fn grow<'p>(tx: &Tx<'p>, depth: u64, made: &Cell<u64>) -> pobj::Result<Option<PBox<'p, Tree<'p>>>> {
        if depth == 0 {
            return Ok(None);
        }
        let kids = [grow(tx, depth - 1, made)?, None, grow(tx, depth - 1, made)?];
        made.set(made.get() + 1);
        Ok(Some(PBox::new(tx, Tree { value: depth, kids })?))
    }
    let mut scene = Scene::new();
    let made = Cell::new(0);
    scene.pool().write(|board, tx| Ok(board.left = grow(tx, 12, &made)?)).unwrap();
    assert_eq!(scene.settle().1, made.get() + 1);
    // A part dies, then a part within what is taken out, then the rest.
    scene
        .pool()
        .write(|board, tx| {
            let mut left = board.left.take().unwrap();
            left.get_mut(tx).kids[0] = None;
            let kept = left.get_mut(tx).kids[2].as_mut().unwrap().get_mut(tx).kids[0].take();
            drop(left);
            board.right = kept;
            Ok(())
        })
        .unwrap();
    assert_eq!(scene.settle().1, (1 << 10) - 1 + 1);
    scene.pool().write(|board, _| Ok(board.right = None)).unwrap();
    assert_eq!(scene.settle().1, 1);
}
