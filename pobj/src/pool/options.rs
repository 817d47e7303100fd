//! How a pool is made and opened: sizes, durability, verification.

use std::marker::PhantomData;

use crate::ground::error::{Error, Result};
use crate::journal::Durability;
#[cfg(feature = "sim")]
use crate::layout::Persistent;
use crate::layout::geometry::RING_LEN_MIN;
use crate::media::{Domain, DomainChoice, ImageMode};

/// Smallest ring, in bytes.
const RING_MIN: u64 = RING_LEN_MIN;
/// Largest ring, in bytes: it is mirrored in memory.
const RING_MAX: u64 = 1 << 30;
/// Largest `max_size`, in bytes.
pub(crate) const MAX_SIZE_MAX: u64 = 1 << 42;
const BLOCK: u64 = 4096;
/// The environment variable that chooses the image.
const IMAGE_VARIABLE: &str = "POBJ_IMAGE";

/// Sizes and behaviour of a pool, as plain values.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) size: u64,
    pub(crate) max_size: u64,
    pub(crate) ring_size: u64,
    pub(crate) durability: Durability,
    pub(crate) threads: usize,
    pub(crate) image: Option<ImageMode>,
    pub(crate) domain: DomainChoice,
    /// Whether changes that were not logged are looked for, and who names the place.
    #[cfg(feature = "sim")]
    pub(crate) unlogged: Option<super::shadow::Describe>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size: 1 << 20,
            max_size: 64 << 30,
            ring_size: 2 << 20,
            durability: Durability::Immediate,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            image: None,
            domain: DomainChoice::default(),
            #[cfg(feature = "sim")]
            unlogged: None,
        }
    }
}

impl Settings {
    /// The image that the caller chose, or that `POBJ_IMAGE` chooses where the caller does not.
    pub(crate) fn image(&self) -> Result<ImageMode> {
        match (self.image, std::env::var(IMAGE_VARIABLE)) {
            (Some(mode), _) => Ok(mode),
            (None, Err(_)) => Ok(ImageMode::Private),
            (None, Ok(name)) => match name.as_str() {
                "private" => Ok(ImageMode::Private),
                "in-place" => Ok(ImageMode::InPlace),
                _ => Err(Error::InvalidOption {
                    option: IMAGE_VARIABLE,
                    reason: format!("`{name}` is not private or in-place"),
                }),
            },
        }
    }

    /// The domain that the caller forces or requires; `POBJ_DOMAIN` forces where the caller does not.
    pub(crate) fn domain_choice(&self) -> Result<DomainChoice> {
        self.domain.or_environment()
    }

    /// Rounds the sizes up to what the format needs, or says why they cannot work.
    pub(crate) fn checked(mut self) -> Result<Self> {
        let wrong = |option, reason: String| Err(Error::InvalidOption { option, reason });
        if self.ring_size < RING_MIN || self.ring_size > RING_MAX {
            return wrong("ring_size", format!("{} is not within {RING_MIN}..={RING_MAX}", self.ring_size));
        }
        self.ring_size = self.ring_size.next_multiple_of(BLOCK);
        if self.max_size > MAX_SIZE_MAX {
            return wrong("max_size", format!("{} is over the limit of {MAX_SIZE_MAX}", self.max_size));
        }
        if self.size > self.max_size {
            return wrong("size", format!("{} is over max_size, which is {}", self.size, self.max_size));
        }
        Ok(self)
    }
}

/// Builder for a pool with root type `R`; made by [`Pool::options`](crate::Pool::options).
///
/// Sizes are in bytes. `size`, `max_size` and `ring_size` matter at creation and are stored in the pool; the others
/// matter at each open.
#[derive(Debug)]
pub struct Options<R> {
    pub(crate) settings: Settings,
    root: PhantomData<fn() -> R>,
}

impl<R> Clone for Options<R> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), root: PhantomData }
    }
}

impl<R> Default for Options<R> {
    fn default() -> Self {
        Self { settings: Settings::default(), root: PhantomData }
    }
}

impl<R> Options<R> {
    /// Space that a new pool has for objects before it grows (default 1 MiB).
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.settings.size = bytes;
        self
    }

    /// Length beyond which the pool never grows (default 64 GiB, at most 4 TiB). It costs address space, not disk, and
    /// is fixed at creation.
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.settings.max_size = bytes;
        self
    }

    /// Length of the journal's ring (default 2 MiB, 64 KiB to 1 GiB). A larger ring makes checkpoints rarer and
    /// better; it is mirrored in memory and, after a crash, read at open. It does not limit transactions.
    #[must_use]
    pub fn ring_size(mut self, bytes: u64) -> Self {
        self.settings.ring_size = bytes;
        self
    }

    /// When commits return, unless a transaction chooses for itself (default [`Durability::Immediate`]).
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// What the program's references lead into: a private copy of the pool's bytes (default), or the bytes themselves
    /// ([`ImageMode::InPlace`]), for pools larger than memory. In place needs persistent memory; elsewhere creating and
    /// opening give [`Error::Domain`]. The file is the same: a pool may be opened one way today and the other tomorrow.
    ///
    /// In place, each range is made durable before it may change, at one fence a range; see the book, *Persistent
    /// memory*. Where this option is not used, the environment variable `POBJ_IMAGE` (`private`, `in-place`) chooses.
    #[must_use]
    pub fn image(mut self, mode: ImageMode) -> Self {
        self.settings.image = Some(mode);
        self
    }

    /// The coarsest persistence domain that will do (default: any). Creating or opening a pool on a medium that is coarser
    /// gives [`Error::Domain`].
    #[must_use]
    pub fn require_domain(mut self, coarsest: Domain) -> Self {
        self.settings.domain.required = Some(coarsest);
        self
    }

    /// Treats the medium as this domain whatever it is, instead of asking the kernel. For tests, for memory whose
    /// persistence you know of, and to use the page cache on persistent memory ([`Domain::Page`]). Forcing
    /// [`Domain::CacheLine`] on an ordinary file loses what the page cache holds at a power cut. The environment variable
    /// `POBJ_DOMAIN` (`byte`, `line`, `page`) does the same where this option is not used.
    #[must_use]
    pub fn force_domain(mut self, domain: Domain) -> Self {
        self.settings.domain.forced = Some(domain);
        self
    }

    /// Threads that validate the pool at open (default: one for each core).
    #[must_use]
    pub fn validation_threads(mut self, threads: usize) -> Self {
        self.settings.threads = threads.max(1);
        self
    }
}

#[cfg(feature = "sim")]
impl<R: Persistent> Options<R> {
    /// Finds bytes of the pool that were changed and not logged, as only `unsafe` code can: a write through a
    /// [`PPtr`](crate::PPtr) whose target was not logged first, or past its end. Such a change is in no record, so it
    /// would be gone at the next open, or half of it there.
    ///
    /// Each commit of a transaction that has the pool alone compares the image with a second copy of it, and gives
    /// [`Error::Unlogged`] with the place, its block and its type if there is a difference that no log explains; the bytes
    /// are put back, and the transaction is rolled back. Changes that came before it, while others
    /// [shared](crate::Pool::share) the pool or in a transaction that was rolled back, are found by the next such commit.
    /// Costs the pool's length in memory and in bytes compared at each commit: for tests. An image in place is not
    /// checked.
    #[must_use]
    pub fn check_unlogged(mut self) -> Self {
        self.settings.unlogged = Some(super::shadow::describe::<R>);
        self
    }
}
