//! The lowest floor: what every other floor may use and what knows nothing of pools.
//!
//! Errors, checksums, persistence domains, random words, ranges, a hasher for offsets, locks and atomics
//! that loom can take the place of.

#[cfg(test)]
pub(crate) mod book;
pub mod checksum;
pub mod domain;
pub mod error;
pub(crate) mod random;
pub(crate) mod span;
pub(crate) mod sync;
pub(crate) mod word_hash;
