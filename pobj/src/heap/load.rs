//! Making a heap, and finding it again.
//!
//! Loading reads the superblock, the directory and the header of every slot: time and memory proportional to the
//! number of chunks, whatever is in them. Nothing of it is trusted. A chunk can be claimed by one thing only, so a
//! damaged file costs at most one step for each chunk before it is refused. Bitmaps are not read here, and hold
//! nothing that could be wrong by itself: bits beyond a run's last block are ignored.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;

use crate::ground::error::{Error, Result};
use crate::layout::geometry::{CHUNK, GROUP, Geometry, SLOT};
use crate::media::Image;

use super::classes::CLASS_COUNT;
use super::extents::Extents;
use super::runs::{Run, Runs, Supply};
use super::slots::{HEAP_MAGIC, Place, Slot, group_of};
use super::table::{Entry, State};
use super::{Heap, Live, NO_METADATA};

impl Heap {
    /// Writes the metadata of an empty heap into the image of a new pool, all zero so far, that uses the image's
    /// present length. Returns the ranges that it wrote.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if the pool is too small for its metadata and one chunk.
    pub(crate) fn format(image: &Image, geometry: &Geometry) -> Result<Vec<Range<u64>>> {
        let place = Place::new(geometry);
        let chunks =
            (image.len().saturating_sub(place.heap_start) / CHUNK).min(u64::from(place.chunks_max)) as u32;
        let groups = u64::from(chunks).div_ceil(GROUP) as u32;
        if chunks <= groups {
            return Err(Error::InvalidOption {
                option: "size",
                reason: format!(
                    "{} bytes leave no room for a heap; at least {} are needed",
                    image.len(),
                    place.heap_start.saturating_add(2 * CHUNK)
                ),
            });
        }
        image.store_u64(place.superblock, HEAP_MAGIC);
        image.store_u64(place.heap_len_word(), place.chunk_offset(chunks));
        // One batch for all groups there are, in the first chunks.
        for group in 0..groups {
            image.store_u64(place.directory_word(group), place.chunk_offset(group));
            let slot = place.slot_offset(group_of(group), group);
            image.store_u64(slot, Slot::Metadata { group }.encode());
        }
        let mut written =
            vec![place.superblock..place.superblock + 32, place.directory..place.directory_word(groups)];
        written.extend((0..=group_of(groups - 1)).map(|metadata| {
            let slots = u64::from(groups - metadata * GROUP as u32).min(GROUP);
            place.chunk_offset(metadata)..place.chunk_offset(metadata) + slots * SLOT
        }));
        Ok(written)
    }

    /// Finds the heap in the image of an existing pool.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] with the place of the first contradiction.
    pub(crate) fn load(image: &Image, geometry: &Geometry) -> Result<Self> {
        let place = Place::new(geometry);
        image.show(place.superblock, place.directory_word(place.groups_max) - place.superblock)?;
        let chunks = load_len(image, &place)?;
        let mut loader = Loader {
            image,
            place,
            table: vec![Entry::default(); chunks as usize],
            groups: Vec::new(),
            runs: Runs::default(),
            queues: std::array::from_fn(|_| Vec::new()),
            live: Live::default(),
        };
        loader.directory()?;
        loader.slots()?;
        Ok(loader.finish())
    }
}

/// Number of chunks according to the superblock.
fn load_len(image: &Image, place: &Place) -> Result<u32> {
    image.check(place.superblock, 16)?;
    image.check(place.directory, u64::from(place.groups_max) * 8)?;
    let magic = image.load_u64(place.superblock);
    if magic != HEAP_MAGIC {
        return Err(Error::corrupt(
            format!("the heap's superblock begins with {magic:#x}"),
            place.superblock,
        ));
    }
    let len = image.load_u64(place.heap_len_word());
    let chunks =
        len.checked_sub(place.heap_start).filter(|len| len.is_multiple_of(CHUNK)).map(|len| len / CHUNK);
    match chunks {
        Some(chunks) if chunks > 0 && chunks <= u64::from(place.chunks_max) && len <= image.len() => {
            Ok(chunks as u32)
        }
        _ => Err(Error::corrupt(
            format!(
                "the heap is said to end at {len:#x}; it starts at {:#x}, the pool has {:#x} bytes and may have {:#x}",
                place.heap_start,
                image.len(),
                place.chunk_offset(place.chunks_max)
            ),
            place.heap_len_word(),
        )),
    }
}

/// A heap of which only a part has been checked.
struct Loader<'a> {
    image: &'a Image,
    place: Place,
    table: Vec<Entry>,
    groups: Vec<u32>,
    runs: Runs,
    queues: [Vec<Reverse<u32>>; CLASS_COUNT],
    live: Live,
}

impl Loader<'_> {
    /// Marks the metadata chunks that the directory names.
    fn directory(&mut self) -> Result<()> {
        for group in 0..self.place.groups_max {
            let word = self.place.directory_word(group);
            let offset = self.image.load_u64(word);
            if offset == 0 {
                continue;
            }
            let chunk = match self.place.locate(offset) {
                Some((chunk, 0)) if chunk < self.table.len() => chunk as u32,
                _ => {
                    let what = format!("the directory places the metadata of group {group} at {offset:#x}");
                    return Err(Error::corrupt(what, word));
                }
            };
            self.claim(chunk, 1, State::Metadata, group, word)?;
            self.groups.resize(group as usize, NO_METADATA);
            self.groups.push(chunk);
        }
        Ok(())
    }

    /// Reads the slots of all groups that have metadata.
    fn slots(&mut self) -> Result<()> {
        for group in 0..self.groups.len() as u32 {
            let metadata = self.groups[group as usize];
            if metadata == NO_METADATA {
                continue;
            }
            self.image.show(self.place.chunk_offset(metadata), CHUNK)?;
            // The metadata chunk's own slot must say what the directory says.
            let own = self.groups.get(group_of(metadata) as usize).copied().unwrap_or(NO_METADATA);
            if own == NO_METADATA {
                let what = format!("the metadata of group {group} lies in a group without metadata");
                return Err(Error::corrupt(what, self.place.directory_word(group)));
            }
            let offset = self.place.slot_offset(own, metadata);
            if self.slot(offset)? != (Slot::Metadata { group }) {
                let what = format!("the slot of the metadata of group {group} says something else");
                return Err(Error::corrupt(what, offset));
            }
            let first = u64::from(group) * GROUP;
            for chunk in first..first + GROUP {
                self.chunk(chunk, self.place.chunk_offset(metadata) + (chunk - first) * SLOT)?;
            }
        }
        Ok(())
    }

    /// Enters what begins in one chunk.
    fn chunk(&mut self, chunk: u64, offset: u64) -> Result<()> {
        let slot = self.slot(offset)?;
        if slot != Slot::Free && chunk >= self.table.len() as u64 {
            return Err(Error::corrupt("something begins beyond the end of the heap", offset));
        }
        let chunk = chunk as u32;
        match slot {
            Slot::Free => {}
            Slot::Run { class } => {
                let index = self.runs.len() as u32;
                self.claim(chunk, 1, State::Run, index, offset)?;
                let mut run = Run::unread(chunk, class);
                run.queued = true;
                self.runs.insert(run);
                self.queues[usize::from(class)].push(Reverse(chunk));
            }
            Slot::Large { count } => {
                self.claim(chunk, count, State::Large, count, offset)?;
                self.live.large_objects += 1;
                self.live.large_chunks += u64::from(count);
            }
            Slot::Metadata { group } => {
                if self.groups.get(group as usize) != Some(&chunk) {
                    let what = format!("a metadata chunk of group {group} that the directory does not know");
                    return Err(Error::corrupt(what, offset));
                }
            }
        }
        Ok(())
    }

    /// Enters chunks that nothing else may have entered.
    fn claim(&mut self, start: u32, count: u32, state: State, number: u32, offset: u64) -> Result<()> {
        let end = u64::from(start) + u64::from(count);
        let Some(entries) = self.table.get_mut(start as usize..end as usize) else {
            return Err(Error::corrupt(
                format!("{count} chunks from here reach beyond the end of the heap"),
                offset,
            ));
        };
        for (index, entry) in entries.iter_mut().enumerate() {
            if entry.state() != State::Free {
                return Err(Error::corrupt("two things lie in one chunk", offset));
            }
            match index {
                0 => entry.set(state, number),
                _ => entry.set(State::LargeRest, 0),
            }
        }
        Ok(())
    }

    fn slot(&self, offset: u64) -> Result<Slot> {
        Slot::decode(self.image.load_u64(offset), self.image.load_u64(offset + 8))
            .map_err(|what| Error::corrupt(what, offset))
    }

    fn finish(mut self) -> Heap {
        let mut extents = Extents::default();
        let mut free = None;
        for (chunk, entry) in self.table.iter_mut().enumerate() {
            if entry.state() == State::Free {
                *entry = Entry::UNKNOWN;
                free.get_or_insert(chunk as u32);
            } else if let Some(start) = free.take() {
                extents.insert(start, chunk as u32 - start);
            }
        }
        if let Some(start) = free {
            extents.insert(start, self.table.len() as u32 - start);
        }
        Heap {
            place: self.place,
            table: self.table,
            groups: self.groups,
            unpublished: Vec::new(),
            extents,
            runs: self.runs,
            supplies: self.queues.map(|queue| Supply { queue: BinaryHeap::from(queue), ..Supply::default() }),
            idle: Vec::new(),
            freed: VecDeque::new(),
            punching: 0,
            is_short: false,
            loaded_len: self.image.len(),
            last_txid: 0,
            live: self.live,
        }
    }
}
