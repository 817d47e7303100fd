//! A struct without `repr(C)` has a layout that the compiler may change.

use pobj::Persistent;

struct Point {
    x: i32,
    y: i32,
}

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    point: Point,
}

fn main() {}
