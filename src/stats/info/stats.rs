//! INFO stats: what went in and out since the start, or since CONFIG RESETSTAT.

use super::{Lines, Source};

/// What is subscribed to, by kind.
const SUBSCRIBED: [&str; 3] = ["pubsub_channels", "pubsub_patterns", "pubsubshard_channels"];

/// Bytes in the kilobyte of a rate.
const KILO: f64 = 1_024.0;

pub(super) fn stats(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (network, totals) = (&source.facts.network, source.totals);
    lines.field("total_connections_received", network.accepted);
    lines.field("total_commands_processed", totals.statistics.calls);
    lines.field("instantaneous_ops_per_sec", network.per_second.commands);
    lines.field("total_net_input_bytes", network.input_bytes);
    lines.field("total_net_output_bytes", network.output_bytes);
    lines.zeros(&[
        "total_net_repl_input_bytes",
        "total_net_repl_output_bytes",
        "total_net_cluster_slot_import_bytes",
        "total_net_cluster_slot_export_bytes",
    ]);
    let kilobytes = |bytes: f64| format!("{:.2}", bytes / KILO);
    lines.field("instantaneous_input_kbps", kilobytes(network.per_second.input_bytes));
    lines.field("instantaneous_output_kbps", kilobytes(network.per_second.output_bytes));
    lines.field("instantaneous_input_repl_kbps", "0.00");
    lines.field("instantaneous_output_repl_kbps", "0.00");
    lines.field("rejected_connections", network.rejected);
    let replication = &source.facts.replication;
    lines.field("sync_full", replication.full_syncs);
    lines.field("sync_partial_ok", replication.partial_syncs);
    lines.field("sync_partial_err", replication.refused_syncs);
    lines.field("expired_keys", totals.figures.expired);
    lines.field("expired_fields", totals.figures.expired_elements);
    lines.field("expired_stale_perc", "0.00");
    lines.field("expired_keys_with_volatile_items_stale_perc", "0.00");
    lines.zeros(&["expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds"]);
    lines.field("evicted_keys", totals.figures.evicted);
    lines.field("evicted_clients", source.facts.clients.evicted);
    lines.field("evicted_scripts", totals.scripts.evicted);
    let (since, total_ms) = totals.exceeded;
    let now_ms = since.map_or(0, |since| source.facts.now.since(since).max(0) as u64);
    lines.field("total_eviction_exceeded_time", total_ms + now_ms);
    lines.field("current_eviction_exceeded_time", now_ms);
    lines.field("blessed_keys", totals.blessed());
    lines.field("keyspace_hits", totals.figures.hits);
    lines.field("keyspace_misses", totals.figures.misses);
    let [channels, patterns, of_shards, prefixes] = totals.subscribed;
    for (name, count) in SUBSCRIBED.into_iter().zip([channels, patterns, of_shards]) {
        lines.field(name, count);
    }
    lines.zeros(&[
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ]);
    lines.field("tracking_total_keys", totals.cares.tracked);
    lines.field("tracking_total_items", totals.cares.trackers);
    lines.field("tracking_total_prefixes", prefixes);
    lines.field("unexpected_error_replies", 0);
    lines.field("total_error_replies", totals.statistics.errors.total());
    lines.field("dump_payload_sanitizations", 0);
    lines.field("total_reads_processed", network.reads);
    lines.field("total_writes_processed", network.writes);
    lines.zeros(&[
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
        "io_threaded_freed_objects",
        "io_threaded_accept_processed",
        "io_threaded_poll_processed",
        "io_threaded_total_prefetch_batches",
        "io_threaded_total_prefetch_entries",
    ]);
    lines.field("client_query_buffer_limit_disconnections", network.query_limit_disconnections);
    lines.field("client_output_buffer_limit_disconnections", network.output_limit_disconnections);
    lines.zeros(&[
        "reply_buffer_shrinks",
        "reply_buffer_expands",
        "eventloop_cycles",
        "eventloop_duration_sum",
        "eventloop_duration_cmd_sum",
        "instantaneous_eventloop_cycles_per_sec",
        "instantaneous_eventloop_duration_usec",
    ]);
    lines.field("acl_access_denied_auth", totals.statistics.logins_refused);
    lines.zeros(&[
        "acl_access_denied_cmd",
        "acl_access_denied_key",
        "acl_access_denied_channel",
        "acl_access_denied_tls_cert",
        "acl_access_denied_db",
    ]);
}
