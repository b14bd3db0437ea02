//! Which of the 16,384 slots a key lives in.
//!
//! If a key has a `{` and a later `}` with something in between, only what lies between the first
//! of each counts; so clients can keep keys together.

use super::crc16::crc16;

/// How many slots there are.
pub const SLOTS: u16 = 16384;

/// The slot of a key, below [`SLOTS`].
#[inline]
pub fn of(key: &[u8]) -> u16 {
    crc16(tag(key)) & (SLOTS - 1)
}

/// The part of a key that decides its slot.
#[inline]
pub fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = position(key, b'{') else { return key };
    let inside = &key[open + 1..];
    match position(inside, b'}') {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

/// Where a byte stands first. Eight bytes at a time are looked through for it (the classic test for
/// a zero byte, A. Mycroft, 1987).
#[inline]
fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut skipped = 0;
    for eight in bytes.as_chunks().0 {
        let differences = u64::from_le_bytes(*eight) ^ (LOW * u64::from(wanted));
        if differences.wrapping_sub(LOW) & !differences & (LOW << 7) != 0 {
            break;
        }
        skipped += eight.len();
    }
    let rest = bytes[skipped..].iter().position(|byte| *byte == wanted)?;
    Some(skipped + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // Answered by CLUSTER KEYSLOT of Valkey 9.1.2.
        let cases: &[(&str, u16)] = &[
            ("", 0),
            ("foo", 12182),
            ("bar", 5061),
            ("123456789", 12739),
            ("{user1000}.following", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("foo{bar", 15278),
            ("}{a}", 15495),
        ];
        for (key, slot) in cases {
            assert_eq!(of(key.as_bytes()), *slot, "{key:?}");
        }
    }

    #[test]
    fn a_byte_is_found_where_it_stands_first() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(118..126)).collect();
            let naive = bytes.iter().position(|byte| *byte == b'{');
            assert_eq!(position(&bytes, b'{'), naive, "{bytes:?}");
        }
    }

    #[test]
    fn only_the_first_tag_counts_and_only_if_it_has_something_in_it() {
        let cases: &[(&str, &str)] = &[
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("}{a}", "a"),
        ];
        for (key, part) in cases {
            assert_eq!(tag(key.as_bytes()), part.as_bytes(), "{key:?}");
        }
    }
}
