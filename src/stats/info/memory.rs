//! INFO memory, and MEMORY STATS and DOCTOR, which tell the same.
//!
//! `used_memory` is what the program asked the allocator for, by the same account as `maxmemory`.
//! What of it is overhead is computed plainly: what was there at the start, the clients, the buffer
//! of the journal, and the tables without their entries; the rest is data.

use super::{Human, Lines, Source, ratio};
use crate::commands::scripting::ScriptFigures;
use crate::keyspace::slot::Table;
use crate::resp::Reply;

/// Figures that follow from what the allocator and the process say.
pub(in crate::stats) struct Derived {
    pub(in crate::stats) overhead: u64,
    pub(in crate::stats) dataset: u64,
    /// Of what is used beyond the start, in hundredths.
    pub(in crate::stats) dataset_percent: f64,
    pub(in crate::stats) peak: u64,
    pub(in crate::stats) peak_percent: f64,
}

/// A ratio, and the difference that it comes from.
type Loss = (f64, i64);

impl Derived {
    pub(in crate::stats) fn of(source: &Source<'_>) -> Derived {
        let memory = &source.facts.memory;
        let overhead = memory.startup
            + source.facts.clients.bytes
            + source.facts.journal.buffer_bytes
            + source.totals.table_bytes as u64;
        let dataset = memory.used.saturating_sub(overhead);
        let grown = memory.used.saturating_sub(memory.startup);
        let peak = memory.peak.max(memory.used);
        Derived {
            overhead: overhead.min(memory.used),
            dataset,
            dataset_percent: (ratio(dataset, grown) * 100.0).min(100.0),
            peak,
            peak_percent: ratio(memory.used, peak) * 100.0,
        }
    }
}

/// How much more `large` is than `small`.
fn loss(large: u64, small: u64) -> Loss {
    (ratio(large, small), large as i64 - small as i64)
}

pub(super) fn memory(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (facts, memory, derived) = (source.facts, &source.facts.memory, Derived::of(source));
    lines.bytes("used_memory", memory.used);
    lines.bytes("used_memory_rss", memory.rss);
    lines.bytes("used_memory_peak", derived.peak);
    lines.field("used_memory_peak_perc", format_args!("{:.2}%", derived.peak_percent));
    lines.field("used_memory_overhead", derived.overhead);
    lines.field("used_memory_startup", memory.startup);
    lines.field("used_memory_dataset", derived.dataset);
    lines.field("used_memory_dataset_perc", format_args!("{:.2}%", derived.dataset_percent));
    lines.field("allocator_allocated", memory.allocated);
    lines.field("allocator_active", memory.active);
    lines.field("allocator_resident", memory.resident);
    lines.field("allocator_metadata", memory.metadata);
    lines.field("allocator_muzzy", 0);
    lines.bytes("total_system_memory", facts.process.system_memory);
    scripts(&source.totals.scripts, lines);
    lines.bytes("maxmemory", facts.settings.maxmemory);
    lines.field("maxmemory_policy", facts.settings.shown("maxmemory-policy"));
    for (name, (ratio, bytes)) in [
        ("allocator_frag", loss(memory.active, memory.allocated)),
        ("allocator_rss", loss(memory.resident, memory.active)),
        ("rss_overhead", loss(memory.rss, memory.resident)),
        ("mem_fragmentation", loss(memory.rss, memory.used)),
    ] {
        lines.field(&format!("{name}_ratio"), format_args!("{ratio:.2}"));
        lines.field(&format!("{name}_bytes"), bytes);
    }
    lines.field("mem_not_counted_for_evict", memory.uncounted);
    lines.field("mem_replication_backlog", facts.replication.length);
    lines.field("mem_total_replication_buffers", facts.replication.memory);
    lines.zeros(&["mem_replicas_repl_buffer", "mem_clients_slaves"]);
    lines.field("mem_clients_normal", facts.clients.bytes);
    lines.zeros(&["mem_cluster_links", "mem_cluster_slot_import", "mem_cluster_slot_export"]);
    lines.field("mem_aof_buffer", facts.journal.buffer_bytes);
    lines.field("mem_allocator", memory.allocator);
    lines.zeros(&["mem_overhead_db_hashtable_rehashing", "active_defrag_running"]);
    lines.field("lazyfree_pending_objects", source.totals.discarded);
    lines.field("lazyfreed_objects", source.totals.freed);
}

/// Scripts and functions have their machines in common, which are told of with scripts.
fn scripts(scripts: &ScriptFigures, lines: &mut Lines<'_>) {
    let machines = scripts.machine_bytes as u64;
    lines.field("used_memory_lua", machines);
    lines.field("used_memory_vm_eval", machines);
    lines.field("used_memory_lua_human", Human(machines));
    lines.field("used_memory_scripts_eval", scripts.script_bytes);
    lines.field("number_of_cached_scripts", scripts.scripts);
    lines.field("number_of_functions", scripts.functions);
    lines.field("number_of_libraries", scripts.libraries);
    lines.field("used_memory_vm_functions", 0);
    lines.bytes("used_memory_vm_total", machines);
    lines.field("used_memory_functions", scripts.library_bytes);
    lines.bytes("used_memory_scripts", (scripts.script_bytes + scripts.library_bytes) as u64);
}

/// MEMORY STATS.
pub(in crate::stats) fn memory_stats(source: &Source<'_>, reply: &mut Reply<'_>) {
    let (facts, memory, derived) = (source.facts, &source.facts.memory, Derived::of(source));
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let databases = source.totals.databases.iter();
    let filled: Vec<_> = databases.filter(|(_, counts)| counts.len > 0).collect();
    let keys = source.totals.keys() as u64;
    let grown = memory.used.saturating_sub(memory.startup);
    reply.map(34 + filled.len());
    let whole = |reply: &mut Reply<'_>, pairs: &[(&str, i64)]| {
        for (name, number) in pairs {
            reply.bulk(name.as_bytes());
            reply.int(*number);
        }
    };
    whole(
        reply,
        &[
            ("peak.allocated", count(derived.peak)),
            ("total.allocated", count(memory.used)),
            ("startup.allocated", count(memory.startup)),
            ("replication.backlog", count(facts.replication.length)),
            ("replicas.repl.buffer", 0),
            ("clients.slaves", 0),
            ("clients.normal", count(facts.clients.bytes)),
            ("cluster.links", 0),
            ("cluster.slot_import", 0),
            ("cluster.slot_export", 0),
            ("aof.buffer", count(facts.journal.buffer_bytes)),
            ("lua.caches", source.totals.scripts.script_bytes as i64),
            ("functions.caches", source.totals.scripts.library_bytes as i64),
        ],
    );
    for (db, counts) in &filled {
        let bytes = counts.buckets * Table::BUCKET_BYTES;
        reply.bulk(format!("db.{db}").as_bytes());
        reply.map(3);
        // A deadline and the flag of a blessed key stand with the key.
        whole(
            reply,
            &[
                ("overhead.hashtable.main", bytes as i64),
                ("overhead.hashtable.expires", 0),
                ("overhead.hashtable.blessed", 0),
            ],
        );
    }
    whole(
        reply,
        &[
            ("overhead.db.hashtable.lut", source.totals.table_bytes as i64),
            ("overhead.db.hashtable.rehashing", 0),
            ("overhead.total", count(derived.overhead)),
            ("db.dict.rehashing.count", 0),
            ("keys.count", count(keys)),
            ("keys.bytes-per-key", count(grown.checked_div(keys).unwrap_or(0))),
            ("dataset.bytes", count(derived.dataset)),
        ],
    );
    let fraction = |reply: &mut Reply<'_>, name: &str, number: f64| {
        reply.bulk(name.as_bytes());
        reply.double(number);
    };
    fraction(reply, "dataset.percentage", derived.dataset_percent);
    fraction(reply, "peak.percentage", derived.peak_percent);
    whole(
        reply,
        &[
            ("allocator.allocated", count(memory.allocated)),
            ("allocator.active", count(memory.active)),
            ("allocator.resident", count(memory.resident)),
            ("allocator.muzzy", 0),
        ],
    );
    for (name, (ratio, bytes)) in [
        ("allocator-fragmentation", loss(memory.active, memory.allocated)),
        ("allocator-rss", loss(memory.resident, memory.active)),
        ("rss-overhead", loss(memory.rss, memory.resident)),
    ] {
        fraction(reply, &format!("{name}.ratio"), ratio);
        whole(reply, &[(&format!("{name}.bytes"), bytes)]);
    }
    let (ratio, bytes) = loss(memory.rss, memory.used);
    fraction(reply, "fragmentation", ratio);
    whole(reply, &[("fragmentation.bytes", bytes)]);
}

/// MEMORY DOCTOR.
pub(in crate::stats) fn doctor(source: &Source<'_>) -> String {
    const SMALL: u64 = 5 << 20;
    const FRAGMENTED: f64 = 1.4;
    const PEAKED: f64 = 1.5;
    const LARGE_CLIENT: u64 = 200 << 10;
    let memory = &source.facts.memory;
    if memory.used < SMALL {
        return "This instance is empty or uses very little memory: there is nothing to diagnose \
                yet. Ask again when it holds data.\n"
            .to_owned();
    }
    let mut found = Vec::new();
    let peak = memory.peak.max(memory.used);
    if ratio(peak, memory.used) > PEAKED {
        found.push(format!(
            "Peak memory: {} were in use once, {} are now. The allocator may keep some of the \
             rest; MEMORY PURGE gives it back.",
            Human(peak),
            Human(memory.used),
        ));
    }
    for (name, large, small) in [
        ("Fragmentation inside the allocator", memory.active, memory.allocated),
        ("Memory that the allocator keeps", memory.resident, memory.active),
        ("Memory of the process beyond the allocator", memory.rss, memory.resident),
    ] {
        if ratio(large, small) > FRAGMENTED && large - small > SMALL {
            found.push(format!("{name}: {} for {}.", Human(large), Human(small)));
        }
    }
    let clients = &source.facts.clients;
    let per_client = clients.bytes.checked_div(clients.connected).unwrap_or(0);
    if per_client > LARGE_CLIENT {
        found.push(format!(
            "Clients: {} each on average. Some may not take their replies, or send more than is \
             run; CLIENT LIST shows which.",
            Human(per_client),
        ));
    }
    if found.is_empty() {
        return "No memory problem was found in this instance.\n".to_owned();
    }
    let list: Vec<String> = found.into_iter().map(|text| format!(" * {text}\n")).collect();
    format!("Memory problems of this instance:\n\n{}", list.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::facts::{Clients, Facts, Memory};
    use crate::stats::totals::Totals;

    fn with<R>(memory: Memory, read: impl FnOnce(&Source<'_>) -> R) -> R {
        let facts = Facts { memory, ..Facts::default() };
        read(&Source { facts: &facts, totals: &Totals::default() })
    }

    #[test]
    fn the_data_set_is_what_is_no_overhead() {
        let memory = Memory { used: 1_000, startup: 200, peak: 2_000, ..Memory::default() };
        let derived = with(memory, Derived::of);
        assert_eq!((derived.overhead, derived.dataset, derived.peak), (200, 800, 2_000));
        assert_eq!((derived.dataset_percent, derived.peak_percent), (100.0, 50.0));
    }

    #[test]
    fn memory_stats_has_as_many_pairs_as_it_says() {
        let mut out = Vec::new();
        with(Memory::default(), |source| memory_stats(source, &mut Reply::new(&mut out, true)));
        let text = String::from_utf8(out).unwrap();
        let pairs: usize = text[1..].split_once("\r\n").unwrap().0.parse().unwrap();
        assert_eq!(text.matches("\r\n").count() - 1, pairs * 3, "{text}");
    }

    #[test]
    fn the_doctor_sees_fragmentation() {
        let fine = Memory {
            used: 100 << 20,
            allocated: 100 << 20,
            active: 101 << 20,
            resident: 102 << 20,
            rss: 103 << 20,
            ..Memory::default()
        };
        assert!(with(fine, doctor).starts_with("No memory problem"));
        let holes = Memory { active: 300 << 20, resident: 300 << 20, rss: 300 << 20, ..fine };
        assert!(with(holes, doctor).contains("Fragmentation inside the allocator: 300.00M"));
        assert!(with(Memory::default(), doctor).contains("very little memory"));
    }

    #[test]
    fn clients_count_as_overhead_and_the_doctor_sees_large_ones() {
        let memory = Memory { used: 100 << 20, ..Memory::default() };
        let clients = Clients { connected: 10, bytes: 20 << 20, ..Clients::default() };
        let facts = Facts { memory, clients, ..Facts::default() };
        let source = Source { facts: &facts, totals: &Totals::default() };
        assert_eq!(Derived::of(&source).overhead, 20 << 20);
        assert!(doctor(&source).contains(" * Clients: 2.00M each on average."));
        let facts = Facts { clients: Clients { connected: 1_000, ..facts.clients }, ..facts };
        let source = Source { facts: &facts, totals: &Totals::default() };
        assert!(doctor(&source).starts_with("No memory problem"));
    }
}
