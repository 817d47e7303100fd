//! Linking nodes, and taking them from and giving them to those without a value.
//!
//! A *link* is a place plus one, 0 for none. A link that leads nowhere (L1 and L2 say that there is none) changes nothing.

use super::PList;
use crate::ground::error::{Error, Result};
use crate::layout::Persistent;
use crate::tx::Tx;
use crate::typed::{Links, Node, PListKey};

/// The place that a link leads to.
#[inline]
fn place(link: u32) -> Option<usize> {
    Some(link.checked_sub(1)? as usize)
}

impl<T> PList<'_, T> {
    #[inline]
    pub(super) fn node(&self, link: u32) -> Option<&Node<T>> {
        self.nodes.get(place(link)?)
    }

    /// The links of a node; none where there is none.
    #[inline]
    pub(super) fn links(&self, link: u32) -> Links {
        self.node(link).map(Node::links).unwrap_or_default()
    }

    #[inline]
    pub(super) fn value(&self, link: u32) -> Option<&T> {
        self.node(link)?.used().map(|(_, value)| value)
    }

    pub(super) fn key_of(&self, link: u32) -> Option<PListKey> {
        let (generation, _) = self.node(link)?.used()?;
        PListKey::of(link, generation)
    }

    /// The link to the value that `key` names.
    #[inline]
    pub(super) fn find(&self, key: PListKey) -> Option<u32> {
        self.contains_key(key).then_some(key.link())
    }
}

impl<'p, T: Persistent<At<'p> = T>> PList<'p, T> {
    pub(super) fn value_mut(&mut self, link: u32, tx: &Tx<'p>) -> Option<&mut T> {
        self.nodes.value_mut(place(link)?, tx)
    }

    fn links_mut(&mut self, link: u32, tx: &Tx<'p>) -> Option<&mut Links> {
        self.nodes.links_mut(place(link)?, tx)
    }

    /// Inserts `value` between two neighbours, either of which may be none. On an error nothing has changed.
    pub(super) fn insert_between(&mut self, tx: &Tx<'p>, prev: u32, next: u32, value: T) -> Result<PListKey> {
        let generation = self.next_generation()?;
        let link = self.new_node(tx, generation, value)?;
        self.generation = generation;
        self.link(link, prev, next, tx);
        self.len += 1;
        PListKey::of(link, generation).ok_or(Error::TooLarge { requested: u64::MAX })
    }

    /// The number of the next insert. Never 0, which says that there was none yet.
    fn next_generation(&self) -> Result<u32> {
        let last = if self.generation == 0 {
            let random = getrandom::u64();
            random.map_err(|error| Error::io("get random bytes", std::io::Error::from(error)))? as u32
        } else {
            self.generation
        };
        Ok(last.wrapping_add(1).max(1))
    }

    /// A node with `value`, which nothing leads to yet.
    fn new_node(&mut self, tx: &Tx<'p>, generation: u32, value: T) -> Result<u32> {
        let Some(vacant) = place(self.vacant) else {
            return self.push_node(tx, generation, value);
        };
        let (link, next) = (self.vacant, self.links(self.vacant).next);
        match self.nodes.fill(vacant, tx, generation, value) {
            Ok(()) => {
                self.vacant = next;
                Ok(link)
            }
            // Against L2. The list of vacant nodes is given up: its nodes are lost until the list is cleared.
            Err(value) => {
                self.vacant = 0;
                self.push_node(tx, generation, value)
            }
        }
    }

    fn push_node(&mut self, tx: &Tx<'p>, generation: u32, value: T) -> Result<u32> {
        let place = self.nodes.push(tx, Node::Used { generation, links: Links::default(), value })?;
        // Places end before `u32::MAX` by `Pages::PAGES_MAX`.
        Ok(place as u32 + 1)
    }

    /// Removes the value of a node and keeps the node for the next insert.
    pub(super) fn remove_at(&mut self, link: u32, tx: &Tx<'p>) -> Option<T> {
        let value = self.nodes.vacate(place(link)?, tx)?;
        self.unlink(link, tx);
        let vacant = std::mem::replace(&mut self.vacant, link);
        if let Some(links) = self.links_mut(link, tx) {
            *links = Links { prev: 0, next: vacant };
        }
        self.len = self.len.saturating_sub(1);
        Some(value)
    }

    /// Puts a node that nothing leads to between two neighbours.
    pub(super) fn link(&mut self, link: u32, prev: u32, next: u32, tx: &Tx<'p>) {
        if let Some(links) = self.links_mut(link, tx) {
            *links = Links { prev, next };
        }
        self.join(prev, link, tx);
        self.join(link, next, tx);
    }

    /// Takes a node from between its neighbours, which become each other's.
    pub(super) fn unlink(&mut self, link: u32, tx: &Tx<'p>) {
        let Links { prev, next } = self.links(link);
        self.join(prev, next, tx);
    }

    /// Makes two nodes neighbours. Where one is none, the other is the list's first or last.
    fn join(&mut self, prev: u32, next: u32, tx: &Tx<'p>) {
        match self.links_mut(prev, tx) {
            Some(links) => links.next = next,
            None => self.front = next,
        }
        match self.links_mut(next, tx) {
            Some(links) => links.prev = prev,
            None => self.back = prev,
        }
    }

    /// Drops the nodes behind the last one with a value, and links the other vacant ones anew.
    pub(super) fn drop_vacant_end(&mut self, tx: &Tx<'p>) {
        let is_vacant = |node: Option<&Node<T>>| matches!(node, Some(Node::Vacant { .. }));
        while let Some(last) = self.nodes.len().checked_sub(1)
            && is_vacant(self.nodes.nth(last))
        {
            drop(self.nodes.pop(tx));
        }
        self.vacant = 0;
        for number in (0..self.nodes.len()).rev() {
            if is_vacant(self.nodes.nth(number)) {
                // Below `u32::MAX`, as every place.
                let link = super::Pages::<Node<T>>::place_of(number) as u32 + 1;
                let vacant = std::mem::replace(&mut self.vacant, link);
                if let Some(links) = self.links_mut(link, tx) {
                    links.next = vacant;
                }
            }
        }
    }
}
