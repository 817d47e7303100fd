//! A medium in memory: for tests, for Miri, and for pools that need not outlive the process.
//!
//! Its bytes live as long as a handle to it does. A pool can be closed and opened again over a clone of the handle,
//! at the same address, because the handle also keeps the memory of the image.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::arena::{Arena, Tenant};
use super::{Domain, Image, ImageMode, Media, Placement, counts, refuse_in_place};
use crate::ground::domain::CACHE_LINE;
use crate::ground::error::{Error, Result};

/// A pool's bytes in ordinary memory. Clones are handles to the same bytes.
#[derive(Clone)]
pub struct RamMedia {
    home: Arc<Mutex<Home>>,
    arena: Arc<Arena>,
    domain: Domain,
}

struct Home {
    bytes: Vec<u8>,
    /// The bytes are those in the arena, as far as it goes; of `bytes` only the rest and the length count.
    in_place: bool,
    arena: Arc<Arena>,
}

impl Home {
    /// How many of `len` bytes from `offset` on are in the arena.
    fn split(&self, offset: usize, len: usize) -> usize {
        if self.in_place { (self.arena.capacity as usize).saturating_sub(offset).min(len) } else { 0 }
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let range = part(&self.bytes, offset, into.len())?;
        let (head, tail) = into.split_at_mut(self.split(range.start, range.len()));
        if !head.is_empty() {
            self.arena.load(offset, head);
        }
        tail.copy_from_slice(&self.bytes[range.start + head.len()..range.end]);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let range = part(&self.bytes, offset, bytes.len())?;
        let in_arena = self.split(range.start, range.len());
        if in_arena > 0 {
            self.arena.store(offset, &bytes[..in_arena]);
        }
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }

    /// Brings `bytes` up to date.
    fn collect(&mut self) {
        let in_arena = self.split(0, self.bytes.len());
        if in_arena > 0 {
            self.arena.load(0, &mut self.bytes[..in_arena]);
        }
    }
}

impl Tenant for Mutex<Home> {
    fn move_out(&self) {
        let mut home = self.lock().unwrap_or_else(PoisonError::into_inner);
        home.collect();
        home.in_place = false;
    }
}

impl RamMedia {
    /// An empty medium for a pool of at most `max_len` bytes.
    pub fn new(max_len: u64) -> Result<Self> {
        Ok(Self::from_parts(Vec::new(), Arena::new(max_len)?))
    }

    /// A medium that holds `bytes`, at the addresses of `arena`.
    pub(crate) fn from_parts(bytes: Vec<u8>, arena: Arc<Arena>) -> Self {
        let home = Home { bytes, in_place: false, arena: Arc::clone(&arena) };
        Self { home: Arc::new(Mutex::new(home)), arena, domain: Domain::Page }
    }

    /// The same bytes as a medium of another persistence domain, as far as a pool can tell: nothing here survives the
    /// process. A new one is a file ([`Domain::Page`]).
    #[must_use]
    pub fn with_domain(self, domain: Domain) -> Self {
        Self { domain, ..self }
    }

    /// A copy of the bytes, as a file of them would read.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut home = self.home();
        home.collect();
        home.bytes.clone()
    }

    /// Another medium that holds `bytes`, such as a damaged copy of this one's. It uses the same addresses, so that
    /// pointers in the bytes stay right; only one of the two can have an open pool at a time.
    #[must_use]
    pub fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        Self::from_parts(bytes, Arc::clone(&self.arena)).with_domain(self.domain)
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        // A panic in another thread cannot leave the vector half changed: each method changes it in one step.
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_fence(&self) {
        if self.domain.is_memory() { counts::fenced() } else { counts::wrote_durably() }
    }
}

impl std::fmt::Debug for RamMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RamMedia({} bytes)", self.home().bytes.len())
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

/// Cache lines that a range touches.
pub(super) fn lines(offset: u64, len: u64) -> u64 {
    (offset + len).div_ceil(CACHE_LINE) - offset / CACHE_LINE
}

impl Media for RamMedia {
    fn len(&self) -> Result<u64> {
        Ok(self.home().bytes.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.home().read(offset, into)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        counts::wrote(bytes.len() as u64);
        self.home().write(offset, bytes)
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)?;
        self.sync()
    }

    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }

    fn prepare_ring(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.count_fence();
        Ok(())
    }

    fn domain(&self) -> Domain {
        self.domain
    }

    fn flush(&self, offset: u64, len: u64) -> Result<()> {
        if self.domain == Domain::CacheLine {
            counts::flushed(lines(offset, len));
        }
        Ok(())
    }

    fn grow(&self, len: u64) -> Result<()> {
        let target = usize::try_from(len).map_err(|_| Error::TooLarge { requested: len })?;
        let mut home = self.home();
        let old = home.bytes.len();
        let more = target.saturating_sub(old);
        home.bytes.try_reserve(more).map_err(|_| Error::TooLarge { requested: len })?;
        home.bytes.resize(old + more, 0);
        home.write(old as u64, &vec![0; more])
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let mut home = self.home();
        let len = usize::try_from(len).map_or(home.bytes.len(), |len| len.min(home.bytes.len()));
        let gone = home.bytes.len() - len;
        home.write(len as u64, &vec![0; gone])?;
        home.bytes.truncate(len);
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let mut home = self.home();
        let range = part(&home.bytes, offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        home.write(offset, &vec![0; range.len()])
    }

    fn allocate(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn publish(&self) -> Result<()> {
        Ok(())
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        let in_place = mode == ImageMode::InPlace;
        if !self.domain.is_memory() {
            refuse_in_place(self, mode)?;
        }
        let tenant = Arc::downgrade(&self.home);
        let image = self.arena.lend(in_place.then_some(tenant as Weak<_>), || {
            Image::in_arena(&self.arena, placement, len, max_len, |into| self.read(0, into))
        })?;
        if in_place {
            let mut home = self.home();
            home.in_place = true;
            // What lies behind the image is the pool's too.
            let in_arena = home.split(0, home.bytes.len());
            home.arena.store(0, &home.bytes[..in_arena]);
        }
        Ok(image)
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
        let image = other.image(Placement::Anywhere, 2 * GRAIN, 4 * GRAIN, ImageMode::Private).unwrap();
        assert_eq!(image.load_u64(8), 7);
        let base = image.base();
        assert!(matches!(
            media.image(Placement::At(base), 2 * GRAIN, 4 * GRAIN, ImageMode::Private),
            Err(Error::AddressTaken { .. })
        ));
        image.store_u64(8, 8);
        drop(image);
        let again = media.image(Placement::At(base), 2 * GRAIN, 4 * GRAIN, ImageMode::Private).unwrap();
        assert_eq!(again.load_u64(8), 7, "the image is private");
    }

    #[test]
    fn an_image_in_place_is_the_bytes() {
        let file = RamMedia::new(4 * GRAIN).unwrap();
        file.grow(2 * GRAIN + 100).unwrap();
        file.write(8, &7u64.to_le_bytes()).unwrap();
        let image = |media: &RamMedia, mode| media.image(Placement::Anywhere, GRAIN, 4 * GRAIN, mode);
        assert!(matches!(image(&file, ImageMode::InPlace), Err(Error::Domain { .. })));
        let media = file.with_domain(Domain::CacheLine);
        let other = media.with_bytes(vec![5; 2 * GRAIN as usize]);
        assert_eq!(other.domain(), Domain::CacheLine);
        let in_place = image(&media, ImageMode::InPlace).unwrap();
        assert!(matches!(image(&other, ImageMode::Private), Err(Error::AddressTaken { .. })));
        in_place.store_u64(8, 8);
        media.write(16, &9u64.to_le_bytes()).unwrap();
        media.write(2 * GRAIN + 50, &[1; 8]).unwrap();
        assert_eq!((in_place.load_u64(8), in_place.load_u64(16)), (8, 9));
        assert_eq!(media.bytes()[8..24], [8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        media.punch(16, 8).unwrap();
        assert_eq!(in_place.load_u64(16), 0);
        in_place.store_u64(24, 10);
        drop(in_place);
        // The memory becomes another's; nothing of this one's is lost.
        assert_eq!(image(&other, ImageMode::InPlace).unwrap().load_u64(8), 0x0505_0505_0505_0505);
        assert_eq!((media.bytes()[24], media.bytes()[2 * GRAIN as usize + 50]), (10, 1));
        assert_eq!(image(&media, ImageMode::Private).unwrap().load_u64(24), 10);
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
