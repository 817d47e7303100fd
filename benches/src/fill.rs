//! Filling pools: lists, trees and runs, shuffled or dense.

use std::path::Path;

use pobj::media::{Domain, ImageMode};
use pobj::{Durability, Error, PBox, PVec, Persistent, Pool};

use crate::Result;
use crate::bench::shuffled;
use crate::types::{Branch, Color, Leaf, Leaves, List, Node, Pages, Run, Tree};

/// Values that one transaction appends to a dense run.
const PIECE_LEN: usize = 512 << 10;
/// A ring in which such a transaction has room.
const RING_LEN: u64 = 16 << 20;

/// A new pool whose commits do not wait for the medium.
///
/// # Errors
///
/// As for creating a pool.
pub fn eventual<R: Persistent + Default>(path: &Path, ring_len: u64) -> Result<Pool<R>> {
    Ok(Pool::<R>::options().durability(Durability::Eventual).ring_size(ring_len).create(path)?)
}

/// A new pool with room for `len` bytes that takes its file for persistent memory behind volatile caches, whatever the
/// file is: commits flush and fence.
///
/// # Errors
///
/// As for creating a pool.
pub fn memory_pool<R: Persistent + Default>(path: &Path, len: u64, image: ImageMode) -> Result<Pool<R>> {
    Ok(Pool::<R>::options().size(len).force_domain(Domain::CacheLine).image(image).create(path)?)
}

/// A pool with a list of `count` nodes, which lie in memory in the order that [`shuffled`] gives.
///
/// # Errors
///
/// As for a transaction.
pub fn shuffled_list(path: &Path, count: usize) -> Result<Pool<List<'static>>> {
    let pool = eventual::<List>(path, RING_LEN)?;
    let order = shuffled(count);
    pool.write(|list, tx| {
        let mut nodes = Vec::with_capacity(count);
        for value in 0..count as u64 {
            nodes.push(Some(PBox::new(tx, Node { value, ..Node::default() })?));
        }
        for index in order.iter().rev() {
            let mut node = nodes[*index as usize].take();
            if let Some(node) = &mut node {
                node.get_mut(tx).next = list.head.take();
            }
            list.head = node;
        }
        Ok(())
    })?;
    Ok(pool)
}

/// A pool with a balanced tree of `count` nodes, which lie in memory in the order that [`shuffled`] gives.
///
/// # Errors
///
/// As for a transaction.
pub fn shuffled_tree(path: &Path, count: usize) -> Result<Pool<Tree<'static>>> {
    let pool = eventual::<Tree>(path, RING_LEN)?;
    let order = shuffled(count);
    pool.write(|tree, tx| {
        let mut nodes = Vec::with_capacity(count);
        for value in 0..count as u64 {
            nodes.push(Some(PBox::new(tx, Branch { value, ..Branch::default() })?));
        }
        // The node at place k of the tree has its children at 2k + 1 and 2k + 2.
        let mut places: Vec<_> = order.iter().map(|index| nodes[*index as usize].take()).collect();
        for place in (0..count).rev() {
            let mut below = |child: usize| places.get_mut(child).and_then(Option::take);
            let (left, right) = (below(2 * place + 1), below(2 * place + 2));
            if let Some(node) = &mut places[place] {
                let node = node.get_mut(tx);
                node.left = left;
                node.right = right;
            }
        }
        tree.root = places.first_mut().and_then(Option::take);
        Ok(())
    })?;
    Ok(pool)
}

/// A pool with a run of `count` boxes whose targets lie in memory in the order that [`shuffled`] gives.
///
/// # Errors
///
/// As for a transaction.
pub fn shuffled_leaves(path: &Path, count: usize) -> Result<Pool<Leaves<'static>>> {
    let pool = eventual::<Leaves>(path, RING_LEN)?;
    let order = shuffled(count);
    pool.write(|leaves, tx| {
        let mut boxes = Vec::with_capacity(count);
        for value in 0..count as u64 {
            let leaf = Leaf { value, color: Color::Blue, flag: true, payload: [value; 6] };
            boxes.push(Some(PBox::new(tx, leaf)?));
        }
        leaves.items = PVec::with_capacity(tx, count)?;
        leaves.items.extend(tx, order.iter().filter_map(|index| boxes[*index as usize].take()))
    })?;
    Ok(pool)
}

/// A pool with a run of values, `make(0)` to `make(count - 1)`.
///
/// # Errors
///
/// As for a transaction.
pub fn dense<T>(path: &Path, count: usize, make: impl Fn(usize) -> T) -> Result<Pool<Run<'static, T>>>
where
    T: Persistent + Copy + for<'q> Persistent<At<'q> = T>,
{
    let pool = eventual::<Run<T>>(path, RING_LEN)?;
    lay_out(&pool, count, make)?;
    Ok(pool)
}

/// Gives an empty pool a run of values, `make(0)` to `make(count - 1)`.
///
/// # Errors
///
/// As for a transaction.
pub fn lay_out<T>(pool: &Pool<Run<'static, T>>, count: usize, make: impl Fn(usize) -> T) -> Result<()>
where
    T: Persistent + Copy + for<'q> Persistent<At<'q> = T>,
{
    pool.write(|run, tx| {
        run.items = PVec::with_capacity(tx, count)?;
        Ok(())
    })?;
    let step = PIECE_LEN / size_of::<T>().max(1);
    let mut start = 0;
    while start < count {
        let piece: Vec<T> = (start..count.min(start + step)).map(&make).collect();
        pool.write(|run, tx| run.items.extend_from_slice(tx, &piece))?;
        start += step;
    }
    Ok(())
}

/// A pool with `count` blocks of 4 KiB.
///
/// # Errors
///
/// As for a transaction.
pub fn pages(path: &Path, count: usize) -> Result<Pool<Pages<'static>>> {
    const AT_ONCE: usize = 64;
    let pool = eventual::<Pages>(path, RING_LEN)?;
    for first in (0..count).step_by(AT_ONCE) {
        pool.write(|pages, tx| {
            for value in first..count.min(first + AT_ONCE) {
                let page = PBox::new(tx, [value as u64 | 1; 512])?;
                pages.items.push(tx, page)?;
            }
            Ok::<(), Error>(())
        })?;
    }
    Ok(pool)
}
