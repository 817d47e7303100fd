//! A `HashMap` keeps its content outside the pool.

use pobj::Persistent;
use std::collections::HashMap;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    scores: HashMap<u32, u64>,
}

fn main() {}
