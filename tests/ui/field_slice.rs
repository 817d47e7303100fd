//! A slice reference points outside the pool.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    scores: &'static [u32],
}

fn main() {}
