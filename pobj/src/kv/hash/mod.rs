//! The hash engine: a row of parts, each behind a lock of its own.
//!
//! A key's hash has two halves: the upper one says which part the key is in, the lower one where in the part (see
//! [`part`]). The number of parts is chosen when the table is made, so no record ever moves to another one. A record that
//! damage put into the wrong part is not found there; nothing else relies on where records are.

mod bucket;
mod check;
mod part;

use std::ops::{ControlFlow, Range};

use super::engine::{Engine, Sealed, Table};
use crate::collections::PVec;
use crate::ground::error::Result;
use crate::layout::{Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::{PRwLock, Pair, ReadGuard, persistent_struct};

use part::{Part, hash_of, random_seed};

/// Parts of a table made by `new`.
const PARTS: usize = 64;

/// The engine that finds a key in constant time, in no order.
///
/// Space on the medium: the block of a record (8 bytes, key and value, rounded up to a size class) and about 20 bytes in the
/// index. The index grows by one bucket for each seven records: no put does more. It does not shrink by itself, but with
/// [`clear`](super::Map::clear).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash;

impl Sealed for Hash {}

impl Engine for Hash {
    type Table<'p> = HashTable<'p>;
}

type Locked<'p> = PRwLock<'p, Part<'p>>;

/// What the engine [`Hash`] keeps in a pool.
#[repr(C)]
#[derive(Default)]
pub struct HashTable<'p> {
    /// There is always one.
    first: Locked<'p>,
    others: PVec<'p, Locked<'p>>,
    /// Of the hashes, where there are others.
    seed: u64,
}

persistent_struct! {
    impl['p] HashTable['p] called "KvHash"[];
    at<'q> = HashTable<'q>;
    fields { first: Locked<'p>, others: PVec<'p, Locked<'p>>, seed: u64 }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        Self::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
    };
}

impl<'p> HashTable<'p> {
    /// Number of the part that a hash is in. The upper half spread over the parts, without a division.
    #[inline]
    fn number(&self, hash: u64) -> usize {
        (((hash >> 32) * (self.others.len() as u64 + 1)) >> 32) as usize
    }

    /// The part that `key` is in, and the key's hash. A table of one part has no seed; its part knows the hash.
    #[inline]
    fn part(&self, key: &[u8]) -> (&Locked<'p>, Option<u64>) {
        if self.others.is_empty() {
            return (&self.first, None);
        }
        let hash = hash_of(self.seed, key);
        (self.others.get(self.number(hash).wrapping_sub(1)).unwrap_or(&self.first), Some(hash))
    }

    fn parts(&self) -> impl Iterator<Item = &Locked<'p>> {
        std::iter::once(&self.first).chain(self.others.iter())
    }
}

impl<'p> Table<'p> for HashTable<'p> {
    fn new(tx: &Tx<'p>) -> Result<Self> {
        let seed = random_seed()?;
        let mut others = PVec::with_capacity(tx, PARTS - 1)?;
        others.extend(tx, std::iter::repeat_with(Locked::default).take(PARTS - 1))?;
        Ok(Self { first: Locked::default(), others, seed })
    }

    #[inline]
    fn get<'a, R: Persistent>(&'a self, key: &[u8], guard: &'a ReadGuard<'p, R>) -> Option<&'a [u8]> {
        let (part, hash) = self.part(key);
        let part = part.get(guard);
        part.find(part.tag(hash, key), key).map(Pair::value)
    }

    fn iter<'a, R: Persistent>(
        &'a self,
        guard: &'a ReadGuard<'p, R>,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a, 'p, R> {
        self.parts().flat_map(|part| part.get(guard).pairs()).map(|pair| (pair.key(), pair.value()))
    }

    fn count<R: Persistent>(&self, guard: &ReadGuard<'p, R>) -> usize {
        self.parts().map(|part| part.get(guard).len()).sum()
    }

    #[inline]
    fn get_with<T>(&self, key: &[u8], tx: &Tx<'p>, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let (part, hash) = self.part(key);
        let part = part.read(tx)?;
        Ok(part.find(part.tag(hash, key), key).map(|pair| look(pair.value())))
    }

    #[inline]
    fn put(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool> {
        let (part, hash) = self.part(key);
        let mut part = part.write(tx)?;
        let tag = part.tag(hash, key);
        match part.place(tag, key) {
            Some(place) => part.set_value(place, tx, value).map(|()| false),
            None => {
                let pair = Pair::new(tx, key, value)?;
                part.add(tx, hash, pair).map(|()| true)
            }
        }
    }

    fn put_pair(&self, tx: &Tx<'p>, pair: Pair<'p>) -> Result<bool> {
        let (part, hash) = self.part(pair.key());
        let mut part = part.write(tx)?;
        let tag = part.tag(hash, pair.key());
        match part.place(tag, pair.key()) {
            Some(place) => {
                part.replace(place, tx, pair);
                Ok(false)
            }
            None => part.add(tx, hash, pair).map(|()| true),
        }
    }

    fn insert_if_absent(&self, tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<bool> {
        let (part, hash) = self.part(key);
        let mut part = part.write(tx)?;
        let tag = part.tag(hash, key);
        if part.place(tag, key).is_some() {
            return Ok(false);
        }
        let pair = Pair::new(tx, key, value)?;
        part.add(tx, hash, pair).map(|()| true)
    }

    fn update<T>(
        &self,
        key: &[u8],
        tx: &Tx<'p>,
        range: impl FnOnce(usize) -> Result<Range<usize>>,
        change: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>> {
        let (part, hash) = self.part(key);
        let mut part = part.write(tx)?;
        let tag = part.tag(hash, key);
        let Some(place) = part.place(tag, key) else { return Ok(None) };
        let range = range(part.pair_at(place).map_or(0, Pair::value_len))?;
        Ok(part.value_mut(place, range, tx).map(change))
    }

    fn remove(&self, key: &[u8], tx: &Tx<'p>) -> Result<bool> {
        let (part, hash) = self.part(key);
        let mut part = part.write(tx)?;
        let tag = part.tag(hash, key);
        let Some(place) = part.place(tag, key) else { return Ok(false) };
        part.remove(place, tx);
        Ok(true)
    }

    fn len(&self, tx: &Tx<'p>) -> Result<usize> {
        self.parts().try_fold(0, |len, part| Ok(len + part.read(tx)?.len()))
    }

    fn for_each<B>(
        &self,
        tx: &Tx<'p>,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        for part in self.parts() {
            let flow = part.read(tx)?.pairs().try_for_each(|pair| each(pair.key(), pair.value()));
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn clear(&self, tx: &Tx<'p>) -> Result<()> {
        // All locks first: one that is refused leaves everything as it was (E2).
        let mut parts = self.parts().map(|part| part.write(tx)).collect::<Result<Vec<_>>>()?;
        parts.iter_mut().for_each(|part| part.clear());
        Ok(())
    }

    fn sort<T>(&self, changes: &mut [(&[u8], T)]) {
        changes.sort_by_cached_key(|(key, _)| self.part(key).1.map(|hash| self.number(hash)));
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_table: HashTable<'static>, "Key-value stores" 1, [first, others, seed]);
