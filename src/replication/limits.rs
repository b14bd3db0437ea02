//! What replicas may cost, and what that means for writes.

use crate::settings::{BufferLimit, Settings};

/// What a replica may cost, by the settings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that are kept for replicas that come back.
    pub backlog_bytes: u64,
    /// For how long after the last replica has gone, in milliseconds; none for ever.
    pub backlog_ms: Option<u64>,
    /// Bytes that a replica may lag.
    pub output: BufferLimit,
    /// Bytes that a replica lags from which on writes wait for it, where they do.
    pub slow_bytes: Option<u64>,
    /// How long a replica may be silent, in milliseconds.
    pub silence_ms: u64,
    /// Time between two signs of life to replicas, in milliseconds.
    pub ping_ms: u64,
    /// How long a replica may be silent that counts as one that keeps up, in milliseconds.
    pub lag_ms: u64,
}

impl Limits {
    /// Those of a server with these settings.
    pub fn of(settings: &Settings) -> Limits {
        let ms = |seconds: u64| seconds.saturating_mul(1_000);
        let kept = u64::try_from(settings.replication.repl_backlog_ttl).unwrap_or(0);
        // A limit below the backlog's would cut off who has just come back.
        let mut output = settings.client_output_buffer_limit.replica;
        for bytes in [&mut output.hard_bytes, &mut output.soft_bytes] {
            *bytes =
                if *bytes > 0 { (*bytes).max(settings.replication.repl_backlog_size) } else { 0 };
        }
        let limits = [output.hard_bytes, output.soft_bytes];
        let least = limits.into_iter().filter(|bytes| *bytes > 0).min();
        Limits {
            slow_bytes: least.filter(|_| settings.replication.repl_slow_writers).map(|it| it / 2),
            backlog_bytes: settings.replication.repl_backlog_size,
            backlog_ms: (kept > 0).then(|| ms(kept)),
            output,
            silence_ms: ms(settings.replication.repl_timeout.into()),
            ping_ms: ms(settings.replication.repl_ping_replica_period.into()),
            lag_ms: ms(settings.replication.min_replicas_max_lag.into()),
        }
    }
}
