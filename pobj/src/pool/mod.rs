//! The open pool: media, image, journal and heap under one roof.
//!
//! [`PoolCore`] is the untyped pool that transactions work on; [`Pool`] adds the root's type. The typed floor adds
//! reading and writing to `Pool`, so nothing here knows a persistent pointer.
//!
//! Who may touch what: the heap is in the [`Owner`] box that the gate hands to the one writer; the image is stored
//! to by that writer only; the journal has its own lock and outlives the writer's turn. While several transactions share
//! the pool, the box lies in a mutex, and each stores to what it holds a lock of (see [`locks`]).

mod ahead;
mod check;
mod companions;
mod create;
mod gate;
pub(crate) mod locks;
#[cfg(all(loom, test))]
mod loom;
mod open;
pub(crate) mod options;
#[cfg(feature = "sim")]
mod shadow;
mod sharing;
mod stats;

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ground::error::{Error, Result};
use crate::ground::sync::Alone;
use crate::heap::{Heap, HeapStats, Reservation};
use crate::journal::{Appender, Background, Durability, Journal, RingState};
use crate::layout::header::Header;
use crate::media::{Domain, ForkSentinel, Image, ImageMode, Media, Totals};

use ahead::{Ahead, Growth};
pub(crate) use check::survey;
pub(crate) use companions::Companions;
use gate::Gate;
use locks::LockTable;
pub(crate) use open::Trust;
pub use options::Options;
use options::Settings;
pub(crate) use sharing::SEATS;
use sharing::{Shareable, Sharing};
pub use stats::{Opened, Stats};

/// What the one writer owns while it writes.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Owner {
    /// First, so that one cache line has what a transaction without new blocks needs.
    pub(crate) end: Appender,
    pub(crate) heap: Heap,
    /// A count of the body that travels with the turn to write, so that a transaction need not touch the counter.
    pub(crate) body: Option<Arc<PoolBody>>,
}

impl Shareable for Owner {
    fn end_sharing(&mut self) {
        self.end.publish();
    }
}

/// At most so many bytes are punched out by one commit.
const PUNCH_LEN_MAX: u64 = 64 << 20;

/// What creating and opening have in hand at their end.
struct Parts {
    media: Arc<dyn Media>,
    image: Image,
    header: Header,
    state: RingState,
    heap: Heap,
    opened: Opened,
}

/// What every user of an open pool works with.
pub(crate) struct PoolBody {
    pub(crate) image: Image,
    pub(crate) journal: Arc<Journal>,
    media: Arc<dyn Media>,
    durability: Durability,
    /// Threads that walk the objects.
    pub(crate) threads: usize,
    fork: ForkSentinel,
    opened: Opened,
    /// What transactions that did not commit have asked of the medium.
    pub(crate) failed: Totals,
    /// The image is home: old words are durable before they change.
    pub(crate) in_place: bool,
    /// Where the owner is while transactions share the pool.
    pub(crate) sharing: Arc<Sharing<Owner>>,
    /// What those transactions hold.
    pub(crate) locks: LockTable,
    /// What the image should hold, for who wants to know.
    #[cfg(feature = "sim")]
    pub(crate) shadow: Option<shadow::Shadow>,
    ahead: Ahead,
}

/// An open pool without its type.
pub(crate) struct PoolCore {
    body: Arc<PoolBody>,
    pub(crate) gate: Gate<Owner>,
    /// Counts of the body for those who share the pool, one for a seat: they would hand the counter from core to core.
    bodies: [Alone<Mutex<Option<Arc<PoolBody>>>>; SEATS],
    heap_stats: Mutex<HeapStats>,
    closed: AtomicBool,
    background: Mutex<Option<(Background, Growth)>>,
}

impl Deref for PoolCore {
    type Target = PoolBody;

    #[inline]
    fn deref(&self) -> &PoolBody {
        &self.body
    }
}

impl fmt::Debug for PoolBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolBody({})", self.media.path().display())
    }
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
        let Parts { media, image, header, state, heap, opened } = parts;
        let g = &header.geometry;
        // A reader's image is its own in any case.
        let mode = if writable { settings.image()? } else { ImageMode::Private };
        let journal = Arc::new(Journal::new(media.clone(), header.pool_id, g, state, mode)?);
        let end = journal.appender();
        let in_place = mode == ImageMode::InPlace;
        let threads = writable && media.background() && !in_place;
        #[cfg(feature = "sim")]
        let shadow =
            settings.unlogged.filter(|_| !in_place).map(|describe| shadow::Shadow::new(&image, describe));
        let body = Arc::new(PoolBody {
            image,
            journal,
            media,
            durability: settings.durability,
            threads: settings.threads,
            fork: ForkSentinel::new()?,
            opened,
            failed: Totals::default(),
            in_place: in_place && writable,
            sharing: Arc::new(Sharing::new()),
            locks: LockTable::default(),
            #[cfg(feature = "sim")]
            shadow,
            ahead: Ahead::default(),
        });
        let background = match threads {
            true => Some((Background::start(body.journal.clone())?, Growth::start(&body)?)),
            false => None,
        };
        let owner = Owner { heap, end, body: Some(body.clone()) };
        Ok(Self {
            bodies: Default::default(),
            heap_stats: Mutex::new(HeapStats::default()),
            gate: Gate::new(Box::new(owner), Arc::clone(&body.sharing)),
            body,
            closed: AtomicBool::new(!writable),
            background: Mutex::new(background),
        })
    }

    /// A count of the body, where none travelled with the owner.
    #[cold]
    pub(crate) fn body(&self) -> Arc<PoolBody> {
        Arc::clone(&self.body)
    }

    /// A count of the body for who sits at `seat`.
    pub(crate) fn body_at(&self, seat: usize) -> Arc<PoolBody> {
        let body = self.bodies[seat].0.lock().unwrap_or_else(PoisonError::into_inner).take();
        body.unwrap_or_else(|| self.body())
    }

    /// Takes back what [`body_at`](Self::body_at) gave.
    pub(crate) fn keep_body(&self, seat: Option<usize>, body: Option<Arc<PoolBody>>) {
        let Some(seat) = seat else { return };
        *self.bodies[seat].0.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }
}

/// Asks the medium which of the bytes that the image could not show it does not give, and why.
#[cold]
fn locate(media: &dyn Media, error: Error) -> Error {
    const BLOCK: u64 = 4096;
    let Error::Unreadable { path, offset, len, source } = error else { return error };
    if !path.as_os_str().is_empty() {
        return Error::Unreadable { path, offset, len, source };
    }
    let mut bytes = [0; BLOCK as usize];
    let bad = (offset..offset + len).step_by(BLOCK as usize).find_map(|at| media.read(at, &mut bytes).err());
    bad.unwrap_or_else(|| Error::Unreadable { path: media.path(), offset, len, source })
}

impl PoolBody {
    /// An error where no guard can be given: after a fork.
    #[inline]
    pub(crate) fn check_readable(&self) -> Result<()> {
        if self.fork.in_owner() { Ok(()) } else { Err(Error::Forked) }
    }

    /// An error where no transaction can run: after a fork, after a failed write.
    #[inline]
    pub(crate) fn check_usable(&self) -> Result<()> {
        self.check_readable()?;
        self.journal.check_poison()
    }

    /// Brings bytes of the image into memory; an error if the medium does not give them back, where a load would be a
    /// signal. What the system has thrown out of memory since it was asked first is not asked for again.
    #[inline]
    pub(crate) fn show(&self, addr: u64, len: u64) -> Result<()> {
        let offset = addr.wrapping_sub(self.image.base());
        self.image.show(offset, len).map_err(|error| locate(&*self.media, error))
    }

    #[inline]
    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Grows file, image and heap, in this order: no byte of the pool ever lacks its place in the file.
    /// To `new_len`, or to `least_len` at least where that is ready.
    pub(crate) fn grow(&self, owner: &mut Owner, least_len: u64, new_len: u64) -> Result<()> {
        let new_len = match self.ready_len() {
            ready if ready >= least_len => ready.min(new_len),
            _ => {
                self.lengthen(new_len)?;
                new_len
            }
        };
        self.image.extend(new_len)?;
        owner.heap.add_space(&self.image, new_len);
        self.want_beyond(new_len);
        Ok(())
    }

    /// Makes the file long enough for a pool of `new_len` bytes.
    fn lengthen(&self, new_len: u64) -> Result<()> {
        let _alone = loop {
            self.journal.settle_spills()?;
            if let Some(alone) = self.journal.alone_with_length() {
                break alone;
            }
        };
        let len = self.image.len();
        if self.ready_len() >= new_len {
            // It was about to be, and this waited for it.
        } else if self.media.len()? > self.image.max_len() {
            // A large transaction in place has bytes of its own behind the pool's largest length. The file's is durable
            // with the first of them.
            self.media.allocate(len, new_len - len)?;
        } else {
            self.media.grow(new_len)?;
            // The new length is durable before a record can depend on it (J9).
            self.journal.sync_len(new_len)?;
        }
        Ok(())
    }

    /// Gives free chunks their place in the file, before they are used.
    pub(crate) fn allocate(&self, owner: &mut Owner, range: &Range<u64>) -> Result<()> {
        self.media.allocate(range.start, range.end - range.start)?;
        owner.heap.backed(range);
        Ok(())
    }

    /// Brings the heap past a transaction that was just ordered.
    #[inline]
    pub(crate) fn heap_committed(&self, owner: &mut Owner, reservation: &mut Reservation, txid: u64) {
        if reservation.is_empty() {
            return;
        }
        owner.heap.commit(&self.image, reservation, txid);
        if owner.heap.has_punchable() {
            self.punch(owner);
        }
        if owner.heap.take_shortage() {
            self.want_beyond(self.image.len());
        }
    }

    /// Punches freed chunks that home is past (J6). A failure costs space only.
    fn punch(&self, owner: &mut Owner) {
        for range in owner.heap.take_punchable(self.journal.home_txid(), PUNCH_LEN_MAX) {
            let _ = self.media.punch(range.start, range.end - range.start);
            owner.heap.punched(&range);
        }
    }

    /// Address of the root, 0 before it is made.
    #[inline]
    pub(crate) fn root_addr(&self) -> u64 {
        self.image.load_u64(crate::layout::geometry::ROOT_ADDR)
    }
}

impl PoolCore {
    /// Tells the journal how far those have come who share the pool. A writer says so with each record.
    fn publish_end(&self) {
        if let Some(owner) = self.sharing.lock().as_ref() {
            owner.end.publish();
        }
    }

    /// Id of the last transaction that is ordered.
    fn last_txid(&self) -> u64 {
        self.publish_end();
        self.journal.last_txid()
    }

    fn sync(&self) -> Result<()> {
        self.check_usable()?;
        self.publish_end();
        self.journal.sync()
    }

    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.check_readable()?;
        self.publish_end();
        self.journal.checkpoint()?;
        // A running writer punches by itself when it commits.
        self.gate.peek(|owner| self.punch(owner));
        Ok(())
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
        self.give_ready_back();
        self.journal.close()
    }
}

impl Drop for PoolCore {
    fn drop(&mut self) {
        // `close` reports errors; a pool that is only dropped is recovered at the next open.
        let _ = self.close();
        // The body would keep itself alive through the owner that it holds. In the child of a fork it may: somebody of the
        // parent may have held the lock.
        if self.fork.in_owner() {
            self.gate.peek(|owner| owner.body = None);
        }
    }
}

/// An open pool whose root object is an `R`.
///
/// `R` is the root's type with any lifetime: write `Pool::<App>` in expressions and `Pool<App<'static>>` in fields. The
/// handle is `Send` and `Sync`; share it in an `Arc`. Dropping it closes the pool and ignores errors; call
/// [`close`](Self::close) to see them.
pub struct Pool<R> {
    /// Before the core, so that a companion's drop comes before the pool's end.
    pub(crate) companions: Companions,
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
        Self { companions: Companions::default(), core, root: PhantomData }
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
        self.core.sync()
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

    /// Does at once what the growth thread of a pool on a file does beside: for the crash harness, whose medium has no
    /// threads.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    #[cfg(feature = "sim")]
    pub fn grow_ahead(&self) -> Result<()> {
        self.core.check_usable()?;
        self.core.make_ready_beyond()
    }

    /// Id of the last committed transaction. Ids are consecutive over the pool's whole life.
    #[must_use]
    pub fn last_committed(&self) -> u64 {
        self.core.last_txid()
    }

    /// What makes this pool's transactions durable: what was detected when it was opened, or forced.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.core.media.domain()
    }

    /// Drops the pool's [companions](crate::Companion), makes everything durable and closes the pool, so that the next
    /// open has nothing to recover.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync). The pool is closed in any case; the next open recovers.
    pub fn close(self) -> Result<()> {
        drop(self.companions);
        self.core.close()
    }
}

/// A pool that was opened without the right to write: it can only be read, so writing does not compile.
pub struct ReadOnlyPool<R> {
    /// Before the core, so that a companion's drop comes before the pool's end.
    pub(crate) companions: Companions,
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
        Self { companions: Companions::default(), core, root: PhantomData }
    }

    /// Id of the last committed transaction that this view shows.
    #[must_use]
    pub fn last_committed(&self) -> u64 {
        self.core.last_txid()
    }
}
