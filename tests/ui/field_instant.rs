//! An `Instant` counts from a start that the next process does not share.

use pobj::Persistent;
use std::time::Instant;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    seen: Instant,
}

fn main() {}
