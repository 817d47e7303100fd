//! The index in `std` collections, lost when the program ends: the yardstick of the persistent one.

use std::collections::HashMap;

use crate::Failure;
use crate::update::{Content, Index};
use crate::walk::Found;

/// Word to postings (file id, count).
#[derive(Debug, Default)]
pub struct VolatileIndex {
    /// The inverted index proper.
    pub words: HashMap<String, Vec<(u32, u32)>>,
    /// Paths by file id.
    pub files: Vec<String>,
}

impl Index for VolatileIndex {
    fn known(&self) -> HashMap<String, (u32, Found)> {
        HashMap::new()
    }

    fn replace(&mut self, _old: Option<u32>, file: &Found, content: &Content<'_>) -> Result<(), Failure> {
        let Content::Text(counts) = content else { return Ok(()) };
        let id = u32::try_from(self.files.len()).map_err(|_| "too many files")?;
        self.files.push(file.path.clone());
        for (&word, &count) in counts {
            match self.words.get_mut(word) {
                Some(postings) => postings.push((id, count)),
                None => drop(self.words.insert(word.to_owned(), vec![(id, count)])),
            }
        }
        Ok(())
    }

    fn remove(&mut self, _id: u32) -> Result<(), Failure> {
        Ok(())
    }
}

impl VolatileIndex {
    /// Bytes that `words` asks of the allocator: the table (one entry and one control byte for each bucket), each
    /// word, each list of postings. What the allocator adds for itself does not count.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        // A table of 2^n buckets is filled to 7/8 at most, and `capacity` tells that part.
        let buckets = (self.words.capacity() * 8 / 7).next_power_of_two();
        let table = buckets * (size_of::<(String, Vec<(u32, u32)>)>() + 1);
        let items = self
            .words
            .iter()
            .map(|(word, postings)| word.capacity() + postings.capacity() * size_of::<(u32, u32)>());
        (table + items.sum::<usize>()) as u64
    }
}
