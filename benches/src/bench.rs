//! What a row works with: how much to do, and where its files go.

use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use tempfile::TempDir;

use crate::Result;

/// Where Linux keeps files in memory.
const MEMORY_DIR: &str = "/dev/shm";

/// Sizes and places of one run.
#[derive(Debug)]
pub struct Bench {
    quick: bool,
    text: Option<PathBuf>,
    durable: TempDir,
    memory: TempDir,
}

impl Bench {
    /// A run whose durable files go to `dir` (by default the system's directory for temporary files) and whose other
    /// files go to memory, where there is a file system in memory. Everything is removed at the end. `text` is where
    /// text is copied from, see [`corpus`](crate::corpus).
    ///
    /// # Errors
    ///
    /// If no directory can be made there.
    pub fn new(dir: Option<&Path>, text: Option<&Path>, quick: bool) -> Result<Self> {
        let durable = match dir {
            Some(dir) => tempfile::Builder::new().prefix("pobj-compare-").tempdir_in(dir)?,
            None => tempfile::Builder::new().prefix("pobj-compare-").tempdir()?,
        };
        let memory = match tempfile::Builder::new().prefix("pobj-compare-").tempdir_in(MEMORY_DIR) {
            Ok(memory) => memory,
            Err(_) => tempfile::Builder::new().prefix("pobj-compare-memory-").tempdir_in(durable.path())?,
        };
        Ok(Self { quick, text: text.map(Path::to_owned), durable, memory })
    }

    /// `full`, or `quick` in a smoke run.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The directory that text is to be copied from, if one was chosen.
    #[must_use]
    pub fn text(&self) -> Option<&Path> {
        self.text.as_deref()
    }

    /// A file on the medium that commits are to survive on.
    #[must_use]
    pub fn durable(&self, name: &str) -> PathBuf {
        self.durable.path().join(name)
    }

    /// A file in memory.
    #[must_use]
    pub fn memory(&self, name: &str) -> PathBuf {
        self.memory.path().join(name)
    }

    /// Where the files are, in words.
    #[must_use]
    pub fn places(&self) -> String {
        let describe = |path: &Path| format!("{} ({})", path.display(), file_system(path));
        format!(
            "durable files: {}; files in memory: {}",
            describe(self.durable.path()),
            describe(self.memory.path())
        )
    }
}

/// The kind of file system at `path`.
pub(crate) fn file_system(path: &Path) -> String {
    match rustix::fs::statfs(path).map(|stat| stat.f_type as u32) {
        Ok(0xEF53) => "ext4".into(),
        Ok(0x0102_1994) => "tmpfs".into(),
        Ok(0x5846_5342) => "xfs".into(),
        Ok(0x9123_683E) => "btrfs".into(),
        Ok(0x794C_7630) => "overlayfs".into(),
        Ok(0x2FC1_2FC1) => "zfs".into(),
        Ok(0x6969) => "nfs".into(),
        Ok(other) => format!("file system {other:#x}"),
        Err(_) => "unknown file system".into(),
    }
}

/// Random numbers, the same in each run.
#[must_use]
pub fn random() -> SmallRng {
    SmallRng::seed_from_u64(0x706F_626A)
}

/// 0 to `count - 1` in an order that no prefetcher guesses.
#[must_use]
pub fn shuffled(count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.shuffle(&mut random());
    order
}
