//! The program's state that is kept or saved: a map of people with names, a tree that ranks them, a list of events.
//!
//! For N records the map has N people, found by number; the tree N ranks, each leading to a number; the list N numbers.
//! It is the same for every contender, and so are the [`Change`]s: balances of random people.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Somebody.
#[derive(Clone, Debug, Deserialize, Serialize, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub struct Person {
    /// 24 to 32 bytes.
    pub name: String,
    /// What changes.
    pub balance: u64,
    /// What does not.
    pub visits: u64,
}

/// All of it, in the collections of `std` as programs have them.
#[derive(Debug, Default, Deserialize, Serialize, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub struct State {
    /// By number.
    pub people: HashMap<u64, Person>,
    /// Numbers by rank.
    pub ranks: BTreeMap<u64, u64>,
    /// Numbers in the order of events.
    pub events: VecDeque<u64>,
}

/// One field gets another value.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Whose.
    pub number: u64,
    /// The balance from then on.
    pub balance: u64,
}

/// Every rank and every number is another one: the factor is odd.
const RANK_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const PLACES: [&str; 8] = ["Aachen", "Bergen", "Coimbra", "Dundee", "Elva", "Fribourg", "Ghent", "Heraklion"];

/// Number of the person at `index`.
#[must_use]
pub fn number(index: usize) -> u64 {
    index as u64 * 7919
}

/// The person at `index`.
#[must_use]
pub fn person(index: usize) -> Person {
    let place = PLACES[index % PLACES.len()];
    Person {
        name: format!("customer {index:08} of {place}"),
        balance: mix(index as u64) >> 20,
        visits: index as u64 % 1000,
    }
}

/// The entry of the tree that comes `index`th.
#[must_use]
pub fn rank(index: usize) -> (u64, u64) {
    ((index as u64).wrapping_mul(RANK_FACTOR), number(index))
}

/// The element of the list that comes `index`th.
#[must_use]
pub fn event(index: usize, count: usize) -> u64 {
    number((mix(index as u64) % count.max(1) as u64) as usize)
}

/// Whose balance a start reads first.
#[must_use]
pub fn first(count: usize) -> u64 {
    number(count / 3)
}

/// Changes number `range` of a round, in a state of `count` people.
#[must_use]
pub fn changes(round: usize, range: std::ops::Range<usize>, count: usize) -> Vec<Change> {
    let change = |step: usize| {
        let seed = mix((round as u64 + 1) << 32 | step as u64);
        Change { number: number((seed % count.max(1) as u64) as usize), balance: mix(seed) >> 20 }
    };
    range.map(change).collect()
}

/// Spreads a number over 64 bits.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What a scan adds up, for every contender by the same arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub u64);

impl Sum {
    /// Adds a person: every byte of the name counts.
    #[inline]
    pub fn person(&mut self, number: u64, name: &str, balance: u64, visits: u64) {
        let letters: u64 = name.bytes().map(u64::from).sum();
        let person = letters.wrapping_add(balance).wrapping_add(visits);
        self.0 = self.0.wrapping_add(person.wrapping_mul(number | 1));
    }

    /// Adds an entry of the tree.
    #[inline]
    pub fn rank(&mut self, rank: u64, number: u64) {
        self.0 = self.0.wrapping_add(rank.wrapping_add(1).wrapping_mul(number | 1));
    }

    /// Adds an element of the list.
    #[inline]
    pub fn event(&mut self, number: u64) {
        self.0 = self.0.wrapping_add(number).wrapping_add(1);
    }
}

impl State {
    /// The state before any change.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            people: (0..count).map(|index| (number(index), person(index))).collect(),
            ranks: (0..count).map(rank).collect(),
            events: (0..count).map(|index| event(index, count)).collect(),
        }
    }

    /// Makes the changes, in memory.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            if let Some(person) = self.people.get_mut(&change.number) {
                person.balance = change.balance;
            }
        }
    }

    /// Adds everything up.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for (number, person) in &self.people {
            sum.person(*number, &person.name, person.balance, person.visits);
        }
        self.ranks.iter().for_each(|(rank, number)| sum.rank(*rank, *number));
        self.events.iter().for_each(|number| sum.event(*number));
        sum
    }
}
