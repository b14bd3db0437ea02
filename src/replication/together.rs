//! What has come together from the primary is carried out together: as one transaction. Its slots
//! meet at one shard, where its commands would go from shard to shard one by one. Readers see its
//! end, and no state that the primary did not have. The MULTI and EXEC of that came from nobody:
//! they are not counted, and MONITOR does not show them.
//!
//! Transactions of the primary stay whole. What needs more than the slots of its keys is carried
//! out by itself, in its place.

use crate::batch::{Batch, Routed};
use crate::commands::command::{Command, Flags, Run};
use crate::commands::positions;
use crate::commands::transactions::queue::{UNSENT_EXEC, UNSENT_MULTI};
use crate::resp::{Frame, Frames};

/// A call, and how many bytes of the stream there are up to its end; 0 inside a transaction.
type Call = (Frame, Routed, u64);

/// Brings the calls of a batch together that has come from the primary and was routed; `ends` says
/// where in the stream each ends. `is_open` says that it begins inside a transaction.
pub(super) fn bring_together(batch: &mut Batch, ends: &mut Vec<u64>, mut is_open: bool) {
    let mut bundle = Bundle::new(batch.frames.len());
    // From its MULTI on.
    let mut transaction: Vec<Call> = Vec::new();
    let frames = std::mem::take(&mut batch.frames.frames);
    let routed = std::mem::take(&mut batch.routed);
    let calls = frames.into_iter().zip(routed).zip(std::mem::take(ends));
    for call in calls.map(|((frame, routed), end)| (frame, routed, end)) {
        let name = call.1.command.map_or("", |command| command.name.as_str());
        let ends = matches!(name, "exec" | "discard");
        if is_open {
            is_open = !ends;
            bundle.add_alone([call], &mut batch.frames);
        } else if name == "multi" || !transaction.is_empty() {
            transaction.push(call);
            if ends {
                let whole = std::mem::take(&mut transaction);
                let inner = whole.get(1..whole.len() - 1).unwrap_or_default();
                match name == "exec" && inner.iter().all(|call| joins(batch, call)) {
                    true => bundle.add(inner, call.2),
                    false => bundle.add_alone(whole, &mut batch.frames),
                }
            }
        } else if joins(batch, &call) {
            bundle.add(&[call], call.2);
        } else {
            bundle.add_alone([call], &mut batch.frames);
        }
    }
    // The rest of it has not come yet.
    bundle.add_alone(transaction, &mut batch.frames);
    for (frame, routed, end) in bundle.done {
        batch.frames.frames.push(frame);
        batch.routed.push(routed);
        ends.push(end);
    }
}

/// Whether a call needs no more than the slots of its keys.
fn joins(batch: &Batch, (frame, routed, _): &Call) -> bool {
    routed.command.is_some_and(|command| {
        let (spans, bytes) =
            (batch.frames.args_of(frame), batch.frames.bytes_of(frame, &batch.input));
        let is_on_keys = matches!(
            command.run,
            Run::Keys(_) | Run::SessionAndKeys(_) | Run::Session(_) | Run::PubSub(_)
        );
        is_on_keys
            && !command.flags.has(Flags::NO_MULTI)
            && !command.is_never_queued
            && !positions::are_anywhere(command, spans, bytes)
    })
}

/// Calls in the order in which they came, with the transactions that they are carried out in.
struct Bundle {
    done: Vec<Call>,
    /// To be one transaction, which ends there in the stream.
    together: Vec<Call>,
    end: u64,
}

impl Bundle {
    fn new(count: usize) -> Bundle {
        Bundle { done: Vec::with_capacity(count + 2), together: Vec::new(), end: 0 }
    }

    /// Adds calls that stay together and end there, to be together with those before them.
    fn add(&mut self, calls: &[Call], end: u64) {
        self.together.extend(calls.iter().map(|(frame, routed, _)| (*frame, *routed, 0)));
        self.end = end;
    }

    /// Adds calls as they are.
    fn add_alone(&mut self, calls: impl IntoIterator<Item = Call>, frames: &mut Frames) {
        self.close(frames);
        self.done.extend(calls);
    }

    /// Those that are together so far are one transaction.
    fn close(&mut self, frames: &mut Frames) {
        if let [(_, _, end)] = &mut self.together[..] {
            *end = self.end;
        }
        if self.together.len() < 2 {
            return self.done.append(&mut self.together);
        }
        self.done.push(bracket(&UNSENT_MULTI, 0, frames));
        self.done.append(&mut self.together);
        self.done.push(bracket(&UNSENT_EXEC, self.end, frames));
    }
}

/// A call that has not come, of a command that is a word alone.
fn bracket(command: &'static Command, end: u64, frames: &mut Frames) -> Call {
    let frame = frames.make([command.name.as_str().as_bytes()].into_iter());
    (frame, Routed { command: Some(command), key: None }, end)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::hash::Hasher;
    use crate::base::millis::Millis;
    use crate::resp::{Decoder, Limits, encode};
    use crate::route::Home;
    use crate::session::{Peer, Session};
    use crate::settings::Renames;

    /// The words of all calls, as they are carried out.
    fn carried_out(lines: &[&str], is_open: bool) -> Vec<String> {
        let mut bytes = Vec::new();
        for line in lines {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            encode::command(&mut bytes, &words);
        }
        let session = Session::new(1, Peer::default(), Millis(0), true);
        let mut batch = Batch::new(Home::default(), session);
        Decoder::default().decode(&bytes, &Limits::default(), &mut batch.frames).unwrap();
        let renames = Renames::default();
        batch.route(Bytes::from(bytes), Millis(0), &Hasher::with_seeds([1; 4]), &renames);
        let mut ends = vec![0; batch.frames.len()];
        bring_together(&mut batch, &mut ends, is_open);
        assert_eq!(ends.len(), batch.frames.len());
        assert_eq!(batch.routed.len(), batch.frames.len());
        let words = |number| {
            let words: Vec<_> =
                batch.words_of(number).into_iter().map(String::from_utf8_lossy).collect();
            let command = batch.routed[number].command.map(|command| command.name.as_str());
            assert_eq!(command, Some(&*words[0].to_lowercase()));
            words.join(" ")
        };
        (0..batch.frames.len()).map(words).collect()
    }

    #[test]
    fn what_comes_together_is_one_transaction() {
        assert_eq!(
            carried_out(
                &["SELECT 3", "SET a 1", "MULTI", "INCR a", "DEL b c", "EXEC", "PING"],
                false
            ),
            ["multi", "SELECT 3", "SET a 1", "INCR a", "DEL b c", "PING", "exec"],
        );
        assert_eq!(carried_out(&["SET a 1"], false), ["SET a 1"]);
        assert_eq!(carried_out(&["MULTI", "SET a 1", "EXEC"], false), ["SET a 1"]);
    }

    #[test]
    fn what_needs_more_than_its_slots_is_by_itself_in_its_place() {
        let flush = ["SET a 1", "SET b 1", "FLUSHDB", "SET c 1", "SET d 1"];
        let expected = [
            "multi", "SET a 1", "SET b 1", "exec", "FLUSHDB", "multi", "SET c 1", "SET d 1", "exec",
        ];
        assert_eq!(carried_out(&flush, false), expected);
        let inside = ["SET a 1", "MULTI", "FLUSHALL", "SET b 1", "EXEC", "REPLCONF GETACK *"];
        assert_eq!(carried_out(&inside, false), inside);
        let by_values = ["SORT l BY w* STORE a", "SET a 1"];
        assert_eq!(carried_out(&by_values, false), by_values);
    }

    #[test]
    fn a_transaction_that_has_not_come_whole_is_left_alone() {
        let begun = ["SET a 1", "SET b 1", "MULTI", "SET c 1"];
        let expected = ["multi", "SET a 1", "SET b 1", "exec", "MULTI", "SET c 1"];
        assert_eq!(carried_out(&begun, false), expected);
        let goes_on = ["SET d 1", "EXEC", "SET e 1", "SET f 1"];
        let expected = ["SET d 1", "EXEC", "multi", "SET e 1", "SET f 1", "exec"];
        assert_eq!(carried_out(&goes_on, true), expected);
    }
}
