//! Damaged files: sources to damage, damages to do to them, and a bench that does one after the other.
//!
//! A source is a pool or a log in memory. A damage is a list of edits, and perhaps a cut; where it is *forged*, every
//! checksum is made right again afterwards, as an adversary would do it. The bench applies a damage, opens and uses what
//! is there, and puts back only what has changed, so that a damage costs little more than the opening.
//!
//! What may come out: a typed error, or something that can be walked, changed, collected, closed and opened again.

mod bench;
mod cage;
mod cases;
mod forge;
mod media;
mod sources;

pub use bench::{Bench, Outcome};
pub use cases::{Damage, Edit, Family, Plan};
pub use forge::{Forge, Forger};
pub use media::Restorable;
pub use sources::{NAMES, Source, source};
