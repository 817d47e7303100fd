//! LMDB, through heed: a B+ tree in a mapped file, copy on write, one writer at a time.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use crate::Result;
use crate::kv::{Batches, Pair, Store};

/// Bytes of the map for each record, and in any case: more than LMDB needs.
const RECORD_ROOM: usize = 1024;
const ROOM: usize = 64 << 20;

/// No waiting, and pages changed where they are mapped.
const FASTEST: EnvFlags = EnvFlags::NO_SYNC.union(EnvFlags::WRITE_MAP);

struct Lmdb {
    env: Env,
    records: Database<Bytes, Bytes>,
}

/// A put returns when its pages are changed in the mapped file.
///
/// # Errors
///
/// If the directory or the files cannot be made.
pub(super) fn no_sync(path: &Path, records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(open(path, records, FASTEST)?)))
}

/// A put returns when it is durable.
///
/// # Errors
///
/// As for [`no_sync`].
pub(super) fn sync(path: &Path, records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(open(path, records, EnvFlags::empty())?)))
}

/// As [`no_sync`], also where it is already.
///
/// # Errors
///
/// As for [`no_sync`].
pub(super) fn batches_no_sync(path: &Path, records: usize) -> Result<Option<Box<dyn Batches>>> {
    Ok(Some(Box::new(open(path, records, FASTEST)?)))
}

/// As [`sync`], also where it is already.
///
/// # Errors
///
/// As for [`no_sync`].
pub(super) fn batches_sync(path: &Path, records: usize) -> Result<Option<Box<dyn Batches>>> {
    Ok(Some(Box::new(open(path, records, EnvFlags::empty())?)))
}

fn open(path: &Path, records: usize, flags: EnvFlags) -> Result<Lmdb> {
    std::fs::create_dir_all(path)?;
    let mut options = EnvOpenOptions::new();
    options.map_size(ROOM + records * RECORD_ROOM);
    // SAFETY: what these flags give up is durability; nobody stores to the map through a stray pointer.
    unsafe { options.flags(flags) };
    // SAFETY: nobody else knows the directory, which this run made; a process opens it once.
    let env = unsafe { options.open(path) }?;
    let transaction = env.read_txn()?;
    let there = env.open_database(&transaction, None)?;
    // The handle is the environment's only when its transaction has ended well.
    transaction.commit()?;
    if let Some(records) = there {
        return Ok(Lmdb { env, records });
    }
    let mut transaction = env.write_txn()?;
    let records = env.create_database(&mut transaction, None)?;
    transaction.commit()?;
    Ok(Lmdb { env, records })
}

impl Store for Lmdb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.records.put(&mut transaction, key, value)?;
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let transaction = self.env.read_txn()?;
        Ok(self.records.get(&transaction, key)?.map(visit).is_some())
    }

    fn count(&self) -> Result<u64> {
        let transaction = self.env.read_txn()?;
        Ok(self.records.len(&transaction)?)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }
}

impl Batches for Lmdb {
    fn put_all(&self, records: &[Pair]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in records {
            self.records.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let transaction = self.env.read_txn()?;
        for record in self.records.iter(&transaction)? {
            let (key, value) = record?;
            visit(key, value);
        }
        Ok(())
    }
}
