//! A `&str` points outside the pool.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    name: &'static str,
}

fn main() {}
