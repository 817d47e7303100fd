//! Freeing what nothing reaches.

use super::TxCore;
use crate::ground::error::{Error, Result};
use crate::layout::Persistent;
use crate::layout::shared::COUNTS_LEN;
use crate::pool::survey;

/// What [`Pool::collect`](crate::Pool::collect) found and freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// Blocks that nothing reached.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Shared values whose counts of pointers were too high.
    pub corrected_counts: u64,
}

impl TxCore {
    /// Frees what nothing reaches, in this transaction, which has done nothing so far.
    pub(crate) fn collect<R: Persistent>(&self) -> Result<Collected> {
        let (image, threads) = (&self.pool().image, self.pool().threads);
        let survey = self.with(|_, owner| survey::<R>(&owner.heap, image, threads));
        let survey = survey.unwrap_or(Err(Error::Nested))?;
        for correction in &survey.corrections {
            self.log(correction.addr, COUNTS_LEN);
            let offset = correction.addr.wrapping_sub(image.base());
            image.store_u64(offset, correction.strong);
            image.store_u64(offset + 8, correction.weak);
        }
        survey.garbage.iter().for_each(|addr| self.free(*addr));
        Ok(Collected {
            blocks: survey.garbage.len() as u64,
            bytes: survey.bytes,
            corrected_counts: survey.corrections.len() as u64,
        })
    }
}
