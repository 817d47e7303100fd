//! A lock is taken in a transaction of its own pool.
use pobj::{PMutex, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    count: PMutex<'p, u64>,
}

fn main() {
    let pool = Pool::<App>::create("p.pobj").unwrap();
    let other = Pool::<App>::create("q.pobj").unwrap();
    let _ = pool.share(|app, _| {
        other.share(|_, tx| {
            *app.count.lock(tx)? = 5;
            Ok(())
        })
    });
}
