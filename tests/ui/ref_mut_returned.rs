//! A borrow of a cell ends with its transaction.

use pobj::{PRefCell, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    visits: PRefCell<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let _visits = pool.write(|app, tx| Ok(app.visits.borrow_mut(tx)))?;
    Ok(())
}
