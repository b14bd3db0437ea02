//! From the answers of all shards to one reply.
//!
//! The connection asks every shard a [`Question`](crate::question::Question), adds the
//! answer of the process where it has one, and hands all of it in here with the [`Facts`]. Nothing
//! is asked and nothing changed here.

use crate::commands::action::Gathered;
use crate::commands::error::{CommandError, no_samples};
use crate::counted::log::{self, LogEntry};
use crate::counted::spikes::Spikes;
use crate::hook::answer::Answer;
use crate::question::{Events, LogKind};
use crate::resp::Reply;
use crate::stats::facts::Facts;
use crate::stats::functions;
use crate::stats::hotkeys;
use crate::stats::info::{self, Source};
use crate::stats::latency;
use crate::stats::totals::Totals;

/// What a reply tells of the process that takes long to find out.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Its memory.
    pub memory: bool,
    /// Its processor time.
    pub cpu: bool,
    /// How far its stream of replication is, behind all that was answered.
    pub stream: bool,
}

impl Needs {
    /// Of the reply that `gathered` asks for.
    pub fn of(gathered: &Gathered) -> Needs {
        let shows = |section| match gathered {
            Gathered::Info(asked) => info::shows(asked, section),
            _ => false,
        };
        let is_of_memory = matches!(gathered, Gathered::MemoryStats | Gathered::MemoryDoctor);
        Needs {
            memory: is_of_memory || shows("memory"),
            cpu: matches!(gathered, Gathered::HotKeys) || shows("cpu"),
            stream: matches!(gathered, Gathered::Role) || shows("replication"),
        }
    }
}

/// Writes the reply that `gathered` asks for. The facts are those that it [`Needs`] at least.
///
/// # Errors
/// LATENCY GRAPH of an event that was never slow.
pub fn reply(
    gathered: &Gathered,
    answers: &[Answer],
    facts: &Facts,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let totals = || Totals::of(answers);
    match gathered {
        Gathered::Ok => reply.ok(),
        Gathered::Info(sections) => {
            let source = Source { facts, totals: &totals() };
            reply.verbatim(b"txt", info::text(sections, &source).as_bytes());
        }
        Gathered::LastSave => reply.int(facts.snapshots.last_save.as_secs()),
        Gathered::Role => info::replication::role(facts, reply),
        Gathered::LogGet(kind, most) => log_get(&entries(*kind, *most, answers, facts), reply),
        Gathered::LogLen(kind) => {
            reply.int(entries(*kind, usize::MAX, answers, facts).len() as i64);
        }
        Gathered::LatencyHistogram(names) => {
            latency::histogram(names, &totals().statistics, reply);
        }
        Gathered::LatencyLatest => latency::latest(&spikes(answers), reply),
        Gathered::LatencyHistory(event) => {
            let spikes = spikes(answers);
            latency::history(event.and_then(|event| spikes.of(event)), reply);
        }
        Gathered::LatencyGraph(event) => {
            let spikes = spikes(answers);
            let series = spikes.of(*event).ok_or_else(|| no_samples(event.as_str().as_bytes()))?;
            let picture = latency::graph(event.as_str(), series, facts.now);
            reply.verbatim(b"txt", picture.as_bytes());
        }
        Gathered::FunctionStats => return functions::stats(answers, facts.now, reply),
        Gathered::HotKeys => hotkeys::get(answers, facts, reply),
        Gathered::LatencyReset => reply.int(forgotten(answers).len() as i64),
        Gathered::LatencyDoctor => {
            let threshold = facts.settings.latency_monitor_threshold;
            reply.verbatim(b"txt", latency::doctor(&spikes(answers), threshold).as_bytes());
        }
        Gathered::MemoryStats => {
            info::memory::memory_stats(&Source { facts, totals: &totals() }, reply);
        }
        Gathered::MemoryDoctor => {
            let source = Source { facts, totals: &totals() };
            reply.verbatim(b"txt", info::memory::doctor(&source).as_bytes());
        }
    }
    Ok(())
}

/// The entries of a log: each shard keeps as many as the log of the server may have.
fn entries<'a>(
    kind: LogKind,
    most: usize,
    answers: &'a [Answer],
    facts: &Facts,
) -> Vec<&'a LogEntry> {
    let logs = answers.iter().filter_map(|answer| match answer {
        Answer::Log(entries) => Some(entries.as_slice()),
        _ => None,
    });
    log::merged(logs, most.min(kind.len_max(&facts.settings)))
}

fn log_get(entries: &[&LogEntry], reply: &mut Reply<'_>) {
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.int(i64::try_from(entry.id).unwrap_or(i64::MAX));
        reply.int(entry.at);
        reply.int(i64::try_from(entry.amount).unwrap_or(i64::MAX));
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.client.as_bytes());
        reply.bulk(&entry.name);
    }
}

fn spikes(answers: &[Answer]) -> Spikes {
    let mut all = Spikes::default();
    for answer in answers {
        if let Answer::Spikes(spikes) = answer {
            all.merge(spikes);
        }
    }
    all
}

fn forgotten(answers: &[Answer]) -> Events {
    answers.iter().fold(Events::default(), |all, answer| match answer {
        Answer::Forgotten(events) => all.and(*events),
        _ => all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::millis::Millis;
    use crate::hook::Sink;
    use crate::hooks::slowlog::{CommandLogs, LogIds};
    use crate::hooks::spikes::SlowCommands;
    use crate::question::{Detail, Event, Question};
    use crate::testing::Store;

    fn said(gathered: Gathered, answers: &[Answer]) -> String {
        let mut out = Vec::new();
        let facts = Facts { now: Millis(5_000), ..Facts::default() };
        if let Err(error) = reply(&gathered, answers, &facts, &mut Reply::new(&mut out, false)) {
            return error.to_string();
        }
        String::from_utf8(out).unwrap().replace("\r\n", " ")
    }

    fn entry(id: u64) -> LogEntry {
        let args = vec![b"get".to_vec(), b"k".to_vec()];
        LogEntry { id, at: 9, amount: 77, args, client: "1.1.1.1:5".into(), name: b"joe".to_vec() }
    }

    #[test]
    fn logs_of_shards_become_one() {
        let answers = [Answer::Log(vec![entry(4), entry(1)]), Answer::Log(vec![entry(3)])];
        assert_eq!(said(Gathered::LogLen(LogKind::Slow), &answers), ":3 ");
        assert_eq!(
            said(Gathered::LogGet(LogKind::Slow, 1), &answers),
            "*1 *6 :4 :9 :77 *2 $3 get $1 k $9 1.1.1.1:5 $3 joe "
        );
        let ids = said(Gathered::LogGet(LogKind::Slow, 9), &answers);
        assert!(ids.find(":4 ") < ids.find(":3 ") && ids.find(":3 ") < ids.find(":1 "));
    }

    #[test]
    fn an_event_counts_once_over_shards() {
        let mut events = Events::default();
        events.insert(Event::Command);
        let answers = [Answer::Forgotten(events), Answer::Forgotten(events), Answer::Done];
        assert_eq!(said(Gathered::LatencyReset, &answers), ":1 ");
    }

    #[test]
    fn what_a_shard_counted_is_shown_and_forgotten() {
        let sinks: Vec<Box<dyn Sink>> =
            vec![Box::new(CommandLogs::new(LogIds::default())), Box::new(SlowCommands::default())];
        let mut store = Store::with_layers(Vec::new(), sinks);
        store.run("set k v");
        store.run("get k");
        store.run("get");
        let info = |store: &mut Store| {
            let answers = [store.shard.answer(&Question::Report(Detail::Latencies))];
            said(Gathered::Info(vec![b"all".to_vec()]), &answers)
        };
        let text = info(&mut store);
        for line in [
            "total_commands_processed:2",
            "keyspace_hits:1",
            "rdb_changes_since_last_save:1",
            "cmdstat_get:calls=1,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0",
            "errorstat_ERR:count=1",
            "db0:keys=1,expires=0",
            "shard0:state=serving,keys=1,slots=16384,calls=2,waiting=0,panics=0,longest_slice_us=0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let answers = [store.shard.answer(&Question::Report(Detail::Latencies))];
        let histogram = Gathered::LatencyHistogram(vec![b"GET".to_vec(), b"nosuch".to_vec()]);
        let shown = said(histogram, &answers);
        assert_eq!(shown, "*2 $3 get *4 $5 calls :1 $14 histogram_usec *2 :1 :1 ");
        assert!(matches!(store.shard.answer(&Question::ResetStatistics), Answer::Done));
        let text = info(&mut store);
        assert!(text.contains("total_commands_processed:0") && text.contains("keyspace_hits:0"));
    }

    #[test]
    fn a_graph_needs_samples() {
        let graph = Gathered::LatencyGraph(Event::Command);
        assert_eq!(said(graph, &[]), "ERR No samples available for event 'command'");
    }
}
