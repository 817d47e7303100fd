//! pobj's own key-value stores, as contenders.

use std::path::Path;

use pobj::Durability;
use pobj::kv::{Engine, Hash, Options, Ordered};
use pobj::media::{Domain, ImageMode};

use crate::Result;
use crate::kv::{Contender, Store};

/// On persistent memory behind volatile caches, whatever the file is: a put flushes and fences.
pub const MEMORY: &[Contender] = &[
    Contender { name: "hash", open: memory::<Hash> },
    Contender { name: "ordered", open: memory::<Ordered> },
];

/// On a file, without waiting for the medium, with a ring of 64 MiB.
pub const EVENTUAL: &[Contender] = &[
    Contender { name: "hash", open: eventual::<Hash> },
    Contender { name: "ordered", open: eventual::<Ordered> },
];

/// As [`EVENTUAL`] with the ring that a pool has by default: each lap of it brings the changed pages of half a ring home,
/// and puts at random places change a page each.
pub const EVENTUAL_DEFAULT_RING: &[Contender] =
    &[Contender { name: "hash, ring 2 MiB", open: eventual_default_ring::<Hash> }];

/// On a file; a put is durable when it returns.
pub const IMMEDIATE: &[Contender] = &[
    Contender { name: "hash", open: immediate::<Hash> },
    Contender { name: "ordered", open: immediate::<Ordered> },
];

/// As much as fjall keeps in memory, and an eighth of what it lets its journals grow to, before it writes tables.
const RING_LEN: u64 = 64 << 20;

fn options<E: Engine>() -> Options<E> {
    pobj::kv::Store::<E>::options()
}

fn memory<E: Engine + 'static>(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    let options = options::<E>().force_domain(Domain::CacheLine).image(ImageMode::Private);
    Ok(Some(Box::new(options.create_store(path)?)))
}

fn eventual<E: Engine + 'static>(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    let options = options::<E>().durability(Durability::Eventual).ring_size(RING_LEN);
    Ok(Some(Box::new(options.create_store(path)?)))
}

fn eventual_default_ring<E: Engine + 'static>(
    path: &Path,
    _records: usize,
) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(options::<E>().durability(Durability::Eventual).create_store(path)?)))
}

fn immediate<E: Engine + 'static>(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(options::<E>().durability(Durability::Immediate).create_store(path)?)))
}

impl<E: Engine> Store for pobj::kv::Store<E> {
    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, value)?;
        Ok(())
    }

    #[inline]
    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.get(key, visit)?.is_some())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.count()? as u64)
    }

    /// A checkpoint: the file's own places are up to date, and durable.
    fn settle(&self) -> Result<()> {
        self.pool().checkpoint()?;
        Ok(())
    }

    fn live_bytes(&self) -> Option<u64> {
        Some(self.stats().heap.live_bytes)
    }
}
