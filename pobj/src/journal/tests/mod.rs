//! The journal by itself, over a medium that can be watched, held up and made to fail.

mod recovery;
mod waits;

use crate::ground::error::Result;
use crate::layout::geometry::Geometry;
use crate::media::hooked::{Hook, Hooked, held, patience};
use crate::media::{Domain, ImageMode, Media, Placement, RamMedia};

const POOL: u64 = 77;
const EPOCH: u64 = 5;
const RING_LEN: u64 = 64 << 10;

fn geometry(ring_len: u64) -> Geometry {
    Geometry::new(ring_len + (1 << 20), ring_len, 100).unwrap()
}
