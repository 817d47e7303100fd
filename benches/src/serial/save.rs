//! Saving everything: the state as bytes, and the bytes as a file that is whole whatever happens.
//!
//! A [`Codec`] turns the state into one run of bytes and back; that is each one's fastest way, and what it costs in memory is
//! measured too. [`save`] is the same for all: a temporary file is written and synced, renamed over the old one, and the
//! directory synced, so that after a crash there is the old state or the new one. Nothing less is as durable, and as
//! atomic, as a commit.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};
use rkyv::rancor;

use super::Keeper;
use super::state::{Change, Person, State, Sum};
use crate::Result;

/// The bytes of a state.
pub enum Encoded {
    /// Of any alignment.
    Plain(Vec<u8>),
    /// As rkyv wants them.
    Aligned(rkyv::util::AlignedVec),
    /// Of plain records, and what else there is.
    Words(Vec<u64>),
}

impl Encoded {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Aligned(bytes) => bytes,
            Self::Words(words) => bytemuck::cast_slice(words),
        }
    }
}

/// A way to write the state down.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    encode: fn(&State) -> Result<Encoded>,
    load: fn(&Path) -> Result<State>,
}

/// serde's text.
pub const JSON: Codec = Codec {
    encode: |state| Ok(Encoded::Plain(serde_json::to_vec(state)?)),
    load: |path| Ok(serde_json::from_slice(&std::fs::read(path)?)?),
};

/// serde's compact bytes.
pub const POSTCARD: Codec = Codec {
    encode: |state| Ok(Encoded::Plain(postcard::to_stdvec(state)?)),
    load: |path| Ok(postcard::from_bytes(&std::fs::read(path)?)?),
};

/// rkyv, loaded into the collections of `std`: checked, then deserialised.
pub const RKYV: Codec = Codec {
    encode: |state| Ok(Encoded::Aligned(rkyv::to_bytes::<rancor::Error>(state)?)),
    load: |path| {
        let len = std::fs::metadata(path)?.len() as usize;
        let mut bytes = rkyv::util::AlignedVec::<16>::with_capacity(len);
        bytes.extend_from_reader(&mut File::open(path)?)?;
        Ok(rkyv::from_bytes::<State, rancor::Error>(&bytes)?)
    },
};

/// A file of records of fixed size, no codec at all.
pub const RECORDS: Codec =
    Codec { encode: |state| Ok(Encoded::Words(encode_records(state))), load: load_records };

/// A person as it lies in a file.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// See [`State::people`].
    pub number: u64,
    /// See [`Person::balance`].
    pub balance: u64,
    /// See [`Person::visits`].
    pub visits: u64,
    name_len: u64,
    name: [u8; 32],
}

impl Record {
    fn new(number: u64, person: &Person) -> Self {
        let mut name = [0; 32];
        let len = person.name.len().min(name.len());
        name[..len].copy_from_slice(&person.name.as_bytes()[..len]);
        Self { number, balance: person.balance, visits: person.visits, name_len: len as u64, name }
    }

    /// The name, of which nobody else says that it is text.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn name(&self) -> Result<&str> {
        let bytes = self.name.get(..self.name_len as usize).ok_or("a name is too long")?;
        Ok(std::str::from_utf8(bytes)?)
    }
}

/// The number of people, ranks and events; the people, by their numbers; ranks and numbers in the tree's order; the list.
fn encode_records(state: &State) -> Vec<u64> {
    let counts = [state.people.len(), state.ranks.len(), state.events.len()].map(|count| count as u64);
    let mut words =
        Vec::with_capacity(3 + 8 * state.people.len() + 2 * state.ranks.len() + state.events.len());
    words.extend(counts);
    let mut people: Vec<_> = state.people.iter().collect();
    people.sort_unstable_by_key(|(number, _)| **number);
    for (number, person) in people {
        words.extend(bytemuck::cast_slice::<_, u64>(&[Record::new(*number, person)]));
    }
    words.extend(state.ranks.iter().flat_map(|(rank, number)| [*rank, *number]));
    words.extend(&state.events);
    words
}

/// The parts of such a file.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// People, by their numbers.
    pub people: &'a [Record],
    /// Ranks and numbers, by the ranks.
    pub ranks: &'a [[u64; 2]],
    /// The list.
    pub events: &'a [u64],
}

/// Words before the records.
pub const COUNTS: usize = 3;

/// Finds the parts of a file of records.
///
/// # Errors
///
/// If the file is of another length.
pub fn parts(bytes: &[u8]) -> Result<Parts<'_>> {
    let cut = |error| format!("not a file of records: {error}");
    let words: &[u64] = bytemuck::try_cast_slice(bytes).map_err(cut)?;
    let (counts, rest) = words.split_at_checked(COUNTS).ok_or("no counts")?;
    let people = 8usize.checked_mul(counts[0] as usize).ok_or("too many people")?;
    let ranks = 2usize.checked_mul(counts[1] as usize).ok_or("too many ranks")?;
    let (people, rest) = rest.split_at_checked(people).ok_or("people are missing")?;
    let (ranks, events) = rest.split_at_checked(ranks).ok_or("ranks are missing")?;
    if events.len() as u64 != counts[2] {
        return Err("events are missing, or too many".into());
    }
    Ok(Parts {
        people: bytemuck::try_cast_slice(people).map_err(cut)?,
        ranks: bytemuck::try_cast_slice(ranks).map_err(cut)?,
        events,
    })
}

fn load_records(path: &Path) -> Result<State> {
    let mut words = vec![0u64; std::fs::metadata(path)?.len() as usize / 8];
    std::io::Read::read_exact(&mut File::open(path)?, bytemuck::cast_slice_mut(&mut words))?;
    let parts = parts(bytemuck::cast_slice(&words))?;
    let mut people = HashMap::with_capacity(parts.people.len());
    for record in parts.people {
        let name = record.name()?.to_owned();
        people.insert(record.number, Person { name, balance: record.balance, visits: record.visits });
    }
    let ranks = parts.ranks.iter().map(|[rank, number]| (*rank, *number)).collect();
    Ok(State { people, ranks, events: parts.events.iter().copied().collect() })
}

/// Replaces the file at `path`, durably and at one moment.
///
/// # Errors
///
/// If something cannot be written.
pub fn save(codec: &Codec, state: &State, path: &Path) -> Result<()> {
    let encoded = (codec.encode)(state)?;
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(encoded.bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    Ok(File::open(path.parent().ok_or("a file has no directory")?)?.sync_all()?)
}

/// A program that loads everything, and saves everything.
pub struct Saver {
    codec: Codec,
    state: State,
    path: PathBuf,
}

impl Saver {
    /// Loads the state.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn open(codec: Codec, path: &Path) -> Result<Self> {
        Ok(Self { codec, state: (codec.load)(path)?, path: path.to_owned() })
    }
}

impl Keeper for Saver {
    fn balance(&self, number: u64) -> Option<u64> {
        self.state.people.get(&number).map(|person| person.balance)
    }

    fn sum(&self) -> Result<Sum> {
        Ok(self.state.sum())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        self.state.apply(changes);
        save(&self.codec, &self.state, &self.path)
    }

    fn in_memory(&mut self) -> Option<&mut State> {
        Some(&mut self.state)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // The process ends: nobody frees a state for that.
        std::mem::forget(self);
        Ok(())
    }
}
