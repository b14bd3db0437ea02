//! What INFO says of the journal.

use crate::aof::storage::Fault;

/// Figures for INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFigures {
    /// `aof_current_size`: bytes in all files of the journal.
    pub current_size: u64,
    /// `aof_base_size`: bytes in all files at the start, or when the last base was listed.
    pub base_size: u64,
    /// `aof_buffer_length`: bytes that are not written.
    pub buffer_length: u64,
    /// `aof_pending_bio_fsync`
    pub pending_syncs: u64,
    /// `aof_delayed_fsync`
    pub delayed_syncs: u64,
    /// `aof_last_write_status`: ok or err.
    pub is_write_ok: bool,
    /// Why writes are refused, if they are.
    pub fault: Option<Fault>,
    /// Only a base heals that.
    pub needs_base: bool,
    /// Syncs that were done.
    pub syncs: u64,
    /// Batches that wait for a sync.
    pub waiting: u64,
}

impl Default for JournalFigures {
    /// Those of no journal.
    fn default() -> JournalFigures {
        JournalFigures {
            current_size: 0,
            base_size: 0,
            buffer_length: 0,
            pending_syncs: 0,
            delayed_syncs: 0,
            is_write_ok: true,
            fault: None,
            needs_base: false,
            syncs: 0,
            waiting: 0,
        }
    }
}
