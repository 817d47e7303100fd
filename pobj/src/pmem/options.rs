//! How a file is made and mapped.

use std::path::Path;

use super::MappedFile;
use super::ranges::Duty;
use crate::ground::error::{Error, Result};
use crate::media::mapping::{Access, Mapping, choose_domain};
use crate::media::{Domain, FileMedia, Media};

/// Options for a [`MappedFile`].
///
/// ```
/// use pobj::pmem::{Domain, MapOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// let map = MapOptions::new().size(1 << 20).sparse(true).create(&path)?;
/// assert_eq!(map.len(), 1 << 20);
/// drop(map);
/// let pages = MapOptions::new().force_domain(Domain::Page);
/// let refused = pages.require_domain(Domain::CacheLine).open(&path);
/// assert!(matches!(refused, Err(pobj::Error::Domain { .. })));
/// # Ok::<(), pobj::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MapOptions {
    size: Option<u64>,
    sparse: bool,
    truncate: bool,
    forced: Option<Domain>,
    required: Option<Domain>,
}

impl MapOptions {
    /// The whole file, space allocated, in whatever domain it is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Length in bytes of a file that is made. An existing file that is shorter is lengthened to it with zeros; one that is
    /// longer is mapped whole, see [`truncate`](Self::truncate).
    #[must_use]
    pub fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Cuts an existing file that is longer than [`size`](Self::size).
    #[must_use]
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.truncate = truncate;
        self
    }

    /// Leaves holes in the file. By default the space of a file that can be written is allocated when it is mapped, so that
    /// a full disk is an error of that call; a store to a hole that finds the disk full ends the process with `SIGBUS`.
    #[must_use]
    pub fn sparse(mut self, sparse: bool) -> Self {
        self.sparse = sparse;
        self
    }

    /// Treats the file as being in this domain, whatever the kernel says. For tests, for memory whose persistence you
    /// know of, and to go through the page cache on persistent memory ([`Domain::Page`]). Forced
    /// [`Domain::CacheLine`] on an ordinary file survives a kill of the process and no power cut. Without this,
    /// the environment variable `POBJ_DOMAIN` (`byte`, `line`, `page`) does the same.
    #[must_use]
    pub fn force_domain(mut self, domain: Domain) -> Self {
        self.forced = Some(domain);
        self
    }

    /// The coarsest domain that will do. [`Error::Domain`] if the file is in a coarser one.
    #[must_use]
    pub fn require_domain(mut self, coarsest: Domain) -> Self {
        self.required = Some(coarsest);
        self
    }

    /// Maps an existing file for reading and writing, and locks it.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<MappedFile> {
        self.map(FileMedia::open(path)?, Access::Shared)
    }

    /// Makes a file and maps it. [`Error::AlreadyExists`] if there is one. Nobody sees it before it has its whole length.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<MappedFile> {
        if self.size.is_none() {
            return Err(invalid_size("a new file needs one"));
        }
        self.map(FileMedia::create(path)?, Access::Shared)
    }

    /// Maps the file, and makes it if it is missing.
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<MappedFile> {
        loop {
            match self.open(&path) {
                Err(Error::NotFound { .. }) => {}
                other => return other,
            }
            match self.create(&path) {
                // Somebody else was faster.
                Err(Error::AlreadyExists { .. }) => {}
                other => return other,
            }
        }
    }

    /// Maps an existing file for reading. Readers share it, and no writer can open it meanwhile.
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<MappedFile> {
        self.map(FileMedia::open_read_only(path)?, Access::ReadOnly)
    }

    /// Maps an existing file for reading, and for stores that stay in this process: a dry run. Flushing and draining
    /// succeed and do nothing.
    pub fn open_private(&self, path: impl AsRef<Path>) -> Result<MappedFile> {
        self.map(FileMedia::open_read_only(path)?, Access::Private)
    }

    fn map(&self, file: FileMedia, access: Access) -> Result<MappedFile> {
        let (domain, map_sync) = choose_domain(&file, self.forced, self.required)?;
        let resized = access == Access::Shared && self.resize(&file)?;
        if Media::is_empty(&file)? {
            return Err(invalid_size("the file is empty, and nothing cannot be mapped"));
        }
        let mapping = Mapping::of(&file, access, domain, map_sync)?;
        // Gives a new file its name.
        file.publish()?;
        let duty = Duty::new(file, domain, access);
        if resized {
            duty.sync_file()?;
        }
        Ok(MappedFile { mapping, duty })
    }

    /// Gives the file its length and its space, and says whether the length changed.
    fn resize(&self, file: &FileMedia) -> Result<bool> {
        let len = Media::len(file)?;
        let wanted = match self.size {
            Some(0) => return Err(invalid_size("nothing cannot be mapped")),
            Some(size) if size > len || self.truncate => size,
            _ => len,
        };
        // The kernel's own limit; beyond it the calls below would fail less clearly.
        if i64::try_from(wanted).is_err() {
            return Err(Error::TooLarge { requested: wanted });
        }
        if wanted < len {
            file.truncate(wanted)?;
        }
        if wanted > len {
            if self.sparse { file.stretch(wanted)? } else { file.grow(wanted)? }
        }
        if !self.sparse && len > 0 {
            file.allocate(0, wanted.min(len))?;
        }
        Ok(wanted != len)
    }
}

fn invalid_size(reason: &str) -> Error {
    Error::InvalidOption { option: "size", reason: reason.to_owned() }
}
