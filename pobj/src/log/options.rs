//! How a log is made and opened.

use std::path::Path;
use std::sync::Arc;

use super::Log;
use super::core::Core;
use super::header::{ALIGN_MAX, ALIGN_MIN, CAPACITY_MAX, CAPACITY_UNIT, Header, is_align};
use super::read::Reader;
use crate::ground::error::{Error, Result};
use crate::ground::random::random_u64;
use crate::journal::Durability;
use crate::media::{Domain, DomainChoice, FileMedia, Media, choose};

/// Frames of a log made on persistent memory: a line, so that none is ever stored to twice.
const ALIGN_MEMORY: u64 = 64;

/// Options for a [`Log`].
///
/// ```
/// use pobj::Durability;
/// use pobj::log::Options;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("events.log");
/// let log = Options::new().durability(Durability::Eventual).create(&path, 1 << 20)?;
/// log.append(b"survives a kill of the process")?;
/// log.sync()?; // and from here on a power cut
/// # Ok::<(), pobj::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    durability: Durability,
    align: Option<u64>,
    domain: DomainChoice,
}

impl Options {
    /// The defaults: `Immediate`, in whatever domain the file is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// When appends return, unless one chooses for itself with [`Log::with`] (default [`Durability::Immediate`]).
    ///
    /// `Eventual` survives a kill of the process at once, and a power cut from the next `Immediate` append, [`Log::sync`] or
    /// [`Log::close`] on; what survives is always a prefix of what was appended. On persistent memory every append is
    /// durable when it returns.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What entries begin at multiples of, in a log that is made: a power of two from 8 to 4096. Default: 64 on persistent
    /// memory, where an append should not share a cache line with the one before; 8 on a file. With 4096 no block that is
    /// durable is ever written again, for devices that may tear a sector which they rewrite.
    #[must_use]
    pub fn align(mut self, bytes: u64) -> Self {
        self.align = Some(bytes);
        self
    }

    /// The coarsest persistence domain that will do (default: any). [`Error::Domain`] on a medium that is coarser.
    #[must_use]
    pub fn require_domain(mut self, coarsest: Domain) -> Self {
        self.domain.required = Some(coarsest);
        self
    }

    /// Treats the medium as this domain whatever it is; see [`Options::force_domain`](crate::Options::force_domain) of pools. The
    /// environment variable `POBJ_DOMAIN` does the same where this option is not used.
    #[must_use]
    pub fn force_domain(mut self, domain: Domain) -> Self {
        self.domain.forced = Some(domain);
        self
    }

    /// Makes a log with room for `capacity` bytes of framed entries (rounded up to whole blocks of 4096), all of its space
    /// allocated: a full disk is an error here and never of an append. Nobody sees the file before it is whole.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`], [`Error::InvalidOption`], [`Error::Io`].
    pub fn create(&self, path: impl AsRef<Path>, capacity: u64) -> Result<Log> {
        self.check_capacity(capacity)?;
        self.create_on(choose(FileMedia::create(path.as_ref())?, self.domain.or_environment()?)?, capacity)
    }

    /// Makes a log on an empty medium of your own, for example [`RamMedia`](crate::media::RamMedia).
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_on(&self, media: Arc<dyn Media>, capacity: u64) -> Result<Log> {
        let capacity = self.check_capacity(capacity)?;
        if !media.is_empty()? {
            return Err(Error::AlreadyExists { path: media.path() });
        }
        let align = self.align.unwrap_or(if media.domain().is_memory() { ALIGN_MEMORY } else { ALIGN_MIN });
        if !is_align(align) {
            let reason = format!("{align} is not a power of two within {ALIGN_MIN}..={ALIGN_MAX}");
            return Err(Error::InvalidOption { option: "align", reason });
        }
        let header = Header::new(random_u64()?, capacity, align);
        Ok(Log { core: Core::create(media, header, self.durability)? })
    }

    fn check_capacity(&self, capacity: u64) -> Result<u64> {
        if capacity == 0 || capacity > CAPACITY_MAX {
            let reason = format!("{capacity} is not within 1..={CAPACITY_MAX}");
            return Err(Error::InvalidOption { option: "capacity", reason });
        }
        Ok(capacity.next_multiple_of(CAPACITY_UNIT))
    }

    /// Opens a log for appending, and takes it for this handle alone. Constant time after a close; after a crash what was
    /// appended since the last note of the end is looked through: 1 MiB or an eighth of what the log holds, at most 64 MiB and
    /// one append.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Locked`], [`Error::NotALog`], [`Error::UnsupportedFormat`], [`Error::Corrupt`] if something that
    /// was durable is not there any more, [`Error::Domain`], [`Error::Io`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Log> {
        self.open_on(choose(FileMedia::open(path.as_ref())?, self.domain.or_environment()?)?)
    }

    /// Opens a log on a medium of your own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(&self, media: Arc<dyn Media>) -> Result<Log> {
        Ok(Log { core: Core::open(media, self.durability)? })
    }

    /// Opens a log, and makes it with this capacity if it is missing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(&self, path: impl AsRef<Path>, capacity: u64) -> Result<Log> {
        loop {
            match self.open(&path) {
                Err(Error::NotFound { .. }) => {}
                other => return other,
            }
            match self.create(&path, capacity) {
                // Somebody else was faster.
                Err(Error::AlreadyExists { .. }) => {}
                other => return other,
            }
        }
    }

    /// Opens a log on a medium of your own to follow it; see [`Log::open_read_only`].
    ///
    /// # Errors
    ///
    /// As [`Log::open_read_only`].
    pub fn open_read_only_on(&self, media: Arc<dyn Media>) -> Result<Reader<'static>> {
        Reader::on(media)
    }
}
