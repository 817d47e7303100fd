//! A box cannot leave its transaction through a captured variable.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let mut stolen = None;
    pool.write(|app, _| {
        stolen = app.head.take();
        Ok(())
    })?;
    Ok(())
}
