//! The check that a transaction has changed nothing but what it has logged ([`Options::check_unlogged`]).
//!
//! [`Options::check_unlogged`]: crate::Options::check_unlogged

use super::{Fresh, TxCore, Work};
use crate::ground::error::{Error, Result};
use crate::heap::Around;
use crate::pool::Owner;

impl TxCore {
    /// To be called when a transaction that has the pool alone is about to be ordered. An error if bytes of the image
    /// have changed that neither it nor an earlier one has logged; they are put back.
    pub(super) fn check_unlogged(&self, work: &Work, owner: &mut Owner) -> Result<()> {
        let Some(shadow) = &self.pool().shadow else { return Ok(()) };
        let image = &self.pool().image;
        let mut logged: Vec<(u64, u64)> = work.ranges.spans().collect();
        logged.extend(work.fresh.iter().map(Fresh::span));
        logged.sort_unstable();
        // From here on the end of each is that of all up to it, so that one look tells.
        let mut reach = 0;
        logged.iter_mut().for_each(|(_, end)| {
            reach = reach.max(*end);
            *end = reach;
        });
        let is_logged = |offset: u64| {
            let behind = logged.partition_point(|(start, _)| *start <= offset);
            behind > 0 && offset < logged[behind - 1].1
        };
        let mut unlogged = Vec::new();
        for (offset, before) in shadow.differences(image, owner.heap.start()) {
            let allowed = is_logged(offset)
                || match owner.heap.around(image, offset) {
                    Around::Free => true,
                    // The allocator has cleared it.
                    Around::New { .. } => image.load_u64(offset) == 0,
                    Around::Committed { .. } | Around::Metadata => false,
                };
            if !allowed {
                unlogged.push((offset, before));
            }
        }
        let Some(&(offset, _)) = unlogged.first() else { return Ok(()) };
        let addr = image.base() + offset;
        let block = match owner.heap.around(image, offset) {
            Around::Metadata => "the heap's metadata".to_owned(),
            Around::Free => "free space".to_owned(),
            Around::New { len } => format!("a block of {len} bytes that is new in this transaction"),
            Around::Committed { len } => format!("a block of {len} bytes"),
        };
        let place = match (shadow.describe)(&owner.heap, image, addr) {
            Some(values) => format!("{values}, in {block}"),
            None => block,
        };
        for &(offset, before) in &unlogged {
            image.store_u64(offset, before);
        }
        Err(Error::Unlogged { addr, offset, words: unlogged.len() as u64, place })
    }

    /// The ranges and new blocks of this transaction are as they are to be: it is ordered, or rolled back.
    pub(super) fn settle_unlogged(&self, work: &Work) {
        let Some(shadow) = &self.pool().shadow else { return };
        let image = &self.pool().image;
        let blocks = work.taken.iter().map(Fresh::span);
        let changes = work.changes.iter().map(|change| {
            let (offset, len) = change.range();
            (offset, offset + len)
        });
        work.ranges.spans().chain(blocks).chain(changes).for_each(|(start, end)| {
            shadow.follow(image, start, end - start);
        });
    }
}
