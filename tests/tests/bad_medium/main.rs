//! Bad blocks under a pool: the medium answers EIO where it is read. Catches an open that ends in a signal (SIGBUS) instead
//! of an error, one that gives an error which does not say where, and a pool that shows wrong data.
//!
//! A file system of this test's own has a bad block at each place in turn; see `fuse`. Without the right to mount the test
//! prints `skipped`.

mod fuse;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use fuse::{BLOCK, BadDisk, NAMES};
use pobj::blk::Blocks;
use pobj::media::{Domain, ImageMode};
use pobj::{Error, Options, PBox, PString, PVec, Persistent};
use tests::support::{child, child_argument, directory, small};

#[derive(Persistent)]
#[repr(C)]
struct Node<'p> {
    name: PString<'p>,
    next: Option<PBox<'p, Node<'p>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    first: Option<PBox<'p, Node<'p>>>,
    numbers: PVec<'p, u64>,
}

const NODES: u64 = 3000;
const NUMBERS: u64 = 20_000;

fn options(way: &str) -> Options<App<'static>> {
    let options = small::<App>(4 << 20);
    match way {
        "line" => options.force_domain(Domain::CacheLine).image(ImageMode::Private),
        _ => options.force_domain(Domain::Page).image(ImageMode::Private),
    }
}

/// The bytes of a pool, as it was closed or as a kill would leave it.
fn make(path: &Path, closed: bool) -> Vec<u8> {
    let pool = options("page").create(path).unwrap();
    pool.write(|app, tx| {
        for number in 0..NODES {
            let name = PString::from_fmt(tx, format_args!("node {number}"))?;
            app.first = Some(PBox::new(tx, Node { name, next: app.first.take() })?);
        }
        app.numbers.extend(tx, 0..NUMBERS)?;
        app.numbers.slice_mut(.., tx)?.reverse();
        Ok(())
    })
    .unwrap();
    pool.checkpoint().unwrap();
    // What has to be replayed: all over the pool.
    for part in 0..20 {
        pool.write(|app, tx| {
            let (first, last) = (part * 500, NUMBERS as usize - 1 - part * 500);
            for place in 0..500 {
                assert!(app.numbers.swap(first + place, last - place, tx));
            }
            Ok(())
        })
        .unwrap();
    }
    if closed {
        pool.close().unwrap();
    }
    std::fs::read(path).unwrap()
}

/// The part of the child: opens a pool one way and says what came of it; then reads everything.
#[test]
fn part_opens_a_bad_pool() {
    let Some(argument) = child_argument("part_opens_a_bad_pool") else { return };
    let argument = argument.into_string().unwrap();
    let (way, path) = argument.split_once(':').unwrap();
    let check = |app: &App<'_>| {
        let (mut node, mut count) = (&app.first, 0);
        while let Some(this) = node {
            count += 1;
            assert_eq!(*this.name, format!("node {}", NODES - count));
            node = &this.next;
        }
        assert_eq!(count, NODES);
        println!("\nwalked");
        assert!(app.numbers.iter().copied().eq(0..NUMBERS));
        println!("\nread");
    };
    let error = match way {
        "read-only" => match options(way).open_read_only(path) {
            Ok(pool) => return check(&pool.read()),
            Err(error) => error,
        },
        _ => match options(way).open(path) {
            Ok(pool) => return check(&pool.read()),
            Err(error) => error,
        },
    };
    match error {
        Error::Unreadable { offset, len, source, path: said } => {
            assert_eq!(said, Path::new(path));
            assert_eq!(source.raw_os_error(), Some(libc::EIO));
            println!("\nrefused {offset} {len}");
        }
        Error::Io { source, .. } if source.raw_os_error() == Some(libc::EIO) => println!("\nio"),
        other => panic!("{other:?}"),
    }
}

const BLOCKS: u64 = 40;

/// The part of the child: opens blocks and reads all of them.
#[test]
fn part_reads_bad_blocks() {
    let Some(path) = child_argument("part_reads_bad_blocks") else { return };
    let blocks = match Blocks::open(&path, Some(BLOCK)) {
        Ok(blocks) => blocks,
        Err(Error::Unreadable { .. }) => return println!("\nrefused"),
        Err(other) => panic!("{other:?}"),
    };
    let mut block = [0; BLOCK];
    for number in 0..BLOCKS {
        match blocks.read(number, &mut block) {
            Ok(()) => assert_eq!(block, [number as u8 + 1; BLOCK]),
            Err(error @ Error::Unreadable { .. }) => {
                let again = blocks.write(number, &block);
                assert!(matches!(again, Err(Error::Unreadable { .. })), "{again:?}");
                println!("\nlost {error}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    println!("\nread");
}

/// A bad block under one block of an array: that one is an error, and no other.
#[test]
fn bad_blocks_of_an_array_are_errors_where_they_are_read() {
    let directory = directory();
    let (path, at) = (directory.path().join("whole.pobj"), directory.path().join("disk"));
    let options = Blocks::options().size(64 << 10).ring_size(64 << 10).max_size(1 << 20);
    let blocks = options.create(&path, BLOCK, BLOCKS).unwrap();
    (0..BLOCKS).for_each(|number| blocks.write(number, &[number as u8 + 1; BLOCK]).unwrap());
    blocks.close().unwrap();
    let contents = std::fs::read(&path).unwrap();
    let places = contents.len() / BLOCK;
    std::fs::create_dir(&at).unwrap();
    let _disk = match BadDisk::mount(&at, contents) {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let (mut refused, mut lost) = (0, 0);
    for bad in 0..places {
        let output = child("part_reads_bad_blocks", at.join(bad.to_string())).output().unwrap();
        assert!(output.status.success(), "block {bad}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let count = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
        match (count("refused"), count("lost"), count("read")) {
            (1, 0, 0) => refused += 1,
            (0, 0 | 1, 1) => lost += count("lost"),
            other => panic!("block {bad}: {other:?}"),
        }
    }
    println!("{places} places, {refused} refused, {lost} lost");
    assert!(refused >= 5 && lost as u64 == BLOCKS, "{refused} refused, {lost} lost");
}

#[derive(Debug, Default, PartialEq)]
struct Tally {
    refused: u32,
    /// A write into a page that the system has to read first.
    io: u32,
    read: u32,
    /// The process ended where plain data is read that nobody looks at when the pool is opened.
    ended: u32,
}

/// Every so many-th block is tried: another third of them in each way.
const STEP: usize = 3;

/// Opens the file with one bad block, again and again.
fn open_with_bad_blocks(number: usize, way: &str, at: &Path, blocks: usize) -> Tally {
    let mut tally = Tally::default();
    for bad in (number..blocks).step_by(STEP) {
        let argument = format!("{way}:{}/{}", at.display(), number * NAMES + bad);
        let output = child("part_opens_a_bad_pool", argument).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let said = |word: &str| text.lines().any(|line| line == word);
        let refused = text.lines().find_map(|line| line.strip_prefix("refused "));
        if let Some((offset, len)) = refused.and_then(|line| line.split_once(' ')) {
            let (offset, len): (usize, usize) = (offset.parse().unwrap(), len.parse().unwrap());
            let bad_byte = bad * BLOCK..bad * BLOCK + BLOCK;
            assert!(offset < bad_byte.end && bad_byte.start < offset + len, "block {bad}: {offset} {len}");
            tally.refused += 1;
        } else if said("io") {
            tally.io += 1;
        } else if said("read") {
            tally.read += 1;
        } else {
            // What is in text or pointers was looked at by validation.
            assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{way}, block {bad}: {output:?}");
            assert!(said("walked"), "{way}, block {bad}: ended before the plain data");
            tally.ended += 1;
            continue;
        }
        assert!(output.status.success(), "{way}, block {bad}: {output:?}");
    }
    tally
}

/// Opens a pool with bad blocks in each way.
fn open_in_each_way(closed: bool) -> Vec<Tally> {
    let directory = directory();
    let contents = make(&directory.path().join("whole.pobj"), closed);
    let blocks = contents.len() / BLOCK;
    let at = directory.path().join("disk");
    std::fs::create_dir(&at).unwrap();
    let _disk = match BadDisk::mount(&at, contents) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: {reason}");
            return Vec::new();
        }
    };
    let ways = ["page", "line", "read-only"].into_iter().enumerate();
    let open = |(number, way)| {
        let tally = open_with_bad_blocks(number, way, &at, blocks);
        println!("{way}: {blocks} blocks, {tally:?}");
        tally
    };
    ways.map(open).collect()
}

#[test]
fn bad_blocks_of_a_closed_pool_are_errors_at_open() {
    for tally in open_in_each_way(true) {
        // Header, superblock, schema; metadata; nodes and names: of 3000, of 32 and of 16 bytes.
        assert!(tally.refused >= 15, "{tally:?}");
        // The numbers are 40 blocks.
        assert!((1..=14).contains(&tally.ended), "{tally:?}");
    }
}

#[test]
fn bad_blocks_under_recovery_are_errors_at_open() {
    for tally in open_in_each_way(false) {
        assert!(tally.refused >= 15 && tally.ended <= 14, "{tally:?}");
    }
}
