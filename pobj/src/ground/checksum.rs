//! The one checksum of the format: XXH3 with 64 bits and a 64-bit seed (Collet's xxHash).
//!
//! The seed carries what is true about the place of the bytes but is not stored beside them (pool, epoch,
//! position), so bytes that are whole but belong elsewhere do not pass.

/// Checksum of `bytes` under `seed`.
#[inline]
#[must_use]
pub fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

/// Mixes two words into a seed (the finaliser of SplitMix64 over their combination).
#[inline]
#[must_use]
pub fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_changes_the_sum() {
        assert_ne!(checksum(1, b"pobj"), checksum(2, b"pobj"));
    }

    #[test]
    fn one_flipped_bit_changes_the_sum() {
        let mut bytes = [0u8; 256];
        let whole = checksum(7, &bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(7, &bytes), whole, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
