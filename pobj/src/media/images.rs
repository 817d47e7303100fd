//! Which addresses belong to open pools, of all that this process has.
//!
//! A brand tells the compiler which pool a value belongs to, with one gap: a read guard of a pool in a `static` may have
//! any lifetime, that of another pool's running transaction among them. So where something is changed through `&`
//! with a transaction at hand (cells, locks, shared counts), its address has to lie in that transaction's pool, or in
//! ordinary memory. That is asked here, and only where the first is not so.

use std::sync::{PoisonError, RwLock};

/// Base and length of the reservation of each open pool.
static IMAGES: RwLock<Vec<(u64, u64)>> = RwLock::new(Vec::new());

/// Notes that `len` addresses from `base` on are a pool's.
pub(super) fn enter(base: u64, len: u64) {
    IMAGES.write().unwrap_or_else(PoisonError::into_inner).push((base, len));
}

/// Takes the note back.
pub(super) fn leave(base: u64, len: u64) {
    let mut images = IMAGES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = images.iter().position(|image| *image == (base, len)) {
        images.swap_remove(at);
    }
}

/// Whether `addr` is an address of any open pool.
#[cold]
pub(crate) fn is_in_a_pool(addr: u64) -> bool {
    let images = IMAGES.read().unwrap_or_else(PoisonError::into_inner);
    images.iter().any(|(base, len)| addr.wrapping_sub(*base) < *len)
}
