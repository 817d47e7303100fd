//! Files that are kept: what earlier versions of this library wrote is opened, validated, compared value by value, changed
//! and opened again (B30). Catches a change of the format that nobody meant, a change that was meant and left the old files
//! behind, and a reader that takes a file which is not for it.
//!
//! They lie in `tests/witness`, one directory for each version of the format. After a new kind of file, or for a new format:
//! `cargo test -p tests --test witness -- --ignored` makes those of the present version that are not there. Old ones stay
//! as they are: a reader that no longer opens them says so in the book first.

mod museum;
mod stores;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use pobj::media::{Domain, ImageMode};
use pobj::{Error, Options, Pool, Result};
use tests::support::{directory, small};

use museum::Museum;

/// The versions of the format that have files, the present one last.
const FORMATS: [&str; 1] = ["format-1"];
/// A kept file has so many bytes at most, compressed.
const KEPT_MAX: usize = 30 << 10;

/// A kind of file that is kept.
struct Witness {
    name: &'static str,
    /// Writes one.
    make: fn(&Path),
    /// Opens it, compares, changes, opens again.
    check: fn(&Path),
    /// Only opens it.
    open: fn(&Path) -> Result<()>,
    /// Only opens it, for reading.
    open_read_only: Option<fn(&Path) -> Result<()>>,
    header: Header,
}

/// What a file's header is, as far as it takes to change it: two copies, a sum over each at its end.
struct Header {
    len: usize,
    seed: u64,
}

const POOL: Header = Header { len: 512, seed: 0x706F_626A_2068_6472 };
const LOG: Header = Header { len: 256, seed: 0x706F_626A_206C_6F67 };
/// Where the copies are, and what is in them.
const SLOTS: [usize; 2] = [0, 4096];
const FORMAT_VERSION: usize = 8;
const INCOMPAT: usize = 32;
const RO_COMPAT: usize = 40;

fn options() -> Options<Museum<'static>> {
    small(8 << 20)
}

/// So many transactions have reached their places, and so many are in the journal only, where it is not empty.
const ROUNDS: u64 = 24;
const IN_JOURNAL: u64 = 5;

fn fill(options: &Options<Museum<'static>>, path: &Path) -> Pool<Museum<'static>> {
    let pool = options.create_with(path, museum::new).unwrap();
    for round in 0..ROUNDS {
        pool.write(|museum, tx| museum::round(museum, tx, round)).unwrap();
    }
    pool
}

/// The path of a file that is still open when a copy of it is taken to `path`.
pub fn living(path: &Path) -> PathBuf {
    path.with_extension("living")
}

/// A copy of the pool with transactions in its journal, as a kill leaves it.
fn crashed(options: &Options<Museum<'static>>, path: &Path) {
    let pool = fill(options, &living(path));
    pool.checkpoint().unwrap();
    for round in ROUNDS..ROUNDS + IN_JOURNAL {
        pool.write(|museum, tx| museum::round(museum, tx, round)).unwrap();
    }
    fs::copy(living(path), path).unwrap();
}

/// A copy of the pool from the middle of a transaction in place: its old bytes are in the journal.
fn torn(path: &Path) {
    let pool = fill(&in_place(), &living(path));
    pool.checkpoint().unwrap();
    let outcome = pool.write(|museum, tx| {
        museum::round(museum, tx, ROUNDS)?;
        fs::copy(living(path), path)?;
        Err::<(), _>(Error::abort("as planned"))
    });
    assert!(outcome.is_err());
}

fn line() -> Options<Museum<'static>> {
    options().force_domain(Domain::CacheLine)
}

fn in_place() -> Options<Museum<'static>> {
    line().image(ImageMode::InPlace)
}

/// Opens, compares, changes, opens again.
fn visit(path: &Path, rounds: u64, replayed: bool) {
    let pool = options().open(path).unwrap();
    let opened = pool.stats().opened;
    assert!(opened.validated_values > 0);
    assert_eq!((opened.replayed > 0, opened.unreachable_blocks), (replayed, 0));
    museum::check(&pool, rounds);
    for round in rounds..rounds + 3 {
        pool.write(|museum, tx| museum::round(museum, tx, round)).unwrap();
    }
    museum::check(&pool, rounds + 3);
    pool.close().unwrap();
    let pool = options().open(path).unwrap();
    museum::check(&pool, rounds + 3);
    assert_eq!(pool.stats().opened.replayed, 0);
}

const fn pool(name: &'static str, make: fn(&Path), check: fn(&Path)) -> Witness {
    Witness {
        name,
        make,
        check,
        open: |path| options().open(path).map(drop),
        open_read_only: Some(|path| options().open_read_only(path).map(drop)),
        header: POOL,
    }
}

const WITNESSES: [Witness; 10] = [
    pool("closed", |path| fill(&options(), path).close().unwrap(), |path| visit(path, ROUNDS, false)),
    pool("crashed", |path| crashed(&options(), path), |path| visit(path, ROUNDS + IN_JOURNAL, true)),
    pool("crashed-line", |path| crashed(&line(), path), |path| visit(path, ROUNDS + IN_JOURNAL, true)),
    pool("torn-in-place", torn, |path| visit(path, ROUNDS, false)),
    Witness {
        name: "kv-hash",
        make: stores::make_hash,
        check: stores::check_hash,
        open: stores::open_hash,
        open_read_only: None,
        header: POOL,
    },
    Witness {
        name: "kv-ordered",
        make: stores::make_ordered,
        check: stores::check_ordered,
        open: stores::open_ordered,
        open_read_only: None,
        header: POOL,
    },
    Witness {
        name: "kv-ordered-alike",
        make: stores::make_alike,
        check: stores::check_alike,
        open: stores::open_ordered,
        open_read_only: None,
        header: POOL,
    },
    Witness {
        name: "kv-order-of-ones-own",
        make: stores::make_backwards,
        check: stores::check_backwards,
        open: stores::open_backwards,
        open_read_only: None,
        header: POOL,
    },
    Witness {
        name: "blk",
        make: stores::make_blocks,
        check: stores::check_blocks,
        open: stores::open_blocks,
        open_read_only: None,
        header: POOL,
    },
    Witness {
        name: "log",
        make: stores::make_log,
        check: stores::check_log,
        open: stores::open_log,
        open_read_only: Some(stores::open_log_read_only),
        header: LOG,
    },
];

fn kept(format: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("witness").join(format).join(format!("{name}.gz"))
}

/// A kept file, unpacked.
fn unpacked(format: &str, name: &str) -> Vec<u8> {
    let path = kept(format, name);
    let packed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(packed.len() <= KEPT_MAX, "{} has {} bytes", path.display(), packed.len());
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Writes the kept file to a path, without taking space for its zeros.
fn lay(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, number as u64 * 4096).unwrap();
        }
    }
}

/// Two copies of a pool need the same addresses: one test at a time opens them.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn kept_files_open_hold_what_they_held_and_change() {
    let _alone = alone();
    for format in FORMATS {
        for witness in &WITNESSES {
            println!("{format}/{}", witness.name);
            let directory = directory();
            let path = directory.path().join("kept");
            lay(&path, &unpacked(format, witness.name));
            (witness.check)(&path);
        }
    }
}

/// Sets a word of both headers, with sums that are right again.
fn with_word(bytes: &[u8], header: &Header, at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for slot in SLOTS {
        let header_bytes = &mut bytes[slot..slot + header.len];
        let sum = |bytes: &[u8]| {
            xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..header.len - 8], header.seed).to_le_bytes()
        };
        if sum(header_bytes) != header_bytes[header.len - 8..] {
            continue; // the slot of a header that was never written
        }
        header_bytes[at..at + value.len()].copy_from_slice(value);
        let sum = sum(header_bytes);
        header_bytes[header.len - 8..].copy_from_slice(&sum);
    }
    assert!(!bytes.is_empty());
    bytes
}

/// What a later version would write is refused by name, and not touched.
#[test]
fn files_of_a_later_format_are_refused_and_stay_as_they_are() {
    let _alone = alone();
    let unknown = 1_u64 << 63;
    let cases: [(&str, usize, Vec<u8>, u64); 3] = [
        ("format version", FORMAT_VERSION, 2_u32.to_le_bytes().to_vec(), 2),
        ("incompatible features", INCOMPAT, unknown.to_le_bytes().to_vec(), unknown),
        ("features needed for writing", RO_COMPAT, unknown.to_le_bytes().to_vec(), unknown),
    ];
    for witness in &WITNESSES {
        let good = unpacked(FORMATS[FORMATS.len() - 1], witness.name);
        for (name, at, value, number) in &cases {
            let directory = directory();
            let path = directory.path().join("later");
            let bytes = with_word(&good, &witness.header, *at, value);
            assert!(bytes != good, "{}: no header was changed", witness.name);
            lay(&path, &bytes);
            let refused = |outcome: Result<()>| match outcome {
                Err(Error::UnsupportedFormat { what, found, .. }) => {
                    assert!(
                        what.contains(name) && found == *number,
                        "{}: {name}: {what} {found}",
                        witness.name
                    );
                }
                other => panic!("{}: {name}: {other:?}", witness.name),
            };
            refused((witness.open)(&path));
            if let Some(open) = witness.open_read_only {
                // Who only reads may do without knowing what writers need.
                match *at == RO_COMPAT {
                    true => open(&path).unwrap(),
                    false => refused(open(&path)),
                }
            }
            assert!(fs::read(&path).unwrap() == bytes, "{}: {name}: the file was changed", witness.name);
        }
    }
}

#[test]
#[ignore = "writes tests/witness"]
fn makes_what_is_not_there() {
    let _alone = alone();
    let format = FORMATS[FORMATS.len() - 1];
    for witness in &WITNESSES {
        let kept = kept(format, witness.name);
        if kept.exists() {
            continue;
        }
        let directory = directory();
        let path = directory.path().join("new");
        (witness.make)(&path);
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&fs::read(&path).unwrap()).unwrap();
        let packed = packed.finish().unwrap();
        (witness.check)(&path);
        assert!(packed.len() <= KEPT_MAX, "{}: {} bytes", witness.name, packed.len());
        println!("{}: {} bytes", kept.display(), packed.len());
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::write(&kept, packed).unwrap();
    }
}
