//! The error of one command: one line to one client, and the only home of Redis's error texts.
//!
//! The texts are the contract with clients, byte for byte. A broken invariant is not one of these:
//! it is a panic, caught at the shard's edge.

use thiserror::Error;

use crate::keyspace::error::KeyError;

/// Why a command was refused. `Display` gives the line without the leading `-`.
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
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    UnknownCommand { name: String, args: String },
    #[error("ERR unknown subcommand '{sub}'. Try {container} HELP.")]
    UnknownSubcommand { container: String, sub: String },
    #[error(
        "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try {container} HELP."
    )]
    UnknownSubcommandOrArity { container: String, sub: String },
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    #[error("NOPERM {0}")]
    NoPerm(String),
    #[error("LOADING Troupe is loading the dataset in memory")]
    Loading,
    #[error("MISCONF Errors writing to the AOF file: {0}")]
    JournalFailed(String),
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    #[error("ERR internal error: the command failed and its shard is being rebuilt")]
    Internal,
    /// A text that only one command uses, whole with its prefix.
    #[error("{0}")]
    Text(&'static str),
    /// A text that quotes its input, whole with its prefix.
    #[error("{0}")]
    Quoted(String),
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

impl CommandError {
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
            CommandError::Loading | CommandError::JournalFailed(_) | CommandError::Internal
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

/// What the client sent, for an error that quotes it: up to its first zero byte, where a text of C
/// ends, as Redis prints it.
pub(crate) fn as_text(word: &[u8]) -> String {
    let end = word.iter().position(|byte| *byte == 0).unwrap_or(word.len());
    String::from_utf8_lossy(&word[..end]).into_owned()
}
