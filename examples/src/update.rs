//! Bringing an index up to date with a directory. Only files that changed are read.

use std::collections::HashMap;
use std::path::Path;

use crate::walk::{Found, Walk};
use crate::{Failure, words};

/// What a file turned out to hold.
#[derive(Debug)]
pub enum Content<'a> {
    /// Words, and how often each occurs.
    Text(HashMap<&'a str, u32>),
    /// No text. Kept in the index all the same, so that the file is not read again.
    Binary,
}

/// Where the words go.
pub trait Index {
    /// All files in the index by path: their ids and what they looked like.
    fn known(&self) -> HashMap<String, (u32, Found)>;

    /// Takes a file in, in the place of the one with the id `old`.
    ///
    /// # Errors
    ///
    /// Those of the index; the file is as it was before.
    fn replace(&mut self, old: Option<u32>, file: &Found, content: &Content<'_>) -> Result<(), Failure>;

    /// Forgets a file.
    ///
    /// # Errors
    ///
    /// Those of the index; the file is still there.
    fn remove(&mut self, id: u32) -> Result<(), Failure>;
}

/// What an update did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// Files that were read because they are new or have changed.
    pub read: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Of them, files that are no text.
    pub binary: u64,
    /// Files that are as the index knows them.
    pub unchanged: u64,
    /// Files that are in the directory no more.
    pub removed: u64,
    /// Files and directories that could not be read.
    pub unreadable: u64,
}

/// Brings `index` up to date with what was found below a directory; what it knows of other directories stays.
/// `progress` is told the files done and the files to do, before each one.
///
/// # Errors
///
/// Those of the index. Files that were done stay done.
pub fn update(
    index: &mut impl Index,
    walk: Walk,
    mut progress: impl FnMut(u64, u64),
) -> Result<Updated, Failure> {
    let mut known = index.known();
    let mut updated = Updated { unreadable: walk.unreadable, ..Updated::default() };
    let mut changed = Vec::new();
    for file in walk.files {
        match known.remove(&file.path) {
            Some((_, then)) if then == file => updated.unchanged += 1,
            then => changed.push((then.map(|(id, _)| id), file)),
        }
    }
    for (path, (id, _)) in known {
        if Path::new(&path).starts_with(&walk.dir) {
            index.remove(id)?;
            updated.removed += 1;
        }
    }
    let total = changed.len() as u64;
    for (done, (old, file)) in (0..).zip(changed) {
        progress(done, total);
        let Ok(bytes) = std::fs::read(&file.path) else {
            updated.unreadable += 1;
            if let Some(id) = old {
                index.remove(id)?;
            }
            continue;
        };
        updated.read += 1;
        updated.read_bytes += bytes.len() as u64;
        if words::is_binary(&bytes) {
            updated.binary += 1;
            index.replace(old, &file, &Content::Binary)?;
            continue;
        }
        let text = words::text(bytes);
        index.replace(old, &file, &Content::Text(words::count(&text)))?;
    }
    progress(total, total);
    Ok(updated)
}
