//! What a read guard shows without a lock a transaction does not.
use pobj::{PMutex, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    count: PMutex<'p, u64>,
}

fn main() {
    let pool = Pool::<App>::create("p.pobj").unwrap();
    let _ = pool.share(|app, tx| Ok(*app.count.get(tx)));
}
