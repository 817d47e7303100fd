//! Several owners share the value, so none of them changes it just so.

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
            **head = 7;
        }
        Ok(())
    })?;
    Ok(())
}
