//! A `String` keeps its bytes outside the pool.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    name: String,
}

fn main() {}
