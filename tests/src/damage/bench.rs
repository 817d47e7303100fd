//! The bench: applies a damage, opens and uses what is there, and puts back what was there.

use std::ops::Range;
use std::sync::Arc;

use pobj::media::Media;

use super::cases::{Damage, Edit};
use super::forge::Forge;
use super::media::Restorable;
use super::sources::{Cost, Source};
use crate::support::panics::guarded;
use crate::support::zoo::Fate;

/// What became of a damaged file.
#[derive(Debug)]
pub struct Outcome {
    /// What it is like, or what must not happen.
    pub fate: Result<Fate, String>,
    /// What opening it has cost.
    pub cost: Cost,
    /// Bytes of the damaged file.
    pub len: usize,
}

/// One source, with a medium for its damaged copies.
pub struct Bench<'a> {
    source: &'a Source,
    media: Restorable,
    /// The bytes, and between two damages always what the source holds.
    work: Vec<u8>,
}

impl<'a> Bench<'a> {
    /// A bench for copies of `source`.
    #[must_use]
    pub fn new(source: &'a Source) -> Self {
        // With room to grow, so that what the medium takes is not counted as what opening takes.
        let mut bytes = Vec::with_capacity(source.bytes.len() * 4);
        bytes.extend_from_slice(&source.bytes);
        let media = Restorable::new(source.media.ram_with_bytes(bytes));
        Self { source, media, work: source.bytes.clone() }
    }

    /// Applies a damage, uses the file, and undoes the damage.
    pub fn treat(&mut self, damage: &Damage) -> Outcome {
        if damage.whole.is_some() || damage.cut.is_some() || self.source.in_place {
            let bytes = damaged(self.source, damage);
            let len = bytes.len();
            let media = self.source.media.ram_with_bytes(bytes);
            return self.use_it(Arc::new(media), len);
        }
        let mut touched = put_all(&mut self.work, &damage.edits);
        if damage.forged {
            let mut forge = Forge::new(&mut self.work);
            (self.source.forger)(&mut forge);
            touched.extend(forge.touched);
        }
        for range in &touched {
            let bytes = &self.work[range.clone()];
            self.media.write(range.start as u64, bytes).expect("memory is written");
        }
        let outcome = self.use_it(Arc::new(self.media.clone()), self.work.len());
        self.media.restore(&self.source.bytes);
        touched.into_iter().for_each(|at| self.work[at.clone()].copy_from_slice(&self.source.bytes[at]));
        outcome
    }

    fn use_it(&self, media: Arc<dyn Media>, len: usize) -> Outcome {
        let mut cost = Cost::default();
        let fate = guarded(|| (self.source.use_it)(&media, &mut cost));
        Outcome { fate, cost, len }
    }
}

/// Puts the edits into bytes, as far as these reach. Gives what was touched.
fn put_all(bytes: &mut [u8], edits: &[Edit]) -> Vec<Range<usize>> {
    let mut touched = Vec::new();
    for Edit { at, bytes: new } in edits {
        let end = (at + new.len()).min(bytes.len());
        let start = (*at).min(end);
        bytes[start..end].copy_from_slice(&new[..end - start]);
        touched.push(start..end);
    }
    touched
}

/// The bytes of a damaged copy.
fn damaged(source: &Source, damage: &Damage) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(source.bytes.len() * 4);
    bytes.extend_from_slice(damage.whole.as_ref().unwrap_or(&source.bytes));
    put_all(&mut bytes, &damage.edits);
    if let Some(len) = damage.cut {
        bytes.resize(len, 0);
    }
    if damage.forged {
        (source.forger)(&mut Forge::new(&mut bytes));
    }
    bytes
}
