//! An alias hides the name of a type that cannot be stored, not the type.

use pobj::Persistent;

type Text = String;

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    name: Text,
}

fn main() {}
