//! The main job: the word index of about 200 MB of text.

use std::path::Path;
use std::time::Instant;

use examples::persistent::PersistentIndex;
use examples::update::update;
use examples::volatile::VolatileIndex;
use examples::walk::walk;

use crate::Result;
use crate::bench::Bench;
use crate::corpus::copy_text;
use crate::counting::heap_bytes;
use crate::report::{Budget, Row};
use crate::timing::Pairs;

const MIB: f64 = (1 << 20) as f64;

/// `wordindex` over 200 MB of copied source text, one `Eventual` transaction for each file, from creating the pool to
/// closing it. Limit: the same program on `std` collections (`HashMap<String, Vec<(u32, u32)>>`), in turn with it. And
/// the length of the pool file; limit: the bytes which that map holds in the heap, counted by the allocator.
///
/// # Errors
///
/// If the text cannot be copied or indexed.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let text = copy_text(bench, bench.size(200_000_000, 4_000_000))?;
    let path = bench.durable("wordindex");
    let mut pool_len = 0;
    let pairs = Pairs::measure(
        bench.size(3, 1),
        || {
            let _ = std::fs::remove_file(&path);
            let start = Instant::now();
            let walk = walk(&text, None)?;
            let mut index = PersistentIndex::open_or_create(&path, walk.bytes())?;
            update(&mut index, walk, |_, _| {})?;
            index.settle()?;
            index.close()?;
            let time = start.elapsed().as_secs_f64();
            pool_len = std::fs::metadata(&path)?.len();
            Ok(time)
        },
        || {
            let start = Instant::now();
            let index = volatile(&text)?;
            let time = start.elapsed().as_secs_f64();
            drop(index);
            Ok(time)
        },
    )?;
    let heap_len = heap_bytes(volatile(&text)?.words);
    Ok(vec![
        pairs.row("wordindex over 200 MB against std collections", "s").budget(Budget::RatioAtMost(2.0)),
        Row::new("- its pool against the heap of std's map", pool_len as f64 / MIB, "MiB")
            .limit(heap_len as f64 / MIB)
            .budget(Budget::RatioAtMost(1.3)),
    ])
}

fn volatile(text: &Path) -> Result<VolatileIndex> {
    let mut index = VolatileIndex::default();
    update(&mut index, walk(text, None)?, |_, _| {})?;
    Ok(index)
}
