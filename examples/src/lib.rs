//! What the example programs are made of.
//!
//! `wordindex`, an inverted index of a directory that lives in a pool:
//!
//! - [`walk`] finds the files, [`words`] cuts a file into counted words: the same for every index.
//! - [`volatile`] keeps the index in `std` collections: the yardstick for speed and space.
//! - [`persistent`] keeps it in a pool, one transaction for each file; [`postings`] is its compact list of postings.
//! - [`update`] brings either up to date with a directory; [`query`] answers questions about the persistent one.
//!
//! [`lru`], a cache that survives the program; [`graph`], nodes that several others own.
//!
//! [`jobs`], a queue of jobs that survives kills; [`editor`], a buffer whose undo does; [`adventure`], a world that needs no
//! saving.
//!
//! [`kvshell`], a shell over a key-value store.

pub mod adventure;
pub mod editor;
pub mod graph;
pub mod jobs;
pub mod kvshell;
pub mod lru;
pub mod persistent;
pub mod postings;
pub mod query;
pub mod update;
pub mod volatile;
pub mod walk;
pub mod words;

/// What the example programs report: one line for a person.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
