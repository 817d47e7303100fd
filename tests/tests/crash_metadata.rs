//! A pool so full that the heap puts the metadata of its last chunks where blocks were before. Catches zeros of a
//! checkpoint, or of a recovery, that a power cut takes back: then the old blocks are read as metadata.

use std::sync::Arc;

use pobj::Options;
use pobj::media::sim::{SimMedia, Trace};
use tests::crash::Mode;
use tests::workload::{Model, Op, Root};

/// Chunks of 64 KiB, and those that one chunk of metadata describes.
const CHUNK: u64 = 64 << 10;
const DESCRIBED: u64 = 128;
/// Before the heap: the fixed parts and the ring.
const FIXED: u64 = 2;
const LEN_MAX: u64 = (FIXED + DESCRIBED + 2) * CHUNK;

fn options(mode: Mode) -> Options<Root<'static>> {
    mode.options().max_size(LEN_MAX)
}

fn metadata_survives(mode: Mode, checkpoint: bool) {
    let mut media = SimMedia::with_domain(LEN_MAX, mode.domain()).unwrap();
    let pool = options(mode).create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
    let mut model = Model::default();
    let mut act = |op: Op| {
        op.apply_to_model(&mut model);
        pool.write(|root, tx| op.apply(root, tx)).unwrap();
    };
    // One chunk of nodes, and two larger blocks in each of the others but the root's and the metadata's own.
    act(Op::Push(900));
    (0..2 * (DESCRIBED - 3)).for_each(|_| act(Op::PushLarge));
    // Two more where the nodes were. They go at once, and little of them is written: a checkpoint in between would make a
    // hole, and one before that would write all of their lines back.
    act(Op::Pop(900));
    pool.checkpoint().unwrap();
    (0..2).for_each(|_| act(Op::PushLarge));
    pool.checkpoint().unwrap();
    (0..2).for_each(|_| act(Op::PopLarge));
    // The last two chunks are the only ones in a row. What describes them goes into that gap.
    act(Op::SetHuge);
    if checkpoint {
        pool.checkpoint().unwrap();
    }
    let mut trace = media.trace();
    drop(pool);
    if !checkpoint {
        // A recovery brings it home.
        media = media.with_bytes(at_the_end(&trace, 1).remove(0));
        let _pool = options(mode).open_on(Arc::new(media.clone())).unwrap();
        trace = media.trace();
    }
    for bytes in at_the_end(&trace, 8) {
        let pool = options(mode).open_on(Arc::new(media.with_bytes(bytes))).unwrap();
        assert_eq!(Model::observe(&pool.read()), Ok(model.clone()), "{mode:?}");
    }
}

/// What a power cut at the end may leave, at most so many times.
fn at_the_end(trace: &Trace, most: usize) -> Vec<Vec<u8>> {
    let (mut cuts, mut left) = (trace.cuts(), Vec::new());
    while let Some(point) = cuts.next() {
        if point.index() == trace.events().len() {
            left.extend(point.choices(most, 7).iter().map(|choice| point.build(choice)));
        }
    }
    left
}

#[test]
fn metadata_where_blocks_were_survives() {
    for mode in [Mode::FileRedo, Mode::LineRedo, Mode::ByteRedo] {
        [true, false].into_iter().for_each(|checkpoint| metadata_survives(mode, checkpoint));
    }
}
