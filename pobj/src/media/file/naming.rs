//! The name of a new pool file: a temporary one first, its own when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, fsync, openat, statat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::io_error;
use super::opening::lock;
use crate::ground::error::{Error, Result};

/// Names of temporary files keep at most this much of the pool's name, as names end at 255 bytes.
const NAME_PART_MAX: usize = 200;

/// A file that still has its temporary name, and loses it, and so its life, when this is dropped.
#[derive(Debug)]
pub(super) struct Unpublished {
    directory: OwnedFd,
    temporary: OsString,
    name: OsString,
    /// The creating process: a forked child must not remove its parent's file.
    process: u32,
    renamed: bool,
}

/// Makes an empty, locked file beside `path`, which will be its name.
pub(super) fn create(path: &Path) -> Result<(File, Unpublished)> {
    let failed = |doing, e: Errno| io_error(doing, path, e);
    let Some(name) = path.file_name() else {
        return Err(failed("create a pool (the path names no file)", Errno::INVAL));
    };
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => {
            return Err(Error::AlreadyExists { path: path.to_owned() });
        }
        Err(Errno::NOENT) => {}
        Err(e) => return Err(failed("look for the pool file", e)),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = parent.unwrap_or(Path::new("."));
    let directory = retry_on_intr(|| openat(CWD, parent, flags, Mode::empty()))
        .map_err(|e| failed("open the pool's directory", e))?;
    loop {
        let random = getrandom::u64().map_err(|e| Error::io("draw a random name", e))?;
        let temporary = temporary_name(name, random);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file = match retry_on_intr(|| openat(&directory, &temporary, flags, mode)) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => continue,
            Err(e) => return Err(failed("create the pool file", e)),
        };
        let (name, process) = (name.to_owned(), std::process::id());
        let unpublished = Unpublished { directory, temporary, name, process, renamed: false };
        lock(&file, path, FlockOperation::NonBlockingLockExclusive)?;
        return Ok((file, unpublished));
    }
}

impl Unpublished {
    /// Gives the file its own name unless something has that name.
    pub(super) fn rename(&mut self) -> Result<(), Errno> {
        let (directory, from, to) = (&self.directory, &self.temporary, &self.name);
        match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link()?,
            other => other?,
        }
        self.renamed = true;
        Ok(())
    }

    /// Does the same where the kernel or the file system has no rename that refuses to replace.
    pub(super) fn link(&self) -> Result<(), Errno> {
        let (directory, from, to) = (&self.directory, &self.temporary, &self.name);
        rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
        // The pool is there; a leftover second name is harmless.
        let _ = unlinkat(directory, from, AtFlags::empty());
        Ok(())
    }

    /// Makes the new name durable.
    pub(super) fn sync_directory(&self) -> Result<(), Errno> {
        match fsync(&self.directory) {
            // Some file systems have no sync of directories: there the rename is durable by itself, or never known.
            Err(Errno::INVAL) => Ok(()),
            other => other,
        }
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if !self.renamed && self.process == std::process::id() {
            let _ = unlinkat(&self.directory, &self.temporary, AtFlags::empty());
        }
    }
}

/// `.NAME.pobj-tmp-PROCESS-RANDOM`
fn temporary_name(name: &OsStr, random: u64) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let part = &name.as_bytes()[..name.len().min(NAME_PART_MAX)];
    let rest = format!(".pobj-tmp-{}-{random:016x}", std::process::id());
    OsString::from_vec([b".", part, rest.as_bytes()].concat())
}
