//! The tag of a `repr(C)` enum has another size on another machine.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
enum State {
    Open,
    Closed,
}

fn main() {}
