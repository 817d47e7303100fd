//! A box cannot move to another thread, where its drop would miss the transaction.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
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
