//! From a key to the lock of its part, while the row and the parts change.

use super::{Entry, Order, OrderedTable, Part, Probe};
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
    Held(Held<G>),
    Busy(LockPlace),
}

/// A part under its lock.
pub(super) struct Held<G> {
    pub(super) part: G,
    /// Where the heads of its keys begin; does not change while it is locked.
    pub(super) skip: usize,
    /// How many others there were when it was found.
    pub(super) others: usize,
}

pub(super) type Changing<'a, 'p> = Held<PRwLockWriteGuard<'a, 'p, Part<'p>>>;

impl<'p, O: Order> OrderedTable<'p, O> {
    /// The part of a key, for looking at it.
    #[inline]
    pub(super) fn look_at<'a>(
        &'a self,
        key: &[u8],
        tx: &'a Tx<'p>,
    ) -> Result<Held<PRwLockReadGuard<'a, 'p, Part<'p>>>> {
        self.lock(key, tx)
    }

    /// The part of a key, for changing it.
    #[inline]
    pub(super) fn change<'a>(&'a self, key: &[u8], tx: &'a Tx<'p>) -> Result<Changing<'a, 'p>> {
        self.lock(key, tx)
    }

    #[inline]
    fn lock<'a, G: Locks<'a, 'p>>(&'a self, key: &[u8], tx: &'a Tx<'p>) -> Result<Held<G>> {
        let probe = Probe::new::<O>(key);
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
                Ok::<_, Error>(match held {
                    Some(part) => {
                        let skip = entry.map_or(0, |(_, entry)| Entry::skip(entry));
                        Step::Held(Held { part, skip, others: row.len() })
                    }
                    None => Step::Busy(place()),
                })
            });
            if let Some(place) = waited.take() {
                // Without effect on a lock that is held now.
                place.let_go(tx);
            }
            match found?.transpose()? {
                Some(Step::Held(held)) => return Ok(held),
                Some(Step::Busy(place)) => {
                    G::wait(place, tx)?;
                    waited = Some(place);
                }
                None => {}
            }
        }
    }
}
