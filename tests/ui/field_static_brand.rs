//! A box with a lifetime of its own could leave its transaction.

use pobj::Persistent;
use pobj::PBox;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    next: Option<PBox<'static, u64>>,
}

fn main() {}
