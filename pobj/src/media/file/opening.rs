//! Opening an existing pool file: only a regular one, locked, and still the one that the path names.

use std::fs::File;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use super::io_error;
use crate::ground::error::{Error, Result};

/// How often opening starts over because the path was given to another file meanwhile.
const OPEN_ATTEMPTS: u32 = 16;

/// What the opener wants of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// To read and write, while nobody else does either.
    Alone,
    /// To read, while nobody writes.
    Shared,
    /// To read, whoever writes.
    None,
}

/// Opens and locks the file that `path` names, links followed.
pub(super) fn open(path: &Path, claim: Claim) -> Result<File> {
    let (access, operation) = match claim {
        Claim::Alone => (OFlags::RDWR, Some(FlockOperation::NonBlockingLockExclusive)),
        Claim::Shared => (OFlags::RDONLY, Some(FlockOperation::NonBlockingLockShared)),
        Claim::None => (OFlags::RDONLY, None),
    };
    // NONBLOCK: should the path become a FIFO between the two tests, opening it must not wait for a peer.
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    for _ in 0..OPEN_ATTEMPTS {
        // Looked at before it is opened, because merely opening a device can have effects.
        named_file(path)?;
        let file = match retry_on_intr(|| openat(CWD, path, flags, Mode::empty())) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => {
                return Err(Error::NotFound { path: path.to_owned() });
            }
            Err(e) => return Err(io_error("open the pool file", path, e)),
        };
        let opened = fstat(&file).map_err(|e| io_error("look at the pool file", path, e))?;
        refuse_irregular(path, opened.st_mode)?;
        if let Some(operation) = operation {
            lock(&file, path, operation)?;
        }
        let named = named_file(path)?;
        if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino) {
            return Ok(file);
        }
    }
    Err(io_error("open the pool file (the path keeps naming another file)", path, Errno::AGAIN))
}

/// Takes the lock of the file at once or not at all.
pub(super) fn lock(file: &File, path: &Path, operation: FlockOperation) -> Result<()> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::Locked { path: path.to_owned() });
            }
            Err(e) => return Err(io_error("lock the pool file", path, e)),
        }
    }
}

/// What `path` names, links followed, if that is a regular file.
fn named_file(path: &Path) -> Result<Stat> {
    match statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => refuse_irregular(path, stat.st_mode).map(|()| stat),
        Err(Errno::NOENT) => Err(Error::NotFound { path: path.to_owned() }),
        Err(e) => Err(io_error("look at the pool file", path, e)),
    }
}

fn refuse_irregular(path: &Path, mode: u32) -> Result<()> {
    let found = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "it is a directory",
        FileType::Fifo => "it is a FIFO",
        FileType::Socket => "it is a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "it is a device",
        _ => "it is not a regular file",
    };
    Err(Error::NotAPool { path: path.to_owned(), found: found.to_owned() })
}
