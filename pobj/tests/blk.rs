//! Arrays of blocks: what each method does and refuses, against a model with reopenings and full pools, from many threads.
//!
//! Catches: a block that is read torn while it is written (libpmemblk's promise), one that comes back after it was set to
//! zero, memory that is not given back, bytes that end at a zero byte (pynvm), a shape that is believed or refused wrongly
//! (B34, B35), a failed write that leaves something behind (B42), a full pool that cannot be written any more.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pobj::blk::{Blocks, Options, State};
use pobj::media::{Domain, ImageMode, RamMedia};
use pobj::{Durability, Error, Pool};
use proptest::prelude::*;

const MAX_SIZE: u64 = if cfg!(miri) { 1 << 20 } else { 8 << 20 };
/// Slots that are made together.
const PART: u64 = if cfg!(miri) { 8 } else { 512 };

fn small() -> Options {
    let options = Blocks::options().size(64 << 10).ring_size(64 << 10).validation_threads(1);
    options.max_size(MAX_SIZE).durability(Durability::Eventual)
}

fn in_memory(block_size: usize, count: u64) -> (Arc<RamMedia>, Blocks) {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let blocks = small().create_on(media.clone(), block_size, count).unwrap();
    (media, blocks)
}

fn read(blocks: &Blocks, number: u64) -> Vec<u8> {
    let mut block = vec![0xEE; blocks.block_size()];
    blocks.read(number, &mut block).unwrap();
    block
}

#[cfg(not(miri))]
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blocks.pobj");
    (directory, path)
}

#[test]
fn blocks_keep_what_was_written() {
    let (media, blocks) = in_memory(16, PART * 2 + 5);
    assert_eq!((blocks.block_size(), blocks.count()), (16, PART * 2 + 5));
    // Zero bytes are bytes.
    let texts = [*b"\0first block\0\0\0\0", *b"the last block!!", [0; 16], [0xFF; 16]];
    let numbers = [0, PART * 2 + 4, PART, PART - 1];
    for (number, text) in numbers.into_iter().zip(&texts) {
        assert_eq!(read(&blocks, number), [0; 16]);
        blocks.write(number, text).unwrap();
        assert_eq!(read(&blocks, number), text);
    }
    blocks.close().unwrap();
    let blocks = small().open_on(media, Some(16)).unwrap();
    for (number, text) in numbers.into_iter().zip(&texts) {
        assert_eq!(read(&blocks, number), text);
        // A block that was written with zeros has been written.
        assert_eq!(blocks.state(number).unwrap(), State::Written);
    }
    assert_eq!(read(&blocks, 1), [0; 16]);
    assert_eq!(blocks.state(1).unwrap(), State::Zero);
}

#[test]
fn bad_blocks_are_errors_until_they_are_written() {
    let (media, blocks) = in_memory(8, 20);
    blocks.write(3, b"12345678").unwrap();
    for number in [3, 4] {
        blocks.set_error(number).unwrap();
        blocks.set_error(number).unwrap();
        let mut block = *b"as it is";
        let error = blocks.read(number, &mut block).unwrap_err();
        assert!(matches!(error, Error::BadBlock { number: found } if found == number), "{error}");
        assert!(error.to_string().contains(&format!("block {number} ")), "{error}");
        assert_eq!(&block, b"as it is");
        assert_eq!(blocks.state(number).unwrap(), State::Bad);
    }
    blocks.close().unwrap();
    let blocks = small().open_on(media, None).unwrap();
    assert!(matches!(blocks.read(3, &mut [0; 8]), Err(Error::BadBlock { number: 3 })));
    blocks.write(3, b"87654321").unwrap();
    assert_eq!(read(&blocks, 3), b"87654321");
    blocks.set_zero(4).unwrap();
    assert_eq!(read(&blocks, 4), [0; 8]);
    // Its neighbours have seen nothing of it.
    assert_eq!(blocks.state(2).unwrap(), State::Zero);
    assert_eq!(blocks.state(5).unwrap(), State::Zero);
}

#[test]
fn zero_and_bad_blocks_take_no_space() {
    let (_media, blocks) = in_memory(1000, 100_000);
    let live = || blocks.stats().heap.live_blocks;
    let empty = live();
    blocks.set_zero(77_777).unwrap();
    assert_eq!(live(), empty, "zero stays zero");
    assert_eq!(blocks.state(77_777).unwrap(), State::Zero);
    blocks.write(5, &[1; 1000]).unwrap();
    let one = live();
    assert!(one <= empty + 3, "a block, a part, the table: {empty} became {one}");
    blocks.write(6, &[1; 1000]).unwrap();
    assert_eq!(live(), one + 1);
    blocks.set_error(6).unwrap();
    assert_eq!(live(), one);
    blocks.set_zero(5).unwrap();
    assert_eq!(live(), one - 1);
    blocks.write(6, &[2; 1000]).unwrap();
    blocks.write(6, &[3; 1000]).unwrap();
    assert_eq!(live(), one, "written over, not beside");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let (media, blocks) = in_memory(64, 10);
    let (block, mut into) = ([0; 64], [0; 64]);
    let wrong_place = [
        blocks.read(10, &mut into),
        blocks.write(10, &block),
        blocks.write_many(&[(0, &block), (10, &block)]),
        blocks.set_zero(10),
        blocks.set_error(10),
        blocks.state(10).map(drop),
    ];
    for outcome in wrong_place {
        assert!(matches!(outcome, Err(Error::OutOfRange { index: 10, len: 10 })), "{outcome:?}");
    }
    assert!(matches!(blocks.read(u64::MAX, &mut into), Err(Error::OutOfRange { index: u64::MAX, .. })));
    for len in [0, 63, 65, 4096] {
        let mut buffer = vec![0; len];
        let wrong_len = [
            blocks.read(0, &mut buffer),
            blocks.write(0, &buffer),
            blocks.write_many(&[(1, &block[..]), (0, &buffer)]),
        ];
        for outcome in wrong_len {
            let found = match outcome {
                Err(Error::BufferLen { expected: 64, found }) => found,
                other => panic!("{other:?}"),
            };
            assert_eq!(found, len as u64);
        }
    }
    assert_eq!(blocks.state(0).unwrap(), State::Zero);
    assert_eq!(blocks.state(1).unwrap(), State::Zero);
    blocks.close().unwrap();
    match small().open_on(media, Some(63)) {
        Err(error @ Error::BlockShape { what: "block size", expected: 63, found: 64, .. }) => {
            assert!(error.to_string().contains("block size is 64, not 63"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn impossible_shapes_are_refused() {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    for (block_size, count) in [(0, 1), (1, 0), (0, 0), (1 << 40, 1 << 40), (usize::MAX, 1)] {
        let outcome = small().create_on(media.clone(), block_size, count);
        assert!(matches!(outcome, Err(Error::InvalidOption { .. })), "{block_size} {count}: {outcome:?}");
    }
    // More than the largest pool holds, unless the caller knows better.
    let outcome = Blocks::options().create_on(media.clone(), 4096, 1 << 40);
    assert!(matches!(outcome, Err(Error::InvalidOption { .. })), "{outcome:?}");
    let blocks = small().create_on(media, 4096, 1 << 40).unwrap();
    assert_eq!(read(&blocks, (1 << 40) - 1), [0; 4096]);
    // The table alone would be larger than the pool.
    assert!(matches!(blocks.write((1 << 40) - 1, &[1; 4096]), Err(Error::PoolFull { .. })));
    blocks.write(0, &[1; 4096]).unwrap();
    // A block larger than any memory, of which only a byte is written.
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let blocks = small().create_on(media, 1 << 60, 1).unwrap();
    assert!(blocks.cursor().write(&[1]).is_err());
    assert_eq!(blocks.state(0).unwrap(), State::Zero);
}

#[test]
fn block_sizes_from_one_byte_to_beyond_a_chunk() {
    let sizes: &[usize] =
        if cfg!(miri) { &[1, 7, 512] } else { &[1, 7, 8, 511, 512, 4095, 4096, 32 << 10, 65_537, 1 << 20] };
    for &size in sizes {
        let (media, blocks) = in_memory(size, 3);
        let pattern = |salt: usize| (0..size).map(|at| (at * 31 + salt) as u8).collect::<Vec<u8>>();
        blocks.write(0, &pattern(1)).unwrap();
        blocks.write(2, &pattern(2)).unwrap();
        blocks.write(2, &pattern(3)).unwrap();
        blocks.close().unwrap();
        let blocks = small().open_on(media, Some(size)).unwrap();
        assert_eq!(read(&blocks, 0), pattern(1), "{size}");
        assert_eq!(read(&blocks, 1), vec![0; size], "{size}");
        assert_eq!(read(&blocks, 2), pattern(3), "{size}");
    }
}

#[test]
fn several_blocks_are_written_together() {
    let (_media, blocks) = in_memory(8, PART * 3);
    blocks.write_many(&[(PART * 2, *b"third---"), (0, *b"first---"), (0, *b"again---")]).unwrap();
    assert_eq!(read(&blocks, 0), b"again---");
    assert_eq!(read(&blocks, PART * 2), b"third---");
    blocks.write_many::<[u8; 8]>(&[]).unwrap();
    blocks.write_many(&[(1, vec![1; 8])]).unwrap();
    assert_eq!(read(&blocks, 1), [1; 8]);
}

/// A transaction that takes as many bytes as the ring has, and more.
#[test]
fn more_blocks_than_the_ring_holds_are_written_together() {
    let (media, blocks) = in_memory(4096, 100);
    let writes: Vec<_> =
        (0..if cfg!(miri) { 20 } else { 100 }).map(|n| (n, vec![n as u8 + 1; 4096])).collect();
    blocks.write_many(&writes).unwrap();
    blocks.close().unwrap();
    let blocks = small().open_on(media, None).unwrap();
    for (number, bytes) in &writes {
        assert_eq!(&read(&blocks, *number), bytes);
    }
}

#[test]
fn a_full_pool_refuses_new_blocks_and_keeps_the_old_ones() {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let blocks = small().max_size(1 << 20).create_on(media.clone(), 4096, 10_000).unwrap();
    let full = (0..10_000).find(|number| match blocks.write(*number, &[1; 4096]) {
        Ok(()) => false,
        Err(Error::PoolFull { .. }) => true,
        Err(other) => panic!("{other}"),
    });
    let full = full.expect("a full pool");
    assert!(full > 50, "{full} blocks");
    assert_eq!(blocks.state(full).unwrap(), State::Zero);
    // None of them, though the first has its memory.
    let outcome = blocks.write_many(&[(0, [2; 4096]), (full, [2; 4096])]);
    assert!(matches!(outcome, Err(Error::PoolFull { .. })), "{outcome:?}");
    assert_eq!(read(&blocks, 0), [1; 4096]);
    // Those that have their memory can be written, and freeing works.
    blocks.write(0, &[3; 4096]).unwrap();
    blocks.set_error(1).unwrap();
    blocks.write(full, &[4; 4096]).unwrap();
    blocks.set_zero(2).unwrap();
    blocks.write(1, &[5; 4096]).unwrap();
    blocks.close().unwrap();
    let blocks = small().open_on(media, None).unwrap();
    assert_eq!([0, 1, 2, full].map(|number| read(&blocks, number)[0]), [3, 5, 0, 4]);
}

#[test]
fn a_cursor_goes_over_the_array_as_over_a_file() {
    let (_media, blocks) = in_memory(5, 4);
    let mut cursor = blocks.cursor();
    cursor.write_all(b"twelve bytes").unwrap();
    assert_eq!(cursor.position(), 12);
    assert_eq!(cursor.seek(SeekFrom::End(-3)).unwrap(), 17);
    assert_eq!(cursor.write_all(b"four").unwrap_err().kind(), std::io::ErrorKind::WriteZero);
    cursor.rewind().unwrap();
    let mut all = Vec::new();
    cursor.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"twelve bytes\0\0\0\0\0fou");
    assert_eq!(blocks.state(3).unwrap(), State::Written);
    assert_eq!(cursor.seek(SeekFrom::Current(100)).unwrap(), 120);
    assert_eq!(cursor.read(&mut [0; 4]).unwrap(), 0);
    assert!(cursor.seek(SeekFrom::Current(-121)).is_err());

    blocks.set_error(1).unwrap();
    let mut cursor = blocks.cursor();
    cursor.seek(SeekFrom::Start(6)).unwrap();
    let error = cursor.write(b"x").unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert!(matches!(inner, Some(Error::BadBlock { number: 1 })), "{error}");
    assert!(cursor.read(&mut [0; 2]).is_err());
    cursor.seek(SeekFrom::Start(5)).unwrap();
    cursor.write_all(b"whole").unwrap();
    assert_eq!(read(&blocks, 1), b"whole");
    cursor.flush().unwrap();
}

#[cfg(not(miri))]
#[test]
fn files_are_created_opened_and_refused() {
    let (_directory, path) = scratch();
    assert!(matches!(Blocks::open(&path, None), Err(Error::NotFound { .. })));
    let blocks = Blocks::create(&path, 512, 1000).unwrap();
    assert!(matches!(Blocks::create(&path, 512, 1000), Err(Error::AlreadyExists { .. })));
    assert!(matches!(Blocks::open(&path, None), Err(Error::Locked { .. })));
    blocks.write_with(Durability::Eventual, 1, &[1; 512]).unwrap();
    blocks.sync().unwrap();
    blocks.write_many_with(Durability::Immediate, &[(2, [2; 512]), (3, [3; 512])]).unwrap();
    blocks.checkpoint().unwrap();
    blocks.close().unwrap();
    assert!(matches!(
        Blocks::open(&path, Some(4096)),
        Err(Error::BlockShape { what: "block size", expected: 4096, found: 512, .. })
    ));
    assert!(matches!(
        Blocks::open_or_create(&path, 512, 999),
        Err(Error::BlockShape { what: "number of blocks", expected: 999, found: 1000, .. })
    ));
    let blocks = Blocks::open_or_create(&path, 512, 1000).unwrap();
    assert_eq!([1, 2, 3].map(|number| read(&blocks, number)[511]), [1, 2, 3]);
    drop(blocks);
    assert!(Blocks::open(&path, Some(512)).is_ok());

    let other = path.with_extension("other");
    Pool::<u64>::create(&other).unwrap().close().unwrap();
    assert!(matches!(Blocks::open(&other, None), Err(Error::SchemaMismatch { .. })));
}

/// Catches a commit that waits for more than its one durable write.
#[cfg(not(miri))]
#[test]
fn a_write_is_one_durable_write_and_a_table_none() {
    let (_directory, path) = scratch();
    let options = Blocks::options().force_domain(Domain::Page).image(ImageMode::Private);
    let blocks = options.create(&path, 512, 100_000).unwrap();
    for (number, expected) in [(0, 1), (1, 1), (0, 1), (90_000, 1)] {
        let before = blocks.stats().foreground.durable_writes;
        blocks.write(number, &[7; 512]).unwrap();
        assert_eq!(blocks.stats().foreground.durable_writes - before, expected, "block {number}");
        let before = blocks.stats().foreground.durable_writes;
        blocks.write_with(Durability::Eventual, number, &[8; 512]).unwrap();
        assert_eq!(blocks.stats().foreground.durable_writes, before, "block {number}");
    }
}

/// What one thread writes into a block: its number in the first word, its round in the rest.
fn fill(block: &mut [u8], thread: u64, round: u64) {
    for (at, word) in block.chunks_exact_mut(8).enumerate() {
        let value = if at == 0 { thread } else { round << 8 | thread };
        word.copy_from_slice(&value.to_le_bytes());
    }
}

/// Whether a block is one that [`fill`] made, or zeros.
fn is_whole(block: &[u8]) -> bool {
    let words: Vec<u64> =
        block.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    words[1..].iter().all(|word| *word == words[1]) && (words[1] & 0xFF) == words[0]
}

/// Writers replace whole blocks, mark them and set them to zero, while readers look at them.
fn never_torn(blocks: &Blocks, writers: u64, rounds: u64) {
    let count = blocks.count();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut block = vec![0; blocks.block_size()];
                while !done.load(Ordering::Relaxed) {
                    for number in 0..count {
                        match blocks.read(number, &mut block) {
                            Ok(()) => assert!(is_whole(&block), "block {number} is torn: {block:?}"),
                            Err(Error::BadBlock { number: found }) => assert_eq!(found, number),
                            Err(other) => panic!("{other}"),
                        }
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let threads: Vec<_> = (1..=writers)
            .map(|thread| {
                scope.spawn(move || {
                    let mut block = vec![0; blocks.block_size()];
                    for round in 1..=rounds {
                        let number = (round * 7 + thread) % count;
                        fill(&mut block, thread, round);
                        match round % 8 {
                            0 => blocks.set_zero(number).unwrap(),
                            3 => blocks.set_error(number).unwrap(),
                            5 => {
                                let other = (number + 1) % count;
                                blocks.write_many(&[(other, &block), (number, &block)]).unwrap();
                            }
                            _ => blocks.write(number, &block).unwrap(),
                        }
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok), "a writer failed");
    });
    assert!(looks.into_inner() >= count, "the readers have read");
}

#[test]
fn readers_never_see_a_torn_block() {
    let (rounds, size) = if cfg!(miri) { (8, 64) } else { (4000, 4096) };
    let (media, blocks) = in_memory(size, 3);
    never_torn(&blocks, 3, rounds);
    blocks.close().unwrap();
    let blocks = small().open_on(media, None).unwrap();
    // Each block, each slot and nothing else.
    let written = (0..3).filter(|n| blocks.state(*n).unwrap() == State::Written).count() as u64;
    assert_eq!(blocks.stats().heap.live_blocks, 3 + written);
}

#[cfg(not(miri))]
#[test]
fn readers_never_see_a_torn_block_in_place() {
    let directory = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let options = small().force_domain(Domain::CacheLine);
    for mode in [ImageMode::Private, ImageMode::InPlace] {
        let path = directory.path().join(format!("{mode:?}"));
        never_torn(&options.clone().image(mode).create(path, 4096, 3).unwrap(), 3, 1000);
    }
}

/// Two blocks that are written together, in both orders, by threads that would wait for each other for ever.
#[test]
fn writers_of_the_same_blocks_do_not_wait_for_ever() {
    let (_media, blocks) = in_memory(16, 2);
    let rounds = if cfg!(miri) { 5 } else { 2000 };
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let blocks = &blocks;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let (a, b) = (u64::from(thread % 2), u64::from(1 - thread % 2));
                    blocks.write_many(&[(a, [thread; 16]), (b, [thread; 16])]).unwrap();
                }
            });
        }
    });
    assert_eq!(read(&blocks, 0), read(&blocks, 1));
}

const MODEL_SIZE: usize = 1000;
const MODEL_COUNT: u64 = PART * 2 + 10;

#[derive(Clone, Debug)]
enum Op {
    Write(u64, u8),
    Many(Vec<(u64, u8)>),
    Part(u64, usize, Vec<u8>),
    Zero(u64),
    Bad(u64),
    Reopen,
}

/// A block of the model; absent: zero. `None`: bad.
type Model = HashMap<u64, Option<Vec<u8>>>;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..4u64, 2 => PART - 2..PART + 2, 1 => 0..MODEL_COUNT + 1, 2 => 0..MODEL_COUNT]
}

fn op() -> impl Strategy<Value = Op> {
    let many = prop::collection::vec((number(), any::<u8>()), 0..if cfg!(miri) { 4 } else { 60 });
    let part = (number(), 0..MODEL_SIZE, prop::collection::vec(any::<u8>(), 1..40));
    prop_oneof![
        6 => (number(), any::<u8>()).prop_map(|(number, byte)| Op::Write(number, byte)),
        3 => many.prop_map(Op::Many),
        3 => part.prop_map(|(number, start, bytes)| Op::Part(number, start, bytes)),
        3 => number().prop_map(Op::Zero),
        2 => number().prop_map(Op::Bad),
        1 => Just(Op::Reopen),
    ]
}

fn whole(byte: u8) -> Vec<u8> {
    (0..MODEL_SIZE).map(|at| byte.wrapping_add((at / 100) as u8)).collect()
}

/// Does `op` on both; whether it found the pool full.
fn apply(blocks: &Blocks, model: &mut Model, op: &Op) -> bool {
    let (outcome, numbers) = match op {
        Op::Write(number, byte) => (blocks.write(*number, &whole(*byte)), vec![*number]),
        Op::Many(writes) => {
            let all: Vec<_> = writes.iter().map(|(number, byte)| (*number, whole(*byte))).collect();
            (blocks.write_many(&all), writes.iter().map(|(number, _)| *number).collect())
        }
        Op::Part(number, start, bytes) => {
            let mut cursor = blocks.cursor();
            cursor.seek(SeekFrom::Start(number * MODEL_SIZE as u64 + *start as u64)).unwrap();
            let bytes = &bytes[..bytes.len().min(MODEL_SIZE - start)];
            if *number >= MODEL_COUNT {
                assert_eq!(cursor.write(bytes).unwrap(), 0);
                return false;
            }
            let outcome = cursor.write(bytes).map(|len| assert_eq!(len, bytes.len()));
            let outcome = outcome.map_err(|error| *error.into_inner().unwrap().downcast::<Error>().unwrap());
            (outcome, vec![*number])
        }
        Op::Zero(number) => (blocks.set_zero(*number), vec![*number]),
        Op::Bad(number) => (blocks.set_error(*number), vec![*number]),
        Op::Reopen => return false,
    };
    match outcome {
        Ok(()) => assert!(numbers.iter().all(|number| *number < MODEL_COUNT)),
        Err(Error::PoolFull { .. }) => return true,
        Err(Error::OutOfRange { len: MODEL_COUNT, .. }) => {
            assert!(numbers.iter().any(|number| *number >= MODEL_COUNT));
            return false;
        }
        Err(Error::BadBlock { number }) => {
            assert!(matches!(op, Op::Part(..)) && model[&number].is_none());
            return false;
        }
        Err(other) => panic!("{op:?}: {other}"),
    }
    match op {
        Op::Write(number, byte) => drop(model.insert(*number, Some(whole(*byte)))),
        Op::Many(writes) => {
            model.extend(writes.iter().map(|(number, byte)| (*number, Some(whole(*byte)))));
        }
        Op::Part(number, start, bytes) => {
            let bytes = &bytes[..bytes.len().min(MODEL_SIZE - start)];
            let block = model.entry(*number).or_insert_with(|| Some(vec![0; MODEL_SIZE]));
            block.as_mut().unwrap()[*start..start + bytes.len()].copy_from_slice(bytes);
        }
        Op::Zero(number) => drop(model.remove(number)),
        Op::Bad(number) => drop(model.insert(*number, None)),
        Op::Reopen => {}
    }
    false
}

fn compare(blocks: &Blocks, model: &Model) {
    let mut block = vec![0; MODEL_SIZE];
    let mut live = 0;
    for number in 0..MODEL_COUNT {
        match (model.get(&number), blocks.read(number, &mut block)) {
            (None, Ok(())) => assert!(block.iter().all(|byte| *byte == 0), "block {number} is not zero"),
            (Some(Some(bytes)), Ok(())) => {
                assert_eq!(bytes, &block, "block {number}");
                live += 1;
            }
            (Some(None), Err(Error::BadBlock { number: found })) => assert_eq!(found, number),
            other => panic!("block {number}: {other:?}"),
        }
    }
    // The root, the table, at most its three parts.
    let beside = blocks.stats().heap.live_blocks - live;
    assert!((1..=5).contains(&beside), "{beside} blocks beside {live}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 100 }, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn random_changes_agree_with_a_model(
        ops in prop::collection::vec(op(), 1..if cfg!(miri) { 12 } else { 120 }),
        tight in any::<bool>(),
    ) {
        let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
        let max_size = if tight { 512 << 10 } else { MAX_SIZE };
        let create = small().max_size(max_size);
        let mut blocks = create.create_on(media.clone(), MODEL_SIZE, MODEL_COUNT).unwrap();
        let (mut model, mut full) = (Model::new(), 0);
        for op in &ops {
            full += usize::from(apply(&blocks, &mut model, op));
            if matches!(op, Op::Reopen) {
                compare(&blocks, &model);
                blocks.close().unwrap();
                blocks = small().open_on(media.clone(), Some(MODEL_SIZE)).unwrap();
            }
        }
        compare(&blocks, &model);
        blocks.close().unwrap();
        compare(&small().open_on(media, None).unwrap(), &model);
        prop_assert!(tight || full == 0);
    }
}
