//! A cell changes in a transaction of its own pool only.

use pobj::{PCell, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    visits: PCell<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let other = Pool::<App>::open("b.pobj")?;
    pool.write(|app, _| {
        other.write(|_, tx| {
            app.visits.set(7, tx);
            Ok(())
        })
    })?;
    Ok(())
}
