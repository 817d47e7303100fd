//! Changes of a file that no fence makes durable: of its length, and of bytes that are not mapped.
//!
//! Several threads change and sync at the same time. A sync that is under way is no answer yet for who asks meanwhile: it
//! must wait for that one's end, and make one of its own if its change came after the beginning.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ground::error::Result;

/// Counts changes, and those that are durable.
#[derive(Debug)]
pub(super) struct Unsynced {
    changes: AtomicU64,
    synced: AtomicU64,
    /// Held by who syncs.
    syncing: Mutex<()>,
}

impl Unsynced {
    /// With one change, so that the first sync reaches the file.
    pub(super) fn new() -> Self {
        Self { changes: AtomicU64::new(1), synced: AtomicU64::new(0), syncing: Mutex::new(()) }
    }

    /// Notes a change, which has been made or has failed.
    pub(super) fn note(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns when all noted changes are durable. `sync` makes them so, if there are any. After a failure they still wait.
    pub(super) fn settle(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.synced.load(Ordering::Acquire) >= self.changes.load(Ordering::Acquire) {
            return Ok(());
        }
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.load(Ordering::Acquire);
        if self.synced.load(Ordering::Acquire) < changes {
            sync()?;
            self.synced.store(changes, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a sync that returns while another thread's, which is to cover its change, is still under way.
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::ground::error::Error;

    #[test]
    fn who_syncs_beside_another_waits_for_it() {
        let unsynced = Unsynced::new();
        let durable = AtomicBool::new(false);
        let (begun, begins) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                unsynced.settle(|| {
                    begun.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 50 }));
                    durable.store(true, Ordering::SeqCst);
                    Ok(())
                })
            });
            begins.recv().unwrap();
            unsynced.settle(|| panic!("one sync is enough")).unwrap();
            assert!(durable.load(Ordering::SeqCst));
        });
    }

    #[test]
    fn a_change_after_the_beginning_and_a_failure_need_another_sync() {
        let unsynced = Unsynced::new();
        unsynced
            .settle(|| {
                unsynced.note();
                Ok(())
            })
            .unwrap();
        assert!(unsynced.settle(|| Err(Error::Poisoned)).is_err());
        let mut synced = false;
        let mut sync = || {
            synced = true;
            Ok(())
        };
        unsynced.settle(&mut sync).unwrap();
        unsynced.settle(|| panic!("nothing changed")).unwrap();
        assert!(synced);
    }
}
