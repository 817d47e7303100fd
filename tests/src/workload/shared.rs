//! Collections under locks: four threads that change a shelf each and one number in common, in transactions that share the
//! pool, and sometimes in one that has it alone.

use std::collections::{BTreeMap, HashMap};

use pobj::{Error, Options, PBTreeMap, PHashMap, PMutex, PString, PVec, Persistent, Pool, Result, Tx};

use super::{KillMode, in_mode, word};

/// Threads that work.
pub const THREADS: usize = 4;
/// One step in so many has the pool alone.
const ALONE: u64 = 8;

/// The collections of a thread.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Shelf<'p> {
    step: u64,
    names: PHashMap<'p, u64, PString<'p>>,
    order: PBTreeMap<'p, u64, u64>,
    row: PVec<'p, u64>,
}

/// The root.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Shelves<'p> {
    shelves: [PMutex<'p, Shelf<'p>>; THREADS],
    /// Steps of all threads.
    total: PMutex<'p, u64>,
}

/// What a shelf should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShelfModel {
    /// Steps so far.
    pub step: u64,
    names: HashMap<u64, String>,
    order: BTreeMap<u64, u64>,
    row: Vec<u64>,
}

/// What a step does.
enum Change {
    Name(u64, String),
    Unname(u64),
    Order(u64),
    TakeFirst,
    Push,
    Empty,
}

impl Change {
    /// What thread `thread` does in its step `step`.
    fn of(seed: u64, thread: usize, step: u64) -> Self {
        let random = word(seed ^ thread as u64, step, 3);
        let key = random / 16 % 200;
        match random % 16 {
            0..=4 => Self::Name(key, format!("{step}:{}", "x".repeat((random / 4096 % 90) as usize))),
            5..=6 => Self::Unname(key),
            7..=9 => Self::Order(key),
            10..=11 => Self::TakeFirst,
            _ if (random / 16).is_multiple_of(300) => Self::Empty,
            _ => Self::Push,
        }
    }
}

impl<'p> Shelf<'p> {
    fn apply(&mut self, change: Change, tx: &Tx<'p>) -> Result<()> {
        self.step += 1;
        match change {
            Change::Name(key, text) => {
                let text = PString::from_str(tx, &text)?;
                self.names.insert(tx, key, text)?;
            }
            Change::Unname(key) => drop(self.names.remove(&key, tx)),
            Change::Order(key) => drop(self.order.insert(tx, key, self.step)?),
            Change::TakeFirst => drop(self.order.pop_first(tx)),
            Change::Push => self.row.push(tx, self.step)?,
            Change::Empty => self.row.clear(),
        }
        Ok(())
    }

    fn observe(&self) -> ShelfModel {
        ShelfModel {
            step: self.step,
            names: self.names.iter().map(|(key, text)| (*key, text.to_string())).collect(),
            order: self.order.iter().map(|(key, value)| (*key, *value)).collect(),
            row: self.row.to_vec(),
        }
    }
}

impl ShelfModel {
    /// Goes on to `step`.
    pub fn go_to(&mut self, seed: u64, thread: usize, step: u64) {
        while self.step < step {
            self.step += 1;
            match Change::of(seed, thread, self.step) {
                Change::Name(key, text) => drop(self.names.insert(key, text)),
                Change::Unname(key) => drop(self.names.remove(&key)),
                Change::Order(key) => drop(self.order.insert(key, self.step)),
                Change::TakeFirst => drop(self.order.pop_first()),
                Change::Push => self.row.push(self.step),
                Change::Empty => self.row.clear(),
            }
        }
    }
}

/// How the pools are made: a small ring, so that checkpoints are frequent.
#[must_use]
pub fn shelf_options(mode: KillMode) -> Options<Shelves<'static>> {
    let options = Pool::<Shelves<'static>>::options().size(64 << 10).max_size(64 << 20).ring_size(64 << 10);
    in_mode!(options, mode).image(mode.image()).validation_threads(1)
}

/// One step of a thread.
///
/// # Errors
///
/// What the transaction returns.
pub fn step(pool: &Pool<Shelves<'static>>, seed: u64, thread: usize, step: u64) -> Result<()> {
    if step.is_multiple_of(ALONE) {
        return pool.write(|root, tx| {
            root.shelves[thread].get_mut().apply(Change::of(seed, thread, step), tx)?;
            *root.total.get_mut() += 1;
            Ok(())
        });
    }
    pool.share(|root, tx| {
        root.shelves[thread].lock(tx)?.apply(Change::of(seed, thread, step), tx)?;
        *root.total.lock(tx)? += 1;
        Ok(())
    })
}

/// What the shelves hold, if that is of one moment.
///
/// # Errors
///
/// If the steps do not add up.
pub fn observe(pool: &Pool<Shelves<'static>>) -> Result<[ShelfModel; THREADS]> {
    let root = pool.read();
    let found = root.shelves.each_ref().map(|shelf| shelf.get(&root).observe());
    let (sum, total) = (found.iter().map(|shelf| shelf.step).sum::<u64>(), *root.total.get(&root));
    if sum != total {
        return Err(Error::abort(format!("{sum} steps, and {total} of them are counted")));
    }
    Ok(found)
}
