//! The error of one command: one line to one client, and the only home of Redis's error texts.
//!
//! The texts are the contract with clients, byte for byte. A broken invariant is not one of these:
//! it is a panic, caught at the shard's edge.

use thiserror::Error;

use crate::keyspace::error::KeyError;
use crate::rdb::RdbError;
use crate::resp::Reply;
use crate::settings::ConfigSetError;

/// How much of a word an error about a name of a command quotes, in bytes.
const QUOTED_MAX: usize = 128;

/// Why a command was refused. `Display` gives the line without the leading `-`, for those who read
/// text; a client gets what it sent byte for byte ([`CommandError::reply`]).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum CommandError {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR value is out of range")]
    OutOfRange,
    #[error("ERR value is not a valid float")]
    NotAFloat,
    #[error("ERR increment or decrement would overflow")]
    IncrementOverflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR increment would produce NaN or Infinity")]
    IncrementNotFinite,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    #[error("ERR invalid numkeys value or out of range")]
    InvalidNumkeys,
    /// A client is not told what of it: that goes to the log.
    #[error("ERR Bad data format")]
    BadPayload(Box<RdbError>),
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error("ERR DB index is out of range")]
    DbIndexOutOfRange,
    #[error("ERR invalid DB index")]
    InvalidDbIndex,
    #[error("ERR invalid first DB index")]
    InvalidFirstDbIndex,
    #[error("ERR invalid second DB index")]
    InvalidSecondDbIndex,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpireTime(&'static str),
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(&'static str),
    #[error("{}", String::from_utf8_lossy(.text))]
    UnknownCommand { name: String, text: Vec<u8> },
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    #[error("NOPERM {0}")]
    NoPerm(String),
    /// EXEC is refused, for this reason.
    #[error("EXECABORT Transaction discarded because of: {0}")]
    Aborted(String),
    #[error("LOADING Troupe is loading the dataset in memory")]
    Loading,
    #[error("BUSY Troupe is busy running a script. You can only call {0} KILL or SHUTDOWN NOSAVE.")]
    Busy(&'static str),
    #[error("MISCONF Errors writing to the AOF file: {0}")]
    JournalFailed(String),
    #[error(
        "MISCONF Troupe is configured to save RDB snapshots, but it's currently unable to persist \
         to disk. Commands that may modify the data set are disabled, because this instance is \
         configured to report errors during writes if RDB snapshotting fails \
         (stop-writes-on-bgsave-error option). Please check the Troupe logs for details about the \
         RDB error."
    )]
    SnapshotFailed,
    #[error("NOREPLICAS Not enough good replicas to write.")]
    TooFewReplicas,
    /// A replica has lost its primary, and does not serve old data.
    #[error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")]
    NoLink,
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// What a script ends with. It may be the error of a command that it has called, which is
    /// counted already.
    #[error("{}", String::from_utf8_lossy(.text))]
    Script { text: Vec<u8>, is_counted: bool },
    #[error("ERR internal error: the command failed and its shard is being rebuilt")]
    Internal,
    /// A text that only one command uses, whole with its prefix.
    #[error("{0}")]
    Text(&'static str),
    /// A text that names what is known to be text, whole with its prefix.
    #[error("{0}")]
    Quoted(String),
    /// A text that quotes what a client sent, whole with its prefix.
    #[error("{}", String::from_utf8_lossy(.0))]
    QuotedBytes(Vec<u8>),
}

impl From<KeyError> for CommandError {
    fn from(error: KeyError) -> CommandError {
        match error {
            KeyError::WrongType => CommandError::WrongType,
            KeyError::NotAnInteger => CommandError::NotAnInteger,
            KeyError::Overflow => CommandError::IncrementOverflow,
        }
    }
}

impl From<ConfigSetError> for CommandError {
    fn from(error: ConfigSetError) -> CommandError {
        match error {
            ConfigSetError::Unknown(text) => CommandError::QuotedBytes(text),
            other => CommandError::Quoted(other.to_string()),
        }
    }
}

impl CommandError {
    /// Answers with the line.
    pub fn reply(&self, reply: &mut Reply<'_>) {
        match self {
            CommandError::UnknownCommand { text, .. }
            | CommandError::QuotedBytes(text)
            | CommandError::Script { text, .. } => reply.error_bytes(text),
            other => reply.error(other),
        }
    }

    /// The first word: what INFO errorstats counts by.
    pub fn prefix(&self) -> String {
        let text = self.to_string();
        text.split(' ').next().unwrap_or("ERR").to_owned()
    }

    /// True when the rest of its batch has to be refused with it, so that no later command of a
    /// pipeline takes effect without an earlier one.
    pub fn refuses_the_rest(&self) -> bool {
        matches!(
            self,
            CommandError::Loading
                | CommandError::Busy(_)
                | CommandError::JournalFailed(_)
                | CommandError::SnapshotFailed
                | CommandError::Internal
        )
    }

    /// What the rest of its batch is refused with.
    pub fn of_the_rest(&self) -> CommandError {
        match self {
            CommandError::Internal => CommandError::Loading,
            error => error.clone(),
        }
    }
}

/// The error for an event that has no samples.
pub fn no_samples(event: &[u8]) -> CommandError {
    quoting("ERR No samples available for event '{}'", &[event])
}

/// The error for a request whose first word, `name`, is no command.
pub(crate) fn unknown_command<'a>(
    name: &[u8],
    args: impl Iterator<Item = &'a [u8]>,
) -> CommandError {
    let mut shown = Vec::new();
    for arg in args {
        if shown.len() >= QUOTED_MAX {
            break;
        }
        let arg = cut(arg, QUOTED_MAX - shown.len());
        shown.extend_from_slice(&[b"'", arg, b"' "].concat());
    }
    let name = cut(name, QUOTED_MAX);
    let template = "ERR unknown command '{}', with args beginning with: {}";
    let text = quoted(template, &[name, &shown]);
    CommandError::UnknownCommand { name: String::from_utf8_lossy(name).into_owned(), text }
}

/// The error for a subcommand that its container does not have.
pub(crate) fn unknown_subcommand(container: &[u8], sub: &[u8]) -> CommandError {
    let template = "ERR unknown subcommand '{}'. Try {} HELP.";
    quoting(template, &[cut(sub, QUOTED_MAX), &container.to_ascii_uppercase()])
}

/// As [`unknown_subcommand`], where it may also be that the words are too few or too many.
pub(crate) fn unknown_subcommand_or_arity(container: &[u8], sub: &[u8]) -> CommandError {
    let template = "ERR unknown subcommand or wrong number of arguments for '{}'. Try {} HELP.";
    quoting(template, &[cut(sub, QUOTED_MAX), &container.to_ascii_uppercase()])
}

/// An error with the words of a client in the places of `{}`, byte for byte.
pub(crate) fn quoting(template: &str, words: &[&[u8]]) -> CommandError {
    CommandError::QuotedBytes(quoted(template, words))
}

/// The template with the words in it. A word counts up to its first zero byte, where a text of C
/// ends, and no text ends in a line break, as Redis prints them.
fn quoted(template: &str, words: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut words = words.iter();
    for piece in template.split_inclusive("{}") {
        match piece.strip_suffix("{}") {
            Some(piece) => {
                text.extend_from_slice(piece.as_bytes());
                text.extend_from_slice(words.next().map_or(&[], |word| cut(word, word.len())));
            }
            None => text.extend_from_slice(piece.as_bytes()),
        }
    }
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    text.truncate(end);
    text
}

/// The word up to its first zero byte, and up to `most` bytes.
fn cut(word: &[u8], most: usize) -> &[u8] {
    let end = word.iter().take(most).position(|byte| *byte == 0);
    &word[..end.unwrap_or(word.len().min(most))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(error: &CommandError) -> Vec<u8> {
        let mut out = Vec::new();
        error.reply(&mut Reply::new(&mut out, false));
        out
    }

    /// Each was answered by Valkey 9.1.2 in the same way.
    #[test]
    fn what_a_client_sent_is_quoted_byte_for_byte() {
        let quoting = |word| line(&quoting("ERR no {} here", &[word]));
        assert_eq!(quoting(b"\xff\x01"), b"-ERR no \xff\x01 here\r\n");
        assert_eq!(quoting(b"a\r\nb\n"), b"-ERR no a  b  here\r\n");
        assert_eq!(quoting(b"a\0b"), b"-ERR no a here\r\n");
        let at_the_end = super::quoting("ERR no {}", &[b"a\nb\r\n"]);
        assert_eq!(line(&at_the_end), b"-ERR no a b\r\n");
        assert_eq!(at_the_end.to_string(), "ERR no a\nb");
        let long = [&[b'x'; 127][..], b"\xe2\x82\xac"].concat();
        let shown = [&b"-ERR unknown subcommand '"[..], &long[..128], b"'. Try GET HELP.\r\n"];
        assert_eq!(line(&unknown_subcommand(b"get", &long)), shown.concat());
    }

    #[test]
    fn an_unknown_command_is_shown_with_its_first_arguments() {
        let shown = |args: &[&[u8]]| {
            let text = line(&unknown_command(b"no\xff", args.iter().copied()));
            let head = b"-ERR unknown command 'no\xff', with args beginning with: ";
            text.strip_prefix(head).expect("the name").to_vec()
        };
        assert_eq!(shown(&[]), b"\r\n");
        assert_eq!(shown(&[b"\xfe", b"a\0b", b""]), b"'\xfe' 'a' '' \r\n");
        let long = [b'y'; 200];
        assert_eq!(shown(&[b"a", &long, b"b"]), [b"'a' '", &long[..124], b"' \r\n"].concat());
    }
}
