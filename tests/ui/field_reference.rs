//! A reference does not outlive the process.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    owner: &'static u64,
}

fn main() {}
