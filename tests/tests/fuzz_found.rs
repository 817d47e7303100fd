//! What damage campaigns and fuzzers have found, each as a test of the behaviour.

use std::ops::Range;

use pobj::Error;
use tests::damage::{Bench, Damage, Edit, Forge, NAMES, Source, source};
use tests::support::zoo::Fate;

/// Kinds of records: a body outside the ring, and old words outside the ring.
const SPILL: u64 = 2;
const EXTENT: u64 = 4;

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The records in the ring of a pool, in order.
fn records(source: &Source) -> Vec<Range<usize>> {
    let mut bytes = source.bytes.clone();
    let mut forge = Forge::new(&mut bytes);
    forge.pool();
    let ring =
        word(&source.bytes, 136) as usize..(word(&source.bytes, 136) + word(&source.bytes, 144)) as usize;
    forge.found.into_iter().filter(|record| ring.contains(&record.start)).collect()
}

/// Puts `count` copies of the last record of a kind behind the last record, each of its transaction or, with `more`, of
/// the next one, with right checksums.
fn repeated(source: &Source, kind: u64, count: usize, more: bool) -> Damage {
    let records = records(source);
    let is_kind = |record: &&Range<usize>| word(&source.bytes, record.start + 32) >> 32 == kind;
    let record = records.iter().rev().find(is_kind).expect("a record of this kind").clone();
    let last = records.last().expect("records");
    let mut txid = word(&source.bytes, last.start + 8);
    let end = (word(&source.bytes, 136) + word(&source.bytes, 144)) as usize;
    let mut edits = Vec::new();
    let mut at = last.end.next_multiple_of(64);
    for _ in 0..count {
        txid += u64::from(more);
        let mut bytes = source.bytes[record.clone()].to_vec();
        bytes[8..16].copy_from_slice(&txid.to_le_bytes());
        assert!(at + 64 <= end && bytes.len() <= 64, "there is room in the ring");
        edits.push(Edit { at, bytes });
        at += 64;
    }
    Damage { edits, forged: true, ..Damage::default() }
}

fn refused_with(source: &Source, damage: &Damage, expected: &str) {
    match Bench::new(source).treat(damage).fate {
        Ok(Fate::Refused(Error::Corrupt { what, .. })) => assert!(what.contains(expected), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// A forged ring of small records that all name one long body had it read and replayed once for each of them: the time of an
/// open was the product of both lengths.
#[test]
fn one_body_outside_the_ring_is_not_read_for_many_records() {
    let source = source(NAMES[2]);
    let body = {
        let records = records(&source);
        let last = records.last().unwrap();
        assert_eq!(word(&source.bytes, last.start + 32) >> 32, SPILL, "the last record's body is outside");
        word(&source.bytes, last.start + 48) as usize
    };
    let count = source.bytes.len() / body + 1;
    refused_with(&source, &repeated(&source, SPILL, count, true), "longer than the file");
}

/// The same with extents: each record had all old words of the extent noted again, so memory grew with the product.
#[test]
fn one_extent_is_not_looked_through_for_many_records() {
    let source = source(NAMES[3]);
    refused_with(&source, &repeated(&source, EXTENT, 1, false), "the same extent");
}
