//! Every bit of pobj's own structures, flipped: each open gives a typed error, or a pool that holds exactly what it held.
//! Never a panic, never a signal, at most a second and little memory (P7). See `bad_files.rs` for all other damage.
//!
//! Catches: a length, an offset, a count or a pointer of the file that is trusted before it is checked, a checksum
//! that leaves bytes out, a tail that is cut in silence.

use std::sync::Arc;

use pobj::media::{Domain, ImageMode, RamMedia};
use pobj::{PVec, Persistent, Pool};
use tests::support::counting::{Counting, assert_modest};
use tests::support::zoo::{
    DIRECTORY, Fate, HEADERS, Patient, RING_STATES, RING_WORD, SCHEMA_WORD, SUPERBLOCK,
};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Catches a header byte that no checksum covers; and since there are two headers, one bad bit must harm nobody.
#[test]
fn every_bit_of_the_headers() {
    let mut patient = Patient::closed(Patient::memory());
    for at in HEADERS {
        let refused = patient.refused;
        patient.flip_all("header", at..at + 512, 1);
        patient.flip_all("rest of the header's block", at + 512..at + 4096, 61);
        assert_eq!(patient.refused, refused, "the other header is whole");
    }
    patient.finish("headers");
    assert_modest();
}

/// Catches a ring state that is believed without its checksum, and one whose loss rolls the pool back in silence.
#[test]
fn every_bit_of_the_ring_states() {
    for mut patient in [Patient::closed(Patient::memory()), Patient::crashed(Patient::memory())] {
        let last = *patient.walks.last().unwrap();
        patient.walks = vec![last];
        for at in RING_STATES {
            patient.flip_all("ring state", at..at + 64, 1);
            patient.flip_all("rest of the ring state's block", at + 64..at + 4096, 61);
        }
        patient.finish("ring states");
        assert_modest();
    }
}

/// Catches a heap length, a root or a place of metadata that is trusted.
#[test]
fn every_bit_of_the_superblock_and_directory() {
    let mut patient = Patient::closed(Patient::memory());
    patient.flip_all("superblock", SUPERBLOCK..SUPERBLOCK + 64, 1);
    patient.flip_all("rest of the superblock's block", SUPERBLOCK + 64..DIRECTORY, 61);
    // The pool can have one group only; the other words must be ignored.
    patient.flip_all("directory", DIRECTORY..DIRECTORY + 8, 1);
    patient.flip_all("rest of the directory", DIRECTORY + 8..DIRECTORY + 4096, 13);
    patient.finish("superblock and directory");
    assert_modest();
}

/// Catches a kind, a class, a count or an allocation bit that is trusted: blocks that overlap, are owned and free, or
/// are longer than their place.
#[test]
fn every_bit_of_the_heaps_metadata() {
    let mut patient = Patient::closed(Patient::memory());
    let metadata = patient.word(DIRECTORY);
    let used: Vec<usize> = (0..128).filter(|slot| patient.bytes[metadata + slot * 512] != 0).collect();
    assert!(used.len() >= 8, "only {} chunks are in use", used.len());
    for slot in used {
        let at = metadata + slot * 512;
        let blocks = u32::from_le_bytes(patient.bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        // Behind the bits of a run's blocks nothing is read.
        let end = at + 16 + blocks.min(3968).div_ceil(64) * 8;
        patient.flip_all(&format!("slot {slot}"), at..end, 1);
        patient.flip_all(&format!("rest of slot {slot}"), end..at + 512, 29);
    }
    for slot in [20, 21, 60, 127] {
        patient.flip_all(&format!("free slot {slot}"), metadata + slot * 512..metadata + slot * 512 + 24, 1);
    }
    patient.finish("metadata");
    assert_modest();
}

/// Catches types that are read from damaged bytes.
#[test]
fn every_bit_of_the_schema() {
    let mut patient = Patient::closed(Patient::memory());
    let (offset, len) = (patient.word(SCHEMA_WORD), patient.word(SCHEMA_WORD + 8));
    let refused = patient.refused;
    patient.flip_all("schema", offset..offset + len, 1);
    let bits = (len * 8).div_ceil(Patient::bits_every()) as u64;
    assert_eq!(patient.refused - refused, bits, "a flipped bit of the schema passed");
    patient.finish("schema");
    assert_modest();
}

/// Catches a record that is replayed although it is not whole, and one that is dropped in silence although a later one
/// proves that it was durable (J3). Only the last record may go: it looks like one that was in flight.
#[test]
fn every_bit_of_the_journal_after_a_crash() {
    let mut patient = Patient::crashed(Patient::memory());
    let (offset, len) = (patient.word(RING_WORD), patient.word(RING_WORD + 8));
    let used = |bytes: &[u8]| {
        let ring = &bytes[offset..offset + len];
        let blocks: Vec<usize> = (0..len / 4096)
            .filter(|block| ring[block * 4096..][..4096].iter().any(|byte| *byte != 0))
            .collect();
        blocks
    };
    let blocks = used(&patient.bytes);
    assert!(blocks.len() >= 5, "five transactions take at least five blocks");
    // All but the last transaction is proven durable; so a pool that opens holds four or five of them.
    let durable = patient.walks.split_off(patient.walks.len() - 2);
    let all = durable[1];
    patient.walks = durable;
    let mut live_blocks = 0;
    for block in blocks {
        let at = offset + block * 4096;
        let bytes = &patient.bytes[at..at + 4096];
        let end = 4096 - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        // Most blocks hold records from before the checkpoint: whatever is in them is ignored.
        let mut probe = patient.bytes.clone();
        probe[at] ^= 1;
        let stale = matches!(patient.treat(&probe, &|| format!("first bit of ring block {block}")), Fate::Lives(found) if found == all);
        let every = if stale { 37 } else { 1 };
        live_blocks += usize::from(!stale);
        patient.flip_all(&format!("ring block {block}"), at..at + end.max(64), every);
    }
    assert!(live_blocks >= 5, "only {live_blocks} blocks of the ring matter");
    patient.finish("journal");
    assert_modest();
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Old<'p> {
    first: PVec<'p, u64>,
    second: PVec<'p, u64>,
    third: PVec<'p, u64>,
}

/// Catches old words that are lost in silence although later ones of the same transaction prove that they were there:
/// then half a transaction in place stays. Only the last may go, which look as if they were in flight.
#[test]
fn every_bit_of_the_old_words_of_a_transaction_in_place() {
    let options =
        || Pool::<Old>::options().image(ImageMode::InPlace).ring_size(64 << 10).validation_threads(1);
    let media = RamMedia::new(1 << 20).unwrap().with_domain(Domain::CacheLine);
    let create = options().size(64 << 10).max_size(1 << 20);
    let pool = create.create_on(Arc::new(media.clone()), |_| Ok(Old::default())).unwrap();
    pool.write(|root, tx| {
        [&mut root.first, &mut root.second, &mut root.third]
            .into_iter()
            .try_for_each(|words| words.push(tx, 5))
    })
    .unwrap();
    pool.checkpoint().unwrap();
    let bytes = pool
        .write(|root, tx| {
            for words in [&mut root.first, &mut root.second, &mut root.third] {
                words.iter_mut(tx).for_each(|word| *word = 6);
            }
            Ok::<_, pobj::Error>(media.bytes())
        })
        .unwrap();
    drop(pool);
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let ring = word(RING_WORD)..word(RING_WORD) + word(RING_WORD + 8);
    let used = bytes[ring.clone()].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let (mut refused, mut lived) = (0, 0);
    for bit in (ring.start * 8..(ring.start + used) * 8).step_by(Patient::bits_every()) {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match options().open_on(Arc::new(media.with_bytes(bytes))) {
            Err(_) => refused += 1,
            Ok(pool) => {
                lived += 1;
                let root = pool.read();
                assert_eq!((&root.first[..], &root.second[..]), (&[5][..], &[5][..]), "bit {bit}");
            }
        }
    }
    assert!(refused > 0 && lived > 0, "{refused} were refused, {lived} lived");
}
