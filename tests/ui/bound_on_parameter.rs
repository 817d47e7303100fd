//! A bound would have to hold for the type of every transaction.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Sorted<T: Ord> {
    value: T,
}

fn main() {}
