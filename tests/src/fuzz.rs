//! What the fuzz targets do with their bytes. The fuzzer (`fuzz/`, nightly) and the replay of its corpora
//! (`tests/fuzz_corpus.rs`, any compiler) run the same code; a finding is a panic.
//!
//! Nothing in an input depends on addresses or ids, which differ from process to process.

pub mod crash_image;
pub mod open;
pub mod operations;

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Does one thing with bytes.
pub type Target = fn(&[u8]);

/// Name and body of each target.
pub const TARGETS: [(&str, Target); 3] =
    [("open", open::run), ("operations", operations::run), ("crash_image", crash_image::run)];

/// Where the inputs of a target are kept.
#[must_use]
pub fn corpus(target: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(target)
}

/// Keeps something for as long as the process lives, as the fuzzer does. It stays known, so that it is no leak.
fn keep<T: Any + Send + Sync>(value: T) -> &'static T {
    static KEPT: Mutex<Vec<&'static (dyn Any + Send + Sync)>> = Mutex::new(Vec::new());
    let kept: &'static T = Box::leak(Box::new(value));
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    kept
}

/// The input, taken from its front; zeros behind its end.
#[derive(Clone, Debug)]
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a bug is to be found that is not there: with `POBJ_FUZZ_PLANTED` set, to see that the fuzzer would.
    fn is_planted(&self, magic: &[u8]) -> bool {
        self.0.starts_with(magic) && std::env::var_os("POBJ_FUZZ_PLANTED").is_some()
    }
}
