//! `sync` of the facilities that are built on pools: what was put with `Eventual` durability survives every power cut
//! after it. Catches a `sync` that returns and has done nothing; the crash suites of these facilities never call it.

use std::io::Write;
use std::sync::Arc;

use pobj::blk::Blocks;
use pobj::kv::{Hash, Store};
use pobj::media::ImageMode;
use pobj::media::sim::SimMedia;
use pobj::{Durability, Options};

const MAX_SIZE: u64 = 4 << 20;

/// Every state that a power cut may leave now, each as a medium to open. Whoever is open must be dropped first.
fn cut(media: &SimMedia, use_now: impl FnOnce()) -> Vec<SimMedia> {
    let trace = media.trace();
    use_now();
    let mut cuts = trace.cuts();
    let mut last = Vec::new();
    while let Some(point) = cuts.next() {
        if point.index() == trace.events().len() {
            last = point.choices(64, 7).iter().map(|choice| point.build(choice)).collect();
        }
    }
    last.into_iter().map(|bytes| media.with_bytes(bytes)).collect()
}

fn blocks_survive(synced: impl Fn(&Blocks)) {
    let options = || Blocks::options().size(64 << 10).max_size(MAX_SIZE).image(ImageMode::Private);
    let media = SimMedia::new(MAX_SIZE).unwrap();
    let blocks = options().create_on(Arc::new(media.clone()), 512, 8).unwrap();
    blocks.write_with(Durability::Eventual, 3, &[7; 512]).unwrap();
    synced(&blocks);
    let states = cut(&media, || drop(blocks));
    assert!(!states.is_empty());
    for state in states {
        let blocks = options().open_on(Arc::new(state), None).unwrap();
        let mut found = [0; 512];
        blocks.read(3, &mut found).unwrap();
        assert_eq!(found, [7; 512]);
    }
}

#[test]
fn blocks_that_were_synced_survive() {
    blocks_survive(|blocks| blocks.sync().unwrap());
}

#[test]
fn blocks_whose_cursor_was_flushed_survive() {
    blocks_survive(|blocks| blocks.cursor().flush().unwrap());
}

#[test]
fn a_store_that_was_synced_survives() {
    let options = || Options::default().size(64 << 10).max_size(MAX_SIZE).image(ImageMode::Private);
    let media = SimMedia::new(MAX_SIZE).unwrap();
    let store: Store<Hash> = options().create_store_on(Arc::new(media.clone())).unwrap();
    store.with(Durability::Eventual).put(b"key", b"value").unwrap();
    store.sync().unwrap();
    let states = cut(&media, || drop(store));
    assert!(!states.is_empty());
    for state in states {
        let store: Store<Hash> = options().open_store_on(Arc::new(state)).unwrap();
        assert_eq!(store.get_copy(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    }
}
