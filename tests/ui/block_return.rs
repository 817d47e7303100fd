//! `return` in a block would not return from the function.

use pobj::{PBox, Persistent, Pool, tx};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, |app, tx| {
        if app.hits > 9 {
            return Ok(());
        }
        app.hits += 1;
    })?;
    Ok(())
}
