//! [`PHash`]: what a key feeds to a hash that is stored.
//!
//! A hash that lies in a pool must be the same next year, under another compiler, on another machine (I5). So neither
//! `std::hash::Hash` (whose implementations may feed other bytes in the next release) nor a hasher of `std` is used.
//! What each type feeds is part of the format:
//!
//! | Type | Feeds |
//! |---|---|
//! | integers, `NonZero` | one word, extended to 64 bits by the type's own sign rule; two words (low, high) for 128 bits |
//! | `bool`, `char`, `()` | one word, `char` as its code point; nothing for `()` |
//! | `str`, `PString`, `String` | their bytes |
//! | `[u8]`, `[u8; N]`, `PVec<u8>` | the length as a word, then the bytes |
//! | `[T]`, `[T; N]`, `PVec<T>` | the length as a word, then each element |
//! | `Option<T>` | the word 0, or the word 1 and the value |
//! | `PBox<T>`, `&T` | what `T` feeds |
//!
//! The hasher folds a word `x` into its state by a 64 x 64 -> 128 bit multiplication with a key of the map, and the upper
//! and lower halves of the product are combined (the folded multiplication of wyhash, rapidhash and foldhash). Bytes go
//! through XXH3-64 under the map's seed first. The seed is random for each map and is never shown, so keys that all
//! fall in one place cannot be chosen from outside.

use std::num::NonZero;

use crate::ground::checksum::{checksum, mix};
use crate::typed::PBox;

/// A key of a [`PHashMap`](super::PHashMap). Equal keys feed equal words.
///
/// `K: Borrow<Q>` asks that `K` and `Q` feed the same, as `PString` and `str` do.
///
/// ```
/// use pobj::{PHash, PHasher};
///
/// #[derive(PartialEq, Eq)]
/// struct Point {
///     x: i32,
///     y: i32,
/// }
///
/// impl PHash for Point {
///     fn phash(&self, hasher: &mut PHasher) {
///         self.x.phash(hasher);
///         self.y.phash(hasher);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a persistent hash map",
    label = "`{Self}` is not `PHash`",
    note = "for a type of your own: implement `PHash` by feeding each field to the hasher",
    note = "floats have no equality that a map could rely on: use their bits (`to_bits`)"
)]
pub trait PHash {
    /// Feeds this value to `hasher`.
    fn phash(&self, hasher: &mut PHasher);

    /// Feeds all of `values`, without their count.
    #[doc(hidden)]
    #[inline]
    fn phash_all(values: &[Self], hasher: &mut PHasher)
    where
        Self: Sized,
    {
        for value in values {
            value.phash(hasher);
        }
    }
}

/// The running state of one hash.
///
/// For a table of your own: store the seed beside the table, and a key is found again under every compiler.
///
/// ```
/// use pobj::{PHash, PHasher};
///
/// fn bucket(key: &str, seed: u64, buckets: u64) -> u64 {
///     let mut hasher = PHasher::new(seed);
///     key.phash(&mut hasher);
///     hasher.finish() % buckets
/// }
/// assert_eq!(bucket("bob", 7, 64), bucket("bob", 7, 64));
/// ```
#[derive(Clone, Debug)]
pub struct PHasher {
    state: u64,
    key: u64,
}

/// Digits of pi, so that an all-zero key and state do not meet.
const START: u64 = 0x243F_6A88_85A3_08D3;
const FINISH: u64 = 0x1319_8A2E_0370_7344;

impl PHasher {
    /// A hasher under the seed of one map.
    #[inline]
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // The multiplier is odd, so that no bit of the other factor is lost.
        Self { state: seed ^ START, key: mix(seed, START) | 1 }
    }

    /// Feeds one word.
    #[inline]
    pub fn write_u64(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.key);
    }

    /// Feeds bytes; their number counts.
    #[inline]
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        self.write_u64(checksum(self.key, bytes));
    }

    /// The hash of what was fed so far. All its bits are of the same use.
    #[inline]
    #[must_use]
    pub fn finish(&self) -> u64 {
        fold(self.state ^ FINISH, self.key.rotate_left(32) | 1)
    }
}

/// The two halves of the product, combined.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

macro_rules! words {
    ($($ty:ty),*) => {$(
        impl PHash for $ty {
            #[inline]
            fn phash(&self, hasher: &mut PHasher) {
                hasher.write_u64(*self as u64);
            }
        }

        impl PHash for NonZero<$ty> {
            #[inline]
            fn phash(&self, hasher: &mut PHasher) {
                self.get().phash(hasher);
            }
        }
    )*};
}

words!(u16, u32, u64, i8, i16, i32, i64);

impl PHash for u8 {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_u64(u64::from(*self));
    }

    #[inline]
    fn phash_all(values: &[Self], hasher: &mut PHasher) {
        hasher.write_bytes(values);
    }
}

impl PHash for u128 {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_u64(*self as u64);
        hasher.write_u64((*self >> 64) as u64);
    }
}

impl PHash for i128 {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        (*self as u128).phash(hasher);
    }
}

impl PHash for bool {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_u64(u64::from(*self));
    }
}

impl PHash for char {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_u64(u64::from(*self));
    }
}

impl PHash for () {
    fn phash(&self, _hasher: &mut PHasher) {}
}

impl PHash for str {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_bytes(self.as_bytes());
    }
}

impl PHash for String {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        (**self).phash(hasher);
    }
}

impl<T: PHash> PHash for [T] {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        hasher.write_u64(self.len() as u64);
        T::phash_all(self, hasher);
    }
}

impl<T: PHash, const N: usize> PHash for [T; N] {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        self[..].phash(hasher);
    }
}

impl<T: PHash> PHash for Option<T> {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        match self {
            None => hasher.write_u64(0),
            Some(value) => {
                hasher.write_u64(1);
                value.phash(hasher);
            }
        }
    }
}

impl<T: PHash> PHash for PBox<'_, T> {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        (**self).phash(hasher);
    }
}

impl<T: PHash + ?Sized> PHash for &T {
    #[inline]
    fn phash(&self, hasher: &mut PHasher) {
        (**self).phash(hasher);
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a change of what is stored, a borrowed key that hashes otherwise, and a hash that ignores bits.
    use super::*;

    fn hash(seed: u64, value: &(impl PHash + ?Sized)) -> u64 {
        let mut hasher = PHasher::new(seed);
        value.phash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        let found =
            [hash(7, &7u64), hash(7, "pobj"), hash(7, &-1i8), hash(7, &Some('x')), hash(7, &[1u8, 2][..])];
        assert_eq!(found.map(|hash| format!("{hash:016x}")), GOLDEN);
    }

    const GOLDEN: [&str; 5] =
        ["7c558330994ad1a2", "8682ee57d4334157", "a7d21e421b107594", "7e167c0f1f662fd6", "a17d4839a81a784f"];

    #[test]
    fn borrowed_forms_hash_alike() {
        assert_eq!(hash(1, "abc"), hash(1, &String::from("abc")));
        assert_eq!(hash(1, &[1u8, 2, 3]), hash(1, &[1u8, 2, 3][..]));
        assert_eq!(hash(1, &&5u32), hash(1, &5u32));
        assert_ne!(hash(1, &[0u8; 2][..]), hash(1, &[0u8; 3][..]));
        assert_ne!(hash(1, ""), hash(2, ""));
    }

    #[test]
    fn the_upper_half_spreads_small_and_regular_keys() {
        const BUCKETS: usize = 1 << 8;
        for step in [1u64, 8, 64, 4096, 1 << 32, 1 << 56] {
            let mut load = [0u32; BUCKETS];
            for key in 0..BUCKETS as u64 * 16 {
                load[(hash(0x5EED, &key.wrapping_mul(step)) >> 32) as usize % BUCKETS] += 1;
            }
            // 16 on average; with the largest step there are only 256 different keys.
            if step < 1 << 50 {
                assert!(load.iter().all(|&load| load < 44), "step {step}: {:?}", load.iter().max());
            }
        }
    }

    #[test]
    fn each_bit_of_a_key_changes_about_half_of_the_hash() {
        for bit in 0..64 {
            let changed: u32 =
                (0..64u64).map(|key| (hash(9, &key) ^ hash(9, &(key ^ 1 << bit))).count_ones()).sum();
            assert!((24 * 64..40 * 64).contains(&changed), "bit {bit}: {changed}");
        }
    }
}
