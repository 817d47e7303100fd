//! A shutdown that the platform reports as unsafe (A9): persistent memory may have lost what was on its way to it. The next
//! open validates everything, `open_trusted` included, and refuses no pool that is good.
//!
//! Catches: a report that is ignored, one that locks the user out, one that is taken for a clean pool's or for another
//! device's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pobj::media::{Domain, Image, ImageMode, Media, Placement, RamMedia};
use pobj::{Error, Persistent, Pool, Result};

/// A medium in memory on a platform that counts its unsafe shutdowns.
#[derive(Debug)]
struct Platform {
    memory: RamMedia,
    mark: Arc<AtomicU64>,
}

impl Media for Platform {
    fn len(&self) -> Result<u64> {
        self.memory.len()
    }
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.memory.read(offset, into)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write(offset, bytes)
    }
    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write_durable(offset, bytes)
    }
    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write_ordered(offset, bytes)
    }
    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()> {
        self.memory.prepare_ring(offset, len)
    }
    fn sync(&self) -> Result<()> {
        self.memory.sync()
    }
    fn shutdown_mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }
    fn grow(&self, len: u64) -> Result<()> {
        self.memory.grow(len)
    }
    fn truncate(&self, len: u64) -> Result<()> {
        self.memory.truncate(len)
    }
    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.memory.punch(offset, len)
    }
    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.memory.allocate(offset, len)
    }
    fn publish(&self) -> Result<()> {
        self.memory.publish()
    }
    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        self.memory.image(placement, len, max_len, mode)
    }
    fn domain(&self) -> Domain {
        self.memory.domain()
    }
    fn block_len(&self) -> u64 {
        self.memory.block_len()
    }
    fn path(&self) -> PathBuf {
        self.memory.path()
    }
    fn background(&self) -> bool {
        false
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Root {
    value: u64,
    flag: bool,
}

/// What the next open is given.
struct Found {
    memory: RamMedia,
    clean: bool,
}

/// A pool that was made while the platform's mark was `mark`, and closed or killed.
fn left_behind(mark: u64, clean: bool) -> Found {
    let memory = RamMedia::new(1 << 20).unwrap();
    let platform = Platform { memory: memory.clone(), mark: Arc::new(AtomicU64::new(mark)) };
    let options = Pool::<Root>::options().max_size(1 << 20).size(64 << 10).ring_size(64 << 10);
    let pool = options.create_on(Arc::new(platform), |_| Ok(Root::default())).unwrap();
    pool.write(|root, _| {
        (root.value, root.flag) = (0x00C0_FFEE_0000_0001, true);
        Ok(())
    })
    .unwrap();
    pool.checkpoint().unwrap();
    let killed = memory.bytes();
    drop(pool);
    let bytes = if clean { memory.bytes() } else { killed };
    Found { memory: memory.with_bytes(bytes), clean }
}

impl Found {
    /// Opens trusted while the mark is `now`, and says whether the objects were validated.
    fn open(&self, now: u64) -> Result<bool> {
        let memory = self.memory.with_bytes(self.memory.bytes());
        let platform = Platform { memory, mark: Arc::new(AtomicU64::new(now)) };
        // SAFETY: made above; the damaged ones hold a `bool` of another value, which is not read here.
        let pool = unsafe { Pool::<Root>::options().open_trusted_on(Arc::new(platform)) }?;
        let opened = pool.stats().opened;
        assert_eq!(opened.unsafe_shutdown, opened.validated_values > 0);
        assert_eq!(pool.read().value, 0x00C0_FFEE_0000_0001);
        Ok(opened.unsafe_shutdown)
    }

    /// Makes the flag neither true nor false.
    fn damaged(self) -> Self {
        let mut bytes = self.memory.bytes();
        let value = 0x00C0_FFEE_0000_0001u64.to_le_bytes();
        let places: Vec<usize> = (0x4000..bytes.len() - 16)
            .step_by(8)
            .filter(|&at| bytes[at..at + 8] == value && bytes[at + 8] == 1)
            .collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at + 8] = 7;
        }
        Self { memory: self.memory.with_bytes(bytes), clean: self.clean }
    }
}

#[test]
fn an_unsafe_shutdown_makes_the_next_open_validate() {
    // The mark when the pool was last opened, whether it was closed, the mark now: is it validated?
    let table = [
        (5, false, 6, true),
        (5, false, 5, false),
        (5, true, 6, false),
        (5, true, 5, false),
        // A platform that says nothing, then or now.
        (0, false, 6, false),
        (5, false, 0, false),
        (0, false, 0, false),
    ];
    for (then, clean, now, validated) in table {
        let found = left_behind(then, clean);
        assert_eq!(found.open(now).unwrap(), validated, "{then}, closed: {clean}, {now}");
        let opened = found.damaged().open(now);
        match opened {
            Err(Error::Corrupt { .. }) => assert!(validated, "{then}, closed: {clean}, {now}"),
            Ok(looked) => assert!(!validated && !looked, "{then}, closed: {clean}, {now}"),
            Err(other) => panic!("{other}"),
        }
    }
}

/// The open that validated has taken note: the one after it is as any other.
#[test]
fn one_report_is_one_validation() {
    let found = left_behind(5, false);
    let memory = found.memory.clone();
    let open = |mark: u64| {
        let platform = Platform { memory: memory.clone(), mark: Arc::new(AtomicU64::new(mark)) };
        // SAFETY: made by `left_behind`.
        unsafe { Pool::<Root>::options().open_trusted_on(Arc::new(platform)) }.unwrap()
    };
    assert!(open(6).stats().opened.unsafe_shutdown);
    assert!(!open(6).stats().opened.unsafe_shutdown);
    // Closed in between, so whatever happened later did not meet an open pool.
    assert!(!open(7).stats().opened.unsafe_shutdown);
}
