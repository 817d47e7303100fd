//! An `Rc` counts its owners outside the pool.

use pobj::Persistent;
use std::rc::Rc;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    shared: Rc<u64>,
}

fn main() {}
