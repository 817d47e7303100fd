//! A box's content changes through `get_mut(tx)` only.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        if let Some(head) = &mut app.head {
            **head += 1;
        }
        Ok(())
    })?;
    Ok(())
}
