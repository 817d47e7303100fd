//! Creating and opening pools by their root's type.

use std::path::Path;
use std::sync::Arc;

use super::doors::{make_root, rebrand};
use crate::ground::error::{Error, Result};
use crate::layout::{Persistent, Schema};
use crate::media::{FileMedia, Media, choose};
use crate::pool::{Options, Pool, PoolCore, ReadOnlyPool, Trust};
use crate::tx::{Tx, commit};

impl<R: Persistent> Options<R> {
    const ROOT_HAS_BYTES: () =
        assert!(size_of::<R>() > 0, "the root type has no bytes, so there is nothing to keep");

    /// Creates a pool at `path` with the root `R::default()`.
    ///
    /// The file is made under a temporary name and renamed when it is whole, so a half-made pool is never seen.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`], [`Error::InvalidOption`], [`Error::Io`].
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Pool<R>>
    where
        R: Default,
    {
        self.create_with(path, |_| Ok(rebrand(R::default())))
    }

    /// Creates a pool at `path` whose root `init` makes. If `init` fails, no file is left.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and what `init` returns.
    pub fn create_with(
        &self,
        path: impl AsRef<Path>,
        init: impl for<'p> FnOnce(&Tx<'p>) -> Result<R::At<'p>>,
    ) -> Result<Pool<R>> {
        // Before a file is made that would have to go again.
        self.settings.clone().checked()?;
        self.create_on(choose(FileMedia::create(path.as_ref())?, self.settings.domain_choice()?)?, init)
    }

    /// Creates a pool on a medium of your own.
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create_on(
        &self,
        media: Arc<dyn Media>,
        init: impl for<'p> FnOnce(&Tx<'p>) -> Result<R::At<'p>>,
    ) -> Result<Pool<R>> {
        const { Self::ROOT_HAS_BYTES };
        let core = Arc::new(PoolCore::create(media, &self.settings.clone().checked()?, &Schema::of::<R>())?);
        commit::run(&core, |tx| make_root::<R, Error>(tx, init))?;
        core.publish()?;
        Ok(Pool::from_core(core))
    }

    /// Opens the pool at `path`: recovers what the journal holds, compares the types, and validates every reachable
    /// object. Cost: the journal, and at memory speed the data.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Locked`], [`Error::NotAPool`], [`Error::UnsupportedFormat`],
    /// [`Error::SchemaMismatch`], [`Error::AddressTaken`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Pool<R>> {
        self.open_on(choose(FileMedia::open(path.as_ref())?, self.settings.domain_choice()?)?)
    }

    /// Opens a pool on a medium of your own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(&self, media: Arc<dyn Media>) -> Result<Pool<R>> {
        const { Self::ROOT_HAS_BYTES };
        Ok(Pool::from_core(Arc::new(PoolCore::open::<R>(media, &self.settings, Trust::Validate)?)))
    }

    /// Opens the pool at `path`, or creates it with `R::default()` if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and [`create`](Self::create). A file that is not a pool is never replaced.
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<Pool<R>>
    where
        R: Default,
    {
        match self.open(path.as_ref()) {
            Err(Error::NotFound { .. }) => match self.create(path.as_ref()) {
                // Somebody else was faster.
                Err(Error::AlreadyExists { .. }) => self.open(path),
                other => other,
            },
            other => other,
        }
    }

    /// Opens without validating the objects: constant time in the data. Where the platform reports that it lost power
    /// unsafely while the pool was open, the objects are validated all the same.
    ///
    /// # Safety
    ///
    /// The file was written by pobj with these types and not changed by anything else since.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub unsafe fn open_trusted(&self, path: impl AsRef<Path>) -> Result<Pool<R>> {
        let media = choose(FileMedia::open(path.as_ref())?, self.settings.domain_choice()?)?;
        // SAFETY: the caller's promise is the same.
        unsafe { self.open_trusted_on(media) }
    }

    /// Opens a medium of your own without validating the objects.
    ///
    /// # Safety
    ///
    /// As [`open_trusted`](Self::open_trusted).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub unsafe fn open_trusted_on(&self, media: Arc<dyn Media>) -> Result<Pool<R>> {
        const { Self::ROOT_HAS_BYTES };
        Ok(Pool::from_core(Arc::new(PoolCore::open::<R>(media, &self.settings, Trust::Trusted)?)))
    }

    /// Opens for reading only, without writing a byte: what the journal holds is replayed into memory. Several
    /// readers may share a pool, while no writer has it open.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<ReadOnlyPool<R>> {
        self.open_read_only_on(Arc::new(FileMedia::open_read_only(path.as_ref())?))
    }

    /// Opens a medium of your own for reading only.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_read_only_on(&self, media: Arc<dyn Media>) -> Result<ReadOnlyPool<R>> {
        const { Self::ROOT_HAS_BYTES };
        Ok(ReadOnlyPool::from_core(Arc::new(PoolCore::open::<R>(media, &self.settings, Trust::ReadOnly)?)))
    }
}

impl<R: Persistent> Pool<R> {
    /// Creates a pool with default [`Options`]; see [`Options::create`].
    ///
    /// # Errors
    ///
    /// As [`Options::create`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self>
    where
        R: Default,
    {
        Self::options().create(path)
    }

    /// Creates a pool whose root `init` makes; see [`Options::create_with`].
    ///
    /// # Errors
    ///
    /// As [`Options::create_with`].
    pub fn create_with(
        path: impl AsRef<Path>,
        init: impl for<'p> FnOnce(&Tx<'p>) -> Result<R::At<'p>>,
    ) -> Result<Self> {
        Self::options().create_with(path, init)
    }

    /// Opens a pool; see [`Options::open`].
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Opens a pool or creates it; see [`Options::open_or_create`].
    ///
    /// # Errors
    ///
    /// As [`Options::open_or_create`].
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self>
    where
        R: Default,
    {
        Self::options().open_or_create(path)
    }

    /// Opens a pool without validation; see [`Options::open_trusted`].
    ///
    /// # Safety
    ///
    /// As [`Options::open_trusted`].
    ///
    /// # Errors
    ///
    /// As [`Options::open_trusted`].
    pub unsafe fn open_trusted(path: impl AsRef<Path>) -> Result<Self> {
        // SAFETY: the caller's promise is the same.
        unsafe { Self::options().open_trusted(path) }
    }

    /// Opens a pool for reading only; see [`Options::open_read_only`].
    ///
    /// # Errors
    ///
    /// As [`Options::open_read_only`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<ReadOnlyPool<R>> {
        Self::options().open_read_only(path)
    }
}
