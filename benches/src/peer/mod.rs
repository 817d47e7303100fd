//! libpmemobj, to stand beside: PMDK's transactional object store, the model of its kind in C.
//!
//! [`Peer`] does the jobs of the rows on persistent memory as a well-written C program does them; the C half,
//! `c/pmemobj_peer.c`, says what that means. It is there with the feature `libpmemobj`, on a machine that has the
//! library; else [`Peer::create`] gives `None`, and the rows are printed without it.
//!
//! **Same work, same durability, same medium.** Peer and pool lie in the same directory, and both are told to take it
//! for persistent memory behind volatile caches. libpmem is told by `PMEM_IS_PMEM_FORCE=1`, which the C half sets before
//! `main`: then no thread can be reading the environment, no program that measures can forget it, and the process
//! needs no second start. If libpmem does not take the file for memory all the same, there is no peer but an error.
//!
//! **Its fences are counted**, not assumed: the C half stands between libpmemobj and libpmem's functions that fence.
//! Counting is off while time is taken.
//!
//! The peers of the key-value rows are in modules of their own: [`pmemkv`] on persistent memory, [`stores`] on files.

#[cfg(not(has_libpmemobj))]
mod absent;
#[cfg(has_libpmemobj)]
mod libpmemobj;
pub mod pmemkv;
pub mod stores;

#[cfg(not(has_libpmemobj))]
pub use absent::Peer;
#[cfg(has_libpmemobj)]
pub use libpmemobj::Peer;

#[cfg(all(test, has_libpmemobj))]
mod tests {
    use super::Peer;
    use crate::Result;

    fn peer(dir: &tempfile::TempDir) -> Result<Peer> {
        Ok(Peer::create(&dir.path().join("peer"), 64 << 20)?.ok_or("there is no peer")?)
    }

    /// Catches fences that pass by the counter: these numbers follow from how libpmemobj's log works (2 for a range, 2
    /// for the commit, 1 or 3 for its last words).
    #[test]
    fn fences_are_counted() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut peer = peer(&dir)?;
        peer.make_lines(10)?;
        peer.make_map(16)?;
        peer.push(0)?;
        assert_eq!(peer.fences(Peer::change_word)?, 5);
        assert_eq!(peer.fences(|peer| peer.change_lines(&[0, 2, 4, 6, 8]))?, 13);
        assert_eq!(peer.fences(|peer| peer.push(1))?, 7);
        assert_eq!(peer.fences(|peer| peer.insert(&[7]))?, 9);
        assert_eq!(peer.fences(|_| Ok(()))?, 0);
        Ok(())
    }

    /// Catches a peer that is fast because it does nothing, and errors that get lost.
    #[test]
    fn the_work_is_done() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut peer = peer(&dir)?;
        peer.make_lines(1)?;
        peer.make_map(16)?;
        peer.change_word()?;
        peer.change_word()?;
        assert_eq!(peer.word(), 2);
        peer.insert(&[1, 2, 3])?;
        assert!(peer.insert(&[4, 2]).is_err(), "2 is in the map already");
        assert_eq!(peer.map_len(), 3);
        assert!(peer.change_lines(&[1]).is_err(), "there is one line, number 0");
        assert!(Peer::create(&dir.path().join("missing/peer"), 64 << 20).is_err());
        Ok(())
    }
}
