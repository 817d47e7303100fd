//! A pool so full that the heap puts the metadata of its last chunks where blocks were before. Catches zeros of a
//! checkpoint that a power cut takes back: then the old blocks are read as metadata. And long zeros of a program's own.

use std::sync::Arc;

use pobj::media::sim::SimMedia;
use pobj::{Options, PVec, Persistent};
use tests::crash::Mode;
use tests::support::small;
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

fn metadata_survives(mode: Mode) {
    let media = SimMedia::with_domain(LEN_MAX, mode.domain()).unwrap();
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
    pool.checkpoint().unwrap();
    let trace = media.trace();
    drop(pool);
    let mut cuts = trace.cuts();
    while let Some(point) = cuts.next() {
        if point.index() < trace.events().len() {
            continue;
        }
        for choice in point.choices(8, 7) {
            let media = media.with_bytes(point.build(&choice));
            let pool = options(mode).open_on(Arc::new(media)).unwrap();
            assert_eq!(Model::observe(&pool.read()), Ok(model.clone()), "{mode:?}");
        }
    }
}

#[test]
fn metadata_where_blocks_were_survives() {
    [Mode::FileRedo, Mode::LineRedo, Mode::ByteRedo].into_iter().for_each(metadata_survives);
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Words<'p> {
    words: PVec<'p, u64>,
}

#[test]
fn long_zeros_survive() {
    for mode in [Mode::FileRedo, Mode::LineRedo, Mode::ByteRedo] {
        let media = SimMedia::with_domain(1 << 20, mode.domain()).unwrap();
        let options = || small::<Words>(1 << 20).image(mode.image()).force_domain(mode.domain());
        let pool = options().create_on(Arc::new(media.clone()), |_| Ok(Words::default())).unwrap();
        pool.write(|root, tx| root.words.extend(tx, 1..1 + 2 * CHUNK / 8)).unwrap();
        pool.checkpoint().unwrap();
        pool.write(|root, tx| {
            root.words.iter_mut(tx).for_each(|word| *word = 0);
            Ok::<(), pobj::Error>(())
        })
        .unwrap();
        pool.checkpoint().unwrap();
        let trace = media.trace();
        drop(pool);
        let mut cuts = trace.cuts();
        while let Some(point) = cuts.next() {
            if point.index() < trace.events().len() {
                continue;
            }
            for choice in point.choices(8, 7) {
                let media = media.with_bytes(point.build(&choice));
                let pool = options().open_on(Arc::new(media)).unwrap();
                assert!(pool.read().words.iter().all(|word| *word == 0), "{mode:?}");
            }
        }
    }
}
