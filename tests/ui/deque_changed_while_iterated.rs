//! A queue cannot grow while its elements are lent.

use pobj::{PDeque, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    jobs: PDeque<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, tx| {
        for job in app.jobs.iter_mut(tx) {
            app.jobs.push_back(tx, *job)?;
        }
        Ok(())
    })?;
    Ok(())
}
