//! A companion outlives the guard under which it is made, so it keeps no reference into the pool.

use pobj::{Companion, PBox, Persistent};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, u64>>,
}

struct Head(&'static u64);

impl Companion<App<'static>> for Head {
    fn build(app: &App<'_>) -> Self {
        Self(app.head.as_ref().unwrap())
    }
}

fn main() {}
