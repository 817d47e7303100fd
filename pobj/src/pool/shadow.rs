//! A second copy of a private image, against which it is compared: for finding bytes that were changed and not logged.
//!
//! The copy follows the image wherever the journal does: the ranges and blocks of transactions that have ended, the
//! allocator's words, memory that growth has added. What differs besides was stored past the log.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::heap::Heap;
use crate::layout::Persistent;
use crate::layout::seek::block_around;
use crate::media::Image;

/// Names the values at an address, if a walk over the pool's objects comes by.
pub(crate) type Describe = fn(&Heap, &Image, u64) -> Option<String>;

/// Compared at once.
const PAGE_LEN: usize = 4096;

/// The copy.
pub(crate) struct Shadow {
    bytes: Mutex<Vec<u8>>,
    pub(crate) describe: Describe,
}

impl Shadow {
    pub(super) fn new(image: &Image, describe: Describe) -> Self {
        let mut bytes = vec![0; image.len() as usize];
        image.load(0, &mut bytes);
        Self { bytes: Mutex::new(bytes), describe }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the image's bytes of a range over.
    pub(crate) fn follow(&self, image: &Image, offset: u64, len: u64) {
        let mut bytes = self.lock();
        let end = (offset + len) as usize;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        image.load(offset, &mut bytes[offset as usize..end]);
    }

    /// The offsets from `start` on of words in which the image differs, and what they were.
    pub(crate) fn differences(&self, image: &Image, start: u64) -> Vec<(u64, u64)> {
        let mut bytes = self.lock();
        bytes.resize(image.len() as usize, 0);
        let (mut found, mut now) = (Vec::new(), [0; PAGE_LEN]);
        for page in (start as usize..bytes.len()).step_by(PAGE_LEN) {
            let before = &bytes[page..(page + PAGE_LEN).min(bytes.len())];
            let now = &mut now[..before.len()];
            image.load(page as u64, now);
            if before == now {
                continue;
            }
            let words = before.as_chunks::<8>().0.iter().zip(now.as_chunks::<8>().0).enumerate();
            let differ = words.filter(|(_, (before, now))| before != now);
            found.extend(
                differ.map(|(word, (before, _))| ((page + word * 8) as u64, u64::from_ne_bytes(*before))),
            );
        }
        found
    }
}

/// A [`Describe`] for pools whose root is an `R`.
pub(super) fn describe<R: Persistent>(heap: &Heap, image: &Image, addr: u64) -> Option<String> {
    // What the walk thinks of the pool in the middle of a transaction does not matter.
    let found = block_around(addr, || drop(super::check::validate::<R>(heap, image, 1)))?;
    Some(format!("byte {} of values of type {}", addr - found.addr, found.name))
}
