//! A shared pointer cannot leave its transaction.

use pobj::{PRc, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PRc<'p, u64>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let _head = pool.write(|app, tx| Ok(app.head.as_ref().map(|head| head.clone(tx))))?;
    Ok(())
}
