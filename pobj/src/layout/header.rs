//! The pool header: the first bytes of the file, from which everything else is found.
//!
//! Two slots of one block each hold headers with consecutive generations; a new header goes to the slot that is not in
//! force, so a torn write of it leaves the old one. What was read from a file is an [`UnverifiedHeader`]; only
//! [`UnverifiedHeader::verify`] makes a [`Header`] of it, and nothing else in pobj accepts the former.
//!
//! The first 32 bytes and the checksum at the end of the 512 have this place and meaning in every format version, so
//! that a program can always tell "newer" from "damaged".

use std::path::Path;

use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert_eq;

use super::geometry::{ADDRESS_END, BLOCK, CHUNK, Geometry, HEADER_SLOTS};
use crate::ground::checksum::checksum;
use crate::ground::error::{Error, Result};

/// First bytes of every pool. The last one catches transfers that strip the eighth bit, as PNG's does.
const MAGIC: [u8; 8] = *b"pobjhea\xF0";
/// The version of everything in the file that the header does not spell out.
const FORMAT_VERSION: u32 = 1;
/// Reads as another number on a machine of the other byte order.
pub(crate) const ENDIAN_MARK: u32 = 0x0A0B_0C0D;
/// Features without which the pool cannot be understood. None yet.
const INCOMPAT_KNOWN: u64 = 0;
/// Features that must be understood before the pool is changed. None yet.
const RO_COMPAT_KNOWN: u64 = 0;
/// What this program supports.
const SUPPORTED: Supported =
    Supported { format_version: FORMAT_VERSION, incompat: INCOMPAT_KNOWN, ro_compat: RO_COMPAT_KNOWN };
/// Seed of the header's checksum, so that a header is never taken for a record.
const HEADER_SEED: u64 = 0x706F_626A_2068_6472;
/// Sizes and alignments that stored layouts depend on: size of a pointer, alignment of `u64`, `f64`, `u128`.
const ABI: [u8; 8] = [
    size_of::<usize>() as u8,
    align_of::<u64>() as u8,
    align_of::<f64>() as u8,
    align_of::<u128>() as u8,
    0,
    0,
    0,
    0,
];
/// Bytes of one header; its slot is a whole block, the rest of which is zero.
const HEADER_LEN: usize = 512;

/// A header as it is in the file: all integers little endian.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RawHeader {
    /// [`MAGIC`].
    magic: [u8; 8],
    /// [`FORMAT_VERSION`].
    format_version: u32,
    /// [`ENDIAN_MARK`] in the writer's own byte order.
    endian_mark: u32,
    /// Which of the two headers is in force: the higher.
    generation: u64,
    /// Random; also in each record, so that records of another pool never apply.
    pool_id: u64,
    /// Feature words: unknown bits refuse the pool, refuse changing it, or are ignored.
    incompat: u64,
    ro_compat: u64,
    compat: u64,
    /// [`ABI`].
    abi: [u8; 8],
    /// Address of offset 0 in every process.
    base: u64,
    max_len: u64,
    chunk_len: u64,
    dir_offset: u64,
    dir_len: u64,
    schema_offset: u64,
    schema_len: u64,
    /// Of the encoded schema, under the pool's id.
    schema_checksum: u64,
    /// Of the types: equal types have equal fingerprints.
    schema_fingerprint: u64,
    ring_offset: u64,
    ring_len: u64,
    heap_start: u64,
    /// Zero, and checked to be zero: a later version may use it only with a feature bit.
    reserved: [u64; 32],
    reserved_tail: [u64; 11],
    /// Over all bytes before it.
    checksum: u64,
}

const_assert_eq!(size_of::<RawHeader>(), HEADER_LEN);
const_assert_eq!(std::mem::offset_of!(RawHeader, format_version), 8);
const_assert_eq!(std::mem::offset_of!(RawHeader, endian_mark), 12);
const_assert_eq!(std::mem::offset_of!(RawHeader, generation), 16);
const_assert_eq!(std::mem::offset_of!(RawHeader, pool_id), 24);
const_assert_eq!(std::mem::offset_of!(RawHeader, incompat), 32);
const_assert_eq!(std::mem::offset_of!(RawHeader, base), 64);
const_assert_eq!(std::mem::offset_of!(RawHeader, schema_checksum), 120);
const_assert_eq!(std::mem::offset_of!(RawHeader, heap_start), 152);
const_assert_eq!(std::mem::offset_of!(RawHeader, checksum), HEADER_LEN - 8);

/// A header that passed every check, or that this program made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which of the two headers is in force: the higher.
    pub(crate) generation: u64,
    /// The pool's random name.
    pub(crate) pool_id: u64,
    /// Address of offset 0 in every process.
    pub(crate) base: u64,
    /// Feature bits whose meaning this program knows, or may ignore.
    pub(crate) ro_compat: u64,
    /// Feature bits that anyone may ignore.
    pub(crate) compat: u64,
    /// Checksum of the encoded schema.
    pub(crate) schema_checksum: u64,
    /// Fingerprint of the types.
    pub(crate) schema_fingerprint: u64,
    /// Where everything is.
    pub(crate) geometry: Geometry,
}

impl Header {
    /// The first header of a new pool, whose encoded schema is `schema`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if `base` cannot be the base of a pool of this length.
    pub(crate) fn new(
        pool_id: u64,
        base: u64,
        geometry: Geometry,
        schema: &[u8],
        fingerprint: u64,
    ) -> Result<Self> {
        if let Some(reason) = base_problem(base, geometry.max_len) {
            return Err(Error::InvalidOption { option: "base", reason });
        }
        if geometry.schema_len != schema.len() as u64 {
            let reason = format!("{} bytes, laid out for {}", schema.len(), geometry.schema_len);
            return Err(Error::InvalidOption { option: "schema", reason });
        }
        Ok(Self {
            generation: 1,
            pool_id,
            base,
            ro_compat: 0,
            compat: 0,
            schema_checksum: checksum(pool_id, schema),
            schema_fingerprint: fingerprint,
            geometry,
        })
    }

    /// The same header for the next write: one generation on.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self { generation: self.generation + 1, ..self }
    }

    /// Where this header belongs, and the whole block to write there.
    pub(crate) fn encode(&self) -> (u64, [u8; BLOCK as usize]) {
        let g = &self.geometry;
        let mut raw = RawHeader {
            magic: MAGIC,
            format_version: FORMAT_VERSION,
            endian_mark: ENDIAN_MARK,
            generation: self.generation,
            pool_id: self.pool_id,
            incompat: 0,
            ro_compat: self.ro_compat,
            compat: self.compat,
            abi: ABI,
            base: self.base,
            max_len: g.max_len,
            chunk_len: CHUNK,
            dir_offset: g.dir_offset,
            dir_len: g.dir_len,
            schema_offset: g.schema_offset,
            schema_len: g.schema_len,
            schema_checksum: self.schema_checksum,
            schema_fingerprint: self.schema_fingerprint,
            ring_offset: g.ring_offset,
            ring_len: g.ring_len,
            heap_start: g.heap_start,
            reserved: [0; 32],
            reserved_tail: [0; 11],
            checksum: 0,
        };
        raw.checksum = raw.expected_checksum();
        let mut block = [0; BLOCK as usize];
        block[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&raw));
        (HEADER_SLOTS[(self.generation % 2) as usize], block)
    }

    /// Checks the bytes of the schema region against the header.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if they are not the ones that the header was made for.
    pub(crate) fn verify_schema(&self, schema: &[u8]) -> Result<()> {
        if schema.len() as u64 != self.geometry.schema_len
            || checksum(self.pool_id, schema) != self.schema_checksum
        {
            return Err(Error::corrupt(
                "the schema does not match its checksum",
                self.geometry.schema_offset,
            ));
        }
        Ok(())
    }
}

/// The two header slots of a file, as read.
pub(crate) struct UnverifiedHeader {
    slots: [Option<RawHeader>; 2],
    first_bytes: Vec<u8>,
}

impl UnverifiedHeader {
    /// How many bytes from the start of the file to read; a shorter file gives what it has.
    pub(crate) const READ_LEN: u64 = 2 * BLOCK;

    /// Takes the first bytes of a file.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let slots = HEADER_SLOTS.map(|slot| {
            let slot = slot as usize;
            bytes.get(slot..slot + HEADER_LEN).map(bytemuck::pod_read_unaligned::<RawHeader>)
        });
        Self { slots, first_bytes: bytes[..bytes.len().min(MAGIC.len())].to_vec() }
    }

    /// Chooses the whole header with the higher generation and checks all that it says against itself and against
    /// `file_len`. `writable` is false for a read-only open, which may ignore the ro-compat features.
    ///
    /// # Errors
    ///
    /// [`Error::NotAPool`], [`Error::UnsupportedFormat`] or [`Error::Corrupt`].
    pub(crate) fn verify(&self, path: &Path, file_len: u64, writable: bool) -> Result<Header> {
        let named = self.slots.iter().flatten().filter(|raw| raw.magic == MAGIC);
        let whole = named.clone().filter(|raw| raw.checksum == raw.expected_checksum());
        let Some(raw) = whole.max_by_key(|raw| raw.generation) else {
            return Err(match named.clone().next() {
                Some(raw) if raw.endian_mark == ENDIAN_MARK.swap_bytes() => Error::UnsupportedFormat {
                    what: "byte order mark",
                    found: u64::from(raw.endian_mark),
                    supported: u64::from(ENDIAN_MARK),
                },
                Some(_) => Error::corrupt("no header slot matches its checksum", 0),
                None if self.first_bytes == MAGIC => Error::corrupt("the file ends inside its header", 0),
                None => Error::NotAPool {
                    path: path.to_owned(),
                    found: describe_bytes(&self.first_bytes, file_len),
                },
            });
        };
        let offset = HEADER_SLOTS[(raw.generation % 2) as usize];
        raw.check_supported(writable)?;
        let geometry = raw.check_geometry(offset)?;
        if file_len < geometry.heap_start {
            let what = format!(
                "the file has {file_len} bytes and ends before its heap at {:#x}",
                geometry.heap_start
            );
            return Err(Error::corrupt(what, file_len));
        }
        Ok(Header {
            generation: raw.generation,
            pool_id: raw.pool_id,
            base: raw.base,
            ro_compat: raw.ro_compat,
            compat: raw.compat,
            schema_checksum: raw.schema_checksum,
            schema_fingerprint: raw.schema_fingerprint,
            geometry,
        })
    }
}

/// Versions and features that a program knows of one kind of file.
pub(crate) struct Supported {
    pub(crate) format_version: u32,
    pub(crate) incompat: u64,
    pub(crate) ro_compat: u64,
}

impl Supported {
    /// An error if a file of this version, with these incompatible and ro-compat features, may not be used.
    pub(crate) fn check(
        &self,
        endian_mark: u32,
        format_version: u32,
        [incompat, ro_compat]: [u64; 2],
        writable: bool,
    ) -> Result<()> {
        let refuse = |what, found, supported| Err(Error::UnsupportedFormat { what, found, supported });
        if endian_mark != ENDIAN_MARK {
            return refuse("byte order mark", u64::from(endian_mark), u64::from(ENDIAN_MARK));
        }
        if format_version != self.format_version {
            return refuse("format version", u64::from(format_version), u64::from(self.format_version));
        }
        if incompat & !self.incompat != 0 {
            return refuse("set of incompatible features", incompat, self.incompat);
        }
        if writable && ro_compat & !self.ro_compat != 0 {
            return refuse("set of features needed for writing", ro_compat, self.ro_compat);
        }
        Ok(())
    }
}

/// The start of a foreign file in words.
pub(crate) fn describe_bytes(first: &[u8], file_len: u64) -> String {
    match first {
        [] => "the file is empty".to_owned(),
        bytes => {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("its {file_len} bytes begin with {}", bytes.join(" "))
        }
    }
}

impl RawHeader {
    fn expected_checksum(&self) -> u64 {
        checksum(HEADER_SEED, &bytemuck::bytes_of(self)[..HEADER_LEN - 8])
    }

    /// Whether this program may use a pool with these versions and features.
    fn check_supported(&self, writable: bool) -> Result<()> {
        SUPPORTED.check(self.endian_mark, self.format_version, [self.incompat, self.ro_compat], writable)?;
        if self.abi != ABI {
            let (found, supported) = (u64::from_le_bytes(self.abi), u64::from_le_bytes(ABI));
            return Err(Error::UnsupportedFormat { what: "set of type sizes", found, supported });
        }
        Ok(())
    }

    /// The layout that follows from the header's three free numbers must be the one that it states.
    fn check_geometry(&self, offset: u64) -> Result<Geometry> {
        let corrupt = |what: &str| Err(Error::corrupt(format!("header: {what}"), offset));
        if self.generation > u64::MAX / 2 {
            return corrupt("impossible generation");
        }
        if self.chunk_len != CHUNK {
            return corrupt("impossible chunk length");
        }
        if self.reserved.iter().chain(&self.reserved_tail).any(|&word| word != 0) {
            return corrupt("reserved words are not zero");
        }
        let geometry = match Geometry::new(self.max_len, self.ring_len, self.schema_len) {
            Ok(geometry) => geometry,
            Err(Error::InvalidOption { option, reason }) => {
                return corrupt(&format!("impossible {option}: {reason}"));
            }
            Err(other) => return Err(other),
        };
        let stated = Geometry {
            max_len: self.max_len,
            dir_offset: self.dir_offset,
            dir_len: self.dir_len,
            schema_offset: self.schema_offset,
            schema_len: self.schema_len,
            ring_offset: self.ring_offset,
            ring_len: self.ring_len,
            heap_start: self.heap_start,
        };
        if stated != geometry {
            return corrupt("its offsets do not follow from its lengths");
        }
        match base_problem(self.base, self.max_len) {
            Some(problem) => corrupt(&format!("impossible base: {problem}")),
            None => Ok(geometry),
        }
    }
}

/// Why a pool of `max_len` bytes cannot lie at `base`.
fn base_problem(base: u64, max_len: u64) -> Option<String> {
    if base == 0 || !base.is_multiple_of(BLOCK) {
        return Some(format!("{base:#x} is not a multiple of {BLOCK}"));
    }
    match base.checked_add(max_len) {
        Some(end) if end <= ADDRESS_END => None,
        _ => Some(format!("{base:#x} and {max_len} bytes reach past the address space")),
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_header: RawHeader, "Header" 0, [magic, format_version, endian_mark, generation, pool_id, incompat, ro_compat, compat, abi, base, max_len, chunk_len, dir_offset, dir_len, schema_offset, schema_len, schema_checksum, schema_fingerprint, ring_offset, ring_len, heap_start, reserved, checksum]);

#[cfg(test)]
mod tests {
    use super::*;

    const FILE_LEN: u64 = 4 << 20;
    /// Exhaustive natively; the interpreter looks at a few.
    const STEP: usize = if cfg!(miri) { 509 } else { 1 };

    fn header() -> Header {
        let schema = b"a schema";
        let geometry = Geometry::new(1 << 30, 1 << 20, schema.len() as u64).unwrap();
        Header::new(42, 0x4000_0000_0000, geometry, schema, 7).unwrap()
    }

    fn file(headers: &[Header]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * BLOCK as usize];
        for header in headers {
            let (slot, block) = header.encode();
            bytes[slot as usize..][..block.len()].copy_from_slice(&block);
        }
        bytes
    }

    fn verify(bytes: &[u8]) -> Result<Header> {
        UnverifiedHeader::new(bytes).verify(Path::new("test.pobj"), FILE_LEN, true)
    }

    /// A header with one field changed by `edit` and a checksum that is right again.
    fn crafted(edit: impl FnOnce(&mut RawHeader)) -> Vec<u8> {
        let mut bytes = file(&[header()]);
        let at = BLOCK as usize;
        let mut raw: RawHeader = bytemuck::pod_read_unaligned(&bytes[at..at + HEADER_LEN]);
        edit(&mut raw);
        raw.checksum = raw.expected_checksum();
        bytes[at..at + HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&raw));
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(verify(&file(&[header()])).unwrap(), header());
        header().verify_schema(b"a schema").unwrap();
        assert!(matches!(header().verify_schema(b"A schema"), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn the_newer_whole_header_counts() {
        let both = [header(), header().next()];
        let mut bytes = file(&both);
        assert_eq!(verify(&bytes).unwrap().generation, 2);
        bytes[100] ^= 1; // generation 2 is in slot 0
        assert_eq!(verify(&bytes).unwrap().generation, 1);
        bytes[BLOCK as usize + 100] ^= 1;
        assert!(matches!(verify(&bytes), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn every_flipped_bit_of_a_lone_header_is_noticed() {
        let mut bytes = file(&[header()]);
        for bit in (0..HEADER_LEN * 8).step_by(STEP) {
            let at = BLOCK as usize + bit / 8;
            bytes[at] ^= 1 << (bit % 8);
            assert!(verify(&bytes).is_err(), "bit {bit}");
            bytes[at] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = file(&[header(), header().next()]);
        for len in (0..HEADER_LEN).step_by(STEP) {
            assert!(verify(&bytes[..len]).is_err(), "{len}");
        }
        let short = UnverifiedHeader::new(&bytes).verify(Path::new("test.pobj"), 8192, true);
        assert!(matches!(short, Err(Error::Corrupt { .. })));
    }

    #[test]
    fn foreign_files_are_named_as_such() {
        for bytes in [&b""[..], b"x", b"SQLite format 3\0", &[0; 9000]] {
            assert!(matches!(verify(bytes), Err(Error::NotAPool { .. })));
        }
    }

    #[test]
    fn newer_and_foreign_formats_are_told_from_damage() {
        for bytes in [
            crafted(|raw| raw.format_version = 2),
            crafted(|raw| raw.incompat = 1 << 63),
            crafted(|raw| raw.ro_compat = 1),
            crafted(|raw| raw.abi[0] = 4),
            crafted(|raw| raw.endian_mark = raw.endian_mark.swap_bytes()),
        ] {
            assert!(matches!(verify(&bytes), Err(Error::UnsupportedFormat { .. })));
        }
        let bytes = crafted(|raw| raw.ro_compat = 1);
        assert!(UnverifiedHeader::new(&bytes).verify(Path::new("test.pobj"), FILE_LEN, false).is_ok());
        assert!(verify(&crafted(|raw| raw.compat = u64::MAX)).is_ok());
    }

    #[test]
    fn crafted_numbers_are_corrupt_and_never_overflow() {
        let edits: [fn(&mut RawHeader, u64); 10] = [
            |raw, value| raw.base = value,
            |raw, value| raw.max_len = value,
            |raw, value| raw.chunk_len = value,
            |raw, value| raw.dir_offset = value,
            |raw, value| raw.dir_len = value,
            |raw, value| raw.schema_offset = value,
            |raw, value| raw.schema_len = value.wrapping_add(1 << 20),
            |raw, value| raw.ring_offset = value,
            |raw, value| raw.ring_len = value,
            |raw, value| raw.heap_start = value,
        ];
        for edit in edits {
            for value in [0, 1, 4095, u64::MAX, u64::MAX - 4095, 1 << 63, (1 << 47) - 4096] {
                let result = verify(&crafted(|raw| edit(raw, value)));
                assert!(matches!(result, Err(Error::Corrupt { .. })), "{value:#x}: {result:?}");
            }
        }
        assert!(verify(&crafted(|raw| raw.reserved_tail[10] = 1)).is_err());
        assert!(verify(&crafted(|raw| raw.generation = u64::MAX - 1)).is_err());
    }
}
