//! Deadlines of fields: HEXPIRE and its relatives, HTTL and its relatives, HPERSIST.

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::commands::command::{Arg, Command, Group};
use crate::commands::element_expiry::{self, Events, Expiring};
use crate::commands::error::CommandError;
use crate::data::hash::Hash;
use crate::keyspace::listener::Event;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &element_expiry::commands::<Hash>([
    "hexpire",
    "hexpireat",
    "hexpiretime",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hpexpiretime",
    "hpttl",
    "httl",
]);

/// The word, the number of fields and their names.
pub(super) const FIELDS: Arg =
    Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
        .token("FIELDS");

impl Expiring for Hash {
    const BASE: Command = Command {
        group: Group::Hash,
        since: "9.0.0",
        complexity: "O(N) with N fields named.",
        ..Command::BASE
    };
    const NAMED: Arg = FIELDS;
    const WORD: &'static str = "FIELDS";
    const WRONG_NUMBER: CommandError = CommandError::Text(
        "ERR numfields should be greater than 0 and match the provided number of fields",
    );
    const SETTER: &'static str = "HPEXPIREAT";
    const REMOVAL: &'static str = "HDEL";
    const EVENTS: Events =
        Events { expire: Event::HEXPIRE, persist: Event::HPERSIST, expired: Event::HEXPIRED };

    fn deadline_of(&self, name: &[u8], _hasher: &Hasher) -> Option<Option<Millis>> {
        self.get(name).map(|item| item.deadline)
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
    use crate::testing::{Still, Store, dialogue};

    fn store() -> Store {
        let mut store = Store::new();
        store.run("HSET h a 1 b 2 c 3");
        store.effects();
        store
    }

    #[test]
    fn deadlines_are_set_shown_and_taken_away() {
        let mut store = store();
        dialogue(
            &mut store,
            r#"
            > HEXPIRE h 100 FIELDS 2 a x
            1) (integer) 1
            2) (integer) -2
            > HEXPIRE h 50 GT FIELDS 2 a b
            1) (integer) 0
            2) (integer) 0
            > HTTL h FIELDS 3 a b x
            1) (integer) 100
            2) (integer) -1
            3) (integer) -2
            > HPEXPIRETIME h FIELDS 1 a
            1) (integer) 1700000100000
            > HEXPIREAT h 1700000000 FIELDS 2 b b
            1) (integer) 2
            2) (integer) -2
            > HPERSIST h FIELDS 2 a c
            1) (integer) 1
            2) (integer) -1
            > OBJECT ENCODING h
            "hashtable"
            > HEXPIRE none 10 FIELDS 1 a
            1) (integer) -2
            "#,
        );
        assert_eq!(
            store.effects(),
            "HPEXPIREAT h 1700000100000 FIELDS 1 a\nHDEL h b\nHPERSIST h FIELDS 2 a c"
        );
    }

    #[test]
    fn a_field_that_is_due_is_not_there() {
        let mut store = store();
        store.run("HPEXPIRE h 10 FIELDS 2 a b");
        store.effects();
        store.tick(10);
        dialogue(
            &mut store,
            r#"
            > HLEN h
            (integer) 1
            > HGET h a
            (nil)
            > HGETALL h
            1) "c"
            2) "3"
            > HPTTL h FIELDS 2 a c
            1) (integer) -2
            2) (integer) -1
            > HRANDFIELD h 5
            1) "c"
            > HSCAN h 0 NOVALUES
            1) "0"
            2) 1) "c"
            > HSETNX h a 5
            (integer) 1
            > HPERSIST h FIELDS 2 a b
            1) (integer) -1
            2) (integer) -2
            "#,
        );
        assert_eq!(store.effects(), "HDEL h a b\nHSETNX h a 5");
    }

    #[test]
    fn what_is_due_goes_without_being_asked_for_and_the_key_with_its_last_field() {
        let mut store = Store::new();
        for number in 0..20 {
            store.run(&format!("HSET h:{number} a 1 b 2 c 3"));
            store.run(&format!("HPEXPIRE h:{number} {} FIELDS 2 a b", 10 + number));
            store.run(&format!("HPEXPIRE h:{number} {} FIELDS 1 c", 15 + number % 2 * 100));
        }
        store.run("HGETDEL h:0 FIELDS 1 c");
        store.effects();
        store.tick(10);
        store.shard.expire(store.now, &mut Still);
        assert_eq!(store.run("EXISTS h:0"), "(integer) 0");
        let effects = store.effects();
        assert!(effects == "HDEL h:0 a b" || effects == "HDEL h:0 b a", "{effects}");
        store.tick(20);
        store.shard.expire(store.now, &mut Still);
        assert_eq!(store.run("DBSIZE"), "(integer) 10");
        assert_eq!(store.run("HKEYS h:1"), "1) \"c\"");
    }

    #[test]
    fn nothing_is_due_while_the_journal_is_loaded() {
        let store = |journal| Store::loaded(journal, crate::testing::START);
        let mut loaded = store(
            "HSET h n 1 m 1\nHPEXPIREAT h 1600000000000 FIELDS 1 n\nHINCRBY h n 5\n\
             HPERSIST h FIELDS 1 n",
        );
        assert_eq!(loaded.run("HGET h n"), "\"6\"");
        let mut loaded = store("HSET h n 1\nHPEXPIREAT h 1600000000000 FIELDS 1 n");
        assert_eq!(loaded.run("HLEN h"), "(integer) 0");
    }
}
