//! A range of the standard library's kinds in numbers.

use std::ops::{Bound, Range, RangeBounds};

/// `range` in numbers, for something of `len` items. Not checked: it may be out of order or end beyond `len`.
pub(crate) fn span(range: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    start..end
}
