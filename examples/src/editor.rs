//! The buffer of a line editor whose undo survives the program.
//!
//! Each change is kept as the change that takes it back. Text and history are in one pool and change in one
//! transaction: there is no moment at which one is saved and the other is not.

use pobj::{PString, PVec, Persistent, Result, Tx};

/// A change to the lines, as it is kept in the history: the one that leads back.
#[derive(Persistent)]
#[repr(u8)]
enum Change<'p> {
    /// Puts a line at a place.
    Insert(u64, PString<'p>),
    /// Takes the line at a place out.
    Remove(u64),
    /// Puts a line in the place of another.
    Replace(u64, PString<'p>),
}

/// Lines, and the way back to all that they ever were.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Buffer<'p> {
    lines: PVec<'p, PString<'p>>,
    /// What takes the latest changes back, the latest one last.
    undo: PVec<'p, Change<'p>>,
    /// What makes the changes again that were taken back, the next one last.
    redo: PVec<'p, Change<'p>>,
}

impl<'p> Buffer<'p> {
    /// The lines, from the first on.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(PString::as_str)
    }

    /// How many changes can be taken back, and made again.
    #[must_use]
    pub fn history(&self) -> (usize, usize) {
        (self.undo.len(), self.redo.len())
    }

    /// Puts a line before line `at`, or behind the last. Whether there is such a place.
    ///
    /// # Errors
    ///
    /// Those of taking memory, here and below. To be returned from the transaction, so that it rolls back.
    pub fn insert(&mut self, tx: &Tx<'p>, at: usize, line: &str) -> Result<bool> {
        if at > self.lines.len() {
            return Ok(false);
        }
        let line = PString::from_str(tx, line)?;
        self.change(tx, Change::Insert(at as u64, line))
    }

    /// Takes line `at` out. Whether there is one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn remove(&mut self, tx: &Tx<'p>, at: usize) -> Result<bool> {
        if at >= self.lines.len() {
            return Ok(false);
        }
        self.change(tx, Change::Remove(at as u64))
    }

    /// Puts another line in the place of line `at`. Whether there is one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn replace(&mut self, tx: &Tx<'p>, at: usize, line: &str) -> Result<bool> {
        if at >= self.lines.len() {
            return Ok(false);
        }
        let line = PString::from_str(tx, line)?;
        self.change(tx, Change::Replace(at as u64, line))
    }

    /// Takes the latest change back. Whether there was one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn undo(&mut self, tx: &Tx<'p>) -> Result<bool> {
        let Some(back) = self.undo.pop() else { return Ok(false) };
        let again = self.apply(tx, back)?;
        self.redo.push(tx, again)?;
        Ok(true)
    }

    /// Makes a change again that was taken back. Whether there was one.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn redo(&mut self, tx: &Tx<'p>) -> Result<bool> {
        let Some(again) = self.redo.pop() else { return Ok(false) };
        let back = self.apply(tx, again)?;
        self.undo.push(tx, back)?;
        Ok(true)
    }

    /// A new change: what was taken back before it is out of reach.
    fn change(&mut self, tx: &Tx<'p>, change: Change<'p>) -> Result<bool> {
        let back = self.apply(tx, change)?;
        self.undo.push(tx, back)?;
        self.redo.clear();
        Ok(true)
    }

    /// Makes a change, and gives the one that takes it back. Places are right: each was when the change was kept, and
    /// the lines are what they were then.
    fn apply(&mut self, tx: &Tx<'p>, change: Change<'p>) -> Result<Change<'p>> {
        Ok(match change {
            Change::Insert(at, line) => {
                self.lines.insert(tx, at as usize, line)?;
                Change::Remove(at)
            }
            Change::Remove(at) => {
                let line = self.lines.remove(at as usize, tx).unwrap_or_default();
                Change::Insert(at, line)
            }
            Change::Replace(at, line) => {
                let place = self.lines.get_mut(at as usize, tx);
                Change::Replace(at, place.map(|place| std::mem::replace(place, line)).unwrap_or_default())
            }
        })
    }
}
