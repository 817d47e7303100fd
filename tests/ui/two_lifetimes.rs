//! A persistent type has one brand.

use pobj::{PBox, Persistent};

#[derive(Persistent)]
#[repr(C)]
struct Pair<'a, 'b> {
    first: PBox<'a, u64>,
    second: PBox<'b, u64>,
}

fn main() {}
