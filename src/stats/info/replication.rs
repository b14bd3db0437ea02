//! INFO replication, and ROLE.

use crate::resp::Reply;
use crate::stats::facts::{Facts, LinkFacts, LinkState};
use crate::stats::info::{Lines, Source};

/// In the place of an id that there is not.
const NO_ID: &str = "0000000000000000000000000000000000000000";

pub(super) fn replication(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (facts, settings) = (&source.facts.replication, &source.facts.settings);
    match (&settings.replication.replicaof, &source.facts.link) {
        (Some((host, port)), Some(link)) => {
            lines.field("role", "slave");
            lines.field("master_host", host);
            lines.field("master_port", port);
            primary(source, link, lines);
        }
        _ => lines.field("role", "master"),
    }
    lines.field("connected_slaves", facts.replicas.len());
    if settings.replication.min_replicas_to_write > 0
        && settings.replication.min_replicas_max_lag > 0
    {
        lines.field("min_slaves_good_slaves", facts.good);
    }
    for (number, replica) in facts.replicas.iter().enumerate() {
        lines.field(
            &format!("slave{number}"),
            format_args!(
                "ip={},port={},state={},offset={},lag={},type=replica",
                replica.address, replica.port, replica.state, replica.offset, replica.lag_seconds
            ),
        );
    }
    lines.zeros(&["replicas_waiting_psync"]);
    lines.field("master_failover_state", "no-failover");
    lines.field("master_replid", &facts.id);
    let second = facts.second.as_ref();
    lines.field("master_replid2", second.map_or(NO_ID, |(id, _)| id));
    lines.field("master_repl_offset", facts.offset);
    match second {
        Some((_, first)) => lines.field("second_repl_offset", first),
        None => lines.field("second_repl_offset", -1),
    }
    lines.flag("repl_backlog_active", facts.is_on);
    lines.field("repl_backlog_size", settings.replication.repl_backlog_size);
    let first = if facts.is_on { facts.first + 1 } else { 0 };
    lines.field("repl_backlog_first_byte_offset", first);
    lines.field("repl_backlog_histlen", facts.length);
}

/// What a replica says of its primary.
fn primary(source: &Source<'_>, link: &LinkFacts, lines: &mut Lines<'_>) {
    let (facts, settings) = (&source.facts.replication, &source.facts.settings.replication);
    let is_up = link.state == LinkState::Linked;
    lines.field("master_link_status", if is_up { "up" } else { "down" });
    match link.silent_seconds.filter(|_| is_up) {
        Some(seconds) => lines.field("master_last_io_seconds_ago", seconds),
        None => lines.field("master_last_io_seconds_ago", -1),
    }
    lines.flag("master_sync_in_progress", link.state == LinkState::Sync);
    lines.field("slave_read_repl_offset", link.read.max(facts.offset));
    lines.field("slave_repl_offset", facts.offset);
    if link.state == LinkState::Sync {
        let (total, read, silent) = link.sync;
        let whole = total.unwrap_or(0);
        let percent = if whole > 0 { read as f64 * 100.0 / whole as f64 } else { 0.0 };
        match total {
            Some(total) => lines.field("master_sync_total_bytes", total),
            None => lines.field("master_sync_total_bytes", -1),
        }
        lines.field("master_sync_read_bytes", read);
        lines.field("master_sync_left_bytes", whole.cast_signed() - read.cast_signed());
        lines.field("master_sync_perc", format_args!("{percent:.2}"));
        lines.field("master_sync_last_io_seconds_ago", silent);
    }
    if !is_up {
        match link.down_seconds {
            Some(seconds) => lines.field("master_link_down_since_seconds", seconds),
            None => lines.field("master_link_down_since_seconds", -1),
        }
    }
    lines.field("slave_priority", settings.replica_priority);
    lines.flag("slave_read_only", settings.replica_read_only);
    lines.flag("replica_announced", settings.replica_announced);
}

/// Answers ROLE.
pub(crate) fn role(facts: &Facts, reply: &mut Reply<'_>) {
    let (primary, link) = (&facts.settings.replication.replicaof, &facts.link);
    let facts = &facts.replication;
    if let (Some((host, port)), Some(link)) = (primary, link) {
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(host.as_bytes());
        reply.int(i64::from(*port));
        reply.bulk(match link.state {
            LinkState::Unlinked => b"connect",
            LinkState::Handshake => b"handshake",
            LinkState::Sync => b"sync",
            LinkState::Linked => b"connected",
        });
        let offset = i64::try_from(facts.offset).unwrap_or(i64::MAX);
        return reply.int(if link.state == LinkState::Linked { offset } else { -1 });
    }
    reply.array(3);
    reply.bulk(b"master");
    reply.int(i64::try_from(facts.offset).unwrap_or(i64::MAX));
    let online = facts.replicas.iter().filter(|replica| replica.is_online);
    reply.array(online.clone().count());
    for replica in online {
        reply.array(3);
        reply.bulk(replica.address.as_bytes());
        reply.bulk(replica.port.to_string().as_bytes());
        reply.bulk(replica.offset.to_string().as_bytes());
    }
}
