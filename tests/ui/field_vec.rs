//! A `Vec` keeps its content outside the pool.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    scores: Vec<u32>,
}

fn main() {}
