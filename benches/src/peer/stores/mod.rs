//! Embedded key-value stores of Rust programs, to stand beside on ordinary files; there with the feature `stores`, else
//! every `open` gives `None`.
//!
//! What each does for durability:
//!
//! | store | `EVENTUAL`: a put returns | what survives then | `IMMEDIATE`: a put returns |
//! |---|---|---|---|
//! | LMDB | when it is in the mapped file (`NO_SYNC`, `WRITE_MAP`, its fastest) | a kill; after a power failure perhaps nothing | after `fdatasync` of the pages and a durable write of the meta page |
//! | redb | when it is in the process (`Durability::None`) | nothing before the next durable commit | after the `fsync`s of `Durability::Immediate` |
//! | fjall | when its journal is with the operating system (`PersistMode::Buffer`) | a kill; after a power failure a prefix | after `fsync` of the journal (`PersistMode::SyncAll`) |
//! | SQLite, WAL | `NORMAL`: when its log is with the operating system; `OFF`: the same, and no sync at checkpoints | a kill; after a power failure a prefix (`OFF`: perhaps nothing) | after `fdatasync` of the log (`FULL`) |
//! | pobj | when its record is in the mapped ring (`Durability::Eventual`) | a kill; after a power failure a prefix | after a durable write of the record |
//!
//! Otherwise they run as they come, but for room: LMDB must be told how large its file may become. None compresses.

use crate::kv::{Contender, OpenBatches};

/// Puts that do not wait for the medium.
pub const EVENTUAL: &[Contender] = &[
    Contender { name: "LMDB, no sync", open: open::lmdb_no_sync },
    Contender { name: "redb, None", open: open::redb_none },
    Contender { name: "fjall, buffered", open: open::fjall_buffered },
];

/// Puts that are on the medium when they return.
pub const IMMEDIATE: &[Contender] = &[
    Contender { name: "LMDB, sync", open: open::lmdb_sync },
    Contender { name: "redb, Immediate", open: open::redb_immediate },
    Contender { name: "fjall, SyncAll", open: open::fjall_sync_all },
];

/// A way to run a store.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Store and mode.
    pub name: &'static str,
    /// Whether what a transaction did is on the medium when it returns.
    pub durable: bool,
    /// Opens or makes it.
    pub open: OpenBatches,
    /// Opens or makes it in the mode that fills it fastest.
    pub fill: OpenBatches,
}

/// Stores in the modes that the comparison over several kinds of transactions has.
pub const MODES: &[Mode] = &[
    mode("LMDB, sync", true, open::lmdb, open::lmdb_fast),
    mode("redb, Immediate", true, open::redb, open::redb_fast),
    mode("SQLite, FULL", true, open::sqlite_full, open::sqlite_off),
    mode("fjall, SyncAll", true, open::fjall, open::fjall_fast),
    mode("LMDB, NO_SYNC", false, open::lmdb_fast, open::lmdb_fast),
    mode("redb, None", false, open::redb_fast, open::redb_fast),
    mode("SQLite, NORMAL", false, open::sqlite_normal, open::sqlite_off),
    mode("SQLite, OFF", false, open::sqlite_off, open::sqlite_off),
    mode("fjall, Buffer", false, open::fjall_fast, open::fjall_fast),
];

const fn mode(name: &'static str, durable: bool, open: OpenBatches, fill: OpenBatches) -> Mode {
    Mode { name, durable, open, fill }
}

#[cfg(feature = "stores")]
mod fjall;
#[cfg(feature = "stores")]
mod lmdb;
#[cfg(feature = "stores")]
mod redb;
#[cfg(feature = "stores")]
mod sqlite;

#[cfg(feature = "stores")]
mod open {
    pub(super) use super::fjall::{buffered as fjall_buffered, sync_all as fjall_sync_all};
    pub(super) use super::lmdb::{no_sync as lmdb_no_sync, sync as lmdb_sync};
    pub(super) use super::redb::{immediate as redb_immediate, none as redb_none};

    pub(super) use super::fjall::{batches_buffered as fjall_fast, batches_sync_all as fjall};
    pub(super) use super::lmdb::{batches_no_sync as lmdb_fast, batches_sync as lmdb};
    pub(super) use super::redb::{batches_immediate as redb, batches_none as redb_fast};
    pub(super) use super::sqlite::{full as sqlite_full, normal as sqlite_normal, off as sqlite_off};
}

#[cfg(not(feature = "stores"))]
mod open {
    pub(super) use crate::kv::absent as fjall_buffered;
    pub(super) use crate::kv::absent as fjall_sync_all;
    pub(super) use crate::kv::absent as lmdb_no_sync;
    pub(super) use crate::kv::absent as lmdb_sync;
    pub(super) use crate::kv::absent as redb_immediate;
    pub(super) use crate::kv::absent as redb_none;

    pub(super) use crate::kv::absent_batches as fjall;
    pub(super) use crate::kv::absent_batches as fjall_fast;
    pub(super) use crate::kv::absent_batches as lmdb;
    pub(super) use crate::kv::absent_batches as lmdb_fast;
    pub(super) use crate::kv::absent_batches as redb;
    pub(super) use crate::kv::absent_batches as redb_fast;
    pub(super) use crate::kv::absent_batches as sqlite_full;
    pub(super) use crate::kv::absent_batches as sqlite_normal;
    pub(super) use crate::kv::absent_batches as sqlite_off;
}

#[cfg(all(test, feature = "stores"))]
mod tests {
    use super::{EVENTUAL, IMMEDIATE};
    use crate::Result;
    use crate::kv::Records;

    /// Catches a peer that is fast because it does nothing: every record is there, also for whoever comes later.
    #[test]
    fn the_work_is_done() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let records = Records::new(300);
        for (number, peer) in EVENTUAL.iter().chain(IMMEDIATE).enumerate() {
            let store = (peer.open)(&dir.path().join(number.to_string()), 300)?.ok_or("there is no peer")?;
            (0..300).try_for_each(|index| records.put(&*store, index))?;
            records.check(&*store, 300).map_err(|error| format!("{}: {error}", peer.name))?;
            records.get_all(&*store).map_err(|error| format!("{}: {error}", peer.name))?;
            store.settle()?;
            records.check(&*store, 300).map_err(|error| format!("{}: {error}", peer.name))?;
        }
        Ok(())
    }
}
