//! A weak pointer into one pool cannot be stored in another.

use pobj::{PRc, PWeak, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PRc<'p, u64>>,
    weak: Option<PWeak<'p, u64>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let other = Pool::<App>::open("b.pobj")?;
    pool.write(|app, tx| {
        other.write(|inner, _| {
            inner.weak = app.head.as_ref().map(|head| PRc::downgrade(head, tx));
            Ok(())
        })
    })?;
    Ok(())
}
