//! Two sets as one: lazy iterators, each of which walks over one set and looks into the other.

use std::fmt;
use std::iter::{Chain, FusedIterator};

use super::super::hash::PHash;
use super::{Iter, PHashSet};

/// Elements of one set that are in another or not; the common part of [`Intersection`] and [`Difference`].
struct Sieve<'a, 'p, T> {
    elements: Iter<'a, 'p, T>,
    other: &'a PHashSet<'p, T>,
    /// Whether the other one must have the element, or must not.
    wanted: bool,
}

impl<T> Clone for Sieve<'_, '_, T> {
    fn clone(&self) -> Self {
        Self { elements: self.elements.clone(), ..*self }
    }
}

impl<'a, T: PHash + Eq> Iterator for Sieve<'a, '_, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let Self { elements, other, wanted } = self;
        elements.find(|element| other.contains(*element) == *wanted)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.elements.size_hint().1)
    }
}

/// Elements that are in both sets; made by [`PHashSet::intersection`].
pub struct Intersection<'a, 'p, T>(Sieve<'a, 'p, T>);

/// Elements of one set that are not in another; made by [`PHashSet::difference`].
pub struct Difference<'a, 'p, T>(Sieve<'a, 'p, T>);

/// Elements that are in exactly one of two sets; made by [`PHashSet::symmetric_difference`].
pub struct SymmetricDifference<'a, 'p, T>(Chain<Sieve<'a, 'p, T>, Sieve<'a, 'p, T>>);

/// Elements of two sets, each once; made by [`PHashSet::union`].
pub struct Union<'a, 'p, T>(Chain<Iter<'a, 'p, T>, Sieve<'a, 'p, T>>);

/// The same for all four.
macro_rules! iterator {
    ($($name:ident)*) => {$(
        impl<'a, T: PHash + Eq> Iterator for $name<'a, '_, T> {
            type Item = &'a T;

            fn next(&mut self) -> Option<&'a T> {
                self.0.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<T: PHash + Eq> FusedIterator for $name<'_, '_, T> {}

        impl<T> Clone for $name<'_, '_, T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T: PHash + Eq + fmt::Debug> fmt::Debug for $name<'_, '_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.clone()).finish()
            }
        }
    )*};
}

iterator!(Intersection Difference SymmetricDifference Union);

impl<'p, T: PHash + Eq> PHashSet<'p, T> {
    fn sieve<'a>(&'a self, other: &'a Self, wanted: bool) -> Sieve<'a, 'p, T> {
        Sieve { elements: self.iter(), other, wanted }
    }

    /// This set and the other one, in the order of length.
    fn by_length<'a>(&'a self, other: &'a Self) -> (&'a Self, &'a Self) {
        if self.len() <= other.len() { (self, other) } else { (other, self) }
    }

    /// The elements that are in both sets. Walks over the smaller one.
    #[must_use]
    pub fn intersection<'a>(&'a self, other: &'a Self) -> Intersection<'a, 'p, T> {
        let (smaller, larger) = self.by_length(other);
        Intersection(smaller.sieve(larger, true))
    }

    /// The elements of this set that are not in `other`.
    #[must_use]
    pub fn difference<'a>(&'a self, other: &'a Self) -> Difference<'a, 'p, T> {
        Difference(self.sieve(other, false))
    }

    /// The elements that are in exactly one of the two sets.
    #[must_use]
    pub fn symmetric_difference<'a>(&'a self, other: &'a Self) -> SymmetricDifference<'a, 'p, T> {
        SymmetricDifference(self.sieve(other, false).chain(other.sieve(self, false)))
    }

    /// The elements of both sets, each once.
    #[must_use]
    pub fn union<'a>(&'a self, other: &'a Self) -> Union<'a, 'p, T> {
        let (smaller, larger) = self.by_length(other);
        Union(larger.iter().chain(smaller.sieve(larger, false)))
    }

    /// Whether no element is in both sets.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).next().is_none()
    }

    /// Whether all elements of this set are in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.len() <= other.len() && self.iter().all(|element| other.contains(element))
    }

    /// Whether all elements of `other` are in this set.
    #[must_use]
    pub fn is_superset(&self, other: &Self) -> bool {
        other.is_subset(self)
    }
}
