//! Records that a recovery has dropped lie in the ring still, whole, and where the next ones go. Catches a checksum that
//! does not say in which opening a record was made: then a dropped one follows the first that takes the place of another.

use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, PVec, Persistent, Pool};
use tests::support::small;

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    words: PVec<'p, u64>,
}

/// So many words that a record has more than a sector.
const WORDS: u64 = 100;
const SECTOR: usize = 512;

fn set(pool: &Pool<Root<'static>>, value: u64) {
    pool.write(|root, tx| {
        tx.set_durability(Durability::Eventual);
        root.words.iter_mut(tx).for_each(|word| *word = value);
        Ok::<(), pobj::Error>(())
    })
    .unwrap();
}

fn words(pool: &Pool<Root<'static>>) -> Vec<u64> {
    pool.read().words.to_vec()
}

#[test]
fn what_a_recovery_has_dropped_stays_dropped() {
    let media = RamMedia::new(1 << 20).unwrap();
    let pool = small::<Root>(1 << 20).create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
    pool.write(|root, tx| root.words.extend(tx, 0..WORDS)).unwrap();
    set(&pool, 1);
    // The next record begins a block.
    pool.sync().unwrap();
    let before = media.bytes();
    set(&pool, 2);
    let second = before.iter().zip(media.bytes()).position(|(old, new)| *old != new).unwrap();
    set(&pool, 3);
    // A power cut takes the beginning of the second, and leaves the third.
    let mut bytes = media.bytes();
    let torn = second - second % SECTOR..(second - second % SECTOR) + SECTOR;
    bytes[torn.clone()].copy_from_slice(&before[torn]);
    drop(pool);
    let media = media.with_bytes(bytes);
    let pool = small::<Root>(1 << 20).open_on(Arc::new(media.clone())).unwrap();
    assert_eq!(words(&pool), [1; WORDS as usize]);
    set(&pool, 4);
    // A kill.
    let bytes = media.bytes();
    drop(pool);
    let pool = small::<Root>(1 << 20).open_on(Arc::new(media.with_bytes(bytes))).unwrap();
    assert_eq!(words(&pool), [4; WORDS as usize]);
}
