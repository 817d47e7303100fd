//! What two transactions must not use even one after the other is not made better by a lock.
use std::cell::Cell;

use pobj::layout::{Invalid, SchemaBuilder, TypeIndex, View, Visit};
use pobj::{PMutex, Persistent, Pool};

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
struct App<'p> {
    hits: PMutex<'p, Hits>,
}

fn main() {
    let pool = Pool::<App>::create("p.pobj").unwrap();
    let _ = pool.share(|app, tx| Ok(app.hits.lock(tx)?.0.set(1)));
}
