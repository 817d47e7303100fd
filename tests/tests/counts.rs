//! Frozen counts (A45): what each operation asks of the medium, exactly. Catches a flush or a fence too many, which is
//! time, or one too few, which is a lost transaction.

use pobj::media::{Domain, ImageMode, MediaCounts};
use pobj::{Options, PBox, PVec, Persistent, Pool, tx};
use tempfile::TempDir;
use tests::support::quick_directory;

#[derive(Persistent)]
#[repr(C)]
struct Node<'p> {
    value: u64,
    next: Option<PBox<'p, Node<'p>>>,
}

#[derive(Persistent, Clone, Copy, Default)]
#[repr(C)]
struct Line {
    words: [u64; 8],
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    value: u64,
    spare: Option<PBox<'p, u64>>,
    list: Option<PBox<'p, Node<'p>>>,
    lines: PVec<'p, Line>,
}

struct Scene {
    pool: Pool<Root<'static>>,
    _directory: TempDir,
}

impl Scene {
    fn new(domain: Domain, image: ImageMode) -> Self {
        let directory = quick_directory();
        let options: Options<Root<'static>> = Pool::<Root>::options().force_domain(domain).image(image);
        let pool = options.create(directory.path().join("counts.pobj")).unwrap();
        // What the first use of a size class, or of the vector, costs once.
        pool.write(|root, tx| {
            root.list = Some(PBox::new(tx, Node { value: 0, next: None })?);
            root.spare = Some(PBox::new(tx, 1)?);
            root.lines.extend(tx, (0..1024).map(|_| Line::default()))
        })
        .unwrap();
        Self { pool, _directory: directory }
    }

    fn last(&self) -> MediaCounts {
        self.pool.stats().last_transaction
    }

    fn store(&self) -> MediaCounts {
        tx!(self.pool, |root, tx| {
            root.value = root.value + 1;
        })
        .unwrap();
        self.last()
    }

    /// Ten ranges of 64 bytes, apart.
    fn ten_ranges(&self) -> MediaCounts {
        tx!(self.pool, |root, tx| {
            for index in 0..10 {
                if let Some(line) = root.lines.get_mut(index * 100, tx) {
                    line.words = line.words.map(|word| word + 1);
                }
            }
        })
        .unwrap();
        self.last()
    }

    fn allocate(&self) -> MediaCounts {
        tx!(self.pool, |root, tx| {
            // The box before it is forgotten, so that nothing is freed.
            std::mem::forget(root.spare.replace(PBox::new(tx, 7)?));
        })
        .unwrap();
        self.last()
    }

    fn free(&self) -> MediaCounts {
        tx!(self.pool, |root, tx| {
            root.spare = None;
        })
        .unwrap();
        self.last()
    }

    fn insert(&self) -> MediaCounts {
        tx!(self.pool, |root, tx| {
            let next = root.list.take();
            root.list = Some(PBox::new(tx, Node { value: 1, next })?);
        })
        .unwrap();
        self.last()
    }

    fn nothing(&self) -> MediaCounts {
        tx!(self.pool, |_root, tx| {}).unwrap();
        self.last()
    }

    /// The fences of each operation, in the order above.
    fn fences(&self) -> [u64; 6] {
        let counts =
            [self.store(), self.ten_ranges(), self.allocate(), self.free(), self.insert(), self.nothing()];
        counts.map(|counts| counts.fences)
    }
}

/// P3: one fence, whatever changed; the lines go past the caches, so none is flushed.
#[test]
fn a_redo_commit_is_one_fence() {
    for domain in [Domain::CacheLine, Domain::Byte] {
        let scene = Scene::new(domain, ImageMode::Private);
        assert_eq!(scene.fences(), [1, 1, 1, 1, 1, 0], "{domain}");
        let store = scene.store();
        assert_eq!((store.flushes, store.durable_writes, store.bytes), (0, 0, 64), "{domain}: one line");
        // 40 bytes of header and 9 words for each range.
        let ranges = scene.ten_ranges();
        assert_eq!(
            (ranges.flushes, ranges.bytes),
            (0, (40u64 + 10 * 9 * 8).next_multiple_of(64)),
            "{domain}"
        );
        assert_eq!(scene.nothing(), MediaCounts::default(), "{domain}");
    }
}

/// Undo in place: `S` logged ranges, `S + 2` fences. What is new needs no logging; the allocator's words ride on the commit
/// record.
#[test]
fn an_undo_commit_is_a_fence_for_each_range_and_two() {
    for domain in [Domain::CacheLine, Domain::Byte] {
        let scene = Scene::new(domain, ImageMode::InPlace);
        // Store: the field. Ten ranges: each, and the root, which is lent whole to reach them. Allocate, free, insert:
        // the root, or the field that is assigned.
        assert_eq!(scene.fences(), [3, 13, 3, 3, 3, 0], "{domain}");
        let flushes = u64::from(domain == Domain::CacheLine);
        assert_eq!(scene.store().flushes, flushes, "{domain}: the changed line");
        // What is logged is flushed, changed or not: it may have changed and changed back.
        let lines = 10 + unaligned(&scene) + root_lines(&scene);
        assert_eq!(scene.ten_ranges().flushes, lines * flushes, "{domain}");
    }
}

/// Lines of the root.
fn root_lines(scene: &Scene) -> u64 {
    let root = scene.pool.read();
    let first = std::ptr::from_ref(&*root).addr();
    ((first % 64 + size_of::<Root<'_>>()) as u64).div_ceil(64)
}

/// Lines of the ten ranges beyond the first of each.
fn unaligned(scene: &Scene) -> u64 {
    let root = scene.pool.read();
    let first = std::ptr::from_ref(&root.lines[0]).addr();
    if first.is_multiple_of(64) { 0 } else { 10 }
}

/// `pool.write` lends the whole root, so in place it is logged whole, changed or not.
#[test]
fn write_logs_the_root() {
    let scene = Scene::new(Domain::CacheLine, ImageMode::InPlace);
    scene.pool.write(|_, _| Ok(())).unwrap();
    assert_eq!(scene.last().fences, 1);
    scene
        .pool
        .write(|root, _| {
            root.value += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(scene.last().fences, 3);
}

#[test]
fn an_immediate_commit_on_a_file_is_one_durable_write() {
    let scene = Scene::new(Domain::Page, ImageMode::Private);
    let counts =
        [scene.store(), scene.ten_ranges(), scene.allocate(), scene.free(), scene.insert(), scene.nothing()];
    assert_eq!(counts.map(|counts| counts.durable_writes), [1, 1, 1, 1, 1, 0]);
    assert_eq!(counts.map(|counts| counts.fences), [0; 6]);
    assert_eq!(scene.store().bytes, 4096, "one block");
}

/// Catches counts that are lost or doubled between transactions, threads and the background.
#[test]
fn the_pool_adds_up_what_its_transactions_did() {
    let scene = Scene::new(Domain::CacheLine, ImageMode::Private);
    let before = scene.pool.stats().foreground;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..500).for_each(|_| assert_eq!(scene.store().fences, 1)));
        }
    });
    let after = scene.pool.stats().foreground;
    assert_eq!(after.fences - before.fences, 1500);
    assert_eq!(after.bytes - before.bytes, 1500 * 64);
    // This thread's last transaction was the scene's first.
    assert_eq!(scene.last().fences, 1);
    let refused = scene.pool.write(|_, _| Err::<(), _>(pobj::Error::abort("no")));
    assert!(refused.is_err());
    assert_eq!(scene.pool.stats().foreground, after, "a rollback asks nothing of the medium");
}
