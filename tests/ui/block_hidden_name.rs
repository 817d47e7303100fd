//! A binding that hides the root would hide what an assignment means.

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
        let app = &mut *app;
        app.hits += 1;
    })?;
    Ok(())
}
