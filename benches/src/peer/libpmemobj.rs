//! The door to the C half of the comparison: the only place that calls it.
//!
//! Invariants that the `SAFETY` comments cite:
//!
//! - **C1** A [`Peer`]'s pointer comes from `peer_create` and is closed once, by `drop`. It is neither `Send` nor `Sync`,
//!   and every call takes `&mut self`: one thread at a time uses a pool. The C half has no other state that threads share.
//! - **C2** The C half reads a slice's elements within the call, and checks numbers against what was made.
//! - **C3** libpmemobj's transactions leave by `longjmp` on errors, within a C function: no frame of Rust is between.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

use crate::Result;

/// The C half's pool; only its address is known here.
#[repr(C)]
struct RawPeer {
    _bytes: [u8; 0],
    _not_send_nor_sync: PhantomData<*mut u8>,
}

// The functions of c/pmemobj_peer.c.
unsafe extern "C" {
    fn peer_error() -> *const c_char;
    fn peer_create(path: *const c_char, len: usize, made: *mut Option<NonNull<RawPeer>>) -> c_int;
    fn peer_close(peer: NonNull<RawPeer>);
    fn peer_change_word(peer: NonNull<RawPeer>) -> c_int;
    fn peer_word(peer: NonNull<RawPeer>) -> u64;
    fn peer_make_lines(peer: NonNull<RawPeer>, count: usize) -> c_int;
    fn peer_change_lines(peer: NonNull<RawPeer>, numbers: *const u32, count: usize) -> c_int;
    fn peer_push(peer: NonNull<RawPeer>, value: u64) -> c_int;
    fn peer_make_map(peer: NonNull<RawPeer>, heads: usize) -> c_int;
    fn peer_insert(peer: NonNull<RawPeer>, keys: *const u64, count: usize) -> c_int;
    fn peer_map_len(peer: NonNull<RawPeer>) -> u64;
    fn peer_tree_insert(peer: NonNull<RawPeer>, keys: *const u64, count: usize) -> c_int;
    fn peer_tree_find(peer: NonNull<RawPeer>, keys: *const u64, count: usize) -> u64;
    fn peer_count_fences();
    fn peer_counted_fences() -> u64;
}

/// A pool of libpmemobj with the root that the rows need.
#[derive(Debug)]
pub struct Peer(NonNull<RawPeer>);

impl std::fmt::Debug for RawPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawPeer")
    }
}

impl Peer {
    /// A new pool of `len` bytes, all its pages mapped. `None` only where there is no libpmemobj.
    ///
    /// # Errors
    ///
    /// If the file cannot be made, or libpmem does not take it for memory.
    pub fn create(path: &Path, len: usize) -> Result<Option<Self>> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut made = None;
        // SAFETY: the path ends in a zero and outlives the call, which writes `made` if it gives 0.
        check(unsafe { peer_create(path.as_ptr(), len, &raw mut made) })?;
        Ok(made.map(Self))
    }

    /// Adds one to the root's word, in a transaction.
    ///
    /// # Errors
    ///
    /// Those of the transaction.
    #[inline]
    pub fn change_word(&mut self) -> Result<()> {
        // SAFETY: C1, C3.
        check(unsafe { peer_change_word(self.0) })
    }

    /// The root's word.
    #[must_use]
    pub fn word(&mut self) -> u64 {
        // SAFETY: C1.
        unsafe { peer_word(self.0) }
    }

    /// Makes `count` lines of zeros, side by side; once for each pool.
    ///
    /// # Errors
    ///
    /// If there is no room.
    pub fn make_lines(&mut self, count: usize) -> Result<()> {
        // SAFETY: C1.
        check(unsafe { peer_make_lines(self.0, count) })
    }

    /// Adds one to each word of these lines, in one transaction.
    ///
    /// # Errors
    ///
    /// Those of the transaction, or if there is no such line.
    #[inline]
    pub fn change_lines(&mut self, numbers: &[u32]) -> Result<()> {
        // SAFETY: C1, C2, C3.
        check(unsafe { peer_change_lines(self.0, numbers.as_ptr(), numbers.len()) })
    }

    /// Puts a node of one line in front of the list, in a transaction.
    ///
    /// # Errors
    ///
    /// Those of the transaction.
    #[inline]
    pub fn push(&mut self, value: u64) -> Result<()> {
        // SAFETY: C1, C3.
        check(unsafe { peer_push(self.0, value) })
    }

    /// Makes an empty map with room for `count` keys; once for each pool.
    ///
    /// # Errors
    ///
    /// Those of the transaction.
    pub fn make_map(&mut self, count: usize) -> Result<()> {
        // SAFETY: C1, C3.
        check(unsafe { peer_make_map(self.0, count.next_power_of_two()) })
    }

    /// Inserts keys that are not in the map, each with 64 bytes, in one transaction.
    ///
    /// # Errors
    ///
    /// Those of the transaction, or if a key is in the map or there is no map.
    #[inline]
    pub fn insert(&mut self, keys: &[u64]) -> Result<()> {
        // SAFETY: C1, C2, C3.
        check(unsafe { peer_insert(self.0, keys.as_ptr(), keys.len()) })
    }

    /// Number of keys in the map.
    #[must_use]
    pub fn map_len(&mut self) -> u64 {
        // SAFETY: C1.
        unsafe { peer_map_len(self.0) }
    }

    /// Inserts keys that are not in the B-tree, each as its own value, in one transaction.
    ///
    /// # Errors
    ///
    /// Those of the transaction, or if a key is in the tree.
    #[inline]
    pub fn tree_insert(&mut self, keys: &[u64]) -> Result<()> {
        // SAFETY: C1, C2, C3.
        check(unsafe { peer_tree_insert(self.0, keys.as_ptr(), keys.len()) })
    }

    /// How many of these keys are in the B-tree.
    #[must_use]
    pub fn tree_find(&mut self, keys: &[u64]) -> u64 {
        // SAFETY: C1, C2.
        unsafe { peer_tree_find(self.0, keys.as_ptr(), keys.len()) }
    }

    /// Fences of `run` on this thread.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn fences(&mut self, run: impl FnOnce(&mut Self) -> Result<()>) -> Result<u64> {
        // SAFETY: it changes this thread's variables only.
        unsafe { peer_count_fences() };
        let done = run(self);
        // SAFETY: as above.
        let fences = unsafe { peer_counted_fences() };
        done.map(|()| fences)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SAFETY: C1.
        unsafe { peer_close(self.0) }
    }
}

/// The C half's answer as a result, with what libpmemobj says about it.
#[inline]
fn check(error: c_int) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(failure(error)) }
}

#[cold]
fn failure(error: c_int) -> Box<dyn std::error::Error + Send + Sync> {
    // SAFETY: libpmemobj's buffer of this thread, or null.
    let message = unsafe { peer_error() };
    let message = if message.is_null() {
        String::new()
    } else {
        // SAFETY: not null; it ends in a zero and is not written to before this thread's next call.
        unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
    };
    format!("libpmemobj: {} ({message})", io::Error::from_raw_os_error(error)).into()
}
