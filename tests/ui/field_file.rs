//! A file handle is known to this process's kernel only.

use pobj::Persistent;
use std::fs::File;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    file: File,
}

fn main() {}
