//! Two values of a map for changing at once: they could be the same one.

use pobj::{PBTreeMap, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    map: PBTreeMap<'p, u64, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open_or_create("app.pobj")?;
    pool.write(|app, tx| {
        let one = app.map.get_mut(&1, tx);
        let two = app.map.range_mut(2.., tx).next();
        drop((one, two));
        Ok(())
    })
}
