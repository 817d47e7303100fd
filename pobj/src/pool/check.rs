//! The walks over every reachable object: validation at open, before any `&T` is handed out, and the survey on which
//! [`Pool::collect`](crate::Pool::collect) acts.

use super::stats::Opened;
use crate::ground::error::Result;
use crate::heap::Heap;
use crate::layout::Persistent;
use crate::layout::shared::{Correction, check_shared, corrections};
use crate::layout::visit::{Purpose, check_all, keep_points, root_job};
use crate::media::Image;

fn root(image: &Image) -> u64 {
    image.load_u64(crate::layout::geometry::ROOT_ADDR)
}

/// Walks everything reachable from the root with `threads` threads: bit patterns, bounds, alignment, allocated, owned
/// once, shared as counted. Time: at memory speed in the reachable data; memory: one bit for 16 bytes of heap in use,
/// and 24 bytes for each pointer to a shared block.
pub(super) fn validate<R: Persistent>(heap: &Heap, image: &Image, threads: usize) -> Result<Opened> {
    let checker = heap.blocks(image);
    let jobs = root_job::<R>(&checker, root(image)).map_err(|found| checker.cause(found))?;
    let walk = check_all(&checker, Purpose::Check, jobs, threads).map_err(|found| checker.cause(found))?;
    check_shared(walk.shared).map_err(|found| checker.cause(found))?;
    let unreached = checker.unreached();
    Ok(Opened {
        unsafe_shutdown: false,
        replayed: 0,
        validated_values: walk.totals.objects,
        unreachable_blocks: unreached.blocks,
        unreachable_bytes: unreached.bytes,
    })
}

/// What is allocated and not reachable, and counts that are too high for what is.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Addresses of the blocks.
    pub(crate) garbage: Vec<u64>,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Counts that are too high.
    pub(crate) corrections: Vec<Correction>,
}

/// Walks what must be kept, as [`validate`] walks what must be valid. No reservation may be open.
pub(crate) fn survey<R: Persistent>(heap: &Heap, image: &Image, threads: usize) -> Result<Survey> {
    let checker = heap.blocks(image);
    let jobs = root_job::<R>(&checker, root(image)).map_err(|found| checker.cause(found))?;
    let walk = check_all(&checker, Purpose::Collect, jobs, threads).map_err(|found| checker.cause(found))?;
    let walk = keep_points(&checker, walk).map_err(|found| checker.cause(found))?;
    let corrections = corrections(&checker, walk.shared).map_err(|found| checker.cause(found))?;
    let garbage = checker.unreached_addrs().collect();
    Ok(Survey { garbage, bytes: checker.unreached().bytes, corrections })
}
