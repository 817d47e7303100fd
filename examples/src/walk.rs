//! Finding the files below a directory.

use std::fs::Metadata;
use std::path::Path;
use std::time::UNIX_EPOCH;

use ignore::WalkBuilder;

use crate::Failure;

/// A file as the directory shows it. If all of this is as it was, the content is taken to be as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The absolute path.
    pub path: String,
    /// Length in bytes.
    pub len: u64,
    /// Time of the last change in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// The files below one directory.
#[derive(Debug, Default)]
pub struct Walk {
    /// The directory's own absolute path.
    pub dir: String,
    /// By path.
    pub files: Vec<Found>,
    /// Directory entries that could not be read, or whose name is not Unicode.
    pub unreadable: u64,
}

impl Walk {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }
}

/// Lists the files below `dir` that a version control system would list: nothing hidden, nothing that a `.gitignore`
/// names, no symbolic links. `except` (the pool itself) is left out.
///
/// # Errors
///
/// `dir` does not exist or may not be read, or its path is not Unicode.
pub fn walk(dir: &Path, except: Option<&Path>) -> Result<Walk, Failure> {
    let failed = |what: &dyn std::fmt::Display| format!("cannot read {}: {what}", dir.display());
    let dir = dir.canonicalize().map_err(|error| failed(&error))?;
    std::fs::metadata(&dir).map_err(|error| failed(&error))?;
    let except = except.and_then(|path| path.canonicalize().ok());
    let name = dir.to_str().ok_or_else(|| failed(&"its path is not Unicode"))?.to_owned();
    let mut walk = Walk { dir: name, ..Walk::default() };
    for entry in WalkBuilder::new(&dir).require_git(false).sort_by_file_path(Ord::cmp).build() {
        let Ok(entry) = entry else {
            walk.unreadable += 1;
            continue;
        };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) || except.as_deref() == Some(entry.path()) {
            continue;
        }
        match (entry.path().to_str(), entry.metadata()) {
            (Some(path), Ok(metadata)) => walk.files.push(Found {
                path: path.to_owned(),
                len: metadata.len(),
                modified_ns: modified_ns(&metadata),
            }),
            _ => walk.unreadable += 1,
        }
    }
    Ok(walk)
}

/// 0 where the system does not tell.
fn modified_ns(metadata: &Metadata) -> i64 {
    let Ok(modified) = metadata.modified() else { return 0 };
    match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i64,
        Err(before) => -(before.duration().as_nanos() as i64),
    }
}
