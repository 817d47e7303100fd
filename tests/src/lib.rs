//! What the suites of this package share: a small persistent program with its model, and the crash harness.

pub mod book;
pub mod campaign;
pub mod crash;
pub mod evidence;
#[cfg(feature = "mutate")]
pub mod mutate;
pub mod support;
pub mod workload;
