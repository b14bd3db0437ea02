//! LZF, by which long strings are made shorter.
//!
//! A row of instructions. One below 32 is followed by so many bytes and one more, as they are. Any
//! other repeats what stands earlier in the output: its top three bits are the length less two, or
//! seven where a byte follows that is to be added; its low five bits, with the last byte behind
//! them, are how far back, less one.

/// Bytes as they are behind one instruction.
const PLAIN_MAX: usize = 32;

/// How far back a repetition reaches.
const REACH: usize = 1 << 13;

/// The shortest repetition that saves anything, and the longest that can be said.
const REPEAT_MIN: usize = 3;
const REPEAT_MAX: usize = 264;

/// Of how many bytes three can become at the most.
const GROWTH_MAX: usize = REPEAT_MAX / 3;

/// Bytes for which room is made on somebody's word alone.
const BELIEVED: usize = 1 << 20;

/// Places of earlier bytes that are remembered, in bits of their number.
const BITS_MIN: u32 = 8;
const BITS_MAX: u32 = 14;

/// What `bytes` say, if it has `len` bytes exactly.
pub(super) fn expand(bytes: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > bytes.len().saturating_mul(GROWTH_MAX) {
        return None;
    }
    let mut out = Vec::with_capacity(len.min(bytes.len().max(BELIEVED)));
    let mut rest = bytes.iter();
    while let Some(instruction) = rest.next().copied() {
        let top = usize::from(instruction >> 5);
        if top == 0 {
            let plain = rest.as_slice().split_at_checked(usize::from(instruction) + 1)?;
            out.extend_from_slice(plain.0);
            rest = plain.1.iter();
        } else {
            let more = if top == 7 { usize::from(*rest.next()?) } else { 0 };
            let back = usize::from(instruction & 0x1f) << 8 | usize::from(*rest.next()?);
            let start = out.len().checked_sub(back + 1)?;
            repeat(&mut out, start, top + 2 + more);
        }
        if out.len() > len {
            return None;
        }
    }
    out.shrink_to_fit();
    (out.len() == len).then_some(out)
}

/// Appends `count` bytes from `start` on, which may reach into what is appended.
fn repeat(out: &mut Vec<u8>, start: usize, count: usize) {
    let distance = out.len() - start;
    if distance >= count {
        out.extend_from_within(start..start + count);
    } else {
        (start..start + count).for_each(|at| out.push(out[at]));
    }
}

/// The bytes in a shorter form; none where there is none that saves anything.
pub(super) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits = bytes.len().checked_ilog2()?.clamp(BITS_MIN, BITS_MAX);
    // Where three bytes of this hash were seen last, counted from one.
    let (mut few, mut many) = ([0u32; 1 << BITS_MIN], Vec::new());
    let seen = match bits {
        BITS_MIN => &mut few[..],
        _ => {
            many.resize(1 << bits, 0);
            &mut many[..]
        }
    };
    let most = u32::try_from(bytes.len()).ok()?;
    // Most short strings repeat nothing, and take no memory.
    let mut out = Vec::new();
    let (mut at, mut plain) = (0, 0);
    while at + REPEAT_MIN <= bytes.len() && out.len() + (at - plain) < most as usize {
        let three = [bytes[at], bytes[at + 1], bytes[at + 2]];
        let place = &mut seen[slot_of(three, bits)];
        let earlier = std::mem::replace(place, at as u32 + 1).checked_sub(1).map(|at| at as usize);
        let repeated = earlier.filter(|from| at - from <= REACH).map_or(0, |from| {
            let ahead = bytes[at..].iter().take(REPEAT_MAX);
            ahead.zip(&bytes[from..]).take_while(|(one, other)| one == other).count()
        });
        if repeated < REPEAT_MIN {
            at += 1;
            continue;
        }
        if plain == 0 {
            out.reserve(bytes.len());
        }
        put_plain(&mut out, &bytes[plain..at]);
        let back = at - earlier.unwrap_or(at) - 1;
        let (high, low) = ((back >> 8) as u8, back as u8);
        match repeated - 2 {
            short @ ..7 => out.push((short as u8) << 5 | high),
            long => out.extend([7 << 5 | high, (long - 7) as u8]),
        }
        out.push(low);
        at += repeated;
        plain = at;
    }
    if plain == 0 {
        return None;
    }
    put_plain(&mut out, &bytes[plain..]);
    (out.len() < bytes.len()).then_some(out)
}

fn put_plain(out: &mut Vec<u8>, plain: &[u8]) {
    for part in plain.chunks(PLAIN_MAX) {
        out.push(part.len() as u8 - 1);
        out.extend_from_slice(part);
    }
}

/// Where three bytes are remembered: by the top bits of their product with a large odd number.
fn slot_of([a, b, c]: [u8; 3], bits: u32) -> usize {
    (u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_out_as_it_was() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut saved = 0;
        for _ in 0..2_000 {
            let (len, letters) = (random.usize(..3_000), random.u8(1..30));
            let mut bytes: Vec<u8> = (0..len).map(|_| random.u8(..letters)).collect();
            if random.bool() {
                bytes.extend_from_within(..);
                bytes.extend(std::iter::repeat_n(7, random.usize(..20_000)));
            }
            let Some(short) = compress(&bytes) else { continue };
            saved += 1;
            assert!(short.len() < bytes.len());
            assert_eq!(expand(&short, bytes.len()).as_deref(), Some(&bytes[..]));
            assert_eq!(expand(&short, bytes.len() + 1), None);
            assert_eq!(expand(&short, bytes.len().saturating_sub(1)), None);
        }
        assert!(saved > 1_000, "{saved}");
    }

    #[test]
    fn noise_and_short_strings_stay_as_they_are() {
        let mut random = fastrand::Rng::with_seed(2);
        let noise: Vec<u8> = (0..1_000).map(|_| random.u8(..)).collect();
        assert_eq!(compress(&noise), None);
        for short in [&b""[..], b"a", b"ab", b"abc"] {
            assert_eq!(compress(short), None);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let mut random = fastrand::Rng::with_seed(3);
        assert_eq!(expand(&[], 0), Some(vec![]));
        assert_eq!(expand(&[0xe0, 0xff, 0x00], 264), None);
        assert_eq!(expand(b"\x00a", usize::MAX), None);
        let whole = compress(&b"abcabcabcabdabcabc".repeat(50)).expect("it repeats");
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
            bytes.truncate(random.usize(..=bytes.len()));
            let len = random.usize(..2_000);
            assert!(expand(&bytes, len).is_none_or(|out| out.len() == len));
        }
    }
}
