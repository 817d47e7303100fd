//! `kvshell`, a shell over a key-value store.
//!
//! - [`words`] is how keys and values are typed and printed: any bytes, readable where they are text.
//! - [`command`] is what can be said; [`session`] does it, and gathers what is said between `begin` and `commit`.
//! - [`records`] is a store of either engine behind one interface.
//! - [`terminal`] asks a person, with history and completion; [`script`] reads a file or a pipe.

pub mod command;
pub mod records;
pub mod script;
pub mod session;
pub mod terminal;
pub mod words;
