//! A line editor that never asks to save, and whose undo goes back beyond the last start of the program.
//!
//! It reads commands from the standard input: `i 1 text` inserts before line 1, `a text` appends, `r 2 text` replaces
//! line 2, `d 2` deletes it, `u` undoes, `y` does it again, `p` prints. `editor notes.pobj` works on that buffer.

use std::io::{BufRead, stdin};
use std::path::PathBuf;

use clap::Parser;
use examples::Failure;
use examples::editor::Buffer;
use pobj::Pool;

/// A persistent line editor.
#[derive(Debug, Parser)]
struct Arguments {
    /// The pool file.
    #[arg(default_value = "editor.pobj")]
    pool: PathBuf,
}

const USE: &str = "i LINE TEXT | a TEXT | r LINE TEXT | d LINE | u | y | p";

fn main() -> Result<(), Failure> {
    let pool = Pool::<Buffer>::open_or_create(Arguments::parse().pool)?;
    for line in stdin().lock().lines() {
        if let Err(error) = obey(&pool, line?.trim()) {
            println!("{error}");
        }
    }
    Ok(pool.close()?)
}

/// One command is one transaction, durable when the next one is read.
fn obey(pool: &Pool<Buffer<'static>>, command: &str) -> Result<(), Failure> {
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let numbered = || {
        let (number, text) = rest.split_once(' ').unwrap_or((rest, ""));
        match number.parse::<usize>() {
            Ok(number) if number > 0 => Ok((number - 1, text)),
            _ => Err(format!("{number:?} is no line: {USE}")),
        }
    };
    let done = match name {
        "" => true,
        "i" => numbered().map(|(at, text)| pool.write(|buffer, tx| buffer.insert(tx, at, text)))??,
        "a" => pool.write(|buffer, tx| {
            let end = buffer.lines().len();
            buffer.insert(tx, end, rest)
        })?,
        "r" => numbered().map(|(at, text)| pool.write(|buffer, tx| buffer.replace(tx, at, text)))??,
        "d" => numbered().map(|(at, _)| pool.write(|buffer, tx| buffer.remove(tx, at)))??,
        "u" => pool.write(|buffer, tx| buffer.undo(tx))?,
        "y" => pool.write(|buffer, tx| buffer.redo(tx))?,
        "p" => {
            print(pool);
            true
        }
        _ => return Err(USE.into()),
    };
    if done { Ok(()) } else { Err("there is no such line, or nothing to undo".into()) }
}

fn print(pool: &Pool<Buffer<'static>>) {
    let buffer = pool.read();
    for (number, line) in (1..).zip(buffer.lines()) {
        println!("{number:4} {line}");
    }
    let (undo, redo) = buffer.history();
    println!("{undo} changes to undo, {redo} to do again");
}
