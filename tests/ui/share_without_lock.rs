//! Who shares a pool changes nothing without a lock.
use pobj::{PMutex, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    plain: u64,
    count: PMutex<'p, u64>,
}

fn main() {
    let pool = Pool::<App>::create("p.pobj").unwrap();
    let _ = pool.share(|app, _| {
        app.plain = 5;
        *app.count.get_mut() = 5;
        Ok(())
    });
}
