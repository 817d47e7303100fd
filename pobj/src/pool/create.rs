//! Making a pool: every region written under a temporary name, then published.
//!
//! Order does not matter before [`Media::publish`]: until it returns there is no pool. After it there is a whole one.

use std::ops::Range;
use std::sync::Arc;

use super::options::Settings;
use super::stats::Opened;
use super::{Parts, PoolCore};
use crate::ground::error::Result;
use crate::ground::random::random_u64;
use crate::heap::Heap;
use crate::journal;
use crate::layout::Schema;
use crate::layout::geometry::{CHUNK, Geometry};
use crate::layout::header::Header;
use crate::media::{Image, Media, Placement};

/// The ring is written in pieces of this length. The page cache keeps such a piece in few large folios, whose dirty
/// state is cheap to clear: `Eventual` commits store into them while a background sync writes them.
const PIECE: usize = 1 << 20;

impl PoolCore {
    /// Formats a pool on an empty medium. It has no root yet and is not yet published.
    pub(crate) fn create(media: Arc<dyn Media>, settings: &Settings, schema: &Schema) -> Result<Self> {
        let encoded = schema.encode();
        let max_len = settings.max_size / CHUNK * CHUNK;
        let geometry = Geometry::new(max_len, settings.ring_size, encoded.len() as u64)?;
        let len = initial_len(&geometry, settings.size);
        media.grow(len)?;
        let image = media.image(Placement::Anywhere, len, geometry.max_len, settings.image()?)?;
        let pool_id = random_u64()?;
        let header = Header::new(pool_id, image.base(), geometry, &encoded, schema.fingerprint())?;
        for header in [header, header.next()] {
            let (offset, block) = header.encode();
            media.write(offset, &block)?;
        }
        media.write(geometry.schema_offset, &encoded)?;
        write_ring(&*media, &geometry)?;
        write_heap(&*media, &image, &Heap::format(&image, &geometry)?)?;
        journal::format_state(&*media, pool_id, random_u64()?)?;
        let heap = Heap::load(&image, &geometry)?;
        let state = journal::RingState::load(&*media, pool_id, geometry.ring_len)?;
        Self::assemble(Parts { media, image, header, state, heap, opened: Opened::default() }, settings, true)
    }

    /// Brings home up to date and makes the pool visible.
    pub(crate) fn publish(&self) -> Result<()> {
        self.checkpoint()?;
        self.media.publish()
    }
}

/// Room for a metadata chunk and `size` bytes of objects, as far as the pool may grow.
fn initial_len(geometry: &Geometry, size: u64) -> u64 {
    let chunks = size.div_ceil(CHUNK).max(1) + 1;
    geometry.heap_start + chunks.min(geometry.max_chunks()) * CHUNK
}

/// Writes every block of the ring, so that no durable write of a commit has to allocate one.
fn write_ring(media: &dyn Media, geometry: &Geometry) -> Result<()> {
    let zeros = vec![0; PIECE.min(geometry.ring_len as usize)];
    let mut done = 0;
    while done < geometry.ring_len {
        let len = (geometry.ring_len - done).min(zeros.len() as u64);
        media.write(geometry.ring_offset + done, &zeros[..len as usize])?;
        done += len;
    }
    Ok(())
}

/// Writes what formatting the heap left in the image.
fn write_heap(media: &dyn Media, image: &Image, ranges: &[Range<u64>]) -> Result<()> {
    for range in ranges {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        image.load(range.start, &mut bytes);
        media.write(range.start, &bytes)?;
    }
    Ok(())
}
