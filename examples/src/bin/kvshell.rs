//! A shell over a key-value store: look into one, change it, feed it from a script.
//!
//! `kvshell ages.pobj` asks for commands, `kvshell ages.pobj put bob 41` does one, `kvshell ages.pobj < commands` does
//! those of a file. The status is 0 when all went well, 1 when a key was not there, 2 after an error.

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use examples::Failure;
use examples::kvshell::records::{self, Choice, Kind};
use examples::kvshell::session::{Outcome, Session};
use examples::kvshell::{script, terminal};

/// A shell over a key-value store.
///
/// Without a command it asks for commands, or reads them where its input is a file or a pipe; `help` shows them. The store
/// is made if there is none.
#[derive(Debug, Parser)]
struct Arguments {
    /// The engine; without one, that of the store.
    #[arg(long, value_name = "ENGINE")]
    engine: Option<Kind>,
    /// When a change counts as made.
    #[arg(long, value_enum, default_value_t = Durability::Immediate, value_name = "WHEN")]
    durability: Durability,
    /// The store's file.
    file: PathBuf,
    /// A command and its words, with \xNN for bytes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Durability {
    /// When it is durable.
    Immediate,
    /// When it is on its way; `sync` and the end of the shell wait for it.
    Eventual,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(Outcome::Done | Outcome::Quit) => ExitCode::SUCCESS,
        Ok(Outcome::Missing) => ExitCode::from(1),
        Err(error) => {
            // Who has stopped reading wants no more of it.
            let closed = error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
            if !closed {
                eprintln!("kvshell: {error}");
            }
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<Outcome, Failure> {
    let durability = match arguments.durability {
        Durability::Immediate => pobj::Durability::Immediate,
        Durability::Eventual => pobj::Durability::Eventual,
    };
    let words: Vec<_> = arguments.command.into_iter().map(OsString::into_vec).collect();
    // Before a store is made for a mistake.
    let command = script::command(&words)?;
    let store = records::open(&arguments.file, Choice { kind: arguments.engine, durability })?;
    let mut session = Session::new(store);
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let outcome = if let Some(command) = command {
        script::one(&mut session, command, &mut BufWriter::new(stdout.lock()), &mut io::stderr())
    } else if stdin.is_terminal() && stdout.is_terminal() {
        session = terminal::run(session, &name(&arguments.file))?;
        Ok(Outcome::Done)
    } else {
        script::lines(&mut session, stdin.lock(), &mut BufWriter::new(stdout.lock()), &mut io::stderr())
    };
    // Also after an error: what was put before it stays.
    let closed = session.close();
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

/// What the prompt calls the store.
fn name(file: &std::path::Path) -> String {
    file.file_stem().map_or_else(|| "kv".to_owned(), |name| name.to_string_lossy().into_owned())
}
