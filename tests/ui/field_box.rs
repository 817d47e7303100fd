//! A `Box` keeps its content outside the pool.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    next: Option<Box<Account>>,
}

fn main() {}
