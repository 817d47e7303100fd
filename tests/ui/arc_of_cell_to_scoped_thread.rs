//! A `PArc` is seen by other threads only if its value may be.

use pobj::{PArc, PCell, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PArc<'p, PCell<'p, u64>>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    pool.write(|app, _| {
        let head = &app.head;
        std::thread::scope(|scope| {
            scope.spawn(|| head.as_ref().map(|cell| cell.get()));
        });
        Ok(())
    })?;
    Ok(())
}
