//! Comparing, printing and hashing a queue: as the sequence of its elements.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Index;

use super::super::hash::{PHash, PHasher};
use super::PDeque;

impl<T> Default for PDeque<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for PDeque<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Panics beyond the end, as `std`'s does; [`get`](PDeque::get) does not.
impl<T> Index<usize> for PDeque<'_, T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        let (front, back) = self.as_slices();
        if index < front.len() { &front[index] } else { &back[index - front.len()] }
    }
}

impl<'q, T: PartialEq<U>, U> PartialEq<PDeque<'q, U>> for PDeque<'_, T> {
    fn eq(&self, other: &PDeque<'q, U>) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(ours, theirs)| ours == theirs)
    }
}

impl<T: Eq> Eq for PDeque<'_, T> {}

/// Comparison with slices, of both kinds of brackets.
macro_rules! equals {
    ($([$($n:tt)*] $other:ty),* $(,)?) => {$(
        impl<T: PartialEq<U>, U, $($n)*> PartialEq<$other> for PDeque<'_, T> {
            fn eq(&self, other: &$other) -> bool {
                let (front, back) = self.as_slices();
                self.len() == other.len() && *front == other[..front.len()] && *back == other[front.len()..]
            }
        }
    )*};
}

equals!([] [U], [] &[U], [const N: usize] [U; N], [const N: usize] &[U; N], [] Vec<U>);

impl<T: PartialOrd> PartialOrd for PDeque<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<T: Ord> Ord for PDeque<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other)
    }
}

impl<T: Hash> Hash for PDeque<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|element| element.hash(state));
    }
}

/// Feeds the length as a word, then each element; for bytes too, unlike a slice of them.
impl<T: PHash> PHash for PDeque<'_, T> {
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_u64(self.len() as u64);
        self.iter().for_each(|element| element.phash(hasher));
    }
}
