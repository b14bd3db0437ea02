//! Sums that are moved between keys on all shards by transactions: nobody may see one that is half
//! made, and none may be lost. What all keys hold together is nothing, always.

use super::{Worker, words};
use crate::support::reply::Reply;

/// Keys that sums are moved between.
pub(super) const ACCOUNTS: usize = 8;

/// The name of one of them.
pub(super) fn account(index: usize) -> String {
    format!("sum:{index}")
}

fn ask_for_all() -> Vec<String> {
    let names = (0..ACCOUNTS).map(account);
    ["MGET".to_owned()].into_iter().chain(names).collect()
}

/// Moves sums: blindly, or from what was read of keys that are watched.
pub(super) fn write(worker: &mut Worker) {
    while worker.goes_on() {
        let from = worker.random.usize(..ACCOUNTS);
        let to = (from + worker.random.usize(1..ACCOUNTS)) % ACCOUNTS;
        let (from, to, sum) = (account(from), account(to), worker.random.i64(1..100));
        if worker.random.bool() {
            blindly(worker, &from, &to, sum);
        } else {
            from_what_was_read(worker, &from, &to, sum);
        }
    }
}

fn blindly(worker: &mut Worker, from: &str, to: &str, sum: i64) {
    let mut lines = vec!["MULTI".to_owned(), format!("DECRBY {from} {sum}")];
    // Some are over everything, and some have the server perform something in between.
    lines.push(match worker.random.u8(..8) {
        0 => "DBSIZE".to_owned(),
        1 => "CONFIG GET hz".to_owned(),
        2 => format!("LPUSH {to}:log x"),
        _ => format!("GET {to}"),
    });
    lines.extend([format!("INCRBY {to} {sum}"), format!("DEL {to}:log"), "EXEC".to_owned()]);
    let lines: Vec<_> = lines.iter().map(|line| words(line)).collect();
    let replies = worker.pipeline(&lines);
    let made = replies.last().map(|reply| reply.members().len());
    if made != Some(4) {
        worker.seen.add("transfers", format!("EXEC: {:?}", replies.last()));
    }
}

fn from_what_was_read(worker: &mut Worker, from: &str, to: &str, sum: i64) {
    let reads = [words(&format!("WATCH {from} {to}")), words(&format!("MGET {from} {to}"))];
    let replies = worker.pipeline(&reads);
    let [before, after] = replies[1].members() else { return };
    let lines = [
        "MULTI".to_owned(),
        format!("SET {from} {}", number(before) - sum),
        format!("SET {to} {}", number(after) + sum),
        "EXEC".to_owned(),
    ];
    worker.pipeline(&lines.map(|line| words(&line)));
}

/// What all hold together is nothing, asked for by one command or by a transaction.
pub(super) fn read(worker: &mut Worker) {
    while worker.goes_on() {
        let (how, values) = if worker.random.bool() {
            ("MGET", worker.client.call(&ask_for_all()).members().to_vec())
        } else {
            let gets = (0..ACCOUNTS).map(|index| format!("GET {}", account(index)));
            let lines = ["MULTI".to_owned()].into_iter().chain(gets).chain(["EXEC".to_owned()]);
            let lines: Vec<_> = lines.map(|line| words(&line)).collect();
            let replies = worker.pipeline(&lines);
            ("EXEC", replies.last().map(|reply| reply.members().to_vec()).unwrap_or_default())
        };
        let sum: i64 = values.iter().map(number).sum();
        if sum != 0 || values.len() != ACCOUNTS {
            worker.seen.add("transfers", format!("{how} saw {values:?}, {sum} together"));
        }
        worker.seen.round("transfers");
    }
}

fn number(value: &Reply) -> i64 {
    let text = value.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
