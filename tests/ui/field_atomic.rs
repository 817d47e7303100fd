//! An atomic changes through a shared reference, which no transaction sees.

use pobj::Persistent;
use std::sync::atomic::AtomicU64;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    visits: AtomicU64,
}

fn main() {}
