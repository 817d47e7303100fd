//! The process that the key-value store's kill suite kills: four threads put records into one store, each saying so after each.
//!
//! `kv_child PATH MODE` (a `KillMode`) prints `THREAD NUMBER` for each record whose put returned.

use std::error::Error;
use std::io::Write;

use pobj::Error as PoolError;
use tests::workload::KillMode;
use tests::workload::kv::{COMMON, THREADS, key, progress, store_options, value};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, mode] = arguments.as_slice() else {
        return Err("usage: kv_child PATH MODE".into());
    };
    let mode = KillMode::ALL.into_iter().find(|known| format!("{known:?}") == *mode);
    let options = store_options(mode.ok_or("no such mode")?);
    let store = match options.open_store(path) {
        Err(PoolError::NotFound { .. }) => options.create_store(path)?,
        other => other?,
    };
    let done = progress(&store)?;
    let store = &store;
    std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|thread| {
            scope.spawn(move || -> Result<(), PoolError> {
                for number in done[thread] + 1.. {
                    store.put(&key(thread, number), &value(thread, number))?;
                    // One write for one line, so that a kill leaves whole lines.
                    std::io::stdout().lock().write_all(format!("{thread} {number}\n").as_bytes())?;
                    std::io::stdout().flush()?;
                    store.put(COMMON, &value(thread, number))?;
                }
                Ok(())
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?.map_err(Into::into))
    })
}
