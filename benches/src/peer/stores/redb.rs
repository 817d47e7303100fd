//! redb: a B+ tree in a file, copy on write, with its own cache, one writer at a time.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::Result;
use crate::kv::{Batches, Pair, Store};

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

struct Redb {
    database: Database,
    durability: Durability,
}

/// A put returns when it is in the process's memory; it reaches the file with the next durable commit.
///
/// # Errors
///
/// If the file cannot be made.
pub(super) fn none(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(open(path, Durability::None)?)))
}

/// A put returns when it is durable.
///
/// # Errors
///
/// As for [`none`].
pub(super) fn immediate(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(Some(Box::new(open(path, Durability::Immediate)?)))
}

/// As [`none`], also where it is already.
///
/// # Errors
///
/// As for [`none`].
pub(super) fn batches_none(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    Ok(Some(Box::new(open(path, Durability::None)?)))
}

/// As [`immediate`], also where it is already.
///
/// # Errors
///
/// As for [`none`].
pub(super) fn batches_immediate(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    Ok(Some(Box::new(open(path, Durability::Immediate)?)))
}

fn open(path: &Path, durability: Durability) -> Result<Redb> {
    if path.exists() {
        return Ok(Redb { database: Database::open(path)?, durability });
    }
    let database = Database::create(path)?;
    let transaction = database.begin_write()?;
    drop(transaction.open_table(RECORDS)?);
    transaction.commit()?;
    Ok(Redb { database, durability })
}

impl Store for Redb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        transaction.open_table(RECORDS)?.insert(key, value)?;
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        Ok(table.get(key)?.map(|value| visit(value.value())).is_some())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.database.begin_read()?.open_table(RECORDS)?.len()?)
    }

    /// An empty durable commit makes all before it durable.
    fn settle(&self) -> Result<()> {
        Ok(self.database.begin_write()?.commit()?)
    }
}

impl Batches for Redb {
    fn put_all(&self, records: &[Pair]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        let mut table = transaction.open_table(RECORDS)?;
        for (key, value) in records {
            table.insert(key.as_slice(), value.as_slice())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        for record in table.iter()? {
            let (key, value) = record?;
            visit(key.value(), value.value());
        }
        Ok(())
    }
}
