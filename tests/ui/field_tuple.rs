//! A tuple has a layout that the compiler may change.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    point: (i32, i32),
}

fn main() {}
