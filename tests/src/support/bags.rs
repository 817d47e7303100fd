//! A root with bytes of any number of lengths.

use pobj::{Durability, Options, PVec, Persistent, Result, Tx};

use super::small;

/// Bytes of any number of lengths.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Bags<'p> {
    /// The bags.
    pub bags: PVec<'p, PVec<'p, u8>>,
}

/// Options for a small pool of bags whose commits do not wait.
pub fn bags(max_size: u64) -> Options<Bags<'static>> {
    small(max_size).durability(Durability::Eventual)
}

/// A bag of `len` times `byte`.
///
/// # Errors
///
/// What taking memory returns.
pub fn bag<'p>(tx: &Tx<'p>, len: usize, byte: u8) -> Result<PVec<'p, u8>> {
    let mut bag = PVec::with_capacity(tx, len)?;
    bag.extend_from_slice(tx, &vec![byte; len])?;
    Ok(bag)
}
