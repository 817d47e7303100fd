//! A medium in memory: for tests, for Miri, and for pools that need not outlive the process.
//!
//! Its bytes live as long as a handle to it does. A pool can be closed and opened again over a clone of the handle,
//! at the same address, because the handle also keeps the memory of the image.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::arena::Arena;
use super::{Image, Media, Placement};
use crate::ground::error::{Error, Result};

/// A pool's bytes in ordinary memory. Clones are handles to the same bytes.
#[derive(Clone)]
pub struct RamMedia {
    home: Arc<Mutex<Vec<u8>>>,
    arena: Arc<Arena>,
}

impl RamMedia {
    /// An empty medium for a pool of at most `max_len` bytes.
    pub fn new(max_len: u64) -> Result<Self> {
        Ok(Self::from_parts(Vec::new(), Arena::new(max_len)?))
    }

    /// A medium that holds `bytes`, at the addresses of `arena`.
    pub(crate) fn from_parts(bytes: Vec<u8>, arena: Arc<Arena>) -> Self {
        Self { home: Arc::new(Mutex::new(bytes)), arena }
    }

    /// A copy of the bytes, as a file of them would read.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.home().clone()
    }

    /// Another medium that holds `bytes`, such as a damaged copy of this one's. It uses the same addresses, so that
    /// pointers in the bytes stay right; only one of the two can have an open pool at a time.
    #[must_use]
    pub fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        Self::from_parts(bytes, Arc::clone(&self.arena))
    }

    fn home(&self) -> MutexGuard<'_, Vec<u8>> {
        // A panic in another thread cannot leave the vector half changed: each method changes it in one step.
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for RamMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RamMedia({} bytes)", self.home().len())
    }
}

/// The part `offset .. offset + len` of `bytes`, or the error that a file would give.
pub(super) fn part(bytes: &[u8], offset: u64, len: usize) -> Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok().filter(|start| *start <= bytes.len());
    match start.and_then(|start| start.checked_add(len).map(|end| start..end)) {
        Some(range) if range.end <= bytes.len() => Ok(range),
        _ => {
            let end = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            Err(Error::io("access bytes beyond the end of the pool", end))
        }
    }
}

impl Media for RamMedia {
    fn len(&self) -> Result<u64> {
        Ok(self.home().len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let home = self.home();
        into.copy_from_slice(&home[part(&home, offset, into.len())?]);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut home = self.home();
        let range = part(&home, offset, bytes.len())?;
        home[range].copy_from_slice(bytes);
        Ok(())
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }

    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }

    fn prepare_ring(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn grow(&self, len: u64) -> Result<()> {
        let target = usize::try_from(len).map_err(|_| Error::TooLarge { requested: len })?;
        let mut home = self.home();
        let more = target.saturating_sub(home.len());
        home.try_reserve(more).map_err(|_| Error::TooLarge { requested: len })?;
        let target = home.len() + more;
        home.resize(target, 0);
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.home().truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let mut home = self.home();
        let range = part(&home, offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        home[range].fill(0);
        Ok(())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn publish(&self) -> Result<()> {
        Ok(())
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64) -> Result<Image> {
        Image::in_arena(&self.arena, placement, len, max_len, |into| self.read(0, into))
    }

    fn block_len(&self) -> u64 {
        4096
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("(memory)")
    }

    fn background(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAIN: u64 = 65536;

    #[test]
    fn clones_share_bytes_and_addresses() {
        let media = RamMedia::new(4 * GRAIN).unwrap();
        assert!(media.is_empty().unwrap());
        media.grow(2 * GRAIN).unwrap();
        media.write(8, &7u64.to_le_bytes()).unwrap();
        let other = media.clone();
        let image = other.image(Placement::Anywhere, 2 * GRAIN, 4 * GRAIN).unwrap();
        assert_eq!(image.load_u64(8), 7);
        let base = image.base();
        assert!(matches!(
            media.image(Placement::At(base), 2 * GRAIN, 4 * GRAIN),
            Err(Error::AddressTaken { .. })
        ));
        image.store_u64(8, 8);
        drop(image);
        let again = media.image(Placement::At(base), 2 * GRAIN, 4 * GRAIN).unwrap();
        assert_eq!(again.load_u64(8), 7, "the image is private");
    }

    #[test]
    fn ends_are_errors() {
        let media = RamMedia::new(GRAIN).unwrap();
        media.grow(100).unwrap();
        media.grow(50).unwrap();
        assert_eq!(media.len().unwrap(), 100);
        assert!(media.write(96, &[0; 4]).is_ok() && media.write(97, &[0; 4]).is_err());
        assert!(media.read(u64::MAX, &mut [0; 2]).is_err() && media.punch(99, 2).is_err());
        media.write(0, &[1; 100]).unwrap();
        media.punch(10, 20).unwrap();
        media.truncate(40).unwrap();
        media.grow(60).unwrap();
        let bytes = media.bytes();
        let expected = |i: usize| u8::from(i < 40 && !(10..30).contains(&i));
        assert!(bytes.iter().enumerate().all(|(i, b)| *b == expected(i)));
        assert_eq!(media.with_bytes(vec![1]).bytes(), [1]);
    }
}
