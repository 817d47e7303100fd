//! The same, with the lifetime hidden in an alias.

use pobj::Persistent;

type Forever = pobj::PBox<'static, u64>;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    next: Forever,
}

fn main() {}
