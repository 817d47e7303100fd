//! [`Pages`]: a sequence that grows by whole blocks and never moves what it holds.
//!
//! A vector that doubles copies everything now and then, in one transaction. A map must not: the worst insert would
//! take as long as the map is large. So its parts lie in pages of up to 32 KiB, and a table of pages (16 bytes each)
//! finds them. Only the table is ever copied, 1/2000 of the data.
//!
//! Invariants, which validation at open checks and everything here keeps:
//! - **G1** Each page but the last holds exactly [`Pages::PER_PAGE`] items.
//! - **G2** The last page holds at least one and at most `PER_PAGE`.
//!
//! If bytes break them after all, `get` still ends in bounds: every index goes through a slice.

use std::ops::Range;

use crate::ground::error::{Error, Result};
use crate::layout::{Invalid, Persistent, View, Visit};
use crate::tx::Tx;
use crate::typed::{Links, Node, PBuf, Pair};

/// Bytes in a page: the heap's largest class, so that a page wastes nothing and is not a large object.
const PAGE_LEN: usize = if cfg!(miri) { 256 } else { 32 << 10 };

/// The type that lies in the pool.
pub(crate) type Table<'p, T> = PBuf<'p, PBuf<'p, T>>;

/// A paged sequence. An item's *place* is its page's number shifted left, plus its index in the page; places are not
/// dense, which costs nothing.
#[repr(transparent)]
pub(crate) struct Pages<'p, T> {
    table: Table<'p, T>,
}

impl<T> Default for Pages<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Pages<'_, T> {
    /// Items in a full page.
    pub(crate) const PER_PAGE: usize = match size_of::<T>() {
        0 => 1 << 15,
        size if size > PAGE_LEN => 1,
        size => PAGE_LEN / size,
    };
    const SHIFT: u32 = Self::PER_PAGE.next_power_of_two().trailing_zeros();
    /// Pages whose places fit in 32 bits, less one place.
    const PAGES_MAX: usize = (1 << (32 - Self::SHIFT)) - 1;

    pub(crate) const fn new() -> Self {
        Self { table: PBuf::new() }
    }

    #[inline]
    const fn split(place: usize) -> (usize, usize) {
        (place >> Self::SHIFT, place & ((1 << Self::SHIFT) - 1))
    }

    /// The place of the item with this number.
    #[inline]
    pub(crate) fn place_of(number: usize) -> usize {
        if Self::PER_PAGE.is_power_of_two() {
            return number;
        }
        ((number / Self::PER_PAGE) << Self::SHIFT) | (number % Self::PER_PAGE)
    }

    /// The number of the item at a place; too large, if no item can be there.
    #[inline]
    pub(crate) fn number_of(place: usize) -> usize {
        let (page, index) = Self::split(place);
        if index < Self::PER_PAGE { page * Self::PER_PAGE + index } else { usize::MAX }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self.table.as_slice() {
            [] => 0,
            [full @ .., last] => full.len() * Self::PER_PAGE + last.len(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// The item at `place`.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        let (page, index) = Self::split(place);
        self.table.as_slice().get(page)?.as_slice().get(index)
    }

    /// The item with this number, in the order of iteration.
    #[inline]
    pub(crate) fn nth(&self, number: usize) -> Option<&T> {
        self.get(Self::place_of(number))
    }

    fn last_place(&self) -> Option<usize> {
        let slice = self.table.as_slice();
        let last = slice.last()?.len().checked_sub(1)?;
        Some(((slice.len() - 1) << Self::SHIFT) | last)
    }
}

impl<'p, T> Pages<'p, T> {
    /// The pages.
    #[inline]
    pub(crate) fn pages(&self) -> &[PBuf<'p, T>] {
        self.table.as_slice()
    }
}

impl<'p, T: Persistent<At<'p> = T>> Pages<'p, T> {
    /// The item at `place`, for changing. It alone is remembered.
    #[inline]
    pub(crate) fn get_mut(&mut self, place: usize, tx: &Tx<'p>) -> Option<&mut T> {
        let (page, index) = Self::split(place);
        self.table.inner_range_mut(page, index..index + 1, tx)?.first_mut()
    }

    /// As [`nth`](Self::nth), for changing.
    #[inline]
    pub(crate) fn nth_mut(&mut self, number: usize, tx: &Tx<'p>) -> Option<&mut T> {
        self.get_mut(Self::place_of(number), tx)
    }

    /// A part of the item with this number, for changing; that part alone is remembered.
    #[inline]
    pub(crate) fn nth_part_mut<P>(
        &mut self,
        number: usize,
        tx: &Tx<'p>,
        part: impl for<'a> FnOnce(&'a T) -> Option<&'a P>,
    ) -> Option<&mut P> {
        self.table.inner_part_mut(Self::split(Self::place_of(number)), tx, part)
    }

    /// All pages, for changing what is in them. The table is remembered.
    pub(crate) fn pages_mut(&mut self, tx: &Tx<'p>) -> std::slice::IterMut<'_, PBuf<'p, T>> {
        self.table.range_mut(0..self.table.len(), tx).unwrap_or_default().iter_mut()
    }

    /// Appends `value` and gives its place.
    pub(crate) fn push(&mut self, tx: &Tx<'p>, value: T) -> Result<usize> {
        let pages = self.table.len();
        if let Some(last) = pages.checked_sub(1)
            && self.table.as_slice().get(last).is_some_and(|page| page.len() < Self::PER_PAGE)
            && let Some(page) = self.table.get_mut(last, tx)
        {
            let index = page.len();
            if pages == 1 && index as u64 == page.capacity(tx) {
                // The only page of a small map grows like a vector, but not beyond a page.
                let room = (index / 2 + 1).min(Self::PER_PAGE - index);
                page.reserve_exact(tx, room as u64)?;
            }
            page.push(tx, value)?;
            return Ok((last << Self::SHIFT) | index);
        }
        if pages >= Self::PAGES_MAX {
            return Err(Error::TooLarge { requested: u64::MAX });
        }
        let mut page = PBuf::new();
        if pages != 0 {
            page.reserve_exact(tx, Self::PER_PAGE as u64)?;
        }
        page.push(tx, value)?;
        self.table.push(tx, page)?;
        Ok(pages << Self::SHIFT)
    }

    /// Removes the last item.
    pub(crate) fn pop(&mut self, tx: &Tx<'p>) -> Option<T> {
        let last = self.table.len().checked_sub(1)?;
        let page = self.table.get_mut(last, tx)?;
        let value = page.pop();
        if page.len() == 0 {
            drop(self.table.pop());
        }
        value
    }

    /// Removes the item at `place` and puts the last one there. Gives the item, and the place that the other one left.
    pub(crate) fn swap_remove(&mut self, place: usize, tx: &Tx<'p>) -> Option<(T, Option<usize>)> {
        self.get(place)?;
        let last = self.last_place()?;
        let moved = self.pop(tx)?;
        if place == last {
            return Some((moved, None));
        }
        let hole = self.get_mut(place, tx)?;
        Some((std::mem::replace(hole, moved), Some(last)))
    }

    /// Makes room in the table for `more` items.
    pub(crate) fn reserve(&mut self, tx: &Tx<'p>, more: usize) -> Result<()> {
        self.table.reserve(tx, more.div_ceil(Self::PER_PAGE) as u64)
    }

    /// Gives room beyond the items back.
    pub(crate) fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        if let Some(last) = self.table.len().checked_sub(1)
            && let Some(page) = self.table.get_mut(last, tx)
        {
            page.shrink_to_fit(tx)?;
        }
        self.table.shrink_to_fit(tx)
    }
}

impl<'p, T: Persistent<At<'p> = T>> Pages<'p, T> {
    /// Bytes of the value of a pair in the item with this number, for changing; they alone are remembered.
    #[inline]
    pub(crate) fn pair_value_mut(
        &mut self,
        number: usize,
        range: Range<usize>,
        tx: &Tx<'p>,
        part: impl for<'a> FnOnce(&'a T) -> Option<&'a Pair<'p>>,
    ) -> Option<&mut [u8]> {
        self.table.pair_value_mut(Self::split(Self::place_of(number)), range, tx, part)
    }
}

impl<'p, T: Persistent<At<'p> = T>> Pages<'p, Node<T>> {
    /// The links of the node at `place`, for changing. They alone are remembered.
    pub(crate) fn links_mut(&mut self, place: usize, tx: &Tx<'p>) -> Option<&mut Links> {
        let (page, index) = Self::split(place);
        self.table.links_mut(page, index, tx)
    }

    /// The value of the node at `place`, for changing. It alone is remembered.
    pub(crate) fn value_mut(&mut self, place: usize, tx: &Tx<'p>) -> Option<&mut T> {
        let (page, index) = Self::split(place);
        self.table.value_mut(page, index, tx)
    }

    /// Takes the value of the node at `place`, which then has none.
    pub(crate) fn vacate(&mut self, place: usize, tx: &Tx<'p>) -> Option<T> {
        let (page, index) = Self::split(place);
        self.table.vacate(page, index, tx)
    }

    /// Gives the node at `place` a value; back if it has one.
    pub(crate) fn fill(&mut self, place: usize, tx: &Tx<'p>, generation: u32, value: T) -> Result<(), T> {
        let (page, index) = Self::split(place);
        self.table.fill(page, index, tx, generation, value)
    }
}

/// Numbers of items and places, for a check of the pages in a [`View`].
pub(crate) struct Shape {
    /// Items in all pages.
    pub(crate) len: u64,
    per_page: u64,
    shift: u32,
}

impl Shape {
    /// The page of an item's place, and its index there, if there is such an item.
    #[inline]
    pub(crate) fn split(&self, place: u64) -> Option<(usize, u64)> {
        self.number_of(place)?;
        Some(((place >> self.shift) as usize, place & ((1 << self.shift) - 1)))
    }

    /// The number of the item at `place`, if there is one.
    #[inline]
    pub(crate) fn number_of(&self, place: u64) -> Option<u64> {
        let (page, index) = (place >> self.shift, place & ((1 << self.shift) - 1));
        let number = page * self.per_page + index;
        (index < self.per_page && number < self.len).then_some(number)
    }
}

impl<T: Persistent> Pages<'_, T> {
    /// Claims the table whose sixteen bytes `view` shows, and checks G1 and G2. `each` claims a page and may look at it.
    pub(crate) fn check<'v>(
        view: View<'_>,
        visit: &mut Visit<'v>,
        mut each: impl FnMut(View<'v>, &mut Visit<'v>) -> Result<(), Invalid>,
    ) -> Result<Shape, Invalid> {
        let mut shape = Shape { len: 0, per_page: Self::PER_PAGE as u64, shift: Self::SHIFT };
        // The pages are claimed by `each`, so here the table is only pairs of words.
        let Some(table) = PBuf::<[u64; 2]>::claim(view, visit)? else {
            return Ok(shape);
        };
        let pages = table.len() / 16;
        if pages > Self::PAGES_MAX as u64 {
            return Err(Invalid::new("a map has more pages than a map can have", view.addr()));
        }
        for page in 0..pages {
            let header = table.field(page * 16, 16)?;
            let count = header.u64(8)?;
            let last = page + 1 == pages;
            if count > shape.per_page || count == 0 || (!last && count != shape.per_page) {
                return Err(Invalid::new(
                    format!("page {page} of {pages} of a map holds {count} of {} items", shape.per_page),
                    header.addr(),
                ));
            }
            each(header, visit)?;
            shape.len += count;
        }
        Ok(shape)
    }
}
