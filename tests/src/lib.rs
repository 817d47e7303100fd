//! What the suites of this package share: a small persistent program with its model, and the crash harness.

pub mod book;
pub mod campaign;
pub mod crash;
pub mod damage;
#[cfg(target_os = "linux")]
pub mod environment;
pub mod evidence;
#[cfg(target_os = "linux")]
pub mod faults;
pub mod fuzz;
pub mod guest;
pub mod kill;
pub mod mount;
pub mod mutate;
pub mod named;
pub mod support;
pub mod workload;
