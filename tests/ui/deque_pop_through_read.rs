//! What is read under a guard cannot be taken out of a queue.

use pobj::{PDeque, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    jobs: PDeque<'p, u64>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let app = pool.read();
    let job = app.jobs.pop_front();
    println!("{job:?}");
    Ok(())
}
