//! A `&mut` to an object cannot exist beside a `&` to it.

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
            let before = &**head;
            *head.get_mut(tx) += 1;
            println!("{before}");
        }
        Ok(())
    })?;
    Ok(())
}
