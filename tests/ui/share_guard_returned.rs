//! A guard belongs to its transaction.
use pobj::{PMutex, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    count: PMutex<'p, u64>,
}

fn main() {
    let pool = Pool::<App>::create("p.pobj").unwrap();
    let mut guard = pool.share(|app, tx| app.count.lock(tx)).unwrap();
    *guard = 5;
}
