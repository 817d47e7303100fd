//! The locks that transactions hold on places of the pool while they run at once.
//!
//! A lock is a word of the image by its address, and an entry in a table in ordinary memory. Nothing of it is in the
//! file, so there is nothing to reset at open and nothing to trust. A lock that nobody holds has no entry. The table is
//! cut into shards with a mutex each; taking a free lock is one of them, held for a look-up.
//!
//! Who must wait stands in the lock's queue, in the order of arrival. Who gives the lock back grants it to the first in
//! the queue and to those behind that fit, so no newcomer overtakes. The exception is one who holds the lock shared and
//! asks for it alone: it goes before all who hold nothing.
//!
//! **Deadlocks.** *A waits for B* if B holds the lock in whose queue A stands: either A must wait for B itself, or for one
//! before it in the queue who must. Such a relation comes into being only when somebody joins a queue, or is granted a lock
//! that others wait for, who had to wait for its former holders and for this one; and a lock with a queue is granted to
//! nobody else. Joining happens under one mutex, `waits`. So who joins last in a circle sees the whole circle, and is
//! refused. A look at the circle takes the shards one by one, which is enough: the parties in a circle do not move.
//!
//! Order of mutexes: `waits`, then a shard, then a signal.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use crate::ground::sync::{Alone, Condvar, Mutex, MutexGuard, lock, wait};
use crate::ground::word_hash::WordMap;

/// Shards of the table, a power of two.
#[cfg(not(all(loom, test)))]
const SHARDS: usize = 64;
#[cfg(all(loom, test))]
const SHARDS: usize = 1;

/// A transaction, as the table knows it: the number of its thread, which runs one of them on a pool at a time.
pub(crate) type Party = u32;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Beside others.
    Shared,
    /// Alone.
    Exclusive,
}

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Until it is there.
    Endless,
    /// Not at all.
    None,
    /// Until then.
    Until(Instant),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The party holds the lock.
    Granted,
    /// Another one holds it, and patience is at its end.
    Busy,
    /// To wait would be to wait for oneself.
    Deadlock,
}

/// Wakes one who waits.
#[derive(Debug, Default)]
struct Signal {
    granted: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn grant(&self) {
        *lock(&self.granted) = true;
        self.changed.notify_one();
    }

    /// Sleeps until granted, or until patience ends.
    fn wait(&self, patience: Patience) -> bool {
        let mut granted = lock(&self.granted);
        while !*granted {
            granted = match patience {
                Patience::None => return false,
                Patience::Endless => wait(&self.changed, granted),
                Patience::Until(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    match self.changed.wait_timeout(granted, left) {
                        Ok((granted, _)) => granted,
                        Err(broken) => broken.into_inner().0,
                    }
                }
            };
        }
        true
    }
}

#[derive(Debug)]
struct Waiting {
    party: Party,
    claim: Claim,
    signal: Arc<Signal>,
}

/// A lock that somebody holds.
#[derive(Debug)]
struct Held {
    claim: Claim,
    /// Most locks have one holder; the others are in `more`.
    first: Party,
    more: Vec<Party>,
    queue: VecDeque<Waiting>,
}

impl Held {
    fn new(party: Party, claim: Claim) -> Self {
        Self { claim, first: party, more: Vec::new(), queue: VecDeque::new() }
    }

    fn holders(&self) -> impl Iterator<Item = Party> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    fn is_held_by(&self, party: Party) -> bool {
        self.holders().any(|holder| holder == party)
    }

    /// Adds a holder beside those that are there, or makes the one that is there the only one.
    fn try_add(&mut self, party: Party, claim: Claim) -> bool {
        if self.is_held_by(party) {
            if claim == Claim::Exclusive && self.more.is_empty() {
                self.claim = claim;
            }
            return claim == Claim::Shared || self.claim == Claim::Exclusive;
        }
        let fits = claim == Claim::Shared && self.claim == Claim::Shared;
        if fits {
            self.more.push(party);
        }
        fits
    }

    /// False if nobody is left.
    fn remove(&mut self, party: Party) -> bool {
        if let Some(at) = self.more.iter().position(|holder| *holder == party) {
            self.more.swap_remove(at);
        } else if self.first == party {
            match self.more.pop() {
                Some(other) => self.first = other,
                None => return false,
            }
        }
        true
    }

    fn enqueue(&mut self, waiting: Waiting) {
        let holds = self.is_held_by(waiting.party);
        let at = if holds {
            self.queue.iter().take_while(|other| self.is_held_by(other.party)).count()
        } else {
            self.queue.len()
        };
        self.queue.insert(at, waiting);
    }

    /// Grants the lock to the first in the queue, as long as they fit.
    fn grant(&mut self) {
        while let Some(next) = self.queue.front() {
            let (party, claim) = (next.party, next.claim);
            if !self.try_add(party, claim) {
                break;
            }
            if let Some(next) = self.queue.pop_front() {
                next.signal.grant();
            }
        }
    }
}

type Shard = WordMap<Held>;

/// All locks of a pool.
#[derive(Debug)]
pub(crate) struct LockTable {
    shards: Box<[Alone<Mutex<Shard>>]>,
    /// Who waits, and for which lock.
    waits: Mutex<WordMap<u64>>,
}

impl Default for LockTable {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Alone(Mutex::new(Shard::default()))).collect();
        Self { shards, waits: Mutex::new(WordMap::default()) }
    }
}

impl LockTable {
    #[inline]
    fn shard(&self, addr: u64) -> MutexGuard<'_, Shard> {
        let spread = (addr >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        lock(&self.shards[spread as usize % SHARDS].0)
    }

    /// Takes the lock at `addr` for `party`, or makes a shared one that it holds its own alone.
    #[inline]
    pub(crate) fn acquire(&self, addr: u64, claim: Claim, party: Party, patience: Patience) -> Outcome {
        if Self::try_grant(&mut self.shard(addr), addr, claim, party) {
            return Outcome::Granted;
        }
        match patience {
            Patience::None => Outcome::Busy,
            Patience::Endless | Patience::Until(_) => self.wait(addr, claim, party, patience),
        }
    }

    #[inline]
    fn try_grant(shard: &mut Shard, addr: u64, claim: Claim, party: Party) -> bool {
        match shard.entry(addr) {
            Entry::Vacant(free) => {
                free.insert(Held::new(party, claim));
                true
            }
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                // A newcomer stays behind those who wait.
                (held.queue.is_empty() || held.is_held_by(party)) && held.try_add(party, claim)
            }
        }
    }

    #[cold]
    fn wait(&self, addr: u64, claim: Claim, party: Party, patience: Patience) -> Outcome {
        let signal = Arc::new(Signal::default());
        let mut waits = lock(&self.waits);
        {
            let mut shard = self.shard(addr);
            if Self::try_grant(&mut shard, addr, claim, party) {
                return Outcome::Granted;
            }
            if let Some(held) = shard.get_mut(&addr) {
                held.enqueue(Waiting { party, claim, signal: Arc::clone(&signal) });
            }
        }
        waits.insert(u64::from(party), addr);
        if self.closes_circle(&waits, party) && self.withdraw(addr, party) {
            waits.remove(&u64::from(party));
            return Outcome::Deadlock;
        }
        drop(waits);
        // Who is no longer in the queue when patience ends has been granted the lock.
        let granted = signal.wait(patience) || !self.withdraw(addr, party);
        lock(&self.waits).remove(&u64::from(party));
        if granted { Outcome::Granted } else { Outcome::Busy }
    }

    /// Whether `party`, which has joined a queue, waits for itself.
    fn closes_circle(&self, waits: &WordMap<u64>, party: Party) -> bool {
        let mut seen = vec![party];
        let mut next = 0;
        while let Some(&one) = seen.get(next) {
            next += 1;
            let Some(&addr) = waits.get(&u64::from(one)) else { continue };
            let shard = self.shard(addr);
            let Some(held) = shard.get(&addr) else { continue };
            // Who has been granted its lock meanwhile waits for nobody.
            if !held.queue.iter().any(|waiting| waiting.party == one) {
                continue;
            }
            for other in held.holders().filter(|other| *other != one) {
                if other == party {
                    return true;
                }
                if !seen.contains(&other) {
                    seen.push(other);
                }
            }
        }
        false
    }

    /// Leaves the queue. False if `party` was not in it any more.
    fn withdraw(&self, addr: u64, party: Party) -> bool {
        let mut shard = self.shard(addr);
        let Some(held) = shard.get_mut(&addr) else { return false };
        let Some(place) = held.queue.iter().position(|waiting| waiting.party == party) else { return false };
        held.queue.remove(place);
        // Others may have waited for nothing but this one.
        held.grant();
        true
    }

    /// Gives the lock at `addr` back.
    #[inline]
    pub(crate) fn release(&self, addr: u64, party: Party) {
        let mut shard = self.shard(addr);
        let Entry::Occupied(mut entry) = shard.entry(addr) else { return };
        let held = entry.get_mut();
        if held.remove(party) {
            return held.grant();
        }
        match held.queue.pop_front() {
            None => {
                entry.remove();
            }
            Some(Waiting { party, claim, signal }) => {
                (held.first, held.claim) = (party, claim);
                signal.grant();
                held.grant();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Claim::{Exclusive, Shared};
    use super::Outcome::{Busy, Deadlock, Granted};
    use super::*;

    const A: u64 = 0x1000;
    const B: u64 = 0x2008;

    fn now(table: &LockTable, addr: u64, claim: Claim, party: Party) -> Outcome {
        table.acquire(addr, claim, party, Patience::None)
    }

    fn is_empty(table: &LockTable) -> bool {
        lock(&table.waits).is_empty() && table.shards.iter().all(|shard| lock(&shard.0).is_empty())
    }

    /// Waits until so many stand in the queue.
    fn await_queue(table: &LockTable, addr: u64, len: usize) {
        while table.shard(addr).get(&addr).map_or(0, |held| held.queue.len()) != len {
            std::thread::yield_now();
        }
    }

    #[test]
    fn shared_holders_stand_beside_each_other_and_an_exclusive_one_alone() {
        let table = LockTable::default();
        assert_eq!(now(&table, A, Shared, 1), Granted);
        assert_eq!(now(&table, A, Shared, 2), Granted);
        assert_eq!(now(&table, A, Exclusive, 3), Busy);
        assert_eq!(now(&table, A, Exclusive, 1), Busy, "another one holds it too");
        table.release(A, 2);
        assert_eq!(now(&table, A, Exclusive, 1), Granted);
        assert_eq!(now(&table, A, Shared, 1), Granted, "what it holds alone it holds shared");
        assert_eq!(now(&table, A, Shared, 2), Busy);
        assert_eq!(now(&table, B, Exclusive, 2), Granted);
        table.release(A, 1);
        table.release(B, 2);
        assert!(is_empty(&table));
    }

    #[test]
    fn those_who_wait_are_granted_in_their_order() {
        let table = LockTable::default();
        assert_eq!(now(&table, A, Exclusive, 1), Granted);
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (party, claim) in [(2, Exclusive), (3, Shared), (4, Shared), (5, Exclusive)] {
                let (table, order) = (&table, &order);
                scope.spawn(move || {
                    assert_eq!(table.acquire(A, claim, party, Patience::Endless), Granted);
                    lock(order).push(party);
                    std::thread::sleep(Duration::from_millis(2));
                    table.release(A, party);
                });
                await_queue(table, A, party as usize - 1);
            }
            assert_eq!(now(&table, A, Shared, 9), Busy);
            table.release(A, 1);
        });
        let mut order = order.into_inner().unwrap();
        order[1..3].sort_unstable();
        assert_eq!(order, [2, 3, 4, 5]);
        assert!(is_empty(&table));
    }

    /// Two parties, two locks, taken crosswise: the second one is refused, and the first goes on.
    #[test]
    fn who_closes_a_circle_is_refused() {
        let table = LockTable::default();
        assert_eq!(now(&table, A, Exclusive, 1), Granted);
        assert_eq!(now(&table, B, Exclusive, 2), Granted);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| table.acquire(B, Shared, 1, Patience::Endless));
            await_queue(&table, B, 1);
            assert_eq!(table.acquire(A, Shared, 2, Patience::Endless), Deadlock);
            table.release(B, 2);
            assert_eq!(first.join().unwrap(), Granted);
        });
        table.release(A, 1);
        table.release(B, 1);
        assert!(is_empty(&table));
    }

    /// A reader that stands behind a waiting writer waits for the readers before it. Catches a search that thinks that readers
    /// never wait for each other.
    #[test]
    fn a_circle_through_a_queue_is_seen() {
        let table = LockTable::default();
        assert_eq!(now(&table, A, Shared, 1), Granted);
        assert_eq!(now(&table, B, Exclusive, 3), Granted);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| table.acquire(A, Exclusive, 2, Patience::Endless));
            await_queue(&table, A, 1);
            let reader = scope.spawn(|| table.acquire(A, Shared, 3, Patience::Endless));
            await_queue(&table, A, 2);
            assert_eq!(table.acquire(B, Shared, 1, Patience::Endless), Deadlock);
            table.release(A, 1);
            assert_eq!(writer.join().unwrap(), Granted);
            table.release(A, 2);
            assert_eq!(reader.join().unwrap(), Granted);
        });
        table.release(A, 3);
        table.release(B, 3);
        assert!(is_empty(&table));
    }

    #[test]
    fn the_second_who_wants_more_is_refused() {
        let table = LockTable::default();
        assert_eq!(now(&table, A, Shared, 1), Granted);
        assert_eq!(now(&table, A, Shared, 2), Granted);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| table.acquire(A, Exclusive, 1, Patience::Endless));
            await_queue(&table, A, 1);
            assert_eq!(table.acquire(A, Exclusive, 2, Patience::Endless), Deadlock);
            table.release(A, 2);
            assert_eq!(first.join().unwrap(), Granted);
        });
        table.release(A, 1);
        assert!(is_empty(&table));
    }

    /// Catches a queue that stays blocked by one who has left it.
    #[test]
    fn who_gives_up_blocks_nobody() {
        let table = LockTable::default();
        assert_eq!(now(&table, A, Shared, 1), Granted);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let soon = Patience::Until(Instant::now() + Duration::from_millis(50));
                table.acquire(A, Exclusive, 2, soon)
            });
            await_queue(&table, A, 1);
            assert_eq!(table.acquire(A, Shared, 3, Patience::Endless), Granted);
            assert_eq!(writer.join().unwrap(), Busy);
        });
        table.release(A, 1);
        table.release(A, 3);
        assert!(is_empty(&table));
    }
}
