//! A small adventure that goes on where it was, however it ended: each command is saved before its answer is shown.
//!
//! `adventure` plays in `adventure.pobj`; `--new` begins again.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

use clap::Parser;
use examples::Failure;
use examples::adventure::World;
use pobj::{Error, Pool};

/// An adventure that needs no saving.
#[derive(Debug, Parser)]
struct Arguments {
    /// The pool file.
    #[arg(default_value = "adventure.pobj")]
    pool: PathBuf,
    /// Begins again.
    #[arg(long)]
    new: bool,
}

fn main() -> Result<(), Failure> {
    let Arguments { pool: path, new } = Arguments::parse();
    let pool = match Pool::<World>::open(&path) {
        Err(Error::NotFound { .. }) => Pool::<World>::create_with(&path, |tx| World::new(tx))?,
        other => other?,
    };
    if new {
        pool.write(|world, tx| {
            *world = World::new(tx)?;
            Ok(())
        })?;
    }
    match pool.read().state().0 {
        0 => println!("You wake up on a jetty."),
        turns => println!("You have been here for {turns} turns."),
    }
    println!("{}", pool.read().look(true));
    prompt()?;
    for line in stdin().lock().lines() {
        let command = line?;
        println!("{}", pool.write(|world, tx| world.turn(tx, &command))?);
        prompt()?;
    }
    Ok(pool.close()?)
}

fn prompt() -> Result<(), Failure> {
    print!("> ");
    Ok(stdout().flush()?)
}
