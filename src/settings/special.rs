//! Values with a grammar of their own: save points, output limits, percentiles, event classes.
//!
//! Each `check_*` gives the canonical text as CONFIG GET prints it; each reader beside it takes
//! that text apart again for [`super::Fields`]. Error texts are Redis's.
//!
//! A divergence: Redis forgets to print the event classes `n`, `o` and `c` beside `A`, so that a
//! rewritten file loses them. Here they are always printed.

use std::ops::RangeInclusive;

use super::conf;
use super::kind::SettingError;
use super::memory::memory_bytes;

/// Which grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Pairs of seconds and changes; nothing at all means no snapshots by time.
    Save,
    /// Groups of class, hard limit, soft limit, seconds; classes not named keep theirs.
    BufferLimits,
    /// Numbers from 0 to 100.
    Percentiles,
    /// Letters for classes of keyspace events.
    Events,
    /// Three numbers from -2000 to 2000.
    OomScores,
    /// `text`, `logfmt` or `json`; Valkey's word `legacy` means `text`.
    LogFormat,
    /// The name of a file inside a directory that another setting names, with what is said of a
    /// path.
    FileName(&'static str),
    /// Letters, digits, hyphens and dots.
    Hostname,
    /// Whole lines, kept one below the other in the syntax of the file; more lines add to them.
    Lines {
        /// The fewest words that a line has.
        min: usize,
        /// The most words that a line has.
        max: usize,
    },
    /// Lines of users, of which there is one.
    Users,
    /// A host and a port; `no one`, or nothing, stands for none.
    Primary,
}

/// The classes of clients with an output limit, in the order in which CONFIG GET prints them.
pub(super) const BUFFER_CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

const EVENTS_OF_A: &str = "g$lshzxetd";
const EVENTS_BESIDE_A: &str = "nocKEmSTIV";

/// Whether lines of the setting add up in a file. (Only specials do.)
pub(super) fn adds_up(name: &str) -> bool {
    matches!(name, "save" | "client-output-buffer-limit" | "user" | "rename-command" | "loadmodule")
}

impl Special {
    pub(super) fn takes_words(self) -> bool {
        matches!(
            self,
            Special::Save
                | Special::BufferLimits
                | Special::Percentiles
                | Special::OomScores
                | Special::Primary
        )
    }

    /// Whether the name alone is a line, and stands for no words.
    pub(super) fn may_be_bare(self) -> bool {
        matches!(self, Special::Save | Special::Percentiles | Special::Primary)
    }

    pub(super) fn check(self, words: &[&str], old: &str) -> Result<String, SettingError> {
        match (self, words) {
            (Special::Save, words) => check_save(words),
            (Special::BufferLimits, words) => check_buffer_limits(words, old),
            (Special::Percentiles, words) => check_percentiles(words),
            (Special::OomScores, words) => check_oom_scores(words),
            (Special::Primary, words) => check_primary(words),
            (Special::Events, [word]) => check_events(word),
            (Special::LogFormat, [word]) => check_log_format(word),
            (Special::FileName(wrong), [word]) => check_file_name(word, wrong),
            (Special::Hostname, [word]) => check_hostname(word),
            _ => Err(SettingError::WordCount),
        }
    }
}

/// Whole lines of any bytes: a line that is added stands below those of `old`.
pub(super) fn check_lines(
    count: RangeInclusive<usize>,
    words: &[&[u8]],
    old: &[u8],
) -> Result<Vec<u8>, SettingError> {
    if !count.contains(&words.len()) {
        return Err(SettingError::WordCount);
    }
    let line: Vec<String> = words.iter().map(|word| conf::quoted(word)).collect();
    let mut lines = old.to_vec();
    if !lines.is_empty() {
        lines.push(b'\n');
    }
    lines.extend_from_slice(line.join(" ").as_bytes());
    Ok(lines)
}

fn check_primary(words: &[&str]) -> Result<String, SettingError> {
    const INVALID: SettingError = SettingError::Special("Invalid primary port");
    match words {
        [] => Ok(String::new()),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => {
            Ok(String::new())
        }
        [host, port] => {
            let port = port.parse::<u16>().map_err(|_| INVALID)?;
            Ok(format!("{host} {port}"))
        }
        _ => Err(SettingError::WordCount),
    }
}

/// The host and the port of a primary, where there is one.
pub(super) fn primary(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.split_once(' ')?;
    Some((host.to_owned(), port.parse().ok()?))
}

fn check_save(words: &[&str]) -> Result<String, SettingError> {
    const INVALID: SettingError = SettingError::Special("Invalid save parameters");
    if !words.len().is_multiple_of(2) {
        return Err(INVALID);
    }
    let mut points = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let least = if index % 2 == 0 { 1 } else { 0 };
        let number: i32 = word.parse().map_err(|_| INVALID)?;
        if number < least {
            return Err(INVALID);
        }
        points.push(number.to_string());
    }
    Ok(points.join(" "))
}

fn check_buffer_limits(words: &[&str], old: &str) -> Result<String, SettingError> {
    if words.is_empty() || !words.len().is_multiple_of(4) {
        let text = "Wrong number of arguments in buffer limit configuration.";
        return Err(SettingError::Special(text));
    }
    let mut limits = buffer_limits(old);
    for group in words.chunks_exact(4) {
        let class = if group[0].eq_ignore_ascii_case("replica") { "slave" } else { group[0] };
        let class = BUFFER_CLASSES.iter().position(|known| known.eq_ignore_ascii_case(class));
        let class = class.ok_or(SettingError::Special(
            "Invalid client class specified in buffer limit configuration.",
        ))?;
        let seconds = group[3].parse::<u32>().ok().filter(|&seconds| seconds <= i32::MAX as u32);
        let (Some(hard), Some(soft), Some(seconds)) =
            (memory_bytes(group[1]), memory_bytes(group[2]), seconds)
        else {
            return Err(SettingError::Special(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ));
        };
        limits[class] = (hard, soft, seconds);
    }
    let group = |(class, (hard, soft, seconds))| format!("{class} {hard} {soft} {seconds}");
    Ok(BUFFER_CLASSES.iter().zip(limits).map(group).collect::<Vec<_>>().join(" "))
}

/// Hard limit, soft limit and soft seconds of each class, from the canonical text. A class that the
/// text does not have is unlimited.
pub(super) fn buffer_limits(text: &str) -> [(u64, u64, u32); 3] {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let mut limits = [(0, 0, 0); 3];
    for group in words.chunks_exact(4) {
        if let Some(class) = BUFFER_CLASSES.iter().position(|known| *known == group[0]) {
            let number = |text: &str| text.parse().unwrap_or(0);
            limits[class] = (number(group[1]), number(group[2]), number(group[3]) as u32);
        }
    }
    limits
}

fn check_percentiles(words: &[&str]) -> Result<String, SettingError> {
    let mut canonical = Vec::with_capacity(words.len());
    for word in words {
        let percentile = word.parse::<f64>().ok().filter(|number| number.is_finite());
        let percentile = percentile
            .ok_or(SettingError::Special("Invalid latency-tracking-info-percentiles parameters"))?;
        if !(0.0..=100.0).contains(&percentile) {
            return Err(SettingError::Special(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ));
        }
        canonical.push(percentile.to_string());
    }
    Ok(canonical.join(" "))
}

fn check_events(word: &str) -> Result<String, SettingError> {
    let known = |class: char| {
        class == 'A' || EVENTS_OF_A.contains(class) || EVENTS_BESIDE_A.contains(class)
    };
    if !word.chars().all(known) {
        return Err(SettingError::Special(
            "Invalid event class character. Use 'Ag$lshzxeKEtmdnocSTIV'.",
        ));
    }
    let all = word.contains('A') || EVENTS_OF_A.chars().all(|class| word.contains(class));
    let mut canonical = String::new();
    if all {
        canonical.push('A');
    } else {
        canonical.extend(EVENTS_OF_A.chars().filter(|&class| word.contains(class)));
    }
    canonical.extend(EVENTS_BESIDE_A.chars().filter(|&class| word.contains(class)));
    Ok(canonical)
}

fn check_oom_scores(words: &[&str]) -> Result<String, SettingError> {
    if words.len() != 3 {
        return Err(SettingError::WordCount);
    }
    let in_range = |word: &&str| word.parse().is_ok_and(|score: i32| score.abs() <= 2000);
    if !words.iter().all(in_range) {
        return Err(SettingError::Special(
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        ));
    }
    Ok(words.join(" "))
}

fn check_log_format(word: &str) -> Result<String, SettingError> {
    const FORMATS: &[&str] = &["text", "logfmt", "json"];
    let word = if word.eq_ignore_ascii_case("legacy") { "text" } else { word };
    let known = FORMATS.iter().find(|known| known.eq_ignore_ascii_case(word));
    known.map(|known| (*known).to_owned()).ok_or(SettingError::NotChoice(FORMATS))
}

fn check_file_name(word: &str, wrong: &'static str) -> Result<String, SettingError> {
    if word.is_empty() || word.contains(['/', '\\']) || word == "." || word == ".." {
        return Err(SettingError::Special(wrong));
    }
    Ok(word.to_owned())
}

fn check_hostname(word: &str) -> Result<String, SettingError> {
    let right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if word.len() > 255 {
        return Err(SettingError::Special("Hostnames must be less than 256 characters"));
    }
    if !word.bytes().all(right) {
        return Err(SettingError::Special(
            "Hostnames may only contain alphanumeric characters, hyphens or dots",
        ));
    }
    Ok(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";

    fn said(special: Special, line: &str, old: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        special.check(&words, old).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn save_points_are_pairs() {
        assert_eq!(said(Special::Save, "3600 1 300 100", ""), "3600 1 300 100");
        for line in ["foo", "3600 1 3", "3600 -1", "0 1"] {
            assert_eq!(said(Special::Save, line, ""), "Invalid save parameters", "{line}");
        }
        assert_eq!(Special::Save.check(&[], "3600 1"), Ok(String::new()));
    }

    #[test]
    fn output_limits_change_by_class() {
        assert_eq!(
            said(Special::BufferLimits, "normal 1mb 2 3 replica 5 6 7", LIMITS),
            "normal 1048576 2 3 slave 5 6 7 pubsub 33554432 8388608 60"
        );
        for (line, error) in [
            ("normal 1 2", "Wrong number of arguments in buffer limit configuration."),
            ("foo 1 2 3", "Invalid client class specified in buffer limit configuration."),
            (
                "normal x 2 3",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ] {
            assert_eq!(said(Special::BufferLimits, line, LIMITS), error);
        }
    }

    #[test]
    fn percentiles_lie_between_0_and_100() {
        assert_eq!(said(Special::Percentiles, "1.50 99.999 2", ""), "1.5 99.999 2");
        assert!(said(Special::Percentiles, "101", "").ends_with("between [0.0,100.0]"));
        assert!(said(Special::Percentiles, "a", "").starts_with("Invalid"));
        assert!(said(Special::Percentiles, "nan", "").starts_with("Invalid"));
    }

    #[test]
    fn event_classes_are_put_in_order() {
        assert_eq!(said(Special::Events, "KEA", ""), "AKE");
        assert_eq!(said(Special::Events, "Kg$lshzxetdmn", ""), "AnKm");
        assert_eq!(said(Special::Events, "Ex", ""), "xE");
        assert_eq!(
            said(Special::Events, "q", ""),
            "Invalid event class character. Use 'Ag$lshzxeKEtmdnocSTIV'."
        );
    }

    #[test]
    fn lines_stand_below_each_other() {
        let first = check_lines(2..=2, &[b"FLUSHALL", b""], b"").expect("two words");
        let both = check_lines(2..=2, &[b"A", b"b c\xff"], &first).expect("two words");
        assert_eq!(both, b"FLUSHALL \"\"\nA \"b c\\xff\"");
        assert_eq!(check_lines(2..=2, &[b"A"], b""), Err(SettingError::WordCount));
    }

    #[test]
    fn names_of_files_are_no_paths() {
        let name = Special::FileName("a path");
        assert_eq!(said(name, "appendonly.aof", ""), "appendonly.aof");
        for word in ["a/b", "..", ""] {
            assert_eq!(said(name, word, ""), "a path");
        }
    }
}
