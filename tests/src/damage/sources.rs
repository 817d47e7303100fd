//! What is damaged: pools and logs that were closed, killed, or cut inside a transaction, and how each is used.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pobj::blk::Blocks;
use pobj::kv::{Engine, Hash, Map, Ordered, Store};
use pobj::log::{self, Log};
use pobj::media::sim::SimMedia;
use pobj::media::{Domain, ImageMode, Media};
use pobj::{Durability, Error, Options, Persistent, Pool};

use super::cage;
use super::forge::Forger;
use crate::support::counting;
use crate::support::small;
use crate::support::zoo::{self, Fate, Sum, Zoo};

/// What opening has cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// The longest opening.
    pub took: Duration,
    /// The most memory that one took, in bytes; 0 where nobody counts.
    pub memory: usize,
}

impl Cost {
    fn of<T>(&mut self, open: impl FnOnce() -> T) -> T {
        let before = counting::mark();
        let begun = Instant::now();
        let opened = open();
        self.took = self.took.max(begun.elapsed());
        self.memory = self.memory.max(counting::most_since(before));
        opened
    }
}

/// Opens and uses what a medium holds. `Err` is what must not happen.
pub type Use = Box<dyn Fn(&Arc<dyn Media>, &mut Cost) -> Result<Fate, String> + Send + Sync>;

/// Something to damage.
pub struct Source {
    /// What it is.
    pub name: &'static str,
    /// The medium on which it was made, whose addresses its pointers are.
    pub media: SimMedia,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Opens and uses it.
    pub use_it: Use,
    /// Makes its checksums right.
    pub forger: Forger,
    /// Its image is its medium's own bytes, which changes cannot be traced in.
    pub in_place: bool,
    /// A later state of it.
    pub later: Vec<u8>,
}

/// All sources.
pub const NAMES: [&str; 10] = [
    "a pool with one of everything, closed",
    "a pool with one of everything, killed",
    "a pool with a full ring and a body outside it, killed",
    "a pool in place, cut inside a large transaction",
    "trees, concurrent maps and locks, killed",
    "a hashed key-value store",
    "an ordered key-value store",
    "an array of blocks",
    "a log, closed",
    "a log, killed",
];

/// Makes the source of a name.
///
/// # Panics
///
/// If there is none, or it cannot be made.
#[must_use]
pub fn source(name: &str) -> Source {
    let at = NAMES.iter().position(|known| *known == name).expect("a source of this name");
    match at {
        0..=3 => zoo(NAMES[at], at),
        4 => caged(NAMES[at]),
        5 => store::<Hash>(NAMES[at], &|_| 0),
        6 => store::<Ordered>(NAMES[at], &ordered),
        7 => blocks(NAMES[at]),
        _ => logged(NAMES[at], at == 8),
    }
}

fn walk_zoo(pool: &Pool<Zoo<'static>>) -> u64 {
    zoo::walk(&pool.read())
}

fn zoo(name: &'static str, which: usize) -> Source {
    let in_place = which == 3;
    let (domain, image) = match in_place {
        true => (Domain::CacheLine, ImageMode::InPlace),
        false => (Domain::Page, ImageMode::Private),
    };
    let media = SimMedia::with_domain(5 << 19, domain).expect("memory");
    let options = zoo::options().image(image);
    let pool = options.create_on(Arc::new(media.clone()), |_| Ok(Zoo::default())).expect("a new pool");
    let live = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            pool.write(|zoo, tx| zoo::live(zoo, tx, number)).expect("room");
        }
    };
    live(0..24);
    let mut bytes = Vec::new();
    if which > 0 {
        pool.checkpoint().expect("a checkpoint");
    }
    match which {
        0 => {}
        1 => live(24..29),
        2 => {
            live(24..33);
            pool.write(zoo::spill).expect("room");
        }
        _ => {
            live(24..27);
            let ended = pool.write(|zoo, tx| {
                zoo::touch_all(zoo, tx)?;
                bytes = media.bytes();
                Err::<(), _>(Error::abort("cut here"))
            });
            assert!(ended.is_err());
        }
    }
    if which == 1 || which == 2 {
        bytes = media.bytes();
        live(33..35);
    }
    pool.close().expect("closes");
    let later = media.bytes();
    let bytes = if which == 0 { later.clone() } else { bytes };
    let use_it: Use = Box::new(move |media, cost| {
        let change = |pool: &Pool<Zoo<'static>>| pool.write(|zoo, tx| zoo::live(zoo, tx, 5));
        use_pool(&options, media, cost, &walk_zoo, &change)
    });
    Source { name, media, bytes, use_it, forger: |forge| forge.pool(), in_place, later }
}

fn caged(name: &'static str) -> Source {
    let media = SimMedia::new(3 << 19).expect("memory");
    let pool = cage::create(Arc::new(media.clone()));
    let live = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            pool.write(|cage, tx| cage::live(cage, tx, number)).expect("room");
        }
    };
    live(0..14);
    pool.checkpoint().expect("a checkpoint");
    live(14..18);
    let bytes = media.bytes();
    live(18..20);
    pool.close().expect("closes");
    let use_it: Use = Box::new(|media, cost| {
        let change = |pool: &Pool<cage::Cage<'static>>| pool.write(|cage, tx| cage::live(cage, tx, 5));
        use_pool(&cage::options(), media, cost, &cage::walk, &change)
    });
    Source { name, later: media.bytes(), media, bytes, use_it, forger: |forge| forge.pool(), in_place: false }
}

/// Opens, walks, changes, collects, walks, closes, opens and walks; an error only for what must not happen.
fn use_pool<R: Persistent>(
    options: &Options<R>,
    media: &Arc<dyn Media>,
    cost: &mut Cost,
    walk: &dyn Fn(&Pool<R>) -> u64,
    change: &dyn Fn(&Pool<R>) -> pobj::Result<()>,
) -> Result<Fate, String> {
    // Replays into its image, and writes nothing.
    drop(cost.of(|| options.open_read_only_on(Arc::clone(media))));
    let pool = match cost.of(|| options.open_on(Arc::clone(media))) {
        Ok(pool) => pool,
        Err(error) => return Ok(Fate::Refused(error)),
    };
    let found = walk(&pool);
    let full = |error: &Error| matches!(error, Error::PoolFull { .. });
    match change(&pool) {
        Ok(()) => {}
        Err(error) if full(&error) => {}
        Err(error) => return Err(format!("it opened, and a transaction failed: {error}")),
    }
    let collected = match pool.collect() {
        Ok(_) => true,
        Err(error) if full(&error) => false,
        Err(error) => return Err(format!("it opened, and collecting failed: {error}")),
    };
    let after = walk(&pool);
    pool.close().map_err(|error| format!("it opened, and closing failed: {error}"))?;
    let opened = cost.of(|| options.open_on(Arc::clone(media)));
    let pool = opened.map_err(|error| format!("it opened once, and not again: {error}"))?;
    if collected && pool.stats().opened.unreachable_blocks != 0 {
        return Err("blocks are lost although they were collected".to_owned());
    }
    if walk(&pool) != after {
        return Err("reopening changed its content".to_owned());
    }
    Ok(Fate::Lives(found))
}

fn key(number: u64) -> Vec<u8> {
    format!("key {}", number * 0x9E37 % 997).into_bytes().repeat(1 + number as usize % 3)
}

/// What an ordered store can do besides.
fn ordered(pool: &Pool<Map<'static, Ordered>>) -> u64 {
    let guard = pool.read();
    let mut sum = Sum(2);
    let back: Vec<_> = guard.range(b"key 2".as_slice()..b"key 7".as_slice(), &guard).rev().collect();
    back.iter().for_each(|(key, value)| sum.add((key.len() + value.len()) as u64));
    sum.add(guard.count_prefix(b"key 1", &guard) as u64);
    sum.0
}

fn store<E: Engine>(
    name: &'static str,
    more: &'static (dyn Fn(&Pool<Map<'static, E>>) -> u64 + Send + Sync),
) -> Source
where
    Store<E>: From<Pool<Map<'static, E>>>,
{
    let media = SimMedia::new(3 << 19).expect("memory");
    let options: Options<Map<'static, E>> = small(3 << 19);
    let pool = options.create_on(Arc::new(media.clone()), |tx| Map::new(tx)).expect("a new store");
    let live = |pool: &Pool<Map<'static, E>>, from: u64| {
        pool.write(|map, tx| {
            for number in from..from + 40 {
                map.put(tx, &key(number), &key(number / 2).repeat(1 + number as usize % 9))?;
            }
            (from..from + 7).try_for_each(|number| map.remove(&key(number * 3), tx).map(drop))
        })
    };
    for from in 0..8 {
        live(&pool, from * 40).expect("room");
    }
    pool.checkpoint().expect("a checkpoint");
    live(&pool, 330).expect("room");
    let bytes = media.bytes();
    live(&pool, 340).expect("room");
    pool.close().expect("closes");
    let use_it: Use = Box::new(move |media, cost| {
        let walk = |pool: &Pool<Map<'static, E>>| {
            let (guard, mut sum) = (pool.read(), 0_u64);
            // Into a list, which trusts what an iterator says of its length.
            let records: Vec<_> = guard.iter(&guard).collect();
            for (key, value) in records {
                let mut one = Sum(3);
                key.iter().chain(value).for_each(|byte| one.add(u64::from(*byte)));
                sum = sum.wrapping_add(one.0);
                let _ = guard.get(key, &guard);
            }
            drop(guard);
            sum ^ more(pool)
        };
        use_pool(&options, media, cost, &walk, &|pool| live(pool, 5))
    });
    Source { name, later: media.bytes(), media, bytes, use_it, forger: |forge| forge.pool(), in_place: false }
}

const BLOCK: usize = 72;

fn use_blocks(media: &Arc<dyn Media>, cost: &mut Cost) -> Result<Fate, String> {
    let options = Blocks::options().validation_threads(1);
    let open = || options.open_on(Arc::clone(media), None);
    let blocks = match cost.of(open) {
        Ok(blocks) => blocks,
        Err(error) => return Ok(Fate::Refused(error)),
    };
    let walk = |blocks: &Blocks| {
        let mut sum = Sum(4);
        let mut bytes = vec![0; blocks.block_size().min(1 << 20)];
        for number in (0..blocks.count()).take(5000) {
            match blocks.read(number, &mut bytes) {
                Ok(()) => bytes.iter().for_each(|byte| sum.add(u64::from(*byte))),
                Err(Error::BadBlock { .. } | Error::BufferLen { .. }) => sum.add(7),
                Err(error) => return Err(format!("block {number}: {error}")),
            }
        }
        Ok(sum.0)
    };
    let found = walk(&blocks)?;
    let bytes = vec![9; blocks.block_size().min(1 << 20)];
    let last = blocks.count().saturating_sub(1);
    for number in [0, 1, 17, last] {
        match blocks.write(number, &bytes).and_then(|()| blocks.set_zero(number / 2)) {
            Ok(()) | Err(Error::PoolFull { .. } | Error::OutOfRange { .. } | Error::BufferLen { .. }) => {}
            Err(error) => return Err(format!("it opened, and writing failed: {error}")),
        }
    }
    let after = walk(&blocks)?;
    blocks.close().map_err(|error| format!("it opened, and closing failed: {error}"))?;
    let blocks = cost.of(open).map_err(|error| format!("it opened once, and not again: {error}"))?;
    if walk(&blocks)? != after {
        return Err("reopening changed its content".to_owned());
    }
    Ok(Fate::Lives(found))
}

fn blocks(name: &'static str) -> Source {
    let media = SimMedia::new(1 << 20).expect("memory");
    let options =
        Blocks::options().size(64 << 10).max_size(1 << 20).ring_size(64 << 10).validation_threads(1);
    let made = options.create_on(Arc::new(media.clone()), BLOCK, 700).expect("a new array");
    let write = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            made.write(number * 13 % 700, &[number as u8; BLOCK]).expect("room");
        }
    };
    write(0..60);
    (0..9).for_each(|number| made.set_error(number * 26).expect("room"));
    (0..9).for_each(|number| made.set_zero(number * 39).expect("room"));
    made.checkpoint().expect("a checkpoint");
    write(60..66);
    let bytes = media.bytes();
    write(66..70);
    made.close().expect("closes");
    let later = media.bytes();
    Source {
        name,
        later,
        media,
        bytes,
        use_it: Box::new(use_blocks),
        forger: |forge| forge.pool(),
        in_place: false,
    }
}

/// Reads a log to its end, or to what it says is damaged.
fn read_log(log: &Log) -> Result<(u64, bool), String> {
    let mut sum = Sum(5);
    for entry in log.entries() {
        match entry {
            Ok((position, bytes)) => {
                sum.add(position.offset());
                bytes.iter().for_each(|byte| sum.add(u64::from(*byte)));
            }
            Err(Error::Corrupt { .. }) => return Ok((sum.0, false)),
            Err(error) => return Err(format!("reading failed: {error}")),
        }
    }
    let walked = log.walk(100, |bytes| {
        sum.add(bytes.len() as u64);
        ControlFlow::<()>::Continue(())
    });
    Ok((sum.0, walked.is_ok()))
}

fn use_log(media: &Arc<dyn Media>, cost: &mut Cost) -> Result<Fate, String> {
    if let Ok(mut reader) = log::Options::new().open_read_only_on(Arc::clone(media)) {
        while let Ok(Some(_)) = reader.next_entry() {}
    }
    let open = || log::Options::new().open_on(Arc::clone(media));
    let log = match cost.of(open) {
        Ok(log) => log,
        Err(error) => return Ok(Fate::Refused(error)),
    };
    let (found, whole) = read_log(&log)?;
    let _ = log.check();
    match log.append(b"one more").and_then(|_| log.append_all([b"two".as_slice(), &[7; 300]])) {
        Ok(_) | Err(Error::LogFull { .. }) => {}
        Err(error) => return Err(format!("it opened, and appending failed: {error}")),
    }
    let (after, _) = read_log(&log)?;
    log.close().map_err(|error| format!("it opened, and closing failed: {error}"))?;
    let log = cost.of(open).map_err(|error| format!("it opened once, and not again: {error}"))?;
    if read_log(&log)?.0 != after {
        return Err("reopening changed its content".to_owned());
    }
    log.rewind().map_err(|error| format!("rewinding failed: {error}"))?;
    match read_log(&log)? {
        (_, false) => Err("a log that was rewound is damaged".to_owned()),
        _ => Ok(Fate::Lives(if whole { found } else { !found })),
    }
}

fn logged(name: &'static str, closed: bool) -> Source {
    let media = SimMedia::new(1 << 20).expect("memory");
    let options = log::Options::new();
    let create = |media: &SimMedia| options.create_on(Arc::new(media.clone()), 48 << 10).expect("a new log");
    let log = create(&media);
    let append = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let entry = vec![number as u8; number * 37 % 500];
            log.with(Durability::Immediate).append_all([entry.as_slice(), b"", b"third"]).expect("room");
        }
    };
    append(0..40);
    log.rewind().expect("rewinds");
    append(40..90);
    let bytes = media.bytes();
    append(90..95);
    log.close().expect("closes");
    let later = media.bytes();
    let bytes = if closed { later.clone() } else { bytes };
    Source {
        name,
        later,
        media,
        bytes,
        use_it: Box::new(use_log),
        forger: |forge| forge.log(),
        in_place: false,
    }
}
