//! A companion is shared by all threads.

use pobj::{Companion, Persistent};
use std::cell::Cell;

#[derive(Persistent, Default)]
#[repr(C)]
struct App {
    visits: u64,
}

struct Cache(Cell<u64>);

impl Companion<App> for Cache {
    fn build(app: &App) -> Self {
        Self(Cell::new(app.visits))
    }
}

fn main() {}
