//! Comparing, printing and hashing a list: as the sequence of its values.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::super::hash::{PHash, PHasher};
use super::PList;
use crate::typed::PListKey;

impl<T> Default for PList<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for PList<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'q, T: PartialEq<U>, U> PartialEq<PList<'q, U>> for PList<'_, T> {
    fn eq(&self, other: &PList<'q, U>) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(ours, theirs)| ours == theirs)
    }
}

impl<T: Eq> Eq for PList<'_, T> {}

/// Comparison with slices, of both kinds of brackets.
macro_rules! equals {
    ($([$($n:tt)*] $other:ty),* $(,)?) => {$(
        impl<T: PartialEq<U>, U, $($n)*> PartialEq<$other> for PList<'_, T> {
            fn eq(&self, other: &$other) -> bool {
                self.len() == other.len() && self.iter().zip(&other[..]).all(|(ours, theirs)| ours == theirs)
            }
        }
    )*};
}

equals!([] [U], [] &[U], [const N: usize] [U; N], [const N: usize] &[U; N], [] Vec<U>);

impl<T: PartialOrd> PartialOrd for PList<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<T: Ord> Ord for PList<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other)
    }
}

impl<T: Hash> Hash for PList<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|value| value.hash(state));
    }
}

/// Feeds the length as a word, then each value.
impl<T: PHash> PHash for PList<'_, T> {
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_u64(self.len() as u64);
        self.iter().for_each(|value| value.phash(hasher));
    }
}

/// Feeds its number as a word.
impl PHash for PListKey {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        self.get().phash(hasher);
    }
}
