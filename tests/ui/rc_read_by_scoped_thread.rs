//! A `PRc` cannot be seen by another thread: its counts change without a lock.

use pobj::{PRc, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PRc<'p, u64>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        let head = &app.head;
        std::thread::scope(|scope| {
            scope.spawn(|| head.as_deref().copied());
        });
        Ok(())
    })?;
    Ok(())
}
