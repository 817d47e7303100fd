//! pmemkv, to stand beside: PMDK's key-value store, by its engine `cmap`, a concurrent hash map on persistent memory.
//!
//! `c/pmemkv_peer.c` says how it is set up. It is there with the feature `pmemkv`, on a machine that has the library;
//! else [`open`] gives `None`. Its pool lies where pobj's does, and libpmem is told to take it for memory as for
//! [`Peer`](super::Peer).
//!
//! Invariants that the `SAFETY` comments cite:
//!
//! - **K1** A pointer comes from `kv_peer_create` and is closed once, by `drop`.
//! - **K2** `cmap` lets many threads put and get at once (pmemkv's table of engines), and the C half has no state of
//!   its own that changes. Counting is not among those: it happens when nobody puts.
//! - **K3** The C half reads a slice's bytes within the call.

#[cfg(has_pmemkv)]
pub use present::open;

#[cfg(not(has_pmemkv))]
pub use crate::kv::absent as open;

#[cfg(has_pmemkv)]
mod present {
    use std::ffi::{CStr, CString, c_char, c_int, c_void};
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::ptr::NonNull;

    use crate::Result;
    use crate::kv::Store;

    /// Bytes of the pool for each record, and in any case: more than pmemkv needs.
    const RECORD_ROOM: usize = 1024;
    const ROOM: usize = 64 << 20;
    /// `kv_peer_get`'s answer if there is no such key.
    const NOT_FOUND: c_int = 1;

    /// The C half's store; only its address is known here.
    #[repr(C)]
    struct RawStore {
        _bytes: [u8; 0],
    }

    type Visit = unsafe extern "C" fn(*const c_char, usize, *mut c_void);

    // The functions of c/pmemkv_peer.c.
    unsafe extern "C" {
        fn kv_peer_error(error: c_int) -> *const c_char;
        fn kv_peer_create(path: *const c_char, len: usize, made: *mut Option<NonNull<RawStore>>) -> c_int;
        fn kv_peer_close(store: NonNull<RawStore>);
        fn kv_peer_put(
            store: NonNull<RawStore>,
            key: *const u8,
            key_len: usize,
            value: *const u8,
            value_len: usize,
        ) -> c_int;
        fn kv_peer_get(
            store: NonNull<RawStore>,
            key: *const u8,
            key_len: usize,
            visit: Visit,
            argument: *mut c_void,
        ) -> c_int;
        fn kv_peer_count(store: NonNull<RawStore>, count: *mut usize) -> c_int;
        fn kv_peer_live_bytes(store: NonNull<RawStore>) -> u64;
    }

    /// A pool with pmemkv's engine in it.
    struct Pmemkv(NonNull<RawStore>);

    // SAFETY: K2.
    unsafe impl Send for Pmemkv {}
    // SAFETY: K2.
    unsafe impl Sync for Pmemkv {}

    /// A new store, all pages of its pool mapped. `None` only where there is no pmemkv.
    ///
    /// # Errors
    ///
    /// If the pool cannot be made, or libpmem does not take it for memory.
    pub fn open(path: &Path, records: usize) -> Result<Option<Box<dyn Store>>> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut made = None;
        // SAFETY: the path ends in a zero and outlives the call, which writes `made` if it gives 0.
        check(unsafe { kv_peer_create(path.as_ptr(), ROOM + records * RECORD_ROOM, &raw mut made) })?;
        Ok(made.map(|store| Box::new(Pmemkv(store)) as Box<dyn Store>))
    }

    impl Store for Pmemkv {
        #[inline]
        fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
            // SAFETY: K1, K2, K3.
            check(unsafe { kv_peer_put(self.0, key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
        }

        #[inline]
        fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
            let mut visit = visit;
            let argument = (&raw mut visit).cast();
            // SAFETY: K1, K2, K3; `show` gets the pointer that it asks for, and only within the call.
            match unsafe { kv_peer_get(self.0, key.as_ptr(), key.len(), show, argument) } {
                NOT_FOUND => Ok(false),
                answer => check(answer).map(|()| true),
            }
        }

        fn count(&self) -> Result<u64> {
            let mut count = 0;
            // SAFETY: K1, K2.
            check(unsafe { kv_peer_count(self.0, &raw mut count) })?;
            Ok(count as u64)
        }

        /// A put is on the medium when it returns, and `cmap` has no threads.
        fn settle(&self) -> Result<()> {
            Ok(())
        }

        fn live_bytes(&self) -> Option<u64> {
            // SAFETY: K1, K2.
            Some(unsafe { kv_peer_live_bytes(self.0) })
        }
    }

    impl Drop for Pmemkv {
        fn drop(&mut self) {
            // SAFETY: K1.
            unsafe { kv_peer_close(self.0) }
        }
    }

    /// Calls the closure behind `argument`. A panic must not reach C: it ends the program.
    ///
    /// # Safety
    ///
    /// `argument` leads to a `&mut dyn FnMut(&[u8])` that nobody else uses, `value` to `len` bytes that stay as they are.
    unsafe extern "C" fn show(value: *const c_char, len: usize, argument: *mut c_void) {
        // SAFETY: the caller's promise.
        let visit = unsafe { &mut *argument.cast::<&mut dyn FnMut(&[u8])>() };
        // SAFETY: the caller's promise.
        let value = unsafe { std::slice::from_raw_parts(value.cast(), len) };
        if catch_unwind(AssertUnwindSafe(|| visit(value))).is_err() {
            std::process::abort();
        }
    }

    /// The C half's answer as a result, with what the library says about it.
    #[inline]
    fn check(error: c_int) -> Result<()> {
        if error == 0 { Ok(()) } else { Err(failure(error)) }
    }

    #[cold]
    fn failure(error: c_int) -> Box<dyn std::error::Error + Send + Sync> {
        // SAFETY: a library's buffer of this thread, or null.
        let message = unsafe { kv_peer_error(error) };
        let message = if message.is_null() {
            String::new()
        } else {
            // SAFETY: not null; it ends in a zero and is not written to before this thread's next call.
            unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
        };
        match error {
            status if status < 0 => format!("pmemkv: status {} ({message})", -1 - status).into(),
            errno => format!("pmemkv: {} ({message})", io::Error::from_raw_os_error(errno)).into(),
        }
    }
}

#[cfg(all(test, has_pmemkv))]
mod tests {
    use super::open;
    use crate::Result;
    use crate::kv::Records;

    /// Catches a peer that is fast because it does nothing, and errors that get lost.
    #[test]
    fn the_work_is_done() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let records = Records::new(1000);
        let store = open(&dir.path().join("peer"), 1000)?.ok_or("there is no peer")?;
        (0..1000).try_for_each(|index| records.put(&*store, index))?;
        records.check(&*store, 1000)?;
        records.get_all(&*store)?;
        assert!(store.live_bytes() >= Some(1000 * 116));
        assert!(open(&dir.path().join("missing/peer"), 1000).is_err());
        Ok(())
    }
}
