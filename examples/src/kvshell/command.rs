//! What can be said to the shell.

use std::fmt;

/// Bytes.
pub type Bytes = Vec<u8>;

/// Which records are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// Every record.
    #[default]
    All,
    /// Keys from the first, which is among them, up to the second, which is not.
    Between(Bytes, Option<Bytes>),
    /// Keys that begin so.
    Prefix(Bytes),
}

impl Range {
    /// Whether `key` is among them.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Between(from, to) => {
                from.as_slice() <= key && to.as_ref().is_none_or(|to| key < to.as_slice())
            }
            Self::Prefix(prefix) => key.starts_with(prefix),
        }
    }
}

/// A command with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `get`.
    Get(Bytes),
    /// `put`: the key, the value.
    Put(Bytes, Bytes),
    /// `del`.
    Delete(Vec<Bytes>),
    /// `exists`.
    Exists(Bytes),
    /// `scan`, `prefix`.
    Scan(Range),
    /// `count`.
    Count(Range),
    /// `begin`.
    Begin,
    /// `commit`.
    Commit,
    /// `abort`.
    Abort,
    /// `stats`.
    Stats,
    /// `sync`.
    Sync,
    /// `help`.
    Help,
    /// `quit`, `exit`.
    Quit,
}

/// What `help` says of a command.
#[derive(Debug)]
pub struct Description {
    /// The word that it begins with.
    pub name: &'static str,
    /// The words behind that one.
    pub arguments: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Whether its words are keys: those are completed.
    pub takes_keys: bool,
    parse: fn(Vec<Bytes>) -> Option<Command>,
}

/// All commands, in the order of `help`.
pub const COMMANDS: [Description; 15] = [
    describe("get", "KEY", "shows the value", true, |words| one(words).map(Command::Get)),
    describe("put", "KEY VALUE", "sets the value", true, |words| {
        let [key, value] = words.try_into().ok()?;
        Some(Command::Put(key, value))
    }),
    describe("del", "KEY...", "removes records", true, |words| {
        (!words.is_empty()).then_some(Command::Delete(words))
    }),
    describe("exists", "KEY", "says `yes` or `no`", true, |words| one(words).map(Command::Exists)),
    describe("scan", "[FROM [TO]]", "shows keys and values, FROM included and TO not", true, |words| {
        between(words).map(Command::Scan)
    }),
    describe("prefix", "PREFIX", "shows the keys that begin so, and their values", true, |words| {
        one(words).map(Range::Prefix).map(Command::Scan)
    }),
    describe("count", "[FROM [TO]]", "says how many records `scan` would show", true, |words| {
        between(words).map(Command::Count)
    }),
    describe("begin", "", "gathers what `put` and `del` change from here on", false, |words| {
        none(words, Command::Begin)
    }),
    describe("commit", "", "makes these changes, all or none", false, |words| none(words, Command::Commit)),
    describe("abort", "", "forgets them", false, |words| none(words, Command::Abort)),
    describe("stats", "", "shows the pool's figures", false, |words| none(words, Command::Stats)),
    describe("sync", "", "makes everything durable", false, |words| none(words, Command::Sync)),
    describe("help", "", "shows this", false, |words| none(words, Command::Help)),
    describe("quit", "", "ends the shell", false, |words| none(words, Command::Quit)),
    describe("exit", "", "as `quit`", false, |words| none(words, Command::Quit)),
];

const fn describe(
    name: &'static str,
    arguments: &'static str,
    does: &'static str,
    takes_keys: bool,
    parse: fn(Vec<Bytes>) -> Option<Command>,
) -> Description {
    Description { name, arguments, does, takes_keys, parse }
}

fn none(words: Vec<Bytes>, command: Command) -> Option<Command> {
    words.is_empty().then_some(command)
}

fn one(words: Vec<Bytes>) -> Option<Bytes> {
    let [word] = words.try_into().ok()?;
    Some(word)
}

fn between(mut words: Vec<Bytes>) -> Option<Range> {
    let to = if words.len() == 2 { words.pop() } else { None };
    match words.pop() {
        None => Some(Range::All),
        Some(from) => words.is_empty().then_some(Range::Between(from, to)),
    }
}

/// Why words are no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// There is no such command.
    Unknown,
    /// The command takes other words.
    Arguments(&'static str, &'static str),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "there is no such command; `help` shows those there are"),
            Self::Arguments(name, "") => write!(f, "`{name}` stands alone"),
            Self::Arguments(name, arguments) => write!(f, "say: {name} {arguments}"),
        }
    }
}

impl std::error::Error for Mistake {}

/// What a command's name stands for.
#[must_use]
pub fn description(name: &[u8]) -> Option<&'static Description> {
    COMMANDS.iter().find(|command| command.name.as_bytes() == name)
}

/// The command that the words of a line make; `None` if there are no words.
///
/// # Errors
///
/// A [`Mistake`].
pub fn parse(mut words: Vec<Bytes>) -> Result<Option<Command>, Mistake> {
    if words.is_empty() {
        return Ok(None);
    }
    let name = words.remove(0);
    let found = description(&name).ok_or(Mistake::Unknown)?;
    (found.parse)(words).map(Some).ok_or(Mistake::Arguments(found.name, found.arguments))
}

#[cfg(test)]
mod tests {
    //! Would catch words that end up in another place of a command, and too many or too few that are taken.
    use super::*;

    fn parsed(line: &str) -> Result<Option<Command>, Mistake> {
        parse(line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect())
    }

    #[test]
    fn words_take_their_places() {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let cases = [
            ("get a", Command::Get(bytes("a"))),
            ("put a b", Command::Put(bytes("a"), bytes("b"))),
            ("del a b", Command::Delete(vec![bytes("a"), bytes("b")])),
            ("scan", Command::Scan(Range::All)),
            ("scan a", Command::Scan(Range::Between(bytes("a"), None))),
            ("scan a b", Command::Scan(Range::Between(bytes("a"), Some(bytes("b"))))),
            ("prefix a", Command::Scan(Range::Prefix(bytes("a")))),
            ("count", Command::Count(Range::All)),
            ("begin", Command::Begin),
            ("exit", Command::Quit),
        ];
        for (line, expected) in cases {
            assert_eq!(parsed(line), Ok(Some(expected)), "{line}");
        }
        assert_eq!(parsed(""), Ok(None));
    }

    #[test]
    fn wrong_numbers_of_words_are_refused() {
        for line in
            ["get", "get a b", "put a", "put a b c", "del", "scan a b c", "prefix", "begin a", "quit 1"]
        {
            assert!(matches!(parsed(line), Err(Mistake::Arguments(..))), "{line}");
        }
        assert_eq!(parsed("PUT a b"), Err(Mistake::Unknown));
        assert_eq!(parsed("put a").unwrap_err().to_string(), "say: put KEY VALUE");
        assert_eq!(parsed("begin a").unwrap_err().to_string(), "`begin` stands alone");
    }
}
