//! Glob patterns as in KEYS, SCAN and PSUBSCRIBE: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a
//! byte.
//!
//! How it works: each pattern element but `*` takes exactly one byte, so only the last `*` ever
//! needs to be tried again, one byte further. No recursion. That is at worst pattern times text,
//! and both come from clients; so a match gives up, answering false, after sixteen steps for each
//! byte of pattern and text and a million more. Only patterns made to be slow come near. As in
//! Redis a match gives up as well at a star behind [`STARS_MAX`] others.
//!
//! As in Redis a class may lack its `]`, a range may be upside down, and the empty text is matched
//! by the empty pattern and `*` alone.

/// Pattern bytes looked at before a match gives up: this many, and [`STEPS_A_BYTE`].
const STEPS_FREE: usize = 1024 * 1024;
/// See [`STEPS_FREE`].
const STEPS_A_BYTE: usize = 16;
/// Groups of stars that a match may pass; one that ends the pattern is always taken.
const STARS_MAX: usize = 1000;

/// True if the whole text matches the pattern.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if pattern == b"*" {
        return true;
    }
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut steps = STEPS_FREE + (pattern.len() + text.len()).saturating_mul(STEPS_A_BYTE);
    let (mut at, mut done, mut stars) = (0, 0, 0);
    // Where to go on if what follows the last star does not fit: the pattern after it, the text.
    let mut retry: Option<(usize, usize)> = None;
    while done < text.len() {
        let rest = &pattern[at..];
        if rest.first() == Some(&b'*') {
            at += rest.iter().take_while(|byte| **byte == b'*').count();
            if at == pattern.len() {
                return true;
            }
            if stars == STARS_MAX {
                return false;
            }
            stars += 1;
            retry = Some((at, done));
            continue;
        }
        let (fits, taken) = element(rest, text[done], nocase);
        let Some(left) = steps.checked_sub(taken.max(1)) else { return false };
        steps = left;
        if fits {
            at += taken;
            done += 1;
            continue;
        }
        let Some((after_star, from)) = retry else { return false };
        retry = Some((after_star, from + 1));
        (at, done) = (after_star, from + 1);
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether the element at the front of `pattern` takes `byte`, and how long that element is.
#[inline]
fn element(pattern: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    match pattern {
        [] => (false, 0),
        [b'?', ..] => (true, 1),
        [b'[', b'^', class @ ..] => {
            let (found, taken) = in_class(class, byte, nocase);
            (!found, taken + 2)
        }
        [b'[', class @ ..] => {
            let (found, taken) = in_class(class, byte, nocase);
            (found, taken + 1)
        }
        [b'\\', literal, ..] => (same(*literal, byte, nocase), 2),
        [literal, ..] => (same(*literal, byte, nocase), 1),
    }
}

/// Whether a class, given from behind its `[` or `^`, has `byte`, and how long it is with its `]`.
fn in_class(class: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    let (mut found, mut at) = (false, 0);
    loop {
        let (fits, taken) = match &class[at..] {
            [] => return (found, at),
            [b']', ..] => return (found, at + 1),
            [b'\\', literal, ..] => (same(*literal, byte, nocase), 2),
            [low, b'-', high, ..] => {
                let [low, high, byte] = [*low, *high, byte].map(|b| fold(b, nocase));
                ((low.min(high)..=low.max(high)).contains(&byte), 3)
            }
            [literal, ..] => (same(*literal, byte, nocase), 1),
        };
        found |= fits;
        at += taken;
    }
}

#[inline]
fn same(left: u8, right: u8, nocase: bool) -> bool {
    fold(left, nocase) == fold(right, nocase)
}

#[inline]
fn fold(byte: u8, nocase: bool) -> u8 {
    if nocase { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        // Each case was answered by Valkey 9.1.2 in the same way.
        let cases: &[(&str, &str, bool)] = &[
            ("h?llo", "hello", true),
            ("h*llo", "hllo", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-", "hb", false),
            ("h[a", "ha", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("a[", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("[a\\-c]", "b", false),
            ("a\\", "a\\", true),
            ("*a*b*", "xaxbx", true),
            ("**", "", false),
            ("*", "", true),
            ("", "a", false),
            ("a**", "a", true),
            ("HeLLo", "hello", false),
        ];
        for (pattern, text, expected) in cases {
            let found = matches(pattern.as_bytes(), text.as_bytes(), false);
            assert_eq!(found, *expected, "{pattern:?} {text:?}");
        }
        assert!(matches(b"H[A-C]*O", b"hbllo", true));
    }

    /// The meaning of a pattern, by trying everything.
    fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| naive(rest, &text[n..], nocase)),
            (_, []) => false,
            (_, [byte, after @ ..]) => {
                let (fits, taken) = element(pattern, *byte, nocase);
                fits && naive(&pattern[taken..], after, nocase)
            }
        }
    }

    #[test]
    fn trying_only_the_last_star_again_finds_every_match() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut found = 0;
        for _ in 0..200_000 {
            let pattern: Vec<u8> = (0..random.usize(0..9))
                .map(|_| random.choice(*b"**?[]^-\\abcab").unwrap())
                .collect();
            let text: Vec<u8> =
                (0..random.usize(1..9)).map(|_| random.choice(*b"abcABC-]").unwrap()).collect();
            let nocase = random.bool();
            let expected = naive(&pattern, &text, nocase);
            assert_eq!(matches(&pattern, &text, nocase), expected, "{}", pattern.escape_ascii());
            found += u32::from(expected);
        }
        assert!(found > 1_000);
    }

    #[test]
    fn slow_patterns_give_up() {
        let text = vec![b'a'; 1_000_000];
        let pattern =
            [b"*a".repeat(STARS_MAX - 1), b"*".to_vec(), b"a".repeat(5000), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &text, false));
        assert!(matches(&b"*a".repeat(STARS_MAX), &text, false));
    }

    #[test]
    fn patterns_of_many_stars_give_up() {
        for (stars, ending, found) in
            [(1000, "", true), (1000, "*", true), (1001, "", false), (1001, "*", false)]
        {
            let text = vec![b'a'; stars];
            let pattern = [b"**?".repeat(stars), ending.into()].concat();
            assert_eq!(matches(&pattern, &text, false), found, "{stars} {ending}");
        }
    }
}
