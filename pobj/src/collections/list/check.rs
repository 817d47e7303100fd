//! Validation of a list at open: L1 and L2, by a walk along the links.
//!
//! That `prev` leads back the way that `next` came makes the way through the used nodes one without a loop: two nodes
//! would have to have the same `next`, and that has only one `prev`. The vacant ones have no way back, so there the
//! number of steps is bounded. Tags and values are checked by the walk over everything, as each page is claimed.

use std::mem::offset_of;

use crate::layout::{Invalid, Persistent, View, Visit};
use crate::typed::{LINKS, Node, PBuf, USED, VACANT};

use super::super::pages::{Pages, Shape};
use super::PList;

/// Where the fields of a list are. They do not depend on what it holds.
struct Fields;

impl Fields {
    const FRONT: u64 = offset_of!(PList<'_, u8>, front) as u64;
    const BACK: u64 = offset_of!(PList<'_, u8>, back) as u64;
    const VACANT: u64 = offset_of!(PList<'_, u8>, vacant) as u64;
    const LEN: u64 = offset_of!(PList<'_, u8>, len) as u64;
}

/// Checks the bytes of a list.
pub(super) fn list<T: Persistent>(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
    let mut pages: Vec<View<'_>> = Vec::new();
    let shape = Pages::<Node<T>>::check(view.field(0, 16)?, visit, |page, visit| {
        pages.extend(PBuf::<Node<T>>::claim(page, visit)?);
        Ok(())
    })?;
    let nodes = Nodes { pages, shape, node_len: size_of::<Node<T>>() as u64, addr: view.addr() };
    let used = nodes.walk_used(view.u32(Fields::FRONT)?, view.u32(Fields::BACK)?)?;
    if used != view.u64(Fields::LEN)? {
        return Err(Invalid::new(format!("a list is said to be longer or shorter than {used}"), view.addr()));
    }
    let vacant = nodes.walk_vacant(view.u32(Fields::VACANT)?, nodes.shape.len - used)?;
    // Each walk meets nodes of its own kind only, and none twice.
    if used + vacant == nodes.shape.len {
        return Ok(());
    }
    let what = format!("{} nodes of a list are not linked", nodes.shape.len - used - vacant);
    Err(Invalid::new(what, view.addr()))
}

/// The nodes of a list as bytes.
struct Nodes<'v> {
    pages: Vec<View<'v>>,
    shape: Shape,
    node_len: u64,
    /// Of the list.
    addr: u64,
}

impl Nodes<'_> {
    /// The links of the node that `link` leads to, which has this tag.
    #[inline]
    fn links(&self, link: u32, tag: u32) -> Result<(u32, u32), Invalid> {
        let place = u64::from(link).checked_sub(1).and_then(|place| self.shape.split(place));
        let Some((page, index)) = place.and_then(|(page, index)| Some((self.pages.get(page)?, index))) else {
            return Err(Invalid::new(
                format!("a list links to node {link}, which it does not have"),
                self.addr,
            ));
        };
        let node = page.field(index * self.node_len, self.node_len)?;
        if node.u32(0)? != tag {
            return Err(Invalid::new("a list links to a node of the wrong kind", node.addr()));
        }
        Ok((node.u32(LINKS as u64)?, node.u32(LINKS as u64 + 4)?))
    }

    /// Follows the used nodes and gives their number.
    fn walk_used(&self, front: u32, back: u32) -> Result<u64, Invalid> {
        let (mut last, mut link, mut count) = (0, front, 0);
        while link != 0 {
            let (prev, next) = self.links(link, USED)?;
            if prev != last {
                let what = format!("node {link} of a list follows node {last} and leads back to {prev}");
                return Err(Invalid::new(what, self.addr));
            }
            (last, link, count) = (link, next, count + 1);
        }
        if last == back {
            return Ok(count);
        }
        Err(Invalid::new(format!("a list ends at node {last} and is said to end at {back}"), self.addr))
    }

    /// Follows the vacant nodes, at most `count_max`, and gives their number.
    fn walk_vacant(&self, first: u32, count_max: u64) -> Result<u64, Invalid> {
        let (mut link, mut count) = (first, 0);
        while link != 0 {
            if count == count_max {
                return Err(Invalid::new("the nodes of a list without a value form a loop", self.addr));
            }
            link = self.links(link, VACANT)?.1;
            count += 1;
        }
        Ok(count)
    }
}
