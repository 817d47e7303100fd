//! The chain of fences: in which order transactions on persistent memory become durable.
//!
//! A fence covers what its own thread has stored. So each committer fences for itself, and then waits for the word of the
//! one before it: from then on all records up to its own are durable, and it gives its own word. What it must say it says
//! with one store, and what else it notes lies on the same cache line, which goes from committer to committer.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use crate::ground::error::Result;
use crate::ground::sync::{AtomicU64, look_again};
use crate::media::{MediaCounts, Totals};

/// A thread that waits for another one's fence gives its processor up after so many looks.
const SPINS_MAX: u32 = 200;

/// How far the chain has come, and what those in it have asked of the medium.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Chain {
    /// Every transaction up to this one is durable.
    fenced: AtomicU64,
    counts: Totals,
}

impl Chain {
    pub(crate) fn new(txid: u64) -> Self {
        Self { fenced: AtomicU64::new(txid), counts: Totals::default() }
    }

    /// Everything up to this transaction is durable. A little older than the truth, perhaps.
    #[inline]
    pub(crate) fn horizon(&self) -> u64 {
        self.fenced.load(Ordering::Relaxed)
    }

    /// As [`horizon`](Self::horizon), and what its committer did before is seen.
    pub(crate) fn fenced(&self) -> u64 {
        self.fenced.load(Ordering::Acquire)
    }

    /// Returns when everything up to `txid` is durable: the threads that stored it are about to fence. `check` ends the
    /// wait where one of them has failed.
    #[inline]
    pub(crate) fn wait(&self, txid: u64, check: impl Fn() -> Result<()>) -> Result<()> {
        let mut looks = 0;
        while self.fenced() < txid {
            check()?;
            look_again(looks, SPINS_MAX);
            looks = looks.saturating_add(1);
        }
        Ok(())
    }

    /// Says that `txid` is durable. Only who has fenced its record and waited for the one before says so: one thread at
    /// a time, which may therefore count with plain stores.
    #[inline]
    pub(super) fn extend(&self, txid: u64, counts: MediaCounts) {
        self.counts.add_alone(counts);
        self.reach(txid);
    }

    /// Says that `txid` is durable, where there is no chain.
    pub(crate) fn reach(&self, txid: u64) {
        self.fenced.store(txid, Ordering::Release);
    }
}

impl Deref for Chain {
    type Target = Totals;

    fn deref(&self) -> &Totals {
        &self.counts
    }
}

/// Run as those of `pool/loom.rs`.
#[cfg(all(loom, test))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::thread;

    use super::*;

    /// Two committers fence in any order, and one who syncs waits for them. Catches a word that is given before all earlier records are fenced, and one
    /// that nobody gives.
    #[test]
    fn loom_chain_gives_its_words_in_order() {
        let mut builder = loom::model::Builder::new();
        (builder.max_branches, builder.preemption_bound) = (10_000, Some(3));
        builder.check(|| {
            let chain = Arc::new(Chain::new(0));
            let fences: Arc<[AtomicU32; 2]> = Arc::new(std::array::from_fn(|_| AtomicU32::new(0)));
            let commit = |chain: &Chain, fences: &[AtomicU32; 2], txid: u64| {
                fences[txid as usize - 1].store(1, Ordering::Relaxed);
                chain.wait(txid - 1, || Ok(())).unwrap();
                chain.extend(txid, MediaCounts { fences: 1, ..MediaCounts::ZERO });
            };
            let threads: Vec<_> = [2, 1]
                .into_iter()
                .map(|txid| {
                    let (chain, fences) = (chain.clone(), fences.clone());
                    thread::spawn(move || commit(&chain, &fences, txid))
                })
                .collect();
            let durable = chain.fenced();
            // Whoever is told that a record is durable finds all up to it fenced.
            assert!(fences[..durable as usize].iter().all(|fence| fence.load(Ordering::Relaxed) == 1));
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!((chain.fenced(), chain.total().fences), (2, 2));
        });
    }

    /// Catches a committer that waits for ever for one that has failed.
    #[test]
    fn loom_chain_ends_with_a_failure() {
        loom::model(|| {
            let chain = Arc::new(Chain::new(0));
            let poisoned = Arc::new(AtomicU32::new(0));
            let failing = {
                let poisoned = poisoned.clone();
                thread::spawn(move || poisoned.store(1, Ordering::Release))
            };
            let check = || match poisoned.load(Ordering::Acquire) {
                0 => Ok(()),
                _ => Err(crate::ground::error::Error::Poisoned),
            };
            assert!(chain.wait(1, check).is_err());
            failing.join().unwrap();
        });
    }
}
