//! Where a record of the journal is applied, by the same reach as a live call.
//!
//! A record of our own is replayable inside one slot, or splits by slot. One of another server may
//! read one slot and write another: it takes its place in the order of all shards, and is applied
//! where everything that it may touch has been brought together.

use crate::commands::command::Command;
use crate::commands::positions;
use crate::commands::reach::{self, Reach};
use crate::commands::registry::{self, Found};
use crate::resp::Span;
use crate::route::{Map, ShardId};
use crate::settings::Renames;

/// Where a record is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// On this shard, which has all that it needs.
    At(ShardId),
    /// On every shard: each does its own part.
    Split,
    /// Over several slots at once: on this shard, which has them, or, none given, where the slots
    /// of all shards are.
    Across(Option<ShardId>),
}

impl Placing {
    /// The place of a record by this map. What has no slot goes to the first shard, which says what
    /// is wrong with it, if anything is.
    pub fn of(spans: &[Span], bytes: &[u8], map: &Map, renames: &Renames) -> Placing {
        let Found::Command(command) = registry::find_journaled(bytes, spans, renames) else {
            return Placing::At(0);
        };
        match Reach::of(command, spans, bytes) {
            Reach::Nothing => Placing::At(0),
            Reach::Everything if reach::splits(command) => Placing::Split,
            Reach::Everything => Placing::Across(None),
            Reach::Keys => Placing::of_keys(command, spans, bytes, map),
        }
    }

    fn of_keys(command: &Command, spans: &[Span], bytes: &[u8], map: &Map) -> Placing {
        let mut slots = Vec::new();
        positions::slots(command, spans, bytes, &mut slots);
        let [first, others @ ..] = &slots[..] else { return Placing::At(0) };
        let owner = map.owner(*first);
        let is_there = others.iter().all(|slot| map.owner(*slot) == owner);
        match (is_there, reach::splits(command)) {
            (true, splits) if splits || others.is_empty() => Placing::At(owner),
            (true, _) => Placing::Across(Some(owner)),
            (false, true) => Placing::Split,
            (false, false) => Placing::Across(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of a line with two shards, of which one has `a` and `c`, and the other `b`.
    fn place(line: &str) -> Placing {
        let mut spans = Vec::new();
        let mut start = 0;
        for word in line.split(' ') {
            spans.push(Span { start, len: word.len() as u32 });
            start += word.len() as u32 + 1;
        }
        Placing::of(&spans, line.as_bytes(), &Map::new(2), &Renames::default())
    }

    #[test]
    fn a_record_goes_where_all_that_it_may_touch_is() {
        for (line, placing) in [
            ("SET a 1", Placing::At(1)),
            ("SET b 1", Placing::At(0)),
            ("LMOVE a {a}2 LEFT LEFT", Placing::At(1)),
            ("MOVE a 3", Placing::At(1)),
            ("MSET a 1 c 2", Placing::At(1)),
            ("MSET a 1 b 2", Placing::Split),
            ("DEL a b", Placing::Split),
            ("FLUSHDB", Placing::Split),
            ("SWAPDB 0 1", Placing::Split),
            ("RENAME a c", Placing::Across(Some(1))),
            ("RENAME a b", Placing::Across(None)),
            ("COPY a b DB 3", Placing::Across(None)),
            ("SORT a", Placing::At(1)),
            ("SORT a STORE b", Placing::Across(None)),
            ("SORT a BY nosort GET # STORE {a}2", Placing::At(1)),
            ("SORT a BY w* STORE {a}2", Placing::Across(None)),
            ("SORT a GET w*->f STORE a", Placing::Across(None)),
            ("GEORADIUS a 15 37 200 km STORE b", Placing::Across(None)),
            ("ZUNIONSTORE a 2 b c", Placing::Across(None)),
            ("PFCOUNT a b", Placing::Across(None)),
            ("FUNCTION FLUSH", Placing::At(0)),
            ("NOCOMMAND a b", Placing::At(0)),
        ] {
            assert_eq!(place(line), placing, "{line}");
        }
    }
}
