//! The records that a run has written, and which of them recovery would go by.

use std::collections::HashMap;

use super::Waiting;
use super::format::{LINE, WORD, word_at};

const HEADER_LEN: u64 = 40;

/// The numbers of records' kinds.
mod kind {
    pub(super) const SPILL: u64 = 2;
    pub(super) const UNDO: u64 = 3;
    pub(super) const EXTENT: u64 = 4;
    pub(super) const COMMIT: u64 = 5;
    pub(super) const COMMIT_SPILL: u64 = 6;
}

/// A record, without what it says.
#[derive(Clone, Copy, Debug)]
struct Record {
    txid: u64,
    kind: u64,
    offset: u64,
    len: u64,
    /// Where its body is if it is elsewhere: offset and length.
    outside: Option<(u64, u64)>,
    durable: bool,
    /// Recovery would not look at it any more.
    retired: bool,
}

impl Record {
    fn commits(&self) -> bool {
        ![kind::UNDO, kind::EXTENT].contains(&self.kind)
    }

    fn is_durable(&self, waiting: &HashMap<u64, Waiting>) -> bool {
        let is_waiting = |(offset, len): (u64, u64)| {
            (offset / WORD..(offset + len).div_ceil(WORD)).any(|word| waiting.contains_key(&word))
        };
        self.durable || !(is_waiting((self.offset, self.len)) || self.outside.is_some_and(is_waiting))
    }
}

/// What was found about records that were written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    /// One of them commits what was stored in place.
    pub(super) commits_in_place: bool,
    /// One of them says that earlier ones are durable, and one of these is not.
    pub(super) vouches_in_vain: bool,
}

/// All records of a run.
#[derive(Debug, Default)]
pub(super) struct Journal {
    records: Vec<Record>,
    /// For each place the records that name it, and their words, in order.
    words: HashMap<u64, Vec<(usize, u64)>>,
    /// Records before this one are durable and retired.
    first: usize,
    /// States of the ring that are not yet durable: where, epoch, transaction.
    states: Vec<(u64, u64, u64)>,
    in_place: bool,
    epoch: u64,
    /// The last transaction that is committed durably.
    committed: u64,
}

impl Journal {
    /// The ring's state was written. Gives the first transaction whose record stays.
    pub(super) fn note_state(&mut self, offset: u64, bytes: &[u8]) -> u64 {
        let (epoch, txid) = (word_at(bytes, 16), word_at(bytes, 32));
        self.states.push((offset, epoch, txid));
        txid + 1
    }

    /// Whether records of the kinds that are made in place were seen.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place
    }

    /// Something was written where records are; `view` is what a reader sees now.
    pub(super) fn note_records(
        &mut self,
        pool_id: u64,
        offset: u64,
        bytes: &[u8],
        view: &[u8],
        waiting: &HashMap<u64, Waiting>,
    ) -> Noted {
        let (mut at, mut noted) = (0, Noted::default());
        let earlier = self.records.len();
        while at + HEADER_LEN <= bytes.len() as u64 {
            let (len_and_kind, id) = (word_at(bytes, at + 32), word_at(bytes, at + 24));
            let (len, kind) = (len_and_kind & 0xFFFF_FFFF, len_and_kind >> 32);
            if id != pool_id || len < HEADER_LEN || at + len > bytes.len() as u64 {
                at += LINE;
                continue;
            }
            let body = &bytes[(at + HEADER_LEN) as usize..(at + len) as usize];
            self.in_place |= kind >= kind::UNDO;
            noted.commits_in_place |= kind >= kind::COMMIT;
            let (horizon, in_place) = (word_at(bytes, at + 16), kind >= kind::UNDO);
            let vouched = |record: &&Record| in_place || record.txid <= horizon;
            let mut vouched = self.records[self.first..earlier].iter().filter(vouched);
            noted.vouches_in_vain |= vouched.any(|record| !record.is_durable(waiting));
            let outside = [kind::SPILL, kind::COMMIT_SPILL].contains(&kind);
            let outside = outside.then(|| (word_at(body, 0), word_at(body, 8)));
            let record = Record {
                txid: word_at(bytes, at + 8),
                kind,
                offset: offset + at,
                len,
                outside,
                durable: false,
                retired: false,
            };
            match outside {
                Some((from, len)) => self.note(record, &view[from as usize..(from + len) as usize]),
                None if kind == kind::EXTENT => self.note(record, &[]),
                None => self.note(record, body),
            }
            at += len.next_multiple_of(LINE);
        }
        noted
    }

    fn note(&mut self, record: Record, body: &[u8]) {
        let index = self.records.len();
        self.records.push(record);
        let mut at = 0;
        while at < body.len() as u64 {
            let head = word_at(body, at);
            at += WORD;
            let (place, kind, count) = ((head & ((1 << 45) - 1)) * WORD, head >> 45 & 7, head >> 48);
            let count = if kind == 2 && count == 0 {
                at += WORD;
                word_at(body, at - WORD)
            } else {
                count
            };
            for word in 0..count {
                let value = if kind == 1 { word_at(body, at + word * WORD) } else { 0 };
                self.words.entry(place + word * WORD).or_default().push((index, value));
            }
            at += if kind == 1 { count * WORD } else { 0 };
        }
    }

    /// Something became durable.
    pub(super) fn settle(&mut self, waiting: &HashMap<u64, Waiting>) {
        for record in &mut self.records[self.first..] {
            record.durable = record.is_durable(waiting);
            if record.durable && record.commits() {
                self.committed = self.committed.max(record.txid);
            }
        }
        let durable =
            |offset: u64| (offset / WORD..offset / WORD + 8).all(|word| !waiting.contains_key(&word));
        let settled: Vec<_> = self.states.extract_if(.., |(offset, ..)| durable(*offset)).collect();
        for (_, epoch, txid) in settled {
            let reopened = std::mem::replace(&mut self.epoch, epoch) != epoch;
            self.committed = self.committed.max(txid);
            for record in &mut self.records[self.first..] {
                record.retired |= reopened || record.txid <= txid;
            }
        }
        let rest = &self.records[self.first..];
        self.first += rest.iter().take_while(|record| record.durable && record.retired).count();
    }

    fn live(&self, place: u64) -> impl DoubleEndedIterator<Item = (Record, u64)> {
        let named = self.words.get(&place).into_iter().flatten();
        named.map(|(index, value)| (self.records[*index], *value)).filter(|(record, _)| !record.retired)
    }

    /// Whether recovery would store this word here, by a record of a transaction from `first` on.
    pub(super) fn says_from(
        &self,
        first: u64,
        place: u64,
        value: u64,
        waiting: &HashMap<u64, Waiting>,
    ) -> bool {
        self.live(place).any(|(record, said)| {
            record.txid >= first && record.commits() && said == value && record.is_durable(waiting)
        })
    }

    /// What the newest durable commit that is still needed says of a place.
    pub(super) fn newest(&self, place: u64, waiting: &HashMap<u64, Waiting>) -> Option<u64> {
        let mut live = self.live(place).rev();
        live.find(|(record, _)| record.commits() && record.is_durable(waiting)).map(|(_, value)| value)
    }

    /// Whether recovery would put the old word of this place back.
    pub(super) fn has_old(&self, place: u64, waiting: &HashMap<u64, Waiting>) -> bool {
        self.live(place).any(|(record, _)| {
            record.kind == kind::UNDO && record.txid > self.committed && record.is_durable(waiting)
        })
    }

    /// The last transaction whose record is durable.
    pub(super) fn last_durable(&self) -> u64 {
        self.committed
    }
}
