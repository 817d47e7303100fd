//! The lowest floor: what every other floor may use and what knows nothing of pools.
//!
//! Errors, checksums, and the gate that separates readers from the writer.

pub mod checksum;
pub mod error;
pub(crate) mod gate;
