//! The plan of the campaigns: for each row what it shows, and the commands of its CI size and its long size.
//!
//! `cargo run --release -p tests --bin campaign` lists it; `-- ci [R8 ...]` and `-- long [R8 ...]` run it; `-- book`
//! writes the plan and `tests/evidence` into the book. A run is kept with `POBJ_EVIDENCE=$PWD/tests/evidence`.

mod book;
mod rows;

pub use book::{page, written};
pub use rows::ROWS;

/// A row of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, for example `R8`.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub title: &'static str,
    /// What is done, and what would be found, in a sentence or two.
    pub what: &'static str,
    /// What CI runs.
    pub ci: &'static [Run],
    /// What runs for as long as there is time.
    pub long: &'static [Run],
}

/// A command of a row.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// For a shell, from the repository's root.
    pub command: &'static str,
    /// A command that fails where the machine lacks what the run needs; empty if it needs nothing.
    pub needs: &'static str,
    /// What to say then.
    pub lacks: &'static str,
    /// Whether `cargo test --workspace` runs it anyway.
    pub tested: bool,
}

impl Run {
    /// A run that needs nothing special.
    #[must_use]
    pub const fn of(command: &'static str) -> Self {
        Self::needing(command, "", "")
    }

    /// A run that needs something: a command that fails where the machine lacks it, and what to say then.
    #[must_use]
    pub const fn needing(command: &'static str, needs: &'static str, lacks: &'static str) -> Self {
        Self { command, needs, lacks, tested: false }
    }

    /// A run that is part of `cargo test --workspace`.
    #[must_use]
    pub const fn tested(command: &'static str) -> Self {
        Self { tested: true, ..Self::of(command) }
    }
}
