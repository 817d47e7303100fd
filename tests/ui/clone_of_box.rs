//! A box owns its block; a second owner of it cannot be made.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let app = pool.read();
    let head = app.head.clone();
    drop(head);
    Ok(())
}
