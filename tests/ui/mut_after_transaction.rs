//! A `&mut` into the pool ends with its transaction.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let mut hits = None;
    pool.write(|app, _| {
        hits = Some(&mut app.hits);
        Ok(())
    })?;
    *hits.unwrap() += 1;
    Ok(())
}
