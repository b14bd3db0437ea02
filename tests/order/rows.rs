//! The workload `rows`: lists, streams, hashes and sorted sets that grow by one number after the
//! other, written in one order and read in the other.
//!
//! A reader may never see a number missing in a row, nor a key behind one that was written later.

use super::{PAIRS, Worker, words};
use crate::support::reply::Reply;

/// Elements that a row keeps.
const KEPT: i64 = 50;

/// Each number goes into a list, then a stream, a sorted set and a hash, each in a slot of its own.
pub(super) fn write(worker: &mut Worker) {
    let index = worker.index;
    let mut number = 0;
    while worker.goes_on() {
        let mut commands = Vec::new();
        for _ in 0..worker.random.usize(1..6) {
            number += 1;
            for line in [
                format!("RPUSH row:list:{index} {number}"),
                format!("XADD row:stream:{index} MAXLEN = {KEPT} {number}-1 n {number}"),
                format!("ZADD row:zset:{index} {number} {}", number % KEPT),
                format!("HSET row:hash:{index} one {number} other {number}"),
                format!("LTRIM row:list:{index} -{KEPT} -1"),
            ] {
                commands.push(words(&line));
            }
        }
        worker.pipeline(&commands);
    }
}

/// Reads what was written last first.
pub(super) fn read(worker: &mut Worker) {
    while worker.goes_on() {
        let index = worker.random.usize(..PAIRS);
        let replies = worker.pipeline(&[
            words(&format!("HMGET row:hash:{index} one other")),
            words(&format!("ZRANGE row:zset:{index} 0 -1 WITHSCORES")),
            words(&format!("XRANGE row:stream:{index} - +")),
            words(&format!("LRANGE row:list:{index} 0 -1")),
        ]);
        let both: Vec<i64> = replies[0].members().iter().filter_map(Reply::number).collect();
        let scores = replies[1].members().iter().skip(1).step_by(2).filter_map(number);
        let entries = replies[2].members().iter().filter_map(|entry| number(&entry.members()[0]));
        let items = replies[3].members().iter().filter_map(number);
        let rows = [scores.collect(), entries.collect(), items.collect::<Vec<i64>>()];
        for (name, row) in ["zset", "stream", "list"].iter().zip(&rows) {
            if row.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
                worker.seen.add("rows", format!("a {name} with a gap: {row:?}"));
            }
        }
        if both.windows(2).any(|pair| pair[0] != pair[1]) {
            worker.seen.add("rows", format!("half an HSET: {both:?}"));
        }
        let lasts: Vec<i64> = [&both].into_iter().chain(&rows).map(|row| last(row)).collect();
        if !lasts.is_sorted() {
            let text = format!("hash, zset, stream, list, the last written first: {lasts:?}");
            worker.seen.add("causes", text);
        }
        worker.seen.round("rows");
    }
}

/// The number that a reply is, or that the ID of a stream begins with.
fn number(reply: &Reply) -> Option<i64> {
    reply.text().split('-').next()?.parse().ok()
}

fn last(row: &[i64]) -> i64 {
    row.last().copied().unwrap_or_default()
}
