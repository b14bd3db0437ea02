//! Which keys a record of a journal may touch: by that it is brought together with their slots.
//!
//! A live call takes the slots of its declared keys, and runs again with those that it meets
//! beside them. A record cannot: what comes after it on other shards does not wait for it.

use crate::commands::command::{Access, Command, KeySpec, Run};
use crate::commands::positions;
use crate::resp::Span;

/// What has to be beside a record while it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No slot: it runs on its session, at home, or from slot to slot.
    Nothing,
    /// The slots of its declared keys.
    Keys,
    /// Every slot: it is about all keys, or names of its keys follow from values.
    Everything,
}

impl Reach {
    /// The reach of a record, from its command and its words.
    pub fn of(command: &Command, spans: &[Span], bytes: &[u8]) -> Reach {
        match command.run {
            Run::Keys(_) | Run::SessionAndKeys(_) | Run::Blocking(_) | Run::Held(_) => {
                match positions::are_anywhere(command, spans, bytes) {
                    true => Reach::Everything,
                    false => Reach::Keys,
                }
            }
            Run::All(_) | Run::Steps(_) | Run::Libraries(_) => Reach::Everything,
            Run::Session(_)
            | Run::PubSub(_)
            | Run::Asks(_)
            | Run::Walk(_)
            | Run::Exec
            | Run::Script(_)
            | Run::Scripts(_)
            | Run::Server(_)
            | Run::Container => Reach::Nothing,
        }
    }
}

/// Whether what a record of the command does to a slot depends on that slot alone, so that each
/// shard can do its part. MSETNX is among them: where it set nothing it is not in a journal.
pub fn splits(command: &Command) -> bool {
    match command.run {
        Run::All(_) | Run::Libraries(_) => true,
        _ => command.writes() && positions::step_of_rest(command).is_some(),
    }
}

/// Whether a call can change values. One that only reads can where it keeps what it has found out
/// in the value (PFCOUNT).
pub fn changes_values(command: &Command) -> bool {
    let changes = |spec: &KeySpec| {
        [Access::RW, Access::OW, Access::RM].iter().any(|access| spec.access.has(*access))
    };
    command.writes() || command.keys.iter().any(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::registry;

    #[test]
    fn only_what_slots_can_do_on_their_own_splits() {
        let split = registry::all().iter().filter(|command| command.writes() && splits(command));
        let mut names: Vec<&str> = split.map(|command| command.name.as_str()).collect();
        names.sort_unstable();
        let for_tests = ["debug|panic-lent", "debug|populate"];
        let served = [
            "del",
            "flushall",
            "flushdb",
            "function|delete",
            "function|flush",
            "function|load",
            "function|restore",
            "mset",
            "msetnx",
            "swapdb",
            "unlink",
        ];
        let mut all = [&for_tests[..], &served].concat();
        all.sort_unstable();
        assert_eq!(names, all);
    }
}
