//! Deadlines of members: SEXPIRE and its relatives, STTL and its relatives, SPERSIST.
//!
//! Neither Redis nor Valkey has them. They are to a set what HEXPIRE and its relatives are to a
//! hash, with the same words and the same numbers in reply, and `MEMBERS` in the place of `FIELDS`.

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::commands::command::{Arg, Command, Group};
use crate::commands::element_expiry::{self, Events, Expiring, MEMBERS};
use crate::commands::error::CommandError;
use crate::data::set::Set;
use crate::keyspace::listener::Event;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &element_expiry::commands::<Set>([
    "sexpire",
    "sexpireat",
    "sexpiretime",
    "spersist",
    "spexpire",
    "spexpireat",
    "spexpiretime",
    "spttl",
    "sttl",
]);

impl Expiring for Set {
    const BASE: Command = Command {
        group: Group::Set,
        since: "9.1.0",
        complexity: "O(N) with N members named.",
        ..Command::BASE
    };
    const NAMED: Arg = MEMBERS;
    const WORD: &'static str = "MEMBERS";
    const WRONG_NUMBER: CommandError = CommandError::Text(
        "ERR nummembers should be greater than 0 and match the provided number of members",
    );
    const SETTER: &'static str = "SPEXPIREAT";
    const REMOVAL: &'static str = "SREM";
    const EVENTS: Events =
        Events { expire: Event::SEXPIRE, persist: Event::SPERSIST, expired: Event::SEXPIRED };

    fn deadline_of(&self, name: &[u8], _hasher: &Hasher) -> Option<Option<Millis>> {
        Set::deadline_of(self, name)
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
    use crate::testing::{START, Still, Store, dialogue};

    #[test]
    fn deadlines_are_set_shown_and_taken_away() {
        let mut store = Store::new();
        store.run("SADD s a b 3");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > SEXPIRE s 10 MEMBERS 2 a x
            1) (integer) 1
            2) (integer) -2
            > SEXPIRE s 20 NX MEMBERS 2 a 3
            1) (integer) 0
            2) (integer) 1
            > SPEXPIREAT s 1700000030000 GT MEMBERS 3 a b 3
            1) (integer) 1
            2) (integer) 0
            3) (integer) 1
            > STTL s MEMBERS 3 a b x
            1) (integer) 30
            2) (integer) -1
            3) (integer) -2
            > SPTTL nothing MEMBERS 1 a
            1) (integer) -2
            > SEXPIRETIME s MEMBERS 1 3
            1) (integer) 1700000030
            > SPERSIST s MEMBERS 3 3 b x
            1) (integer) 1
            2) (integer) -1
            3) (integer) -2
            > SEXPIREAT s 1 members 2 b x
            1) (integer) 2
            2) (integer) -2
            > OBJECT ENCODING s
            "hashtable"
            > SEXPIRE nothing 5 MEMBERS 1 a
            1) (integer) -2
            "#,
        );
        assert_eq!(
            store.effects(),
            "SPEXPIREAT s 1700000010000 MEMBERS 1 a\n\
             SPEXPIREAT s 1700000020000 MEMBERS 1 3\n\
             SPEXPIREAT s 1700000030000 MEMBERS 2 a 3\n\
             SPERSIST s MEMBERS 3 3 b x\n\
             SREM s b"
        );
    }

    #[test]
    fn wrong_words_are_refused() {
        let mut store = Store::new();
        store.run("SADD s a");
        store.run("SET k v");
        store.effects();
        let number =
            "ERR nummembers should be greater than 0 and match the provided number of members";
        for (line, error) in [
            ("SEXPIRE s 5 MEMBERS 1", "ERR wrong number of arguments for 'sexpire' command"),
            ("SEXPIRE s 5 FIELDS 1 a", number),
            ("SEXPIRE s 5 MEMBERS 0 a", number),
            ("SEXPIRE s 5 MEMBERS 2 a", number),
            ("SEXPIRE s 5 MEMBERS x a", "ERR value is not an integer or out of range"),
            ("SEXPIRE s x MEMBERS 1 a", "ERR value is not an integer or out of range"),
            ("SEXPIRE s -1 MEMBERS 1 a", "ERR invalid expire time in 'sexpire' command"),
            (
                "SEXPIREAT s 9223372036854775807 MEMBERS 1 a",
                "ERR invalid expire time in 'sexpireat' command",
            ),
            ("SEXPIRE s 5 FOO MEMBERS 1 a", "ERR Unsupported option FOO"),
            (
                "SEXPIRE s 5 NX XX MEMBERS 1 a",
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ),
            ("STTL s FIELDS 1 a", "ERR syntax error"),
            ("STTL s MEMBERS 2 a", "ERR syntax error"),
            ("SPERSIST s FIELDS 1 a", "ERR syntax error"),
            ("SPERSIST s MEMBERS 2 a", number),
            (
                "STTL k MEMBERS 1 a",
                "WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ] {
            assert_eq!(store.run(line), format!("(error) {error}"), "{line}");
        }
        assert_eq!(store.effects(), "");
    }

    #[test]
    fn members_that_are_due_are_not_there_for_anybody() {
        for look in ["SCARD s", "SISMEMBER s a", "SINTERCARD 1 s", "SMOVE s t a", "EXISTS s"] {
            let mut store = Store::new();
            store.run("SADD s a");
            store.run("SPEXPIRE s 100 MEMBERS 1 a");
            store.effects();
            store.tick(99);
            assert_eq!(store.run("SCARD s"), "(integer) 1");
            store.tick(1);
            assert_eq!(store.run(look), "(integer) 0", "{look}");
            assert_eq!(store.effects(), "SREM s a", "{look}");
        }
    }

    #[test]
    fn members_that_are_due_go_without_being_asked_for() {
        let mut store = Store::new();
        (0..300).for_each(|number| drop(store.run(&format!("SADD s {number}"))));
        for number in 0..200 {
            store.run(&format!("SPEXPIRE s {} MEMBERS 1 {number}", 100 + number % 2 * 1000));
        }
        store.effects();
        store.tick(100);
        assert!(!store.shard.expire(store.now, &mut Still));
        let records = store.effects();
        let words = records.lines().map(|line| line.split(' ').count() - 2);
        assert_eq!(words.sum::<usize>(), 100, "{records}");
        assert_eq!(store.run("SCARD s"), "(integer) 200");
        assert_eq!(store.shard.next_deadline(), Some(START.saturating_add(1100)));
        store.run("SPERSIST s MEMBERS 1 1");
        store.tick(1000);
        assert_eq!(store.run("SCARD s"), "(integer) 101");
    }

    #[test]
    fn a_loaded_journal_gives_the_same_deadlines() {
        let journal = "SADD s a b c\nSPEXPIREAT s 1700000000100 MEMBERS 2 a b\nSADD s d";
        let mut store = Store::loaded(journal, START.saturating_add(99));
        assert_eq!(store.run("SCARD s"), "(integer) 4");
        let mut store = Store::loaded(journal, START.saturating_add(100));
        assert_eq!(store.run("SCARD s"), "(integer) 2");
        let mut store = Store::loaded(&format!("{journal}\nSREM s a b"), START);
        store.run("SPEXPIRE s 50 MEMBERS 1 c");
        store.effects();
        store.run("COPY s other");
        assert_eq!(
            store.effects().lines().filter(|line| line.starts_with("SPEXPIREAT")).count(),
            1
        );
        assert_eq!(store.run("SPTTL other MEMBERS 2 c d"), "1) (integer) 50\n2) (integer) -1");
    }
}
