//! A union does not say which of its fields is there.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
union Either {
    number: u64,
    flag: bool,
}

fn main() {}
