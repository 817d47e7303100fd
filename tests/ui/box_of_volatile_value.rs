//! A box holds persistent values only.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|_, tx| {
        drop(PBox::new(tx, String::from("lost"))?);
        Ok(())
    })?;
    Ok(())
}
