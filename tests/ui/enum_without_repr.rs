//! An enum without an integer representation has a layout that the compiler may change.

use pobj::Persistent;

#[derive(Persistent)]
enum State {
    Open,
    Closed { at: u64 },
}

fn main() {}
