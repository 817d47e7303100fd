//! A cell remembers its old bytes before it changes, so `set` takes the transaction.

use pobj::{PCell, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    visits: PCell<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        app.visits.set(7);
        Ok(())
    })?;
    Ok(())
}
