//! What one transaction holds of the pool's locks, and which of them are borrowed by a guard right now.
//!
//! A *lock* lasts until the transaction ends; a *borrow* lasts as long as its guard, and keeps the same transaction from
//! having a `&mut` beside another reference to one value. (What is held only to look, or to wait, may go earlier: L5.) Where the transaction has the pool alone there are borrows only.
//! A guard that is forgotten leaves its borrow behind, for the rest of the transaction.

use crate::ground::word_hash::WordMap;
use crate::pool::locks::Claim;

/// So many are searched one by one before the index is used.
const LINEAR_MAX: usize = 16;
/// Memory for so many is kept for the next transaction.
const KEPT_MAX: usize = 1 << 12;

/// One place and how this transaction stands to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) addr: u64,
    /// In the pool's table. `None` where the transaction has the pool alone, and for a place outside the pool.
    pub(super) claim: Option<Claim>,
    /// Guards that only read; -1 for the one that changes.
    borrows: i32,
    /// The lock lasts to the end of the transaction. Without this, it goes with the last borrow.
    pub(super) kept: bool,
}

impl Held {
    pub(super) fn new(addr: u64) -> Self {
        Self { addr, claim: None, borrows: 0, kept: false }
    }

    /// Whether a guard of this kind may join those that are there.
    pub(super) fn is_free_for(&self, claim: Claim) -> bool {
        match claim {
            Claim::Shared => self.borrows >= 0,
            Claim::Exclusive => self.borrows == 0,
        }
    }

    /// Whether the lock may be given back before the transaction ends.
    pub(super) fn may_go(&self) -> bool {
        !self.kept && self.borrows == 0 && self.claim.is_some()
    }

    /// Whether the lock need not be asked for.
    pub(super) fn covers(&self, claim: Claim) -> bool {
        self.claim == Some(Claim::Exclusive) || self.claim == Some(claim)
    }

    pub(super) fn borrow(&mut self, claim: Claim) {
        match claim {
            Claim::Shared => self.borrows += 1,
            Claim::Exclusive => self.borrows = -1,
        }
    }

    pub(super) fn give_back(&mut self, claim: Claim) {
        match claim {
            Claim::Shared => self.borrows -= 1,
            Claim::Exclusive => self.borrows = 0,
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct HeldLocks {
    list: Vec<Held>,
    /// Place in the list, once there are more than a few.
    index: WordMap<usize>,
}

impl HeldLocks {
    #[inline]
    fn place(&self, addr: u64) -> Option<usize> {
        if self.list.len() <= LINEAR_MAX {
            return self.list.iter().rposition(|held| held.addr == addr);
        }
        self.index.get(&addr).copied()
    }

    #[inline]
    pub(super) fn get(&self, addr: u64) -> Option<Held> {
        self.place(addr).map(|place| self.list[place])
    }

    /// Notes how this transaction stands to a place now.
    #[inline]
    pub(super) fn set(&mut self, held: Held) {
        if let Some(place) = self.place(held.addr) {
            self.list[place] = held;
            return;
        }
        self.list.push(held);
        if self.list.len() > LINEAR_MAX {
            if self.index.is_empty() {
                self.index.extend(self.list.iter().enumerate().map(|(place, held)| (held.addr, place)));
            } else {
                self.index.insert(held.addr, self.list.len() - 1);
            }
        }
    }

    /// Ends a guard's borrow.
    #[inline]
    pub(super) fn give_back(&mut self, addr: u64, claim: Claim) {
        if let Some(place) = self.place(addr) {
            self.list[place].give_back(claim);
        }
    }

    /// Forgets everything. `release` gets each place whose lock is in the pool's table.
    #[inline]
    pub(super) fn clear(&mut self, release: impl Fn(u64)) {
        if self.list.is_empty() {
            return;
        }
        for held in self.list.drain(..) {
            if held.claim.is_some() {
                release(held.addr);
            }
        }
        if self.list.capacity() > KEPT_MAX {
            *self = Self::default();
        } else if !self.index.is_empty() {
            self.index.clear();
        }
    }
}
