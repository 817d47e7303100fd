//! What a caller may ask of an order: [`KeyRange`], ranges of keys; [`Seek`], one record by its place.

use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A range of keys: `a..b`, `a..=b`, `a..`, `..b`, `..=b` of anything that is bytes, `..` for all keys, or a pair of
/// [`Bound`]s. One whose ends are in the wrong order is empty.
///
/// ```
/// use std::ops::Bound::{Excluded, Unbounded};
///
/// use pobj::kv::{Ordered, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Ordered>::create(dir.path().join("store.pobj"))?;
/// for key in ["ant", "bee", "cat", "dog"] {
///     store.put(key.as_bytes(), b"")?;
/// }
/// assert_eq!(store.count_range("bee".."cat")?, 1);
/// assert_eq!(store.count_range("bee"..="cat")?, 2);
/// assert_eq!(store.count_range((Excluded("bee"), Unbounded))?, 2);
/// assert_eq!(store.count_range(..)?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait KeyRange {
    /// Where it begins and where it ends.
    fn key_bounds(&self) -> Bounds<'_>;
}

/// The ends of a range of keys.
pub type Bounds<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

impl KeyRange for RangeFull {
    fn key_bounds(&self) -> Bounds<'_> {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

macro_rules! key_ranges {
    ($($ty:ty),*) => {$(
        impl<K: AsRef<[u8]>> KeyRange for $ty {
            fn key_bounds(&self) -> Bounds<'_> {
                (self.start_bound().map(AsRef::as_ref), self.end_bound().map(AsRef::as_ref))
            }
        }
    )*};
}

key_ranges!(Range<K>, RangeFrom<K>, RangeInclusive<K>, RangeTo<K>, RangeToInclusive<K>, (Bound<K>, Bound<K>));

/// One record by its place in the order.
///
/// ```
/// use pobj::kv::{Ordered, Seek, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Ordered>::create(dir.path().join("store.pobj"))?;
/// for key in ["ant", "bee", "cat"] {
///     store.put(key.as_bytes(), b"")?;
/// }
/// let key_of = |seek| store.seek(seek, |key, _| String::from_utf8_lossy(key).into_owned());
/// assert_eq!(key_of(Seek::Last)?.as_deref(), Some("cat"));
/// assert_eq!(key_of(Seek::Lower(b"bee"))?.as_deref(), Some("ant"));
/// assert_eq!(key_of(Seek::HigherEq(b"bee"))?.as_deref(), Some("bee"));
/// assert_eq!(key_of(Seek::Higher(b"cat"))?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Seek<'k, K: ?Sized = [u8]> {
    /// The first one.
    First,
    /// The last one.
    Last,
    /// The last one below this key.
    Lower(&'k K),
    /// The last one not above this key.
    LowerEq(&'k K),
    /// The first one above this key.
    Higher(&'k K),
    /// The first one not below this key.
    HigherEq(&'k K),
}

impl<K: ?Sized> Clone for Seek<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized> Copy for Seek<'_, K> {}

impl<'k> Seek<'k> {
    /// The range of which it is one end, and whether it is the last end.
    pub(super) fn range(self) -> (Bounds<'k>, bool) {
        let (below, above) =
            (|end| ((Bound::Unbounded, end), true), |start| ((start, Bound::Unbounded), false));
        match self {
            Self::First => above(Bound::Unbounded),
            Self::Last => below(Bound::Unbounded),
            Self::Lower(key) => below(Bound::Excluded(key)),
            Self::LowerEq(key) => below(Bound::Included(key)),
            Self::Higher(key) => above(Bound::Excluded(key)),
            Self::HigherEq(key) => above(Bound::Included(key)),
        }
    }
}

/// The first key that is behind all that begin with `prefix`, in the order of bytes. `None` if there is none.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut behind = prefix[..=last].to_vec();
    behind[last] += 1;
    Some(behind)
}

/// All keys that begin with `prefix`; `behind` is what [`behind`] gives.
pub(super) fn prefix_bounds<'k>(prefix: &'k [u8], behind: &'k Option<Vec<u8>>) -> Bounds<'k> {
    (Bound::Included(prefix), behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
}

#[cfg(test)]
mod tests {
    //! Would catch a prefix of 0xFF bytes that ends too early, or too late.
    use super::*;

    #[test]
    fn what_is_behind_a_prefix() {
        assert_eq!(behind(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(behind(b"a\xFF\xFF"), Some(b"b".to_vec()));
        assert_eq!(behind(b"\xFF\xFF"), None);
        assert_eq!(behind(b""), None);
    }
}
