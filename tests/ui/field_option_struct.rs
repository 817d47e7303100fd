//! `Option` of a struct has a layout that the compiler may change.

use pobj::Persistent;

#[derive(Persistent)]
#[repr(C)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Persistent)]
#[repr(C)]
struct Account {
    id: u64,
    point: Option<Point>,
}

fn main() {}
