//! A value of a list cannot be looked at after something may have removed it.

use pobj::{PList, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    list: PList<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, tx| {
        let first = app.list.front();
        app.list.pop_front(tx);
        println!("{first:?}");
        Ok(())
    })?;
    Ok(())
}
