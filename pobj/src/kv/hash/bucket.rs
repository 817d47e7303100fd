//! A bucket of the hash engine: nine records in two cache lines, and a run for more.
//!
//! ```text
//!   0  tags   9 x u32, halves of the keys' hashes
//!  36  zero   u32
//!  40  pairs  9 x address of a pair, 0 where there is none
//! 112  more   address and count of a run; each: address of a pair, u32 tag, u32 zero
//! ```
//!
//! - **B1** The places of a bucket are used from the front; the run has records only if all places are used.

use crate::collections::pages::Pages;
use crate::ground::error::Result;
use crate::layout::{View, Visit};
use crate::tx::Tx;
use crate::typed::{PBuf, Pair, persistent_struct};

/// Places in the bucket itself: with the run's two words it has 128 bytes.
pub(super) const PLACES: usize = 9;

/// A record beyond those that have a place in the bucket.
#[repr(C)]
pub(super) struct More<'p> {
    pub(super) pair: Pair<'p>,
    pub(super) tag: u32,
    pub(super) zero: u32,
}

static_assertions::assert_eq_size!(More<'static>, [u64; 2]);

persistent_struct! {
    impl['p] More['p] called "KvMore"[];
    at<'q> = More<'q>;
    fields { pair: Pair<'p>, tag: u32, zero: u32 }
    check = |view: View<'_>, visit: &mut Visit<'_>| Pair::validate(view.field(0, 8)?, visit);
}

/// Records whose hashes end alike.
#[repr(C)]
#[derive(Default)]
pub(super) struct Bucket<'p> {
    pub(super) tags: [u32; PLACES],
    zero: u32,
    pub(super) pairs: [Option<Pair<'p>>; PLACES],
    pub(super) more: PBuf<'p, More<'p>>,
}

static_assertions::assert_eq_size!(Bucket<'static>, [u64; 16]);
static_assertions::const_assert_eq!(std::mem::offset_of!(Bucket<'static>, pairs), PAIRS);
static_assertions::const_assert_eq!(std::mem::offset_of!(Bucket<'static>, more), MORE);

/// Where the parts of a bucket lie, for its check.
pub(super) const PAIRS: usize = 40;
pub(super) const MORE: usize = 112;

persistent_struct! {
    impl['p] Bucket['p] called "KvBucket"[];
    at<'q> = Bucket<'q>;
    fields { tags: [u32; PLACES], zero: u32, pairs: [Option<Pair<'p>>; PLACES], more: PBuf<'p, More<'p>> }
    check = |view: View<'_>, visit: &mut Visit<'_>| {
        Self::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
    };
}

pub(super) type Buckets<'p> = Pages<'p, Bucket<'p>>;

impl<'p> Bucket<'p> {
    /// All records.
    #[inline]
    pub(super) fn pairs(&self) -> impl Iterator<Item = &Pair<'p>> {
        self.pairs.iter().map_while(Option::as_ref).chain(self.more.as_slice().iter().map(|more| &more.pair))
    }

    /// The place of the record of `key`: one of the bucket's, or in its run behind those.
    #[inline]
    pub(super) fn find(&self, tag: u32, key: &[u8]) -> Option<usize> {
        // All tags are compared, without a branch: guessing which one it is would be wrong most of the time.
        let mut matches = 0;
        for (place, &known) in self.tags.iter().enumerate() {
            matches |= u32::from(known == tag) << place;
        }
        while matches != 0 {
            let place = matches.trailing_zeros() as usize;
            if let Some(pair) = &self.pairs[place] {
                // A short value lies in the second line, which the comparison does not need.
                pair.expect();
                if pair.key() == key {
                    return Some(place);
                }
            }
            matches &= matches - 1;
        }
        if self.more.len() == 0 {
            return None;
        }
        let found = self.more.as_slice().iter().position(|more| more.tag == tag && more.pair.key() == key);
        found.map(|place| PLACES + place)
    }

    /// The record at a place.
    #[inline]
    pub(super) fn pair(&self, place: usize) -> Option<&Pair<'p>> {
        match self.pairs.get(place) {
            Some(pair) => pair.as_ref(),
            None => self.more.as_slice().get(place - PLACES).map(|more| &more.pair),
        }
    }

    /// As [`pair`](Self::pair), for changing what the bucket holds there.
    pub(super) fn pair_mut(&mut self, place: usize, tx: &Tx<'p>) -> Option<&mut Pair<'p>> {
        match self.pairs.get_mut(place) {
            Some(pair) => pair.as_mut(),
            None => self.more.get_mut(place - PLACES, tx).map(|more| &mut more.pair),
        }
    }

    /// The first place of the bucket's own that is free.
    #[inline]
    pub(super) fn free(&self) -> Option<usize> {
        self.pairs.iter().position(Option::is_none)
    }

    /// Adds a record. On an error nothing has changed.
    pub(super) fn add(&mut self, tx: &Tx<'p>, tag: u32, pair: Pair<'p>) -> Result<()> {
        match self.free() {
            Some(free) => {
                (self.tags[free], self.pairs[free]) = (tag, Some(pair));
                Ok(())
            }
            None => self.more.push(tx, More { pair, tag, zero: 0 }),
        }
    }

    /// Removes the record at a place; the last one takes it (B1).
    pub(super) fn remove(&mut self, place: usize, tx: &Tx<'p>) -> Option<Pair<'p>> {
        if place >= PLACES {
            let removed = self.more.swap_remove(place - PLACES, tx);
            self.give_back();
            return removed.map(|more| more.pair);
        }
        let last = match self.more.pop() {
            Some(More { pair, tag, .. }) => {
                self.give_back();
                Some((tag, pair))
            }
            None => self.pairs.iter().rposition(Option::is_some).and_then(|last| self.take(last)),
        };
        let (tag, pair) = last?;
        if self.pairs[place].is_none() {
            // It was the last one itself.
            return Some(pair);
        }
        self.tags[place] = tag;
        self.pairs[place].replace(pair)
    }

    /// Takes the record at one of the bucket's own places.
    fn take(&mut self, place: usize) -> Option<(u32, Pair<'p>)> {
        let tag = std::mem::take(&mut self.tags[place]);
        Some((tag, self.pairs[place].take()?))
    }

    /// Gives the block of an empty run back.
    fn give_back(&mut self) {
        if self.more.len() == 0 {
            self.more = PBuf::new();
        }
    }

    /// Takes all records for which `leaves` says so, and gives them to `to`, which has room for them. Those that stay close up
    /// (B1); none of it takes memory.
    pub(super) fn divide(
        &mut self,
        tx: &Tx<'p>,
        leaves: impl Fn(u32) -> bool,
        mut to: impl FnMut(u32, Pair<'p>) -> Result<()>,
    ) -> Result<()> {
        let mut stay = 0;
        for place in 0..PLACES {
            let Some((tag, pair)) = self.take(place) else { break };
            if leaves(tag) {
                to(tag, pair)?;
            } else {
                (self.tags[stay], self.pairs[stay]) = (tag, Some(pair));
                stay += 1;
            }
        }
        // From the end, so that the one that takes a place in the run has been asked about.
        for place in (0..self.more.len()).rev() {
            let Some(more) = self.more.as_slice().get(place) else { break };
            let leaves = leaves(more.tag);
            if (leaves || stay < PLACES)
                && let Some(More { pair, tag, .. }) = self.more.swap_remove(place, tx)
            {
                if leaves {
                    to(tag, pair)?;
                } else {
                    (self.tags[stay], self.pairs[stay]) = (tag, Some(pair));
                    stay += 1;
                }
            }
        }
        self.give_back();
        Ok(())
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_bucket: Bucket<'static>, "Key-value stores" 3, [tags, zero, pairs, more]);
