//! The peer of a program that was built without libpmemobj: there is none.

use std::path::Path;

use crate::Result;

/// libpmemobj, if it were there.
#[derive(Debug)]
pub enum Peer {}

impl Peer {
    /// Always `None`.
    ///
    /// # Errors
    ///
    /// None.
    pub fn create(_path: &Path, _len: usize) -> Result<Option<Self>> {
        Ok(None)
    }
}

/// What can be asked of a peer, of which there is none.
macro_rules! never {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        impl Peer {
            $(
                /// Cannot be called.
                ///
                /// # Errors
                ///
                /// None.
                pub fn $name(&mut self, $(_: $argument),*) -> $result {
                    match *self {}
                }
            )*
        }
    };
}

never! {
    change_word() -> Result<()>;
    word() -> u64;
    make_lines(usize) -> Result<()>;
    change_lines(&[u32]) -> Result<()>;
    push(u64) -> Result<()>;
    make_map(usize) -> Result<()>;
    insert(&[u64]) -> Result<()>;
    map_len() -> u64;
    tree_insert(&[u64]) -> Result<()>;
    tree_find(&[u64]) -> u64;
    fences(impl FnOnce(&mut Self) -> Result<()>) -> Result<u64>;
}
