//! A reference into the pool cannot leave its transaction.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let hits = pool.write(|app, _| Ok(&mut app.hits))?;
    *hits += 1;
    Ok(())
}
