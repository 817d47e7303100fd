//! The shell with a person at it: prompts, history, completion of commands and of keys.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};

use super::command::{COMMANDS, description};
use super::session::{Outcome, Session};
use super::words::{Mistake, printed, quoted, scan};
use crate::Failure;

/// So many keys are offered at most.
const OFFERED: usize = 100;

/// Reads commands from the terminal until `quit` or the end of input. Errors are said; none ends the shell.
///
/// # Errors
///
/// Those of the terminal.
pub fn run(session: Session, name: &str) -> Result<Session, Failure> {
    let session = RefCell::new(session);
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor = Editor::<_, FileHistory>::with_config(config)?;
    editor.set_helper(Some(Completion { session: &session }));
    let history = history_file();
    if let Some(path) = &history {
        // A first run has none, and without one everything else works.
        let _ = editor.load_history(path);
    }
    let outcome = converse(&mut editor, &session, name);
    if let Some(path) = &history
        && let Err(error) = keep(&mut editor, path)
    {
        eprintln!("kvshell: the history is not kept in {}: {error}", path.display());
    }
    drop(editor);
    outcome.map(|()| session.into_inner())
}

fn converse(
    editor: &mut Editor<Completion<'_>, FileHistory>,
    session: &RefCell<Session>,
    name: &str,
) -> Result<(), Failure> {
    loop {
        let batched = session.borrow().batched();
        let prompt = match batched {
            Some(changes) => format!("{name} +{changes}> "),
            None => format!("{name}> "),
        };
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            // Ctrl-C gives up the line, Ctrl-D the shell.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        let mut output = std::io::BufWriter::new(std::io::stdout().lock());
        let outcome = session.borrow_mut().line(line.as_bytes(), &mut output, &mut std::io::stderr());
        output.flush()?;
        match outcome {
            Ok(Outcome::Quit) => break,
            Ok(Outcome::Done | Outcome::Missing) => {}
            Err(error) => eprintln!("{error}"),
        }
    }
    if let Some(changes) = session.borrow().batched() {
        eprintln!("kvshell: the batch was not committed; changes given up: {changes}");
    }
    Ok(())
}

/// Where the history is kept: in the user's directory for state, as the XDG base directories have it.
fn history_file() -> Option<PathBuf> {
    let state = match std::env::var_os("XDG_STATE_HOME").map(PathBuf::from) {
        Some(path) if path.is_absolute() => path,
        _ => std::env::home_dir()?.join(".local/state"),
    };
    Some(state.join("kvshell/history"))
}

fn keep(editor: &mut Editor<Completion<'_>, FileHistory>, path: &Path) -> Result<(), ReadlineError> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // Appended: another shell may have written meanwhile.
    editor.append_history(path)
}

/// Offers commands at the beginning of a line and keys behind it.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Completion<'s> {
    session: &'s RefCell<Session>,
}

impl Completer for Completion<'_> {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(match self.session.try_borrow() {
            Ok(session) => candidates(&session, line.as_bytes().get(..pos).unwrap_or_default()),
            Err(_) => (pos, Vec::new()),
        })
    }
}

/// Where the word that a line ends with begins, and what it could become.
fn candidates(session: &Session, line: &[u8]) -> (usize, Vec<Pair>) {
    let (mut words, mistake) = scan(line);
    let (start, begun) = match words.pop() {
        Some(word) if word.end == line.len() => (word.start, word.bytes),
        Some(word) => {
            words.push(word);
            (line.len(), Vec::new())
        }
        None => (line.len(), Vec::new()),
    };
    let nothing = (start, Vec::new());
    let Some(command) = words.first() else {
        let names = COMMANDS.iter().filter(|command| command.name.as_bytes().starts_with(&begun));
        return (start, names.map(|command| pair(command.name.to_owned(), " ")).collect());
    };
    if !description(&command.bytes).is_some_and(|command| command.takes_keys)
        || mistake.is_some_and(|mistake| !matches!(mistake, Mistake::Unclosed { .. }))
    {
        return nothing;
    }
    let Ok((keys, all)) = session.keys(&begun, OFFERED) else { return nothing };
    // Who has begun with a quote goes on with one.
    let open = line.get(start).is_some_and(|byte| matches!(byte, b'"' | b'\''));
    let mut pairs: Vec<_> =
        keys.iter().map(|key| pair(if open { quoted(key) } else { printed(key) }, " ")).collect();
    if !all {
        // What is offered must not look as if it were all: the line stays as it is.
        let typed = String::from_utf8_lossy(&line[start..]).into_owned();
        pairs.push(Pair { display: "...".to_owned(), replacement: typed });
    }
    (start, pairs)
}

fn pair(word: String, end: &str) -> Pair {
    Pair { replacement: word.clone() + end, display: word }
}
