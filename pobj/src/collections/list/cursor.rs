//! Cursors: places in a list from which to look, walk and change it.
//!
//! A cursor is at a value, or between the end and the front of the list, where there is none (std's *ghost*): stepping on
//! from there leads to the front, stepping back to the end.

use std::fmt;

use super::PList;
use crate::ground::error::Result;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::PListKey;

/// A place in a list, for looking; made by [`PList::cursor_front`] and the like.
pub struct Cursor<'a, 'p, T> {
    list: &'a PList<'p, T>,
    /// A link to the node; 0 at the ghost.
    at: u32,
}

/// A place in a list, for changing it; made by [`PList::cursor_front_mut`] and the like.
///
/// ```
/// # use pobj::{PList, Persistent, Pool};
/// # #[derive(Persistent, Default)]
/// # #[repr(C)]
/// # struct App<'p> {
/// #     steps: PList<'p, u64>,
/// # }
/// # let dir = tempfile::tempdir()?;
/// # let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     app.steps.extend(tx, [1, 2, 4])?;
///     let mut cursor = app.steps.cursor_front_mut(tx);
///     while cursor.current().is_some_and(|step| *step < 4) {
///         cursor.move_next();
///     }
///     cursor.insert_before(3)?;
///     assert_eq!(cursor.remove_current(), Some(4));
///     Ok(())
/// })?;
/// assert_eq!(pool.read().steps, [1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CursorMut<'a, 'p, T> {
    list: &'a mut PList<'p, T>,
    tx: &'a Tx<'p>,
    at: u32,
}

impl<T> Clone for Cursor<'_, '_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// What both kinds do.
macro_rules! looking {
    ($name:ident) => {
        impl<'p, T> $name<'_, 'p, T> {
            /// The value here; `None` at the ghost.
            #[must_use]
            pub fn current(&self) -> Option<&T> {
                self.list.value(self.at)
            }

            /// Its key.
            #[must_use]
            pub fn key(&self) -> Option<PListKey> {
                self.list.key_of(self.at)
            }

            /// The value behind this one.
            #[must_use]
            pub fn peek_next(&self) -> Option<&T> {
                self.list.value(self.next())
            }

            /// The value before this one.
            #[must_use]
            pub fn peek_prev(&self) -> Option<&T> {
                self.list.value(self.prev())
            }

            /// Steps to the next value, from the last one to the ghost, from there to the first one.
            pub fn move_next(&mut self) {
                self.at = self.next();
            }

            /// Steps to the previous value, from the first one to the ghost, from there to the last one.
            pub fn move_prev(&mut self) {
                self.at = self.prev();
            }

            /// The list.
            #[must_use]
            pub fn as_list(&self) -> &PList<'p, T> {
                self.list
            }

            fn next(&self) -> u32 {
                if self.at == 0 { self.list.front } else { self.list.links(self.at).next }
            }

            fn prev(&self) -> u32 {
                if self.at == 0 { self.list.back } else { self.list.links(self.at).prev }
            }
        }

        impl<T: fmt::Debug> fmt::Debug for $name<'_, '_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.current()).finish()
            }
        }
    };
}

looking!(Cursor);
looking!(CursorMut);

impl<'p, T: Persistent<At<'p> = T>> CursorMut<'_, 'p, T> {
    /// The value here, for changing. It alone is remembered.
    pub fn current_mut(&mut self) -> Option<&mut T> {
        self.list.value_mut(self.at, self.tx)
    }

    /// A cursor for looking, at the same place.
    #[must_use]
    pub fn as_cursor(&self) -> Cursor<'_, 'p, T> {
        Cursor { list: self.list, at: self.at }
    }

    /// Puts `value` before this one; at the ghost, at the end of the list. Gives its key.
    ///
    /// # Errors
    ///
    /// As [`PList::push_front`].
    pub fn insert_before(&mut self, value: T) -> Result<PListKey> {
        self.list.insert_between(self.tx, self.prev(), self.at, value)
    }

    /// Puts `value` behind this one; at the ghost, at the front of the list. Gives its key.
    ///
    /// # Errors
    ///
    /// As [`PList::push_front`].
    pub fn insert_after(&mut self, value: T) -> Result<PListKey> {
        self.list.insert_between(self.tx, self.at, self.next(), value)
    }

    /// Removes the value here and steps to the next one. `None` at the ghost.
    pub fn remove_current(&mut self) -> Option<T> {
        let next = if self.at == 0 { 0 } else { self.next() };
        let value = self.list.remove_at(self.at, self.tx)?;
        self.at = next;
        Some(value)
    }

    /// Moves the value that `key` names behind the one here (at the ghost, to the front). Its key stays. False if it is
    /// not in the list.
    pub fn move_here(&mut self, key: PListKey) -> bool {
        match self.key() {
            Some(here) => self.list.move_after(key, here, self.tx),
            None => self.list.move_to_front(key, self.tx),
        }
    }

    /// Moves the values of `other`, one by one, before this one; at the ghost, to the end of the list.
    ///
    /// # Errors
    ///
    /// As [`PList::append`].
    pub fn splice_before(&mut self, other: &mut PList<'p, T>) -> Result<()> {
        while let Some(value) = other.pop_front(self.tx) {
            self.insert_before(value)?;
        }
        Ok(())
    }

    /// Moves the values of `other`, one by one, behind this one; at the ghost, to the front of the list.
    ///
    /// # Errors
    ///
    /// As [`PList::append`].
    pub fn splice_after(&mut self, other: &mut PList<'p, T>) -> Result<()> {
        while let Some(value) = other.pop_back(self.tx) {
            self.insert_after(value)?;
        }
        Ok(())
    }

    /// Moves the values behind this one (at the ghost: all) to a new list, one by one.
    ///
    /// # Errors
    ///
    /// As [`PList::split_off`].
    pub fn split_after(&mut self) -> Result<PList<'p, T>> {
        let mut other = PList::new();
        for _ in 0..self.list.len() {
            let behind = self.next();
            let Some(value) = self.list.remove_at(behind, self.tx) else { break };
            other.push_back(self.tx, value)?;
        }
        Ok(other)
    }

    /// Moves the values before this one (at the ghost: all) to a new list, one by one.
    ///
    /// # Errors
    ///
    /// As [`PList::split_off`].
    pub fn split_before(&mut self) -> Result<PList<'p, T>> {
        let mut other = PList::new();
        for _ in 0..self.list.len() {
            let before = self.prev();
            let Some(value) = self.list.remove_at(before, self.tx) else { break };
            other.push_front(self.tx, value)?;
        }
        Ok(other)
    }
}

impl<'p, T> PList<'p, T> {
    /// A cursor at the first value.
    #[must_use]
    pub fn cursor_front(&self) -> Cursor<'_, 'p, T> {
        Cursor { list: self, at: self.front }
    }

    /// A cursor at the last value.
    #[must_use]
    pub fn cursor_back(&self) -> Cursor<'_, 'p, T> {
        Cursor { list: self, at: self.back }
    }

    /// A cursor at the value that `key` names, if it is in the list.
    #[must_use]
    pub fn cursor_at(&self, key: PListKey) -> Option<Cursor<'_, 'p, T>> {
        Some(Cursor { at: self.find(key)?, list: self })
    }

    /// A cursor at the first value, for changing the list.
    pub fn cursor_front_mut<'a>(&'a mut self, tx: &'a Tx<'p>) -> CursorMut<'a, 'p, T> {
        CursorMut { at: self.front, list: self, tx }
    }

    /// A cursor at the last value, for changing the list.
    pub fn cursor_back_mut<'a>(&'a mut self, tx: &'a Tx<'p>) -> CursorMut<'a, 'p, T> {
        CursorMut { at: self.back, list: self, tx }
    }

    /// A cursor at the value that `key` names, if it is in the list, for changing the list.
    pub fn cursor_at_mut<'a>(&'a mut self, key: PListKey, tx: &'a Tx<'p>) -> Option<CursorMut<'a, 'p, T>> {
        Some(CursorMut { at: self.find(key)?, list: self, tx })
    }
}
