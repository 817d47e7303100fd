//! Values of two pools cannot be swapped, for each would own blocks of the other.

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
            std::mem::swap(app, other_app);
            Ok(())
        })
    })?;
    Ok(())
}
