//! MurmurHash64A, Austin Appleby's 64-bit hash of 2008 for machines of 64 bits.
//!
//! Eight bytes at a time, read with the lowest first on every machine, are scrambled by two
//! multiplications and a shift and folded into the state by another; what is left over at the end
//! counts as one number. Published by its author without any claim of copyright.

const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// The hash of some bytes.
pub fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        let word = (word ^ (word >> SHIFT)).wrapping_mul(MULTIPLIER);
        state = (state ^ word).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let number = rest.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        state = (state ^ number).wrapping_mul(MULTIPLIER);
    }
    state = (state ^ (state >> SHIFT)).wrapping_mul(MULTIPLIER);
    state ^ (state >> SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check that goes with the family of hashes: the hash, with seed 0, of the hashes of
    /// `0, 1, 2 .. n-1` with seed 256 - n, the lowest byte first, begins with a known number.
    #[test]
    fn the_published_check_holds() {
        let mut hashes = Vec::new();
        for len in 0..=255 {
            let key: Vec<u8> = (0..len).collect();
            hashes.extend(murmur64a(&key, 256 - u64::from(len)).to_le_bytes());
        }
        // The loop of the check runs over lengths 0 to 255.
        assert_eq!(murmur64a(&hashes, 0) as u32, 0x1f0d_3804);
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let mut seen = std::collections::HashSet::new();
        for len in 0..40 {
            assert!(seen.insert(murmur64a(&vec![0; len], 1)), "{len} zeros");
            for at in 0..len {
                let mut bytes = vec![0; len];
                bytes[at] = 1;
                assert!(seen.insert(murmur64a(&bytes, 1)), "a one at {at} of {len}");
            }
        }
    }
}
