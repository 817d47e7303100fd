//! A box cannot leave its transaction through a thread-local.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

thread_local! {
    static STOLEN: std::cell::RefCell<Option<PBox<'static, u64>>> = const { std::cell::RefCell::new(None) };
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        STOLEN.with(|stolen| *stolen.borrow_mut() = app.head.take());
        Ok(())
    })?;
    Ok(())
}
