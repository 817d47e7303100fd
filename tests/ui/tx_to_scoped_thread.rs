//! A transaction belongs to its thread.

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
        std::thread::scope(|scope| {
            scope.spawn(|| PBox::new(tx, 1u64).map(drop));
        });
        Ok(())
    })?;
    Ok(())
}
