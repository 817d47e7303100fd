//! Changing through a shared pointer remembers the old bytes, so it takes the transaction.

use pobj::{PRc, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PRc<'p, u64>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        if let Some(head) = &mut app.head {
            *PRc::get_mut(head).unwrap() += 1;
        }
        Ok(())
    })?;
    Ok(())
}
