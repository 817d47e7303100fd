//! A block has a pool and a closure with two names.

use pobj::{PBox, Persistent, Pool, tx};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, |app| {
        app.hits += 1;
    })?;
    Ok(())
}
