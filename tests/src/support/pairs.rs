//! Blocks that several threads write at once: each thread its own pair, and all of them one block in common, in one step.
//! What the blocks show afterwards says how far each thread has come, or that something is torn or half done.

use pobj::blk::Blocks;

/// Threads that write.
pub const THREADS: usize = 4;
/// The block that all of them write.
const COMMON: u64 = 2 * THREADS as u64;
/// Number of blocks.
pub const COUNT: u64 = COMMON + 1;

/// A block of a thread's step.
fn bytes(len: usize, thread: usize, step: u64) -> Vec<u8> {
    (step << 8 | thread as u64).to_le_bytes().repeat(len / 8)
}

/// Writes a step's three blocks together.
///
/// # Errors
///
/// As [`Blocks::write_many`].
pub fn write_step(blocks: &Blocks, thread: usize, step: u64) -> pobj::Result<()> {
    let bytes = bytes(blocks.block_size(), thread, step);
    let own = 2 * thread as u64;
    blocks.write_many(&[(own, &bytes), (COMMON, &bytes), (own + 1, &bytes)])
}

/// The thread and the step that a block is of, if it is whole.
fn origin(blocks: &Blocks, number: u64) -> Result<(usize, u64), String> {
    let mut block = vec![0; blocks.block_size()];
    blocks.read(number, &mut block).map_err(|error| error.to_string())?;
    let (first, rest) = block.split_at(8);
    if rest.chunks(8).any(|word| word != first) {
        return Err(format!("block {number} is torn: {block:?}"));
    }
    let word = first.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    Ok((word as usize & 0xFF, word >> 8))
}

/// The step that each thread had come to.
///
/// # Errors
///
/// What is wrong with the blocks, in words.
pub fn steps(blocks: &Blocks) -> Result<[u64; THREADS], String> {
    let mut steps = [0; THREADS];
    for (thread, step) in steps.iter_mut().enumerate() {
        let pair = [0, 1].map(|half| origin(blocks, 2 * thread as u64 + half));
        match pair {
            [Ok(one), Ok(other)] if one == other && (one.0 == thread || one == (0, 0)) => *step = one.1,
            other => return Err(format!("the pair of thread {thread} is {other:?}")),
        }
    }
    // What all have written is of the last step of somebody.
    let (thread, step) = origin(blocks, COMMON)?;
    if step != steps[thread] {
        return Err(format!("the common block is of step {step} of thread {thread}, of {steps:?}"));
    }
    Ok(steps)
}
