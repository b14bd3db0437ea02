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
pub enum Placement {
    /// On this shard, which has all that it needs.
    At(ShardId),
    /// On every shard: each does its own part.
    Split,
    /// Over several slots at once: on this shard, which has them, or, none given, where the slots
    /// of all shards are.
    Across(Option<ShardId>),
}

impl Placement {
    /// The place of a record by this map. What has no slot goes to the first shard, which says what
    /// is wrong with it, if anything is.
    pub fn of(spans: &[Span], bytes: &[u8], map: &Map, renames: &Renames) -> Placement {
        let Found::Command(command) = registry::find_journaled(bytes, spans, renames) else {
            return Placement::At(0);
        };
        match Reach::of(command, spans, bytes) {
            Reach::Nothing => Placement::At(0),
            Reach::Everything if reach::splits(command) => Placement::Split,
            Reach::Everything => Placement::Across(None),
            Reach::Keys => Placement::of_keys(command, spans, bytes, map),
        }
    }

    fn of_keys(command: &Command, spans: &[Span], bytes: &[u8], map: &Map) -> Placement {
        let mut slots = Vec::new();
        positions::slots(command, spans, bytes, &mut slots);
        let [first, others @ ..] = &slots[..] else { return Placement::At(0) };
        let owner = map.owner(*first);
        let is_there = others.iter().all(|slot| map.owner(*slot) == owner);
        match (is_there, reach::splits(command)) {
            (true, splits) if splits || others.is_empty() => Placement::At(owner),
            (true, _) => Placement::Across(Some(owner)),
            (false, true) => Placement::Split,
            (false, false) => Placement::Across(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of a line with two shards, of which one has `a` and `c`, and the other `b`.
    fn place(line: &str) -> Placement {
        let mut spans = Vec::new();
        let mut start = 0;
        for word in line.split(' ') {
            spans.push(Span { start, len: word.len() as u32 });
            start += word.len() as u32 + 1;
        }
        Placement::of(&spans, line.as_bytes(), &Map::new(2), &Renames::default())
    }

    #[test]
    fn a_record_goes_where_all_that_it_may_touch_is() {
        for (line, placement) in [
            ("SET a 1", Placement::At(1)),
            ("SET b 1", Placement::At(0)),
            ("LMOVE a {a}2 LEFT LEFT", Placement::At(1)),
            ("MOVE a 3", Placement::At(1)),
            ("MSET a 1 c 2", Placement::At(1)),
            ("MSET a 1 b 2", Placement::Split),
            ("DEL a b", Placement::Split),
            ("FLUSHDB", Placement::Split),
            ("SWAPDB 0 1", Placement::Split),
            ("RENAME a c", Placement::Across(Some(1))),
            ("RENAME a b", Placement::Across(None)),
            ("COPY a b DB 3", Placement::Across(None)),
            ("SORT a", Placement::At(1)),
            ("SORT a STORE b", Placement::Across(None)),
            ("SORT a BY nosort GET # STORE {a}2", Placement::At(1)),
            ("SORT a BY w* STORE {a}2", Placement::Across(None)),
            ("SORT a GET w*->f STORE a", Placement::Across(None)),
            ("GEORADIUS a 15 37 200 km STORE b", Placement::Across(None)),
            ("ZUNIONSTORE a 2 b c", Placement::Across(None)),
            ("PFCOUNT a b", Placement::Across(None)),
            ("FUNCTION FLUSH", Placement::Split),
            ("NOCOMMAND a b", Placement::At(0)),
        ] {
            assert_eq!(place(line), placement, "{line}");
        }
    }
}
