//! Appending by many at once: a place in the ring first, the record in it afterwards.
//!
//! Transactions that run at once share the ring's end, one after another under a mutex. On persistent memory all that
//! needs it is to take the next id and the next place; encoding the record, its checksum and its way to the medium follow
//! outside, at the same time for several records. What others may conclude from the ring's end therefore is: up to here
//! the ring is spoken for. That a record *is* there is what [the chain of fences](super::chain) says, and the
//! checkpoint, the sync and each later committer wait for that. Recovery stops at the first record that is not whole, so
//! a power cut leaves a prefix as ever.
//!
//! Under that mutex lies all that is written there, on the mutex's own cache line. Where the ring ends is therefore told
//! to the rest of the journal when somebody asks ([`Appender::publish`]), when the ring is half full, when it is full, and
//! when somebody has the pool alone again.
//!
//! A place that is never filled would hold up everybody behind it. So whoever fails to fill it poisons the journal,
//! and [`Reserved`] does so when it is dropped unfilled.

use super::Durability;
use super::direct::Appender;
use super::record::{self, Header, Kind};
use super::ring::{Journal, Mode};
use crate::ground::error::Result;

/// A transaction that is ordered, whose record is perhaps still to be filled in.
#[derive(Debug)]
#[must_use = "what is not filled poisons the journal"]
pub(crate) struct Reserved<'j> {
    journal: &'j Journal,
    txid: u64,
    /// `None` once the record is there.
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    position: u64,
    /// Where that is in the ring.
    at: u64,
}

impl Journal {
    /// Orders one transaction, as [`append`](Self::append) does, and leaves its record to [`Reserved::fill`] if that can
    /// be done beside other appends. On an error nothing was ordered.
    pub(crate) fn reserve(
        &self,
        end: &mut Appender,
        body: &[u64],
        durability: Durability,
    ) -> Result<Reserved<'_>> {
        let total = record::padded_len(body.len());
        if self.mode != Mode::Direct || total > self.len / 2 {
            return Ok(Reserved { journal: self, txid: self.append(end, body, durability)?, place: None });
        }
        self.check_poison()?;
        let (position, lap) = self.find_place(end, total)?;
        let place = Place { position, at: position - lap };
        let txid = self.advance(end, position + total, lap);
        Ok(Reserved { journal: self, txid, place: Some(place) })
    }
}

impl Reserved<'_> {
    /// Id of the transaction.
    pub(crate) fn txid(&self) -> u64 {
        self.txid
    }

    /// Sends the record on its way, if it is not. `body` is what the place was taken for; `scratch` is memory to use.
    /// The thread that does this is the one to call [`Journal::wait_durable`].
    pub(crate) fn fill(mut self, scratch: &mut Vec<u64>, body: &[u64]) -> Result<()> {
        let Some(Place { position, at }) = self.place else { return Ok(()) };
        let journal = self.journal;
        let (len, horizon) = (record::HEADER_LEN + body.len() * 8, journal.foreground.horizon());
        let header = Header { txid: self.txid, horizon, len, kind: Kind::Body };
        record::encode(scratch, journal.salt, position, header, body);
        journal.media.write_ordered(journal.offset + at, bytemuck::cast_slice(scratch))?;
        self.place = None;
        Ok(())
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.journal.poison();
        }
    }
}
