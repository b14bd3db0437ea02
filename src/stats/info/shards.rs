//! INFO shards, our own: how the load is spread, and what has moved for that.

use super::{Lines, Source};

pub(super) fn shards(source: &Source<'_>, lines: &mut Lines<'_>) {
    let balance = &source.facts.balance;
    lines.field("rebalance", source.facts.settings.shown("rebalance"));
    lines.field("rebalance_clients", source.facts.settings.shown("rebalance-clients"));
    lines.field("rebalance_windows", balance.windows);
    lines.field("rebalance_moves", balance.moves);
    lines.field("rebalance_moved_slots", balance.slots);
    let clients = &source.facts.clients.threads;
    let moved: u64 = clients.iter().map(|thread| thread.moved_in).sum();
    lines.field("rebalance_moved_clients", moved);
    lines.field("rebalance_verdict", balance.last.word());
    lines.field("rebalance_reason", &balance.last);
    for (number, shard) in source.totals.shards.iter().enumerate() {
        let load = balance.shards.get(number).copied().unwrap_or_default();
        let clients = clients.get(number).copied().unwrap_or_default();
        let (slot, share) = match load.hottest {
            Some((slot, share)) => (slot.to_string(), share),
            None => ("none".to_owned(), 0.0),
        };
        lines.field(
            &format!("load{number}"),
            format_args!(
                "busy_percent={:.1},slots={},keys={},slots_in={},slots_out={},hottest_slot={slot},\
                 hottest_percent={:.1},clients={},clients_in={}",
                load.busy * 100.0,
                shard.slots,
                shard.keys,
                load.slots_in,
                load.slots_out,
                share * 100.0,
                clients.connected,
                clients.moved_in,
            ),
        );
    }
}
