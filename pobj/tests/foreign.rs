//! Values of one pool with the transaction of another: what the brand cannot see, because the guard of a pool in a `static`
//! has any lifetime.
//!
//! Catches: a cell, a lock or a count that changes beside a read guard of its pool, unlogged; a pointer of one pool
//! that gets into another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{
    Durability, PArc, PAtomicU64, PCell, PConcurrentMap, PMutex, PRc, PRefCell, PRwLock, Persistent, Pool,
    Result, Tx,
};

const MAX_SIZE: u64 = if cfg!(miri) { 1 << 20 } else { 4 << 20 };

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    cell: PCell<'p, u64>,
    ref_cell: PRefCell<'p, u64>,
    mutex: PMutex<'p, u64>,
    lock: PRwLock<'p, u64>,
    atomic: PAtomicU64<'p>,
    rc: Option<PRc<'p, u64>>,
    arc: Option<PArc<'p, u64>>,
    map: PConcurrentMap<'p, u64, u64>,
}

fn create() -> Pool<App<'static>> {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
    let pool = options.durability(Durability::Eventual).create_on(media, |_| Ok(App::default())).unwrap();
    pool.write(|app, tx| {
        app.rc = Some(PRc::new(tx, 1)?);
        app.arc = Some(PArc::new(tx, 1)?);
        Ok(())
    })
    .unwrap();
    pool
}

/// Runs `change` with the root of a pool that is only read and the transaction of another pool.
fn panics(what: &str, change: impl for<'p> Fn(&App<'p>, &Tx<'p>) -> Result<()>) {
    let theirs: &'static Pool<App<'static>> = Box::leak(Box::new(create()));
    let mine = create();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        mine.write(|_, tx| {
            let guard = theirs.read();
            change(&guard, tx)
        })
    }));
    let panic = panic.expect_err(what);
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    assert!(text.contains("in another pool"), "{what}: {text}");
    // Both go on, and nothing has changed.
    let guard = theirs.read();
    assert_eq!((guard.cell.get(), *guard.ref_cell.borrow(), *guard.mutex.get(&guard)), (0, 0, 0), "{what}");
    assert_eq!((*guard.lock.get(&guard), guard.atomic.get(&guard)), (0, 0), "{what}");
    assert_eq!(guard.rc.as_ref().map(PRc::strong_count), Some(1), "{what}");
    mine.write(|app, tx| {
        app.cell.set(5, tx);
        Ok(())
    })
    .unwrap();
}

#[test]
fn values_of_another_pool_stay_as_they_are() {
    panics("a cell", |app, tx| {
        app.cell.set(7, tx);
        Ok(())
    });
    panics("a cell with borrows", |app, tx| {
        *app.ref_cell.borrow_mut(tx) = 7;
        Ok(())
    });
    panics("a mutex", |app, tx| {
        *app.mutex.lock(tx)? = 7;
        Ok(())
    });
    panics("a lock for writing", |app, tx| {
        *app.lock.write(tx)? = 7;
        Ok(())
    });
    panics("a lock for reading", |app, tx| app.lock.read(tx).map(drop));
    panics("an atomic", |app, tx| app.atomic.store(7, tx).map(drop));
    panics("a shared pointer", |app, tx| {
        drop(app.rc.as_ref().map(|rc| rc.clone(tx)));
        Ok(())
    });
    panics("a weak pointer", |app, tx| {
        drop(app.rc.as_ref().map(|rc| PRc::downgrade(rc, tx)));
        Ok(())
    });
    panics("a pointer for threads", |app, tx| app.arc.as_ref().map_or(Ok(()), |arc| arc.clone(tx).map(drop)));
    panics("a map for threads", |app, tx| app.map.insert(tx, 1, 1).map(drop));
}

/// A value that is not in any pool yet is nobody else's.
#[test]
fn values_in_ordinary_memory_may_change() {
    create()
        .write(|app, tx| {
            let cell = PCell::new(1);
            cell.set(2, tx);
            let mutex = PMutex::new(3);
            *mutex.lock(tx)? += 1;
            app.cell.set(cell.get() + *mutex.lock(tx)?, tx);
            Ok(())
        })
        .unwrap();
}
