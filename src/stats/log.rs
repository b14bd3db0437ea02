//! Logs of remarkable commands.

/// One remarkable command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {}
