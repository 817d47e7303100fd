//! An address of this process means nothing in the next.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    next: *const u64,
}

fn main() {}
