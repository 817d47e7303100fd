//! A struct without `repr(C)` has a layout that the compiler may change.

use pobj::Persistent;

#[derive(Persistent)]
struct Account {
    id: u64,
}

fn main() {}
