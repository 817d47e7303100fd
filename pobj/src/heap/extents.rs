//! Free space as extents of whole chunks.
//!
//! Two ordered maps describe the same set: by first chunk, to merge a freed extent with its neighbours, and by
//! length, to find the smallest that fits (best fit; of equal ones the lowest). Best fit with full merging keeps long
//! extents long, which is what large objects live on. Two extents never touch: what touches is one extent.

use std::collections::{BTreeMap, BTreeSet};

/// A set of free chunks.
#[derive(Debug, Default)]
pub(super) struct Extents {
    by_start: BTreeMap<u32, u32>,
    by_count: BTreeSet<(u32, u32)>,
    total: u64,
}

impl Extents {
    /// Adds chunks that are not in the set, and merges them with what they touch.
    pub(super) fn insert(&mut self, start: u32, count: u32) {
        if count == 0 {
            return;
        }
        self.total += u64::from(count);
        let (mut start, mut count) = (start, count);
        if let Some((&before, &before_count)) = self.by_start.range(..start).next_back()
            && before + before_count == start
        {
            self.remove_extent(before, before_count);
            start = before;
            count += before_count;
        }
        if let Some(&after_count) = self.by_start.get(&(start + count)) {
            self.remove_extent(start + count, after_count);
            count += after_count;
        }
        self.insert_extent(start, count);
    }

    /// Removes chunks that are all in the set.
    pub(super) fn take(&mut self, start: u32, count: u32) {
        let found = self.containing(start);
        let is_free = found.is_some_and(|(extent, extent_count)| start + count <= extent + extent_count);
        debug_assert!(is_free, "{count} chunks from {start} on are not all free");
        let Some((extent, extent_count)) = found else { return };
        self.total -= u64::from(count);
        self.remove_extent(extent, extent_count);
        if extent < start {
            self.insert_extent(extent, start - extent);
        }
        let end = start + count;
        if end < extent + extent_count {
            self.insert_extent(end, extent + extent_count - end);
        }
    }

    /// All extents of at least `count` chunks, the best fitting first, as (start, count).
    pub(super) fn fitting(&self, count: u32) -> impl Iterator<Item = (u32, u32)> {
        self.by_count.range((count, 0)..).map(|&(count, start)| (start, count))
    }

    /// Length of the extent that ends before chunk `end`, 0 where none does.
    pub(super) fn tail(&self, end: u32) -> u32 {
        match self.by_start.range(..end).next_back() {
            Some((&start, &count)) if start + count == end => count,
            _ => 0,
        }
    }

    /// Chunks in the set.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Chunks in the longest extent.
    pub(super) fn largest(&self) -> u32 {
        self.by_count.last().map_or(0, |&(count, _)| count)
    }

    /// All extents by address, as (start, count).
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.by_start.iter().map(|(&start, &count)| (start, count))
    }

    fn containing(&self, chunk: u32) -> Option<(u32, u32)> {
        let (&start, &count) = self.by_start.range(..=chunk).next_back()?;
        (chunk < start + count).then_some((start, count))
    }

    fn insert_extent(&mut self, start: u32, count: u32) {
        self.by_start.insert(start, count);
        self.by_count.insert((count, start));
    }

    fn remove_extent(&mut self, start: u32, count: u32) {
        self.by_start.remove(&start);
        self.by_count.remove(&(count, start));
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a missed merge, a lost remainder, and maps that disagree.
    use super::*;

    #[test]
    fn merging_and_splitting() {
        let mut free = Extents::default();
        free.insert(0, 4);
        free.insert(8, 4);
        free.insert(20, 0);
        assert_eq!((free.largest(), free.iter().count()), (4, 2));
        free.insert(4, 4);
        assert_eq!(free.iter().collect::<Vec<_>>(), [(0, 12)]);
        free.take(5, 2);
        assert_eq!(free.iter().collect::<Vec<_>>(), [(0, 5), (7, 5)]);
        assert_eq!(free.fitting(5).collect::<Vec<_>>(), [(0, 5), (7, 5)]);
        assert_eq!((free.tail(12), free.tail(11), free.tail(5)), (5, 0, 5));
        assert_eq!((free.total(), free.by_count.len()), (10, 2));
    }
}
