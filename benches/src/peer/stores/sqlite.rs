//! SQLite, through rusqlite and in the version that comes with it: a B tree in a file with a write-ahead log.
//!
//! One connection, one table without row ids whose key is the primary key, statements prepared once. Its cache may have
//! 64 MiB, for its default of 2 MiB would hold next to nothing of these tables.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::Result;
use crate::kv::{Batches, Pair, Store};

const PUT: &str = "INSERT INTO records VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
const GET: &str = "SELECT value FROM records WHERE key = ?1";

struct Sqlite {
    connection: Mutex<Connection>,
    path: PathBuf,
}

/// `synchronous=FULL`: a commit returns when the log is durable.
///
/// # Errors
///
/// If the file cannot be opened or made.
pub(super) fn full(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    open(path, "FULL")
}

/// `synchronous=NORMAL`: the log is synced before a checkpoint only.
///
/// # Errors
///
/// As for [`full`].
pub(super) fn normal(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    open(path, "NORMAL")
}

/// `synchronous=OFF`: nothing is synced.
///
/// # Errors
///
/// As for [`full`].
pub(super) fn off(path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    open(path, "OFF")
}

fn open(path: &Path, synchronous: &str) -> Result<Option<Box<dyn Batches>>> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA cache_size = -65536;
         CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    ))?;
    Ok(Some(Box::new(Sqlite { connection: Mutex::new(connection), path: path.to_owned() })))
}

impl Sqlite {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Sqlite {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.connection().prepare_cached(PUT)?.execute(params![key, value])?;
        Ok(())
    }

    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(GET)?;
        let found = statement.query_row([key], |row| {
            visit(row.get_ref(0)?.as_blob()?);
            Ok(())
        });
        Ok(found.optional()?.is_some())
    }

    fn count(&self) -> Result<u64> {
        let count: i64 = self.connection().query_row("SELECT count(*) FROM records", [], |row| row.get(0))?;
        Ok(count as u64)
    }

    /// What is in the log goes to the file, which is then synced, whatever `synchronous` says.
    fn settle(&self) -> Result<()> {
        let busy: i64 =
            self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            return Err("SQLite could not write its log back".into());
        }
        Ok(std::fs::File::open(&self.path)?.sync_all()?)
    }
}

impl Batches for Sqlite {
    fn put_all(&self, records: &[Pair]) -> Result<()> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut put = transaction.prepare_cached(PUT)?;
            for (key, value) in records {
                put.execute(params![key, value])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT key, value FROM records")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }
}
