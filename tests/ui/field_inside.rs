//! A type that cannot be stored is found inside one that can.

use pobj::Persistent;
use pobj::PBox;

#[derive(Persistent)]
#[repr(C)]
struct Account<'p> {
    id: u64,
    names: [Option<PBox<'p, String>>; 4],
}

fn main() {}
