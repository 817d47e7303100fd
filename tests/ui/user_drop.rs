//! A `Drop` would run on bytes that a rollback brings back.

use pobj::{PBox, Persistent};

#[derive(Persistent)]
#[repr(C)]
struct Account<'p> {
    next: Option<PBox<'p, u64>>,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {}
}

fn main() {}
