//! Deadlines of members: ZEXPIRE, ZEXPIREAT, ZEXPIRETIME, ZPERSIST, ZPEXPIRE, ZPEXPIREAT,
//! ZPEXPIRETIME, ZPTTL, ZTTL.
//!
//! No other server has these; they are HEXPIRE and its relatives for sorted sets. A sorted set with
//! a deadline in it is never packed. A member that gets another score keeps its deadline.

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::element_expiry::{self, Clock, Expiring};
use crate::commands::error::CommandError;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const MEMBERS: Arg =
    Arg::block("members", &[Arg::integer("nummembers"), Arg::string("member").multiple()])
        .token("MEMBERS");

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional();

const SET: Command = Command {
    group: Group::SortedSet,
    since: "1.0.0",
    complexity: "O(M*log(N)) with N members in the sorted set and M that are named.",
    arity: Arity::AtLeast(6),
    keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
    flags: Flags::WRITE.and(Flags::FAST),
    ..Command::BASE
};

const SHOW: Command = Command {
    complexity: "O(M) with M members that are named.",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::FAST),
    args: &[Arg::key("key"), MEMBERS],
    ..SET
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zexpire"),
        summary: "Sets the time in seconds after which members are gone.",
        args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::SECONDS)),
        ..SET
    },
    Command {
        name: Name("zexpireat"),
        summary: "Sets the unix time in seconds at which members are gone.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::UNIX_SECONDS)),
        ..SET
    },
    Command {
        name: Name("zexpiretime"),
        summary: "Gives the unix time in seconds at which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::UNIX_SECONDS)),
        ..SHOW
    },
    Command {
        name: Name("zpersist"),
        summary: "Takes the deadlines of members away.",
        arity: Arity::AtLeast(5),
        args: &[Arg::key("key"), MEMBERS],
        run: Run::Keys(element_expiry::persist::<Zset>),
        ..SET
    },
    Command {
        name: Name("zpexpire"),
        summary: "Sets the time in milliseconds after which members are gone.",
        args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::MILLISECONDS)),
        ..SET
    },
    Command {
        name: Name("zpexpireat"),
        summary: "Sets the unix time in milliseconds at which members are gone.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::UNIX_MILLISECONDS)),
        ..SET
    },
    Command {
        name: Name("zpexpiretime"),
        summary: "Gives the unix time in milliseconds at which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::UNIX_MILLISECONDS)),
        ..SHOW
    },
    Command {
        name: Name("zpttl"),
        summary: "Gives the time in milliseconds after which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::MILLISECONDS)),
        ..SHOW
    },
    Command {
        name: Name("zttl"),
        summary: "Gives the time in seconds after which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::SECONDS)),
        ..SHOW
    },
];

impl Expiring for Zset {
    const WORD: &'static str = "MEMBERS";
    const WRONG_NUMBER: CommandError =
        CommandError::Text("ERR The `nummembers` parameter must match the number of arguments");
    const SETTER: &'static str = "ZPEXPIREAT";
    const REMOVAL: &'static str = "ZREM";

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

fn expire(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    element_expiry::expire::<Zset>(call, keys, reply, clock)
}

fn show(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    element_expiry::remaining::<Zset>(call, keys, reply, clock)
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
            // Whoever only reads one member may leave the due ones to the shard.
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
