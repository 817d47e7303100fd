//! Naming a place runs no code of the user, for it could write bytes that are not logged.

use pobj::{Persistent, Pool, tx};
use std::ops::{Deref, DerefMut};

#[derive(Persistent, Default)]
#[repr(C)]
struct Inner {
    value: u64,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct Guard {
    inner: Inner,
    writes: u64,
}

impl Deref for Guard {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Inner {
        self.writes += 1;
        &mut self.inner
    }
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App {
    guard: Guard,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    tx!(pool, |app, tx| {
        app.guard.value = 1;
    })?;
    Ok(())
}
