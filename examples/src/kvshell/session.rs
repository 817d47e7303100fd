//! What the shell does, command by command.
//!
//! Outside a batch every change is a transaction of its own. Between `begin` and `commit` changes are kept here, in
//! memory, and all questions are answered as if they had been made; the store learns of them at `commit`, in one
//! transaction. So a shell that is killed in between has changed nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::ControlFlow;

use pobj::kv::Batch;

use super::command::{self, Bytes, COMMANDS, Command, Range};
use super::records::{Each, Records};
use super::words::{printed, words};
use crate::Failure;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was done as far as it could be: a key was not there.
    Missing,
    /// The shell is to end.
    Quit,
}

/// What keys are to become: a value, or nothing.
type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// A store and the batch that is open.
pub struct Session {
    store: Box<dyn Records>,
    changes: Option<Changes>,
}

impl Session {
    /// A session on a store, without a batch.
    #[must_use]
    pub fn new(store: Box<dyn Records>) -> Self {
        Self { store, changes: None }
    }

    /// How many changes the open batch has, if one is open.
    #[must_use]
    pub fn batched(&self) -> Option<usize> {
        self.changes.as_ref().map(Changes::len)
    }

    /// Does what a line says. Answers go to `output`, which is flushed, and what is not there is said to `complaints`.
    ///
    /// # Errors
    ///
    /// What is wrong with the line, and those of the store and of the output. The store is as it was then.
    pub fn line(
        &mut self,
        line: &[u8],
        output: &mut dyn Write,
        complaints: &mut dyn Write,
    ) -> Result<Outcome, Failure> {
        match command::parse(words(line)?)? {
            Some(command) => self.run(command, output, complaints),
            None => Ok(Outcome::Done),
        }
    }

    /// Does a command, as [`line`](Self::line) does.
    ///
    /// # Errors
    ///
    /// As [`line`](Self::line).
    pub fn run(
        &mut self,
        command: Command,
        output: &mut dyn Write,
        complaints: &mut dyn Write,
    ) -> Result<Outcome, Failure> {
        let missing = match command {
            Command::Quit => return Ok(Outcome::Quit),
            Command::Delete(keys) => self.delete(keys)?,
            Command::Get(key) => match self.get(&key)? {
                Some(value) => {
                    writeln!(output, "{}", printed(&value))?;
                    Vec::new()
                }
                None => vec![key],
            },
            other => {
                self.simple(other, output)?;
                Vec::new()
            }
        };
        output.flush()?;
        for key in &missing {
            writeln!(complaints, "there is no {}", printed(key))?;
        }
        Ok(if missing.is_empty() { Outcome::Done } else { Outcome::Missing })
    }

    /// The commands that do not depend on whether a key is there.
    fn simple(&mut self, command: Command, output: &mut dyn Write) -> Result<(), Failure> {
        match command {
            Command::Put(key, value) => match &mut self.changes {
                Some(changes) => drop(changes.insert(key, Some(value))),
                None => self.store.put(&key, &value)?,
            },
            Command::Exists(key) => {
                writeln!(output, "{}", if self.get(&key)?.is_some() { "yes" } else { "no" })?;
            }
            Command::Scan(range) => {
                let mut each = |key: &[u8], value: &[u8]| match writeln!(
                    output,
                    "{} {}",
                    printed(key),
                    printed(value)
                ) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => ControlFlow::Break(error),
                };
                self.scan(&range, &mut each)?;
            }
            Command::Count(range) => writeln!(output, "{}", self.count(&range)?)?,
            Command::Begin => match self.changes {
                Some(_) => return Err("a batch is open already; `commit` or `abort` it first".into()),
                None => self.changes = Some(Changes::new()),
            },
            Command::Commit => self.commit()?,
            Command::Abort => self.abort().ok_or("no batch is open")?,
            Command::Stats => self.stats(output)?,
            Command::Sync => self.store.sync()?,
            Command::Help => help(output)?,
            Command::Get(_) | Command::Delete(_) | Command::Quit => {}
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> pobj::Result<Option<Bytes>> {
        match self.changes.as_ref().and_then(|changes| changes.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(key),
        }
    }

    /// The keys that were not there.
    fn delete(&mut self, keys: Vec<Bytes>) -> pobj::Result<Vec<Bytes>> {
        let mut missing = Vec::new();
        for key in keys {
            let found = match &self.changes {
                Some(_) => self.get(&key)?.is_some(),
                None => self.store.remove(&key)?,
            };
            match &mut self.changes {
                _ if !found => missing.push(key),
                Some(changes) => drop(changes.insert(key, None)),
                None => {}
            }
        }
        Ok(missing)
    }

    /// Shows the records of a range as they would be after `commit`.
    fn scan(&self, range: &Range, each: &mut Each<'_>) -> Result<(), Failure> {
        let flow = match &self.changes {
            Some(changes) if self.store.kind().keeps_order() => {
                merged(self.store.as_ref(), changes, range, each)?
            }
            Some(changes) => mixed(self.store.as_ref(), changes, range, each)?,
            None => self.store.scan(range, each)?,
        };
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error.into()),
        }
    }

    fn count(&self, range: &Range) -> Result<u64, Failure> {
        let mut count = self.store.count(range)?;
        for (key, value) in self.changes.iter().flatten().filter(|(key, _)| range.contains(key)) {
            // One more and one less, in this order: it is never below nothing.
            count += u64::from(value.is_some());
            count -= u64::from(self.store.get(key)?.is_some());
        }
        Ok(count)
    }

    /// Makes the changes of the open batch. They are forgotten only when they are made.
    fn commit(&mut self) -> Result<(), Failure> {
        let changes = self.changes.as_ref().ok_or("no batch is open")?;
        let mut batch = Batch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.remove(key),
            };
        }
        self.store.apply(&batch)?;
        self.changes = None;
        Ok(())
    }

    /// Forgets the open batch, if there is one.
    pub fn abort(&mut self) -> Option<()> {
        self.changes.take().map(drop)
    }

    fn stats(&self, output: &mut dyn Write) -> Result<(), Failure> {
        let stats = self.store.stats();
        let lines: [(&str, &dyn std::fmt::Display); 10] = [
            ("engine", &self.store.kind()),
            ("records", &self.store.count(&Range::All)?),
            ("file, bytes", &stats.len),
            ("blocks in use", &stats.heap.live_blocks),
            ("their bytes", &stats.heap.live_bytes),
            ("transactions since open", &stats.journal.records),
            ("durable writes", &stats.journal.durable_writes),
            ("their bytes", &stats.journal.durable_bytes),
            ("checkpoints", &stats.journal.checkpoints),
            ("replayed at open", &stats.opened.replayed),
        ];
        for (name, value) in lines {
            writeln!(output, "{name:<24}{value}")?;
        }
        Ok(())
    }

    /// Keys that begin with `prefix`, those of the open batch among them: `limit` or so at most; and whether these are all.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn keys(&self, prefix: &[u8], limit: usize) -> pobj::Result<(BTreeSet<Bytes>, bool)> {
        let (mut keys, all) = self.store.some_keys(prefix, limit)?;
        for (key, value) in self.changes.iter().flatten().filter(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(_) => keys.insert(key.clone()),
                None => keys.remove(key),
            };
        }
        Ok((keys, all))
    }

    /// Closes the store; an open batch is forgotten.
    ///
    /// # Errors
    ///
    /// Those of closing a pool.
    pub fn close(self) -> pobj::Result<()> {
        self.store.close()
    }
}

/// Shows the records of a range with the changes made, in the order of the keys.
fn merged(
    store: &dyn Records,
    changes: &Changes,
    range: &Range,
    each: &mut Each<'_>,
) -> pobj::Result<ControlFlow<io::Error>> {
    let mut rest = changes.iter().filter(|(key, _)| range.contains(key)).peekable();
    let flow = store.scan(range, &mut |key, value| {
        while let Some((changed, value)) = rest.next_if(|(changed, _)| changed.as_slice() <= key) {
            if let Some(value) = value {
                each(changed, value)?;
            }
            if changed == key {
                return ControlFlow::Continue(());
            }
        }
        each(key, value)
    })?;
    Ok(added(flow, rest, each))
}

/// As [`merged`], for a store without order: what is new comes at the end.
fn mixed(
    store: &dyn Records,
    changes: &Changes,
    range: &Range,
    each: &mut Each<'_>,
) -> pobj::Result<ControlFlow<io::Error>> {
    let mut met = BTreeSet::new();
    let flow = store.scan(range, &mut |key, value| match changes.get_key_value(key) {
        Some((key, change)) => {
            met.insert(key);
            change.as_ref().map_or(ControlFlow::Continue(()), |value| each(key, value))
        }
        None => each(key, value),
    })?;
    Ok(added(flow, changes.iter().filter(|(key, _)| range.contains(key) && !met.contains(key)), each))
}

/// Shows the changes that are left.
fn added<'a>(
    flow: ControlFlow<io::Error>,
    mut rest: impl Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>,
    each: &mut Each<'_>,
) -> ControlFlow<io::Error> {
    flow?;
    rest.try_for_each(|(key, value)| match value {
        Some(value) => each(key, value),
        None => ControlFlow::Continue(()),
    })
}

fn help(output: &mut dyn Write) -> io::Result<()> {
    for command in &COMMANDS {
        writeln!(output, "{:<7} {:<12} {}", command.name, command.arguments, command.does)?;
    }
    writeln!(output)?;
    writeln!(
        output,
        "A word with spaces is written \"in quotes\" or 'in these', a byte as \\x00; # begins a remark."
    )
}
