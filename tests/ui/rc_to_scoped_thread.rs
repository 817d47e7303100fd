//! A shared pointer cannot move to another thread, where its drop would miss the transaction.

use pobj::{PRc, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PRc<'p, u64>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        let head = app.head.take();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(head));
        });
        Ok(())
    })?;
    Ok(())
}
