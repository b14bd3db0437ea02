//! INFO server, tls, clients, cpu, cluster, scriptingengines, and our own: actors.

use super::{Lines, Source};
use crate::commands::connection::login::REDIS_VERSION;
use crate::hook::Phase;

pub(super) fn server(source: &Source<'_>, lines: &mut Lines<'_>) {
    let facts = source.facts;
    let process = &facts.process;
    let uptime = facts.now.since(process.started).max(0) / 1_000;
    lines.field("redis_version", REDIS_VERSION);
    lines.field("server_name", "troupe");
    lines.field("troupe_version", process.version);
    lines.field("redis_git_sha1", process.git_sha);
    lines.flag("redis_git_dirty", process.git_dirty);
    lines.field("redis_build_id", process.build_id);
    lines.field("redis_mode", "standalone");
    lines.field("server_mode", "standalone");
    lines.field("os", &process.os);
    lines.field("arch_bits", usize::BITS);
    lines.field("monotonic_clock", "POSIX clock_gettime");
    lines.field("multiplexing_api", process.multiplexing);
    lines.field("process_id", process.id);
    lines.field("process_supervised", process.supervised);
    lines.field("run_id", &process.run_id);
    lines.field("tcp_port", facts.settings.port);
    lines.field("server_time_usec", facts.now.0.saturating_mul(1_000));
    lines.field("uptime_in_seconds", uptime);
    lines.field("uptime_in_days", uptime / 86_400);
    let hz = facts.settings.shown("hz");
    lines.field("hz", &hz);
    lines.field("configured_hz", &hz);
    lines.field("clients_hz", hz);
    lines.field("lru_clock", facts.now.as_secs() & 0xff_ffff);
    lines.field("executable", &process.executable);
    lines.field("config_file", &process.config_file);
    lines.field("io_threads_active", u8::from(source.totals.shards.len() > 1));
    let zone = facts.settings.shown("availability-zone");
    lines.field("availability_zone", zone);
    lines.field("shards", source.totals.shards.len());
    for (number, (kind, binds, port)) in process.listeners.iter().enumerate() {
        let mut listener = format!("name={kind}");
        binds.iter().for_each(|bind| listener.push_str(&format!(",bind={bind}")));
        if *port != 0 {
            listener.push_str(&format!(",port={port}"));
        }
        lines.field(&format!("listener{number}"), listener);
    }
    if let Some(left_ms) = facts.ends_in_ms {
        lines.field("shutdown_in_milliseconds", left_ms);
    }
}

/// There is no TLS yet, and so no certificate.
pub(super) fn tls(_source: &Source<'_>, lines: &mut Lines<'_>) {
    for owner in ["server", "client", "ca"] {
        lines.field(&format!("tls_{owner}_cert_serial"), "none");
        lines.field(&format!("tls_{owner}_cert_expires_in_seconds"), 0);
    }
}

pub(super) fn clients(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (facts, clients) = (source.facts, &source.facts.clients);
    lines.field("connected_clients", clients.connected);
    lines.field("cluster_connections", 0);
    lines.field("maxclients", facts.settings.maxclients);
    lines.field("client_recent_max_input_buffer", clients.input_max_bytes);
    lines.field("client_recent_max_output_buffer", clients.output_max_bytes);
    let cares = source.totals.cares;
    lines.field("blocked_clients", clients.blocked + source.totals.held_back as u64);
    lines.field("tracking_clients", clients.tracking);
    lines.field("pubsub_clients", clients.subscribing);
    lines.field("watching_clients", clients.watching);
    lines.field("clients_in_timeout_table", clients.timed);
    lines.field("total_watched_keys", cares.watched);
    lines.field("total_blocking_keys", cares.awaited);
    lines.field("total_blocking_keys_on_nokey", cares.awaited_gone);
    let paused = clients.paused.filter(|(until, _)| *until > facts.now);
    let (reason, actions) = match paused {
        None => ("none", "none"),
        Some((_, true)) => ("client_pause", "all"),
        Some((_, false)) => ("client_pause", "write"),
    };
    lines.field("paused_reason", reason);
    lines.field("paused_actions", actions);
    let left = paused.map_or(0, |(until, _)| until.since(facts.now));
    lines.field("paused_timeout_milliseconds", left);
}

pub(super) fn cpu(source: &Source<'_>, lines: &mut Lines<'_>) {
    let cpu = &source.facts.cpu;
    for (name, seconds) in [
        ("used_cpu_sys", cpu.system),
        ("used_cpu_user", cpu.user),
        ("used_cpu_sys_children", cpu.system_children),
        ("used_cpu_user_children", cpu.user_children),
        ("used_cpu_sys_main_thread", cpu.system_main),
        ("used_cpu_user_main_thread", cpu.user_main),
        ("used_active_time_main_thread", cpu.active_main),
    ] {
        lines.field(name, format_args!("{seconds:.6}"));
    }
}

pub(super) fn cluster(_source: &Source<'_>, lines: &mut Lines<'_>) {
    lines.field("cluster_enabled", 0);
}

/// The one engine that there is.
pub(super) fn scripting_engines(source: &Source<'_>, lines: &mut Lines<'_>) {
    let used = source.totals.scripts.machine_bytes;
    lines.field("engines_count", 1);
    lines.field("engines_total_used_memory", used);
    lines.field("engines_total_memory_overhead", 0);
    let engine =
        format_args!("name=LUA,module=lua,used_memory={used},memory_overhead=0").to_string();
    lines.field("engine_0", engine);
}

/// The actors, then the shards, a line each.
pub(super) fn actors(source: &Source<'_>, lines: &mut Lines<'_>) {
    lines.field("actors", source.facts.actors.len());
    for (number, actor) in source.facts.actors.iter().enumerate() {
        let panic = actor.last_panic.as_deref().map_or_else(|| "none".to_owned(), one_word);
        lines.field(
            &format!("actor{number}"),
            format_args!(
                "name={},thread={},restarts={},queue={},last_panic={panic}",
                one_word(&actor.name),
                one_word(&actor.thread),
                actor.restarts,
                actor.queue,
            ),
        );
    }
    for (number, shard) in source.totals.shards.iter().enumerate() {
        let phase = match shard.phase {
            Phase::Loading => "loading",
            Phase::Serving => "serving",
            Phase::Suspect => "suspect",
            Phase::Rebuilding => "rebuilding",
        };
        lines.field(
            &format!("shard{number}"),
            format_args!(
                "state={phase},keys={},slots={},calls={},waiting={},panics={},\
                 longest_slice_us={}",
                shard.keys,
                shard.slots,
                shard.calls,
                shard.waiting,
                shard.panics,
                shard.longest_slice_ns / 1_000,
            ),
        );
    }
}

/// Text without what separates fields and lines, so that a panic's message cannot forge some.
fn one_word(text: &str) -> String {
    const SHOWN_MAX: usize = 120;
    let shown = text.chars().take(SHOWN_MAX);
    shown.map(|c| if c.is_control() || c == ',' || c == ' ' { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_message_stays_one_value() {
        assert_eq!(one_word("a, b\r\nc"), "a__b__c");
    }
}
