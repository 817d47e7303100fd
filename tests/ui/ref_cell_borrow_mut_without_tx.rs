//! Borrowing for changing remembers the old bytes, so it takes the transaction.

use pobj::{PRefCell, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    visits: PRefCell<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        *app.visits.borrow_mut() += 1;
        Ok(())
    })?;
    Ok(())
}
