//! The typed layer on the in-memory medium, small enough for Miri:
//! `MIRIFLAGS=-Zmiri-permissive-provenance cargo +nightly miri test -p pobj --test memory`.
//!
//! Catches: references that alias, reads of bytes that are not initialised, pointers without provenance, and leaks of
//! blocks by dropping, replacing or rolling back.

use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Error, PBox, Persistent, Pool, Result};

const MAX_SIZE: u64 = 1 << 20;
const NODES: u64 = if cfg!(miri) { 6 } else { 2000 };
/// Three blocks of so many words are more than half the ring.
const WORDS: usize = if cfg!(miri) { 1400 } else { 4000 };

#[derive(Persistent)]
#[repr(C)]
struct Node<'p> {
    value: u64,
    next: Option<PBox<'p, Node<'p>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, Node<'p>>>,
    spare: Option<PBox<'p, Node<'p>>>,
    hits: u64,
}

fn media() -> Arc<RamMedia> {
    Arc::new(RamMedia::new(MAX_SIZE).unwrap())
}

fn create(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    options.create_on(media.clone(), |_| Ok(App::default())).unwrap()
}

fn open(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    Pool::<App>::options().validation_threads(1).open_on(media.clone()).unwrap()
}

fn push(pool: &Pool<App<'static>>, value: u64) -> Result<()> {
    pool.write(|app, tx| {
        app.head = Some(PBox::new(tx, Node { value, next: app.head.take() })?);
        Ok(())
    })
}

fn values(pool: &Pool<App<'static>>) -> Vec<u64> {
    let app = pool.read();
    let mut values = Vec::new();
    let mut next = &app.head;
    while let Some(node) = next {
        values.push(node.value);
        next = &node.next;
    }
    values
}

#[test]
fn a_list_is_there_after_reopening() {
    let media = media();
    let pool = create(&media);
    for value in 0..NODES {
        push(&pool, value).unwrap();
    }
    let expected: Vec<u64> = (0..NODES).rev().collect();
    assert_eq!(values(&pool), expected);
    pool.close().unwrap();
    assert_eq!(values(&open(&media)), expected);
}

#[test]
fn changing_through_a_box_commits_and_rolls_back() {
    let media = media();
    let pool = create(&media);
    push(&pool, 1).unwrap();
    let change = |fail: bool| {
        pool.write(|app, tx| {
            let Some(node) = &mut app.head else { return Ok(()) };
            node.get_mut(tx).value += 10;
            node.get_mut(tx).value += 100;
            app.hits += 1;
            if fail { Err(Error::abort("no")) } else { Ok(()) }
        })
    };
    assert!(change(true).is_err());
    assert_eq!((values(&pool), pool.read().hits), (vec![1], 0));
    change(false).unwrap();
    assert_eq!((values(&pool), pool.read().hits), (vec![111], 1));
}

#[test]
fn every_block_is_freed_once() {
    let media = media();
    let pool = create(&media);
    let empty = pool.stats().heap.live_blocks;
    for value in 0..NODES {
        push(&pool, value).unwrap();
    }
    assert_eq!(pool.stats().heap.live_blocks, empty + NODES);
    // Dropped, and the drop rolled back.
    let failed: Result<()> = pool.write(|app, tx| {
        app.head = None;
        app.spare = Some(PBox::new(tx, Node { value: 0, next: None })?);
        Err(Error::abort("no"))
    });
    assert!(failed.is_err());
    assert_eq!(pool.stats().heap.live_blocks, empty + NODES);
    // Moved between slots, swapped, taken apart.
    pool.write(|app, tx| {
        std::mem::swap(&mut app.head, &mut app.spare);
        let Some(first) = app.spare.take() else { return Ok(()) };
        let node = first.into_inner(tx);
        app.hits = node.value;
        app.head = node.next;
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, empty + NODES - 1);
    pool.write(|app, _| {
        app.head = None;
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().heap.live_blocks, empty);
    drop(pool);
    assert_eq!(open(&media).stats().heap.live_blocks, empty);
}

#[test]
fn a_panic_rolls_back_and_goes_on() {
    let media = media();
    let pool = create(&media);
    push(&pool, 5).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = pool.write(|app, tx| {
            app.head = Some(PBox::new(tx, Node { value: 6, next: None })?);
            if app.hits == 0 {
                std::panic::resume_unwind(Box::new("planned"));
            }
            Ok(())
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(values(&pool), [5]);
    push(&pool, 7).unwrap();
    assert_eq!(values(&pool), [7, 5]);
}

#[test]
fn a_transaction_larger_than_the_ring_is_one_transaction() {
    #[derive(Persistent, Clone, Copy)]
    #[repr(C)]
    struct Big {
        words: [u64; WORDS],
    }
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct Root<'p> {
        blocks: [Option<PBox<'p, Big>>; 3],
    }
    let media = media();
    let options = Pool::<Root>::options().max_size(MAX_SIZE).size(64 << 10).ring_size(64 << 10);
    let pool = options.create_on(media.clone(), |_| Ok(Root::default())).unwrap();
    pool.write(|root, tx| {
        for (number, block) in root.blocks.iter_mut().enumerate() {
            *block = Some(PBox::new(tx, Big { words: [number as u64 + 1; WORDS] })?);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.stats().journal.spills, 1);
    drop(pool);
    let pool = Pool::<Root>::options().validation_threads(1).open_on(media).unwrap();
    for (number, block) in pool.read().blocks.iter().enumerate() {
        assert!(block.as_ref().unwrap().words.iter().all(|word| *word == number as u64 + 1));
    }
}
