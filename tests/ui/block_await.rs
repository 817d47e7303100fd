//! A transaction cannot be suspended.

use pobj::{PBox, Persistent, Pool, tx};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
    hits: u64,
}

async fn index() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, |app, tx| {
        app.hits = std::future::ready(1).await;
    })?;
    Ok(())
}

fn main() {}
