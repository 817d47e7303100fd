//! A cache in a pool that forgets what was not used for longest.
//!
//! [`Lru`] is the persistent part: a list in the order of use, and a map from each key to its place in the list. Both
//! change in one transaction, so no crash leaves a key without its entry. [`Cache`] is a pool of one, with [`Counters`]
//! in ordinary memory beside it: what is in the cache survives a restart, what this run asked of it is counted afresh.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use pobj::{Companion, Durability, PHashMap, PList, PListKey, PString, Persistent, Pool, Result, Tx};

/// What is kept under a key.
#[derive(Persistent)]
#[repr(C)]
struct Entry<'p> {
    /// Here as well as in the map, so that who leaves the end of the list is found in the map.
    key: PString<'p>,
    value: PString<'p>,
}

/// At most [`capacity`](Self::capacity) values by key; the one that was not used for longest leaves first. The default
/// has a capacity of none.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Lru<'p> {
    capacity: u64,
    /// Where each key's entry is in the list.
    places: PHashMap<'p, PString<'p>, PListKey>,
    /// Used last comes first.
    entries: PList<'p, Entry<'p>>,
}

impl<'p> Lru<'p> {
    /// The value of `key`, which is now the one used last. Constant time; nothing is written if it was that already.
    pub fn get(&mut self, key: &str, tx: &Tx<'p>) -> Option<&str> {
        let &place = self.places.get(key)?;
        self.entries.move_to_front(place, tx);
        self.entries.get(place).map(|entry| entry.value.as_str())
    }

    /// The value of `key`, without using it.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<&str> {
        let &place = self.places.get(key)?;
        self.entries.get(place).map(|entry| entry.value.as_str())
    }

    /// Keeps `value` under `key`, which is now the one used last. Gives how many others had to leave for it.
    ///
    /// # Errors
    ///
    /// Those of taking memory. Then the cache is as it was.
    pub fn put(&mut self, tx: &Tx<'p>, key: &str, value: &str) -> Result<u64> {
        let value = PString::from_str(tx, value)?;
        if let Some(&place) = self.places.get(key) {
            if let Some(entry) = self.entries.get_mut(place, tx) {
                entry.value = value;
            }
            self.entries.move_to_front(place, tx);
            return Ok(0);
        }
        let name = PString::from_str(tx, key)?;
        let place = self.entries.push_front(tx, Entry { key: PString::from_str(tx, key)?, value })?;
        if let Err(error) = self.places.insert(tx, name, place) {
            self.entries.remove(place, tx);
            return Err(error);
        }
        Ok(self.evict(tx))
    }

    /// Takes `key` out; whether it was there.
    pub fn remove(&mut self, key: &str, tx: &Tx<'p>) -> bool {
        match self.places.remove(key, tx) {
            Some(place) => self.entries.remove(place, tx).is_some(),
            None => false,
        }
    }

    /// Changes the capacity. Gives how many entries had to leave.
    pub fn set_capacity(&mut self, capacity: u64, tx: &Tx<'p>) -> u64 {
        self.capacity = capacity;
        self.evict(tx)
    }

    fn evict(&mut self, tx: &Tx<'p>) -> u64 {
        let mut evicted = 0;
        while self.entries.len() as u64 > self.capacity {
            let Some(oldest) = self.entries.pop_back(tx) else { break };
            self.places.remove(oldest.key.as_str(), tx);
            evicted += 1;
        }
        evicted
    }

    /// How many entries there may be.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values, the one used last first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }
}

/// What this run of the program asked of a cache. A companion: made when the pool is opened, gone when it is closed.
#[derive(Debug, Default)]
pub struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

impl Companion<Lru<'static>> for Counters {
    fn build(_: &Lru<'_>) -> Self {
        Self::default()
    }
}

impl Counters {
    /// How often a key was there.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// How often it was not.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// How many entries had to leave.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}

/// A file with a cache in it. Each call is one transaction; any number of threads may call.
///
/// Transactions are [`Durability::Eventual`]: a power cut may take the last moments of a cache, and no more than that.
#[derive(Debug)]
pub struct Cache {
    pool: Pool<Lru<'static>>,
}

impl Cache {
    /// The capacity of a new cache where none is given.
    pub const CAPACITY: u64 = 100;

    /// Opens the cache in the file `path`, or makes it. A `capacity` that is given is the cache's from now on.
    ///
    /// # Errors
    ///
    /// Those of opening a pool and of a transaction.
    pub fn open(path: &Path, capacity: Option<u64>) -> Result<Self> {
        let pool = Pool::<Lru>::options().durability(Durability::Eventual).open_or_create(path)?;
        let kept = pool.read().capacity();
        let capacity = capacity.unwrap_or(if kept == 0 { Self::CAPACITY } else { kept });
        if capacity != kept {
            pool.write(|lru, tx| {
                lru.set_capacity(capacity, tx);
                Ok(())
            })?;
        }
        Ok(Self { pool })
    }

    /// The value of `key`, which is now the one used last.
    ///
    /// # Errors
    ///
    /// Those of a transaction.
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        let value = self.pool.write(|lru, tx| Ok(lru.get(key, tx).map(str::to_owned)))?;
        // Here and not in the closure, which might still have failed.
        let counters = self.counters();
        let counter = if value.is_some() { &counters.hits } else { &counters.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(value)
    }

    /// Keeps `value` under `key`.
    ///
    /// # Errors
    ///
    /// Those of a transaction, and of taking memory.
    pub fn put(&self, key: &str, value: &str) -> Result<()> {
        let evicted = self.pool.write(|lru, tx| lru.put(tx, key, value))?;
        self.counters().evictions.fetch_add(evicted, Ordering::Relaxed);
        Ok(())
    }

    /// What this run asked so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.pool.companion()
    }

    /// The pool, for looking at the entries.
    #[must_use]
    pub fn pool(&self) -> &Pool<Lru<'static>> {
        &self.pool
    }

    /// Makes everything durable and closes the file.
    ///
    /// # Errors
    ///
    /// Those of a sync.
    pub fn close(self) -> Result<()> {
        self.pool.close()
    }
}
