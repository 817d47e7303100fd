//! A pool in a file on persistent memory: durable by stores, flushes and fences, without a system call.
//!
//! The file is mapped shared a second time, beside the pool's image: that mapping is *home*. Writes are
//! non-temporal stores there (or stores and flushes, whatever the processor does best), and a store fence makes
//! them durable (M3). Everything about names, locks and lengths is the file's, see [`FileMedia`]; a change of the
//! length is durable after a sync, which is the only system call left.
//!
//! Whether a mapping of a file reaches persistent memory directly is the kernel's word: only `MAP_SYNC` promises
//! that a store needs no `fsync` for the file system's own sake. Without it the file is an ordinary one, unless the
//! caller forces the domain, as tests on a file system in memory do.
//!
//! A fence orders what its own thread has stored. Who writes must therefore fence; the floors above see to that.

mod home;
mod unsynced;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use self::home::Home;
pub(super) use self::home::shared_flags;
use self::unsynced::Unsynced;
use super::cpu::{Cpu, Hint};
use super::{Domain, FileMedia, Image, ImageMode, Media, Placement, counts, detect};
use crate::ground::error::{Error, Result};

/// Which domain a caller accepts or forces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DomainChoice {
    /// Treat the medium as this, whatever it is.
    pub(crate) forced: Option<Domain>,
    /// The coarsest domain that will do.
    pub(crate) required: Option<Domain>,
}

impl DomainChoice {
    /// The same, with what the environment variable `POBJ_DOMAIN` forces where the caller forces nothing.
    pub(crate) fn or_environment(mut self) -> Result<Self> {
        if self.forced.is_none() {
            self.forced = detect::forced_by_environment()?;
        }
        Ok(self)
    }
}

/// Chooses between a file behind the page cache and persistent memory.
pub(crate) fn choose(file: FileMedia, choice: DomainChoice) -> Result<Arc<dyn Media>> {
    let probe = detect::probe(file.file());
    let domain = detect::decide(&file.path(), &probe, choice.forced, choice.required)?;
    Ok(match domain {
        Domain::Page => Arc::new(file),
        Domain::Byte | Domain::CacheLine => Arc::new(DaxMedia::new(file, domain, probe.map_sync)),
    })
}

/// A pool in a file on persistent memory.
#[derive(Debug)]
pub(crate) struct DaxMedia {
    file: FileMedia,
    domain: Domain,
    cpu: Cpu,
    /// Mappings are asked for `MAP_SYNC`.
    map_sync: bool,
    /// Mapped when the pool's largest length is known.
    home: OnceLock<Home>,
    /// A length was changed, or bytes were written past the mapping: the next sync is a system call.
    unsynced: Unsynced,
}

impl DaxMedia {
    pub(crate) fn new(file: FileMedia, domain: Domain, map_sync: bool) -> Self {
        // The first sync reaches the file: what a killed process stored may be in no more than a cache.
        let (home, unsynced) = (OnceLock::new(), Unsynced::new());
        Self { file, domain, cpu: Cpu::get(), map_sync, home, unsynced }
    }

    /// Maps home when its largest length is known, and as far as the file goes.
    fn map_home(&self, max_len: u64) -> Result<()> {
        let home = match self.home.get() {
            Some(home) => home,
            None => {
                let made = Home::reserve(max_len)?;
                self.home.get_or_init(|| made)
            }
        };
        home.extend(self.file.file(), self.file.len()?, self.map_sync)
    }

    /// Maps as much of home as the file has now, if home is mapped at all.
    fn extend_home(&self) -> Result<()> {
        match self.home.get() {
            Some(home) => home.extend(self.file.file(), self.file.len()?, self.map_sync),
            None => Ok(()),
        }
    }

    /// Makes a change that only a sync of the file makes durable, and notes it: not before, lest a sync of somebody else
    /// takes it for its own.
    fn change<T>(&self, change: impl FnOnce(&FileMedia) -> Result<T>) -> Result<T> {
        let changed = change(&self.file);
        self.unsynced.note();
        changed
    }
}

impl Media for DaxMedia {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    /// By a system call: a bad line is an error of it, and would be a signal if it were loaded.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file.read(offset, into)
    }

    fn read_back(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let Some(from) = self.home.get().and_then(|home| home.place(offset, into.len())) else {
            return self.file.read(offset, into);
        };
        // SAFETY: `place` found the whole range inside the mapping of home, which lives as long as `self`; `into` is
        // ordinary memory. Nobody writes other values to these bytes meanwhile (trait contract).
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn show(&self, offset: u64, len: u64) -> Result<()> {
        let Some(Err(e)) = self.home.get().map(|home| home.show(offset, len)) else { return Ok(()) };
        // The system call knows which bytes, and why.
        self.file.read(offset, &mut vec![0; len as usize])?;
        Err(Error::Unreadable { path: self.path(), offset, len, source: e.into() })
    }

    /// Maps home where no image has.
    fn prepare(&self, offset: u64, len: u64) -> Result<()> {
        if self.home.get().is_none() {
            self.map_home(self.file.len()?)?;
        }
        if let Some(home) = self.home.get() {
            home.populate(offset, len);
        }
        Ok(())
    }

    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(to) = self.home.get().and_then(|home| home.place(offset, bytes.len())) else {
            return self.write(offset, bytes);
        };
        counts::wrote(bytes.len() as u64);
        // SAFETY: `place` found the whole range inside the mapping of home, which lives as long as `self`; `bytes` is
        // ordinary memory, never home's own mapping. Nobody else accesses these bytes meanwhile (trait contract).
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    #[inline]
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.check_writable()?;
        match self.home.get().and_then(|home| home.place(offset, bytes.len())) {
            // SAFETY: as for `store`; `is_few_lines` has looked at the rest.
            Some(to) if self.cpu.is_few_lines(to, bytes.len(), self.domain) => unsafe {
                self.cpu.copy_few(to, bytes.as_ptr(), bytes.len())
            },
            // SAFETY: as for `store`.
            Some(to) => unsafe {
                self.cpu.copy(to, bytes.as_ptr(), bytes.len(), self.domain, Hint::NonTemporal)
            },
            None => self.change(|file| file.write(offset, bytes))?,
        }
        Ok(())
    }

    fn write_durable(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)?;
        self.sync()
    }

    #[inline]
    fn write_ordered(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }

    fn prepare_ring(&self, offset: u64, len: u64) -> Result<()> {
        self.file.prepare_ring(offset, len)?;
        if let Some(home) = self.home.get() {
            home.populate(offset, len);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.cpu.fence();
        self.unsynced.settle(|| self.file.sync())
    }

    fn domain(&self) -> Domain {
        self.domain
    }

    fn fence(&self) -> Result<()> {
        self.cpu.fence();
        Ok(())
    }

    /// Through home's own mapping: caches know lines by their physical address.
    fn flush(&self, offset: u64, len: u64) -> Result<()> {
        if self.domain == Domain::CacheLine
            && let Some(start) = self.home.get().and_then(|home| home.place(offset, len as usize))
        {
            // SAFETY: `place` found the whole range inside the mapping of home; flushing changes no byte.
            let _ = unsafe { self.cpu.flush(start, len as usize) };
        }
        Ok(())
    }

    fn shutdown_mark(&self) -> u64 {
        detect::shutdown_mark(self.file.file())
    }

    fn grow(&self, len: u64) -> Result<()> {
        self.change(|file| file.grow(len))?;
        self.extend_home()
    }

    fn stretch(&self, len: u64) -> Result<()> {
        self.change(|file| file.stretch(len))
    }

    fn truncate(&self, len: u64) -> Result<()> {
        if let Some(home) = self.home.get() {
            // Stores beyond the end of the file would raise SIGBUS.
            home.shorten(len);
        }
        self.change(|file| file.truncate(len))
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.file.punch(offset, len)
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.change(|file| file.allocate(offset, len))?;
        self.extend_home()
    }

    fn publish(&self) -> Result<()> {
        self.cpu.fence();
        self.file.publish()
    }

    fn image(&self, placement: Placement, len: u64, max_len: u64, mode: ImageMode) -> Result<Image> {
        let image = match mode {
            ImageMode::Private => self.file.image(placement, len, max_len, mode),
            ImageMode::InPlace => {
                Image::map_file_in_place(self.file.file(), placement, len, max_len, self.map_sync)
            }
        }?;
        // After the image, which may need a place of its own: home, which may be anywhere, must not be there.
        if !self.file.is_read_only() {
            self.map_home(max_len)?;
        }
        Ok(image)
    }

    /// Lines are the unit of durability here, and records are whole lines.
    fn block_len(&self) -> u64 {
        super::cpu::LINE as u64
    }

    fn path(&self) -> PathBuf {
        self.file.path()
    }

    fn background(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a sync or a new name that leaves out what the processor still holds, or the file's own changes. What
    //! has reached persistent memory no test can see here; what was asked for can be counted.
    use super::*;
    use crate::media::{MediaCounts, counts_here};

    #[test]
    fn syncs_and_names_fence_and_reach_the_file_once_for_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let file = FileMedia::create(directory.path().join("a.pobj")).unwrap();
        let media = DaxMedia::new(file, Domain::CacheLine, false);
        let asked = |act: &dyn Fn(&DaxMedia)| {
            let before = counts_here();
            act(&media);
            let MediaCounts { fences, durable_writes, .. } = counts_here() - before;
            (fences, durable_writes)
        };
        media.grow(1 << 20).unwrap();
        assert_eq!(asked(&|media| media.publish().unwrap()).0, 1);
        assert_eq!(asked(&|media| media.sync().unwrap()), (1, 1));
        assert_eq!(asked(&|media| media.sync().unwrap()), (1, 0));
        media.stretch(2 << 20).unwrap();
        assert_eq!(asked(&|media| media.sync().unwrap()), (1, 1));
        assert_eq!(asked(&|media| media.fence().unwrap()), (1, 0));
    }
}
