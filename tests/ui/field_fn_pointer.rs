//! An address of code changes with every build.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    check: fn(u64) -> bool,
}

fn main() {}
