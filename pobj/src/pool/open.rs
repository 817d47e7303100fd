//! Opening a pool: each step trusts only what the one before has checked.
//!
//! Header, then the types, then the address range; nothing has been written so far, so an open that is refused leaves the
//! file untouched. Then recovery, the heap's metadata, and every reachable object.

use std::sync::Arc;

use super::options::Settings;
use super::stats::Opened;
use super::{Parts, PoolCore, check};
use crate::ground::error::{Error, Result};
use crate::ground::random::random_u64;
use crate::heap::Heap;
use crate::journal::{self, Place, Recovered};
use crate::layout::geometry::{CHUNK, Geometry, ROOT_LEN, SUPERBLOCK};
use crate::layout::header::{Header, UnverifiedHeader};
use crate::layout::{Persistent, Schema, compare};
use crate::media::{Image, ImageMode, Media, Placement};

/// How far the caller vouches for the file, and whether it may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Validate every reachable object.
    Validate,
    /// The caller vouches for the objects.
    Trusted,
    /// Validate, and write nothing to the medium.
    ReadOnly,
}

/// Word 1 of the superblock: the heap's length, which is the pool's.
const HEAP_LEN: u64 = SUPERBLOCK + 8;

impl PoolCore {
    pub(crate) fn open<R: Persistent>(
        media: Arc<dyn Media>,
        settings: &Settings,
        trust: Trust,
    ) -> Result<Self> {
        Self::open_readable::<R>(media.clone(), settings, trust)
            .map_err(|error| super::locate(&*media, error))
    }

    fn open_readable<R: Persistent>(
        media: Arc<dyn Media>,
        settings: &Settings,
        trust: Trust,
    ) -> Result<Self> {
        let file_len = media.len()?;
        let header = read_header(&*media, file_len, trust)?;
        let geometry = header.geometry;
        check_schema::<R>(&*media, &header)?;
        let place = place(&header, file_len);
        let (image, recovered) = if trust == Trust::ReadOnly {
            let mapped = file_len.min(geometry.max_len) / CHUNK * CHUNK;
            let image =
                media.image(Placement::At(header.base), mapped, geometry.max_len, ImageMode::Private)?;
            image.show(SUPERBLOCK, CHUNK)?;
            let recovered = journal::recover_into_image(&*media, &place, &image)?;
            check_len(&geometry, image.load_u64(HEAP_LEN), file_len)?;
            (image, recovered)
        } else {
            recover(&*media, &header, &place, file_len, settings.image()?)?
        };
        let heap = Heap::load(&image, &geometry)?;
        if image.load_u64(ROOT_LEN) != size_of::<R>() as u64 {
            return Err(Error::corrupt("the root's length is not that of its type", ROOT_LEN));
        }
        let mut opened = match trust {
            Trust::Trusted if !recovered.unsafe_shutdown => Opened::default(),
            Trust::Trusted | Trust::Validate | Trust::ReadOnly => {
                check::validate::<R>(&heap, &image, settings.threads)?
            }
        };
        if trust != Trust::ReadOnly && file_len > image.len() {
            // Left by a large transaction or by growth that never committed. Cut only now: had the length been
            // damaged, the heap's metadata or the objects would have said so, and nothing is lost yet.
            media.truncate(image.len())?;
        }
        opened.replayed = recovered.replayed;
        opened.unsafe_shutdown = recovered.unsafe_shutdown;
        Self::assemble(
            Parts { media, image, header, state: recovered.state, heap, opened },
            settings,
            trust != Trust::ReadOnly,
        )
    }
}

fn read_header(media: &dyn Media, file_len: u64, trust: Trust) -> Result<Header> {
    let mut bytes = vec![0; file_len.min(UnverifiedHeader::READ_LEN) as usize];
    media.read(0, &mut bytes)?;
    UnverifiedHeader::new(&bytes).verify(&media.path(), file_len, trust != Trust::ReadOnly)
}

/// Equal fingerprints need no look at the stored types; otherwise the differences are the error.
fn check_schema<R: Persistent>(media: &dyn Media, header: &Header) -> Result<()> {
    let mut stored = vec![0; header.geometry.schema_len as usize];
    media.read(header.geometry.schema_offset, &mut stored)?;
    header.verify_schema(&stored)?;
    if header.schema_fingerprint == Schema::fingerprint_of::<R>() {
        return Ok(());
    }
    let damaged = |what| Error::corrupt(format!("schema: {what}"), header.geometry.schema_offset);
    let pool = Schema::decode(&stored).map_err(|what| damaged(what.what))?;
    let differences = compare::differences(&pool, &Schema::of::<R>());
    // Without a difference that matters the types fit, though they were not written alike.
    if differences.is_empty() { Ok(()) } else { Err(Error::SchemaMismatch { differences }) }
}

fn place(header: &Header, file_len: u64) -> Place {
    let g = &header.geometry;
    Place {
        pool_id: header.pool_id,
        ring: g.ring_offset..g.ring_offset + g.ring_len,
        // What lies behind the last whole chunk is no home: a large transaction's body, perhaps.
        home: [SUPERBLOCK..g.dir_offset + g.dir_len, g.heap_start..file_len.min(g.max_len) / CHUNK * CHUNK],
    }
}

fn check_len(geometry: &Geometry, heap_len: u64, file_len: u64) -> Result<()> {
    let possible = geometry.heap_start + CHUNK..=geometry.max_len;
    if !heap_len.is_multiple_of(CHUNK) || !possible.contains(&heap_len) {
        return Err(Error::corrupt(format!("the pool's length is said to be {heap_len}"), HEAP_LEN));
    }
    if heap_len > file_len {
        let what = format!("the file has {file_len} bytes of the pool's {heap_len}; it was cut short");
        return Err(Error::corrupt(what, file_len));
    }
    Ok(())
}

/// Recovers into home and maps the image.
fn recover(
    media: &dyn Media,
    header: &Header,
    place: &Place,
    file_len: u64,
    mode: ImageMode,
) -> Result<(Image, Recovered)> {
    let geometry = &header.geometry;
    // The addresses must be free before anything is written.
    drop(media.image(Placement::At(header.base), CHUNK, geometry.max_len, mode)?);
    let recovered = journal::recover_into_home(media, place, random_u64()?)?;
    let mut word = [0; 8];
    media.read(HEAP_LEN, &mut word)?;
    let heap_len = u64::from_le_bytes(word);
    check_len(geometry, heap_len, file_len)?;
    Ok((media.image(Placement::At(header.base), heap_len, geometry.max_len, mode)?, recovered))
}
