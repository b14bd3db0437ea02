//! Kinds of values: what is right, and how CONFIG GET prints it.
//!
//! [`Kind::check`] turns the words of a directive into the canonical value, which is also how it is
//! kept; reading a canonical value back cannot fail. Words are bytes: a password or a path is kept
//! as it was given. All other values are text. The error texts are Redis's.

use super::conf;
use super::memory::memory_bytes;
use super::special::{self, Special};
use super::users;
use crate::base::integer;

/// What a whole number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number: a port, a count, a factor.
    None,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Minutes.
    Minutes,
    /// Hundredths.
    Percent,
}

impl Unit {
    /// The unit's name in the plural, empty for a plain number.
    pub fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
            Unit::Millis => "milliseconds",
            Unit::Micros => "microseconds",
            Unit::Minutes => "minutes",
            Unit::Percent => "per cent",
        }
    }
}

/// Which values a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words, each at most once.
    Choices(&'static [&'static str]),
    /// A whole number between the two, inclusive.
    Integer {
        /// The smallest right value.
        min: i64,
        /// The largest right value.
        max: i64,
        /// What it counts.
        unit: Unit,
    },
    /// An amount of memory between the two, in bytes, inclusive.
    Memory {
        /// The smallest right value.
        min: u64,
        /// The largest right value.
        max: u64,
    },
    /// An amount of memory, or a share of `maxmemory` such as `5%`.
    MemoryOrPercent,
    /// Permission bits in octal, at most 777.
    Octal,
    /// One word of any bytes.
    Text,
    /// Any number of words.
    Words,
    /// Words with a grammar of their own.
    Special(Special),
}

/// Why a value was not taken. The text is what Redis says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Nobody knows the directive.
    #[error("Bad directive or wrong number of arguments")]
    Unknown,
    /// A directive of one word was given none or several.
    #[error("wrong number of arguments")]
    WordCount,
    /// A flag that is neither yes nor no.
    #[error("argument must be 'yes' or 'no'")]
    NotFlag,
    /// A word that is none of the choices.
    #[error("argument(s) must be one of the following: {}", .0.join(", "))]
    NotChoice(&'static [&'static str]),
    /// No whole number, or one beyond 64 bits.
    #[error("argument couldn't be parsed into an integer")]
    NotInteger,
    /// No octal number.
    #[error("argument couldn't be parsed as an octal number")]
    NotOctal,
    /// No amount of memory.
    #[error("argument must be a memory value")]
    NotMemory,
    /// Neither an amount of memory nor a percentage.
    #[error("argument must be a memory or percent value")]
    NotMemoryOrPercent,
    /// A percentage above 100.
    #[error("percentage argument must be less or equal to 100")]
    PercentTooLarge,
    /// A number outside its range.
    #[error("argument must be between {min} and {max} inclusive")]
    OutOfRange {
        /// The smallest right value, as printed.
        min: String,
        /// The largest right value, as printed.
        max: String,
    },
    /// Bytes that are no UTF-8, in a value that must be text.
    #[error("argument must be UTF-8 text")]
    NotText,
    /// A special value broke its grammar.
    #[error("{0}")]
    Special(&'static str),
    /// A directive that Troupe cannot leave without effect; the text is the remedy.
    #[error("not supported: {0}")]
    Refused(&'static str),
}

impl Kind {
    /// Whether a value of this kind is a list of words, which may also come as one word with
    /// blanks.
    pub fn takes_words(&self) -> bool {
        matches!(self, Kind::Choices(_) | Kind::Words)
            || matches!(self, Kind::Special(special) if special.takes_words())
    }

    /// Whether a value is a whole line, whose words keep their blanks.
    pub fn is_line(&self) -> bool {
        matches!(self, Kind::Special(Special::Lines { .. } | Special::Users))
    }

    /// The words of a value where the syntax around it gives it as one text; none where a quote is
    /// not closed.
    pub fn split(&self, text: Vec<u8>) -> Option<Vec<Vec<u8>>> {
        if self.is_line() { conf::split_words(&text) } else { Some(vec![text]) }
    }

    /// The canonical value of `words`, where `old` is the value so far (some special values change
    /// only in part).
    pub fn check(&self, words: &[&[u8]], old: &[u8]) -> Result<Vec<u8>, SettingError> {
        match (self, words) {
            (Kind::Text, [word]) => Ok(word.to_vec()),
            (Kind::Text, _) => Err(SettingError::WordCount),
            (Kind::Special(Special::Lines { min, max }), words) => {
                special::check_lines(*min..=*max, words, old)
            }
            (Kind::Special(Special::Users), words) => users::check(words, old),
            _ => {
                let text = |bytes| std::str::from_utf8(bytes).map_err(|_| self.not_text());
                let words: Vec<&str> =
                    words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
                Ok(self.check_text(&words, text(old)?)?.into_bytes())
            }
        }
    }

    /// What is said of a word that is no text, where text is wanted.
    fn not_text(&self) -> SettingError {
        match self {
            Kind::Flag => SettingError::NotFlag,
            Kind::Choice(choices) | Kind::Choices(choices) => SettingError::NotChoice(choices),
            Kind::Integer { .. } => SettingError::NotInteger,
            Kind::Memory { .. } => SettingError::NotMemory,
            Kind::MemoryOrPercent => SettingError::NotMemoryOrPercent,
            Kind::Octal => SettingError::NotOctal,
            Kind::Text | Kind::Words | Kind::Special(_) => SettingError::NotText,
        }
    }

    fn check_text(&self, words: &[&str], old: &str) -> Result<String, SettingError> {
        if words.is_empty() {
            return match self {
                Kind::Special(special) if special.may_be_bare() => special.check(&[], old),
                Kind::Choices(choices) => Err(SettingError::NotChoice(choices)),
                _ => Err(SettingError::WordCount),
            };
        }
        if self.takes_words() {
            let split: Vec<&str> = match words {
                [one] => one.split_ascii_whitespace().collect(),
                several => several.to_vec(),
            };
            return match self {
                Kind::Choices(choices) => check_choices(choices, &split),
                Kind::Special(special) => special.check(&split, old),
                _ => Ok(split.join(" ")),
            };
        }
        if let Kind::Special(special) = self {
            return special.check(words, old);
        }
        let &[word] = words else { return Err(SettingError::WordCount) };
        match *self {
            Kind::Flag => check_flag(word),
            Kind::Choice(choices) => check_choice(choices, word).map(str::to_owned),
            Kind::Integer { min, max, .. } => {
                let number = integer::parse(word.as_bytes()).ok_or(SettingError::NotInteger)?;
                within(number, min, max)?;
                Ok(number.to_string())
            }
            Kind::Memory { min, max } => {
                let bytes = memory_bytes(word).ok_or(SettingError::NotMemory)?;
                within(bytes, min, max)?;
                Ok(bytes.to_string())
            }
            Kind::MemoryOrPercent => check_memory_or_percent(word),
            Kind::Octal => {
                let bits = u32::from_str_radix(word, 8).ok().filter(|_| !word.starts_with('+'));
                let bits = bits.ok_or(SettingError::NotOctal)?;
                if bits > 0o777 {
                    return Err(SettingError::OutOfRange { min: "0".into(), max: "777".into() });
                }
                Ok(format!("{bits:o}"))
            }
            Kind::Text | Kind::Words | Kind::Choices(_) | Kind::Special(_) => Ok(word.to_owned()),
        }
    }
}

fn check_flag(word: &str) -> Result<String, SettingError> {
    ["yes", "no"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(word))
        .map(str::to_owned)
        .ok_or(SettingError::NotFlag)
}

fn check_choice(
    choices: &'static [&'static str],
    word: &str,
) -> Result<&'static str, SettingError> {
    let known = choices.iter().find(|known| known.eq_ignore_ascii_case(word));
    known.copied().ok_or(SettingError::NotChoice(choices))
}

fn check_choices(choices: &'static [&'static str], words: &[&str]) -> Result<String, SettingError> {
    if words.is_empty() {
        return Err(SettingError::NotChoice(choices));
    }
    for word in words {
        check_choice(choices, word)?;
    }
    let chosen = |known: &&str| words.iter().any(|word| known.eq_ignore_ascii_case(word));
    Ok(choices.iter().copied().filter(chosen).collect::<Vec<_>>().join(" "))
}

fn check_memory_or_percent(word: &str) -> Result<String, SettingError> {
    let Some(percent) = word.strip_suffix('%') else {
        let bytes = memory_bytes(word).ok_or(SettingError::NotMemoryOrPercent)?;
        within(bytes, 0, i64::MAX as u64)?;
        return Ok(bytes.to_string());
    };
    match integer::parse_unsigned(percent.as_bytes()) {
        Some(percent) if percent <= 100 => Ok(format!("{percent}%")),
        Some(_) => Err(SettingError::PercentTooLarge),
        None => Err(SettingError::NotMemoryOrPercent),
    }
}

fn within<N: PartialOrd + ToString>(number: N, min: N, max: N) -> Result<(), SettingError> {
    if number >= min && number <= max {
        return Ok(());
    }
    Err(SettingError::OutOfRange { min: min.to_string(), max: max.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind, word: &str) -> String {
        match kind.check(&[word.as_bytes()], b"") {
            Ok(value) => String::from_utf8(value).expect("text"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn flags_take_yes_and_no_in_any_case() {
        assert_eq!(said(Kind::Flag, "YES"), "yes");
        assert_eq!(said(Kind::Flag, "1"), "argument must be 'yes' or 'no'");
    }

    #[test]
    fn choices_are_named_in_the_error() {
        const FSYNC: Kind = Kind::Choice(&["everysec", "always", "no"]);
        assert_eq!(said(FSYNC, "Always"), "always");
        assert_eq!(
            said(FSYNC, "foo"),
            "argument(s) must be one of the following: everysec, always, no"
        );
        const SIGNAL: Kind = Kind::Choices(&["default", "save", "now"]);
        assert_eq!(said(SIGNAL, "now save"), "save now");
    }

    #[test]
    fn integers_are_whole_and_in_range() {
        let port = Kind::Integer { min: 0, max: 65535, unit: Unit::None };
        assert_eq!(said(port, "6379"), "6379");
        for word in ["abc", "1.5", "1k", "", "+1", " 1", "007", "-0", "99999999999999999999999"] {
            assert_eq!(said(port, word), "argument couldn't be parsed into an integer", "{word}");
        }
        assert_eq!(said(port, "-1"), "argument must be between 0 and 65535 inclusive");
    }

    #[test]
    fn memory_is_kept_in_bytes() {
        let memory = Kind::Memory { min: 1024, max: 1 << 40 };
        assert_eq!(said(memory, "1gb"), "1073741824");
        assert_eq!(said(memory, "-1"), "argument must be a memory value");
        assert_eq!(said(memory, "1"), "argument must be between 1024 and 1099511627776 inclusive");
        assert_eq!(said(Kind::MemoryOrPercent, "5%"), "5%");
        assert_eq!(said(Kind::MemoryOrPercent, "1mb"), "1048576");
        assert_eq!(
            said(Kind::MemoryOrPercent, "150%"),
            "percentage argument must be less or equal to 100"
        );
        for word in ["x", "05%", "-1%", "%"] {
            let said = said(Kind::MemoryOrPercent, word);
            assert_eq!(said, "argument must be a memory or percent value", "{word}");
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(said(Kind::Octal, "0770"), "770");
        assert_eq!(said(Kind::Octal, "999"), "argument couldn't be parsed as an octal number");
        assert_eq!(said(Kind::Octal, "1777"), "argument must be between 0 and 777 inclusive");
    }

    #[test]
    fn one_word_means_one_word() {
        assert_eq!(Kind::Text.check(&[b"a", b"b"], b""), Err(SettingError::WordCount));
        assert_eq!(Kind::Text.check(&[], b""), Err(SettingError::WordCount));
        assert_eq!(Kind::Special(Special::Save).check(&[], b"3600 1"), Ok(Vec::new()));
        assert_eq!(Kind::Words.check(&[b"a", b"b"], b""), Ok(b"a b".to_vec()));
    }

    #[test]
    fn bytes_are_taken_where_text_is_not_needed() {
        assert_eq!(Kind::Text.check(&[b"a\xffb"], b""), Ok(b"a\xffb".to_vec()));
        assert_eq!(Kind::Flag.check(&[b"\xff"], b""), Err(SettingError::NotFlag));
        assert_eq!(Kind::Words.check(&[b"\xff"], b""), Err(SettingError::NotText));
    }
}
