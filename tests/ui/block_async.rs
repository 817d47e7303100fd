//! A transaction's closure cannot be asynchronous.

use pobj::{PBox, Persistent, Pool, tx};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, async |app, tx| {
        app.hits += 1;
    })?;
    Ok(())
}
