//! [`PString`]: text.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::FusedIterator;
use std::ops::{Deref, Range, RangeBounds};

use super::hash::{PHash, PHasher};
use crate::ground::error::{Error, Result};
use crate::ground::span::span;
use crate::tx::Tx;
use crate::typed::{PText, persistent_struct};

/// A growable UTF-8 string in the pool: `String` for persistent data. Derefs to `str`.
///
/// Sixteen bytes (address and length) and one block; none while it is empty and new. Appending is amortised constant
/// time. A place inside a character is an error here, where `String` panics.
///
/// ```
/// # use pobj::{PString, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Note<'p> {
///     text: PString<'p>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Note>::create(dir.path().join("note.pobj"))?;
/// pool.write(|note, tx| {
///     note.text = PString::from_str(tx, "hello")?;
///     note.text.push_str(tx, ", world")?;
///     note.text.replace_range(tx, ..5, "goodbye")
/// })?;
/// assert_eq!(pool.read().text, "goodbye, world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
#[derive(Default)]
pub struct PString<'p> {
    utf8: PText<'p>,
}

persistent_struct! {
    impl['p] PString['p] called "PString"[];
    at<'q> = PString<'q>;
    fields { utf8: PText<'p> }
    check = PText::validate;
}

impl<'p> PString<'p> {
    /// An empty string, without a block.
    #[must_use]
    pub const fn new() -> Self {
        Self { utf8: PText::new() }
    }

    /// A copy of `text`.
    ///
    /// # Errors
    ///
    /// [`PoolFull`](Error::PoolFull), or [`Io`](Error::Io) when the file cannot grow; so for every method that takes
    /// memory.
    pub fn from_str(tx: &Tx<'p>, text: &str) -> Result<Self> {
        let mut string = Self::with_capacity(tx, text.len())?;
        string.push_str(tx, text)?;
        Ok(string)
    }

    /// The text that `arguments` make: `PString::from_fmt(tx, format_args!("{x} and {y}"))`.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str); [`Aborted`](Error::Aborted) if one of the arguments refuses to be printed.
    pub fn from_fmt(tx: &Tx<'p>, arguments: fmt::Arguments<'_>) -> Result<Self> {
        let mut string = Self::new();
        string.push_fmt(tx, arguments)?;
        Ok(string)
    }

    /// An empty string with room for `bytes` bytes.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str).
    pub fn with_capacity(tx: &Tx<'p>, bytes: usize) -> Result<Self> {
        let mut string = Self::new();
        string.utf8.reserve_exact(tx, bytes as u64)?;
        Ok(string)
    }

    /// The text.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        self.utf8.as_str()
    }

    /// Bytes that fit before the block must be replaced.
    #[must_use]
    pub fn capacity(&self, tx: &Tx<'p>) -> u64 {
        self.utf8.capacity(tx)
    }

    /// Makes room for `more` bytes.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str).
    pub fn reserve(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.utf8.reserve(tx, more as u64)
    }

    /// Makes room for `more` bytes and little beyond.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str).
    pub fn reserve_exact(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.utf8.reserve_exact(tx, more as u64)
    }

    /// Gives room beyond the text back, if a much smaller block would do.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str).
    pub fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        self.utf8.shrink_to_fit(tx)
    }

    /// Replaces the text. The block is kept where the new text fits.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str).
    pub fn assign(&mut self, tx: &Tx<'p>, text: &str) -> Result<()> {
        self.utf8.assign(tx, text)
    }

    /// Appends a character.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str).
    pub fn push(&mut self, tx: &Tx<'p>, character: char) -> Result<()> {
        self.push_str(tx, character.encode_utf8(&mut [0; 4]))
    }

    /// Appends `text`.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str).
    pub fn push_str(&mut self, tx: &Tx<'p>, text: &str) -> Result<()> {
        self.utf8.push_str(tx, text)
    }

    /// Appends the text that `arguments` make: `text.push_fmt(tx, format_args!("{x} and {y}"))`.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str), and what came before stays; [`Aborted`](Error::Aborted) if one of the arguments
    /// refuses to be printed.
    pub fn push_fmt(&mut self, tx: &Tx<'p>, arguments: fmt::Arguments<'_>) -> Result<()> {
        let mut writer = self.writer(tx);
        let written = fmt::Write::write_fmt(&mut writer, arguments);
        match (written, writer.error) {
            (Ok(()), None) => Ok(()),
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(Error::abort(error)),
        }
    }

    /// The end of the text as a target of `write!`.
    pub fn writer<'a>(&'a mut self, tx: &'a Tx<'p>) -> Writer<'a, 'p> {
        Writer { string: self, tx, error: None }
    }

    /// Appends what `parts` yields: characters or texts.
    ///
    /// # Errors
    ///
    /// As [`from_str`](Self::from_str); the parts before the one that did not fit stay.
    pub fn extend<S: fmt::Display>(&mut self, tx: &Tx<'p>, parts: impl IntoIterator<Item = S>) -> Result<()> {
        parts.into_iter().try_for_each(|part| self.push_fmt(tx, format_args!("{part}")))
    }

    /// The text, for changing characters in place, such as to upper case. All of it is remembered.
    pub fn as_mut_str(&mut self, tx: &Tx<'p>) -> &mut str {
        self.utf8.as_mut_str(tx)
    }

    /// Cuts the string at `at` and gives what was behind.
    ///
    /// # Errors
    ///
    /// [`NotCharBoundary`](Error::NotCharBoundary) if `at` is not between two characters or is beyond the end; as
    /// [`from_str`](Self::from_str), and then nothing has changed.
    pub fn split_off(&mut self, tx: &Tx<'p>, at: usize) -> Result<Self> {
        let Some(behind) = self.get(at..) else { return Err(self.no_boundary(at)) };
        let behind = Self::from_str(tx, behind)?;
        self.truncate(at)?;
        Ok(behind)
    }

    /// Removes the text in `range` at once and yields its characters, which are kept in ordinary memory until then.
    ///
    /// # Errors
    ///
    /// As [`replace_range`](Self::replace_range), but for memory, of which none is taken.
    pub fn drain(&mut self, range: impl RangeBounds<usize>, tx: &Tx<'p>) -> Result<Drain> {
        let Range { start, end } = span(range, self.len());
        let Some(text) = self.get(start..end).map(str::to_owned) else {
            return Err(self.no_boundary(if self.is_char_boundary(start) { end } else { start }));
        };
        self.utf8.close_gap(tx, start..end);
        Ok(Drain { left: 0..text.len(), text })
    }

    /// Removes the last character.
    pub fn pop(&mut self) -> Option<char> {
        let last = self.chars().next_back()?;
        self.utf8.truncate(self.len() - last.len_utf8());
        Some(last)
    }

    /// Empties the string. The block is kept.
    pub fn clear(&mut self) {
        self.utf8.truncate(0);
    }

    /// Cuts the string at `len`; nothing happens if it is not longer.
    ///
    /// # Errors
    ///
    /// [`NotCharBoundary`](Error::NotCharBoundary) if `len` is inside a character.
    pub fn truncate(&mut self, len: usize) -> Result<()> {
        if self.utf8.truncate(len) { Ok(()) } else { Err(self.no_boundary(len)) }
    }

    /// Inserts `character` at byte `index`.
    ///
    /// # Errors
    ///
    /// As [`insert_str`](Self::insert_str).
    pub fn insert(&mut self, tx: &Tx<'p>, index: usize, character: char) -> Result<()> {
        self.insert_str(tx, index, character.encode_utf8(&mut [0; 4]))
    }

    /// Inserts `text` at byte `index`.
    ///
    /// # Errors
    ///
    /// [`NotCharBoundary`](Error::NotCharBoundary) if `index` is not between two characters; as
    /// [`from_str`](Self::from_str).
    pub fn insert_str(&mut self, tx: &Tx<'p>, index: usize, text: &str) -> Result<()> {
        self.replace_range(tx, index..index, text)
    }

    /// Removes the character that begins at byte `index`; `None` if none does.
    pub fn remove(&mut self, index: usize, tx: &Tx<'p>) -> Option<char> {
        let character = self.get(index..)?.chars().next()?;
        self.utf8.close_gap(tx, index..index + character.len_utf8());
        Some(character)
    }

    /// Replaces the bytes in `range` by `with`.
    ///
    /// # Errors
    ///
    /// [`NotCharBoundary`](Error::NotCharBoundary) if an end of `range` is not between two characters or they are in
    /// the wrong order; as [`from_str`](Self::from_str).
    pub fn replace_range(&mut self, tx: &Tx<'p>, range: impl RangeBounds<usize>, with: &str) -> Result<()> {
        let Range { start, end } = span(range, self.len());
        if self.utf8.splice(tx, start, end, with)? {
            return Ok(());
        }
        Err(self.no_boundary(if self.is_char_boundary(start) { end } else { start }))
    }

    /// Keeps the characters for which `keep` says so.
    pub fn retain(&mut self, tx: &Tx<'p>, mut keep: impl FnMut(char) -> bool) {
        let mut start = 0;
        while let Some(character) = self.get(start..).and_then(|rest| rest.chars().next()) {
            let end = start + character.len_utf8();
            if keep(character) {
                start = end;
                continue;
            }
            // Takes a whole stretch out at once: each one moves the rest of the text.
            let rest = self.get(end..).unwrap_or_default();
            let more = rest.chars().take_while(|&next| !keep(next)).map(char::len_utf8).sum::<usize>();
            let kept_next = rest.get(more..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
            self.utf8.close_gap(tx, start..end + more);
            // `keep` was asked about the character that ended the stretch.
            start += kept_next;
        }
    }

    fn no_boundary(&self, index: usize) -> Error {
        Error::NotCharBoundary { index: index as u64, len: self.len() as u64 }
    }
}

/// The end of a string as a target of `write!`; made by [`PString::writer`].
///
/// ```
/// # use pobj::{PString, Persistent, Pool};
/// # use std::fmt::Write;
/// # #[derive(Persistent, Default)]
/// # #[repr(C)]
/// # struct Note<'p> {
/// #     text: PString<'p>,
/// # }
/// # let dir = tempfile::tempdir()?;
/// # let pool = Pool::<Note>::create(dir.path().join("note.pobj"))?;
/// pool.write(|note, tx| {
///     write!(note.text.writer(tx), "{} and {:?}", 1, "two").map_err(pobj::Error::abort)?;
///     // The same, with the pool's own error where memory runs out:
///     note.text.push_fmt(tx, format_args!(" and {}", 3))
/// })?;
/// assert_eq!(pool.read().text, "1 and \"two\" and 3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer<'a, 'p> {
    string: &'a mut PString<'p>,
    tx: &'a Tx<'p>,
    /// What made a write fail.
    error: Option<Error>,
}

impl fmt::Write for Writer<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.string.push_str(self.tx, text).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

impl fmt::Debug for Writer<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.string).finish()
    }
}

/// Characters that have left a string; made by [`PString::drain`].
#[derive(Clone, Debug)]
pub struct Drain {
    text: String,
    left: Range<usize>,
}

impl Iterator for Drain {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let character = self.text.get(self.left.clone())?.chars().next()?;
        self.left.start += character.len_utf8();
        Some(character)
    }
}

impl DoubleEndedIterator for Drain {
    fn next_back(&mut self) -> Option<char> {
        let character = self.text.get(self.left.clone())?.chars().next_back()?;
        self.left.end -= character.len_utf8();
        Some(character)
    }
}

impl FusedIterator for Drain {}

impl Deref for PString<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for PString<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for PString<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<std::ffi::OsStr> for PString<'_> {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.as_str().as_ref()
    }
}

impl AsRef<std::path::Path> for PString<'_> {
    fn as_ref(&self) -> &std::path::Path {
        self.as_str().as_ref()
    }
}

impl From<&PString<'_>> for String {
    fn from(text: &PString<'_>) -> Self {
        text.as_str().to_owned()
    }
}

impl Borrow<str> for PString<'_> {
    #[inline]
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Display for PString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Debug for PString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'q> PartialEq<PString<'q>> for PString<'_> {
    fn eq(&self, other: &PString<'q>) -> bool {
        **self == **other
    }
}

impl Eq for PString<'_> {}

/// Comparison with the other kinds of string, on both sides.
macro_rules! equals {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for PString<'_> {
            fn eq(&self, other: &$other) -> bool {
                **self == other[..]
            }
        }

        impl PartialEq<PString<'_>> for $other {
            fn eq(&self, other: &PString<'_>) -> bool {
                self[..] == **other
            }
        }
    )*};
}

equals!(str, &str, String, std::borrow::Cow<'_, str>);

impl PartialOrd for PString<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PString<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for PString<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PHash for PString<'_> {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        (**self).phash(hasher);
    }
}
