//! An element of a list changes through `get_mut(i, tx)`, which logs it.

use pobj::{PVec, Persistent, Pool, tx};

#[derive(Persistent)]
#[repr(C)]
struct App<'p> {
    scores: PVec<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, |app, tx| {
        app.scores[0] = 1;
    })?;
    Ok(())
}
