//! [`PList`]: a list whose values are found, moved and removed by key.
//!
//! The nodes lie in [`Pages`] and name each other by place, so a link is 4 bytes, a node keeps its place, and a damaged or
//! outdated link leads to another node or to none, never out of the pool. A node that is removed goes on a list of
//! vacant ones, from which the next insert takes it. A key holds its node's place and the number of the insert, which the
//! node holds too: so a key whose value has left is known.
//!
//! Invariants, checked at open (see [`check`]) and kept here; the code ends and stays in bounds without them:
//! - **L1** From `front` on, `next` leads through each used node once, to `back`; `prev` leads the same way back. `len`
//!   is their number.
//! - **L2** From `vacant` on, `next` leads through each vacant node once.
//!
//! The parts: [`nodes`] (linking), [`cursor`], [`iter`] (iterators, drain), [`traits`] (comparisons), [`check`]
//! (validation).

mod check;
mod cursor;
mod iter;
mod nodes;
mod traits;

use super::pages::{Pages, Table};
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{Node, PListKey, persistent_struct};

pub use cursor::{Cursor, CursorMut};
pub use iter::{Drain, Entries, Iter, IterMut};

/// A doubly linked list in the pool: `LinkedList` for persistent data, whose values can be found, moved and removed by
/// key in constant time, from anywhere in the list.
///
/// Every insert gives a [`PListKey`]: eight bytes that may be stored in the pool, such as in a map beside the list, and
/// that are checked when they are used. That is what a cache needs that forgets what was not used for longest:
///
/// ```
/// # use pobj::{PHashMap, PList, PListKey, PString, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Cache<'p> {
///     pages: PList<'p, PString<'p>>,
///     by_number: PHashMap<'p, u64, PListKey>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Cache>::create(dir.path().join("cache.pobj"))?;
/// pool.write(|cache, tx| {
///     for number in 0..3 {
///         let page = PString::from_str(tx, &format!("page {number}"))?;
///         let key = cache.pages.push_front(tx, page)?;
///         cache.by_number.insert(tx, number, key)?;
///     }
///     // A hit:
///     if let Some(&key) = cache.by_number.get(&0) {
///         cache.pages.move_to_front(key, tx);
///     }
///     // The one that goes first, when room is needed:
///     let oldest = cache.pages.pop_back(tx);
///     assert_eq!(oldest.as_deref(), Some("page 1"));
///     Ok(())
/// })?;
/// let cache = pool.read();
/// assert!(cache.pages.iter().map(|page| page.as_str()).eq(["page 0", "page 2"]));
/// // A key whose value has left finds nothing.
/// assert_eq!(cache.pages.get(cache.by_number[&1]), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Forty bytes, and 16 bytes for each value beside it. All operations take constant time unless they say otherwise, and
/// remember two or three links of 8 bytes. Values do not move (but for the first page of 32 KiB, which grows like a
/// vector until it is full), so growing takes no longer the more there are. What is removed makes room for what is inserted next; [`shrink_to_fit`](Self::shrink_to_fit) and [`clear`](Self::clear) give
/// memory back.
#[repr(C)]
pub struct PList<'p, T> {
    nodes: Pages<'p, Node<T>>,
    /// The first node: its place plus one; 0 for none.
    front: u32,
    /// The last node.
    back: u32,
    /// The first node without a value.
    vacant: u32,
    /// Number of the last insert, from a random start; 0 before the first.
    generation: u32,
    len: u64,
}

persistent_struct! {
    impl['p, T: Persistent] PList['p, T] called "PList"[T];
    at<'q> = PList<'q, T::At<'q>>;
    fields { nodes: Table<'p, Node<T>>, front: u32, back: u32, vacant: u32, generation: u32, len: u64 }
    check = check::list::<T>;
}

impl<T> PList<'_, T> {
    /// An empty list, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { nodes: Pages::new(), front: 0, back: 0, vacant: 0, generation: 0, len: 0 }
    }

    /// Number of values.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops all values and gives all memory back. Keys to them find nothing from then on.
    pub fn clear(&mut self) {
        // The number goes on, so that old keys stay outdated.
        *self = Self { generation: self.generation, ..Self::new() };
    }

    /// The value that `key` names, if it is in the list.
    #[must_use]
    #[inline]
    pub fn get(&self, key: PListKey) -> Option<&T> {
        let (generation, value) = self.node(key.link())?.used()?;
        (generation == key.generation()).then_some(value)
    }

    /// Whether the value that `key` names is in the list.
    #[must_use]
    pub fn contains_key(&self, key: PListKey) -> bool {
        self.get(key).is_some()
    }

    /// Whether `value` is among the values. Looks at all of them.
    #[must_use]
    pub fn contains(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        self.iter().any(|ours| ours == value)
    }

    /// The first value.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.value(self.front)
    }

    /// The last value.
    #[must_use]
    pub fn back(&self) -> Option<&T> {
        self.value(self.back)
    }

    /// The key of the first value.
    #[must_use]
    pub fn front_key(&self) -> Option<PListKey> {
        self.key_of(self.front)
    }

    /// The key of the last value.
    #[must_use]
    pub fn back_key(&self) -> Option<PListKey> {
        self.key_of(self.back)
    }

    /// The key of the value behind the one that `key` names.
    #[must_use]
    pub fn next_key(&self, key: PListKey) -> Option<PListKey> {
        self.key_of(self.links(self.find(key)?).next)
    }

    /// The key of the value before the one that `key` names.
    #[must_use]
    pub fn prev_key(&self, key: PListKey) -> Option<PListKey> {
        self.key_of(self.links(self.find(key)?).prev)
    }
}

impl<'p, T: Persistent<At<'p> = T>> PList<'p, T> {
    /// Puts `value` before the first one, and gives its key.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](crate::Error::PoolFull), [`TooLarge`](crate::Error::TooLarge) beyond some four billion values, or
    /// [`Io`](crate::Error::Io) when the file cannot grow; so for every method that takes memory.
    pub fn push_front(&mut self, tx: &Tx<'p>, value: T) -> Result<PListKey> {
        self.insert_between(tx, 0, self.front, value)
    }

    /// Appends `value`, and gives its key.
    ///
    /// # Errors
    ///
    /// As [`push_front`](Self::push_front).
    pub fn push_back(&mut self, tx: &Tx<'p>, value: T) -> Result<PListKey> {
        self.insert_between(tx, self.back, 0, value)
    }

    /// Puts `value` before the one that `key` names. `None`, and `value` is dropped, if that is not in the list.
    ///
    /// # Errors
    ///
    /// As [`push_front`](Self::push_front).
    pub fn insert_before(&mut self, tx: &Tx<'p>, key: PListKey, value: T) -> Result<Option<PListKey>> {
        let Some(next) = self.find(key) else { return Ok(None) };
        self.insert_between(tx, self.links(next).prev, next, value).map(Some)
    }

    /// Puts `value` behind the one that `key` names. `None`, and `value` is dropped, if that is not in the list.
    ///
    /// # Errors
    ///
    /// As [`push_front`](Self::push_front).
    pub fn insert_after(&mut self, tx: &Tx<'p>, key: PListKey, value: T) -> Result<Option<PListKey>> {
        let Some(prev) = self.find(key) else { return Ok(None) };
        self.insert_between(tx, prev, self.links(prev).next, value).map(Some)
    }

    /// Removes the first value.
    pub fn pop_front(&mut self, tx: &Tx<'p>) -> Option<T> {
        self.remove_at(self.front, tx)
    }

    /// Removes the last value.
    pub fn pop_back(&mut self, tx: &Tx<'p>) -> Option<T> {
        self.remove_at(self.back, tx)
    }

    /// Removes the value that `key` names. `None` if it is not in the list.
    pub fn remove(&mut self, key: PListKey, tx: &Tx<'p>) -> Option<T> {
        self.remove_at(self.find(key)?, tx)
    }

    /// The value that `key` names, for changing. It alone is remembered.
    #[inline]
    pub fn get_mut(&mut self, key: PListKey, tx: &Tx<'p>) -> Option<&mut T> {
        let link = self.find(key)?;
        self.value_mut(link, tx)
    }

    /// The first value, for changing.
    pub fn front_mut(&mut self, tx: &Tx<'p>) -> Option<&mut T> {
        self.value_mut(self.front, tx)
    }

    /// The last value, for changing.
    pub fn back_mut(&mut self, tx: &Tx<'p>) -> Option<&mut T> {
        self.value_mut(self.back, tx)
    }

    /// Moves the value that `key` names to the front. Its key stays. False if it is not in the list.
    pub fn move_to_front(&mut self, key: PListKey, tx: &Tx<'p>) -> bool {
        let Some(link) = self.find(key) else { return false };
        if link != self.front {
            self.unlink(link, tx);
            self.link(link, 0, self.front, tx);
        }
        true
    }

    /// Moves the value that `key` names to the end. Its key stays. False if it is not in the list.
    pub fn move_to_back(&mut self, key: PListKey, tx: &Tx<'p>) -> bool {
        let Some(link) = self.find(key) else { return false };
        if link != self.back {
            self.unlink(link, tx);
            self.link(link, self.back, 0, tx);
        }
        true
    }

    /// Moves the value that `key` names before the one that `before` names. False, changing nothing, if one of them is
    /// not in the list.
    pub fn move_before(&mut self, key: PListKey, before: PListKey, tx: &Tx<'p>) -> bool {
        let (Some(link), Some(next)) = (self.find(key), self.find(before)) else { return false };
        if link != next && self.links(next).prev != link {
            self.unlink(link, tx);
            self.link(link, self.links(next).prev, next, tx);
        }
        true
    }

    /// Moves the value that `key` names behind the one that `after` names. False, changing nothing, if one of them is not
    /// in the list.
    pub fn move_after(&mut self, key: PListKey, after: PListKey, tx: &Tx<'p>) -> bool {
        let (Some(link), Some(prev)) = (self.find(key), self.find(after)) else { return false };
        if link != prev && self.links(prev).next != link {
            self.unlink(link, tx);
            self.link(link, prev, self.links(prev).next, tx);
        }
        true
    }

    /// Moves all values of `other` to the end of this list, one by one: values do not leave the pages of their list
    /// otherwise. Their keys change.
    ///
    /// # Errors
    ///
    /// As [`push_front`](Self::push_front); what has moved until then stays, the value at hand is dropped.
    pub fn append(&mut self, tx: &Tx<'p>, other: &mut Self) -> Result<()> {
        while let Some(value) = other.pop_front(tx) {
            self.push_back(tx, value)?;
        }
        Ok(())
    }

    /// Moves the values from index `at` on to a new list, one by one. Their keys change. All of them, if `at` is 0;
    /// none, if it is the length or more.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), with what has moved.
    pub fn split_off(&mut self, tx: &Tx<'p>, at: usize) -> Result<Self> {
        let mut other = Self::new();
        for _ in at..self.len() {
            if let Some(value) = self.pop_back(tx) {
                other.push_front(tx, value)?;
            }
        }
        Ok(other)
    }

    /// Appends what `values` yields.
    ///
    /// # Errors
    ///
    /// As [`push_front`](Self::push_front); the values before the one that did not fit stay.
    pub fn extend(&mut self, tx: &Tx<'p>, values: impl IntoIterator<Item = T>) -> Result<()> {
        for value in values {
            self.push_back(tx, value)?;
        }
        Ok(())
    }

    /// Keeps the values for which `keep` says so. Looks at all, remembers what goes.
    pub fn retain(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(&T) -> bool) {
        let mut cursor = self.cursor_front_mut(tx);
        while let Some(value) = cursor.current() {
            if keep(value) {
                cursor.move_next();
            } else {
                drop(cursor.remove_current());
            }
        }
    }

    /// Gives memory back: all if the list is empty, else that behind the last node with a value. Looks at all nodes
    /// without a value.
    ///
    /// # Errors
    ///
    /// As [`push_front`](Self::push_front).
    pub fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        if self.is_empty() {
            self.clear();
            return Ok(());
        }
        self.drop_vacant_end(tx);
        self.nodes.shrink_to_fit(tx)
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_list: PList<'static, u64>, "`PList`" 0, [nodes, front, back, vacant, generation, len]);
