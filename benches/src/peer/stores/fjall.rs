//! fjall: a log-structured merge tree, with a journal and threads behind it that sort and merge.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::Result;
use crate::kv::{Batches, Pair, Store};

struct Fjall {
    database: Database,
    records: Keyspace,
    sync_each: bool,
}

/// A put returns when its journal entry is with the operating system.
///
/// # Errors
///
/// If the directory or the files cannot be made.
pub(super) fn buffered(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(open(path, false)?)))
}

/// A put returns when its journal entry is durable.
///
/// # Errors
///
/// As for [`buffered`].
pub(super) fn sync_all(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(open(path, true)?)))
}

/// As [`buffered`], also where it is already.
///
/// # Errors
///
/// As for [`buffered`].
pub(super) fn batches_buffered(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    Ok(Some(Box::new(open(path, false)?)))
}

/// As [`sync_all`], also where it is already.
///
/// # Errors
///
/// As for [`buffered`].
pub(super) fn batches_sync_all(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    Ok(Some(Box::new(open(path, true)?)))
}

fn open(path: &Path, sync_each: bool) -> Result<Fjall> {
    let database = Database::builder(path).open()?;
    let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
    Ok(Fjall { database, records, sync_each })
}

impl Store for Fjall {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.records.insert(key, value)?;
        if self.sync_each { self.settle() } else { Ok(()) }
    }

    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.records.get(key)?.map(|value| visit(&value)).is_some())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.records.len()? as u64)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

impl Batches for Fjall {
    fn put_all(&self, records: &[Pair]) -> Result<()> {
        let mut batch = self.database.batch();
        for (key, value) in records {
            batch.insert(&self.records, key.as_slice(), value.as_slice());
        }
        batch.commit()?;
        if self.sync_each { self.settle() } else { Ok(()) }
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for record in self.records.iter() {
            let (key, value) = record.into_inner()?;
            visit(&key, &value);
        }
        Ok(())
    }
}
