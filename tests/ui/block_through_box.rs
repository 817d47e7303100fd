//! A box's content changes through `get_mut(tx)` only, in a block as elsewhere.

use pobj::{PBox, Persistent, Pool, tx};

#[derive(Persistent)]
#[repr(C)]
struct Node {
    value: u64,
}

#[derive(Persistent)]
#[repr(C)]
struct App<'p> {
    head: PBox<'p, Node>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, |app, tx| {
        app.head.value = 1;
    })?;
    Ok(())
}
