//! HOTKEYS GET: the keys that take most, over all shards.
//!
//! In the form of Redis 8.6 where there is a session; without one in that of Valkey 9.2, where
//! `hotkeys-top-k` says so; without either, nothing, as Redis says it. As in Redis, what keys took
//! is that of the samples alone, and processor time goes on to be counted when a session is over.

use crate::base::slot::SLOTS;
use crate::counted::hotkeys::{CollectedKeys, CpuTime, HotKeySession, HotKeys, Weighed, heaviest};
use crate::hook::answer::Answer;
use crate::resp::Reply;
use crate::stats::facts::{Cpu, Facts};

/// Writes the reply from what all shards have answered.
pub(crate) fn get(answers: &[Answer], facts: &Facts, reply: &mut Reply<'_>) {
    let told: Vec<&HotKeys> = answers.iter().filter_map(told).collect();
    match facts.hotkeys.as_deref() {
        Some(session) => get_of_session(session, &told, facts, reply),
        None if facts.settings.hotkeys.top_k > 0 => get_of_window(&told, facts, reply),
        None => reply.null(),
    }
}

fn told(answer: &Answer) -> Option<&HotKeys> {
    match answer {
        Answer::HotKeys(told) => Some(told),
        _ => None,
    }
}

/// The processor time that the process has taken.
pub fn cpu_time(cpu: Cpu) -> CpuTime {
    let millis = |seconds: f64| (seconds * 1_000.0) as i64;
    CpuTime { user_ms: millis(cpu.user), system_ms: millis(cpu.system) }
}

fn get_of_session(
    session: &HotKeySession,
    told: &[&HotKeys],
    facts: &Facts,
    reply: &mut Reply<'_>,
) {
    let of_session = |told: &&HotKeys| {
        told.collected.clone().filter(|collected| collected.session == session.number)
    };
    let collected: Vec<CollectedKeys> = told.iter().filter_map(of_session).collect();
    let sum = |of: fn(&CollectedKeys) -> u64| collected.iter().map(of).sum::<u64>();
    let asked = session.asked;
    reply.array(1);
    reply.map(7 + if asked.cpu { 3 } else { 0 } + if asked.net { 2 } else { 0 });
    let mut field = |name: &str, number: i64| {
        reply.bulk(name.as_bytes());
        reply.int(number);
    };
    field("tracking-active", i64::from(session.is_active(facts.now)));
    field("sample-ratio", i64::from(asked.sample));
    reply.bulk(b"selected-slots");
    reply.array(1);
    reply.array(2);
    reply.int(0);
    reply.int(SLOTS as i64 - 1);
    let mut field = |name: &str, number: i64| {
        reply.bulk(name.as_bytes());
        reply.int(number);
    };
    field("all-commands-all-slots-us", micros(sum(|of| of.nanos)));
    field("net-bytes-all-commands-all-slots", as_int(sum(|of| of.bytes)));
    field("collection-start-time-unix-ms", session.since.0);
    field("collection-duration-ms", session.lasted_ms(facts.now));
    if asked.cpu {
        let now = cpu_time(facts.cpu);
        field("total-cpu-time-user-ms", (now.user_ms - session.cpu.user_ms).max(0));
        field("total-cpu-time-sys-ms", (now.system_ms - session.cpu.system_ms).max(0));
    }
    if asked.net {
        field("total-net-bytes", as_int(sum(|of| of.sampled_bytes)));
    }
    if asked.cpu {
        let keys = collected.iter().flat_map(|of| of.by_nanos.iter().cloned());
        list("by-cpu-time-us", &heaviest(keys, asked.count), micros, reply);
    }
    if asked.net {
        let keys = collected.iter().flat_map(|of| of.by_bytes.iter().cloned());
        list("by-net-bytes", &heaviest(keys, asked.count), as_int, reply);
    }
}

/// Keys and what each took, one behind the other.
fn list(name: &str, keys: &[Weighed], amount: fn(u64) -> i64, reply: &mut Reply<'_>) {
    reply.bulk(name.as_bytes());
    reply.array(2 * keys.len());
    for key in keys {
        reply.bulk(&key.name);
        reply.int(amount(key.weight));
    }
}

fn get_of_window(told: &[&HotKeys], facts: &Facts, reply: &mut Reply<'_>) {
    let keys = told.iter().flat_map(|of| of.window.iter().cloned());
    let keys = heaviest(keys, facts.settings.hotkeys.top_k as usize);
    reply.array(keys.len());
    for key in &keys {
        reply.map(3);
        reply.bulk(b"key");
        reply.bulk(&key.name);
        reply.bulk(b"db");
        reply.int(i64::from(key.id.db));
        reply.bulk(b"qps");
        reply.int(as_int(key.weight));
    }
}

/// Microseconds, and what is left over as one more: a command takes less than one.
fn micros(nanos: u64) -> i64 {
    as_int(nanos.div_ceil(1_000))
}

fn as_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::millis::Millis;
    use crate::commands::action::CollectHotKeys;
    use crate::counted::hotkeys::KeyId;
    use crate::settings::Settings;

    fn weighed(name: &str, db: u32, weight: u64) -> Weighed {
        let hash = u64::from(name.as_bytes()[0]);
        Weighed { id: KeyId { hash, db }, name: name.as_bytes().to_vec(), weight }
    }

    fn said(told: &[HotKeys], facts: &Facts, resp3: bool) -> String {
        let answers: Vec<Answer> =
            told.iter().map(|told| Answer::HotKeys(Box::new(told.clone()))).collect();
        let mut out = Vec::new();
        get(&answers, facts, &mut Reply::new(&mut out, resp3));
        String::from_utf8(out).unwrap().replace("\r\n", " ")
    }

    fn facts(cpu: bool, net: bool) -> Facts {
        let asked = CollectHotKeys { cpu, net, count: 2, duration_ms: None, sample: 5 };
        let session = HotKeySession {
            number: 3,
            asked,
            since: Millis(1_000),
            until: Some(Millis(2_000)),
            is_over: false,
            cpu: CpuTime { user_ms: 100, system_ms: 10 },
        };
        let cpu = Cpu { user: 0.125, system: 0.03, ..Cpu::default() };
        Facts { now: Millis(1_400), hotkeys: Some(Arc::new(session)), cpu, ..Facts::default() }
    }

    fn collected(session: u64, by_nanos: &[(&str, u64)]) -> HotKeys {
        let keys: Vec<Weighed> = by_nanos.iter().map(|(n, w)| weighed(n, 0, *w)).collect();
        let collected = CollectedKeys {
            session,
            nanos: 1_500,
            bytes: 70,
            sampled_bytes: 14,
            by_bytes: keys.iter().rev().cloned().collect(),
            by_nanos: keys,
        };
        HotKeys { collected: Some(collected), window: Vec::new() }
    }

    #[test]
    fn a_session_is_told_over_all_shards() {
        let told = [
            collected(3, &[("a", 4_000), ("b", 900)]),
            collected(3, &[("c", 2_000), ("b", 1_101)]),
            collected(2, &[("d", 9_000)]),
        ];
        let head = "$15 tracking-active :1 $12 sample-ratio :5 $14 selected-slots *1 *2 :0 :16383 \
                    $25 all-commands-all-slots-us :3 $32 net-bytes-all-commands-all-slots :140 \
                    $29 collection-start-time-unix-ms :1000 $22 collection-duration-ms :400 ";
        let cpu = "$22 total-cpu-time-user-ms :25 $21 total-cpu-time-sys-ms :20 ";
        let by_cpu = "$14 by-cpu-time-us *4 $1 a :4 $1 b :3 ";
        let by_net = "$12 by-net-bytes *4 $1 a :4000 $1 b :2001 ";
        let bytes = "$15 total-net-bytes :28 ";
        assert_eq!(
            said(&told, &facts(true, true), true),
            format!("*1 %12 {head}{cpu}{bytes}{by_cpu}{by_net}")
        );
        assert_eq!(said(&told, &facts(true, false), false), format!("*1 *20 {head}{cpu}{by_cpu}"));
        assert_eq!(said(&told, &facts(false, true), true), format!("*1 %9 {head}{bytes}{by_net}"));
        let over = Facts { now: Millis(3_000), ..facts(false, true) };
        let said = said(&told, &over, true);
        assert!(said.contains("tracking-active :0 ") && said.contains("duration-ms :1000 "));
    }

    #[test]
    fn without_a_session_the_last_window_is_told() {
        let window = |keys: &[(&str, u32, u64)]| HotKeys {
            collected: None,
            window: keys.iter().map(|(name, db, rate)| weighed(name, *db, *rate)).collect(),
        };
        let told = [window(&[("a", 0, 3), ("b", 1, 9)]), window(&[("a", 2, 7), ("a", 0, 5)])];
        let mut settings = Settings::default();
        let of = |settings: &Settings| Facts {
            settings: Arc::new(settings.clone()),
            ..Facts::default()
        };
        assert_eq!(said(&told, &of(&settings), false), "$-1 ");
        assert_eq!(said(&told, &of(&settings), true), "_ ");
        settings.hotkeys.top_k = 2;
        assert_eq!(
            said(&told, &of(&settings), false),
            "*2 *6 $3 key $1 b $2 db :1 $3 qps :9 *6 $3 key $1 a $2 db :0 $3 qps :8 "
        );
        assert!(said(&told, &of(&settings), true).starts_with("*2 %3 $3 key "));
        assert_eq!(said(&[], &of(&settings), true), "*0 ");
    }
}
