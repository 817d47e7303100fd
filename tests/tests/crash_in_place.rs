//! Transactions in place that log little. One that changes words and changes them back commits nothing: its lines may have
//! reached the medium with the words in between, and its old words are given up with the next commit. Catches a next
//! commit that does not write those lines back first. One that only takes new memory logs no old words: its commit is the
//! first record that depends on space that was made ready. Catches a length that is not durable by then.

use std::sync::Arc;

use pobj::media::Media;
use pobj::media::sim::SimMedia;
use pobj::{Options, PVec, Persistent, Tx};
use tests::crash::Mode;
use tests::support::small;

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    first: PVec<'p, u64>,
    second: PVec<'p, u64>,
}

const LEN_MAX: u64 = 1 << 20;

fn options(mode: Mode) -> Options<Root<'static>> {
    small(LEN_MAX).image(mode.image()).force_domain(mode.domain())
}

#[test]
fn words_that_changed_and_changed_back_stay_as_they_were() {
    for mode in [Mode::LineUndo, Mode::ByteUndo] {
        let media = SimMedia::with_domain(LEN_MAX, mode.domain()).unwrap();
        let pool = options(mode).create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
        pool.write(|root, tx| {
            root.first.extend(tx, [5; 8])?;
            root.second.extend(tx, [5; 64])
        })
        .unwrap();
        pool.checkpoint().unwrap();
        pool.write(|root, tx| {
            root.first.iter_mut(tx).for_each(|word| *word = 6);
            // Its old words are written, and with that the medium has seen those of the first.
            root.second.iter_mut(tx).for_each(|word| *word = 5);
            root.first.iter_mut(tx).for_each(|word| *word = 5);
            Ok::<(), pobj::Error>(())
        })
        .unwrap();
        let before = media.trace().events().len();
        pool.write(|root, tx| {
            root.second.iter_mut(tx).for_each(|word| *word = 7);
            Ok::<(), pobj::Error>(())
        })
        .unwrap();
        let trace = media.trace();
        drop(pool);
        let (mut cuts, mut states) = (trace.cuts(), 0);
        while let Some(point) = cuts.next() {
            if point.index() < before {
                continue;
            }
            for choice in point.choices(64, 7) {
                states += 1;
                let pool = options(mode).open_on(Arc::new(media.with_bytes(point.build(&choice)))).unwrap();
                let root = pool.read();
                assert_eq!(root.first[..], [5; 8], "{mode:?}, cut {}", point.index());
                let second = root.second[0];
                assert!((second == 5 || second == 7) && root.second.iter().all(|word| *word == second));
            }
        }
        assert!(states > 10, "{states} states");
    }
}

#[test]
fn space_that_was_made_ready_is_there_after_a_transaction_that_only_takes_it() {
    for mode in [Mode::LineUndo, Mode::ByteUndo] {
        let media = SimMedia::with_domain(LEN_MAX, mode.domain()).unwrap();
        let pool = options(mode).create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
        pool.checkpoint().unwrap();
        let len = media.len().unwrap();
        pool.grow_ahead().unwrap();
        let ready = media.len().unwrap();
        assert!(ready > len);
        let before = media.trace().events().len();
        let leak = |_: &mut Root<'_>, tx: &Tx<'_>| {
            std::mem::forget(PVec::<u64>::with_capacity(tx, (ready - len) as usize / 8)?);
            Ok::<(), pobj::Error>(())
        };
        pool.write(leak).unwrap();
        let (trace, blocks) = (media.trace(), pool.stats().heap.live_blocks);
        drop(pool);
        let (mut cuts, mut found) = (trace.cuts(), [0, 0]);
        while let Some(point) = cuts.next() {
            if point.index() < before {
                continue;
            }
            for choice in point.choices(64, 7) {
                let pool = options(mode).open_on(Arc::new(media.with_bytes(point.build(&choice)))).unwrap();
                found[usize::from(pool.stats().heap.live_blocks == blocks)] += 1;
            }
        }
        assert!(found.iter().all(|count| *count > 0), "{mode:?}: {found:?}");
    }
}
