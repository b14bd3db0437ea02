//! INFO replication, and ROLE.

use crate::resp::Reply;
use crate::stats::facts::ReplicationFacts;
use crate::stats::info::{Lines, Source};

/// In the place of an id that there is not.
const NO_ID: &str = "0000000000000000000000000000000000000000";

pub(super) fn replication(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (facts, settings) = (&source.facts.replication, &source.facts.settings);
    lines.field("role", "master");
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

/// Answers ROLE.
pub(crate) fn role(facts: &ReplicationFacts, reply: &mut Reply<'_>) {
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
