//! Damaged and foreign files: each open gives a typed error, or a pool that validates, can be walked to its last byte,
//! changed, closed and opened again (P7). Never a panic, never a signal, at most a second and little memory. Every bit
//! of pobj's own structures is flipped in `bad_bits.rs`.
//!
//! Catches: a length, an offset, a count or a pointer of the file that is trusted before it is checked, a file that is
//! changed although it is not a pool.

use std::fs;

use pobj::media::{Domain, ImageMode};
use pobj::{Error, PVec};
use tests::support::counting::{Counting, assert_modest};
use tests::support::zoo::{Fate, HEADERS, Patient, Place, options};
use tests::support::{Random, number, seed, small};

#[global_allocator]
static COUNTING: Counting = Counting;

// ---- truncation ----

/// Catches a read, a mapping or a slice beyond the end of a file that was cut short (P7).
#[test]
fn a_file_cut_anywhere_is_refused() {
    for mut patient in [Patient::closed(Patient::file()), Patient::crashed(Patient::file())] {
        let bytes = patient.bytes.clone();
        let steps = (0..bytes.len()).step_by(512);
        let odd =
            [1, 7, 8, 31, 511, 513, 4095, 4097, 8193, bytes.len() - 1, bytes.len() - 8, bytes.len() - 4097];
        for len in steps.chain(odd) {
            let fate = patient.treat(&bytes[..len], &|| format!("cut to {len} bytes"));
            let Fate::Refused(error) = fate else {
                panic!("cut to {len} of {} bytes and opened", bytes.len())
            };
            assert!(
                matches!(error, Error::Corrupt { .. } | Error::NotAPool { .. }),
                "cut to {len}: {error:?}"
            );
        }
        // Longer is harmless: a large transaction may have been in flight.
        for more in [1, 511, 4096, 65_536, 300_000] {
            for fill in [0, 0xFF] {
                let mut longer = bytes.clone();
                longer.resize(bytes.len() + more, fill);
                let fate = patient.treat(&longer, &|| format!("{more} bytes longer"));
                let expected = *patient.walks.last().unwrap();
                assert!(
                    matches!(fate, Fate::Lives(found) if found == expected),
                    "{more} bytes longer: {fate:?}"
                );
            }
        }
        patient.finish("cuts");
        assert_modest();
    }
}

/// In place the file itself is the memory: catches a look at what was cut off, which is a signal.
#[test]
fn a_pool_in_place_that_was_cut_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.pobj");
    let options = || small::<PVec<u64>>(64 << 20).force_domain(Domain::CacheLine).image(ImageMode::InPlace);
    let pool = options().create(&path).unwrap();
    pool.write(|words, tx| words.extend(tx, 0..100_000)).unwrap();
    pool.close().unwrap();
    let whole = fs::metadata(&path).unwrap().len();
    for cut in [1, 4096, 65_536, 300_000] {
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(whole - cut).unwrap();
        match options().open(&path) {
            Err(Error::Corrupt { .. }) => {}
            other => panic!("{cut} bytes shorter: {other:?}"),
        }
    }
}

// ---- random damage ----

fn damage(bytes: &mut [u8], random: &mut Random, used: usize) {
    let base = u64::from_le_bytes(bytes[64..72].try_into().unwrap());
    for _ in 0..1 + random.below(8) {
        // The first pages and the used part of the heap more often than the rest.
        let end = match random.below(4) {
            0 => 0x8000,
            1 => bytes.len(),
            _ => used,
        };
        let mut at = random.below(end as u64 - 4096) as usize;
        // Rather where something is.
        for _ in 0..random.below(30) {
            if bytes[at] == 0 {
                at = random.below(end as u64 - 4096) as usize;
            }
        }
        let word = at & !7;
        match random.below(10) {
            0 => bytes[at] = random.word() as u8,
            1 => bytes[word..word + 8].copy_from_slice(&random.word().to_le_bytes()),
            2 => bytes[at & !511..][..512].fill(0),
            3 => bytes[at & !511..][..512].fill(0xFF),
            4 => {
                let from = random.below(bytes.len() as u64 - 512) as usize & !511;
                bytes.copy_within(from..from + 512, at & !511);
            }
            // What looks like a pointer, sometimes to something.
            5 | 6 => {
                let target = base + (random.below(used as u64) & !15);
                bytes[word..word + 8].copy_from_slice(&target.to_le_bytes());
            }
            7 => {
                let small = random.below(40).wrapping_sub(8);
                bytes[word..word + 8].copy_from_slice(&small.to_le_bytes());
            }
            8 => {
                let from = random.below(used as u64 - 8) as usize & !7;
                bytes.copy_within(from..from + 8, word);
            }
            _ => {
                let len = 1 + random.below(64) as usize;
                (0..len).for_each(|index| bytes[at + index] = random.word() as u8);
            }
        }
    }
}

/// Catches whatever nobody thought of. `POBJ_DAMAGES` says how many, `POBJ_SEED` repeats them.
#[test]
fn random_damage() {
    let seed = seed("random_damage");
    let count = number("POBJ_DAMAGES").unwrap_or(10_000);
    let patients = [
        (Patient::closed(Patient::memory()), count * 9 / 20),
        (Patient::crashed(Patient::memory()), count * 9 / 20),
        (Patient::closed(Patient::file()), count / 20),
        (Patient::crashed(Patient::file()), count / 20),
    ];
    for (which, (mut patient, count)) in patients.into_iter().enumerate() {
        let used = patient.bytes.len() - patient.bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let used = used.max(0x9000);
        for case in 0..count {
            let mut bytes = patient.bytes.clone();
            let mut random = Random(seed ^ case << 20 ^ (which as u64) << 60);
            damage(&mut bytes, &mut random, used);
            patient.treat(&bytes, &|| format!("POBJ_SEED={seed}, pool {which}, case {case}"));
        }
        patient.finish("random damage");
        assert_modest();
    }
}

// ---- foreign files ----

/// Catches a file that is taken for a pool, or read before it is known to be one.
#[test]
fn files_of_others_are_not_pools() {
    let mut patient = Patient::closed(Patient::file());
    let mut program = vec![0; 300_000];
    let this = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&this, &mut program, 0).unwrap();
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("nothing".into(), Vec::new()),
        ("one byte".into(), vec![b'p']),
        ("a program".into(), program),
        ("a text".into(), "It was a dark and stormy night. ".repeat(10_000).into_bytes()),
        ("a gzip file".into(), [&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0x5A; 100_000]].concat()),
        ("an SQLite file".into(), [&b"SQLite format 3\0"[..], &[0; 100_000]].concat()),
    ];
    for fill in [0, 0xFF, 0x55] {
        for len in [8, 511, 512, 4096, 8192, 70_000, 1 << 20] {
            cases.push((format!("{len} times {fill:#x}"), vec![fill; len]));
        }
    }
    let mut random = Random(7);
    cases.push(("noise".into(), (0..200_000).map(|_| random.word() as u8).collect()));
    for (name, bytes) in cases {
        let fate = patient.treat(&bytes, &|| name.clone());
        assert!(matches!(fate, Fate::Refused(Error::NotAPool { .. })), "{name}: {fate:?}");
        assert!(patient.place.bytes() == bytes, "{name}: was changed");
    }
    patient.finish("files of others");
    assert_modest();
}

/// Catches an open that goes through a file, or asks for memory, as long as it says it is: a terabyte of holes.
#[test]
fn sparse_files_cost_nothing() {
    const LONG: u64 = 1 << 40;
    let mut patient = Patient::closed(Patient::file());
    let expected = *patient.walks.last().unwrap();
    let Place::File(directory) = &patient.place else { panic!("it is in a file") };
    let path = Place::path(directory);
    let begun = std::time::Instant::now();
    let file = fs::File::options().write(true).open(&path).unwrap();
    if file.set_len(LONG).is_err() {
        return println!("skipped: no file of {LONG} bytes here");
    }
    // A pool with holes behind it is whole, and is cut when it opens.
    let pool = options().open(&path).unwrap();
    assert_eq!(tests::support::zoo::walk(&pool.read()), expected);
    pool.close().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < LONG);
    // One that is nothing but holes is no pool.
    file.set_len(0).unwrap();
    file.set_len(LONG).unwrap();
    assert!(matches!(options().open(&path), Err(Error::NotAPool { .. })));
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    let bytes = patient.bytes.clone();
    let fate = patient.treat(&bytes, &|| "the pool again".to_owned());
    assert!(matches!(fate, Fate::Lives(found) if found == expected), "{fate:?}");
    assert_modest();
}

/// Gives both headers a change and a checksum that is right again.
fn with_headers(bytes: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in HEADERS {
        let header = &mut bytes[at..at + 512];
        change(header);
        let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&header[..504], 0x706F_626A_2068_6472);
        header[504..].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// Catches "newer" taken for "damaged", or opened: versions, features, byte order.
#[test]
fn newer_and_foreign_formats_are_named() {
    let mut patient = Patient::closed(Patient::memory());
    let bytes = patient.bytes.clone();
    let expected = *patient.walks.last().unwrap();
    type Change = fn(&mut [u8]);
    let cases: [(&str, Change); 6] = [
        ("version 2", |header| header[8] = 2),
        ("version 0", |header| header[8] = 0),
        ("a distant version", |header| header[8..12].fill(0xFF)),
        ("the other byte order", |header| header[12..16].reverse()),
        ("an unknown feature", |header| header[32] = 1),
        ("an unknown feature for writing", |header| header[47] = 0x80),
    ];
    for (name, change) in cases {
        let fate = patient.treat(&with_headers(&bytes, change), &|| name.to_owned());
        assert!(matches!(fate, Fate::Refused(Error::UnsupportedFormat { .. })), "{name}: {fate:?}");
    }
    let fate = patient
        .treat(&with_headers(&bytes, |header| header[48] = 0x80), &|| "a compatible feature".to_owned());
    assert!(matches!(fate, Fate::Lives(found) if found == expected), "{fate:?}");
    patient.finish("formats");
    assert_modest();
}

/// Catches a header that is whole and lies: every word of its body with many values, checksummed anew.
#[test]
fn headers_that_lie_are_refused() {
    let mut patient = Patient::closed(Patient::memory());
    let bytes = patient.bytes.clone();
    let (expected, len) = (*patient.walks.last().unwrap(), bytes.len() as u64);
    for word in 2..63 {
        let old = u64::from_le_bytes(bytes[word * 8..word * 8 + 8].try_into().unwrap());
        let near = [
            old.wrapping_add(1),
            old.wrapping_sub(1),
            old.wrapping_add(4096),
            old.wrapping_sub(4096),
            old << 1,
            old >> 1,
            !old,
        ];
        let far = [
            0,
            1,
            4095,
            4096,
            65_536,
            1 << 20,
            1 << 32,
            1 << 46,
            1 << 47,
            1 << 62,
            u64::MAX - 4095,
            u64::MAX,
        ];
        for value in near.into_iter().chain(far).filter(|value| *value != old) {
            let lying = with_headers(&bytes, |header| {
                header[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes())
            });
            let what = || format!("word {word} of the header is {value:#x}");
            if let Fate::Lives(found) = patient.treat(&lying, &what) {
                // Generation, compatible features and fingerprint (a short cut: the types are compared without it) may have
                // any value; a ring may reach to the heap, and a pool that may grow more or less the same directory.
                let harmless =
                    matches!(word, 2 | 6 | 16 | 18) || (word == 9 && (len..=32 << 20).contains(&value));
                assert!(found == expected && harmless, "{}: opened", what());
            }
        }
    }
    patient.finish("lying headers");
    assert_modest();
}

/// Catches pages of another pool that are taken for this one's: each page in turn, then each region.
#[test]
fn grafted_pages_of_another_pool() {
    let mut patient = Patient::closed(Patient::file());
    for donor in [Patient::closed(Patient::file()), Patient::crashed(Patient::file())] {
        let len = patient.bytes.len().min(donor.bytes.len());
        for at in (0..len).step_by(4096) {
            let mut bytes = patient.bytes.clone();
            bytes[at..at + 4096].copy_from_slice(&donor.bytes[at..at + 4096]);
            patient.treat(&bytes, &|| format!("page at {at:#x} of another pool"));
            bytes[..at].copy_from_slice(&donor.bytes[..at]);
            patient.treat(&bytes, &|| format!("another pool up to {at:#x}"));
        }
    }
    patient.finish("grafts");
    assert_modest();
}

/// Catches a crashed pool whose journal is replayed over a newer or an older home of its own.
#[test]
fn a_journal_of_another_time_is_refused_or_harmless() {
    let mut patient = Patient::crashed(Patient::file());
    let crashed = patient.bytes.clone();
    let heap = patient.word(152);
    // The pool after its recovery, closed.
    let Place::File(directory) = &patient.place else { panic!("it is in a file") };
    options().open(Place::path(directory)).unwrap().close().unwrap();
    let recovered = patient.place.bytes();
    // Old front with a new heap: replaying again what home holds already is harmless (J4).
    let mixed = [&crashed[..heap], &recovered[heap..]].concat();
    let last = *patient.walks.last().unwrap();
    let fate = patient.treat(&mixed, &|| "old journal, new heap".to_owned());
    assert!(matches!(fate, Fate::Lives(found) if found == last), "{fate:?}");
    // New front with an old heap: transactions are missing; whatever opens must be whole.
    let mixed = [&recovered[..heap], &crashed[heap..]].concat();
    patient.treat(&mixed, &|| "new journal, old heap".to_owned());
    patient.finish("other times");
    assert_modest();
}
