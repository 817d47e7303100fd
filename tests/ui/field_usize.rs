//! A `usize` has another size on another machine.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    len: usize,
}

fn main() {}
