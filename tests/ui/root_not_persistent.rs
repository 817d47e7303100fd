//! A pool's root is persistent.

use pobj::Pool;

fn main() -> pobj::Result<()> {
    let pool = Pool::<Vec<u64>>::open("a.pobj")?;
    drop(pool);
    Ok(())
}
