//! Remarkable commands: what one entry of a log is, and how the logs of all shards become one.
//!
//! Arguments are trimmed as Redis does, so that an entry is small whatever the command was.

use crate::commands::call::Call;

/// Arguments that an entry keeps.
const ARGS_MAX: usize = 32;

/// Bytes of an argument that an entry keeps.
const ARG_BYTES_MAX: usize = 128;

/// What stands for a password.
pub const REDACTED: &[u8] = b"(redacted)";

/// One remarkable command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Unique and ascending in its log.
    pub id: u64,
    /// Unix time in seconds.
    pub at: i64,
    /// Microseconds or bytes, whatever made it remarkable.
    pub amount: u64,
    /// Its arguments, trimmed.
    pub args: Vec<Vec<u8>>,
    /// Address of the client.
    pub client: String,
    /// Name of the client.
    pub name: Vec<u8>,
}

/// The arguments of a call as a log keeps them: few, short, without passwords.
pub fn trimmed(call: &Call<'_>) -> Vec<Vec<u8>> {
    let count = call.len();
    let kept = if count > ARGS_MAX { ARGS_MAX - 1 } else { count };
    let mut args: Vec<Vec<u8>> = (0..kept).map(|index| trim(shown(call, index))).collect();
    if kept < count {
        args.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    args
}

/// An argument as a log may show it.
pub fn shown<'a>(call: &Call<'a>, index: usize) -> &'a [u8] {
    if call.command.hides(call, index) { REDACTED } else { call.arg(index) }
}

fn trim(arg: &[u8]) -> Vec<u8> {
    let Some(more) = arg.len().checked_sub(ARG_BYTES_MAX).filter(|more| *more > 0) else {
        return arg.to_vec();
    };
    let mut kept = arg[..ARG_BYTES_MAX].to_vec();
    kept.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
    kept
}

/// The newest `most` entries of all shards, newest first.
pub fn merged<'a>(logs: impl Iterator<Item = &'a [LogEntry]>, most: usize) -> Vec<&'a LogEntry> {
    let mut entries: Vec<&LogEntry> = logs.flatten().collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
    entries.truncate(most);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::sample;

    #[test]
    fn arguments_are_few_and_short() {
        let mut words = vec!["config".to_owned(), "get".to_owned()];
        words.extend((0..98).map(|number| "x".repeat(number + 100)));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = trimmed(&sample::words(&words));
        assert_eq!(args.len(), 32);
        assert_eq!(args[31], b"... (69 more arguments)");
        assert_eq!(args[2].len(), 100);
    }

    #[test]
    fn a_long_argument_says_what_is_missing() {
        assert_eq!(trim(&[b'x'; 128]).len(), 128);
        assert!(trim(&[b'x'; 200]).ends_with(b"x... (72 more bytes)"));
    }
}
