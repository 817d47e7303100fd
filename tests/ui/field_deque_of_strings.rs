//! The values of a collection are persistent themselves.

use pobj::{PDeque, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    names: PDeque<'p, String>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    println!("{}", pool.read().names.len());
    Ok(())
}
