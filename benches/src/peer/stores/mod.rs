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
//! | pobj | when its record is in the mapped ring (`Durability::Eventual`) | a kill; after a power failure a prefix | after a durable write of the record |
//!
//! Otherwise they run as they come, but for room: LMDB must be told how large its file may become. None compresses.

use crate::kv::Contender;

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

#[cfg(feature = "stores")]
mod fjall;
#[cfg(feature = "stores")]
mod lmdb;
#[cfg(feature = "stores")]
mod redb;

#[cfg(feature = "stores")]
mod open {
    pub(super) use super::fjall::{buffered as fjall_buffered, sync_all as fjall_sync_all};
    pub(super) use super::lmdb::{no_sync as lmdb_no_sync, sync as lmdb_sync};
    pub(super) use super::redb::{immediate as redb_immediate, none as redb_none};
}

#[cfg(not(feature = "stores"))]
mod open {
    pub(super) use crate::kv::absent as fjall_buffered;
    pub(super) use crate::kv::absent as fjall_sync_all;
    pub(super) use crate::kv::absent as lmdb_no_sync;
    pub(super) use crate::kv::absent as lmdb_sync;
    pub(super) use crate::kv::absent as redb_immediate;
    pub(super) use crate::kv::absent as redb_none;
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
