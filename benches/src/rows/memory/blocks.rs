//! Blocks of 4 KiB: written one per transaction, and read, at random places of an array.

use pobj::blk::Blocks;
use pobj::media::Domain;
use rand::Rng;

use super::each;
use crate::Result;
use crate::bare::RING_LEN;
use crate::bare_memory::BareMemory;
use crate::bench::{Bench, random};
use crate::report::Row;
use crate::timing::Pairs;

const BLOCK_LEN: usize = 4096;
const LINES: usize = BLOCK_LEN / 64;
/// Blocks of the array: 64 MiB, more than caches hold.
const COUNT: usize = 16 << 10;
/// Writes, or reads, of one batch.
const BATCH: usize = 32;

/// Write of one 4 KiB block, every word of it another one. Limit: 4 KiB of non-temporal lines and a fence, into a ring.
/// Also the fences of each write; and the read of a block, against copying 4 KiB out of ordinary memory at the same
/// random places.
///
/// # Errors
///
/// If the files cannot be made.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(COUNT, COUNT / 16);
    let options = Blocks::options().size((count * BLOCK_LEN * 2) as u64).force_domain(Domain::CacheLine);
    let blocks = options.create(bench.memory("blocks"), BLOCK_LEN, count as u64)?;
    let mut block = vec![0; BLOCK_LEN];
    for number in 0..count {
        block.fill(number as u8 | 1);
        blocks.write(number as u64, &block)?;
        // The first read of some pages asks the system for them.
        blocks.read(number as u64, &mut block)?;
    }
    blocks.checkpoint()?;

    let mut bare = BareMemory::new(&bench.memory("blocks-bare"), RING_LEN)?;
    let mut places = random();
    let (mut writes, before) = (0, blocks.stats().foreground.fences);
    let rounds = bench.size(12, 1) * RING_LEN / BLOCK_LEN / BATCH;
    let written = Pairs::measure(
        rounds,
        || {
            each(BATCH, || {
                writes += 1;
                block.fill(writes as u8);
                Ok(blocks.write(places.random_range(0..count as u64), &block)?)
            })
        },
        || {
            each(BATCH, || {
                bare.write_lines(LINES, 7);
                Ok(())
            })
        },
    )?;
    let fences = (blocks.stats().foreground.fences - before) as f64 / writes as f64;

    let memory = vec![7u8; count * BLOCK_LEN];
    let (mut places, mut bare_places) = (random(), random());
    let (mut into, mut bare_into) = (vec![0; BLOCK_LEN], vec![0; BLOCK_LEN]);
    let read = Pairs::measure(
        bench.size(2000, 50),
        || each(BATCH, || Ok(blocks.read(places.random_range(0..count as u64), &mut into)?)),
        || {
            each(BATCH, || {
                let start = bare_places.random_range(0..count) * BLOCK_LEN;
                bare_into.copy_from_slice(&memory[start..start + BLOCK_LEN]);
                std::hint::black_box(&mut bare_into);
                Ok(())
            })
        },
    )?;
    Ok(vec![
        written.row("memory: write of a 4 KiB block", "ns"),
        Row::new("- fences per write of a block", fences, "fences").limit(1.0),
        read.row("memory: read of a 4 KiB block, against memcpy", "ns"),
    ])
}
