//! A clone changes a count in the pool, so it takes the transaction; `clone` is never that of the value.

use pobj::{PRc, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PRc<'p, u64>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        let _copy = app.head.as_ref().map(|head| head.clone());
        Ok(())
    })?;
    Ok(())
}
