//! A trait object is found through a table of this build's code.

use pobj::Persistent;
use pobj::PBox;

#[derive(Persistent)]
#[repr(C)]
struct Account<'p> {
    id: u64,
    shape: PBox<'p, dyn std::fmt::Debug>,
}

fn main() {}
