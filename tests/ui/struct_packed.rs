//! The fields of a packed struct could not be borrowed.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C, packed)]
struct Account {
    open: bool,
    id: u64,
}

fn main() {}
