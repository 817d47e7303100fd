//! [`PText`]: bytes that are UTF-8.

use std::ops::Range;

use super::PBuf;
use crate::ground::error::Result;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::Tx;

/// A growing run of UTF-8 text. Invariant **X1**: the bytes are UTF-8; held by every method, checked at open.
#[repr(transparent)]
#[derive(Default)]
pub(crate) struct PText<'p> {
    bytes: PBuf<'p, u8>,
}

impl<'p> PText<'p> {
    pub(crate) const fn new() -> Self {
        Self { bytes: PBuf::new() }
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        // SAFETY: X1.
        unsafe { std::str::from_utf8_unchecked(self.bytes.as_slice()) }
    }

    pub(crate) fn as_mut_str(&mut self, tx: &Tx<'p>) -> &mut str {
        let bytes = self.bytes.range_mut(0..self.bytes.len(), tx).unwrap_or_default();
        // SAFETY: X1, which every change through a `&mut str` keeps.
        unsafe { std::str::from_utf8_unchecked_mut(bytes) }
    }

    pub(crate) fn push_str(&mut self, tx: &Tx<'p>, text: &str) -> Result<()> {
        self.bytes.extend_from_slice(tx, text.as_bytes())
    }

    pub(crate) fn capacity(&self, tx: &Tx<'p>) -> u64 {
        self.bytes.capacity(tx)
    }

    pub(crate) fn reserve(&mut self, tx: &Tx<'p>, more: u64) -> Result<()> {
        self.bytes.reserve(tx, more)
    }

    pub(crate) fn reserve_exact(&mut self, tx: &Tx<'p>, more: u64) -> Result<()> {
        self.bytes.reserve_exact(tx, more)
    }

    pub(crate) fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        self.bytes.shrink_to_fit(tx)
    }

    /// Cuts the text at `len`; false, changing nothing, if that is inside a character.
    pub(crate) fn truncate(&mut self, len: usize) -> bool {
        let fits = len >= self.bytes.len() || self.as_str().is_char_boundary(len);
        if fits {
            self.bytes.truncate(len);
        }
        fits
    }

    /// Replaces all of the text. On an error it is what it was.
    pub(crate) fn assign(&mut self, tx: &Tx<'p>, text: &str) -> Result<()> {
        if text.len() as u64 > self.bytes.capacity(tx) {
            let mut new = Self::new();
            new.reserve_exact(tx, text.len() as u64)?;
            *self = new;
        }
        // X1 holds in between: no bytes are UTF-8 too. The room is there, so the second step cannot fail.
        self.bytes.truncate(0);
        self.bytes.extend_from_slice(tx, text.as_bytes())
    }

    /// Replaces the text from `start` to `end` by `with`. False, changing nothing, if either is not a place between two
    /// characters, or they are in the wrong order. On an error the text is what it was.
    pub(crate) fn splice(&mut self, tx: &Tx<'p>, start: usize, end: usize, with: &str) -> Result<bool> {
        let text = self.as_str();
        let (Some(_), Some(tail)) = (text.get(start..end), text.get(end..)) else {
            return Ok(false);
        };
        let tail = tail.to_owned();
        self.bytes.reserve(tx, with.len() as u64)?;
        // The room is there, so nothing below can fail. X1 holds at each step: whole characters go and come.
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(tx, with.as_bytes())?;
        self.bytes.extend_from_slice(tx, tail.as_bytes())?;
        Ok(true)
    }

    /// Takes the text in `gap` out. False, changing nothing, unless both its ends are between characters.
    pub(crate) fn close_gap(&mut self, tx: &Tx<'p>, gap: Range<usize>) -> bool {
        let text = self.as_str();
        if text.get(gap.clone()).is_none() || !text.is_char_boundary(gap.end) {
            return false;
        }
        let len = self.bytes.len();
        if let Some(bytes) = self.bytes.range_mut(gap.start..len, tx) {
            bytes.copy_within(gap.len().., 0);
        }
        self.bytes.truncate(len - gap.len());
        true
    }
}

// SAFETY: transparent over a run of bytes; validation claims it and checks X1.
unsafe impl<'p> Persistent for PText<'p> {
    type At<'q> = PText<'q>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        PBuf::<u8>::describe(schema)
    }

    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        let (addr, count) = (view.u64(0)?, view.u64(8)?);
        if addr == 0 && count == 0 {
            return Ok(());
        }
        if count > isize::MAX as u64 {
            return Err(Invalid::new("a text is longer than any pool", view.addr()));
        }
        let bytes = visit.own_bytes(addr, count)?;
        if bytes.is_utf8() { Ok(()) } else { Err(Invalid::new("a string is not UTF-8", addr)) }
    }
}
