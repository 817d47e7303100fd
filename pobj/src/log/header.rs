//! The log's header: two slots of one block each, as a pool has them. A new header goes to the slot that is not in force,
//! so a torn write of it leaves the old one.
//!
//! Besides what never changes it says where the generation is that counts, and two things about its frames that let an
//! open be quick and damage be found:
//!
//! - everything before `tail` is durable, and ends there with a whole append;
//! - no frame of the generation ends beyond `limit`, which is durable before a frame goes there.
//!
//! Where the two are equal nothing has to be looked for: the log was closed, or never appended to.

use std::ops::Add;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert_eq;

use crate::ground::checksum::checksum;
use crate::ground::error::{Error, Result};
use crate::layout::geometry::{BLOCK, HEADER_SLOTS};
use crate::layout::header::{ENDIAN_MARK, Supported, describe_bytes};
use crate::media::Media;

/// First bytes of every log. The last one catches transfers that strip the eighth bit.
const MAGIC: [u8; 8] = *b"pobjlog\xF0";
const FORMAT_VERSION: u32 = 1;
/// Features without which the log cannot be understood, and that must be understood before it is changed. None yet.
const INCOMPAT_KNOWN: u64 = 0;
const RO_COMPAT_KNOWN: u64 = 0;
/// What this program supports.
const SUPPORTED: Supported =
    Supported { format_version: FORMAT_VERSION, incompat: INCOMPAT_KNOWN, ro_compat: RO_COMPAT_KNOWN };
/// Seed of the header's checksum, so that a header is never taken for something else.
const HEADER_SEED: u64 = 0x706F_626A_206C_6F67;
const HEADER_LEN: usize = 256;

/// Where the frames begin.
pub(super) const AREA: u64 = 2 * BLOCK;
/// Capacities are multiples of this.
pub(super) const CAPACITY_UNIT: u64 = BLOCK;
/// Largest capacity.
pub(super) const CAPACITY_MAX: u64 = 1 << 46;
/// Alignments that frames can have.
pub(super) const ALIGN_MIN: u64 = 8;
/// A block: no durable block is ever written again.
pub(super) const ALIGN_MAX: u64 = BLOCK;

/// A header as it is in the file: all integers little endian.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    format_version: u32,
    endian_mark: u32,
    /// Which of the two headers is in force: the higher.
    sequence: u64,
    /// Random.
    log_id: u64,
    incompat: u64,
    ro_compat: u64,
    compat: u64,
    area_offset: u64,
    capacity: u64,
    align: u64,
    /// Counts the rewinds.
    generation: u64,
    tail: u64,
    entries: u64,
    bytes: u64,
    limit: u64,
    /// Bytes of the area that have been written at least once, so that a durable write there allocates nothing.
    written: u64,
    /// Zero, and checked to be zero.
    reserved: [u64; 15],
    /// Over all bytes before it.
    checksum: u64,
}

const_assert_eq!(size_of::<RawHeader>(), HEADER_LEN);
const_assert_eq!(std::mem::offset_of!(RawHeader, sequence), 16);
const_assert_eq!(std::mem::offset_of!(RawHeader, area_offset), 56);
const_assert_eq!(std::mem::offset_of!(RawHeader, generation), 80);
const_assert_eq!(std::mem::offset_of!(RawHeader, written), 120);
const_assert_eq!(std::mem::offset_of!(RawHeader, checksum), HEADER_LEN - 8);

/// An end of the log: of what was appended, or of what is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// Offset in the area.
    pub(super) offset: u64,
    /// Entries before it.
    pub(super) entries: u64,
    /// Their bytes, without what frames add.
    pub(super) bytes: u64,
}

impl Add for End {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let (entries, bytes) = (self.entries + more.entries, self.bytes + more.bytes);
        Self { offset: self.offset + more.offset, entries, bytes }
    }
}

/// A header that passed every check, or that this program made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) log_id: u64,
    pub(super) capacity: u64,
    pub(super) align: u64,
    pub(super) generation: u64,
    pub(super) tail: End,
    pub(super) limit: u64,
    pub(super) written: u64,
}

impl Header {
    /// The first header of an empty log.
    pub(super) fn new(log_id: u64, capacity: u64, align: u64) -> Self {
        let tail = End::default();
        Self { sequence: 1, log_id, capacity, align, generation: 1, tail, limit: 0, written: 0 }
    }

    /// Length of the whole file.
    pub(super) fn file_len(&self) -> u64 {
        AREA + self.capacity
    }

    /// Where this header belongs, and the whole block to write there.
    fn encode(&self) -> (u64, [u8; BLOCK as usize]) {
        let mut raw = RawHeader {
            magic: MAGIC,
            format_version: FORMAT_VERSION,
            endian_mark: ENDIAN_MARK,
            sequence: self.sequence,
            log_id: self.log_id,
            incompat: 0,
            ro_compat: 0,
            compat: 0,
            area_offset: AREA,
            capacity: self.capacity,
            align: self.align,
            generation: self.generation,
            tail: self.tail.offset,
            entries: self.tail.entries,
            bytes: self.tail.bytes,
            limit: self.limit,
            written: self.written,
            reserved: [0; 15],
            checksum: 0,
        };
        raw.checksum = raw.expected_checksum();
        let mut block = [0; BLOCK as usize];
        block[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&raw));
        (HEADER_SLOTS[(self.sequence % 2) as usize], block)
    }

    /// Writes both slots of a new log, without durability.
    pub(super) fn format(self, media: &dyn Media) -> Result<Self> {
        let second = Self { sequence: self.sequence + 1, ..self };
        for header in [self, second] {
            let (offset, block) = header.encode();
            media.write(offset, &block)?;
        }
        Ok(second)
    }

    /// Puts this header in force, one sequence number on. Durable when it returns.
    pub(super) fn store(self, media: &dyn Media) -> Result<Self> {
        let next = Self { sequence: self.sequence + 1, ..self };
        let (offset, block) = next.encode();
        media.write_durable(offset, &block)?;
        Ok(next)
    }

    /// Reads the header that is in force, and checks all that it says against itself and the file's length.
    ///
    /// # Errors
    ///
    /// [`Error::NotALog`], [`Error::UnsupportedFormat`] or [`Error::Corrupt`].
    pub(super) fn load(media: &dyn Media, writable: bool) -> Result<Self> {
        let file_len = media.len()?;
        let mut bytes = vec![0; file_len.min(AREA) as usize];
        media.read(0, &mut bytes)?;
        Self::decode(&bytes, &media.path(), file_len, writable)
    }

    fn decode(bytes: &[u8], path: &Path, file_len: u64, writable: bool) -> Result<Self> {
        let slots = HEADER_SLOTS.map(|slot| {
            let slot = slot as usize;
            bytes.get(slot..slot + HEADER_LEN).map(bytemuck::pod_read_unaligned::<RawHeader>)
        });
        let named = slots.iter().flatten().filter(|raw| raw.magic == MAGIC);
        let whole = named.clone().filter(|raw| raw.checksum == raw.expected_checksum());
        let Some(raw) = whole.max_by_key(|raw| raw.sequence) else {
            return Err(match named.clone().next() {
                Some(raw) if raw.endian_mark == ENDIAN_MARK.swap_bytes() => Error::UnsupportedFormat {
                    what: "byte order mark",
                    found: u64::from(raw.endian_mark),
                    supported: u64::from(ENDIAN_MARK),
                },
                Some(_) => Error::corrupt("no header slot matches its checksum", 0),
                None if bytes.starts_with(&MAGIC) => Error::corrupt("the file ends inside its header", 0),
                None => Error::NotALog {
                    path: path.to_owned(),
                    found: describe_bytes(&bytes[..bytes.len().min(MAGIC.len())], file_len),
                },
            });
        };
        let offset = HEADER_SLOTS[(raw.sequence % 2) as usize];
        raw.check_supported(writable)?;
        if let Some(problem) = raw.problem() {
            return Err(Error::corrupt(format!("header: {problem}"), offset));
        }
        let header = Self {
            sequence: raw.sequence,
            log_id: raw.log_id,
            capacity: raw.capacity,
            align: raw.align,
            generation: raw.generation,
            tail: End { offset: raw.tail, entries: raw.entries, bytes: raw.bytes },
            limit: raw.limit,
            written: raw.written,
        };
        if file_len < header.file_len() {
            let what =
                format!("the file has {file_len} bytes of the log's {}; it was cut short", header.file_len());
            return Err(Error::corrupt(what, file_len));
        }
        Ok(header)
    }
}

impl RawHeader {
    fn expected_checksum(&self) -> u64 {
        checksum(HEADER_SEED, &bytemuck::bytes_of(self)[..HEADER_LEN - 8])
    }

    /// Whether this program may use a log with these versions and features.
    fn check_supported(&self, writable: bool) -> Result<()> {
        SUPPORTED.check(self.endian_mark, self.format_version, [self.incompat, self.ro_compat], writable)
    }

    /// What cannot be, if anything.
    fn problem(&self) -> Option<&'static str> {
        if self.reserved.iter().any(|word| *word != 0) {
            return Some("reserved words are not zero");
        }
        // What only counts up; nobody lives to count the other half.
        if self.sequence > u64::MAX / 2 || self.generation > u64::MAX / 2 {
            return Some("impossible sequence or generation");
        }
        if self.area_offset != AREA {
            return Some("impossible place of the area");
        }
        if !is_capacity(self.capacity) {
            return Some("impossible capacity");
        }
        if !is_align(self.align) {
            return Some("impossible alignment");
        }
        if self.limit > self.capacity || self.written > self.capacity || self.tail > self.limit {
            return Some("places beyond the area");
        }
        if !self.tail.is_multiple_of(self.align) || !self.limit.is_multiple_of(self.align) {
            return Some("places that are not aligned");
        }
        let framed =
            self.entries.checked_mul(super::frame::HEAD_LEN).and_then(|heads| heads.checked_add(self.bytes));
        if framed.is_none_or(|framed| framed > self.tail) {
            return Some("more entries than there is room for");
        }
        None
    }
}

/// Whether a log can have this capacity.
pub(super) fn is_capacity(capacity: u64) -> bool {
    capacity > 0 && capacity.is_multiple_of(CAPACITY_UNIT) && capacity <= CAPACITY_MAX
}

/// Whether frames can be aligned so.
pub(super) fn is_align(align: u64) -> bool {
    align.is_power_of_two() && (ALIGN_MIN..=ALIGN_MAX).contains(&align)
}

#[cfg(test)]
crate::ground::book::layout!(book_header_of_a_log: RawHeader, "Header of a log" 0, [magic, format_version, endian_mark, sequence, log_id, incompat, ro_compat, compat, area_offset, capacity, align, generation, tail, entries, bytes, limit, written, reserved, checksum]);

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: usize = if cfg!(miri) { 509 } else { 1 };

    fn header() -> Header {
        let tail = End { offset: 800, entries: 10, bytes: 640 };
        Header { tail, limit: 1 << 20, written: 1 << 20, ..Header::new(42, 1 << 24, 8) }
    }

    fn file(headers: &[Header]) -> Vec<u8> {
        let mut bytes = vec![0; AREA as usize];
        for header in headers {
            let (slot, block) = header.encode();
            bytes[slot as usize..][..block.len()].copy_from_slice(&block);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Header> {
        Header::decode(bytes, Path::new("test.log"), header().file_len(), true)
    }

    #[test]
    fn the_higher_whole_header_counts() {
        let (old, new) = (header(), Header { sequence: 2, generation: 9, ..header() });
        assert_eq!(decode(&file(&[old, new])).unwrap(), new);
        let mut torn = file(&[old, new]);
        torn[100] ^= 1;
        assert_eq!(decode(&torn).unwrap(), old);
        torn[BLOCK as usize + 100] ^= 1;
        assert!(matches!(decode(&torn), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn every_flipped_bit_of_a_lone_header_is_found() {
        for bit in (0..HEADER_LEN * 8).step_by(STEP) {
            let mut bytes = file(&[Header { sequence: 2, ..header() }]);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
    }

    /// Whole headers that no program of this version writes.
    #[test]
    fn impossible_headers_are_refused() {
        let edits: [fn(&mut RawHeader); 14] = [
            |raw| raw.sequence = u64::MAX - 1,
            |raw| raw.generation = u64::MAX,
            |raw| raw.format_version = 2,
            |raw| raw.incompat = 1,
            |raw| raw.ro_compat = 1,
            |raw| raw.endian_mark = ENDIAN_MARK.swap_bytes(),
            |raw| raw.area_offset = 4096,
            |raw| raw.capacity = 0,
            |raw| raw.align = 24,
            |raw| raw.tail = 801,
            |raw| raw.limit = u64::MAX,
            |raw| raw.bytes = u64::MAX,
            |raw| raw.entries = u64::MAX / 8,
            |raw| raw.reserved[7] = 1,
        ];
        for (number, edit) in edits.into_iter().enumerate() {
            let mut bytes = file(&[Header { sequence: 2, ..header() }]);
            let mut raw: RawHeader = bytemuck::pod_read_unaligned(&bytes[..HEADER_LEN]);
            edit(&mut raw);
            raw.checksum = raw.expected_checksum();
            bytes[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&raw));
            let refused = decode(&bytes);
            assert!(
                matches!(refused, Err(Error::Corrupt { .. } | Error::UnsupportedFormat { .. })),
                "edit {number}: {refused:?}"
            );
        }
    }

    #[test]
    fn foreign_and_short_files() {
        assert!(matches!(decode(b"#!/bin/sh"), Err(Error::NotALog { .. })));
        assert!(matches!(decode(b""), Err(Error::NotALog { .. })));
        assert!(matches!(decode(&MAGIC), Err(Error::Corrupt { .. })));
        let short = Header::decode(&file(&[header()]), Path::new("test.log"), AREA, true);
        assert!(matches!(short, Err(Error::Corrupt { offset: AREA, .. })), "{short:?}");
    }
}
