//! The open pool: media, image, journal and heap under one roof.
//!
//! [`PoolCore`] is the untyped pool that transactions work on; [`Pool`] adds the root's type. The typed floor adds
//! reading and writing to `Pool`, so nothing here knows a persistent pointer.
//!
//! Who may touch what: the heap is in the [`Owner`] box that the gate hands to the one writer; the image is stored
//! to by that writer only; the journal has its own lock and outlives the writer's turn.

mod check;
mod create;
mod open;
pub(crate) mod options;
mod stats;

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ground::error::{Error, Result};
use crate::ground::gate::Gate;
use crate::heap::{Heap, HeapStats, Reservation};
use crate::journal::{Background, Durability, Journal, RingState};
use crate::layout::header::Header;
use crate::media::{ForkSentinel, Image, Media};

pub(crate) use open::Trust;
pub use options::Options;
use options::Settings;
pub use stats::{Opened, Stats};

/// What the one writer owns while it writes.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) heap: Heap,
}

/// At most so many bytes are punched out by one commit.
const PUNCH_LEN_MAX: u64 = 64 << 20;

/// What creating and opening have in hand at their end.
struct Parts {
    media: Arc<dyn Media>,
    image: Image,
    header: Header,
    state: RingState,
    owner: Owner,
    opened: Opened,
}

/// An open pool without its type.
pub(crate) struct PoolCore {
    pub(crate) image: Image,
    pub(crate) journal: Arc<Journal>,
    pub(crate) gate: Gate<Owner>,
    media: Arc<dyn Media>,
    durability: Durability,
    fork: ForkSentinel,
    opened: Opened,
    heap_stats: Mutex<HeapStats>,
    closed: AtomicBool,
    background: Mutex<Option<Background>>,
}

impl fmt::Debug for PoolCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("path", &self.media.path())
            .field("base", &self.image.base())
            .finish_non_exhaustive()
    }
}

impl PoolCore {
    fn assemble(parts: Parts, settings: &Settings, writable: bool) -> Result<Self> {
        let Parts { media, image, header, state, owner, opened } = parts;
        let g = &header.geometry;
        let journal =
            Arc::new(Journal::new(media.clone(), header.pool_id, g.ring_offset, g.ring_len, state)?);
        let background = match writable && media.background() {
            true => Some(Background::start(journal.clone())?),
            false => None,
        };
        Ok(Self {
            image,
            journal,
            media,
            durability: settings.durability,
            fork: ForkSentinel::new()?,
            opened,
            heap_stats: Mutex::new(HeapStats::default()),
            gate: Gate::new(Box::new(owner)),
            closed: AtomicBool::new(!writable),
            background: Mutex::new(background),
        })
    }

    /// An error where no guard can be given: after a fork.
    pub(crate) fn check_readable(&self) -> Result<()> {
        if self.fork.in_owner() { Ok(()) } else { Err(Error::Forked) }
    }

    /// An error where no transaction can run: after a fork, after a failed write.
    pub(crate) fn check_usable(&self) -> Result<()> {
        self.check_readable()?;
        self.journal.check_poison()
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Grows file, image and heap, in this order: no byte of the pool ever lacks its place in the file.
    pub(crate) fn grow(&self, owner: &mut Owner, new_len: u64) -> Result<()> {
        self.journal.settle_spills()?;
        self.media.grow(new_len)?;
        // The new length is durable before a record can depend on it (J9).
        self.journal.sync_medium()?;
        self.image.extend(new_len)?;
        owner.heap.add_space(&self.image, new_len);
        Ok(())
    }

    /// Gives the chunks of a new block their place in the file again, if they were punched out.
    pub(crate) fn back(&self, owner: &mut Owner) -> Result<()> {
        while let Some(range) = owner.heap.unbacked() {
            self.media.allocate(range.start, range.end - range.start)?;
            owner.heap.backed(&range);
        }
        Ok(())
    }

    /// Brings the heap past a transaction that was just ordered.
    pub(crate) fn heap_committed(&self, owner: &mut Owner, reservation: &mut Reservation, txid: u64) {
        if reservation.is_empty() {
            return;
        }
        owner.heap.commit(&self.image, reservation, txid);
        if owner.heap.has_punchable() {
            self.punch(owner);
        }
    }

    /// Punches freed chunks that home is past (J6). A failure costs space only.
    fn punch(&self, owner: &mut Owner) {
        for range in owner.heap.take_punchable(self.journal.home_txid(), PUNCH_LEN_MAX) {
            let _ = self.media.punch(range.start, range.end - range.start);
            owner.heap.punched(&range);
        }
    }

    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.check_readable()?;
        self.journal.checkpoint()?;
        // A running writer punches by itself when it commits.
        self.gate.peek(|owner| self.punch(owner));
        Ok(())
    }

    /// Address of the root, 0 before it is made.
    pub(crate) fn root_addr(&self) -> u64 {
        self.image.load_u64(crate::layout::geometry::ROOT_ADDR)
    }

    /// Checkpoints, notes that nothing is left to recover, and ends the background thread.
    pub(crate) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        if !self.fork.in_owner() {
            // The child of a fork has neither the thread nor the right to write.
            std::mem::forget(background);
            return Ok(());
        }
        drop(background);
        self.checkpoint()?;
        self.journal.close()
    }
}

impl Drop for PoolCore {
    fn drop(&mut self) {
        // `close` reports errors; a pool that is only dropped is recovered at the next open.
        let _ = self.close();
    }
}

/// An open pool whose root object is an `R`.
///
/// `R` is the root's type with any lifetime: write `Pool::<App>` in expressions and `Pool<App<'static>>` in fields. The
/// handle is `Send` and `Sync`; share it in an `Arc`. Dropping it closes the pool and ignores errors; call
/// [`close`](Self::close) to see them.
pub struct Pool<R> {
    pub(crate) core: Arc<PoolCore>,
    root: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for Pool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

impl<R> Pool<R> {
    pub(crate) fn from_core(core: Arc<PoolCore>) -> Self {
        Self { core, root: PhantomData }
    }

    /// Options for creating or opening a pool.
    #[must_use]
    pub fn options() -> Options<R> {
        Options::default()
    }

    /// Makes every committed transaction durable. Cost: one durable write, none if all are durable already.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] after a failed write, [`Error::Io`] if this one fails, [`Error::Forked`].
    pub fn sync(&self) -> Result<()> {
        self.core.check_usable()?;
        self.core.journal.sync()
    }

    /// Brings the file's own objects up to date and empties the journal. Happens by itself; useful before copying the
    /// file, or to move its cost to a quiet moment.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub fn checkpoint(&self) -> Result<()> {
        self.core.checkpoint()
    }

    /// Id of the last committed transaction. Ids are consecutive over the pool's whole life.
    #[must_use]
    pub fn last_committed(&self) -> u64 {
        self.core.journal.last_txid()
    }

    /// Makes everything durable and closes the pool, so that the next open has nothing to recover.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync). The pool is closed in any case; the next open recovers.
    pub fn close(self) -> Result<()> {
        self.core.close()
    }
}

/// A pool that was opened without the right to write: it can only be read, so writing does not compile.
pub struct ReadOnlyPool<R> {
    pub(crate) core: Arc<PoolCore>,
    root: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for ReadOnlyPool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

impl<R> ReadOnlyPool<R> {
    pub(crate) fn from_core(core: Arc<PoolCore>) -> Self {
        Self { core, root: PhantomData }
    }

    /// Id of the last committed transaction that this view shows.
    #[must_use]
    pub fn last_committed(&self) -> u64 {
        self.core.journal.last_txid()
    }
}
