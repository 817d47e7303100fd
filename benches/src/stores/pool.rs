//! pobj in the comparison of stores: its key-value store, and its own maps as a program with types has them.

use std::ops::ControlFlow;
use std::path::Path;

use pobj::kv::{Batch, Engine, Hash, Ordered};
use pobj::{Durability, Options, PBTreeMap, PHashMap, Persistent, Pool};

use crate::Result;
use crate::kv::{Batches, KEY_LEN, OpenBatches, Pair, Store, VALUE_LEN};
use crate::peer::stores::Mode;

/// A pool, or a key-value store in one, in a mode.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// How it is opened as a matter of course: with validation.
    pub mode: Mode,
    /// How it is opened without validation, if it can be.
    pub trusted: Option<OpenBatches>,
}

/// pobj's structures, as durable as it makes them by default, and as it makes them without waiting.
pub const MODES: &[Ours] = &[
    ours("pobj PHashMap, Immediate", true, map::<Hashed, 1>, map::<Hashed, 0>, Some(trusted::<Hashed, 1>)),
    ours("pobj PBTreeMap, Immediate", true, map::<Sorted, 1>, map::<Sorted, 0>, Some(trusted::<Sorted, 1>)),
    ours("pobj kv hash, Immediate", true, store::<Hash, 1, 0>, store::<Hash, 0, 0>, None),
    ours("pobj kv ordered, Immediate", true, store::<Ordered, 1, 0>, store::<Ordered, 0, 0>, None),
    ours("pobj PHashMap, Eventual", false, map::<Hashed, 0>, map::<Hashed, 0>, Some(trusted::<Hashed, 0>)),
    ours("pobj PBTreeMap, Eventual", false, map::<Sorted, 0>, map::<Sorted, 0>, Some(trusted::<Sorted, 0>)),
    ours("pobj kv hash, Eventual", false, store::<Hash, 0, 0>, store::<Hash, 0, 0>, None),
    ours("pobj kv hash, Eventual, ring 64 MiB", false, store::<Hash, 0, 64>, store::<Hash, 0, 64>, None),
    ours("pobj kv ordered, Eventual", false, store::<Ordered, 0, 0>, store::<Ordered, 0, 0>, None),
];

const fn ours(
    name: &'static str,
    durable: bool,
    open: OpenBatches,
    fill: OpenBatches,
    trusted: Option<OpenBatches>,
) -> Ours {
    Ours { mode: Mode { name, durable, open, fill }, trusted }
}

const fn durability(number: u8) -> Durability {
    if number == 1 { Durability::Immediate } else { Durability::Eventual }
}

type Key = [u8; KEY_LEN];
type Value = [u8; VALUE_LEN];

/// `PHashMap` as the root.
#[derive(Persistent, Default)]
#[repr(C)]
struct Hashed<'p> {
    map: PHashMap<'p, Key, Value>,
}

/// `PBTreeMap` as the root.
#[derive(Persistent, Default)]
#[repr(C)]
struct Sorted<'p> {
    map: PBTreeMap<'p, Key, Value>,
}

fn store<E: Engine + 'static, const DURABLE: u8, const RING_MIB: u64>(
    path: &Path,
    _records: usize,
) -> Result<Option<Box<dyn Batches>>> {
    let mut options = pobj::kv::Store::<E>::options().durability(durability(DURABLE));
    if RING_MIB > 0 {
        options = options.ring_size(RING_MIB << 20);
    }
    Ok(Some(Box::new(options.open_or_create_store(path)?)))
}

impl<E: Engine> Batches for pobj::kv::Store<E> {
    fn put_all(&self, records: &[Pair]) -> Result<()> {
        let mut batch = Batch::new();
        for (key, value) in records {
            batch.put(key, value);
        }
        Ok(self.apply(&batch)?)
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let _: ControlFlow<()> = self.for_each(|key, value| {
            visit(key, value);
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

/// A pool whose root is a map; the two have the same methods, and no trait in common.
struct Map<R>(Pool<R>);

fn options<R>(durable: u8) -> Options<R> {
    Pool::options().durability(durability(durable))
}

fn map<R, const DURABLE: u8>(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>>
where
    R: Persistent + Default + 'static,
    Map<R>: Batches,
{
    Ok(Some(Box::new(Map(options::<R>(DURABLE).open_or_create(path)?))))
}

fn trusted<R, const DURABLE: u8>(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>>
where
    R: Persistent + Default + 'static,
    Map<R>: Batches,
{
    // SAFETY: this run made the file with these types, and nothing else has touched it.
    Ok(Some(Box::new(Map(unsafe { options::<R>(DURABLE).open_trusted(path) }?))))
}

macro_rules! map_store {
    ($root:ident) => {
        impl Store for Map<$root<'static>> {
            fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
                self.put_all(&[(key.try_into()?, value.try_into()?)])
            }

            fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
                let root = self.0.read();
                let key: &Key = key.try_into()?;
                Ok(root.map.get(key).map(|value| visit(value)).is_some())
            }

            fn count(&self) -> Result<u64> {
                Ok(self.0.read().map.len() as u64)
            }

            fn settle(&self) -> Result<()> {
                Ok(self.0.checkpoint()?)
            }
        }

        impl Batches for Map<$root<'static>> {
            fn put_all(&self, records: &[Pair]) -> Result<()> {
                Ok(self.0.write(|root, tx| {
                    for (key, value) in records {
                        root.map.insert(tx, *key, *value)?;
                    }
                    Ok(())
                })?)
            }

            fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
                self.0.read().map.iter().for_each(|(key, value)| visit(key, value));
                Ok(())
            }
        }
    };
}

map_store!(Hashed);
map_store!(Sorted);
