//! Changing what is there: one word, ten lines; by redo, and by undo in place.

use pobj::Pool;
use pobj::media::ImageMode;
use rand::Rng;
use rand::rngs::SmallRng;

use super::{
    Asked, COUNTED, Fences, ONE_FENCE, Turns, each, each_of_peer, fences, fences_of_peer, job_rows,
    steady_commits,
};
use crate::Result;
use crate::bare::RING_LEN;
use crate::bare_memory::BareMemory;
use crate::bench::{Bench, random};
use crate::fill::{lay_out, memory_pool};
use crate::peer::Peer;
use crate::report::{Budget, Row};
use crate::types::{Counter, Run, increment};

/// Bytes in the ring of a record that changes one word.
const WORD_RECORD_LEN: usize = 64;
/// At least the bytes in the ring of a record that changes ten lines.
const LINES_RECORD_LEN: usize = 640;
/// Commits of one batch.
const WORD_BATCH: usize = 256;
const LINES_BATCH: usize = 32;
/// Lines that one transaction changes.
const CHANGED: usize = 10;
/// Lines among which those are: 256 MiB.
const LINES: usize = (256 << 20) / LINE_LEN;
const LINE_LEN: usize = 64;
/// Room for small jobs.
const SMALL: usize = 64 << 20;

/// Commit of one 8-byte change, always of the same word. Limit: one non-temporal line and a fence.
///
/// # Errors
///
/// If the files cannot be made.
pub fn word_rows(bench: &Bench) -> Result<Vec<Row>> {
    let pool = memory_pool::<Counter>(&bench.memory("word"), 1 << 20, ImageMode::Private)?;
    let mut peer = Peer::create(&bench.memory("word-peer"), SMALL)?;
    let (turns, pobj) = word(bench, "word-bare", &pool, &mut peer)?;
    let fences = Fences { pobj, peer: fences_of_peer(&mut peer, COUNTED, Peer::change_word)? };
    let asked = Asked { limit: Budget::RatioAtMost(1.4), fences: ONE_FENCE, times: 3.5 };
    Ok(job_rows("one 8-byte change", "ns", &turns, fences, asked))
}

/// The figures, and the pool's fences for each commit.
fn word(bench: &Bench, bare: &str, pool: &Pool<Counter>, peer: &mut Option<Peer>) -> Result<(Turns, f64)> {
    let mut bare = BareMemory::new(&bench.memory(bare), RING_LEN)?;
    let before = fences(pool);
    let turns = Turns::measure(
        steady_commits(bench, WORD_RECORD_LEN) / WORD_BATCH,
        [
            &mut || each(WORD_BATCH, || Ok(increment(pool)?)),
            &mut || {
                each(WORD_BATCH, || {
                    bare.write_lines(1, 7);
                    Ok(())
                })
            },
            &mut || each_of_peer(peer, WORD_BATCH, Peer::change_word),
        ],
    )?;
    let commits = pool.read().hits;
    if peer.as_mut().is_some_and(|peer| peer.word() != commits) {
        return Err("libpmemobj has not counted as far as pobj".into());
    }
    Ok((turns, (fences(pool) - before) / commits as f64))
}

/// Commit of ten changed 64-byte ranges at random places of 256 MiB. Limit: ten non-temporal lines and a fence.
///
/// # Errors
///
/// If the files cannot be made.
pub fn range_rows(bench: &Bench) -> Result<Vec<Row>> {
    let lines = bench.size(LINES, LINES / 16);
    let pool = lines_pool(bench, "lines", lines, ImageMode::Private)?;
    let mut peer = Peer::create(&bench.memory("lines-peer"), lines * LINE_LEN + SMALL)?;
    if let Some(peer) = &mut peer {
        peer.make_lines(lines)?;
    }
    let (turns, pobj) = ranges(bench, "lines-bare", &pool, lines, &mut peer)?;
    let mut random = random();
    let peer = fences_of_peer(&mut peer, COUNTED, |peer| peer.change_lines(&some(&mut random, lines)))?;
    let asked = Asked { limit: Budget::None, fences: ONE_FENCE, times: 8.0 };
    let mut rows = job_rows("ten 64-byte changes", "ns", &turns, Fences { pobj, peer }, asked);
    rows.push(Row::new("- bare: ten random lines copied and changed", bare_changes(bench, lines)?, "ns"));
    Ok(rows)
}

/// What the memory alone takes: ten random lines of as many, each copied elsewhere and changed; nothing is durable.
fn bare_changes(bench: &Bench, lines: usize) -> Result<f64> {
    let mut memory = vec![[1u64; LINE_LEN / 8]; lines];
    let mut old = Vec::with_capacity(CHANGED);
    let mut places = random();
    let batches = bench.size(2000, 20);
    let total = each(batches * LINES_BATCH, || {
        old.clear();
        for number in some(&mut places, lines) {
            let line = &mut memory[number as usize];
            old.push(std::hint::black_box(*line));
            line.iter_mut().for_each(|word| *word = word.wrapping_add(1));
        }
        Ok(())
    })?;
    std::hint::black_box(&memory);
    Ok(total)
}

type Lines = Run<'static, [u64; LINE_LEN / 8]>;

/// A pool of so many lines whose pages have all been met.
fn lines_pool(bench: &Bench, name: &str, lines: usize, image: ImageMode) -> Result<Pool<Lines>> {
    let pool = memory_pool(&bench.memory(name), (lines * LINE_LEN) as u64 + (4 << 20), image)?;
    lay_out(&pool, lines, |_| [0; LINE_LEN / 8])?;
    pool.checkpoint()?;
    Ok(pool)
}

/// Ten random lines.
fn some(random: &mut SmallRng, lines: usize) -> [u32; CHANGED] {
    std::array::from_fn(|_| random.random_range(0..lines as u32))
}

/// Adds one to each word of these lines.
fn change(pool: &Pool<Lines>, numbers: [u32; CHANGED]) -> Result<()> {
    let bump = |line: &mut [u64; LINE_LEN / 8]| line.iter_mut().for_each(|word| *word = word.wrapping_add(1));
    Ok(pool.write(|run, tx| {
        match run.items.get_disjoint_mut(numbers.map(|number| number as usize), tx) {
            Ok(lines) => lines.into_iter().for_each(bump),
            // Once in a long while a line is drawn twice.
            Err(_) => {
                for number in numbers {
                    run.items.get_mut(number as usize, tx).map(bump).unwrap_or_default();
                }
            }
        }
        Ok(())
    })?)
}

/// The figures, and the pool's fences for each commit.
fn ranges(
    bench: &Bench,
    bare: &str,
    pool: &Pool<Lines>,
    lines: usize,
    peer: &mut Option<Peer>,
) -> Result<(Turns, f64)> {
    let mut bare = BareMemory::new(&bench.memory(bare), RING_LEN)?;
    let (mut places, mut peer_places) = (random(), random());
    let mut commits = 0;
    let before = fences(pool);
    let turns = Turns::measure(
        steady_commits(bench, LINES_RECORD_LEN) / LINES_BATCH,
        [
            &mut || {
                commits += LINES_BATCH;
                each(LINES_BATCH, || change(pool, some(&mut places, lines)))
            },
            &mut || {
                each(LINES_BATCH, || {
                    bare.write_lines(CHANGED, 7);
                    Ok(())
                })
            },
            &mut || each_of_peer(peer, LINES_BATCH, |peer| peer.change_lines(&some(&mut peer_places, lines))),
        ],
    )?;
    Ok((turns, (fences(pool) - before) / commits as f64))
}

/// The same two commits on a pool whose image is the pool's own bytes (`ImageMode::InPlace`): each range's old bytes are
/// made durable before it changes, at a fence each. `Pool::write` takes the root as one more range, so ten changes are
/// eleven ranges. For information, with the limits of the redo rows.
///
/// # Errors
///
/// If the files cannot be made.
pub fn undo_rows(bench: &Bench) -> Result<Vec<Row>> {
    let pool = memory_pool::<Counter>(&bench.memory("undo-word"), 1 << 20, ImageMode::InPlace)?;
    let (word, word_fences) = word(bench, "undo-word-bare", &pool, &mut None)?;

    let lines = bench.size(LINES, LINES / 16);
    let pool = lines_pool(bench, "undo-lines", lines, ImageMode::InPlace)?;
    let (ranges, ranges_fences) = ranges(bench, "undo-lines-bare", &pool, lines, &mut None)?;
    Ok(vec![
        word.pobj.row("memory: undo in place, one 8-byte change", "ns"),
        Row::new("- fences per commit, undo, one 8-byte change", word_fences, "fences"),
        ranges.pobj.row("memory: undo in place, ten 64-byte changes", "ns"),
        Row::new("- fences per commit, undo, ten 64-byte changes", ranges_fences, "fences"),
    ])
}
