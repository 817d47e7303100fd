//! A cursor cannot leave its transaction; a key can.

use pobj::{PList, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    list: PList<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let cursor = pool.write(|app, tx| Ok(app.list.cursor_front_mut(tx)))?;
    drop(cursor);
    Ok(())
}
