//! A root that threads must not have at the same time cannot be shared.
use std::cell::Cell;

use pobj::layout::{Invalid, SchemaBuilder, TypeIndex, View, Visit};
use pobj::{Persistent, Pool};

#[derive(Default)]
#[repr(transparent)]
struct Hits(Cell<u64>);

// SAFETY: eight bytes, any of them.
unsafe impl Persistent for Hits {
    type At<'q> = Hits;
    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        u64::describe(schema)
    }
    fn validate(_: View<'_>, _: &mut Visit<'_>) -> Result<(), Invalid> {
        Ok(())
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App {
    hits: Hits,
}

fn main() {
    let pool = Pool::<App>::create("p.pobj").unwrap();
    let _ = pool.share(|app, _| Ok(app.hits.0.set(1)));
}
