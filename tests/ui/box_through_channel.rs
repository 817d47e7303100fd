//! A box cannot leave its transaction through a channel.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    pool.write(|app, _| {
        sender.send(app.head.take()).ok();
        Ok(())
    })?;
    drop(receiver);
    Ok(())
}
