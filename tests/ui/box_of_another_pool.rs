//! A box of one pool cannot be stored in another.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let other = Pool::<App>::open("b.pobj")?;
    pool.write(|app, _| {
        other.write(|other_app, _| {
            app.head = other_app.head.take();
            Ok(())
        })
    })?;
    Ok(())
}
