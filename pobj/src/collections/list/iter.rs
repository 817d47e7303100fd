//! Iterators over a list. All end after as many steps as the list says that it has values, whatever its links say.

use std::fmt;
use std::iter::FusedIterator;

use super::PList;
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{Links, Node, PListKey};

/// Keys and values of a list; made by [`PList::entries`].
pub struct Entries<'a, 'p, T> {
    list: &'a PList<'p, T>,
    front: u32,
    back: u32,
    left: usize,
}

/// Values of a list; made by [`PList::iter`].
pub struct Iter<'a, 'p, T> {
    entries: Entries<'a, 'p, T>,
}

impl<'a, T> Entries<'a, '_, T> {
    /// The node of a link, and where it leads. Ends the iteration where there is none.
    #[inline]
    fn visit(&mut self, link: u32) -> Option<(Links, (PListKey, &'a T))> {
        let Some(node) = self.list.node(link).filter(|_| self.left != 0) else {
            self.left = 0;
            return None;
        };
        self.left -= 1;
        let (generation, value) = node.used()?;
        Some((node.links(), (PListKey::of(link, generation)?, value)))
    }
}

impl<'a, T> Iterator for Entries<'a, '_, T> {
    type Item = (PListKey, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (links, entry) = self.visit(self.front)?;
        self.front = links.next;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> DoubleEndedIterator for Entries<'_, '_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let (links, entry) = self.visit(self.back)?;
        self.back = links.prev;
        Some(entry)
    }
}

impl<'a, T> Iterator for Iter<'a, '_, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        self.entries.next().map(|(_, value)| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl<T> DoubleEndedIterator for Iter<'_, '_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.entries.next_back().map(|(_, value)| value)
    }
}

impl<T> ExactSizeIterator for Entries<'_, '_, T> {}
impl<T> FusedIterator for Entries<'_, '_, T> {}
impl<T> ExactSizeIterator for Iter<'_, '_, T> {}
impl<T> FusedIterator for Iter<'_, '_, T> {}

impl<T> Clone for Entries<'_, '_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T> Clone for Iter<'_, '_, T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Entries<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Iter<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Values of a list, for changing; made by [`PList::iter_mut`].
pub struct IterMut<'a, T> {
    /// In the order of the list.
    values: std::vec::IntoIter<&'a mut T>,
}

impl<'a, T> Iterator for IterMut<'a, T> {
    type Item = &'a mut T;

    fn next(&mut self) -> Option<&'a mut T> {
        self.values.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.values.size_hint()
    }
}

impl<T> DoubleEndedIterator for IterMut<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.values.next_back()
    }
}

impl<T> ExactSizeIterator for IterMut<'_, T> {}
impl<T> FusedIterator for IterMut<'_, T> {}

impl<T: fmt::Debug> fmt::Debug for IterMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.as_slice()).finish()
    }
}

/// The values that left a list, in its order; made by [`PList::drain`].
pub struct Drain<'a, 'p, T> {
    tx: &'a Tx<'p>,
    list: PList<'p, T>,
}

impl<'p, T: Persistent<At<'p> = T>> Iterator for Drain<'_, 'p, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.list.pop_front(self.tx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.list.len(), Some(self.list.len()))
    }
}

impl<'p, T: Persistent<At<'p> = T>> DoubleEndedIterator for Drain<'_, 'p, T> {
    fn next_back(&mut self) -> Option<T> {
        self.list.pop_back(self.tx)
    }
}

impl<'p, T: Persistent<At<'p> = T>> ExactSizeIterator for Drain<'_, 'p, T> {}
impl<'p, T: Persistent<At<'p> = T>> FusedIterator for Drain<'_, 'p, T> {}

impl<T: fmt::Debug> fmt::Debug for Drain<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drain").field(&self.list).finish()
    }
}

impl<'p, T> PList<'p, T> {
    /// The values, from the first to the last.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, 'p, T> {
        Iter { entries: self.entries() }
    }

    /// The values with their keys, from the first to the last.
    #[must_use]
    pub fn entries(&self) -> Entries<'_, 'p, T> {
        Entries { list: self, front: self.front, back: self.back, left: self.len() }
    }
}

impl<'p, T: Persistent<At<'p> = T>> PList<'p, T> {
    /// The values one by one, for changing. All nodes are remembered, and their order is noted in ordinary memory: 16
    /// bytes for each. A [cursor](super::CursorMut) remembers only what it changes.
    pub fn iter_mut(&mut self, tx: &Tx<'p>) -> IterMut<'_, T> {
        let mut next = self.front;
        let mut left = self.len();
        let mut nodes = Vec::new();
        for page in self.nodes.pages_mut(tx) {
            let len = page.len();
            nodes.extend(page.range_mut(0..len, tx).unwrap_or_default().iter_mut().map(Some));
        }
        let mut values = Vec::with_capacity(left.min(nodes.len()));
        let number = super::Pages::<Node<T>>::number_of;
        while left != 0
            && let Some(place) = next.checked_sub(1)
            && let Some(Node::Used { links, value, .. }) =
                nodes.get_mut(number(place as usize)).and_then(Option::take)
        {
            values.push(value);
            next = links.next;
            left -= 1;
        }
        IterMut { values: values.into_iter() }
    }

    /// Empties the list at once and yields its values. What is not taken is dropped with the iterator.
    pub fn drain<'a>(&mut self, tx: &'a Tx<'p>) -> Drain<'a, 'p, T> {
        let empty = Self { generation: self.generation, ..Self::new() };
        Drain { tx, list: std::mem::replace(self, empty) }
    }
}

impl<'a, 'p, T> IntoIterator for &'a PList<'p, T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, 'p, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
