//! A `Cell` changes through a shared reference, which no transaction sees.

use pobj::Persistent;
use std::cell::Cell;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    visits: Cell<u64>,
}

fn main() {}
