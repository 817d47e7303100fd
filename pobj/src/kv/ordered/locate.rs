//! From a key to the lock of its part, while the row and the parts change.

use super::{Order, OrderedTable, Part, Probe};
use crate::ground::error::{Error, Result};
use crate::tx::Tx;
use crate::typed::{LockBox, LockPlace, PRwLock, PRwLockReadGuard, PRwLockWriteGuard};

/// A way to lock a part.
trait Locks<'a, 'p>: Sized {
    fn try_first(first: &'a PRwLock<'p, Part<'p>>, tx: &'a Tx<'p>) -> Result<Option<Self>>;
    fn try_other(other: &LockBox<'p, Part<'p>>, tx: &'a Tx<'p>) -> Result<Option<Self>>;
    fn wait(place: LockPlace, tx: &Tx<'p>) -> Result<()>;
}

impl<'a, 'p> Locks<'a, 'p> for PRwLockReadGuard<'a, 'p, Part<'p>> {
    fn try_first(first: &'a PRwLock<'p, Part<'p>>, tx: &'a Tx<'p>) -> Result<Option<Self>> {
        first.try_read(tx)
    }

    fn try_other(other: &LockBox<'p, Part<'p>>, tx: &'a Tx<'p>) -> Result<Option<Self>> {
        other.try_read(tx)
    }

    fn wait(place: LockPlace, tx: &Tx<'p>) -> Result<()> {
        place.wait_to_read(tx)
    }
}

impl<'a, 'p> Locks<'a, 'p> for PRwLockWriteGuard<'a, 'p, Part<'p>> {
    fn try_first(first: &'a PRwLock<'p, Part<'p>>, tx: &'a Tx<'p>) -> Result<Option<Self>> {
        first.try_write(tx)
    }

    fn try_other(other: &LockBox<'p, Part<'p>>, tx: &'a Tx<'p>) -> Result<Option<Self>> {
        other.try_write(tx)
    }

    fn wait(place: LockPlace, tx: &Tx<'p>) -> Result<()> {
        place.wait_to_write(tx)
    }
}

/// What a look at the row came to.
enum Step<G> {
    Held(G),
    Busy(LockPlace),
}

/// A part for changing, and how many others there were when it was found.
pub(super) struct Changing<'a, 'p> {
    pub(super) part: PRwLockWriteGuard<'a, 'p, Part<'p>>,
    pub(super) parts: usize,
}

impl<'p, O: Order> OrderedTable<'p, O> {
    /// The part of a key, for looking at it.
    #[inline]
    pub(super) fn look_at<'a>(
        &'a self,
        probe: Probe<'_>,
        tx: &'a Tx<'p>,
    ) -> Result<PRwLockReadGuard<'a, 'p, Part<'p>>> {
        self.lock(probe, tx).map(|(part, _)| part)
    }

    /// The part of a key, for changing it.
    #[inline]
    pub(super) fn change<'a>(&'a self, probe: Probe<'_>, tx: &'a Tx<'p>) -> Result<Changing<'a, 'p>> {
        self.lock(probe, tx).map(|(part, parts)| Changing { part, parts })
    }

    /// The part of a key, and the number of the others.
    #[inline]
    fn lock<'a, G: Locks<'a, 'p>>(&'a self, probe: Probe<'_>, tx: &'a Tx<'p>) -> Result<(G, usize)> {
        let mut waited: Option<LockPlace> = None;
        loop {
            // With a lock in hand that may be that of a part which is gone, it does not wait (OR2).
            let found = self.row.peek(tx, waited.is_none(), |row| {
                let entry = row.floor_by(|node| probe.search::<O, _>(node));
                let held = match entry {
                    Some((_, entry)) => G::try_other(&entry.part, tx)?,
                    None => G::try_first(&self.first, tx)?,
                };
                let place = || entry.map_or_else(|| self.first.place(), |(_, entry)| entry.part.place());
                let step = held.map_or_else(|| Step::Busy(place()), Step::Held);
                Ok::<_, Error>((step, row.len()))
            });
            if let Some(place) = waited.take() {
                // Without effect on a lock that is held now.
                place.let_go(tx);
            }
            match found?.transpose()? {
                Some((Step::Held(part), parts)) => return Ok((part, parts)),
                Some((Step::Busy(place), _)) => {
                    G::wait(place, tx)?;
                    waited = Some(place);
                }
                None => {}
            }
        }
    }
}
