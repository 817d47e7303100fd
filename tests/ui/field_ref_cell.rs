//! A `RefCell` changes through a shared reference, which no transaction sees.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    visits: std::cell::RefCell<u64>,
}

fn main() {}
