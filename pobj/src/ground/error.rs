//! The one error type. Each variant is one cause and carries what a person needs to act on it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::domain::Domain;

/// Result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what was expected.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    Io {
        /// What was being done, for example `"grow the pool file"`.
        doing: &'static str,
        /// The file, where one is known.
        path: Option<PathBuf>,
        /// The system's own error.
        source: io::Error,
    },
    /// The file is missing.
    NotFound {
        /// The path that was given.
        path: PathBuf,
    },
    /// `create` found a file at its path.
    AlreadyExists {
        /// The path that was given.
        path: PathBuf,
    },
    /// Another handle, in this process or another, owns the pool.
    Locked {
        /// The pool file.
        path: PathBuf,
    },
    /// The address range that the pool's pointers need is in use in this process.
    AddressTaken {
        /// First address of the range.
        base: u64,
        /// Length of the range in bytes.
        len: u64,
    },
    /// The file is not a pool: its first bytes are not a pool header.
    NotAPool {
        /// Where the file came from.
        path: PathBuf,
        /// What was found instead, in words.
        found: String,
    },
    /// The file is not a log: its first bytes are not a log's header.
    NotALog {
        /// Where the file came from.
        path: PathBuf,
        /// What was found instead, in words.
        found: String,
    },
    /// The pool was written by a newer or foreign format.
    UnsupportedFormat {
        /// What does not fit, for example `"format version"` or `"incompatible features"`.
        what: &'static str,
        /// The value in the file.
        found: u64,
        /// The value, or the highest value, that this program supports.
        supported: u64,
    },
    /// The file contradicts itself at the given place.
    Corrupt {
        /// What is wrong there.
        what: String,
        /// Offset in bytes from the start of the pool.
        offset: u64,
    },
    /// The medium does not give bytes of the pool back: a bad block of a disk, a bad line of memory.
    Unreadable {
        /// The pool file.
        path: PathBuf,
        /// Offset in bytes from the start of the pool of what was to be read.
        offset: u64,
        /// How many bytes that were; one of them at least is bad.
        len: u64,
        /// The system's own error.
        source: io::Error,
    },
    /// The pool holds other types than the program expects. One line for each difference.
    SchemaMismatch {
        /// For example `Account.age: u32 in the pool, u64 in the program`.
        differences: Vec<String>,
    },
    /// An ordered key-value map was made with another order of keys than the program's. Open it with the one that is named.
    OrderMismatch {
        /// The name of the order in the pool.
        found: String,
        /// The name of the program's.
        expected: String,
    },
    /// The pool has no room left for the request and may not grow further; the transaction is rolled back.
    PoolFull {
        /// Bytes that were asked for.
        requested: u64,
        /// The pool's largest permitted length in bytes.
        max_len: u64,
    },
    /// The log has no room left for the entries; nothing was appended.
    LogFull {
        /// Bytes that the entries take in the log, with what frames add.
        needed: u64,
        /// Bytes that are left.
        available: u64,
    },
    /// The log was rewound: what was to be read is gone.
    Rewound,
    /// An earlier write or sync failed, so what is durable is unknown (assumption M5). Reopen the pool to recover.
    Poisoned,
    /// A transaction on this pool is already running on this thread.
    Nested,
    /// This thread holds a read guard of the pool, so a transaction on it could never start.
    ReadGuardHeld,
    /// Waiting for a lock would have been waiting for oneself, and running the transaction again has not helped.
    Deadlock,
    /// This transaction has borrowed the value already, through a guard that is still there (or was forgotten).
    AlreadyBorrowed,
    /// The process was forked after the pool was opened; only the process that opened a pool may use it.
    Forked,
    /// Bytes of the pool were changed that no transaction has logged: by `unsafe` code, or by a mistake in pobj. They have
    /// been put back. Only `Options::check_unlogged`, of the feature `sim`, looks for this.
    Unlogged {
        /// Address of the first of them.
        addr: u64,
        /// Its offset in bytes from the start of the pool.
        offset: u64,
        /// How many words of eight bytes have changed.
        words: u64,
        /// What lies there.
        place: String,
    },
    /// An option has a value that cannot work.
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// Why the value cannot work, and which values can.
        reason: String,
    },
    /// The medium does not keep stores as closely as was asked for.
    Domain {
        /// The file.
        path: PathBuf,
        /// The coarsest domain that would do.
        needed: Domain,
        /// What the medium has.
        found: Domain,
    },
    /// A request that no pool can satisfy, such as a length beyond `u64`.
    TooLarge {
        /// Bytes that were asked for.
        requested: u64,
    },
    /// A place beyond the end of a collection was named.
    OutOfRange {
        /// The place that was asked for.
        index: u64,
        /// What the collection holds.
        len: u64,
    },
    /// An array of blocks has another shape than was asked for.
    BlockShape {
        /// The pool file.
        path: PathBuf,
        /// `"block size"` or `"number of blocks"`.
        what: &'static str,
        /// What was asked for.
        expected: u64,
        /// What the array has.
        found: u64,
    },
    /// A buffer is not as long as a block.
    BufferLen {
        /// Bytes in a block.
        expected: u64,
        /// Bytes in the buffer.
        found: u64,
    },
    /// The block was marked as bad, and has not been written since.
    BadBlock {
        /// Its number.
        number: u64,
    },
    /// A range of bytes is not made of whole, aligned values of the type that it should be seen as.
    Misaligned {
        /// Address of the range's first byte.
        address: u64,
        /// Length of the range in bytes.
        len: u64,
        /// Size of a value in bytes.
        size: u64,
        /// Alignment of a value in bytes.
        align: u64,
    },
    /// A place inside a character, or beyond the end of a string, was named.
    NotCharBoundary {
        /// The byte that was asked for.
        index: u64,
        /// Length of the string in bytes.
        len: u64,
    },
    /// Bytes in a key-value store are no value of the type that they are asked as.
    Undecodable {
        /// The type's name.
        expected: &'static str,
        /// How many bytes there are.
        len: u64,
    },
    /// The transaction's closure gave up with an error of its own.
    Aborted(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps the caller's own error, to abort a transaction with it.
    ///
    /// ```
    /// let error = pobj::Error::abort("the account is overdrawn");
    /// assert_eq!(error.to_string(), "transaction aborted: the account is overdrawn");
    /// ```
    pub fn abort(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Aborted(reason.into())
    }

    /// An [`Error::Corrupt`] at `offset`.
    pub(crate) fn corrupt(what: impl Into<String>, offset: u64) -> Self {
        Self::Corrupt { what: what.into(), offset }
    }

    /// An [`Error::Io`] without a path.
    pub(crate) fn io(doing: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: None, source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path: Some(path), source } => {
                write!(f, "cannot {doing} ({}): {source}", path.display())
            }
            Self::Io { doing, path: None, source } => write!(f, "cannot {doing}: {source}"),
            Self::NotFound { path } => write!(f, "there is no {}", path.display()),
            Self::AlreadyExists { path } => {
                write!(f, "{} exists; open it, or create the pool under another name", path.display())
            }
            Self::Locked { path } => write!(
                f,
                "{} is open elsewhere; one process at a time owns a pool (close the other handle first)",
                path.display()
            ),
            Self::AddressTaken { base, len } => write!(
                f,
                "the pool needs the addresses {base:#x}..{:#x}, which this process already uses \
                 (is a copy of this pool open?)",
                base.saturating_add(*len)
            ),
            Self::NotAPool { path, found } => {
                write!(f, "{} is not a pobj pool: {found}", path.display())
            }
            Self::NotALog { path, found } => write!(f, "{} is not a pobj log: {found}", path.display()),
            Self::UnsupportedFormat { what, found, supported } => write!(
                f,
                "the pool's {what} is {found:#x}, this program supports {supported:#x}; use a newer pobj"
            ),
            Self::Corrupt { what, offset } => write!(f, "the file is damaged at offset {offset:#x}: {what}"),
            Self::Unreadable { path, offset, len, source } => write!(
                f,
                "{}: the medium does not give back the {len} bytes at offset {offset:#x}: {source} (restore a copy of the \
                 file)",
                path.display()
            ),
            Self::SchemaMismatch { differences } => {
                write!(f, "the pool's types are not the program's:")?;
                for difference in differences {
                    write!(f, "\n  {difference}")?;
                }
                Ok(())
            }
            Self::OrderMismatch { found, expected } => write!(
                f,
                "keys in the pool are in the order `{found}`, the program's order is `{expected}`; open it with the first"
            ),
            Self::PoolFull { requested, max_len } => write!(
                f,
                "the pool is full: {requested} bytes do not fit under its max_size of {max_len} bytes \
                 (free something, or create the pool with a larger max_size)"
            ),
            Self::LogFull { needed, available } => write!(
                f,
                "the log is full: the entries take {needed} bytes and {available} are left (rewind it, or create one with \
                 a larger capacity)"
            ),
            Self::Rewound => write!(f, "the log was rewound, and what was to be read is gone; begin again"),
            Self::Poisoned => write!(
                f,
                "an earlier write to the file failed, so what is durable is unknown; reopen it to recover"
            ),
            Self::Nested => write!(
                f,
                "a transaction on this pool is already running on this thread; pass its `tx` down instead"
            ),
            Self::ReadGuardHeld => {
                write!(f, "this thread holds a read guard of the pool; drop it before starting a transaction")
            }
            Self::Deadlock => write!(
                f,
                "transactions wait for each other's locks; take locks in the same order everywhere, or fewer at a time"
            ),
            Self::AlreadyBorrowed => write!(
                f,
                "this transaction has borrowed the value already; drop the first guard before asking for another"
            ),
            Self::Forked => write!(f, "the pool was opened before a fork; open it in this process"),
            Self::Unlogged { addr, offset, words, place } => write!(
                f,
                "{words} words from address {addr:#x} (offset {offset:#x}) on were changed without being logged: {place}"
            ),
            Self::InvalidOption { option, reason } => write!(f, "option `{option}`: {reason}"),
            Self::Domain { path, needed, found } => write!(
                f,
                "{}: the medium keeps stores by {found}, and {needed} or finer is needed; only a file system mounted \
                 with DAX grants that",
                path.display()
            ),
            Self::TooLarge { requested } => write!(f, "{requested} bytes can never fit in a pool"),
            Self::OutOfRange { index, len } => {
                write!(f, "place {index} is beyond the end, which is at {len}")
            }
            Self::BlockShape { path, what, expected, found } => {
                write!(f, "{}: the {what} is {found}, not {expected} as was asked for", path.display())
            }
            Self::BufferLen { expected, found } => {
                write!(f, "a buffer of {found} bytes for a block of {expected}; it must be exactly as long")
            }
            Self::BadBlock { number } => write!(
                f,
                "block {number} is marked as bad; write it, or set it to zero, before it is read again"
            ),
            Self::Misaligned { address, len, size, align } => write!(
                f,
                "{len} bytes at address {address:#x} are not whole values of {size} bytes that start at a multiple of \
                 {align}"
            ),
            Self::NotCharBoundary { index, len } => write!(
                f,
                "byte {index} is not between two characters of a string of {len} bytes (see str::is_char_boundary)"
            ),
            Self::Undecodable { expected, len } => write!(
                f,
                "{len} bytes in the store are no value of `{expected}`; were they put through another type?"
            ),
            Self::Aborted(reason) => write!(f, "transaction aborted: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Unreadable { source, .. } => Some(source),
            Self::Aborted(reason) => Some(reason.as_ref()),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    /// For the caller's own I/O inside a transaction.
    fn from(error: io::Error) -> Self {
        Self::Aborted(Box::new(error))
    }
}
