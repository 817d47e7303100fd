//! [`Batch`]: changes that are written down first and made later, all of them or none.

use std::fmt;

/// Changes for a store, to be made in one transaction by [`Store::apply`](super::Store::apply) or
/// [`Map::apply`](super::Map::apply): as many times as you like, on as many stores as you like.
///
/// Keys and values are copied into the batch. Changes of one key are made in their order: what was put and then removed is
/// not there. To remove a key that is not there is no error.
///
/// ```
/// use pobj::kv::{Batch, Hash, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Hash>::create(dir.path().join("store.pobj"))?;
/// let mut batch = Batch::new();
/// batch.put(b"one", b"1").put(b"two", b"2").remove(b"one");
/// store.apply(&batch)?;
/// assert_eq!((store.exists(b"one")?, store.get_copy(b"two")?), (false, Some(b"2".to_vec())));
/// batch.clear();
/// batch.put(b"three", b"3");
/// store.apply(&batch)?;
/// assert_eq!(store.count()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where a change lies in the bytes: its key up to `key_end`, then, of a put, its value.
#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    key_end: usize,
    value_end: Option<usize>,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Put(&'a [u8]),
    Remove,
}

impl Batch {
    /// A batch without changes.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), entries: Vec::new() }
    }

    /// Adds: the value of `key` becomes `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.add(key, Some(value))
    }

    /// Adds: the record of `key` goes.
    pub fn remove(&mut self, key: &[u8]) -> &mut Self {
        self.add(key, None)
    }

    fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        let value_end = value.map(|value| {
            self.bytes.extend_from_slice(value);
            self.bytes.len()
        });
        self.entries.push(Entry { start, key_end, value_end });
        self
    }

    /// Forgets all changes and keeps the memory for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The changes with their keys, in their order.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&[u8], Change<'_>)> {
        self.entries.iter().map(|entry| {
            let change = match entry.value_end {
                Some(end) => Change::Put(&self.bytes[entry.key_end..end]),
                None => Change::Remove,
            };
            (&self.bytes[entry.start..entry.key_end], change)
        })
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).field("bytes", &self.bytes.len()).finish()
    }
}
