//! A box cannot leave its transaction as the result.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let stolen = pool.write(|app, _| Ok(app.head.take()))?;
    drop(stolen);
    Ok(())
}
