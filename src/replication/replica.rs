//! One replica of this server, from its PSYNC on.
//!
//! ```text
//!            PSYNC +CONTINUE ----------------------------------------.
//!                                                                     v
//!  Waits --snapshot--> Prepares --moment, bytes--> Receives --> Acks --> Online
//!                                                      '---- file ----->'
//! ```
//!
//! A snapshot that is made while it is sent ends in a mark that the replica has to find: so nothing
//! of the stream follows until the replica has said that it has. One of a known length is followed
//! at once.

use super::limits::Limits;
use crate::commands::action::SyncRequest;
use crate::rdb::Dialect;
use crate::session::Presented;

/// How long a replica may not get on for which writes wait: it says each second how far it is.
pub(super) const STUCK_MS: u64 = 2_000;

/// A replica comes.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The number of its client.
    pub client: u64,
    /// The address from which it comes, without port.
    pub address: String,
    /// What it has said of itself.
    pub presented: Presented,
    /// What it asks for.
    pub request: SyncRequest,
    /// A snapshot without keys, where it wants none.
    pub stub: Option<Vec<u8>>,
}

/// What a replica is about to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A snapshot that has not begun.
    Waits,
    /// A snapshot with this number, of which nothing is there yet.
    Prepares(u32),
    /// The rest of a snapshot with this number, of which it has taken so many bytes.
    Receives(u32, u64),
    /// The stream, when it has said that it has the snapshot.
    Acks,
    /// The stream.
    Online,
    /// Nothing: it wanted a snapshot alone, and has it.
    Done,
    /// Nothing: it is to be closed.
    Cut,
}

impl State {
    /// As INFO names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Waits | State::Prepares(_) => "wait_bgsave",
            State::Receives(..) => "send_bulk",
            State::Acks | State::Online | State::Done | State::Cut => "online",
        }
    }
}

/// A replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) client: u64,
    pub(super) address: String,
    pub(super) presented: Presented,
    pub(super) state: State,
    /// It came by SYNC: it says nothing of offsets, and is told none.
    pub(super) is_old: bool,
    /// A snapshot without keys, where it wants none.
    pub(super) stub: Option<Vec<u8>>,
    /// What it gets ahead of all else.
    pub(super) head: Vec<u8>,
    /// The offset of the next byte of the stream that it gets, once that is known.
    pub(super) position: Option<u64>,
    /// What it has, as it said last, and what of that is in its journal.
    pub(super) acked: u64,
    pub(super) journaled: u64,
    /// When it came, when it said that, when that was more than before, and when it last took
    /// something, in milliseconds of the steady clock.
    pub(super) came_ms: u64,
    pub(super) acked_ms: u64,
    pub(super) advanced_ms: u64,
    pub(super) took_ms: u64,
    /// Since when more is unsent than the soft limit allows.
    pub(super) over_since_ms: Option<u64>,
}

impl Replica {
    pub(super) fn new(arrival: Arrival, now_ms: u64) -> Replica {
        Replica {
            client: arrival.client,
            address: arrival.address,
            presented: arrival.presented,
            state: State::Waits,
            is_old: arrival.request == SyncRequest::All,
            stub: arrival.stub,
            head: Vec::new(),
            position: None,
            acked: 0,
            journaled: 0,
            came_ms: now_ms,
            acked_ms: now_ms,
            advanced_ms: now_ms,
            took_ms: now_ms,
            over_since_ms: None,
        }
    }

    /// The address that it wants to be known by, or that it comes from.
    pub(super) fn shown_address(&self) -> &str {
        match std::str::from_utf8(&self.presented.address) {
            Ok(address) if !address.is_empty() => address,
            _ => &self.address,
        }
    }

    /// The format in which it can load deadlines of fields; where it can load none, that of all
    /// else.
    pub(super) fn dialect(&self) -> Dialect {
        const VALKEY_9: u32 = 9 << 16;
        match &self.presented {
            Presented { version, .. } if *version >= VALKEY_9 => Dialect::TIMED,
            Presented { is_redis_8: true, .. } => Dialect::REDIS_TIMED,
            _ => Dialect::COMMON,
        }
    }

    /// It follows the stream, as far as anybody knows.
    pub(super) fn follows(&self) -> bool {
        matches!(self.state, State::Online | State::Acks)
    }

    /// Whether writes wait for it, where the stream ends at `end`: it gets on, and would be cut off
    /// if they did not wait.
    pub(super) fn holds_up_writes(&self, limits: &Limits, end: u64, now_ms: u64) -> bool {
        let Some(most) = limits.slow_bytes else { return false };
        let lags = self.position.is_some_and(|position| end - position > most);
        let gets_on = now_ms.saturating_sub(self.advanced_ms) <= STUCK_MS;
        self.state == State::Online && lags && gets_on
    }
}
