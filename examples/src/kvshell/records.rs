//! A store of either engine behind one interface, and the choice between them.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use pobj::kv::{Batch, Engine, Hash, Ordered, Store};
use pobj::{Durability, Error, Result, Stats};

use super::command::{Bytes, Range};
use crate::Failure;

/// A hash store is asked for so many records at most when somebody waits for the keys with a prefix.
const LOOKS: usize = 200_000;

/// How a store finds its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// In constant time, in no order.
    Hash,
    /// In the order of their bytes.
    Ordered,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash => "hash",
            Self::Ordered => "ordered",
        })
    }
}

impl Kind {
    /// Whether a scan shows the keys in their order.
    #[must_use]
    pub fn keeps_order(self) -> bool {
        self == Self::Ordered
    }
}

/// What is done with each record of a scan. An error of the output ends it.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<io::Error> + 'a;

/// What the shell needs of a store.
pub trait Records {
    /// Its engine.
    fn kind(&self) -> Kind;

    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// Those of the store. So for all of them.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Sets the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Removes the record of `key`; whether there was one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn remove(&self, key: &[u8]) -> Result<bool>;

    /// Makes the changes of `batch`, all or none.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn apply(&self, batch: &Batch) -> Result<()>;

    /// Shows the records of a range to `each`, in the engine's order.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn scan(&self, range: &Range, each: &mut Each<'_>) -> Result<ControlFlow<io::Error>>;

    /// Number of records in a range.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn count(&self, range: &Range) -> Result<u64>;

    /// Some keys that begin with `prefix`, `limit` at most, and whether these are all. Takes no time that a person would
    /// notice.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn some_keys(&self, prefix: &[u8], limit: usize) -> Result<(BTreeSet<Bytes>, bool)>;

    /// The pool's figures.
    fn stats(&self) -> Stats;

    /// Makes everything durable.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn sync(&self) -> Result<()>;

    /// Makes everything durable and closes the pool.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn close(self: Box<Self>) -> Result<()>;
}

/// What engines do in ways of their own.
trait Ranges: Engine {
    const KIND: Kind;

    fn scan(store: &Store<Self>, range: &Range, each: &mut Each<'_>) -> Result<ControlFlow<io::Error>>;

    fn count(store: &Store<Self>, range: &Range) -> Result<u64>;

    fn some_keys(store: &Store<Self>, prefix: &[u8], limit: usize) -> Result<(BTreeSet<Bytes>, bool)>;
}

impl Ranges for Hash {
    const KIND: Kind = Kind::Hash;

    /// Looks at every record, whatever the range.
    fn scan(store: &Store<Self>, range: &Range, each: &mut Each<'_>) -> Result<ControlFlow<io::Error>> {
        store.for_each(|key, value| match range.contains(key) {
            true => each(key, value),
            false => ControlFlow::Continue(()),
        })
    }

    fn count(store: &Store<Self>, range: &Range) -> Result<u64> {
        if let Range::All = range {
            return store.count().map(|count| count as u64);
        }
        let snapshot = store.read()?;
        Ok(snapshot.iter().filter(|(key, _)| range.contains(key)).count() as u64)
    }

    fn some_keys(store: &Store<Self>, prefix: &[u8], limit: usize) -> Result<(BTreeSet<Bytes>, bool)> {
        let snapshot = store.read()?;
        let mut keys = BTreeSet::new();
        for (looks, (key, _)) in snapshot.iter().enumerate() {
            if looks == LOOKS || keys.len() == limit {
                return Ok((keys, false));
            }
            if key.starts_with(prefix) {
                keys.insert(key.to_vec());
            }
        }
        Ok((keys, true))
    }
}

impl Ranges for Ordered {
    const KIND: Kind = Kind::Ordered;

    fn scan(store: &Store<Self>, range: &Range, each: &mut Each<'_>) -> Result<ControlFlow<io::Error>> {
        match range {
            Range::All => store.for_each(each),
            Range::Between(from, None) => store.range(from.., each),
            Range::Between(from, Some(to)) => store.range(from..to, each),
            Range::Prefix(prefix) => store.prefix(prefix, each),
        }
    }

    fn count(store: &Store<Self>, range: &Range) -> Result<u64> {
        let count = match range {
            Range::All => store.count()?,
            Range::Between(from, None) => store.count_range(from..)?,
            Range::Between(from, Some(to)) => store.count_range(from..to)?,
            Range::Prefix(prefix) => store.count_prefix(prefix)?,
        };
        Ok(count as u64)
    }

    fn some_keys(store: &Store<Self>, prefix: &[u8], limit: usize) -> Result<(BTreeSet<Bytes>, bool)> {
        let mut keys = BTreeSet::new();
        let flow = store.prefix(prefix, |key, _| match keys.len() {
            len if len == limit => ControlFlow::Break(()),
            _ => {
                keys.insert(key.to_vec());
                ControlFlow::Continue(())
            }
        })?;
        Ok((keys, flow.is_continue()))
    }
}

impl<E: Ranges> Records for Store<E> {
    fn kind(&self) -> Kind {
        E::KIND
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get_copy(key)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, value).map(drop)
    }

    fn remove(&self, key: &[u8]) -> Result<bool> {
        self.remove(key)
    }

    fn apply(&self, batch: &Batch) -> Result<()> {
        self.apply(batch)
    }

    fn scan(&self, range: &Range, each: &mut Each<'_>) -> Result<ControlFlow<io::Error>> {
        E::scan(self, range, each)
    }

    fn count(&self, range: &Range) -> Result<u64> {
        E::count(self, range)
    }

    fn some_keys(&self, prefix: &[u8], limit: usize) -> Result<(BTreeSet<Bytes>, bool)> {
        E::some_keys(self, prefix, limit)
    }

    fn stats(&self) -> Stats {
        self.stats()
    }

    fn sync(&self) -> Result<()> {
        self.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        (*self).close()
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The engine; without one, what the file has.
    pub kind: Option<Kind>,
    /// When changes count as made.
    pub durability: Durability,
}

/// Opens the store in the file, or creates it there.
///
/// A pool's header describes its types, so a file that holds another engine's store is told apart from a damaged one, and
/// the engine need not be named.
///
/// # Errors
///
/// Those of opening a pool, and that the file holds another engine's store or none.
pub fn open(path: &Path, choice: Choice) -> std::result::Result<Box<dyn Records>, Failure> {
    let mut foreign = None;
    for kind in KINDS {
        match open_as(path, kind, choice.durability) {
            Ok(store) if choice.kind.is_none_or(|wanted| wanted == kind) => return Ok(store),
            Ok(_) => return Err(Box::new(Unopened::Other { path: path.display().to_string(), kind })),
            Err(Error::SchemaMismatch { .. }) => foreign = Some(kind),
            Err(Error::NotFound { .. }) => {
                return Ok(create_as(path, choice.kind.unwrap_or(NEW), choice.durability)?);
            }
            Err(error) => return Err(error.into()),
        }
    }
    debug_assert!(foreign.is_some());
    Err(Box::new(Unopened::Foreign { path: path.display().to_string() }))
}

const KINDS: [Kind; 2] = [Kind::Ordered, Kind::Hash];
/// What a new store is made with where nothing was asked for.
const NEW: Kind = Kind::Ordered;

fn open_as(path: &Path, kind: Kind, durability: Durability) -> Result<Box<dyn Records>> {
    Ok(match kind {
        Kind::Hash => Box::new(Store::<Hash>::options().durability(durability).open_store(path)?),
        Kind::Ordered => Box::new(Store::<Ordered>::options().durability(durability).open_store(path)?),
    })
}

fn create_as(path: &Path, kind: Kind, durability: Durability) -> Result<Box<dyn Records>> {
    Ok(match kind {
        Kind::Hash => Box::new(Store::<Hash>::options().durability(durability).create_store(path)?),
        Kind::Ordered => Box::new(Store::<Ordered>::options().durability(durability).create_store(path)?),
    })
}

/// Why a pool is not opened although nothing is wrong with it.
#[derive(Debug)]
enum Unopened {
    Other { path: String, kind: Kind },
    Foreign { path: String },
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other { path, kind } => {
                write!(
                    f,
                    "{path} is a store with the engine {kind}; leave `--engine` out, or say `--engine {kind}`"
                )
            }
            Self::Foreign { path } => write!(f, "{path} is a pool, but not a key-value store"),
        }
    }
}

impl std::error::Error for Unopened {}
