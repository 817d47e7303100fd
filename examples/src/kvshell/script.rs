//! The shell without a person: commands from a file or a pipe, or one from the command line.
//!
//! The first error ends it, so that nothing is done on top of what went wrong; a key that is not there is said and counts
//! in the end, as with `grep`.

use std::fmt;
use std::io::{BufRead, Write};

use super::command::{self, Command};
use super::session::{Outcome, Session};
use super::words::argument;
use crate::Failure;

/// An error and the line it is in.
#[derive(Debug)]
pub struct InLine {
    number: u64,
    error: Failure,
}

impl fmt::Display for InLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.error)
    }
}

impl std::error::Error for InLine {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error.as_ref())
    }
}

/// Does what the lines of `input` say, up to `quit` or their end.
///
/// # Errors
///
/// The first one, with the number of its line; also a batch that is open at the end.
pub fn lines(
    session: &mut Session,
    mut input: impl BufRead,
    output: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Done;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        match session.line(&line, output, complaints) {
            Ok(Outcome::Quit) => break,
            Ok(Outcome::Missing) => outcome = Outcome::Missing,
            Ok(Outcome::Done) => {}
            Err(error) => return Err(Box::new(InLine { number, error })),
        }
    }
    end(session)?;
    Ok(outcome)
}

/// The command that words of a command line make; `None` if there are no words. No store is needed to find that they make
/// none.
///
/// # Errors
///
/// What is wrong with them.
pub fn command(arguments: &[Vec<u8>]) -> Result<Option<Command>, Failure> {
    let words = arguments.iter().map(|word| argument(word)).collect::<Result<_, _>>()?;
    Ok(command::parse(words)?)
}

/// Does one command.
///
/// # Errors
///
/// Those of [`Session::run`]; also that the command has begun a batch, which could never be committed.
pub fn one(
    session: &mut Session,
    command: Command,
    output: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let outcome = session.run(command, output, complaints)?;
    end(session)?;
    Ok(outcome)
}

fn end(session: &Session) -> Result<(), Failure> {
    match session.batched() {
        Some(changes) => Err(format!("the batch was not committed; changes given up: {changes}").into()),
        None => Ok(()),
    }
}
