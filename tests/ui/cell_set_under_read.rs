//! Who reads changes nothing, not even a cell, whatever transaction it has at hand.

use pobj::{PCell, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    visits: PCell<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let other = Pool::<App>::open("b.pobj")?;
    let app = other.read();
    pool.write(|_, tx| {
        app.visits.set(7, tx);
        Ok(())
    })?;
    Ok(())
}
