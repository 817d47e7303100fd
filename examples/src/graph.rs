//! A directed graph in a pool: nodes that several others own, edges both ways.
//!
//! An edge is a strong pointer from its start to its end, so a node lives as long as it has a name or an edge leads to it.
//! The end keeps a weak pointer to the start, the *way back*, which keeps nothing alive. A node is seen through `&`, so
//! its edges are in cells.
//!
//! Nodes that lead to each other in a circle own each other. When their names go and no edge leads in from outside, nobody
//! can reach them any more, and their counts do not become zero. `Pool::collect` finds them.

use std::collections::{BTreeSet, HashSet, VecDeque};

use pobj::{Error, PBTreeMap, PRc, PRefCell, PString, PVec, PWeak, Persistent, Result, Tx};

/// A node and its edges.
#[derive(Persistent)]
#[repr(C)]
pub struct Node<'p> {
    name: PString<'p>,
    /// Where edges lead from here.
    edges: PRefCell<'p, PVec<'p, PRc<'p, Node<'p>>>>,
    /// Where edges come from; some of those nodes may be gone.
    back: PRefCell<'p, PVec<'p, PWeak<'p, Node<'p>>>>,
}

/// The graph: its nodes by name.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Graph<'p> {
    nodes: PBTreeMap<'p, PString<'p>, PRc<'p, Node<'p>>>,
}

impl<'p> Graph<'p> {
    /// Makes a node, if there is none of this name.
    ///
    /// # Errors
    ///
    /// Those of taking memory.
    pub fn add(&mut self, tx: &Tx<'p>, name: &str) -> Result<()> {
        if self.nodes.contains_key(name) {
            return Ok(());
        }
        let node = Node {
            name: PString::from_str(tx, name)?,
            edges: PRefCell::default(),
            back: PRefCell::default(),
        };
        let node = PRc::new(tx, node)?;
        self.nodes.insert(tx, PString::from_str(tx, name)?, node)?;
        Ok(())
    }

    /// Makes an edge, if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`] if a node is missing; those of taking memory. Let them end the transaction: half of the edge may
    /// be there.
    pub fn connect(&mut self, tx: &Tx<'p>, start: &str, end: &str) -> Result<()> {
        let (start, end) = (self.node(start)?, self.node(end)?);
        if start.edges.borrow().iter().any(|other| PRc::ptr_eq(other, end)) {
            return Ok(());
        }
        start.edges.borrow_mut(tx).push(tx, end.clone(tx))?;
        let mut back = end.back.borrow_mut(tx);
        back.retain(tx, |start| start.strong_count() > 0);
        back.push(tx, PRc::downgrade(start, tx))
    }

    /// Takes an edge away; whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`] if a node is missing.
    pub fn disconnect(&mut self, tx: &Tx<'p>, start: &str, end: &str) -> Result<bool> {
        let (start, end) = (self.node(start)?, self.node(end)?);
        end.back.borrow_mut(tx).retain(tx, |other| {
            other.strong_count() > 0 && other.upgrade(tx).is_some_and(|other| !PRc::ptr_eq(&other, start))
        });
        let mut edges = start.edges.borrow_mut(tx);
        let before = edges.len();
        edges.retain(tx, |other| !PRc::ptr_eq(other, end));
        Ok(edges.len() < before)
    }

    /// Takes away the name alone; whether it was there. The node stays while edges lead to it: in a circle, for ever.
    pub fn release(&mut self, tx: &Tx<'p>, name: &str) -> bool {
        self.nodes.remove(name, tx).is_some()
    }

    /// Takes a node away with all its edges; whether it was there. The way back finds the nodes that lead to it.
    pub fn remove(&mut self, tx: &Tx<'p>, name: &str) -> bool {
        let Some(node) = self.nodes.remove(name, tx) else { return false };
        for start in node.back.borrow().iter().filter_map(|start| start.upgrade(tx)) {
            start.edges.borrow_mut(tx).retain(tx, |end| !PRc::ptr_eq(end, &node));
        }
        node.edges.borrow_mut(tx).clear();
        true
    }

    /// All nodes that edges lead to from `start`, nearest first, and how far away each is. The node itself comes first.
    ///
    /// What waits in the queue is owned by it, as with `Rc` and `RefCell`: a node behind a cell's guard cannot outlive the
    /// guard. So it takes a transaction; the counts end as they were, and nothing is written.
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`] if there is no such node.
    pub fn walk(&self, tx: &Tx<'p>, start: &str) -> Result<Vec<(String, usize)>> {
        let start = self.node(start)?;
        let mut found = Vec::new();
        // By address, not by name: a node that was released may have the name of another.
        let mut seen = HashSet::from([address(start)]);
        let mut queue = VecDeque::from([(start.clone(tx), 0)]);
        while let Some((node, distance)) = queue.pop_front() {
            found.push((node.name.to_string(), distance));
            for end in node.edges.borrow().iter() {
                if seen.insert(address(end)) {
                    queue.push_back((end.clone(tx), distance + 1));
                }
            }
        }
        Ok(found)
    }

    /// The names of the nodes from which an edge leads to `end`: those that nobody can reach any more as well, until they
    /// are collected. Takes a transaction for the same reason as [`walk`](Self::walk).
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`] if there is no such node.
    pub fn predecessors(&self, tx: &Tx<'p>, end: &str) -> Result<BTreeSet<String>> {
        let back = self.node(end)?.back.borrow();
        Ok(back.iter().filter_map(|start| start.upgrade(tx)).map(|start| start.name.to_string()).collect())
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(PString::as_str)
    }

    fn node(&self, name: &str) -> Result<&PRc<'p, Node<'p>>> {
        self.nodes.get(name).ok_or_else(|| Error::abort(format!("there is no node {name}")))
    }
}

/// Nodes do not move.
fn address<'p>(node: &PRc<'p, Node<'p>>) -> *const Node<'p> {
    std::ptr::from_ref(&**node)
}
