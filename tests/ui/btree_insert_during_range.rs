//! A map must not change while a range of it is read: a node may move its elements.

use pobj::{PBTreeMap, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    map: PBTreeMap<'p, u64, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open_or_create("app.pobj")?;
    pool.write(|app, tx| {
        for (key, value) in app.map.range(3..) {
            app.map.insert(tx, key + 1, *value)?;
        }
        Ok(())
    })
}
