//! Deadlines of members: ZEXPIRE, ZEXPIREAT, ZEXPIRETIME, ZPERSIST, ZPEXPIRE, ZPEXPIREAT,
//! ZPEXPIRETIME, ZPTTL, ZTTL.
//!
//! No other server has these; they are HEXPIRE and its relatives for sorted sets. A sorted set with
//! a deadline in it is never packed. A member that gets another score keeps its deadline.

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::commands::command::{Arg, Command, Group};
use crate::commands::element_expiry::{self, Events, Expiring, MEMBERS};
use crate::commands::error::CommandError;
use crate::data::zset::Zset;
use crate::keyspace::listener::Event;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &element_expiry::commands::<Zset>([
    "zexpire",
    "zexpireat",
    "zexpiretime",
    "zpersist",
    "zpexpire",
    "zpexpireat",
    "zpexpiretime",
    "zpttl",
    "zttl",
]);

impl Expiring for Zset {
    const BASE: Command = Command {
        group: Group::SortedSet,
        since: "1.0.0",
        complexity: "O(M*log(N)) with N members in the sorted set and M that are named.",
        ..Command::BASE
    };
    const NAMED: Arg = MEMBERS;
    const WORD: &'static str = "MEMBERS";
    const WRONG_NUMBER: CommandError =
        CommandError::Text("ERR The `nummembers` parameter must match the number of arguments");
    const SETTER: &'static str = "ZPEXPIREAT";
    const REMOVAL: &'static str = "ZREM";
    const EVENTS: Events =
        Events { expire: Event::ZEXPIRE, persist: Event::ZPERSIST, expired: Event::ZEXPIRED };

    fn deadline_of(&self, name: &[u8], _hasher: &Hasher) -> Option<Option<Millis>> {
        self.deadline(name)
    }

    fn set_deadline_of(&mut self, name: &[u8], deadline: Option<Millis>, hasher: &Hasher) {
        self.set_deadline(name, deadline, hasher);
    }

    fn take_out(&mut self, name: &[u8], _hasher: &Hasher) {
        self.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{START, Store};

    #[test]
    fn deadlines_are_journaled_in_absolute_time() {
        let mut store = Store::new();
        store.run("ZADD z 1 a 2 b 3 c");
        store.effects();
        store.run("ZEXPIRE z 10 MEMBERS 3 a none b");
        let time = START.saturating_add(10_000);
        assert_eq!(store.effects(), format!("ZPEXPIREAT z {time} MEMBERS 2 a b"));
        store.run("ZEXPIRE z 10 NX MEMBERS 1 a");
        store.run("ZPERSIST z MEMBERS 1 c");
        assert_eq!(store.effects(), "");
        store.run("ZPERSIST z MEMBERS 2 a c");
        assert_eq!(store.effects(), "ZPERSIST z MEMBERS 2 a c");
        store.run("ZEXPIREAT z 1 MEMBERS 2 a c");
        assert_eq!(store.effects(), "ZREM z a c");
    }

    #[test]
    fn members_that_are_due_are_not_there_for_anybody() {
        for (look, reply, effect) in [
            ("ZCARD z", "(integer) 1", "ZREM z a"),
            ("ZSCORE z a", "(nil)", ""),
            ("ZMSCORE z a b", "1) (nil)\n2) \"2\"", ""),
            ("ZRANK z b", "(integer) 0", "ZREM z a"),
            ("ZRANGE z 0 -1", "1) \"b\"", "ZREM z a"),
            ("ZCOUNT z -inf inf", "(integer) 1", "ZREM z a"),
            ("ZRANDMEMBER z 5", "1) \"b\"", "ZREM z a"),
            ("ZSCAN z 0", "1) \"0\"\n2) 1) \"b\"\n   2) \"2\"", "ZREM z a"),
            ("ZINTERCARD 2 z z", "(integer) 1", "ZREM z a"),
            ("ZUNIONSTORE {z}d 1 z", "(integer) 1", "ZREM z a\nZUNIONSTORE {z}d 1 z"),
            ("ZREM z a", "(integer) 0", "ZREM z a"),
            ("ZPOPMIN z", "1) \"b\"\n2) \"2\"", "ZREM z a\nZPOPMIN z"),
            ("ZADD z NX 5 a", "(integer) 1", "ZREM z a\nZADD z NX 5 a"),
            ("ZINCRBY z 5 a", "\"5\"", "ZREM z a\nZINCRBY z 5 a"),
            ("GEOPOS z a", "1) (nil)", ""),
            ("ZTTL z MEMBERS 1 a", "1) (integer) -2", ""),
        ] {
            let mut store = Store::new();
            store.run("ZADD z 1 a 2 b");
            store.run("ZPEXPIRE z 100 MEMBERS 1 a");
            store.effects();
            store.tick(99);
            assert_eq!(store.run("ZCARD z"), "(integer) 2");
            store.tick(1);
            assert_eq!(store.run(look), reply, "{look}");
            // Whoever only reads one member may leave the expired ones to the shard.
            let effects = store.effects();
            assert!(effects == effect || (effect.is_empty() && effects == "ZREM z a"), "{effects}");
        }
    }

    #[test]
    fn a_copy_has_the_deadlines_too_and_so_has_its_record() {
        let mut store = Store::new();
        store.run("ZADD z 1 a 2.5 b");
        store.run("ZPEXPIREAT z 33177117420000 MEMBERS 1 b");
        store.effects();
        store.run("COPY z copy");
        let effects = store.effects();
        assert_eq!(
            effects,
            "MULTI\nDEL copy\nZADD copy 1 a 2.5 b\n\
             ZPEXPIREAT copy 33177117420000 MEMBERS 1 b\nEXEC"
        );
        let digest = store.run("DEBUG DIGEST-VALUE copy");
        let record: Vec<&str> =
            effects.lines().filter(|line| !matches!(*line, "MULTI" | "EXEC")).collect();
        let mut loaded = Store::loaded(&record.join("\n"), START);
        assert_eq!(loaded.run("DEBUG DIGEST-VALUE copy"), digest);
        assert_eq!(loaded.run("ZPEXPIRETIME copy MEMBERS 1 b"), "1) (integer) 33177117420000");
    }

    #[test]
    fn what_is_due_is_there_while_the_journal_is_loaded() {
        let journal = "ZADD z 1 a 2 b\nZPEXPIREAT z 1000 MEMBERS 1 a\nZINCRBY z 5 a\nZREM z a";
        let mut store = Store::loaded(journal, START);
        assert_eq!(store.run("ZRANGE z 0 -1"), "1) \"b\"");
        let journal = "ZADD z 1 a 2 b\nZPEXPIREAT z 1000 MEMBERS 1 a";
        let mut store = Store::loaded(journal, START);
        store.effects();
        assert_eq!(store.run("ZRANGE z 0 -1"), "1) \"b\"");
        assert_eq!(store.effects(), "ZREM z a");
    }
}
