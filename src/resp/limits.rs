//! What a request may cost before it has been understood, and the refusals.
//!
//! Every number a client can send is compared with a bound here before anything is allocated for
//! it. The limit on the whole query buffer is kept here beside the others, but enforced by whoever
//! owns that buffer.

use thiserror::Error;

use super::Reply;

/// The longest inline request, and the longest line that holds a length, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The longest argument, whatever `proto-max-bulk-len` says: a field and its value, or a member and
/// its head, are kept behind one length of four bytes (`crate::data::blob`).
pub const BULK_BYTES_MAX: u64 = (1 << 31) - 64;
/// The largest number of arguments a request may announce (memory grows with arguments received,
/// not announced).
pub const ARGUMENTS_MAX: i64 = i32::MAX as i64;
/// The largest number of arguments before the client has logged in.
pub const ARGUMENTS_BEFORE_LOGIN: i64 = 10;
/// The longest argument before the client has logged in, in bytes.
pub const BULK_BEFORE_LOGIN: u64 = 16 * 1024;
/// All that a client may send before it logs in, in bytes.
pub const QUERY_BEFORE_LOGIN: usize = 1024 * 1024;
/// How far [`Decoder::wanted`](super::Decoder::wanted) trusts a client's word alone, in bytes.
pub const RESERVE_ON_TRUST: usize = 256 * 1024;

/// Bytes of the query buffer of a client, where the setting allows `most`.
#[inline]
pub fn query_bytes(most: usize, authenticated: bool) -> usize {
    if authenticated { most } else { most.min(QUERY_BEFORE_LOGIN) }
}

/// The bounds of one connection, from the settings and from whether it has logged in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`: the longest argument, in bytes.
    pub bulk_bytes: u64,
    /// The number of arguments a request may announce.
    pub arguments: i64,
    /// `client-query-buffer-limit`, in bytes; the owner of the buffer compares.
    pub query_bytes: usize,
    /// False while a password is required and has not been given.
    pub authenticated: bool,
    /// A batch ends when it holds this many requests.
    pub batch_commands: usize,
    /// A batch ends with the request that reaches this many bytes.
    pub batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bulk_bytes: 512 * 1024 * 1024,
            arguments: ARGUMENTS_MAX,
            query_bytes: 1024 * 1024 * 1024,
            authenticated: true,
            batch_commands: 1024,
            batch_bytes: 256 * 1024,
        }
    }
}

impl Limits {
    /// As they are, with an argument as long as `proto-max-bulk-len` allows.
    pub fn with_bulk_bytes(self, setting: u64) -> Limits {
        Limits { bulk_bytes: setting.min(BULK_BYTES_MAX), ..self }
    }

    /// The same settings for a client that still has to log in.
    ///
    /// Batches hold one request, because a pipeline may log in with its first request and be large
    /// in its second.
    pub fn before_login(&self) -> Limits {
        Limits {
            bulk_bytes: self.bulk_bytes.min(BULK_BEFORE_LOGIN),
            arguments: ARGUMENTS_BEFORE_LOGIN,
            query_bytes: query_bytes(self.query_bytes, false),
            authenticated: false,
            batch_commands: 1,
            batch_bytes: self.batch_bytes,
        }
    }

    /// Refuses a number of arguments over the bound, saying which bound it was.
    #[cold]
    pub(super) fn arguments_error(&self, asked: i64) -> ProtocolError {
        if self.authenticated || asked > ARGUMENTS_MAX {
            ProtocolError::InvalidMultibulkLength
        } else {
            ProtocolError::UnauthenticatedMultibulk
        }
    }

    /// Refuses a bulk length over the bound, saying which bound it was.
    #[cold]
    pub(super) fn bulk_error(&self, asked: u64) -> ProtocolError {
        let before_login = !self.authenticated && asked > BULK_BEFORE_LOGIN;
        if before_login {
            ProtocolError::UnauthenticatedBulk
        } else {
            ProtocolError::InvalidBulkLength
        }
    }
}

/// A request that cannot be understood: one error line, then the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// A line that should hold the number of arguments does not end.
    #[error("Protocol error: too big mbulk count string")]
    MultibulkLine,
    /// The number of arguments is no number or out of range.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// Too many arguments for a client that has not logged in.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulk,
    /// A line that should hold an argument's length does not end.
    #[error("Protocol error: too big bulk count string")]
    BulkLine,
    /// Something else where an argument's length should begin.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// An argument's length is no number or out of range.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// Too long an argument for a client that has not logged in.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulk,
    /// A line or an argument does not end in CR LF.
    #[error("Protocol error: invalid CRLF in request")]
    InvalidLineEnd,
    /// An inline request does not end.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// An inline request opens a quote and does not close it.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
}

impl ProtocolError {
    /// Answers with the error line; a byte that is quoted is quoted as it came.
    pub fn reply(self, reply: &mut Reply) {
        match self {
            ProtocolError::ExpectedBulk(byte) => {
                let mut line = b"ERR Protocol error: expected '$', got ''".to_vec();
                line.insert(line.len() - 1, byte);
                reply.error_bytes(&line);
            }
            other => reply.error(format_args!("ERR {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_answered_word_for_word() {
        let cases: &[(ProtocolError, &[u8])] = &[
            (
                ProtocolError::ExpectedBulk(0xff),
                b"-ERR Protocol error: expected '$', got '\xff'\r\n",
            ),
            (ProtocolError::ExpectedBulk(b'\r'), b"-ERR Protocol error: expected '$', got ' '\r\n"),
            (ProtocolError::InvalidLineEnd, b"-ERR Protocol error: invalid CRLF in request\r\n"),
        ];
        for (error, line) in cases {
            let mut out = Vec::new();
            error.reply(&mut Reply::new(&mut out, false));
            assert_eq!(out, *line);
        }
    }

    #[test]
    fn login_lifts_the_small_limits_and_never_raises_the_settings() {
        let settings = Limits { bulk_bytes: 100, query_bytes: 200, ..Limits::default() };
        let before = settings.before_login();
        assert_eq!((before.bulk_bytes, before.query_bytes), (100, 200));
        assert_eq!(before.bulk_error(101), ProtocolError::InvalidBulkLength);
    }
}
