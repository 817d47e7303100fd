//! Two `&mut` to one object cannot exist together.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, tx| {
        if let Some(head) = &mut app.head {
            let first = head.get_mut(tx);
            let second = head.get_mut(tx);
            *first += 1;
            *second += 1;
        }
        Ok(())
    })?;
    Ok(())
}
