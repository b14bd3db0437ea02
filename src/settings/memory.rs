//! Amounts of memory in words: `1k` is 1000 bytes, `1kb` is 1024, in any letter case.

/// The bytes that `text` names, or `None` if it is no amount of memory or too large for 64 bits.
/// Digits only before the unit, as in Redis: no sign, no fraction.
pub fn memory_bytes(text: &str) -> Option<u64> {
    let digits_end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The shortest way to write an amount of memory that [`memory_bytes`] reads back.
pub fn memory_text(bytes: u64) -> String {
    for (factor, unit) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_with_b_are_powers_of_two() {
        assert_eq!(memory_bytes("1k"), Some(1000));
        assert_eq!(memory_bytes("1KB"), Some(1024));
        assert_eq!(memory_bytes("3Mb"), Some(3 << 20));
        assert_eq!(memory_bytes("2g"), Some(2_000_000_000));
        assert_eq!(memory_bytes("7"), Some(7));
        assert_eq!(memory_bytes("7b"), Some(7));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "kb", "-1", "+1", "1.5gb", "10q", "1 kb", "99999999999gb"] {
            assert_eq!(memory_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_written_in_the_largest_whole_unit() {
        for (bytes, text) in [(0, "0"), (1 << 30, "1gb"), (1000, "1000"), (64 << 20, "64mb")] {
            assert_eq!(memory_text(bytes), text);
            assert_eq!(memory_bytes(text), Some(bytes));
        }
    }
}
