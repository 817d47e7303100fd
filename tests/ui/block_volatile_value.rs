//! A value that cannot be stored is reported where it is assigned.

use pobj::{Persistent, Pool, tx};

#[derive(Persistent, Default)]
#[repr(C)]
struct App {
    name: [u8; 8],
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, |app, tx| {
        app.name = String::from("lost");
    })?;
    Ok(())
}
