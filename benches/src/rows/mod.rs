//! The rows by theme. A group is one function that measures and gives one or a few rows.

use crate::Result;
use crate::bench::Bench;
use crate::report::Row;

pub mod chase;
pub mod commit;
pub mod eventual;
pub mod group;
pub mod heap;
pub mod log;
pub mod map;
pub mod memory;
pub mod open;
pub mod recover;
pub mod tree;
pub mod validate;
pub mod wordindex;
pub mod worst;

/// Rows that are measured together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What `--row` selects them by, besides parts of their own names.
    pub name: &'static str,
    /// Measures them.
    pub run: fn(&Bench) -> Result<Vec<Row>>,
}

/// Every group, in the order of the design's table.
pub const ALL: &[Group] = &[
    Group { name: "chase", run: chase::rows },
    Group { name: "commit", run: commit::rows },
    Group { name: "group-commit", run: group::rows },
    Group { name: "eventual", run: eventual::rows },
    Group { name: "checkpoint", run: eventual::checkpoint_rows },
    Group { name: "memory-change", run: memory::change::word_rows },
    Group { name: "memory-ranges", run: memory::change::range_rows },
    Group { name: "memory-list", run: memory::objects::list_rows },
    Group { name: "memory-map", run: memory::objects::map_rows },
    Group { name: "memory-undo", run: memory::change::undo_rows },
    Group { name: "memory-share", run: memory::share::rows },
    Group { name: "memory-blocks", run: memory::blocks::rows },
    Group { name: "memory-checkpoint", run: memory::checkpoint::rows },
    Group { name: "alloc", run: heap::alloc_rows },
    Group { name: "map", run: map::rows },
    Group { name: "tree", run: tree::rows },
    Group { name: "worst", run: worst::rows },
    Group { name: "bytes", run: heap::bytes_rows },
    Group { name: "new-pool", run: open::new_pool_rows },
    Group { name: "open-trusted", run: open::trusted_rows },
    Group { name: "validate-small", run: validate::small_rows },
    Group { name: "validate-dense", run: validate::dense_rows },
    Group { name: "recovery", run: recover::rows },
    Group { name: "log-append", run: log::append_rows },
    Group { name: "log-walk", run: log::walk_rows },
    Group { name: "wordindex", run: wordindex::rows },
];
