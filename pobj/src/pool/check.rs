//! Validation at open: every reachable object, before any `&T` is handed out.

use super::stats::Opened;
use crate::ground::error::{Error, Result};
use crate::heap::Heap;
use crate::layout::Persistent;
use crate::layout::visit::{Invalid, check_all, root_job};
use crate::media::Image;

/// Walks everything reachable from the root with `threads` threads: bit patterns, bounds, alignment, allocated, owned
/// once. Time: at memory speed in the reachable data; memory: one bit for 16 bytes of heap in use.
pub(super) fn validate<R: Persistent>(heap: &Heap, image: &Image, threads: usize) -> Result<Opened> {
    let root = image.load_u64(crate::layout::geometry::ROOT_ADDR);
    let checker = heap.blocks(image);
    let invalid =
        |invalid: Invalid| Error::corrupt(invalid.what.into_owned(), invalid.addr.wrapping_sub(image.base()));
    let jobs = root_job::<R>(&checker, root).map_err(invalid)?;
    let totals = check_all(&checker, jobs, threads).map_err(invalid)?;
    let unreached = checker.unreached();
    Ok(Opened {
        unsafe_shutdown: false,
        replayed: 0,
        validated_values: totals.objects,
        unreachable_blocks: unreached.blocks,
        unreachable_bytes: unreached.bytes,
    })
}
