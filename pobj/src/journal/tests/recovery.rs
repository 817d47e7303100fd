//! Journals made by hand, whole by their checksums and yet wrong, as only a forger or a bug makes them. Would catch a
//! place, a length or a nonce that is believed, old words that are put back although they are another transaction's, a
//! refusal that has changed home, and a difference between an open and a read-only one.

use super::super::record::{self, Body, Header, Kind, Salt};
use super::super::undo::Extent;
use super::super::{Place, format_state, recover_into_home, recover_into_image};
use super::*;
use crate::ground::checksum::checksum;
use crate::ground::error::Error;
use crate::layout::geometry::{HOME_TXID, SUPERBLOCK};

const SALT: Salt = Salt { pool_id: POOL, epoch: EPOCH };

/// A pool of 0xEE with an empty journal, to which records are appended.
struct Forger {
    memory: RamMedia,
    place: Place,
    /// Where the words are that records here change.
    home: u64,
    end: u64,
}

impl Forger {
    fn new(domain: Domain, ring_len: u64) -> Self {
        let geometry = geometry(ring_len);
        let memory = RamMedia::new(geometry.max_len).unwrap().with_domain(domain);
        memory.grow(geometry.max_len).unwrap();
        let home = geometry.heap_start;
        memory.write(home, &vec![0xEE; (geometry.max_len - home) as usize]).unwrap();
        format_state(&memory, POOL, EPOCH).unwrap();
        let ring = geometry.ring_offset..geometry.ring_offset + ring_len;
        let homes = [SUPERBLOCK..geometry.dir_offset + geometry.dir_len, home..geometry.max_len];
        Self { memory, place: Place { pool_id: POOL, ring, home: homes }, home, end: 0 }
    }

    /// The record as it lies at a position, where `salt` says.
    fn encode(salt: Salt, position: u64, kind: Kind, txid: u64, body: &[u64]) -> Vec<u64> {
        let header = Header { txid, horizon: 0, len: record::HEADER_LEN + body.len() * 8, kind };
        let mut words = Vec::new();
        record::encode(&mut words, salt, position, header, body);
        words
    }

    fn put(mut self, kind: Kind, txid: u64, body: &[u64]) -> Self {
        let words = Self::encode(SALT, self.end, kind, txid, body);
        let len = self.place.ring.end - self.place.ring.start;
        self.memory.write(self.place.ring.start + self.end % len, bytemuck::cast_slice(&words)).unwrap();
        self.end += words.len() as u64 * 8;
        self
    }

    /// As if the ring's head, and so the next record, were at this position.
    fn at(mut self, position: u64) -> Self {
        let mut state = super::super::RingState::new(EPOCH, position, 0);
        (0..2).for_each(|_| state.store(&self.memory, POOL).unwrap());
        self.end = position;
        self
    }

    /// Puts bytes behind the pool; gives where.
    fn behind(&self, bytes: &[u8]) -> u64 {
        let offset = self.memory.len().unwrap();
        self.memory.grow(offset + bytes.len() as u64).unwrap();
        self.memory.write(offset, bytes).unwrap();
        offset
    }

    /// The bytes from the heap's start on, and the number of transactions that were replayed. An open for reading must find
    /// the same, and one that is refused must have changed nothing.
    fn recover(&self) -> std::result::Result<(Vec<u8>, u64), String> {
        let max_len = self.place.home[1].end;
        let heap = self.home as usize..max_len as usize;
        let copy = self.memory.with_bytes(self.memory.bytes());
        let image = copy.image(Placement::Anywhere, max_len, max_len, ImageMode::Private).unwrap();
        let read_only = recover_into_image(&copy, &self.place, &image).map(|recovered| {
            let mut seen = vec![0; heap.len()];
            image.load(self.home, &mut seen);
            (seen, recovered.replayed)
        });
        assert!(copy.bytes() == self.memory.bytes(), "an open for reading wrote");
        drop(image);
        let opened = recover_into_home(&copy, &self.place, 9);
        let opened = opened.map(|recovered| (copy.bytes()[heap.clone()].to_vec(), recovered.replayed));
        if opened.is_err() {
            assert!(copy.bytes() == self.memory.bytes(), "a refused open wrote");
        } else {
            let again = recover_into_home(&copy, &self.place, 10).unwrap();
            assert_eq!(again.replayed, 0, "what was replayed is found again");
        }
        match (opened, read_only) {
            (Ok(opened), Ok(read_only)) => {
                assert!(opened == read_only, "{} and {} transactions", opened.1, read_only.1);
                Ok(opened)
            }
            (Err(Error::Corrupt { what, .. }), Err(Error::Corrupt { what: other, .. })) => {
                assert_eq!(what, other);
                Err(what)
            }
            other => panic!("{other:?}"),
        }
    }

    fn assert_refused(&self, expected: &str) {
        match self.recover() {
            Err(what) => assert!(what.contains(expected), "{what}, not {expected}"),
            Ok((_, replayed)) => panic!("{replayed} transactions, not {expected}"),
        }
    }

    /// The words from home's start on.
    fn words(&self, count: usize) -> Vec<u64> {
        let (bytes, _) = self.recover().unwrap();
        bytes[..count * 8].as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }
}

const OLD: u64 = 0xEEEE_EEEE_EEEE_EEEE;

fn word(offset: u64, value: u64) -> Vec<u64> {
    let mut body = Body::default();
    body.word(offset, value);
    body.words().to_vec()
}

fn zeros(offset: u64, count: u64) -> Vec<u64> {
    let mut body = Body::default();
    body.zeros(offset, count);
    body.words().to_vec()
}

fn bench() -> Forger {
    Forger::new(Domain::CacheLine, RING_LEN)
}

#[test]
fn bodies_outside_the_ring_are_looked_at_before_they_are_read() {
    let body = word(bench().home, 1);
    let bytes: &[u8] = bytemuck::cast_slice(&body);
    let sum = checksum(POOL, bytes);
    for kind in [Kind::Spill, Kind::CommitSpill] {
        let named = |place: &dyn Fn(u64, u64) -> Vec<u64>| {
            let forger = bench();
            let offset = forger.behind(bytes);
            let len = forger.memory.len().unwrap();
            forger.put(kind, 1, &place(offset, len))
        };
        let whole = named(&|offset, _| vec![offset, 16, sum]);
        assert_eq!(whole.words(2), [1, OLD]);
        named(&|offset, _| vec![offset, 16]).assert_refused("has no place");
        named(&|offset, _| vec![offset, 16, sum, 0]).assert_refused("has no place");
        named(&|_, _| vec![]).assert_refused("has no place");
        named(&|offset, _| vec![offset, 15, sum]).assert_refused("lies outside the file");
        named(&|offset, _| vec![offset + 8, 16, sum]).assert_refused("lies outside the file");
        named(&|_, _| vec![u64::MAX - 7, 16, sum]).assert_refused("lies outside the file");
        named(&|_, len| vec![0, len + 8, sum]).assert_refused("lies outside the file");
        named(&|_, _| vec![0, u64::MAX - 7, sum]).assert_refused("lies outside the file");
        named(&|_, len| vec![len, 0, checksum(POOL, &[])]).recover().unwrap();
        named(&|offset, _| vec![offset, 16, sum ^ 1]).assert_refused("is damaged");
        named(&|offset, _| vec![offset, 8, sum]).assert_refused("is damaged");
        // One body may not be read again and again on the strength of small records.
        let (forger, len) =
            (named(&|_, len| vec![0, len / 2, sum]), |forger: &Forger| forger.memory.len().unwrap());
        let half = len(&forger) / 2;
        forger
            .put(kind, 2, &[0, half, sum])
            .put(kind, 3, &[0, half, sum])
            .assert_refused("longer than the file");
    }
}

/// Home says which transaction it holds, after a recovery too, or a lost state of the ring would roll it back unseen.
#[test]
fn a_journal_that_has_lost_what_home_holds_is_refused() {
    for domain in [Domain::Page, Domain::CacheLine] {
        let home = bench().home;
        let forger = Forger::new(domain, RING_LEN).put(Kind::Body, 1, &word(home, 7));
        assert_eq!(recover_into_home(&forger.memory, &forger.place, 9).unwrap().replayed, 1);
        assert_eq!(forger.words(2), [7, OLD]);
        format_state(&forger.memory, POOL, EPOCH).unwrap();
        forger.memory.write(forger.place.ring.start, &[0; 4096]).unwrap();
        forger.assert_refused("its journal has lost");
    }
}

#[test]
fn entries_that_make_no_sense_are_refused() {
    let home = bench().home;
    let end = bench().place.home[1].end;
    let one = |body: &[u64]| bench().put(Kind::Body, 1, &word(home, 7)).put(Kind::Body, 2, body);
    assert_eq!(one(&word(end - 8, 1)).recover().unwrap().1, 2);
    one(&word(end, 1)).assert_refused("outside the pool");
    one(&word(0, 1)).assert_refused("outside the pool");
    one(&word(bench().place.ring.start, 1)).assert_refused("outside the pool");
    one(&zeros(home, (end - home) / 8 + 1)).assert_refused("outside the pool");
    one(&zeros(home, 1 << 62)).assert_refused("outside the pool");
    one(&zeros(home, u64::MAX)).assert_refused("outside the pool");
    // The head of an entry that has more words than the record, and of none that there is.
    one(&word(home, 1)[..1]).assert_refused("runs past its record");
    one(&zeros(home, u64::MAX)[..1]).assert_refused("runs past its record");
    one(&[7 << 45, 0]).assert_refused("unknown kind");
}

/// Old words of the running transaction are put back, the newest first; those of any other are not.
#[test]
fn old_words_are_put_back_for_the_transaction_that_has_not_ended() {
    let home = bench().home;
    let started = || {
        bench()
            .put(Kind::Undo, 1, &word(home, 1))
            .put(Kind::Commit, 1, &word(home + 8, 2))
            .put(Kind::Undo, 2, &word(home + 16, 3))
            .put(Kind::Undo, 2, &word(home + 16, 4))
    };
    assert_eq!(started().words(4), [OLD, 2, 3, OLD]);
    // It has ended.
    assert_eq!(started().put(Kind::Commit, 2, &word(home + 24, 5)).words(4), [OLD, 2, OLD, 5]);
    // Where a record has more zeros than are held while the journal is read, its end is found first and the rest is
    // replayed afterwards.
    let long = bench()
        .put(Kind::Commit, 1, &zeros(home, 0x4000))
        .put(Kind::Undo, 2, &word(home, 6))
        .put(Kind::Extent, 2, &[0, 0, 99])
        .put(Kind::Commit, 2, &word(home + 8, 7))
        .put(Kind::Undo, 3, &word(home + 16, 8));
    assert_eq!(long.words(4), [0, 7, 8, 0]);
    assert_eq!(long.recover().unwrap().1, 2);
}

#[test]
fn extents_are_what_their_records_say() {
    let forger = bench();
    let home = forger.home;
    let extent =
        |forger: &Forger, nonce: u64| Extent { offset: forger.memory.len().unwrap(), len: 4096, nonce };
    // Two whole records of old words, and then one of each that does not count.
    let others = [
        (Kind::Undo, 2, POOL, 0),
        (Kind::Commit, 1, POOL, 0),
        (Kind::Undo, 1, POOL + 1, 0),
        (Kind::Undo, 1, POOL, 1),
    ];
    for (kind, txid, pool, flip) in others {
        let forger = bench();
        let extent = extent(&forger, 3);
        let salt = extent.salt(SALT);
        let mut bytes: Vec<u64> = Vec::new();
        let mut put = |kind, txid, salt, body: &[u64]| {
            let position = extent.offset + bytes.len() as u64 * 8;
            bytes.extend(Forger::encode(salt, position, kind, txid, body));
        };
        put(Kind::Undo, 1, salt, &word(home, 1));
        put(Kind::Undo, 1, salt, &word(home + 8, 2));
        put(kind, txid, Salt { pool_id: pool, ..salt }, &word(home + 16, 3));
        put(Kind::Undo, 1, salt, &word(home + 24, 4));
        bytes[16] ^= flip;
        bytes.resize(512, 0);
        forger.behind(bytemuck::cast_slice(&bytes));
        let forger = forger.put(Kind::Extent, 1, &[extent.offset, extent.len, extent.nonce]);
        assert_eq!(forger.words(4), [1, 2, OLD, OLD], "{kind:?} {txid} {pool} {flip}");
        // Another nonce: nothing in it is of this use.
        let stale = bench().put(Kind::Extent, 1, &[extent.offset, extent.len, 4]);
        stale.behind(bytemuck::cast_slice(&bytes));
        assert_eq!(stale.words(4), [OLD; 4]);
    }
    for body in [&[][..], &[1, 2], &[1, 2, 3, 4]] {
        bench().put(Kind::Extent, 1, body).assert_refused("names no extent");
    }
    bench()
        .put(Kind::Extent, 1, &[0, 64, 5])
        .put(Kind::Extent, 1, &[64, 64, 5])
        .assert_refused("name the same extent");
    // One that is gone, and places that are none: rolled back before, or forged, and without words.
    for (offset, len) in [(1 << 40, 4096), (u64::MAX - 8, 4096), (8, u64::MAX)] {
        assert_eq!(bench().put(Kind::Extent, 1, &[offset, len, 6]).words(1), [OLD]);
    }
}

/// A record that would lie over the ring's head is none, however whole.
#[test]
fn the_ring_ends_where_it_begins() {
    let home = bench().home;
    let head = RING_LEN - 4096;
    let first = Forger::encode(SALT, head, Kind::Body, 1, &[]);
    // The second record begins with the lap and leaves four lines before the head.
    let filled = |last: &[u64]| {
        let mut forger = bench().at(head).put(Kind::Body, 1, &[]);
        forger.end = RING_LEN;
        let forger = forger.put(Kind::Body, 2, &vec![word(home, 1); 3821].concat());
        assert_eq!(forger.end, head + RING_LEN - 256);
        forger.put(Kind::Body, 3, last)
    };
    let fits = vec![word(home, 9); 13].concat();
    assert_eq!(filled(&fits).words(1), [9]);
    assert_eq!(filled(&fits).recover().unwrap().1, 3);
    // As long as that, and then the first record as its last words.
    let over = [fits, vec![0], first].concat();
    assert_eq!(filled(&over).words(1), [1]);
    assert_eq!(filled(&over).recover().unwrap().1, 2);
}

/// Catches an endless second walk where a medium does not give again what it gave before.
#[test]
fn a_journal_that_changes_while_it_is_read_is_refused() {
    // So much that the second walk cannot find it in memory.
    let forger = Forger::new(Domain::CacheLine, 256 << 10);
    let home = forger.home;
    let mut forger = forger.put(Kind::Body, 1, &zeros(home, 0x4000));
    let long = vec![word(home, 2); 3000].concat();
    for txid in 2..6 {
        forger = forger.put(Kind::Body, txid, &long);
    }
    let start = forger.place.ring.start;
    assert_eq!(forger.recover().map(|(_, replayed)| replayed), Ok(5));
    let reads = std::sync::atomic::AtomicU64::new(0);
    let memory = forger.memory.clone();
    let hook = move |what: &'static str, offset: u64| {
        if what == "read" && offset == start && reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1
        {
            memory.write(start, &[0; 4096])?;
        }
        Ok(())
    };
    let media = Hooked { memory: forger.memory.clone(), hook: Box::new(hook) };
    match recover_into_home(&media, &forger.place, 9) {
        Err(Error::Corrupt { what, .. }) => assert!(what.contains("changed while it was read"), "{what}"),
        other => panic!("{other:?}"),
    }
    let mut word = [0; 8];
    media.read(HOME_TXID, &mut word).unwrap();
    assert_eq!(u64::from_le_bytes(word), 0, "home was written");
}
