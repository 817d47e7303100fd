//! A large transaction that finds no room in the ring for one of its last records. The checkpoint that it then makes gives
//! back what lies behind the pool of the large transaction before it, and cuts the file for that.
//!
//! Catches: a cut that takes what the running transaction has put behind the pool meanwhile, a body or old words. Then
//! what a kill leaves does not open, or holds half of a transaction.

use std::sync::Arc;

use pobj::media::{Domain, ImageMode, RamMedia};
use pobj::{Options, PBox, PVec, Persistent, Pool, Result, Tx};
use tests::support::small;

const MAX_SIZE: u64 = 16 << 20;

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    step: u64,
    before: PVec<'p, PBox<'p, u64>>,
    after: PVec<'p, PBox<'p, u64>>,
    /// Whose old words fill more than half of the first piece behind the pool, and what does not fit into its rest.
    most: PVec<'p, u64>,
    more: PVec<'p, u64>,
    /// Its old words make the transaction longer by as many lines as wanted.
    padding: PVec<'p, u64>,
}

/// What a pool holds: the step, how many blocks, the sum of the words.
type Seen = (u64, usize, usize, u64);

fn see(pool: &Pool<Root<'static>>) -> Seen {
    let root = pool.read();
    let words = root.most.iter().chain(root.more.iter());
    (root.step, root.before.len(), root.after.len(), words.sum())
}

#[derive(Clone, Copy)]
struct Way {
    domain: Domain,
    image: ImageMode,
    /// So many blocks make the allocator's words, or on a private image all that is new, too long for the ring.
    blocks: u64,
    /// The large transaction changes old words too: too many for the ring.
    changes: bool,
}

impl Way {
    fn options(self) -> Options<Root<'static>> {
        small(MAX_SIZE).image(self.image)
    }

    /// A pool that has made one large transaction, and then one small one of that many lines more.
    fn begun(self, padding: usize) -> (RamMedia, Pool<Root<'static>>) {
        let media = RamMedia::new(MAX_SIZE).unwrap().with_domain(self.domain);
        let handle = media.clone();
        let pool = self.options().create_on(Arc::new(handle), |_| Ok(Root::default())).unwrap();
        pool.write(|root, tx| {
            root.most.extend(tx, 0..5000)?;
            root.more.extend(tx, 0..6000)?;
            root.padding.extend(tx, 0..8 * padding as u64)
        })
        .unwrap();
        if !self.changes {
            // Space that it takes without growth, which would bring home what lies behind the pool.
            pool.write(|root, tx| fill(&mut root.before, self.blocks, tx)).unwrap();
            pool.write(|root, tx| fill(&mut root.after, self.blocks, tx)).unwrap();
            pool.write(|root, tx| {
                (root.before, root.after) = Default::default();
                // Where the head goes then.
                root.padding.iter_mut(tx).for_each(|word| *word += 1);
                Ok::<(), pobj::Error>(())
            })
            .unwrap();
        }
        pool.checkpoint().unwrap();
        let spilled = if self.changes { u64::from(self.image == ImageMode::Private) } else { 3 };
        pool.write(|root, tx| fill(&mut root.before, self.blocks, tx)).unwrap();
        assert_eq!(pool.stats().journal.spills, 1 + spilled);
        pool.write(|root, tx| {
            root.step += 1;
            root.padding.iter_mut(tx).for_each(|word| *word += 1);
            Ok::<(), pobj::Error>(())
        })
        .unwrap();
        (media, pool)
    }

    /// How many small transactions there are until one makes a checkpoint.
    fn room(self, padding: usize) -> u64 {
        let (_media, pool) = self.begun(padding);
        let before = pool.stats().journal.checkpoints;
        (1..=10_000)
            .find(|_| {
                step(&pool);
                pool.stats().journal.checkpoints > before
            })
            .expect("a ring has an end")
    }

    fn try_with(self, padding: usize, steps: u64) {
        let (media, pool) = self.begun(padding);
        (0..steps).for_each(|_| step(&pool));
        let old = see(&pool);
        let inside = pool
            .write(|root, tx| {
                root.step += 1;
                if self.changes {
                    root.most.iter_mut(tx).for_each(|word| *word += 1);
                    root.more.iter_mut(tx).for_each(|word| *word += 1);
                }
                fill(&mut root.after, self.blocks, tx)?;
                Ok::<_, pobj::Error>(media.bytes())
            })
            .unwrap();
        let (new, behind) = (see(&pool), media.bytes());
        drop(pool);
        for (bytes, expected, when) in [(inside, old, "inside"), (behind, new, "behind")] {
            let opened = self.options().open_on(Arc::new(media.with_bytes(bytes)));
            let pool = opened.unwrap_or_else(|error| panic!("{padding} {steps}, killed {when} it: {error}"));
            assert_eq!(see(&pool), expected, "{padding} {steps}, killed {when} it");
        }
    }

    fn try_all(self) {
        for padding in 0..4 {
            let room = self.room(padding);
            (room - 2..room).for_each(|steps| self.try_with(padding, steps));
        }
    }
}

fn fill<'p>(blocks: &mut PVec<'p, PBox<'p, u64>>, count: u64, tx: &Tx<'p>) -> Result<()> {
    blocks.reserve(tx, count as usize)?;
    (0..count).try_for_each(|value| blocks.push(tx, PBox::new(tx, value)?))
}

fn step(pool: &Pool<Root<'static>>) {
    pool.write(|root, _| {
        root.step += 1;
        Ok::<(), pobj::Error>(())
    })
    .unwrap();
}

#[test]
fn in_a_file() {
    Way { domain: Domain::Page, image: ImageMode::Private, blocks: 5000, changes: true }.try_all();
}

#[test]
fn on_persistent_memory() {
    Way { domain: Domain::CacheLine, image: ImageMode::Private, blocks: 5000, changes: true }.try_all();
}

#[test]
fn in_place() {
    for changes in [true, false] {
        Way { domain: Domain::CacheLine, image: ImageMode::InPlace, blocks: 140_000, changes }.try_all();
    }
}
