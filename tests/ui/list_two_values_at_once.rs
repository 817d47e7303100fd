//! Two keys may be the same, so two values of a list are not lent for changing at once.

use pobj::{PList, PListKey, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    list: PList<'p, u64>,
    keys: [Option<PListKey>; 2],
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, tx| {
        if let [Some(a), Some(b)] = app.keys {
            let first = app.list.get_mut(a, tx);
            let second = app.list.get_mut(b, tx);
            std::mem::swap(first.unwrap(), second.unwrap());
        }
        Ok(())
    })?;
    Ok(())
}
