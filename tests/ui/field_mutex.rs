//! A lock's state does not outlive the process.

use pobj::Persistent;
use std::sync::Mutex;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    visits: Mutex<u64>,
}

fn main() {}
