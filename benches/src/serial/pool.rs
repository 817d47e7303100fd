//! The state in a pool.

use std::path::Path;

use pobj::media::{Domain, ImageMode};
use pobj::{Durability, Options, PBTreeMap, PDeque, PHashMap, PString, Persistent, Pool};

use super::Keeper;
use super::state::{Change, Sum, event, number, person, rank};
use crate::Result;

/// Somebody.
#[derive(Persistent)]
#[repr(C)]
pub struct Person<'p> {
    name: PString<'p>,
    balance: u64,
    visits: u64,
}

/// The pool's root.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct State<'p> {
    people: PHashMap<'p, u64, Person<'p>>,
    ranks: PBTreeMap<'p, u64, u64>,
    events: PDeque<'p, u64>,
}

/// A pool as it comes: the default ring, `Immediate`. In `memory` it takes its file for persistent memory behind volatile
/// caches, so that a commit flushes and fences.
fn options(memory: bool) -> Options<State<'static>> {
    match memory {
        true => Pool::options().force_domain(Domain::CacheLine).image(ImageMode::Private),
        false => Pool::options(),
    }
}

/// Makes the pool, with 10,000 records to a transaction.
///
/// # Errors
///
/// Those of the pool.
pub fn create(path: &Path, memory: bool, count: usize) -> Result<()> {
    const AT_ONCE: usize = 10_000;
    let pool = options(memory).durability(Durability::Eventual).create(path)?;
    for start in (0..count).step_by(AT_ONCE) {
        pool.write(|state, tx| {
            for index in start..count.min(start + AT_ONCE) {
                let one = person(index);
                let name = PString::from_str(tx, &one.name)?;
                let one = Person { name, balance: one.balance, visits: one.visits };
                state.people.insert(tx, number(index), one)?;
                let (rank, number) = rank(index);
                state.ranks.insert(tx, rank, number)?;
                state.events.push_back(tx, event(index, count))?;
            }
            Ok(())
        })?;
    }
    Ok(pool.close()?)
}

/// A program that has its state in a pool.
pub struct Kept {
    pool: Pool<State<'static>>,
}

impl Kept {
    /// Opens the pool, with validation or without.
    ///
    /// # Errors
    ///
    /// Those of the pool.
    pub fn open(path: &Path, memory: bool, trusted: bool) -> Result<Self> {
        let options = options(memory);
        let pool = match trusted {
            // SAFETY: this run made the file with these types, and nothing else has touched it.
            true => unsafe { options.open_trusted(path) }?,
            false => options.open(path)?,
        };
        Ok(Self { pool })
    }
}

impl Keeper for Kept {
    fn balance(&self, number: u64) -> Option<u64> {
        self.pool.read().people.get(&number).map(|person| person.balance)
    }

    fn sum(&self) -> Result<Sum> {
        let state = self.pool.read();
        let mut sum = Sum::default();
        for (number, person) in &state.people {
            sum.person(*number, &person.name, person.balance, person.visits);
        }
        state.ranks.iter().for_each(|(rank, number)| sum.rank(*rank, *number));
        state.events.iter().for_each(|number| sum.event(*number));
        Ok(sum)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        Ok(self.pool.write(|state, tx| {
            for change in changes {
                if let Some(person) = state.people.get_mut(&change.number, tx) {
                    person.balance = change.balance;
                }
            }
            Ok(())
        })?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.pool.close()?)
    }
}
