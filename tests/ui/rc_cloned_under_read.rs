//! Reading clones nothing: a count would change without a transaction of that pool.

use pobj::{PRc, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PRc<'p, u64>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let other = Pool::<App>::open("b.pobj")?;
    let app = other.read();
    pool.write(|_, tx| {
        let _copy = app.head.as_ref().map(|head| head.clone(tx));
        Ok(())
    })?;
    Ok(())
}
