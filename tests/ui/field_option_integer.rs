//! `Option<u64>` has a layout that the compiler may change.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    limit: Option<u64>,
}

fn main() {}
