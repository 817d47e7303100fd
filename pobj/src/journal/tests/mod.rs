//! The journal by itself, over a medium that can be watched, held up and made to fail.

mod recovery;
mod waits;

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::record::Body;
use super::{Durability, Journal, Place, RingState, format_state, recover_into_home};
use crate::ground::error::Result;
use crate::layout::geometry::{Geometry, SUPERBLOCK};
use crate::media::hooked::{Hook, Hooked, held, patience};
use crate::media::{Domain, ImageMode, Media, Placement, RamMedia};

const POOL: u64 = 77;
const EPOCH: u64 = 5;
pub(super) const RING_LEN: u64 = 64 << 10;

fn geometry(ring_len: u64) -> Geometry {
    Geometry::new(ring_len + (1 << 20), ring_len, 100).unwrap()
}

/// An open pool's journal, its medium, and what it asked of it.
pub(super) struct Scene {
    pub(super) journal: Arc<Journal>,
    pub(super) memory: RamMedia,
    pub(super) geometry: Geometry,
}

pub(super) fn scene(domain: Domain, image: ImageMode, ring_len: u64, hook: Box<Hook>) -> Scene {
    let geometry = geometry(ring_len);
    let memory = RamMedia::new(geometry.max_len).unwrap().with_domain(domain);
    memory.grow(geometry.max_len).unwrap();
    format_state(&memory, POOL, EPOCH).unwrap();
    let state = RingState::load(&memory, POOL, ring_len).unwrap();
    let media: Arc<dyn Media> = Arc::new(Hooked { memory: memory.clone(), hook });
    let journal = Arc::new(Journal::new(media, POOL, &geometry, state, image).unwrap());
    Scene { journal, memory, geometry }
}

pub(super) fn quiet() -> Box<Hook> {
    Box::new(|_, _| Ok(()))
}

/// A body of so many words at the heap's start, all of one value.
pub(super) fn body(scene: &Scene, count: usize, value: u64) -> Vec<u64> {
    let mut body = Body::default();
    body.words_at(scene.geometry.heap_start, &vec![value; count]);
    body.words().to_vec()
}

impl Scene {
    /// What a recovery of these bytes finds: how many transactions it replays, and the heap's first word.
    pub(super) fn recover(&self, bytes: Vec<u8>) -> (u64, u64) {
        let g = &self.geometry;
        let place = Place {
            pool_id: POOL,
            ring: g.ring_offset..g.ring_offset + g.ring_len,
            home: [SUPERBLOCK..g.dir_offset + g.dir_len, g.heap_start..g.max_len],
        };
        let media = self.memory.with_bytes(bytes);
        let replayed = recover_into_home(&media, &place, 9).unwrap().replayed;
        let mut word = [0; 8];
        media.read(g.heap_start, &mut word).unwrap();
        (replayed, u64::from_le_bytes(word))
    }

    pub(super) fn append(&self, value: u64, durability: Durability) -> u64 {
        self.journal.append(&mut self.journal.appender(), &body(self, 1, value), durability).unwrap()
    }

    /// Returns when somebody waits for the journal, with the ring as it is then.
    pub(super) fn until_somebody_waits(&self) {
        let begun = Instant::now();
        while self.journal.lock().waiting == 0 {
            assert!(begun.elapsed() < patience(), "nobody waits");
            thread::yield_now();
        }
    }
}
