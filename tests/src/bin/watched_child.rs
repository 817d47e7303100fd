//! The process whose system calls are watched: opens or creates a pool and commits transactions, saying so after each.
//!
//! `watched_child PATH SEED MODE` (a `KillMode`) prints `open STEP` and then each step whose commit returned, until nobody
//! reads any more.

use std::error::Error;
use std::io::Write;

use pobj::{Error as PoolError, Pool};
use tests::workload::{KillMode, Model, Op, Root, kill_options};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, seed, mode] = arguments.as_slice() else {
        return Err("usage: watched_child PATH SEED MODE".into());
    };
    let seed: u64 = seed.parse()?;
    let mode = KillMode::ALL.into_iter().find(|known| format!("{known:?}") == *mode);
    let mode = mode.ok_or("no such mode")?;
    let pool: Pool<Root<'static>> = match kill_options(mode).open(path) {
        Err(PoolError::NotFound { .. }) => kill_options(mode).create(path)?,
        other => other?,
    };
    let mut model = Model::observe(&pool.read())?;
    let mut out = std::io::stdout();
    writeln!(out, "open {}", model.step)?;
    loop {
        let op = Op::random(seed, &model);
        pool.write(|root, tx| op.apply(root, tx))?;
        op.apply_to_model(&mut model);
        // One write for one line, so that a kill leaves whole lines.
        out.write_all(format!("{}\n", model.step).as_bytes())?;
        out.flush()?;
    }
}
