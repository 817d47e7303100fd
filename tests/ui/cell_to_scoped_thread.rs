//! A cell is not seen by other threads while its transaction may change it.

use pobj::{PCell, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    visits: PCell<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, tx| {
        let visits = &app.visits;
        std::thread::scope(|scope| {
            scope.spawn(|| visits.get());
            visits.set(7, tx);
        });
        Ok(())
    })?;
    Ok(())
}
