//! INFO persistence: the journal, and snapshots.

use super::{Lines, Source};
use crate::stats::facts::LinkState;

pub(super) fn persistence(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (facts, journal) = (source.facts, &source.facts.journal);
    lines.flag("loading", journal.loading.is_some());
    // What a primary sends is loaded beside the data that is served.
    let syncs = facts.link.as_ref().is_some_and(|link| link.state == LinkState::Sync);
    lines.flag("async_loading", syncs);
    lines.zeros(&["current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    lines.field("current_fork_perc", "0.00");
    lines.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    let snapshots = &facts.snapshots;
    let changes = source.totals.figures.changes.saturating_sub(snapshots.changes_at_last_save);
    lines.field("rdb_changes_since_last_save", changes);
    lines.flag("rdb_bgsave_in_progress", snapshots.current_seconds.is_some());
    lines.field("rdb_last_save_time", snapshots.last_save.as_secs());
    let seconds = |seconds: Option<u64>| {
        seconds.map_or(-1, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX))
    };
    let status = |failed: bool| if failed { "err" } else { "ok" };
    lines.field("rdb_last_bgsave_status", status(snapshots.has_failed));
    lines.field("rdb_last_bgsave_time_sec", seconds(snapshots.last_seconds));
    lines.field("rdb_current_bgsave_time_sec", seconds(snapshots.current_seconds));
    lines.field("rdb_saves", snapshots.count);
    lines.zeros(&["rdb_last_cow_size"]);
    lines.field("rdb_last_load_keys_expired", journal.loaded_expired);
    lines.field("rdb_last_load_keys_loaded", journal.loaded_keys);
    lines.flag("aof_enabled", journal.enabled);
    lines.flag("aof_rewrite_in_progress", journal.rewriting);
    lines.flag("aof_rewrite_scheduled", journal.rewrite_scheduled);
    lines.field("aof_last_rewrite_time_sec", seconds(journal.last_rewrite_seconds));
    lines.field("aof_current_rewrite_time_sec", seconds(journal.current_rewrite_seconds));
    lines.field("aof_last_bgrewrite_status", status(journal.rewrite_failed));
    lines.field("aof_rewrites", journal.rewrites);
    lines.field("aof_rewrites_consecutive_failures", journal.rewrite_failures);
    lines.field("aof_last_write_status", status(journal.failed.is_some()));
    lines.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
        "slot_migration_fork_in_progress",
    ]);
    if journal.enabled {
        lines.field("aof_current_size", journal.size_bytes);
        lines.field("aof_base_size", journal.base_bytes);
        lines.field("aof_pending_rewrite", 0);
        lines.field("aof_buffer_length", journal.buffer_bytes);
        lines.flag("aof_pending_bio_fsync", journal.syncing);
        lines.field("aof_delayed_fsync", journal.delayed_syncs);
    }
    if let Some(loading) = journal.loading {
        let elapsed = facts.now.since(loading.since).max(0) / 1_000;
        let left = loading.total_bytes.saturating_sub(loading.loaded_bytes);
        let rate = loading.loaded_bytes / (elapsed.unsigned_abs() + 1);
        lines.field("loading_start_time", loading.since.as_secs());
        lines.field("loading_total_bytes", loading.total_bytes);
        lines.field("loading_rdb_used_mem", 0);
        lines.field("loading_loaded_bytes", loading.loaded_bytes);
        let percent = super::ratio(loading.loaded_bytes, loading.total_bytes) * 100.0;
        lines.field("loading_loaded_perc", format_args!("{percent:.2}"));
        lines.field("loading_eta_seconds", left.checked_div(rate).unwrap_or(1));
    }
}
