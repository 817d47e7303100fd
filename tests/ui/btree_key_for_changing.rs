//! A key of a map is for reading: another one would be in the wrong place.

use pobj::{PBTreeMap, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    map: PBTreeMap<'p, u64, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open_or_create("app.pobj")?;
    pool.write(|app, tx| {
        for (key, _) in app.map.iter_mut(tx) {
            *key += 1;
        }
        Ok(())
    })
}
