//! The comparison of the heap's two sides, memory and file.

use super::*;
use crate::ground::error::Result;

impl Heap {
    /// Compares memory with the image, chunk by chunk and bit by bit. No reservation may be open. Slow.
    ///
    /// # Errors
    ///
    /// That of loading the image, or [`Error::Corrupt`](crate::Error::Corrupt) at the first difference.
    pub(crate) fn audit(&mut self, image: &Image, geometry: &Geometry) -> Result<()> {
        let mut fresh = Self::load(image, geometry)?;
        let place = self.place;
        let differs =
            |what: String, chunk: usize| Err(Error::corrupt(what, place.chunk_offset(chunk as u32)));
        for (chunk, entry) in self.table.iter().enumerate() {
            let grown = fresh.table.get(chunk).is_none();
            let theirs = fresh.table.get(chunk).copied().unwrap_or_default();
            let unpublished = entry.state() == State::Metadata && self.unpublished.contains(&entry.number());
            let ours = match entry.state() {
                State::Punching => State::Free,
                State::Metadata if unpublished => State::Free,
                state => state,
            };
            if ours != theirs.state() || (grown && ours != State::Free) {
                return differs(format!("memory {ours:?}, file {:?}", theirs.state()), chunk);
            }
            if matches!(ours, State::Large | State::Metadata) && entry.number() != theirs.number() {
                return differs(format!("memory {entry:?}, file {theirs:?}"), chunk);
            }
            if ours == State::Run {
                let run = self.runs.get(entry.number()).zip(self.slot_offset(chunk as u32));
                let Some((run, slot)) = run else {
                    return differs("a run that is not there".into(), chunk);
                };
                let bits = |word| image.load_u64(bitmap_word(slot, word));
                let exact = |word| (run.word(word) ^ bits(word)) & run.info().valid_bits(word) == 0;
                if !run.is_unread() && !(0..run.info().words).all(exact) {
                    return differs("a run whose bitmaps differ".into(), chunk);
                }
                if fresh.run_index(chunk as u32).and_then(|i| fresh.runs.get(i)).map(|r| r.class)
                    != Some(run.class)
                {
                    return differs("a run of another class".into(), chunk);
                }
            }
        }
        let (ours, theirs) = (self.stats(image), fresh.stats(image));
        if (ours.live_blocks, ours.live_bytes, ours.runs)
            != (theirs.live_blocks, theirs.live_bytes, theirs.runs)
        {
            return differs(format!("memory counts {ours:?}, file {theirs:?}"), 0);
        }
        let free = self.table.iter().filter(|entry| entry.state() == State::Free).count() as u64;
        let extents_free = |(start, count): (u32, u32)| {
            self.table[start as usize..(start + count) as usize]
                .iter()
                .all(|entry| entry.state() == State::Free)
        };
        if free != self.extents.total() || !self.extents.iter().all(extents_free) {
            return differs("the free extents are not the free chunks".into(), 0);
        }
        Ok(())
    }
}
